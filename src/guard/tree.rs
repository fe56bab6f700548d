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
        let tree = freeze(|| descendants(spared));
        let killed = send_all(&tree, Signal::KILL);
        match reap() {
            Left::Nothing => return 0,
            Left::Something if killed == 0 => return tree.len().max(1),
            // Something that was killed is on its way out; its end is worth waiting for.
            Left::Something => drop(wait(WaitOptions::empty())),
        }
    }
}

/// Sends SIGTERM to these processes below this one, and lets those that are stopped go on to see it.
pub(crate) fn terminate(processes: Vec<Pid>) {
    let tree = HashSet::from_iter(processes);
    send_all(&tree, Signal::TERM);
    send_all(&tree, Signal::CONT);
}

/// Sends a signal to all these processes below this one; gives how many got it. Those that have ended
/// since need none.
pub(crate) fn send_all(tree: &HashSet<Pid>, signal: Signal) -> usize {
    tree.iter().filter(|pid| send(**pid, signal, tree)).count()
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

/// Stops all that `list` gives, until it gives nothing new, and returns them.
pub(crate) fn freeze(list: impl Fn() -> Vec<Pid>) -> HashSet<Pid> {
    let mut seen = HashSet::new();
    loop {
        let before = seen.len();
        for pid in list() {
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
pub(crate) fn descendants(spared: Option<Pid>) -> Vec<Pid> {
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
    fields(pid)?.get(1).and_then(|parent| to_pid(parent))
}

/// Whether a process is there, and neither has ended nor is about to because it was killed.
pub(crate) fn is_alive(pid: Pid) -> bool {
    const IS_EXITING: u64 = 4;
    let Some(fields) = fields(pid) else { return false };
    let ends = fields.get(6).and_then(|flags| flags.parse().ok()).unwrap_or(0_u64) & IS_EXITING;
    ends == 0 && !["Z", "X"].contains(&&*fields[0]) && !is_killed(pid)
}

/// Whether SIGKILL waits for a process to notice it.
fn is_killed(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid()));
    let killed = |line: &str| {
        let pending = line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"));
        let pending = pending.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        pending.unwrap_or(0) & 1 << (libc::SIGKILL - 1) != 0
    };
    status.unwrap_or_default().lines().any(killed)
}

/// What `/proc` says of a process: its state, its parent, and so on.
fn fields(pid: Pid) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).ok()?;
    // `PID (NAME) STATE PARENT …`, where NAME may hold anything, parentheses included.
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_ascii_whitespace().map(str::to_owned).collect())
}

fn to_pid(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}
