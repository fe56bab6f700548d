//! The tokens of one jobserver: taken, waited for, given back as they were. Knows neither who needs
//! them nor what else is asked of a start.
//!
//! A jobserver is a pipe with a byte for each token. It belongs to other processes too, so it is
//! opened once more: the flags that are set here are not theirs. Nothing blocks in a read, so that no
//! token can be stuck with somebody who does not need it any more; a thread waits until there is
//! something to read, and says so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::ioctl_fionread;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::executor::admission::makeflags::Address;
use crate::inbox::Sender;
use crate::work::Notice;

/// What a token of ours looks like; make's look the same.
const TOKEN: u8 = b'+';

/// The tokens of one jobserver. Dropping it gives back what was taken.
pub(super) struct Tokens {
    read: File,
    write: File,
    /// The tokens in hand, as they were read.
    taken: Vec<u8>,
    /// How many were handed out; one more than are in hand, since each client of a jobserver may
    /// always run one.
    out: u32,
    /// If this is a jobserver of our own.
    own: Option<Own>,
    watch: Option<Watch>,
}

/// What there is to a jobserver of our own.
struct Own {
    /// How many tokens there are.
    size: usize,
    /// The ends of the pipe that children inherit.
    ends: Arc<[OwnedFd]>,
}

/// The thread that waits for tokens. It ends when this is dropped.
struct Watch {
    /// Whether it waits, or has said that there is something and was not heard yet.
    is_on: bool,
    requests: SyncSender<()>,
    _running: io::PipeWriter,
}

impl Tokens {
    /// The tokens of the jobserver that made us its client.
    ///
    /// # Errors
    /// If there is none at this address.
    pub(super) fn of(address: &Address) -> io::Result<Self> {
        match address {
            Address::Fifo(path) => {
                let file = open(&path.to_string_lossy(), true, true)?;
                Ok(Self::new(file.try_clone()?, file, None))
            }
            Address::Pipe(read, write) => {
                check_inherited(*read)?;
                check_inherited(*write)?;
                Self::reopened(*read, *write, None)
            }
            Address::Unusable(text) => {
                let message = format!("`--jobserver-auth={text}` names none");
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        }
    }

    /// A jobserver of our own that lets so many run at once.
    ///
    /// It is a pipe whose ends children inherit, for that is what every make and cargo can use; a named
    /// pipe would be of use to make from 4.4 on alone.
    ///
    /// # Errors
    /// If the system has no pipe to give.
    pub(super) fn serve(workers: u32) -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let [from, to] = [&read, &write].map(|end| end.as_raw_fd().unsigned_abs());
        let own = Own { size: workers.saturating_sub(1) as usize, ends: [read, write].into() };
        let mut tokens = Self::reopened(from, to, Some(own))?;
        tokens.refill();
        Ok(tokens)
    }

    fn reopened(read: u32, write: u32, own: Option<Own>) -> io::Result<Self> {
        let path = |fd: u32| format!("/proc/self/fd/{fd}");
        Ok(Self::new(open(&path(read), true, false)?, open(&path(write), false, true)?, own))
    }

    fn new(read: File, write: File, own: Option<Own>) -> Self {
        Self { read, write, taken: Vec::new(), out: 0, own, watch: None }
    }

    /// What children inherit of a jobserver of our own.
    pub(super) fn ends(&self) -> Option<&Arc<[OwnedFd]>> {
        self.own.as_ref().map(|own| &own.ends)
    }

    /// Takes a token if there is one.
    pub(super) fn take(&mut self) -> bool {
        let mut byte = [0];
        let is_there = self.out as usize <= self.taken.len()
            || matches!((&self.read).read(&mut byte), Ok(1)) && {
                self.taken.push(byte[0]);
                true
            };
        self.out += u32::from(is_there);
        is_there
    }

    /// Gives a token back. The one that needs none is kept to the last.
    pub(super) fn give_back(&mut self) {
        self.out = self.out.saturating_sub(1);
        while self.taken.len() > self.out.saturating_sub(1) as usize {
            self.return_last();
        }
        // A child that was killed may have taken its tokens along.
        if self.out == 0 {
            self.refill();
        }
    }

    /// Sends a notice of this `jobserver`, once, when there may be a token to take. Without a thread to
    /// be had, it is silent: tokens are then found when something ends.
    pub(super) fn call_when_there(&mut self, jobserver: usize, notices: &Sender<Notice>) {
        if self.watch.is_none() {
            self.watch = self.start_watch(jobserver, notices.apart()).ok();
        }
        if let Some(watch) = self.watch.as_mut().filter(|watch| !watch.is_on) {
            watch.is_on = watch.requests.try_send(()).is_ok();
        }
    }

    /// It called, and that was noticed.
    pub(super) fn heard(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.is_on = false;
        }
    }

    fn start_watch(&self, jobserver: usize, notices: Sender<Notice>) -> io::Result<Watch> {
        let (requests, requested) = sync_channel(1);
        let (ended, running) = io::pipe()?;
        let tokens = self.read.try_clone()?;
        thread::Builder::new().name("jobrun-tokens".to_owned()).spawn(move || {
            let _will = notices.will(Notice::Collapsed { thread: "jobrun-tokens".to_owned() });
            watch(&requested, &tokens, &ended, || notices.send(Notice::Token { jobserver }));
        })?;
        Ok(Watch { is_on: false, requests, _running: running })
    }

    fn return_last(&mut self) {
        if let Some(byte) = self.taken.pop() {
            // It was taken out of this pipe, so there is room for it.
            let _ = self.write.write_all(&[byte]);
        }
    }

    /// Makes the tokens of our own as many as they should be while nobody has any.
    fn refill(&mut self) {
        let Some(own) = &self.own else { return };
        let there = ioctl_fionread(&self.read).map_or(own.size, |bytes| bytes as usize);
        // Where a pipe of this size is not to be had, there are fewer tokens, and nothing else is wrong.
        let _ = self.write.write_all(&vec![TOKEN; own.size.saturating_sub(there)]);
        let mut surplus = vec![0; there.saturating_sub(own.size)];
        let _ = self.read.read(&mut surplus);
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        while !self.taken.is_empty() {
            self.return_last();
        }
    }
}

/// Calls once for each request, when there is something to read.
fn watch(requested: &Receiver<()>, tokens: &File, ended: &io::PipeReader, call: impl Fn()) {
    for () in requested {
        let mut fds = [PollFd::new(tokens, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
        while poll(&mut fds, None).is_err() {}
        if !fds[1].revents().is_empty() || !fds[0].revents().contains(PollFlags::IN) {
            return;
        }
        call();
    }
}

/// Opens a pipe by a path of its own, without waiting for the other side.
fn open(path: &str, read: bool, write: bool) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(read).write(write).custom_flags(flags).open(path);
    let file = file.map_err(|error| named(path, &error.to_string()))?;
    if file.metadata()?.file_type().is_fifo() {
        Ok(file)
    } else {
        Err(named(path, "is not a pipe"))
    }
}

/// A descriptor of that number may be one that we have opened since: those are closed on exec, so
/// they cannot have been inherited.
fn check_inherited(fd: u32) -> io::Result<()> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"));
    let info = info.map_err(|_| io::Error::other(format!("the descriptor {fd} is not open")))?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    let cloexec = rustix::fs::OFlags::CLOEXEC.bits();
    if flags.is_some_and(|flags| flags & cloexec == 0) {
        Ok(())
    } else {
        Err(io::Error::other(format!("the descriptor {fd} was not inherited")))
    }
}

fn named(path: &str, why: &str) -> io::Error {
    io::Error::other(format!("{path}: {why}"))
}
