//! What bounds how futures run: executors and resources. Knows nothing of tasks.

/// What the schedule and reports need to know of an executor.
#[derive(Clone, Debug)]
pub struct Executor {
    /// `default`, or the `NAME` of `[executors.NAME]`.
    pub name: String,
    /// How calls run there.
    pub kind: ExecutorKind,
    /// How many futures may run there at once; at least 1.
    pub max_workers: u32,
    /// What the death of a worker process means.
    pub on_worker_death: OnWorkerDeath,
}

/// What the death of a worker process means for the futures of its executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnWorkerDeath {
    /// Only the future that was running there fails.
    #[default]
    Fail,
    /// That future is run again, three times at most.
    Retry,
    /// Every pending and running future of the executor fails: Python's `BrokenProcessPool`.
    Break,
}

/// How registered functions run on an executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExecutorKind {
    /// On threads of this process.
    #[default]
    Thread,
    /// In worker processes.
    Process,
}

impl ExecutorKind {
    /// The word used in manifests and reports: `thread` or `process`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Process => "process",
        }
    }
}

/// A shared limit.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its name in `[resources]`.
    pub name: String,
    /// How much there is: a count, or bytes.
    pub capacity: u64,
    /// Whether it counts units that can be told apart, so that a future is told which it holds.
    pub counted: bool,
}

/// How many runs of a job there may be at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Concurrency {
    /// Any number.
    #[default]
    Any,
    /// One; others wait for its end.
    One,
}
