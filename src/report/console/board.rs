//! The live display: how many futures are done, and what runs for how long. Only ever drawn on a
//! terminal. Knows nothing of runs.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::style::ProgressTracker;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::id::NodeId;
use crate::measure::Counts;
use crate::report::words;
use crate::time::{Clock, Time};

/// So many running futures are named, those that run longest.
const ROWS: usize = 8;
/// So many characters of a name are shown.
const NAME: usize = 60;
const TICK: Duration = Duration::from_millis(100);

/// A display that is drawn again and again until it is dropped.
pub(super) struct Board {
    bar: ProgressBar,
    shown: Shown,
}

impl Board {
    pub(super) fn new(target: ProgressDrawTarget, color: bool, counts: Counts) -> Self {
        let shown = Shown(Arc::new(Mutex::new(Now {
            clock: Clock::start(),
            counts,
            running: HashMap::new(),
        })));
        let template = if color { "{spinner:.cyan} {board}" } else { "{spinner} {board}" };
        // The template is fixed, so it is valid; a bare spinner would do no harm.
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_spinner())
            .with_key("board", shown.clone());
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        bar.enable_steady_tick(TICK);
        Self { bar, shown }
    }

    /// An attempt of a future began.
    pub(super) fn started(&mut self, node: NodeId, name: &str) {
        let mut now = self.shown.lock();
        let since = now.clock.now();
        now.running.insert(node, (since, name.to_owned()));
    }

    /// It ended.
    pub(super) fn ended(&mut self, node: NodeId) {
        self.shown.lock().running.remove(&node);
    }

    pub(super) fn counted(&mut self, counts: &Counts) {
        self.shown.lock().counts = *counts;
    }

    /// Does something while the display is not there.
    pub(super) fn aside<R>(&self, act: impl FnOnce() -> R) -> R {
        self.bar.suspend(act)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// What the display shows, shared with the thread that draws it.
#[derive(Clone)]
struct Shown(Arc<Mutex<Now>>);

struct Now {
    clock: Clock,
    counts: Counts,
    running: HashMap<NodeId, (Time, String)>,
}

impl Shown {
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProgressTracker for Shown {
    fn clone_box(&self) -> Box<dyn ProgressTracker> {
        Box::new(self.clone())
    }

    fn tick(&mut self, _: &ProgressState, _: Instant) {}

    fn reset(&mut self, _: &ProgressState, _: Instant) {}

    fn write(&self, _: &ProgressState, out: &mut dyn fmt::Write) {
        // The drawing crate's buffer is a string, which takes everything.
        let _ = self.lock().write(out);
    }
}

impl Now {
    fn write(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let now = self.clock.now();
        let (done, total) = (self.counts.done(), self.counts.total);
        write!(out, "{done} of {total} done, {} running", self.running.len())?;
        if self.counts.failures() > 0 {
            write!(out, ", {} failed", self.counts.failures())?;
        }
        write!(out, "  {}", clock(now.since(Time::ZERO)))?;

        let mut running: Vec<_> = self.running.iter().collect();
        running.sort_by_key(|(node, (since, _))| (*since, Reverse(node.0)));
        for (_, (since, name)) in running.iter().take(ROWS) {
            let short: String = name.chars().take(NAME).collect();
            write!(out, "\n    {short}  {}", clock(now.since(*since)))?;
        }
        if running.len() > ROWS {
            write!(out, "\n    and {} more", running.len() - ROWS)?;
        }
        Ok(())
    }
}

/// A running time: tenths of seconds are enough while it changes.
fn clock(time: Duration) -> String {
    if time.as_secs() < 60 { format!("{:.1}s", time.as_secs_f64()) } else { words::duration(time) }
}
