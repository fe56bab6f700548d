//! What observers are told. Events carry ids; what they are about is read from the ledger. Knows
//! neither who makes events nor who reads them.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{NodeId, TaskId};
use crate::outcome::Stream;
use crate::time::Time;

/// One event, numbered and dated by the driver. All observers see the same events in the same
/// order.
#[derive(Clone, Debug)]
pub struct Stamped {
    /// Counts from 0 without gaps.
    pub seq: u64,
    /// When the driver took note of it.
    pub at: Time,
    /// What happened.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run begins.
    JobStarted,
    /// An attempt of a future started.
    Started {
        /// The future.
        node: NodeId,
        /// Counts from 1.
        attempt: u32,
        /// The worker that runs it, counted from 1 within its executor.
        worker: u32,
    },
    /// A running future wrote something. Sent only to observers that ask for live output.
    Output {
        /// The future.
        node: NodeId,
        /// Where it wrote.
        stream: Stream,
        /// What it wrote: any bytes, cut anywhere.
        bytes: Arc<[u8]>,
    },
    /// An attempt failed and another will follow; the failed one is the last of the ledger's.
    Retry {
        /// The future.
        node: NodeId,
        /// The attempt that comes next, counted from 1.
        attempt: u32,
        /// When it becomes ready again.
        at: Time,
    },
    /// A future reached its final state, which is in the ledger.
    Finished {
        /// The future.
        node: NodeId,
    },
    /// The members of an open group, and of those that follow it, are known; they are in the job.
    Expanded {
        /// The group.
        task: TaskId,
    },
    /// A group's wait returned; how is in the ledger.
    GroupReturned {
        /// The group.
        task: TaskId,
    },
    /// The job's wait returned; how is in the ledger.
    JobReturned,
    /// A `log` callback has something to say.
    Log {
        /// The place of the callback in the job.
        callback: usize,
        /// The future it is about, or `None` for the job.
        node: Option<NodeId>,
        /// The line.
        message: String,
    },
    /// A callback ended; its record is the last of the ledger's.
    CallbackEnded,
    /// Something went wrong that does not stop the run.
    Warning {
        /// What, and what was done about it.
        message: String,
    },
    /// The run was paused, with all that it had started, and goes on.
    GoesOn {
        /// For how long.
        paused: Duration,
    },
    /// A signal asked the run to stop.
    Interrupted {
        /// The number of the signal.
        signal: i32,
    },
    /// All futures and callbacks ended. Nothing follows.
    JobFinished,
}
