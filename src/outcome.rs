//! How things end: states, failures, causes, captured output. Plain data that knows no one.

use std::path::PathBuf;
use std::time::Duration;

use crate::id::NodeId;
use crate::value::Value;

/// Where a future stands. It goes `Pending → Running → ` one of the other five, once.
///
/// Python's `FINISHED` is split into [`State::Succeeded`], [`State::Failed`] and
/// [`State::TimedOut`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Not started; this includes the time between two attempts.
    #[default]
    Pending,
    /// Started and not ended.
    Running,
    /// Ended with a result.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Stopped because it ran longer than its timeout.
    TimedOut,
    /// Stopped, or never started, because something else ended.
    Cancelled,
    /// Never started because its condition did not hold.
    Skipped,
}

impl State {
    /// The word used in reports: `pending`, `running`, `succeeded`, `failed`, `timed_out`,
    /// `cancelled` or `skipped`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    /// Whether the future has ended, in whichever way.
    pub const fn is_done(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Whether it ended badly by itself: failed or timed out.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut)
    }
}

/// How one attempt ended, as its executor tells it.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It gave a result.
    Succeeded(Value),
    /// It failed.
    Failed(Failure),
    /// It ran longer than it may.
    TimedOut(Failure),
    /// It was stopped because somebody asked for that.
    Cancelled,
}

impl Outcome {
    /// The state that this outcome gives an attempt.
    pub const fn state(&self) -> State {
        match self {
            Self::Succeeded(_) => State::Succeeded,
            Self::Failed(_) => State::Failed,
            Self::TimedOut(_) => State::TimedOut,
            Self::Cancelled => State::Cancelled,
        }
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for programs.
    pub kind: FailureKind,
    /// One or more lines for people, naming what failed.
    pub message: String,
}

impl Failure {
    /// A failure of `kind`, described by `message`.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// The kinds of failure; `retry.on` selects by their words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// A child ended with an exit code that is not `ok`.
    Exit,
    /// A child was ended by a signal that jobrun did not send.
    Signal,
    /// A child, or a part of it, was killed for want of memory.
    Oom,
    /// It ran longer than its timeout.
    Timeout,
    /// A function returned an error.
    Call,
    /// A function panicked.
    Panic,
    /// A child could not be started.
    Spawn,
    /// The worker process that ran it died.
    WorkerDeath,
    /// A template in its specification could not be rendered.
    Template,
    /// Its output could not be turned into a result.
    Result,
    /// A child left processes that held its output open, where that is a failure.
    Leak,
    /// Its executor broke: the initializer failed, or `on_worker_death = "break"`.
    BrokenExecutor,
}

impl FailureKind {
    /// All kinds, in the order of the manual.
    pub const ALL: [Self; 12] = [
        Self::Exit,
        Self::Signal,
        Self::Oom,
        Self::Timeout,
        Self::Call,
        Self::Panic,
        Self::Spawn,
        Self::WorkerDeath,
        Self::Template,
        Self::Result,
        Self::Leak,
        Self::BrokenExecutor,
    ];

    /// The word used in manifests and reports, for example `worker_death`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Oom => "oom",
            Self::Timeout => "timeout",
            Self::Call => "call",
            Self::Panic => "panic",
            Self::Spawn => "spawn",
            Self::WorkerDeath => "worker_death",
            Self::Template => "template",
            Self::Result => "result",
            Self::Leak => "leak",
            Self::BrokenExecutor => "broken_executor",
        }
    }
}

/// Why a future was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// This node, which it needed, failed or was itself cancelled.
    Dependency(NodeId),
    /// A wait returned: that of the group whose gate this is, or the job's own for `None`.
    Wait(Option<NodeId>),
    /// The run was interrupted.
    Interrupt,
}

impl Cause {
    /// The word used in reports: `dependency`, `wait` or `interrupt`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dependency(_) => "dependency",
            Self::Wait(_) => "wait",
            Self::Interrupt => "interrupt",
        }
    }
}

/// Why a wait returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// Every future was done.
    AllCompleted,
    /// One future was done.
    FirstCompleted,
    /// One future failed.
    FirstException,
    /// One future succeeded.
    FirstSuccess,
    /// So many futures were done.
    Completed,
    /// So many futures succeeded.
    Succeeded,
    /// So many futures failed.
    Failed,
    /// What was waited for could not come any more.
    Unreachable,
    /// The wait's timeout passed.
    Timeout,
    /// The run was interrupted.
    Interrupt,
    /// The job's wait had returned, and what this one waited for was cancelled. Of groups only.
    Cancelled,
}

impl Because {
    /// The word used in reports, for example `first_completed`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::AllCompleted => "all_completed",
            Self::FirstCompleted => "first_completed",
            Self::FirstException => "first_exception",
            Self::FirstSuccess => "first_success",
            Self::Completed => "completed",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Interrupt => "interrupt",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a wait ended: when, why, and whether that was what was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Return {
    /// Why it returned.
    pub because: Because,
    /// How long after the wait's clock started.
    pub after: Duration,
    /// Whether this is a success by the rule of exit code 0.
    pub success: bool,
}

impl Return {
    /// The verdict on what was waited for: succeeded, failed, or cancelled if the job's wait took it
    /// away before anything could be said, which counts for nothing.
    pub const fn verdict(&self) -> State {
        match self.because {
            _ if self.success => State::Succeeded,
            Because::Cancelled => State::Cancelled,
            _ => State::Failed,
        }
    }
}

/// One of a child's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What one stream of a future left: all of it in memory while it is small, else its tail in
/// memory and the whole in a file of the run. Where no file can take it, its two ends are left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// How many bytes were written in all.
    pub bytes: u64,
    /// The whole output if nothing else is said, else its last bytes.
    pub kept: Vec<u8>,
    /// The file that holds the whole output, where it did not fit in memory.
    pub path: Option<PathBuf>,
    /// Said if what was written between the first bytes and those in `kept` is nowhere.
    pub lost: Option<Box<Lost>>,
}

/// The loss of the middle of an output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// The first bytes.
    pub head: Vec<u8>,
    /// Why no file holds the whole, for people.
    pub why: String,
}
