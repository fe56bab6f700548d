//! How many children the system has room for, learnt from its limits and from its refusals. Knows nothing
//! of who minds them, nor of what they run.
//!
//! As long as nothing is scarce, this counts and no more. Where a limit of processes is near, only half of
//! what is left is taken, for children start processes of their own, and nobody hears of it when those are
//! refused. After a refusal half as many run as ran then; each second without another lets one more run.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::guard::Limit;
use crate::supervise::census;
use crate::supervise::descriptors::{SPARE_FILES, most_files};
use crate::sync::Bell;

/// The limits are looked at when so many run: a run that is no wider need not know.
const LOOK_AT: usize = 1;

/// So many processes are left for threads of our own.
const SPARE_PROCESSES: usize = 2;

/// For so many threads the limits are not looked at, which takes as long as starting a few.
const FEW_THREADS: usize = 8;

/// How long a width has to be without refusals before one more runs.
const GROWTH: Duration = Duration::from_secs(1);

/// So often is a child tried for which the system has no room while none runs, waiting 10, 20, 40 … ms in
/// between.
const TRIES: u32 = 10;

/// The room that children of one kind have. All sets of children that run side by side share one.
#[derive(Debug, Default)]
pub struct Headroom {
    /// How many run or are just being started.
    running: AtomicUsize,
    narrow: Narrow,
    /// Whether somebody waits for room.
    held: AtomicBool,
    /// It rings when there is room again. It is never hushed: those who wait are told of each ring. All threads that mind children keep it, under the same number.
    bell: OnceLock<Bell>,
    common: Arc<Common>,
}

/// How many may run.
#[derive(Debug)]
struct Narrow {
    most: AtomicUsize,
    state: Mutex<State>,
}

