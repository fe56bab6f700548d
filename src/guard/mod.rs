//! The process that outlives a killed runner, and the runner's side of it. Knows nothing of jobs.
//!
//! The process the user sees becomes the guard and forks the runner, which does all the work and is
//! the parent of all children. Both are subreapers: whatever the children leave behind, however it
//! detached itself, comes to the runner, and when that has ended, to the guard. When one of the two
//! is killed, the other kills all that is left.
//!
//! Where the system allows it, the runner is born in a cgroup of its own, and a third process, the
//! *keeper*, waits outside it: if guard and runner are killed together, it ends all that are in the
//! cgroup. Without one, a run is contained by the two alone.
//!
//! The runner has a session of its own, so that a terminal's Ctrl-C, or a signal to the group that the
//! user's shell made, reaches the guard alone and is passed on once. That session has no terminal: what
//! a run starts can neither be stopped by one, nor take it away from the user, nor read or write it
//! unasked.
//!
//! Ctrl-Z pauses a run: the guard passes SIGTSTP on, the runner stops all below it and itself, then the
//! guard stops, which is what the user's shell waits for. SIGCONT takes the same way.

mod birth;
mod cage;
mod cgroup;
mod clone;
mod descriptors;
mod image;
mod keeper;
mod relay;
mod remains;
mod runner;
mod signals;
mod spawn;
mod sys;
mod tree;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, pidfd_open, set_child_subreaper,
    set_parent_process_death_signal, setsid,
};

pub use descriptors::separate;
pub use image::{Image, Limit, Refused, Step, Strings};
pub use remains::{Leftover, Remains};
pub use runner::{Containment, Runner, Told};
pub use signals::{describe_signal, signal_name};
pub use spawn::spawn;

use cage::Cage;
use relay::Relay;
use signals::Arrivals;
use sys::Mask;
use tree::Left;

/// How long what a run leaves behind may take to end by itself.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);

/// Set once, by [`split`]: what process this is does not change after that.
static IN_FORCE: OnceLock<Containment> = OnceLock::new();

/// What contains the processes that this process starts.
pub fn containment() -> Containment {
    IN_FORCE.get().copied().unwrap_or(Containment::Groups)
}

/// Which of the two processes returned from [`split`].
#[derive(Debug)]
pub enum Split {
    /// The one that is to do the work.
    Runner(Runner),
    /// The guard: all is over, and nothing is left but to say so and to exit.
    Over(Over),
}

/// How the runner ended, as its guard tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// The exit code: the runner's own, or 128 and the number of the signal that killed it.
    pub code: u8,
    /// What to say about that: only for a runner that could not say anything itself.
    pub message: Option<String>,
}

/// Splits this process in guard and runner. In the guard it returns only after the runner and
/// everything below it have ended.
///
/// It is called first thing in `main`, while there is one thread. If the system refuses, there is a
/// runner without a guard, which can say why.
pub fn split() -> Split {
    // With SIGCHLD ignored, as some parents leave it, children's exit codes would be lost.
    sys::set_default(libc::SIGCHLD);
    match fork() {
        Ok(Side::Guard(charge)) => Split::Over(charge.guard()),
        Ok(Side::Runner(runner)) => {
            // It is set for the first time: this process is new.
            let _ = IN_FORCE.set(runner.containment());
            prepare_runner();
            Split::Runner(runner)
        }
        Err(error) => {
            prepare_runner();
            Split::Runner(Runner::alone(format!("cannot start a guard process: {error}")))
        }
    }
}

enum Side {
    Guard(Charge),
    Runner(Runner),
}

/// What a guard has to guard.
struct Charge {
    runner: Pid,
    cage: Option<Cage>,
    /// The signals that were blocked before. Those that ask to stop are, until the guard catches them.
    mask: Mask,
}

fn fork() -> io::Result<Side> {
    // Opened before the fork, so that the runner notices a guard that died at once.
    let guard = pidfd_open(getpid(), PidfdFlags::empty())?;
    set_child_subreaper(Some(getpid()))?;
    // A signal that comes before the guard can pass it on waits until then: it must not end the guard,
    // and with it the run, while the runner is at work already.
    let mask = Mask::of(&signals::heeded()).block();
    let (forked, cage) = fork_caged(guard.as_fd());
    if !matches!(forked, Ok(Some(_))) {
        mask.restore();
    }
    if let Some(runner) = forked? {
        return Ok(Side::Guard(Charge { runner, cage, mask }));
    }
    // It fails for the leader of a group alone, which a new process is not.
    let _ = setsid();
    // A guard that dies while the run is paused could not be noticed.
    let _ = set_parent_process_death_signal(Some(Signal::CONT));
    Ok(Side::Runner(Runner::guarded(guard, cage)))
}

