//! What the graph knows of a task. Knows nothing of nodes.

use std::time::Duration;

use crate::graph::wait::Wait;
use crate::id::{ExecutorId, ResourceId, TaskId};
use crate::outcome::FailureKind;

/// What a task needs of the schedule.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are facts that do not depend on each other"
)]
#[derive(Clone, Debug)]
pub struct Task {
    /// Unique among the tasks.
    pub name: String,
    /// One future, or a group of so many.
    pub size: Size,
    /// The tasks that this one is `after`, each once.
    pub after: Vec<TaskId>,
    /// The task whose futures this one follows one by one: it has as many, and each of them is after
    /// its counterpart alone, and not after the whole task. It is not among `after` for that.
    pub each: Option<TaskId>,
    /// Which ends of those let it run.
    pub when: When,
    /// Whether each of its futures has a condition that is asked for before it may start.
    pub asks: bool,
    /// Where its futures run.
    pub executor: ExecutorId,
    /// How much of which resource each of its futures holds while it runs.
    pub uses: Vec<(ResourceId, u64)>,
    /// Whether its futures are calls of registered functions, rather than children.
    pub call: bool,
    /// Whether nothing else of the job may run beside it.
    pub exclusive: bool,
    /// Higher starts first.
    pub priority: i64,
    /// The time one future is expected to take.
    pub estimate: Option<Duration>,
    /// When and how often a failed attempt is followed by another.
    pub retry: Retry,
    /// Whether its failure fails neither the job nor what comes after it.
    pub allow_failure: bool,
    /// How long one attempt may run.
    pub timeout: Option<Duration>,
    /// How long a stopped attempt has to end by itself.
    pub grace: Duration,
}

/// How many futures a task has.
#[derive(Clone, Debug)]
pub enum Size {
    /// A plain task.
    One,
    /// A mapped task: so many members, and a wait of their own if the manifest gives one.
    Group {
        /// The number of members; may be 0.
        members: u32,
        /// The `wait` of the task, if it has one.
        wait: Option<Wait>,
    },
    /// A mapped task whose members are not known before it runs: see [`Graph::grow`](crate::graph::Graph::grow).
    Open {
        /// The `wait` of the task, if it has one.
        wait: Option<Wait>,
    },
}

/// Which ends of what a task is `after` let it run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// All succeeded or were skipped.
    #[default]
    Success,
    /// At least one failed, timed out, or was cancelled because of one.
    Failure,
    /// All are done, however.
    Always,
}

/// When a failed attempt is followed by another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retry {
    /// How many more attempts there may be.
    pub count: u32,
    /// The pause before the second attempt.
    pub delay: Duration,
    /// What each pause is multiplied by to give the next; 1 keeps them equal.
    pub backoff: f64,
    /// No pause is longer.
    pub max_delay: Option<Duration>,
    /// Whether a pause is drawn from between its half and its whole.
    pub jitter: bool,
    /// Only these kinds of failure; `None` for all.
    pub on: Option<Vec<FailureKind>>,
    /// Of failures by exit code, only these codes; `None` for all.
    pub on_exit: Option<Vec<i32>>,
}

impl Task {
    /// All tasks that this one comes after, be it future by future.
    pub fn before(&self) -> impl Iterator<Item = &TaskId> {
        self.after.iter().chain(&self.each)
    }
}

impl Size {
    /// The number of futures; 0 for an open group, whose number is not known here.
    pub const fn futures(&self) -> u32 {
        match self {
            Self::One => 1,
            Self::Group { members, .. } => *members,
            Self::Open { .. } => 0,
        }
    }

    /// Whether this is a group.
    pub const fn is_group(&self) -> bool {
        !matches!(self, Self::One)
    }

    /// Whether this is a group whose members are not known before it runs.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// The wait that the manifest gives a group.
    pub const fn wait(&self) -> Option<&Wait> {
        match self {
            Self::Group { wait: Some(wait), .. } | Self::Open { wait: Some(wait) } => Some(wait),
            _ => None,
        }
    }

    pub(super) const fn nodes(&self) -> u32 {
        match self {
            Self::One | Self::Open { .. } => 1,
            Self::Group { members, .. } => *members + 1,
        }
    }
}
