//! Starts and ends the process of a worker. Knows nothing of what is said to it.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// The program that becomes a worker.
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    /// Its path.
    pub program: PathBuf,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
}

/// A running worker process, with streams that never block.
pub(super) struct Process {
    child: Child,
    /// What it reads; `None` once that is closed.
    pub(super) input: Option<OwnedFd>,
    pub(super) output: OwnedFd,
    pub(super) errors: OwnedFd,
    /// Readable once it has ended.
    pub(super) end: OwnedFd,
}

impl Process {
    /// Starts the program in a process group of its own.
    pub(super) fn start(program: &WorkerProgram) -> std::io::Result<Self> {
        let mut child = Command::new(&program.program)
            .args(&program.args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = streams else {
            return Err(std::io::Error::other("a stream is missing"));
        };
        let prepare = || -> std::io::Result<OwnedFd> {
            ioctl_fionbio(&input, true)?;
            ioctl_fionbio(&output, true)?;
            ioctl_fionbio(&errors, true)?;
            Ok(pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?)
        };
        match prepare() {
            Ok(end) => Ok(Self {
                child,
                input: Some(input.into()),
                output: output.into(),
                errors: errors.into(),
                end,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it and what it started. Its number is its own until [`wait`](Self::wait).
    pub(super) fn kill(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self) -> End {
        match self.child.wait() {
            Ok(status) => End { code: status.code(), signal: status.signal() },
            Err(_) => End { code: None, signal: None },
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "terminated abruptly with exit code {code}"),
            (_, Some(signal)) => match signal_hook::low_level::signal_name(signal) {
                Some(name) => write!(f, "was killed by {name} (signal {signal})"),
                None => write!(f, "was killed by signal {signal}"),
            },
            _ => f.write_str("ended in a way that is not known"),
        }
    }
}
