//! Observers: everything that shows or writes down what happens in a run. They see events and the
//! ledger; they know nothing of executors or the schedule.

pub mod console;
pub mod events;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod spans;
pub mod trace;

use std::io;
use std::time::SystemTime;

use crate::event::Stamped;
use crate::job::Job;
use crate::ledger::Ledger;

/// What observers may read besides the event.
#[derive(Clone, Copy, Debug)]
pub struct RunView<'a> {
    /// What is run.
    pub job: &'a Job,
    /// What is known so far.
    pub ledger: &'a Ledger,
    /// The id of the run.
    pub run_id: &'a str,
    /// When the run started, by the wall clock.
    pub started_at: SystemTime,
}

/// Somebody who is told what happens. Called on the driver's thread: an observer that could be slow
/// must bring a thread of its own.
pub trait Observer {
    /// One event. An error is noted as a failure of jobrun itself (exit code 4) and the observer is
    /// not called again.
    fn observe(&mut self, event: &Stamped, run: &RunView<'_>) -> io::Result<()>;

    /// Whether [`Event::Output`](crate::event::Event::Output) is wanted.
    fn wants_output(&self) -> bool {
        false
    }
}
