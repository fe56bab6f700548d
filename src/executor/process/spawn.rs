//! The process of a worker: started, ended, its end described. Knows nothing of what is said to it.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::io::ioctl_fionbio;

use crate::executor::worker::ARGUMENT;
use crate::supervise::{self, Headroom, OomWatch, Worker, describe_exit, spawn_worker};

/// The program that worker processes run. It calls
/// [`serve_if_asked`](crate::executor::worker::serve_if_asked).
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    /// Its path.
    pub program: PathBuf,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
}

impl WorkerProgram {
    /// A program that serves functions itself.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: vec![ARGUMENT.into()] }
    }
}

/// This program itself.
impl Default for WorkerProgram {
    fn default() -> Self {
        // A program whose file was replaced while it runs is still to be had from the kernel.
        let program = std::env::current_exe().ok().filter(|path| path.exists());
        Self::at(program.unwrap_or_else(|| Path::new("/proc/self/exe").to_owned()))
    }
}

/// A running worker process, with streams that never block.
pub(super) struct Process {
    worker: supervise::Process,
    /// What it reads; `None` once that is closed.
    pub(super) input: Option<OwnedFd>,
    pub(super) output: OwnedFd,
    pub(super) errors: OwnedFd,
    /// Readable once it has ended.
    pub(super) end: OwnedFd,
}

impl Process {
    /// Starts the program in a process group of its own.
    pub(super) fn start(program: &WorkerProgram, headroom: &Headroom) -> io::Result<Self> {
        let Worker { mut process, end, stdin, stdout, stderr } =
            spawn_worker(&program.program, &program.args, headroom)?;
        match prepare(end, [&stdin, &stdout, &stderr]) {
            Ok(end) => Ok(Self {
                worker: process,
                input: Some(stdin),
                output: stdout,
                errors: stderr,
                end,
            }),
            Err(error) => {
                process.signal(libc::SIGKILL);
                let _ = process.wait();
                Err(error)
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.worker.id()
    }

    /// Kills it and what it started. Its number is its own until [`bury`](Self::bury).
    pub(super) fn kill(&mut self) {
        self.worker.signal(libc::SIGKILL);
    }

    /// Waits for its end, and kills what it left behind.
    pub(super) fn bury(mut self) -> End {
        self.kill();
        End { status: self.worker.wait().ok(), out_of_memory: false }
    }
}

fn prepare(end: Option<OwnedFd>, streams: [&OwnedFd; 3]) -> io::Result<OwnedFd> {
    for stream in streams {
        ioctl_fionbio(stream, true)?;
    }
    end.ok_or_else(|| io::Error::other("this system cannot tell when a process ends"))
}

/// How a worker ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// `None` if somebody else took it.
    status: Option<ExitStatus>,
    out_of_memory: bool,
}

impl End {
    pub(super) fn code(self) -> Option<i32> {
        self.status?.code()
    }

    pub(super) fn signal(self) -> Option<i32> {
        self.status?.signal()
    }

    /// Finds out whether it was for want of memory; of one that we have not killed ourselves.
    pub(super) fn ask(&mut self, oom: &OomWatch) {
        self.out_of_memory = self.signal() == Some(libc::SIGKILL) && oom.has_killed();
    }
}

/// As it goes after the name of the worker.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, self.code()) {
            (_, Some(code)) => write!(f, "terminated abruptly with exit code {code}")?,
            (Some(status), None) => f.write_str(&describe_exit(status))?,
            (None, None) => f.write_str("ended in a way that is not known")?,
        }
        if self.out_of_memory { f.write_str(" for want of memory") } else { Ok(()) }
    }
}
