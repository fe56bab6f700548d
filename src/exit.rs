//! How a whole run ended, and the exit code that says so.

use crate::graph::Graph;
use crate::ledger::Ledger;
use crate::outcome::{Because, State};

/// How a whole run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The job's wait returned because its policy was met, with no failure that counts.
    Succeeded,
    /// Something failed that counts.
    Failed,
    /// The manifest or the arguments are not valid; nothing ran.
    Invalid,
    /// The job's wait timed out.
    TimedOut,
    /// jobrun itself could not do its work.
    Error,
    /// This signal asked the run to stop.
    Interrupted(i32),
}

impl Exit {
    /// How the run that `ledger` tells of ended.
    pub fn of(graph: &Graph, ledger: &Ledger) -> Self {
        if !ledger.errors.is_empty() {
            return Self::Error;
        }
        if let Some(signal) = ledger.interrupted {
            return Self::Interrupted(signal);
        }
        match &ledger.returned {
            Some(returned) if returned.how.because == Because::Timeout => Self::TimedOut,
            Some(returned) if returned.how.success && !outside_failed(graph, ledger) => {
                Self::Succeeded
            }
            _ => Self::Failed,
        }
    }

    /// The exit code: 0, 1, 2, 3, 4, or 128 and the number of the signal.
    pub const fn code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::Failed => 1,
            Self::Invalid => 2,
            Self::TimedOut => 3,
            Self::Error => 4,
            Self::Interrupted(signal) => 128u8.saturating_add(signal as u8),
        }
    }

    /// The word used in reports: `succeeded`, `failed`, `timed_out`, `interrupted` or `error`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed | Self::Invalid => "failed",
            Self::TimedOut => "timed_out",
            Self::Error => "error",
            Self::Interrupted(_) => "interrupted",
        }
    }
}

/// Whether a task that the job's wait does not look at failed: a clean-up step, for example.
fn outside_failed(graph: &Graph, ledger: &Ledger) -> bool {
    graph.tasks().filter(|(id, task)| !graph.is_inside(*id) && !task.allow_failure).any(
        |(id, task)| match ledger.group(id).filter(|_| task.size.wait().is_some()) {
            Some(group) => group.verdict() == State::Failed,
            None => graph
                .members(id)
                .any(|node| ledger.record(crate::id::NodeId(node)).state.is_failure()),
        },
    )
}
