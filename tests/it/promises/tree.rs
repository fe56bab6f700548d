//! Promises about the process tree: guard, runner, and whatever children become.
//!
//! A process whose environment was cleared is known by its arguments: each story's processes sleep for a
//! time that nobody else sleeps for.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::promises::kept;
use crate::story::{End, Gate, Running, Story, example, require, skipped};

/// A task that is five processes, each of which has gone its own way: a child, one in the background, a
/// daemon in a session of its own, one whose parent has ended, and one of that kind with nothing in its
/// environment. It says who its parent is when all are there.
const FIVE: &str = r#"
    [[task]]
    name = "five"
    grace = "100ms"
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
    /// Where a task may wait for the test.
    go: Gate,
}

impl Marked {
    /// Starts a job that has `count` processes of its mark once it has said who its parent is.
    fn start(manifest: &str, count: usize) -> Self {
        Self::start_as(manifest, count, |story| story)
    }

    /// The same for a story that is told in another way.
    fn start_as(manifest: &str, count: usize, told: impl FnOnce(Story) -> Story) -> Self {
        let mark = mark();
        let story = told(Story::new(&manifest.replace("MARK", &mark)));
        let (up, go) = (story.gate("up"), story.gate("go"));
        let running = story.spawn();
        let runner = up.passed().trim().parse().ok().and_then(Pid::from_raw).unwrap();
        until("all are there", || marked(&mark).len() == count);
        let cgroup = cgroup_of(runner, running.pid());
        Self { running, mark, runner, cgroup, go }
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
    let five = Marked::start(FIVE, 5);
    kill_process(five.runner, Signal::KILL).unwrap();
    let end = five.end_of_all();
    // Who would have written the report was killed.
    end.expect(137).says("the runner was killed by SIGKILL (signal 9); so was all it had started");
}

#[test]
fn f01_f02_the_same_holds_for_a_program_that_embeds_jobrun() {
    let embedding = |story: Story| story.program(example("run_manifest"));
    let five = Marked::start_as(FIVE, 5, embedding);
    kill_process(five.runner, Signal::KILL).unwrap();
    five.end_of_all().expect(137);
    let five = Marked::start_as(FIVE, 5, embedding);
    kill_process(five.running.pid(), Signal::KILL).unwrap();
    five.end_of_all().expect(137);
}

#[test]
fn f02_nothing_survives_a_killed_guard() {
    let five = Marked::start(FIVE, 5);
    kill_process(five.running.pid(), Signal::KILL).unwrap();
    // The runner ends everything at once, itself included, and writes no report.
    five.end_of_all().expect(137);
}

#[test]
fn f03_nothing_survives_guard_and_runner_killed_at_once_in_a_cgroup() {
    let five = Marked::start(FIVE, 5);
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
    let children = Marked::start_as(manifest, 2, |story| story.under(&under));
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
    let five = Marked::start(FIVE, 5);
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

#[test]
fn f14_a_daemon_that_a_task_leaves_is_found_told_of_and_ended() {
    let manifest = r#"
        secrets = ["TOKEN"]
        [[task]]
        name = "daemon"
        run  = """setsid -f sleep MARK >/dev/null 2>&1 </dev/null"""
        [[task]]
        name = "stubborn"
        run  = """trap '' TERM HUP; setsid -f sh -c 'sleep MARK; :' sh "$TOKEN" >/dev/null 2>&1 </dev/null"""
        [[task]]
        name = "nameless"
        run  = """env -i PATH="$PATH" setsid -f sleep MARK >/dev/null 2>&1 </dev/null"""
        "#;
    let mark = mark();
    let end = Story::new(&manifest.replace("MARK", &mark)).env("TOKEN", "open-sesame").run();
    kept(&end, 0);
    assert_eq!(marked(&mark), []);
    let left = end.report["left_behind"].as_array().unwrap();
    // The shell may have started its `sleep` or not when it is looked at.
    assert!([3, 4].contains(&left.len()), "{left:?}");
    let of = |future: Value| {
        let found = left.iter().find(|it| it["future"] == future && it["pid"].is_u64());
        found.unwrap_or_else(|| panic!("{future}: {left:?}"))["command"].as_str().unwrap()
    };
    for future in [Value::from("daemon"), Value::from("stubborn"), Value::Null] {
        assert!(of(future).contains(&mark), "{left:?}");
    }
    end.says("processes were left behind and are ended now: `").says(", of daemon)");
    let shown = [&end.stderr, &end.file("report.json"), &end.file("events.jsonl")];
    assert!(shown.iter().all(|text| !text.contains("open-sesame")), "{shown:?}");
}

#[test]
fn f14_a_run_that_leaves_nothing_says_nothing() {
    let manifest = r#"
        [executor]
        kind = "process"
        [[task]]
        name = "call"
        call = "echo"
        args = [1]
        [[task]]
        name = "run"
        run  = "sleep 0 & wait"
        "#;
    let end = Story::new(manifest).run();
    kept(&end, 0);
    assert_eq!(end.report["left_behind"], Value::Array(Vec::new()));
    assert!(!end.stderr.contains("left behind"), "{}", end.stderr);
}

/// How many children of a process have ended and were not reaped.
fn zombies_of(parent: Pid) -> usize {
    let parent = parent.as_raw_pid().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let stats = entries.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let is_one = |stat: &String| {
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        fields.starts_with(&format!("Z {parent} "))
    };
    stats.filter(is_one).count()
}

/// The most memory that a process has had, in KiB.
fn peak_memory(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn f15_what_was_forked_twice_is_reaped_when_it_ends() {
    let manifest = r#"
        [[task]]
        name = "twice"
        run  = """
            for n in 1 2 3; do (sh -c 'echo x > ended' &) ; done
            echo $PPID > up
            exec cat go
        """
        "#;
    let ended = Arc::new(Mutex::new(None));
    let gate = Arc::clone(&ended);
    let twice = Marked::start_as(manifest, 0, move |story| {
        *gate.lock().unwrap() = Some(story.gate("ended"));
        story
    });
    ended.lock().unwrap().as_ref().unwrap().passed();
    until("they are reaped", || zombies_of(twice.runner) == 0);
    twice.go.open();
    kept(&twice.end_of_all(), 0);
}

#[test]
fn f15_a_child_that_takes_orphans_itself_does_not_keep_them() {
    if !require("python3") {
        return;
    }
    let manifest = r#"
        [[task]]
        name = "reaper"
        grace = "100ms"
        run  = ["python3", "-c", """
import ctypes, os, signal, time
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
for signum in range(1, signal.SIGRTMAX):
    if signum not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, 32, 33):
        signal.signal(signum, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp('sleep', ['sleep', 'MARK'])
        os._exit(0)
    os.wait()
with open('up', 'w') as up:
    up.write(str(os.getppid()))
time.sleep(1000)
"""]
        "#;
    let reaper = Marked::start(manifest, 3);
    kill_process(reaper.runner, Signal::KILL).unwrap();
    reaper.end_of_all().expect(137);
    let reaper = Marked::start(manifest, 3);
    kill_process(reaper.running.pid(), Signal::TERM).unwrap();
    kill_process(reaper.running.pid(), Signal::TERM).unwrap();
    kept(&reaper.end_of_all(), 143);
}

#[test]
fn f16_ten_thousand_zombies_are_reaped_and_cost_no_memory() {
    if !require("python3") {
        return;
    }
    let manifest = r#"
        [[task]]
        name = "crowd"
        run  = """
            echo $PPID > up
            cat go
            exec python3 -c '
import os
for _ in range(10_000):
    if os.fork() == 0:
        os._exit(0)
'
        """
        [[task]]
        name  = "after"
        after = ["crowd"]
        run   = ["cat", "gate"]
        "#;
    let gate = Arc::new(Mutex::new(None));
    let its = Arc::clone(&gate);
    let crowd = Marked::start_as(manifest, 0, move |story| {
        *its.lock().unwrap() = Some(story.gate("gate"));
        story
    });
    let before = peak_memory(crowd.runner);
    crowd.go.open();
    let after = gate.lock().unwrap().as_ref().unwrap().reached();
    until("all are reaped", || zombies_of(crowd.runner) == 0);
    let grown = peak_memory(crowd.runner).saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB more than {before} KiB");
    drop(after);
    kept(&crowd.end_of_all(), 0);
}

/// A cgroup whose members may have this much memory together: its folder. Nothing if there can be none.
fn with_memory(bytes: u64) -> Option<PathBuf> {
    let name = format!("jobrun-test-{}", mark());
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let places = [
        (PathBuf::from("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (PathBuf::from("/sys/fs/cgroup").join(own), "memory.max"),
    ];
    for (place, limit) in places {
        let group = place.join(&name);
        if fs::create_dir(&group).is_ok() {
            if group.join(limit).exists() {
                fs::write(group.join(limit), bytes.to_string()).unwrap();
                // Where there is no swap there is no such limit either.
                let _ = fs::write(group.join("memory.swap.max"), "0");
                return Some(group);
            }
            fs::remove_dir(&group).unwrap();
        }
    }
    skipped("there is no memory cgroup that could be changed here");
    None
}

#[test]
fn f40_nothing_survives_a_runner_that_the_system_kills_for_want_of_memory() {
    let Some(group) = with_memory(64 << 20) else { return };
    let join = format!("echo $$ > '{}/cgroup.procs' && exec \"$@\"", group.display());
    let hungry = FIVE.replace("exec sleep MARK", "cat go; exec tail /dev/zero");
    let five = Marked::start_as(&hungry, 4, |story| story.under(&["sh", "-c", &join, "sh"]));
    // The system takes the one with the most points.
    fs::write(format!("/proc/{}/oom_score_adj", five.runner.as_raw_pid()), "1000").unwrap();
    five.go.open();
    let end = five.end_of_all();
    // Who would have written the report was killed.
    end.expect(137).says("the runner was killed by SIGKILL (signal 9); so was all it had started");
    until("the group is empty", || fs::remove_dir(&group).is_ok());
}

#[test]
fn f49_a_stranger_that_gets_the_number_of_a_child_is_left_alone() {
    if !require("unshare") {
        return;
    }
    let alone = ["unshare", "-pf", "--mount-proc"];
    let works = Command::new(alone[0]).args(&alone[1..]).arg("true").output();
    if !works.unwrap().status.success() {
        return skipped("there are no process namespaces");
    }
    let script = r#"
        "$@" &
        jobrun=$!
        read pid < pid
        kill -TERM $jobrun
        read x < gone
        while :; do
            echo $((pid - 1)) > /proc/sys/kernel/ns_last_pid
            setsid sleep 1000 &
            [ $! = $pid ] && break
            kill -KILL $!
        done
        echo > passed
        wait $jobrun
        code=$?
        kill -0 $pid && echo alive > verdict
        kill -KILL $pid
        exit $code
    "#;
    // What was asked to end does so, while its end by force is due a moment later.
    let manifest = r#"
        [[task]]
        name  = "obeys"
        run   = "trap 'exit 0' TERM; echo $$ > pid; sleep 1000 & wait"
        grace = "300ms"
        [[task]]
        name  = "after"
        after = ["obeys"]
        when  = "always"
        run   = "echo > gone; read x < passed; exec sleep 0.6"
        "#;
    let story = Story::new(manifest).file("script.sh", script);
    let gates = ["pid", "gone", "passed"].map(|name| story.gate(name));
    let end = story.under(&[&alone[..], &["sh", "script.sh"]].concat()).run();
    drop(gates);
    kept(&end, 143);
    assert_eq!(end.file("verdict"), "alive\n", "{}", end.stderr);
}
