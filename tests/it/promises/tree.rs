//! Promises about the process tree: guard, runner, and whatever children become.
//!
//! A process whose environment was cleared is known by its arguments: each story's processes sleep for a
//! time that nobody else sleeps for.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::promises::kept;
use crate::story::{End, Running, Story, require, skipped};

/// A task that is five processes, each of which has gone its own way: a child, one in the background, a
/// daemon in a session of its own, one whose parent has ended, and one of that kind with nothing in its
/// environment. It says who its parent is when all are there.
const FIVE: &str = r#"
    [[task]]
    name = "five"
    run  = """
        trap '' INT TERM HUP QUIT
        sleep MARK &
        setsid -f sleep MARK >/dev/null 2>&1 </dev/null
        (sleep MARK &)
        (env -i PATH="$PATH" setsid sleep MARK >/dev/null 2>&1 </dev/null &)
        echo $PPID > up
        exec sleep MARK
    """
"#;

/// A story with a mark in its manifest.
struct Marked {
    running: Running,
    mark: String,
    runner: Pid,
    /// The folder of the run's cgroup, where it has one.
    cgroup: Option<PathBuf>,
}

impl Marked {
    /// Starts a job that has `count` processes of its mark once it has said who its parent is.
    fn start(manifest: &str, count: usize, under: &[&str]) -> Self {
        let mark = mark();
        let mut story = Story::new(&manifest.replace("MARK", &mark));
        if !under.is_empty() {
            story = story.under(under);
        }
        let up = story.gate("up");
        let running = story.spawn();
        let runner = up.passed().trim().parse().ok().and_then(Pid::from_raw).unwrap();
        until("all are there", || marked(&mark).len() == count);
        let cgroup = cgroup_of(runner, running.pid());
        Self { running, mark, runner, cgroup }
    }

    /// Kills both, of which neither sees the other die.
    fn kill_both(&self) {
        let both = [self.running.pid(), self.runner];
        for signal in [Signal::STOP, Signal::KILL] {
            for pid in both {
                kill_process(pid, signal).unwrap();
            }
        }
    }

    /// Waits for its end, and until nothing is left: no process and no cgroup.
    fn end_of_all(self) -> End {
        let end = self.running.end();
        until("nothing is left", || marked(&self.mark).is_empty() && end.leftovers().is_empty());
        until("the cgroup has gone", || self.cgroup.as_ref().is_none_or(|path| !path.exists()));
        end
    }
}

/// The seconds that the processes of one story sleep, as `sleep` takes them.
fn mark() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("1000.{:07}{count:03}", std::process::id())
}

/// The processes with this mark among their arguments, but for those that have ended and those that only
/// speak of it.
fn marked(mark: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let sleeps = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).nth(1) == Some(mark.as_bytes())
    };
    pids.filter(sleeps).filter_map(Pid::from_raw).collect()
}

/// The folder of the cgroup that was made for a run.
fn cgroup_of(runner: Pid, guard: Pid) -> Option<PathBuf> {
    let kinds = fs::read_to_string(format!("/proc/{}/cgroup", runner.as_raw_pid())).unwrap();
    let own = kinds.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let ours = own.ends_with(&format!("jobrun-{}", guard.as_raw_pid()));
    let places =
        ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(|place| PathBuf::from(place).join(own));
    places.into_iter().find(|path| ours && path.exists())
}

/// Waits for something that nobody tells of.
#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it never came that {what}");
}

/// What a program is started by so that it finds no cgroup that it could change. Nothing if that cannot
/// be had here.
fn without_cgroups() -> Option<Vec<&'static str>> {
    if !require("unshare") {
        return None;
    }
    let script = "for place in /sys/fs/cgroup /sys/fs/cgroup/unified
        do mount -o remount,bind,ro $place 2>/dev/null || true
        done
        exec \"$@\"";
    for alone in [&["unshare", "-m"][..], &["unshare", "-rm"]] {
        if Command::new(alone[0]).args(&alone[1..]).arg("true").output().unwrap().status.success() {
            return Some([alone, &["sh", "-c", script, "sh"]].concat());
        }
    }
    skipped("there are no mount namespaces");
    None
}

