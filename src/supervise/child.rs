//! One child that runs: its streams, its phase, its end. Knows nothing of other children.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll;
use rustix::io::Errno;

use crate::guard::{self, Containment};
use crate::outcome::Stream;
use crate::rundir::RunDir;
use crate::supervise::capture::Capture;
use crate::supervise::cgroup::Cell;
use crate::supervise::end::{ChildEnd, How};
use crate::supervise::message::{ChildEvent, Patron, Request};
use crate::supervise::oom::OomWatch;
use crate::supervise::process::Process;
use crate::supervise::spawn::Spawned;
use crate::time::{Clock, Time};
use crate::work::{ChildDone, Leak, Limits, ResultKind};

/// A stream that still has more after so many reads lets others go first.
const READS_AT_ONCE: usize = 16;

/// A child that was spawned and has not been reaped.
pub(crate) struct Child {
    pub(crate) key: u64,
    name: String,
    process: Process,
    /// Until its process has ended.
    pub(crate) pidfd: Option<OwnedFd>,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    pub(crate) live: bool,
    /// Whether its streams are watched, so that they are read before it ends.
    pub(crate) watched: bool,
    pub(crate) started: Time,
    pub(crate) exited: Option<Time>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) phase: Phase,
    pub(crate) stopped: Option<Stopped>,
    /// While running: its timeout. While stopping: the end of its grace. After its exit: when its
    /// streams are given up.
    pub(crate) deadline: Option<Time>,
    pub(crate) leaked: bool,
    ok_exit: Arc<[i32]>,
    result: ResultKind,
    leak: Leak,
    limits: Option<Arc<Limits>>,
    cell: Option<Cell>,
}

/// One of its streams.
pub(crate) struct Output {
    /// Until it has ended.
    pub(crate) fd: Option<OwnedFd>,
    capture: Capture,
}

/// How far its end has been brought about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not at all.
    Running,
    /// Its group was sent SIGTERM.
    Stopping,
    /// Its group was sent SIGKILL.
    Killed,
}

/// Why it was stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    ByTimeout,
    ByRequest,
}

/// Whether there is anything to wait for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Its process runs or its streams are open.
    Going,
    /// Its process has ended and both streams were read to the end.
    Complete,
}

impl Child {
    pub(crate) fn new(request: Request, spawned: Spawned, started: Time) -> Self {
        let output = |fd, capture| Output { fd: Some(fd), capture };
        let result = request.command.result;
        Self {
            key: request.key,
            name: request.name,
            process: spawned.process,
            pidfd: spawned.pidfd,
            stdout: output(spawned.stdout, Capture::of_result(result)),
            stderr: output(spawned.stderr, Capture::default()),
            live: request.live,
            watched: false,
            started,
            exited: None,
            timeout: request.timeout,
            grace: request.grace,
            phase: Phase::Running,
            stopped: None,
            deadline: None,
            leaked: false,
            ok_exit: request.command.ok_exit,
            result,
            leak: request.command.leak,
            limits: request.command.limits,
            cell: spawned.cell,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn progress(&self) -> Progress {
        let open = self.stdout.fd.is_some() || self.stderr.fd.is_some();
        if open || self.exited.is_none() { Progress::Going } else { Progress::Complete }
    }

    /// Whether its process has ended, though nobody may have heard of that.
    pub(crate) fn has_ended(&self) -> bool {
        self.process.has_ended()
    }

    /// Sends a signal to its whole group. It has not been reaped, so the group is still its own.
    pub(crate) fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// Reads what a stream has to say. At its end it is taken out of `epoll` before it is closed:
    /// a child that is just being spawned may still hold a copy.
    pub(crate) fn read(
        &mut self,
        stream: Stream,
        buffer: &mut [u8],
        epoll: BorrowedFd<'_>,
        files: &RunDir,
        patron: &dyn Patron,
    ) {
        let (output, suffix) = match stream {
            Stream::Stdout => (&mut self.stdout, "stdout"),
            Stream::Stderr => (&mut self.stderr, "stderr"),
        };
        for _ in 0..READS_AT_ONCE {
            let Some(fd) = &output.fd else { return };
            let data = match rustix::io::read(fd, &mut *buffer) {
                Ok(count) if count > 0 => &buffer[..count],
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => continue,
                Ok(_) | Err(_) => {
                    if self.watched {
                        let _ = epoll::delete(epoll, fd);
                    }
                    output.fd = None;
                    return;
                }
            };
            let name = || format!("{}.{suffix}", self.name);
            output.capture.push(data, files, name);
            if self.live {
                let bytes = data.into();
                let _ = patron.tell(self.key, ChildEvent::Output { stream, bytes });
            }
            if data.len() < buffer.len() && self.exited.is_none() {
                // Nothing more for now; if there is, epoll says so.
                return;
            }
        }
    }

    /// Reaps it and says how it ended. Its process has ended. What is left of its group is killed before
    /// that, unless it may live on: once its leader is reaped, its number may become another's.
    pub(crate) fn finish(
        mut self,
        epoll: BorrowedFd<'_>,
        clock: Clock,
        oom: Option<&OomWatch>,
    ) -> ChildEnd {
        if !self.may_leave() {
            self.signal(libc::SIGKILL);
        }
        let open = [&self.stdout.fd, &self.stderr.fd].into_iter().flatten();
        for fd in open.filter(|_| self.watched) {
            let _ = epoll::delete(epoll, fd);
        }
        let status = self.process.wait();
        let how = match (self.stopped, self.timeout, &status) {
            (Some(Stopped::ByRequest), ..) => How::Stopped,
            (Some(Stopped::ByTimeout), limit, _) => How::TimedOut(limit.unwrap_or_default()),
            (None, _, Ok(status)) => How::Ended(*status),
            (None, _, Err(error)) => How::Lost(lost(error)),
        };
        let out_of_memory = matches!(how, How::Ended(status) if self.is_out_of_memory(status, oom));
        let status = status.ok();
        let (stdout, original) = self.stdout.capture.finish_with_original();
        ChildEnd {
            started: self.started,
            ended: self.exited.unwrap_or_else(|| clock.now()),
            how,
            child: Box::new(ChildDone {
                leaked: self.leaked,
                exit_code: status.and_then(|status| status.code()),
                signal: status.and_then(|status| status.signal()),
                stdout,
                stderr: self.stderr.capture.finish(),
            }),
            original: original.map(Arc::new),
            ok_exit: self.ok_exit,
            result: self.result,
            leak: self.leak,
            limits: self.limits,
            out_of_memory,
        }
    }

    /// Whether it ended for want of memory: by itself, or because something was killed that it needed.
    fn is_out_of_memory(&self, status: ExitStatus, oom: Option<&OomWatch>) -> bool {
        if status.code().is_some_and(|code| self.ok_exit.contains(&code)) {
            return false;
        }
        match self.cell.as_ref().and_then(Cell::killed) {
            Some(killed) => killed > 0,
            None => was_killed(status) && oom.is_some_and(OomWatch::has_killed),
        }
    }

    /// Whether processes of its group may outlive it: somebody must be there to end them with the run.
    fn may_leave(&self) -> bool {
        let ended_by_itself = self.stopped.is_none();
        self.leak == Leak::Warn && ended_by_itself && guard::containment() != Containment::Groups
    }
}

/// Whether SIGKILL ended a process, or what was the last thing that a shell ran.
fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(libc::SIGKILL) || status.code() == Some(128 + libc::SIGKILL)
}

fn lost(error: &io::Error) -> String {
    format!("its exit code is not known: {error}")
}
