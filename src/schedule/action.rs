//! What the schedule is told of an end, and what it wants done. Plain data.

use crate::id::{ExecutorId, NodeId, ResourceId, TaskId};
use crate::outcome::{Cause, Failure, Return, State};
use crate::time::Time;
use crate::work::Stop;

/// How an attempt ended: all that the schedule needs to know of it.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// It gave a result.
    Succeeded,
    /// It failed.
    Failed {
        /// Why.
        failure: &'a Failure,
        /// The exit code, if it was a child that exited.
        exit_code: Option<i32>,
    },
    /// It ran longer than it may.
    TimedOut,
    /// It was stopped because somebody asked for that.
    Cancelled,
}

/// What came of the condition of a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It holds: the future may start.
    Yes,
    /// It does not: the future is skipped.
    No,
    /// Nobody can tell: the future has failed.
    Unclear,
}

/// What is to be done now. Actions are carried out in the order in which they are given.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Hand an attempt to its executor. To be answered with `ended` (or `overran` or `gave_up`,
    /// and `freed` later) or, after a [`Action::Stop`], with `recalled`.
    Start {
        /// The future.
        node: NodeId,
        /// Counts from 1.
        attempt: u32,
        /// When the future became ready for the first time.
        ready: Time,
        /// The units it holds of counted resources, numbered from 0.
        units: Vec<(ResourceId, Vec<u32>)>,
        /// Whether all workers are taken, so that it has to wait in the executor.
        ahead: bool,
    },
    /// Find out whether the condition of a future holds, all it is after being done. To be answered with
    /// `answered`.
    Question {
        /// The future.
        node: NodeId,
    },
    /// Find out the members of an open group, all it is after being done. To be answered, once the graph
    /// has grown, with `expanded` or `not_expanded`.
    Expand {
        /// The group.
        task: TaskId,
    },
    /// Stop an attempt that was started.
    Stop {
        /// The future.
        node: NodeId,
        /// Which of its attempts.
        attempt: u32,
        /// How hard.
        how: Stop,
    },
    /// A node could start on a guarded executor if it had a permit. To be answered with `permit`, now or
    /// later; not asked again before that, but perhaps forgone.
    Ask {
        /// The executor.
        executor: ExecutorId,
    },
    /// The permit that was asked for is not needed any more. If it comes all the same, it is given back.
    Forgo {
        /// The executor.
        executor: ExecutorId,
    },
    /// A permit is free again: its attempt is over, or nothing could start when it came.
    GiveBack {
        /// The executor.
        executor: ExecutorId,
    },
    /// A future reached its final state. Given exactly once for each. A future may be failed by the
    /// schedule alone: if its executor broke before it ran, or before it ended.
    Settle {
        /// The future.
        node: NodeId,
        /// Its final state.
        state: State,
        /// Why it was cancelled, if it was.
        cause: Option<Cause>,
    },
    /// An attempt failed and another will follow; the future is pending until then.
    Retry {
        /// The future.
        node: NodeId,
        /// The number of the next attempt.
        attempt: u32,
        /// When it becomes ready again.
        at: Time,
    },
    /// The wait of a group returned. Given exactly once for each group.
    GroupReturned {
        /// The group.
        task: TaskId,
        /// How.
        how: Return,
    },
    /// The wait of the job returned. Given exactly once.
    JobReturned {
        /// How.
        how: Return,
    },
}
