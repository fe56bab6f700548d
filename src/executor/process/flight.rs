//! A worker process as its slot sees it, and the attempts that it has. Knows nothing of the queue.

use std::sync::Arc;
use std::time::Duration;

use crate::executor::pool::Attempt;
use crate::executor::process::peer::Peer;
use crate::executor::protocol::{FromWorker, Hello, ToWorker, VERSION};
use crate::supervise::Capture;
use crate::time::Time;
use crate::work::Stop;

/// A worker process, and how far it is.
pub(super) struct Worker {
    pub(super) peer: Peer,
    /// Held as long as it lives.
    _tally: Option<Arc<()>>,
    pub(super) stage: Stage,
    /// How many calls it was given and did not give back.
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
    pub(super) heard: Time,
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

/// An attempt that a worker was asked for.
pub(super) struct Flight {
    pub(super) attempt: Attempt,
    pub(super) id: u64,
    /// Whether others may be sent behind it. If not, it was sent to an idle worker, starts at once,
    /// and the worker need not say so. If so, the worker says that it starts before it does.
    pub(super) ahead: bool,
    pub(super) sent: Time,
    pub(super) started: Option<Time>,
    pub(super) recall_sent: bool,
    pub(super) stop: Option<Stop>,
    pub(super) errors: Capture,
    /// Whether the driver was told that it started.
    pub(super) announced: bool,
}

impl Flight {
    pub(super) fn new(attempt: Attempt, id: u64, ahead: bool, sent: Time) -> Self {
        Self {
            attempt,
            id,
            ahead,
            sent,
            started: None,
            recall_sent: false,
            stop: None,
            errors: Capture::default(),
            announced: false,
        }
    }

    /// Whether it may have started: of one that is first in its worker, that is exact.
    pub(super) fn has_started(&self) -> bool {
        !self.ahead || self.started.is_some()
    }

    /// Whether its end was asked for, should it run.
    pub(super) fn is_unwanted(&self) -> bool {
        matches!(self.stop, Some(Stop::Stop | Stop::Kill))
    }

    /// Asks for it to be given back if it has not started.
    pub(super) fn recall(&mut self, peer: &mut Peer) {
        if !self.recall_sent {
            self.recall_sent = true;
            // A message this short always fits.
            let _ = peer.say(&ToWorker::Recall { id: self.id });
        }
    }
}

impl Worker {
    pub(super) fn new(peer: Peer, tally: Option<Arc<()>>, now: Time) -> Self {
        Self {
            peer,
            _tally: tally,
            stage: Stage::Greeting,
            calls: 0,
            chatty: false,
            condemned: false,
            offset: None,
            heard: now,
        }
    }

    pub(super) fn is_serving(&self) -> bool {
        self.stage == Stage::Serving
    }

    pub(super) fn condemn(&mut self) {
        self.condemned = true;
        self.peer.kill();
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
