//! What a run leaves behind below this process: who it is, and how it is ended. Knows nothing of runs but
//! their mark.

use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::tree;

/// The variable that has the id of a run, in the environment of all its children.
const RUN_ID: &str = "JOBRUN_RUN_ID";

/// The variable that has the name of a future.
const FUTURE: &str = "JOBRUN_FUTURE";

/// The processes that a run has left, as long as there are any.
#[derive(Debug)]
pub struct Remains(Whose);

#[derive(Debug)]
enum Whose {
    Nobody,
    All,
    Marked(String),
}

/// A process that was left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Its number.
    pub pid: u32,
    /// Its program and arguments.
    pub command: String,
    /// The future that started it, where its environment says so.
    pub future: Option<String>,
}

impl Remains {
    /// Of a run that starts no processes.
    pub const fn none() -> Self {
        Self(Whose::Nobody)
    }

    /// Of a run that is all that this process does: whatever is below it.
    pub const fn all() -> Self {
        Self(Whose::All)
    }

    /// Of the run with this id, in a process that does other things too: what is below it and has the id
    /// in its environment.
    pub const fn of_run(id: String) -> Self {
        Self(Whose::Marked(id))
    }

    /// Whether there are none. Where this process has no children, which is so after most runs, that is
    /// one question to the system.
    pub fn is_empty(&self) -> bool {
        let no_children = match self.0 {
            Whose::Nobody => true,
            // Ten thousand that have ended are not looked at one by one.
            Whose::All => tree::reap() == tree::Left::Nothing,
            // What other parts of the program have started is theirs to reap.
            Whose::Marked(_) => !has_children(),
        };
        no_children || self.pids().is_empty()
    }

    /// All that are there now.
    pub fn list(&self) -> Vec<Leftover> {
        let leftover = |pid: Pid| Leftover {
            pid: pid.as_raw_pid().unsigned_abs(),
            command: command(pid),
            future: variable(pid, FUTURE),
        };
        self.pids().into_iter().map(leftover).collect()
    }

    /// Asks them to end.
    pub fn terminate(&self) {
        tree::terminate(self.pids());
    }

    /// Kills them. It does not wait for their ends.
    pub fn kill(&self) {
        let frozen = tree::freeze(|| self.pids());
        tree::send_all(&frozen, Signal::KILL);
    }

    fn pids(&self) -> Vec<Pid> {
        let mut found = match self.0 {
            Whose::Nobody => return Vec::new(),
            Whose::All | Whose::Marked(_) => tree::descendants(None),
        };
        if let Whose::Marked(id) = &self.0 {
            found.retain(|pid| variable(*pid, RUN_ID).as_deref() == Some(id));
        }
        // What has ended is reaped by whoever is its parent.
        found.retain(|pid| tree::is_alive(*pid));
        found
    }
}

fn has_children() -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !waitid(WaitId::All, look).is_err_and(|error| error == Errno::CHILD)
}

/// The words of a process, as people read them.
fn command(pid: Pid) -> String {
    let read = |name| fs::read(format!("/proc/{}/{name}", pid.as_raw_pid())).unwrap_or_default();
    let words = read("cmdline");
    let words = words.strip_suffix(b"\0").unwrap_or(&words);
    if words.is_empty() {
        return format!("[{}]", String::from_utf8_lossy(&read("comm")).trim_end());
    }
    let words: Vec<_> = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    words.join(" ")
}

/// A variable of the environment with which a process was started.
fn variable(pid: Pid, name: &str) -> Option<String> {
    let all = fs::read(format!("/proc/{}/environ", pid.as_raw_pid())).ok()?;
    let mut variables = all.split(|byte| *byte == 0);
    let value = variables
        .find_map(|it| it.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec))?;
    Some(String::from_utf8_lossy(&value).into_owned())
}
