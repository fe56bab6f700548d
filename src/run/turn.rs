//! The wait for the turn of a run, where a job wants one run at a time. Knows nothing of how turns are
//! taken.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::process;
use std::sync::mpsc;

use crate::graph::Concurrency;
use crate::guard::{self, Containment};
use crate::inbox::Inbox;
use crate::job::Job;
use crate::lock::{self, Holder, Lock, OnBusy};
use crate::run::Facts;
use crate::rundir::State;
use crate::work::Notice;

/// What came of the wait.
#[derive(Debug)]
pub(super) enum Turn {
    /// The run may begin. It holds the lock to its end, if there is one.
    Come { _lock: Option<Lock> },
    /// This signal came first.
    Stopped(i32),
}

impl Turn {
    /// The signal that came first.
    pub(super) fn stopped(&self) -> Option<i32> {
        match self {
            Self::Come { .. } => None,
            Self::Stopped(signal) => Some(*signal),
        }
    }
}

/// Returns when the run may begin, or when a notice asks it to stop. `on_wait` hears whom it waits for.
pub(super) fn take(
    job: &Job,
    facts: &Facts,
    inbox: &mut Inbox<Notice>,
    on_busy: OnBusy,
    on_wait: impl FnOnce(&Holder),
) -> io::Result<Turn> {
    if job.concurrency == Concurrency::Any || on_busy == OnBusy::Ignore {
        return Ok(Turn::Come { _lock: None });
    }
    let us = Holder::new(&facts.run_id, process_of_user());
    let name = facts.masker.text(&job.name);
    // A job of no file is told from others by its folder.
    let file = job.origin.manifest.as_deref().filter(|file| *file != "-").map(Path::new);
    let place = file.unwrap_or(&job.origin.dir);
    let queue = match lock::take(&State::of_environment(), &name, place, us)? {
        lock::Turn::Ours(lock) => return Ok(Turn::Come { _lock: Some(lock) }),
        lock::Turn::Theirs(queue) => queue,
    };
    if on_busy == OnBusy::Refuse {
        let message = format!(
            "{} of this job is under way; --lock wait waits for its end, --lock ignore runs beside it",
            queue.holder()
        );
        return Err(io::Error::new(ErrorKind::ResourceBusy, message));
    }
    on_wait(queue.holder());
    let (lock, coming) = mpsc::channel();
    let notices = inbox.sender();
    queue.wait(move |turn| {
        // If nobody waits any more, this drops the lock.
        let _ = lock.send(turn);
        notices.send(Notice::Turn);
    })?;
    loop {
        match inbox.next(None) {
            Some(Notice::Signal(signal)) => return Ok(Turn::Stopped(signal)),
            _ => {
                if let Ok(turn) = coming.try_recv() {
                    return turn.map(|lock| Turn::Come { _lock: Some(lock) });
                }
            }
        }
    }
}

/// The process that a user would look for, or end: the guard, if there is one.
fn process_of_user() -> u32 {
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    match guard::containment() {
        Containment::Groups => process::id(),
        _ => parent.unwrap_or_else(process::id),
    }
}
