//! What is asked of the supervisor and what it tells. Knows nothing of how it is done.

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

/// For whom children run: says when one more may start, and is told what becomes of each. All this is
/// called on the threads that mind the children, and must not block for long.
pub trait Patron: Send + Sync {
    /// How many may run at once.
    fn width(&self) -> usize {
        usize::MAX
    }

    /// Whether one more may start now. Its end, or its [`ChildEvent::Recalled`], makes room again.
    fn has_room(&self) -> bool {
        true
    }

    /// Takes room for a child that is about to be started, to which it may add something; `false` if
    /// there is none.
    fn admit(&self, _request: &mut Request) -> bool {
        true
    }

    /// Takes the room back, and what it added, for the child could not be started yet.
    fn put_back(&self, _request: &mut Request) {}

    /// Takes note of an event. A patron that is in no hurry to act on it asks to be reminded.
    fn tell(&self, key: u64, event: ChildEvent) -> Urgency;

    /// Reminds of what was told.
    fn remind(&self) {}

    /// The system refuses a child though none runs. Whoever has something that is idle may end it, for
    /// it will be tried again soon.
    fn cramped(&self) {}

    /// One of these threads has panicked. It killed the children that it minded, of which nothing more
    /// will be told.
    fn collapsed(&self) {}
}

/// Whether a patron acts on what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It has.
    Now,
    /// It wants to be reminded shortly.
    Soon,
}

/// One that has room for all and acts at once.
impl<F: Fn(u64, ChildEvent) + Send + Sync> Patron for F {
    fn tell(&self, key: u64, event: ChildEvent) -> Urgency {
        self(key, event);
        Urgency::Now
    }
}
