//! What a slot has to tell: notices for the driver and attempts for the queue, kept until both can
//! be told at once. Knows nothing of workers.

use std::mem;
use std::time::Duration;

use crate::executor::pool::{Attempt, Executor};
use crate::executor::process::flight::Flight;
use crate::executor::process::spawn::End;
use crate::outcome::{Captured, Outcome, Stream};
use crate::rundir::RunDir;
use crate::time::Time;
use crate::work::{ChildDone, Done, Notice};

/// What happened and was not told yet.
#[derive(Default)]
pub(super) struct Books {
    /// The slot's worker number, while it has something.
    pub(super) number: Option<u32>,
    /// Attempts that did not start, to be put back into the queue.
    pub(super) returned: Vec<Attempt>,
    /// What the driver will be told, in the order it happened.
    pub(super) notices: Vec<Notice>,
}

impl Books {
    pub(super) fn are_empty(&self) -> bool {
        self.returned.is_empty() && self.notices.is_empty()
    }

    /// An attempt began.
    pub(super) fn started(&mut self, flight: &mut Flight, at: Time) {
        if flight.attempt.announce {
            self.announce(flight, at);
        }
    }

    /// Tells of a start, once.
    fn announce(&mut self, flight: &mut Flight, at: Time) {
        if !mem::replace(&mut flight.announced, true) {
            let worker = self.number.unwrap_or_default();
            let Attempt { node, number: attempt, .. } = flight.attempt;
            self.notices.push(Notice::Started { node, attempt, worker, at });
        }
    }

    /// A running attempt wrote to standard error.
    pub(super) fn wrote(
        &mut self,
        flight: &mut Flight,
        bytes: Vec<u8>,
        executor: &Executor,
        files: &RunDir,
    ) {
        let Attempt { node, number, live, .. } = flight.attempt;
        let name = || format!("{}-{number}.stderr", (executor.names)(node));
        flight.errors.push(&bytes, files, name);
        if live {
            // It is read before what the worker says of its start, and nobody may want to hear of that.
            self.announce(flight, flight.started.unwrap_or(flight.sent));
            let (stream, bytes) = (Stream::Stderr, bytes.into());
            self.notices.push(Notice::Output { node, stream, bytes });
        }
    }

    /// An attempt ended: after it had run for so long, or with its worker's `end`.
    pub(super) fn ended(
        &mut self,
        flight: Flight,
        took: Option<Duration>,
        ended: Time,
        outcome: Outcome,
        end: Option<End>,
    ) {
        let ended = ended.max(flight.sent);
        let earliest = flight.started.unwrap_or(flight.sent);
        let started = took.map_or(earliest, |took| {
            Time(ended.0.saturating_sub(took.as_nanos() as u64)).max(earliest)
        });
        let stderr = flight.errors.finish();
        let child = (stderr.bytes > 0 || end.is_some()).then(|| {
            Box::new(ChildDone {
                leaked: false,
                exit_code: end.and_then(End::code),
                signal: end.and_then(End::signal),
                stdout: Captured::default(),
                stderr,
            })
        });
        let Attempt { node, number: attempt, .. } = flight.attempt;
        let worker = self.number.unwrap_or_default();
        let done = Done { node, attempt, worker, started, ended, outcome, child };
        self.notices.push(Notice::Ended(done));
    }

    /// An attempt that did not start was to be stopped.
    pub(super) fn recalled(&mut self, attempt: &Attempt) {
        self.notices.push(Notice::Recalled { node: attempt.node, attempt: attempt.number });
    }

    pub(super) fn warn(&mut self, message: String) {
        self.notices.push(Notice::Warning(message));
    }
}
