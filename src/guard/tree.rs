//! The tree of processes below this one: who is in it, and how it is stopped
//! and ended. Knows nothing of why.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, pidfd_open,
    pidfd_send_signal, wait, waitid,
};

/// Kills all processes below this one but for the one that is spared, whatever they do, and reaps them.
/// Returns how many could not be killed: those of another user, or all where there is no `/proc`.
///
/// They are stopped before any is killed, again until none is new, so that one that forks all the
/// time cannot outrun this. What a killed one leaves comes to us, as the nearest subreaper, and is
/// found the next time round.
pub(crate) fn kill_all(spared: Option<Pid>) -> usize {
    loop {
        if reap() == Left::Nothing {
            return 0;
        }
        let tree = freeze(spared);
        let killed = tree.iter().filter(|pid| send(**pid, Signal::KILL, &tree)).count();
        match reap() {
            Left::Nothing => return 0,
            Left::Something if killed == 0 => return tree.len().max(1),
            // Something that was killed is on its way out; its end is worth waiting for.
            Left::Something => drop(wait(WaitOptions::empty())),
        }
    }
}

/// Sends SIGTERM to all processes below this one but for the one that is spared, and lets those that are
/// stopped go on to see it.
pub(crate) fn terminate_all(spared: Option<Pid>) {
    let tree = HashSet::from_iter(descendants(spared));
    for pid in &tree {
        // One that has ended meanwhile needs no signal.
        send(*pid, Signal::TERM, &tree);
        send(*pid, Signal::CONT, &tree);
    }
}

/// Sends a signal to a process that was seen in this tree; gives whether it got it. It may have ended
/// since, and its number may be a stranger's.
fn send(pid: Pid, signal: Signal, tree: &HashSet<Pid>) -> bool {
    match pidfd_open(pid, PidfdFlags::empty()) {
        // Of whom the number is now, the descriptor is for ever: a signal reaches nobody else.
        Ok(process) => is_within(pid, tree) && pidfd_send_signal(process, signal).is_ok(),
        Err(Errno::SRCH) => false,
        // For want of descriptors: better a small risk than none of them killed.
        Err(_) => is_within(pid, tree) && kill_process(pid, signal).is_ok(),
    }
}

/// Whether the process of this number is a child of this process, or of one in the tree.
fn is_within(pid: Pid, tree: &HashSet<Pid>) -> bool {
    parent_of(pid).is_some_and(|parent| parent == getpid() || tree.contains(&parent))
}

/// Whether a process has children, and perhaps zombies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// No child at all.
    Nothing,
    /// At least one that has not ended.
    Something,
}

/// Reaps every child that has ended, of whichever thread.
pub(crate) fn reap() -> Left {
    reap_with(WaitOptions::NOHANG, |_, _| ())
}

/// Reaps every child that has ended and that `options` select, and tells `each` of it.
pub(crate) fn reap_with(
    options: WaitOptions,
    mut each: impl FnMut(Pid, rustix::process::WaitStatus),
) -> Left {
    loop {
        match wait(options) {
            Ok(Some((pid, status))) => each(pid, status),
            Ok(None) => return Left::Something,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Left::Nothing,
        }
    }
}

/// Lets all processes below this one go on.
pub(crate) fn thaw() {
    let tree = HashSet::from_iter(descendants(None));
    for pid in &tree {
        send(*pid, Signal::CONT, &tree);
    }
}

/// Stops this process, as nothing can prevent, until somebody lets it go on.
pub(crate) fn stop_here() {
    let _ = kill_process(getpid(), Signal::STOP);
}

/// Whether a child is stopped.
pub(crate) fn is_stopped(child: Pid) -> bool {
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(child), options), Ok(Some(_)))
}

/// Stops all processes below this one and returns them.
pub(crate) fn freeze(spared: Option<Pid>) -> HashSet<Pid> {
    let mut seen = HashSet::new();
    loop {
        let before = seen.len();
        for pid in descendants(spared) {
            if seen.insert(pid) {
                // One that cannot be stopped is tried again with SIGKILL.
                send(pid, Signal::STOP, &seen);
            }
        }
        if seen.len() == before {
            return seen;
        }
    }
}

/// All processes below this one but for the one that is spared, parents before their children, as far as
/// `/proc` tells.
fn descendants(spared: Option<Pid>) -> Vec<Pid> {
    let children = Children::look();
    let mut found: Vec<Pid> = children.of(getpid());
    found.retain(|pid| Some(*pid) != spared);
    let mut next = 0;
    while next < found.len() {
        found.extend(children.of(found[next]));
        next += 1;
    }
    found
}

/// Where the kernel tells who is whose child.
enum Children {
    /// `/proc/PID/task/TID/children`, read when asked for.
    Lists,
    /// Made from the parent of every process there is, for kernels without these lists.
    Table(HashMap<Pid, Vec<Pid>>),
}

impl Children {
    fn look() -> Self {
        if fs::exists("/proc/thread-self/children").unwrap_or(false) {
            return Self::Lists;
        }
        let mut table: HashMap<Pid, Vec<Pid>> = HashMap::new();
        for pid in numbered("/proc").unwrap_or_default() {
            if let Some(parent) = parent_of(pid) {
                table.entry(parent).or_default().push(pid);
            }
        }
        Self::Table(table)
    }

    fn of(&self, parent: Pid) -> Vec<Pid> {
        match self {
            Self::Lists => listed(parent).unwrap_or_default(),
            Self::Table(table) => table.get(&parent).cloned().unwrap_or_default(),
        }
    }
}

/// The children of all threads of a process.
fn listed(parent: Pid) -> io::Result<Vec<Pid>> {
    let tasks = format!("/proc/{}/task", parent.as_raw_pid());
    let mut found = Vec::new();
    for thread in numbered(&tasks)? {
        // A thread that has ended since has no children any more.
        let list = fs::read_to_string(format!("{tasks}/{}/children", thread.as_raw_pid()));
        found.extend(list.unwrap_or_default().split_ascii_whitespace().filter_map(to_pid));
    }
    Ok(found)
}

/// The entries of a folder whose names are numbers.
fn numbered(folder: &str) -> io::Result<Vec<Pid>> {
    let names = fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.file_name());
    Ok(names.filter_map(|name| to_pid(name.to_str()?)).collect())
}

fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // `PID (NAME) STATE PARENT …`, where NAME may hold anything, parentheses included.
    let (_, rest) = stat.rsplit_once(')')?;
    to_pid(rest.split_ascii_whitespace().nth(1)?)
}

fn to_pid(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}
