//! How busy the machine is: its load and its free memory. Knows nothing of who wants to start what.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::time::Time;

/// What was read is good for so long.
const FRESH: Duration = Duration::from_millis(100);

/// The kernel's one-minute average forgets with this time constant, in seconds.
const MEMORY_OF_LOAD: f64 = 60.0;

/// The machine as it was when somebody last looked.
#[derive(Debug)]
pub(super) struct Machine {
    proc: PathBuf,
    cgroups: PathBuf,
    /// The one-minute average, and when it was read; `None` in it where there is none to read.
    load: Option<(Time, Option<f64>)>,
    /// The bytes that are free, in the same way.
    free: Option<(Time, Option<u64>)>,
    ours: Ours,
}

/// Our own part in the load.
#[derive(Debug, Default)]
struct Ours {
    running: u32,
    /// What `running` is on average, forgotten as the kernel forgets.
    average: f64,
    at: Time,
}

impl Machine {
    /// This machine.
    pub(super) fn new() -> Self {
        Self::at("/proc", "/sys/fs/cgroup")
    }

    fn at(proc: impl Into<PathBuf>, cgroups: impl Into<PathBuf>) -> Self {
        let (proc, cgroups) = (proc.into(), cgroups.into());
        Self { proc, cgroups, load: None, free: None, ours: Ours::default() }
    }

    /// One of ours starts.
    pub(super) fn starts(&mut self, now: Time) {
        self.ours.advance(now);
        self.ours.running += 1;
    }

    /// One of ours ended.
    pub(super) fn ended(&mut self, now: Time) {
        self.ours.advance(now);
        self.ours.running = self.ours.running.saturating_sub(1);
    }

    /// The load as it will be if nothing changes.
    ///
    /// The kernel's average takes a minute to tell of what has just started, and another to forget what
    /// has ended. Of what is ours we know better: what runs counts in full and what has ended does not
    /// count at all, however much of it the average has in it.
    pub(super) fn load(&mut self, now: Time) -> Option<f64> {
        let path = self.proc.join("loadavg");
        let average = refresh(&mut self.load, now, || {
            fs::read_to_string(path).ok()?.split_ascii_whitespace().next()?.parse().ok()
        })?;
        self.ours.advance(now);
        Some(average + f64::from(self.ours.running) - self.ours.average)
    }

    /// The memory that is free for use without swapping: of the machine, or what the limits of our
    /// cgroup leave of it.
    pub(super) fn free_memory(&mut self, now: Time) -> Option<u64> {
        let (proc, cgroups) = (&self.proc, &self.cgroups);
        refresh(&mut self.free, now, || {
            let machine = number_after(&proc.join("meminfo"), "MemAvailable:")? * 1024;
            Some(left_by_cgroups(proc, cgroups).map_or(machine, |left| left.min(machine)))
        })
    }
}

impl Ours {
    fn advance(&mut self, now: Time) {
        let (passed, running) = (now.since(self.at).as_secs_f64(), f64::from(self.running));
        self.average = running + (self.average - running) * (-passed / MEMORY_OF_LOAD).exp();
        self.at = now;
    }
}

fn refresh<T: Copy>(
    known: &mut Option<(Time, Option<T>)>,
    now: Time,
    read: impl FnOnce() -> Option<T>,
) -> Option<T> {
    match *known {
        Some((at, value)) if now.since(at) < FRESH => value,
        _ => known.insert((now, read())).1,
    }
}

/// The least that a limit of our cgroup, or of one that it is in, leaves. Files that were read are kept
/// in memory while nobody needs it; what of that is not in use counts as free.
fn left_by_cgroups(proc: &Path, cgroups: &Path) -> Option<u64> {
    let own = fs::read_to_string(proc.join("self/cgroup")).ok()?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folders = Path::new(own).ancestors().map(|path| cgroups.join(path));
    let left = folders.filter_map(|folder| {
        let most = number(&folder.join("memory.max"))?;
        let used = number(&folder.join("memory.current"))?;
        let cached = number_after(&folder.join("memory.stat"), "inactive_file").unwrap_or(0);
        Some(most.saturating_sub(used.saturating_sub(cached)))
    });
    left.min()
}

/// A number that is alone in its file; not the word `max`.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number that follows a name at the start of a line.
fn number_after(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]
mod tests {
    use super::Machine;
    use crate::time::Time;
    use std::fs;
    use std::path::Path;
    use std::time::Duration;
    use tempfile::TempDir;

    fn write(dir: &Path, path: &str, text: &str) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn machine(load: &str) -> (TempDir, Machine) {
        let dir = TempDir::new().unwrap();
        write(dir.path(), "proc/loadavg", &format!("{load} 0.50 0.40 3/120 4711\n"));
        write(dir.path(), "proc/meminfo", "MemTotal: 8000 kB\nMemAvailable:   4000 kB\n");
        let machine = Machine::at(dir.path().join("proc"), dir.path().join("cgroup"));
        (dir, machine)
    }

    fn minutes(count: u32) -> Time {
        Time::ZERO.after(Duration::from_mins(1) * count)
    }

    #[test]
    fn what_has_just_started_counts_before_the_average_knows_of_it() {
        let (dir, mut machine) = machine("1.00");
        assert_eq!(machine.load(Time::ZERO), Some(1.0));
        machine.starts(Time::ZERO);
        machine.starts(Time::ZERO);
        assert_eq!(machine.load(Time::ZERO), Some(3.0));
        // After ten minutes the average knows.
        write(dir.path(), "proc/loadavg", "3.00 2.00 1.00 3/120 4711\n");
        let later = machine.load(minutes(10)).unwrap();
        assert!((later - 3.0).abs() < 0.01, "{later}");
        // Then one ends, which the average does not know.
        machine.ended(minutes(10));
        let after = machine.load(minutes(10)).unwrap();
        assert!((after - 2.0).abs() < 0.01, "{after}");
    }

    #[test]
    fn what_sleeps_counts_only_until_the_average_would_know_of_it() {
        let (_dir, mut machine) = machine("0.00");
        machine.starts(Time::ZERO);
        assert_eq!(machine.load(Time::ZERO), Some(1.0));
        assert!(machine.load(minutes(10)).unwrap() < 0.01);
    }

    #[test]
    fn free_memory_is_what_the_tightest_limit_leaves() {
        let (dir, mut machine) = machine("0.00");
        assert_eq!(machine.free_memory(minutes(0)), Some(4000 * 1024), "there are no cgroups");
        write(dir.path(), "proc/self/cgroup", "0::/build/one\n");
        write(dir.path(), "cgroup/build/one/memory.max", "max\n");
        write(dir.path(), "cgroup/build/one/memory.current", "500\n");
        assert_eq!(machine.free_memory(minutes(1)), Some(4000 * 1024), "there is no limit");
        write(dir.path(), "cgroup/build/memory.max", "2000\n");
        write(dir.path(), "cgroup/build/memory.current", "1500\n");
        assert_eq!(machine.free_memory(minutes(2)), Some(500));
        write(dir.path(), "cgroup/build/memory.stat", "anon 1100\ninactive_file 400\n");
        assert_eq!(machine.free_memory(minutes(3)), Some(900), "what is cached can be had");
    }

    #[test]
    fn where_nothing_can_be_read_nothing_is_known() {
        let mut machine = Machine::at("/nowhere", "/nowhere");
        assert_eq!((machine.load(Time::ZERO), machine.free_memory(Time::ZERO)), (None, None));
    }
}
