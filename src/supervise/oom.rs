//! Whether a process that was killed was killed for want of memory. Knows nothing of what it was.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::supervise::cgroup::{self, Home};

/// Counts with the system whom it kills for want of memory.
///
/// The system does not say whom it killed, only how many. So each kill is laid to the account of one
/// process that somebody unknown has killed, in the order in which they are asked for.
#[derive(Debug)]
pub struct OomWatch {
    counter: Counter,
    /// So many kills are accounted for.
    known: AtomicU64,
}

/// Where the system counts.
#[derive(Debug)]
enum Counter {
    /// The processes of a cgroup that we are in.
    Cgroup(Home),
    /// All processes.
    Machine(PathBuf),
}

impl OomWatch {
    /// Begins to count.
    pub fn start() -> Self {
        let machine = || Counter::Machine(Path::new("/proc/vmstat").to_owned());
        let counter = Home::that_counts().map_or_else(machine, Counter::Cgroup);
        let known = AtomicU64::new(counter.read());
        Self { counter, known }
    }

    /// Whether a process that was killed, by nobody who is known, was killed for want of memory. Asked
    /// once for each.
    pub fn has_killed(&self) -> bool {
        let killed = self.counter.read();
        let more = |known: u64| (known < killed).then(|| known + 1);
        self.known.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

impl Counter {
    fn read(&self) -> u64 {
        let count = match self {
            Self::Cgroup(home) => home.killed(),
            Self::Machine(file) => cgroup::kills(file),
        };
        count.unwrap_or(0)
    }
}
