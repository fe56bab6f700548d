//! A worker process as its slot sees it, and the attempts that it has. Knows nothing of the queue.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::executor::pool::Attempt;
use crate::executor::process::peer::Peer;
use crate::executor::protocol::{FromWorker, Hello, ToWorker, VERSION};
use crate::supervise::Capture;
use crate::time::Time;
use crate::work::Stop;

/// A worker process, and how far it is.
pub(super) struct Worker {
    pub(super) peer: Peer,
    pub(super) stage: Stage,
    /// How many calls it was given.
    pub(super) calls: u32,
    /// Whether a call in it has written to standard error. What such calls write can be told apart
    /// only if no call is sent ahead.
    pub(super) chatty: bool,
    /// Whether it was killed from here.
    pub(super) condemned: bool,
    /// What the run's clock shows more than the worker's, in nanoseconds: never too little, and the
    /// smallest value seen.
    offset: Option<i128>,
    /// When it said something last, or was given something to do after a rest.
    pub(super) heard: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not said hello.
    Greeting,
    /// It does what each worker does first.
    Initializing,
    /// It makes calls.
    Serving,
}

/// An attempt that a worker has.
pub(super) struct Flight {
    pub(super) attempt: Attempt,
    pub(super) id: u64,
    /// Whether others may be sent behind it. If not, it was sent to an idle worker and starts at
    /// once.
    pub(super) ahead: bool,
    pub(super) sent: Time,
    pub(super) started: Option<Time>,
    pub(super) recall_sent: bool,
    pub(super) stop: Option<Stop>,
    pub(super) errors: Capture,
    pub(super) wrote: bool,
}

impl Flight {
    /// Whether its end was asked for, should it run.
    pub(super) fn is_unwanted(&self) -> bool {
        matches!(self.stop, Some(Stop::Stop | Stop::Kill))
    }
}

impl Worker {
    pub(super) fn new(peer: Peer) -> Self {
        Self {
            peer,
            stage: Stage::Greeting,
            calls: 0,
            chatty: false,
            condemned: false,
            offset: None,
            heard: Instant::now(),
        }
    }

    /// What the run's clock showed when the worker's showed `at`. It was heard of `now`, later by an
    /// unknown time; the shortest such time is taken for none.
    pub(super) fn time(&mut self, at: Duration, now: Time) -> Time {
        let at = at.as_nanos().cast_signed();
        let seen = i128::from(now.0) - at;
        let offset = self.offset.map_or(seen, |offset| offset.min(seen));
        self.offset = Some(offset);
        Time(u64::try_from(at + offset).unwrap_or_default())
    }
}

/// The first flight, which must be the one of that id.
pub(super) fn first(flights: &mut VecDeque<Flight>, id: u64) -> Result<&mut Flight, String> {
    match flights.front_mut() {
        Some(flight) if flight.id == id => Ok(flight),
        _ => Err(format!("it spoke of call {id}, which it is not making")),
    }
}

/// Asks for a flight that has not started to be given back.
pub(super) fn recall(peer: &mut Peer, flight: &mut Flight) {
    if !flight.recall_sent {
        flight.recall_sent = true;
        // A message this short always fits.
        let _ = peer.say(&ToWorker::Recall { id: flight.id });
    }
}

/// Why two who say this to each other cannot work together.
pub(super) fn mismatch(hello: &Hello, expected: &Hello) -> String {
    if hello.protocol == VERSION && hello.version == expected.version {
        return format!("it serves the run {:?}, not {:?}", hello.run_id, expected.run_id);
    }
    format!(
        "it is jobrun {} with protocol {}, this is jobrun {} with protocol {VERSION}",
        hello.version, hello.protocol, expected.version
    )
}

/// What a message is called.
pub(super) fn word(message: &FromWorker) -> &'static str {
    match message {
        FromWorker::Hello(_) => "hello",
        FromWorker::Ready(_) => "ready",
        FromWorker::Started { .. } => "started",
        FromWorker::Done { .. } => "done",
        FromWorker::Recalled { .. } => "recalled",
    }
}
