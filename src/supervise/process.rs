//! One process of ours: its number, which is that of its group too, and its end. Knows nothing of what
//! it does.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, waitid, waitpid,
};

/// A process that leads a group of its own. Dropping it neither stops nor reaps it.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    /// Once it was reaped: its number may be another's then.
    status: Option<ExitStatus>,
}

impl Process {
    /// A process that was just started and has not been reaped.
    pub(crate) fn new(pid: Pid) -> Self {
        Self { pid, status: None }
    }

    /// Its process id, which is that of its group too.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.status.is_some() || matches!(waitid(WaitId::Pid(self.pid), options), Ok(Some(_)))
    }

    /// Waits until it has ended, and reaps it.
    ///
    /// # Errors
    /// When its exit status was taken by somebody else.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        while self.status.is_none() {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Ok(Some((_, status))) => self.status = Some(ExitStatus::from_raw(status.as_raw())),
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.status.unwrap_or_default())
    }

    /// Sends a signal to its whole group; to nobody when it has been reaped, or all are gone.
    pub fn signal(&self, signal: i32) {
        if let (None, Some(signal)) = (self.status, Signal::from_named_raw(signal)) {
            let _ = kill_process_group(self.pid, signal);
        }
    }
}
