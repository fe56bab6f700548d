//! What the guard passes on to the runner: signals that ask the run to stop, to pause or to go on. Knows
//! nothing of what the runner does then.

use rustix::process::{Pid, Signal, kill_process};

use super::signals::{Arrivals, News, Request};
use super::{sys, tree};

/// The way to a runner that has not been reaped, so that the pid is still its own.
pub(crate) struct Relay {
    runner: Pid,
    pause: Pause,
}

/// How far the guard is with a pause that it was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// There is none.
    Not,
    /// The runner was told, and has not stopped.
    Wanted,
    /// So it is, and meanwhile it was asked to go on.
    Revoked,
}

impl Relay {
    pub(crate) fn to(runner: Pid) -> Self {
        Self { runner, pause: Pause::Not }
    }

    /// Passes on what has arrived.
    pub(crate) fn pass_on(&mut self, news: &News) {
        self.ask(&news.requests);
        if news.pause && kill_process(self.runner, Signal::TSTP).is_ok() {
            self.pause = Pause::Wanted;
        }
        if news.go_on {
            match self.pause {
                Pause::Not => self.let_go_on(),
                // Once it has stopped: it may be about to.
                Pause::Wanted | Pause::Revoked => self.pause = Pause::Revoked,
            }
        }
    }

    /// Stops this process if the runner has stopped to pause, until somebody lets it go on.
    pub(crate) fn follow(&mut self, arrivals: &mut Arrivals) {
        if self.pause == Pause::Not || !tree::is_stopped(self.runner) {
            return;
        }
        if self.pause == Pause::Wanted {
            tree::stop_here();
        }
        self.pause = Pause::Not;
        // Whether to pause, or to go on, has been seen to.
        self.ask(&arrivals.look().requests);
        self.let_go_on();
    }

    fn ask(&self, requests: &[Request]) {
        for Request { signal, sender, .. } in requests {
            let queued = sys::pass_on(self.runner, *signal, *sender);
            if let (Err(_), Some(signal)) = (queued, Signal::from_named_raw(*signal)) {
                // There may be no room to queue one; a plain one needs none.
                let _ = kill_process(self.runner, signal);
            }
        }
    }

    fn let_go_on(&self) {
        let _ = kill_process(self.runner, Signal::CONT);
    }
}