impl Default for Narrow {
    fn default() -> Self {
        Self { most: AtomicUsize::new(usize::MAX), state: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct State {
    looked: bool,
    /// When one more may run.
    grows_at: Option<Instant>,
    /// How often in a row a child was refused while no other ran.
    tries: u32,
}

/// What is the same for all of one run.
#[derive(Debug, Default)]
struct Common {
    warned: AtomicBool,
    /// The limit of open files that children inherit, once this process has raised its own.
    files: OnceLock<Rlimit>,
}

/// What becomes of a child that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It waits for room.
    Waits,
    /// There is none, though no other runs.
    GivenUp,
}

impl Headroom {
    /// Room for children of another kind in the same run, which do not wait for these.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { common: Arc::clone(&self.common), ..Self::default() }
    }

    /// What to say of a scarcity, if nothing was said of one before: one warning is enough for a run.
    pub fn warning(&self, words: impl FnOnce() -> String) -> Option<String> {
        (!self.common.warned.swap(true, SeqCst)).then(words)
    }

    /// What rings when there is room again for somebody who was told that there is none. To be called
    /// first on a thread that shares its descriptors with others.
    pub(crate) fn bell(&self) -> io::Result<&Bell> {
        if self.bell.get().is_none() {
            let _ = self.bell.set(Bell::new()?);
        }
        self.bell.get().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Takes room for one more, if there is.
    pub(crate) fn take(&self) -> bool {
        let running = self.running.fetch_add(1, SeqCst);
        if running == LOOK_AT {
            self.look(running);
        }
        if running < self.most() || self.has_grown() && running < self.most() {
            return true;
        }
        self.running.fetch_sub(1, SeqCst);
        self.held.store(true, SeqCst);
        false
    }

    /// Gives room back.
    pub(crate) fn give_back(&self) {
        self.running.fetch_sub(1, SeqCst);
        if self.held.load(SeqCst) {
            self.ring();
        }
    }

    /// Whether there is room for one more. Who is told that there is none is rung for when there is.
    pub(crate) fn has_room(&self) -> bool {
        let has_room = || self.running.load(SeqCst) < self.most();
        has_room() || {
            self.held.store(true, SeqCst);
            has_room()
        }
    }

    /// When there may be more room than now though none is given back; nobody rings for that.
    pub(crate) fn grows_at(&self) -> Option<Instant> {
        if self.is_narrow() { self.state().grows_at } else { None }
    }

    /// Whether there is a bound that is known.
    pub(crate) fn is_narrow(&self) -> bool {
        self.most() != usize::MAX
    }

    /// A child was started in the room that was taken.
    pub(crate) fn started(&self) {
        if self.is_narrow() {
            self.state().tries = 0;
        }
    }

    /// A child that room was taken for was refused by the system; the room is given back.
    pub(crate) fn refused(&self) -> Verdict {
        let others = self.running.fetch_sub(1, SeqCst).saturating_sub(1);
        let mut state = self.state();
        let (most, pause) = match others {
            0 if state.tries >= TRIES => {
                // Those behind it need not each find that out by waiting.
                self.narrow.most.store(1, SeqCst);
                return Verdict::GivenUp;
            }
            0 => {
                state.tries += 1;
                (0, Duration::from_millis(5 << state.tries))
            }
            _ => ((others / 2).max(1), GROWTH),
        };
        self.narrow.most.store(most, SeqCst);
        state.grows_at = Some(Instant::now() + pause);
        Verdict::Waits
    }

    /// How many may be started of those that are not children but threads of our own, and stay: not so
    /// many that there is room for nothing else.
    pub fn threads(&self, wanted: usize) -> usize {
        let free = || census::free_processes().map_or(wanted, |free| fair_share(0, free));
        if wanted > FEW_THREADS { wanted.min(free()) } else { wanted }
    }

    /// How many worker processes may be started, which each take so many processes and descriptors.
    ///
    /// # Errors
    /// When there is not even a descriptor to look.
    pub fn workers(&self, wanted: usize, processes: usize, files: usize) -> io::Result<usize> {
        let most = self.threads(wanted.saturating_mul(processes)) / processes;
        // The system gives the lowest number that is free.
        let used = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 0)?;
        let used = used.as_raw_fd().unsigned_abs() as usize + SPARE_FILES;
        let fitting = || most_files().saturating_sub(used) / files;
        if fitting() < most {
            self.raise_files();
        }
        Ok(most.min(fitting()).max(1))
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.running.load(SeqCst)
    }

    /// How many may run at once.
    pub(crate) fn most(&self) -> usize {
        self.narrow.most.load(SeqCst)
    }

    /// Wakes all who may wait for room.
    pub(crate) fn ring(&self) {
        self.held.store(false, SeqCst);
        if let Some(bell) = self.bell.get() {
            bell.ring();
        }
    }

    /// Looks once how much room there is, when so many run.
    fn look(&self, running: usize) {
        let mut state = self.state();
        if state.looked {
            return;
        }
        state.looked = true;
        if let Some(most) = census::free_processes().map(|free| fair_share(running, free)) {
            self.narrow.most.fetch_min(most, SeqCst);
            state.grows_at.get_or_insert_with(|| Instant::now() + GROWTH);
        }
    }

    /// Lets one more run if it is time for that; whether it did.
    fn has_grown(&self) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        if state.grows_at.is_none_or(|at| at > now) {
            return false;
        }
        state.grows_at = Some(now + GROWTH);
        let (running, most) = (self.running().saturating_sub(1), self.most());
        let allowed = census::free_processes().map(|free| fair_share(running, free));
        let grows = allowed.is_none_or(|allowed| allowed > most) || most == 0;
        if grows {
            self.narrow.most.store(most.saturating_add(1), SeqCst);
        }
        grows
    }

    /// No lock is held while anything else runs but a look at the limits.
    fn state(&self) -> MutexGuard<'_, State> {
        self.narrow.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limit of open files.
impl Headroom {
    /// Lets this process have as many open files as the system allows. Whether that changed anything.
    pub(crate) fn raise_files(&self) -> bool {
        let mut raised = false;
        self.common.files.get_or_init(|| {
            let before = getrlimit(Resource::Nofile);
            let more = Rlimit { current: before.maximum, maximum: before.maximum };
            raised = before.current != before.maximum && setrlimit(Resource::Nofile, more).is_ok();
            before
        });
        raised
    }

    /// The limit that this process was given, if it has raised its own since. Programs that use
    /// `select`, or that close every descriptor they might have, rely on it.
    pub(crate) fn files_of_children(&self) -> Option<Limit<'static>> {
        self.common.files.get().map(|limit| Limit::Resource(Resource::Nofile, *limit))
    }
}

/// How many children may run where so many do and there is room for so many processes more: each of them
/// may start one of its own.
fn fair_share(running: usize, free: usize) -> usize {
    (running + free.saturating_sub(running + SPARE_PROCESSES) / 2).max(1)
}