#[test]
fn f01_nothing_survives_a_killed_runner() {
    let five = Marked::start(FIVE, 5, &[]);
    kill_process(five.runner, Signal::KILL).unwrap();
    let end = five.end_of_all();
    // Who would have written the report was killed.
    end.expect(137).says("the runner was killed by SIGKILL (signal 9); so was all it had started");
}

#[test]
fn f02_nothing_survives_a_killed_guard() {
    let five = Marked::start(FIVE, 5, &[]);
    kill_process(five.running.pid(), Signal::KILL).unwrap();
    // The runner ends everything at once, itself included, and writes no report.
    five.end_of_all().expect(137);
}

#[test]
fn f03_nothing_survives_guard_and_runner_killed_at_once_in_a_cgroup() {
    let five = Marked::start(FIVE, 5, &[]);
    if five.cgroup.is_none() {
        kill_process(five.running.pid(), Signal::TERM).unwrap();
        five.running.end();
        return skipped("there is no cgroup that could be changed here");
    }
    five.kill_both();
    // Nobody is left to write a report.
    five.end_of_all().expect(137);
}

#[test]
fn f03_without_a_cgroup_the_children_themselves_die_with_guard_and_runner() {
    let Some(under) = without_cgroups() else { return };
    let manifest = r#"
        [[task]]
        name = "child"
        run  = ["sleep", "MARK"]
        [[task]]
        name = "other"
        run  = "echo $PPID > up; exec sleep MARK"
        "#;
    let children = Marked::start(manifest, 2, &under);
    assert_eq!(children.cgroup, None);
    children.kill_both();
    children.end_of_all().expect(137);
}

#[test]
fn the_report_says_what_contained_the_run() {
    let manifest = r#"
        [[task]]
        name = "where"
        run  = ["grep", "^0:", "/proc/self/cgroup"]
        ok_exit = [0, 1]
        "#;
    let here = Story::new(manifest).run();
    kept(&here, 0);
    let in_cgroup = here.result("where").as_str().unwrap().contains("/jobrun-");
    assert_eq!(here.report["containment"], if in_cgroup { "cgroup" } else { "guard" });
    let Some(under) = without_cgroups() else { return };
    let there = Story::new(manifest).under(&under).run();
    kept(&there, 0);
    assert_eq!(there.report["containment"], "guard");
}

#[test]
fn who_kills_by_name_misses_the_keeper() {
    let five = Marked::start(FIVE, 5, &[]);
    if five.cgroup.is_some() {
        let guard = five.running.pid().as_raw_pid();
        let children = fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).unwrap();
        let runner = five.runner.as_raw_pid().to_string();
        let keeper: Vec<&str> = children.split_whitespace().filter(|pid| *pid != runner).collect();
        let [keeper] = keeper[..] else { panic!("{children}") };
        let of = |name| fs::read(format!("/proc/{keeper}/{name}")).unwrap();
        assert_eq!(of("comm"), b"run-keeper\n");
        assert_eq!(of("cmdline").iter().find(|byte| **byte != 0), None);
        assert_eq!(of("environ").iter().find(|byte| **byte != 0), None);
        // It holds nothing of ours open: two pidfds and pipes, and what ends the cgroup.
        let open = fs::read_dir(format!("/proc/{keeper}/fd")).unwrap();
        let open: Vec<_> = open.map(|it| fs::read_link(it.unwrap().path()).unwrap()).collect();
        assert!(open.len() <= 4, "{open:?}");
        assert!(
            open.iter().all(|it| it.starts_with("/sys/fs/cgroup") || !it.is_absolute()),
            "{open:?}"
        );
    }
    kill_process(five.running.pid(), Signal::TERM).unwrap();
    kill_process(five.running.pid(), Signal::TERM).unwrap();
    five.end_of_all().expect(143);
}
