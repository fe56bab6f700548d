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
use crate::guard::describe_signal;
use crate::supervise::{self, Worker, spawn_worker};

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
    pub(super) fn start(program: &WorkerProgram) -> io::Result<Self> {
        let Worker { mut process, end, stdin, stdout, stderr } =
            spawn_worker(&program.program, &program.args)?;
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
        End(self.worker.wait().ok())
    }
}

fn prepare(end: Option<OwnedFd>, streams: [&OwnedFd; 3]) -> io::Result<OwnedFd> {
    for stream in streams {
        ioctl_fionbio(stream, true)?;
    }
    end.ok_or_else(|| io::Error::other("this system cannot tell when a process ends"))
}

/// How a worker ended; `None` if somebody else took its exit status.
#[derive(Clone, Copy, Debug)]
pub(super) struct End(Option<ExitStatus>);

impl End {
    pub(super) fn code(self) -> Option<i32> {
        self.0?.code()
    }

    pub(super) fn signal(self) -> Option<i32> {
        self.0?.signal()
    }
}

/// As it goes after the name of the worker.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code(), self.signal()) {
            (Some(code), _) => write!(f, "terminated abruptly with exit code {code}"),
            (_, Some(signal)) => write!(f, "was killed by {}", describe_signal(signal)),
            _ => f.write_str("ended in a way that is not known"),
        }
    }
}
