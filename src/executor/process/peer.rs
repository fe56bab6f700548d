//! The conversation with one worker process: bytes out, messages in, neither of which ever blocks.
//! Knows nothing of what the messages are about.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::executor::process::spawn::{End, Process, WorkerProgram};
use crate::executor::protocol::{Decoder, FromWorker, Message, ProtocolError, ToWorker};
use crate::supervise::Headroom;
use crate::sync::Bell;

/// How long a worker that was asked to end may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a worker that has closed its stream may take to end.
const LAST_BREATH: Duration = Duration::from_millis(500);

/// So much of what a worker wrote last is kept, in bytes.
const LAST_WORDS: usize = 1024;

/// A worker process and the streams to it.
pub(super) struct Peer {
    process: Process,
    out: Vec<u8>,
    /// How much of `out` was written.
    written: usize,
    decoder: Decoder,
    output_open: bool,
    errors_open: bool,
    last_words: Vec<u8>,
    /// Where bytes are read to.
    buffer: Box<[u8]>,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ready {
    /// The worker said something, or closed its stream.
    pub(super) output: bool,
    /// The worker wrote to standard error.
    pub(super) errors: bool,
    /// The worker ended.
    pub(super) end: bool,
}

impl Peer {
    pub(super) fn start(program: &WorkerProgram, headroom: &Headroom) -> io::Result<Self> {
        Ok(Self {
            process: Process::start(program, headroom)?,
            out: Vec::new(),
            written: 0,
            decoder: Decoder::default(),
            output_open: true,
            errors_open: true,
            last_words: Vec::new(),
            buffer: vec![0; 16 << 10].into(),
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Puts a message into the outbox.
    pub(super) fn say(&mut self, message: &ToWorker<'_>) -> Result<(), ProtocolError> {
        message.encode(&mut self.out)
    }

    /// Writes what the pipe takes. What a dead worker does not take is of no interest: its end will
    /// be noticed.
    pub(super) fn flush(&mut self) {
        while let Some(input) = &self.process.input
            && self.written < self.out.len()
        {
            match rustix::io::write(input, &self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => self.process.input = None,
            }
        }
        self.out.clear();
        self.written = 0;
    }

    /// Reads what is there. Gives whether anything came.
    pub(super) fn read_output(&mut self) -> bool {
        let decoder = &mut self.decoder;
        let take = |bytes: &[u8]| decoder.feed(bytes);
        let (any, open) = read_all(&self.process.output, &mut self.buffer, take);
        if !open {
            // Nothing more will be heard of it, so it is of no use, whatever it still does. Most
            // likely it is about to end, and how it does so is worth knowing.
            self.output_open = false;
            self.wait_for_end(LAST_BREATH);
            self.kill();
        }
        any
    }

    /// The next message that has come.
    pub(super) fn next_message(&mut self) -> Result<Option<FromWorker>, ProtocolError> {
        self.decoder.next_message()
    }

    /// Whether it stopped in the middle of a message.
    pub(super) fn is_halfway(&self) -> bool {
        self.decoder.is_halfway()
    }

    /// Gives what is there on standard error.
    pub(super) fn read_errors(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let take = |bytes: &[u8]| all.extend_from_slice(bytes);
        let (_, open) = read_all(&self.process.errors, &mut self.buffer, take);
        self.errors_open = open;
        self.last_words.extend_from_slice(&all);
        let surplus = self.last_words.len().saturating_sub(LAST_WORDS);
        self.last_words.drain(..surplus);
        all
    }

    /// What it wrote last to standard error, in one line, to be put at the end of a sentence.
    pub(super) fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(&self.last_words);
        let mut lines: Vec<_> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        let surplus = lines.len().saturating_sub(3);
        lines.drain(..surplus);
        if lines.is_empty() {
            String::new()
        } else {
            format!("; its last words: {}", lines.join(" | "))
        }
    }

    /// Waits until there is something to do here or the bell rings.
    pub(super) fn wait(&self, bell: &Bell, timeout: Option<Duration>) -> Ready {
        let mut fds = Vec::with_capacity(5);
        fds.push(PollFd::new(bell, PollFlags::IN));
        fds.push(PollFd::new(&self.process.end, PollFlags::IN));
        // Output comes before errors: what a call printed was written before its end was told, so
        // when the end is seen here, the print is seen too.
        if self.output_open {
            fds.push(PollFd::new(&self.process.output, PollFlags::IN));
        }
        if self.errors_open {
            fds.push(PollFd::new(&self.process.errors, PollFlags::IN));
        }
        if let Some(input) = &self.process.input
            && self.written < self.out.len()
        {
            fds.push(PollFd::new(input, PollFlags::OUT));
        }
        if poll_for(&mut fds, timeout).is_err() {
            return Ready::default();
        }
        let came = |place: usize| fds.get(place).is_some_and(|fd| !fd.revents().is_empty());
        if came(0) {
            bell.hush();
        }
        Ready {
            end: came(1),
            output: self.output_open && came(2),
            errors: self.errors_open && came(2 + usize::from(self.output_open)),
        }
    }

    /// Kills it and what it started.
    pub(super) fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits for the end of a worker that has ended or shall end now, and kills what it left behind.
    pub(super) fn bury(self) -> End {
        self.process.bury()
    }

    /// Lets an idle worker end by itself, and waits for that, but not for ever.
    pub(super) fn dismiss(mut self) {
        self.process.input = None;
        self.wait_for_end(FAREWELL);
        self.bury();
    }

    fn wait_for_end(&self, limit: Duration) {
        let _ = poll_for(&mut [PollFd::new(&self.process.end, PollFlags::IN)], Some(limit));
    }
}

/// Waits for the bell alone, or for so long.
pub(super) fn wait_for(bell: &Bell, timeout: Option<Duration>) {
    let _ = poll_for(&mut [PollFd::new(bell, PollFlags::IN)], timeout);
    bell.hush();
}

fn poll_for(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> rustix::io::Result<usize> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    poll(fds, timeout.as_ref())
}

/// Reads until there is nothing more for now. Gives whether anything came and whether more may.
fn read_all(fd: impl AsFd, buffer: &mut [u8], mut take: impl FnMut(&[u8])) -> (bool, bool) {
    let mut any = false;
    loop {
        match rustix::io::read(&fd, &mut *buffer) {
            Ok(0) => return (any, false),
            Ok(count) => {
                any = true;
                take(&buffer[..count]);
                if count < buffer.len() {
                    return (any, true);
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return (any, true),
            Err(_) => return (any, false),
        }
    }
}
