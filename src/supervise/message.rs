//! What is asked of the supervisor and what it tells. Knows nothing of how it is done.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::outcome::Stream;
use crate::supervise::end::ChildEnd;
use crate::time::Time;
use crate::work::Command;

/// A child to run to its end.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the caller calls it; unique among those that have not ended.
    pub key: u64,
    /// What its files are called, such as its future's name and attempt.
    pub name: String,
    /// What is run.
    pub command: Command,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// How long it has to end by itself after SIGTERM.
    pub grace: Duration,
    /// Whether output is wanted as it comes.
    pub live: bool,
    /// Descriptors that it inherits, under the numbers that they have here.
    pub inherit: Option<Arc<[OwnedFd]>>,
}

/// What the supervisor tells of one child. For each request there is exactly one
/// [`Ended`](Self::Ended) or [`Recalled`](Self::Recalled), and nothing after it.
#[derive(Debug)]
pub enum ChildEvent {
    /// It runs.
    Started {
        /// Its process, and process group.
        pid: u32,
        /// Since when.
        at: Time,
    },
    /// It wrote something. Only for those whose output is wanted live.
    Output {
        /// Where.
        stream: Stream,
        /// What.
        bytes: Arc<[u8]>,
    },
    /// Something went wrong that does not end it.
    Warning(String),
    /// It was taken back before it started.
    Recalled,
    /// It has ended, or could not be started.
    Ended(ChildEnd),
}

/// Who is told: called with the request's key, on the thread that minds the child. It must not block
/// for long, for other children are minded by that thread too.
pub type Sink = Arc<dyn Fn(u64, ChildEvent) + Send + Sync>;