/// Forks, into a cage if the system allows one.
fn fork_caged(guard: BorrowedFd<'_>) -> (io::Result<Option<Pid>>, Option<Cage>) {
    if let Ok(cage) = Cage::build(guard) {
        match cage.fork() {
            Ok(forked) => return (Ok(forked), Some(cage)),
            Err(_) => cage.take_down(),
        }
    }
    (sys::fork(), None)
}

/// What holds for the runner and all its threads.
fn prepare_runner() {
    // A kernel that refuses leaves orphans to the guard.
    let _ = set_child_subreaper(Some(getpid()));
    // SIGCHLD is waited for by the main thread alone. SIGTTOU would stop a runner that has no guard, and
    // so has a terminal, when it writes to that from the background.
    Mask::of(&[libc::SIGCHLD, libc::SIGTTOU]).block();
    // A file that reaches the limit of its size gives an error, as a full disk does. A handler, not
    // `SIG_IGN`: children would inherit that.
    let _ = signal_hook::flag::register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

impl Charge {
    /// The guard's whole life.
    fn guard(&self) -> Over {
        let mut wanted = signals::heeded();
        wanted.extend([libc::SIGCONT, libc::SIGCHLD]);
        let caught = Arrivals::catch(&wanted);
        self.mask.restore();
        let Ok(mut arrivals) = caught else {
            // Without descriptors no signal can be passed on, but the runner's end can be awaited.
            let status = await_runner(self.runner);
            return self.finish(status, None);
        };
        let mut relay = Relay::to(self.runner);
        let mut status = None;
        loop {
            tree::reap_with(WaitOptions::NOHANG, |pid, ended| {
                if pid == self.runner {
                    status = Some(ended);
                }
            });
            if status.is_some() {
                return self.finish(status, Some(&mut arrivals));
            }
            relay.follow(&mut arrivals);
            wait_for(&arrivals, None);
            relay.pass_on(&arrivals.look());
        }
    }

    /// Ends what the runner left: at once if it was killed, else with a chance to end by itself.
    fn finish(&self, status: Option<WaitStatus>, arrivals: Option<&mut Arrivals>) -> Over {
        let code = status.and_then(WaitStatus::exit_status);
        let keeper = self.cage.as_ref().map(Cage::keeper);
        match (code, arrivals, &self.cage) {
            (Some(_), Some(arrivals), _) => end_gently(arrivals, keeper),
            // What the tree does not show, because it was moved, is in the cage, and the other way round.
            (None, _, Some(cage)) => cage.kill(),
            _ => {}
        }
        let immortal = tree::kill_all(keeper);
        if let Some(cage) = &self.cage {
            cage.take_down();
        }
        let signal = status.and_then(WaitStatus::terminating_signal).unwrap_or(libc::SIGKILL);
        let mut messages = Vec::new();
        // A signal that asks to stop can come before the runner catches it; that needs no words.
        if code.is_none() && !signals::STOP.contains(&signal) {
            let how = describe_signal(signal);
            messages.push(format!("the runner was killed by {how}; so was all it had started"));
        }
        if immortal > 0 {
            messages.push(format!("{immortal} processes of this run could not be killed"));
        }
        Over {
            code: code.unwrap_or(128 + signal) as u8,
            message: (!messages.is_empty()).then(|| messages.join("; ")),
        }
    }
}

fn await_runner(runner: Pid) -> Option<WaitStatus> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == runner => return Some(status),
            Err(error) if error != rustix::io::Errno::INTR => return None,
            _ => {}
        }
    }
}

/// Asks what is left to end, and waits for it a short time, or until somebody is impatient.
fn end_gently(arrivals: &mut Arrivals, spared: Option<Pid>) {
    if tree::reap() == Left::Nothing {
        return;
    }
    tree::terminate(tree::descendants(spared));
    let deadline = Instant::now() + LEFTOVER_GRACE;
    while tree::reap() == Left::Something {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        wait_for(arrivals, Some(left));
        if !arrivals.look().requests.is_empty() {
            return;
        }
    }
}

/// Waits for a signal, no longer than `timeout`.
fn wait_for(arrivals: &Arrivals, timeout: Option<Duration>) {
    let timeout = timeout.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(left.subsec_nanos()),
    });
    // Interrupted or not: whoever called looks at what there is.
    let _ = poll(&mut [PollFd::new(arrivals.descriptor(), PollFlags::IN)], timeout.as_ref());
}
