//! Long-lived worker processes: started and signalled here, spoken to by who asked for them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::guard::spawning;
use crate::supervise::spawn::foreign_variables;

/// A worker process with its three streams, which block.
#[derive(Debug)]
pub struct Worker {
    /// Its process.
    pub process: WorkerProcess,
    /// What it reads.
    pub stdin: ChildStdin,
    /// What it writes.
    pub stdout: ChildStdout,
    /// What it complains about.
    pub stderr: ChildStderr,
}

/// The process of a worker, in a process group of its own. Dropping it neither stops nor reaps it.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
}

impl WorkerProcess {
    /// Its process id, which is that of its group too.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended, and reaps it.
    ///
    /// # Errors
    ///
    /// When its exit status was taken by somebody else.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Kills its whole group at once. Does nothing when it has been reaped.
    pub fn kill(&mut self) {
        // Only what has been reaped can have lost its pid to another.
        if let Ok(None) = self.child.try_wait() {
            signal_group(self.pid(), libc::SIGKILL);
        }
    }
}

/// Starts a worker: `program`, a path, with `args`, and `env` on top of this process's environment.
///
/// # Errors
///
/// When it cannot be started.
pub fn spawn_worker<A: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = A>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> io::Result<Worker> {
    let mut command = Command::new(program);
    for name in foreign_variables() {
        command.env_remove(name);
    }
    command
        .args(args)
        .envs(env)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawning(|| command.spawn())?;
    match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
        (Some(stdin), Some(stdout), Some(stderr)) => {
            Ok(Worker { process: WorkerProcess { child }, stdin, stdout, stderr })
        }
        _ => Err(io::Error::other("a worker without its streams")),
    }
}

/// Sends a signal to a process group; to none if it has no members any more. The caller sees to it
/// that its leader has not been reaped, or the number may be somebody else's.
pub fn signal_group(pid: u32, signal: i32) {
    let group = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let (Some(group), Some(signal)) = (group, Signal::from_named_raw(signal)) {
        let _ = kill_process_group(group, signal);
    }
}
