//! Promises about signals, being paused or stopped for a while, terminals, clocks.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::promises::kept;
use crate::story::{Door, End, Running, Story, require};

const STOP: [(Signal, i32); 4] =
    [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)];

/// Whom a signal is sent to.
#[derive(Clone, Copy, Debug)]
enum To {
    /// The process that a user sees.
    Guard,
    /// The one that does the work.
    Runner,
    /// Both, as those who stop whole groups of processes do.
    Both,
    /// The only one there is.
    Alone,
}

fn send(running: &Running, to: To, signal: Signal) {
    let processes = match to {
        To::Guard | To::Alone => vec![running.pid()],
        To::Runner => vec![running.runner()],
        To::Both => vec![running.pid(), running.runner()],
    };
    for pid in processes {
        kill_process(pid, signal).unwrap();
    }
}

/// Looks until something is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain until {what}");
}

/// The letter of a process's state: `T` if it is stopped, `Z` once it has ended.
fn state(pid: Pid) -> char {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let stat = stat.unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('X')
}

/// Something in C that stands between a program and the system, built in `story`'s folder:
///
/// - where jobrun's is the name, no process can be forked, so that there is no guard;
/// - with `CLOCKS=wild` the time of day and the time since boot are anything, other ones at each look.
fn shim(story: &Story) -> Option<String> {
    if !require("cc") {
        return None;
    }
    let (source, library) = (story.path("shim.c"), story.path("shim.so"));
    fs::write(&source, SHIM).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(built.success());
    Some(library.to_str().unwrap().to_owned())
}

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

pid_t fork(void) {
    if (getenv("NO_FORK") && !strcmp(program_invocation_short_name, "jobrun")) {
        errno = EAGAIN;
        return -1;
    }
    return ((pid_t (*)(void))dlsym(RTLD_NEXT, "fork"))();
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static __thread unsigned looks;
    int done = syscall(SYS_clock_gettime, clock, time);
    int wild = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_BOOTTIME;
    if (done == 0 && wild && getenv("CLOCKS")) {
        switch ((looks++ + getpid() + time->tv_nsec / 1000) % 4) {
        case 0: time->tv_sec += 3600; break;
        case 1: time->tv_sec -= 3600; break;
        case 2: time->tv_sec = 0; time->tv_nsec = 0; break;
        }
    }
    return done;
}
"#;

/// A run without a guard.
fn unguarded(story: Story) -> Option<Story> {
    let shim = shim(&story)?;
    Some(story.env("LD_PRELOAD", shim).env("NO_FORK", "1"))
}

/// A task that, asked to end, comes to the gate `asked` and then leaves in order. What it waits for ends
/// with it: it is another program when that is told.
const POLITE: &str = r#"
    [[task]]
    name  = "polite"
    run   = "trap 'echo asked >> log; cat asked; echo left >> log; exit 1' TERM; sh -c 'echo > at; exec sleep 1000' & wait"
    grace = "10m"
    [[task]]
    name  = "clean"
    run   = ["echo", "cleaned"]
    after = ["polite"]
    when  = "always"
"#;

fn is_asked_once(story: Story, to: To, signal: Signal, code: i32) {
    let (at, asked) = (story.gate("at"), story.gate("asked"));
    let running = story.spawn();
    at.passed();
    send(&running, to, signal);
    asked.open();
    let end = running.end();
    kept(&end, code);
    assert_eq!(end.file("log"), "asked\nleft\n", "{signal:?} to {to:?}");
    assert_eq!(end.report["outcome"], "interrupted");
    assert_eq!(end.future("polite")["cause"]["kind"], "interrupt");
    assert_eq!(end.result("clean"), "cleaned");
    let events: Vec<_> = end.events.iter().map(|it| it["event"].as_str().unwrap()).collect();
    assert_eq!(events.iter().filter(|it| **it == "interrupted").count(), 1);
    assert_eq!(*events.last().unwrap(), "job_finished");
    end.says(": interrupted by SIG");
}

#[test]
fn f04_a_signal_asks_each_task_once_whichever_process_it_is_sent_to() {
    for to in [To::Guard, To::Runner, To::Both] {
        for (signal, code) in STOP {
            is_asked_once(Story::new(POLITE), to, signal, code);
        }
    }
}

#[test]
fn f04_a_signal_asks_each_task_once_without_a_guard_too() {
    for (signal, code) in STOP {
        let Some(story) = unguarded(Story::new(POLITE)) else { return };
        is_asked_once(story, To::Alone, signal, code);
    }
}

#[test]
fn f05_a_task_that_ignores_every_signal_is_killed_after_its_grace() {
    let story = Story::new(
        r#"
        [[task]]
        name  = "deaf"
        run   = "trap '' INT TERM HUP QUIT; cat gate; sleep 1000"
        grace = "100ms"
        "#,
    );
    let gate = story.gate("gate");
    let running = story.spawn();
    gate.open();
    running.signal(Signal::TERM);
    let end = running.end();
    kept(&end, 143);
    assert_eq!(end.state("deaf"), "cancelled");
    assert_eq!(end.future("deaf")["signal"], 9);
}

#[test]
fn f06_a_second_signal_kills_at_once_and_more_do_no_harm() {
    for to in [To::Guard, To::Runner, To::Both] {
        let story = Story::new(
            r#"
            [[task]]
            name  = "stays"
            run   = "trap 'cat asked' TERM; sh -c 'echo > at; exec sleep 1000' & wait; while :; do sleep 1000; done"
            grace = "10m"
            "#,
        );
        let (at, asked) = (story.gate("at"), story.gate("asked"));
        let running = story.spawn();
        at.passed();
        send(&running, to, Signal::INT);
        let _never_opened = asked.reached();
        send(&running, to, Signal::TERM);
        for _ in 0..50 {
            // Some of these meet jobrun at its own end, whoever is left of it.
            running.signal(Signal::INT);
            thread::sleep(Duration::from_millis(1));
        }
        let end = running.end();
        kept(&end, 130);
        assert_eq!(end.future("stays")["signal"], 9, "{to:?}");
    }
}

/// Two tasks, a call on a thread and one in a process, and the job itself have less time than the pause
/// takes. One task has failed and waits to be tried again.
fn patient(door: &Door, other: &Door) -> String {
    format!(
        r#"
        [wait]
        timeout = "8s"
        [executors.apart]
        kind = "process"
        max_workers = 1
        [executor]
        kind = "thread"
        max_workers = 4
        [[task]]
        name = "child"
        run = ["cat", "gate"]
        timeout = "8s"
        [[task]]
        name = "call"
        call = "http"
        args = ["{}"]
        timeout = "8s"
        [[task]]
        name = "call-apart"
        executor = "apart"
        call = "http"
        args = ["{}"]
        timeout = "8s"
        [[task]]
        name = "again"
        run = "echo >> tries; test $(wc -l < tries) -eq 2"
        retry = {{ count = 1, delay = "2s" }}
        "#,
        door.url(),
        other.url()
    )
}

/// How long a pause takes, at least.
const PAUSE: Duration = Duration::from_secs(9);

fn pauses(to: To, story: impl FnOnce(Story) -> Option<Story>) {
    let (door, other) = (Door::new(), Door::new());
    let Some(story) = story(Story::new(&patient(&door, &other))) else { return };
    let gate = story.gate("gate");
    let running = story.spawn();
    let held = gate.reached();
    let (knock, other_knock) = (door.knock(), other.knock());
    until("one has failed", || running.path("tries").exists());
    send(&running, to, Signal::TSTP);
    // A guard that was not told has nothing to stop for.
    let runner = if matches!(to, To::Alone) { running.pid() } else { running.runner() };
    until("the runner has stopped", || state(runner) == 'T');
    if !matches!(to, To::Runner) {
        running.await_stop();
    }
    let guard = running.pid();
    until("all have stopped", || {
        running.family().iter().all(|pid| *pid == guard || state(*pid) == 'T')
    });
    thread::sleep(PAUSE);
    drop(held);
    assert!(running.family().iter().all(|pid| *pid == guard || state(*pid) == 'T'));
    send(&running, to, Signal::CONT);
    knock.answer("one");
    other_knock.answer("two");
    let end = running.end();
    kept(&end, 0);
    tells_of_the_pause(&end);
}

fn tells_of_the_pause(end: &End) {
    let report = &end.report;
    let number = |value: &Value| value.as_f64().unwrap();
    let moment = |key: &str| humantime::parse_rfc3339(report[key].as_str().unwrap()).unwrap();
    let (elapsed, paused) = (number(&report["elapsed"]), number(&report["paused"]));
    assert!(paused >= PAUSE.as_secs_f64(), "{paused}");
    assert!(elapsed < 8.0, "{elapsed}");
    let took = moment("finished_at").duration_since(moment("started_at")).unwrap();
    assert!((took.as_secs_f64() - elapsed - paused).abs() < 0.001, "{took:?} {elapsed} {paused}");
    let told = end.events.iter().find(|it| it["event"] == "goes_on").unwrap();
    assert!(number(&told["paused"]) >= PAUSE.as_secs_f64());
    for name in ["child", "call", "call-apart"] {
        assert!(number(&end.future(name)["elapsed"]) < 8.0, "{name}");
    }
    let tries = end.future("again")["attempts"].as_array().unwrap();
    let ended = number(&tries[0]["started"]) + number(&tries[0]["elapsed"]);
    assert!(number(&tries[1]["started"]) - ended >= 1.999, "the delay was charged with the pause");
    end.says("paused for ");
}

#[test]
fn f07_what_a_run_is_paused_for_counts_nowhere() {
    thread::scope(|scope| {
        for to in [To::Guard, To::Runner, To::Both] {
            scope.spawn(move || pauses(to, Some));
        }
        scope.spawn(|| pauses(To::Alone, unguarded));
    });
}

#[test]
fn f07_the_grace_of_a_task_leaves_a_pause_out() {
    let story = Story::new(
        r#"
        [[task]]
        name  = "slow"
        run   = "trap 'cat asked; echo left > log; exit 1' TERM; sh -c 'echo > at; exec sleep 1000' & wait"
        grace = "5s"
        "#,
    );
    let (at, asked) = (story.gate("at"), story.gate("asked"));
    let running = story.spawn();
    at.passed();
    running.signal(Signal::TERM);
    let held = asked.reached();
    running.pause();
    thread::sleep(Duration::from_millis(5500));
    running.signal(Signal::CONT);
    drop(held);
    let end = running.end();
    kept(&end, 143);
    assert_eq!(end.file("log"), "left\n");
}

#[test]
fn f07_a_run_that_is_paused_and_stopped_ends_when_it_goes_on() {
    let story = Story::new(POLITE);
    let (at, asked) = (story.gate("at"), story.gate("asked"));
    let running = story.spawn();
    at.passed();
    running.pause();
    running.signal(Signal::TERM);
    running.signal(Signal::CONT);
    asked.open();
    let end = running.end();
    kept(&end, 143);
    assert_eq!(end.file("log"), "asked\nleft\n");
}

#[test]
fn f07_pauses_that_follow_each_other_closely_never_leave_a_run_stopped() {
    let story = Story::new("[[task]]\nname = \"t\"\nrun = [\"cat\", \"gate\"]\n");
    let gate = story.gate("gate");
    let running = story.spawn();
    let held = gate.reached();
    for round in 0..200 {
        running.signal(Signal::TSTP);
        if round % 2 == 0 {
            thread::sleep(Duration::from_micros(round * 20));
        }
        running.signal(Signal::CONT);
    }
    drop(held);
    // It may be about to stop for the last time, having been told to go on before.
    until("it has ended", || {
        let _ = kill_process(running.pid(), Signal::CONT);
        state(running.pid()) == 'Z'
    });
    kept(&running.end(), 0);
}

#[test]
fn f07_when_the_guard_of_a_paused_run_is_killed_nothing_stays() {
    let story = Story::new("[[task]]\nname = \"t\"\nrun = [\"cat\", \"gate\"]\n");
    let gate = story.gate("gate");
    let running = story.spawn();
    let _held = gate.reached();
    running.pause();
    running.signal(Signal::KILL);
    // The run is over at once, so it has no report.
    let end = running.end();
    end.expect(137);
    assert_eq!(end.leftovers(), []);
}

/// More children than a thread hears of at once end while nobody can hear of it.
#[test]
fn f08_what_ends_while_the_runner_is_stopped_has_not_timed_out() {
    let story = Story::new(
        r#"
        [executor]
        max_workers = 80
        [[task]]
        name    = "t"
        map     = { range = [0, 80] }
        run     = "exec 3< gate; echo >> ready; read line <&3 || true"
        timeout = "8s"
        "#,
    );
    let _gate = story.gate("gate");
    let open = OpenOptions::new().read(true).write(true).open(story.path("gate")).unwrap();
    let running = story.spawn();
    let ready = running.path("ready");
    until("all are ready", || fs::read(&ready).is_ok_and(|lines| lines.len() == 80));
    let runner = running.runner();
    kill_process(runner, Signal::STOP).unwrap();
    until("the runner has stopped", || state(runner) == 'T');
    drop(open);
    // Of those that have ended nobody can tell any more whose they were.
    until("all have ended", || running.family().len() == 2);
    thread::sleep(Duration::from_millis(8500));
    kill_process(runner, Signal::CONT).unwrap();
    let end = running.end();
    kept(&end, 0);
    // Nobody tells a process of SIGSTOP, so that time counts.
    assert_eq!(end.report["paused"], 0.0);
    assert!(end.report["elapsed"].as_f64().unwrap() >= 8.5);
}

/// Runs a program on a terminal of its own, and answers what it says; ends as it does.
const TERMINAL: &str = r"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
seen, answers = b'', [line.rstrip('\n').split(' -> ') for line in open('answers')]
while True:
    try:
        said = os.read(terminal, 4096)
    except OSError:
        break
    seen += said
    sys.stdout.buffer.write(said)
    while answers and answers[0][0].encode() in seen:
        wanted, answer = answers.pop(0)
        seen = seen.split(wanted.encode(), 1)[1]
        os.write(terminal, answer.encode().decode('unicode_escape').encode())
for wanted, _ in answers:
    print('never said:', wanted)
sys.stdout.flush()
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
";

fn on_a_terminal(story: Story, answers: &str) -> Option<Story> {
    let story = story.file("terminal.py", TERMINAL).file("answers", answers);
    require("python3").then(|| story.under(&["python3", "terminal.py"]))
}

#[test]
fn f09_a_task_has_no_terminal_that_it_could_take_read_or_write() {
    let grab = r"
import os, signal, sys
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
signal.signal(signal.SIGTTIN, signal.SIG_IGN)
try:
    os.open('/dev/tty', os.O_RDWR)
    print('it has a terminal')
except OSError as error:
    print(error.strerror)
terminal = os.open(os.readlink('/proc/%d/fd/2' % os.getppid()), os.O_RDWR | os.O_NOCTTY)
try:
    os.tcsetpgrp(terminal, os.getpgrp())
    print('it has taken the terminal')
except OSError as error:
    print(error.strerror)
";
    let story = Story::new(
        r#"
        [[task]]
        name   = "grab"
        run    = ["python3", "grab.py"]
        [[task]]
        name   = "read"
        run    = "read line < /dev/tty"
        after  = ["grab"]
        "#,
    );
    let story = story.file("grab.py", grab);
    let Some(story) = on_a_terminal(story, "") else { return };
    let end = story.run();
    end.expect(1);
    assert_eq!(end.result("grab"), "No such device or address\nInappropriate ioctl for device");
    // No program can wait for somebody to type something: it fails.
    assert_eq!(end.state("read"), "failed");
    assert_eq!(end.future("read")["error"]["kind"], "exit");
    assert_eq!(end.leftovers(), []);
}

#[test]
fn f07_ctrl_z_gives_the_terminal_back_and_fg_goes_on() {
    let story = Story::new("[[task]]\nname = \"t\"\nrun = \"echo it runs; cat gate\"\n");
    let story = story.arg("--output").arg("live");
    let (paused, gate) = (story.gate("paused"), story.gate("gate"));
    let Some(story) = on_a_terminal(story, "it runs -> \\x1a\n") else { return };
    if !require("bash") {
        return;
    }
    // As at a prompt: what is stopped becomes a job, and the shell goes on.
    let shell = "set -m; \"$@\"; echo code=$?; cat paused; fg; echo code=$?";
    let running = story.under(&["python3", "terminal.py", "bash", "-c", shell, "bash"]).spawn();
    let held = paused.reached();
    drop(held);
    gate.open();
    let end = running.end();
    kept(&end, 0);
    assert!(end.report["paused"].as_f64().unwrap() > 0.0);
    let said: Vec<_> = end.stdout.lines().filter(|line| line.starts_with("code=")).collect();
    // 128 and SIGSTOP, and then success.
    assert_eq!(said, ["code=147", "code=0"], "{}", end.stdout);
}

#[test]
fn f47_f48_durations_and_names_are_right_whatever_other_clocks_do() {
    let mut names = BTreeSet::new();
    for _ in 0..20 {
        let story = Story::new(
            "[wait]\ntimeout = \"10m\"\n[[task]]\nname = \"t\"\nrun = [\"sleep\", \"0.2\"]\ntimeout = \"10m\"\n",
        );
        let Some(shim) = shim(&story) else { return };
        let end = story.env("LD_PRELOAD", shim).env("CLOCKS", "wild").run();
        kept(&end, 0);
        let elapsed = end.report["elapsed"].as_f64().unwrap();
        let of_task = end.future("t")["elapsed"].as_f64().unwrap();
        assert!(
            (0.2..600.0).contains(&of_task) && (of_task..600.0).contains(&elapsed),
            "{elapsed}"
        );
        names.insert(end.report["run_id"].as_str().unwrap().to_owned());
    }
    assert_eq!(names.len(), 20);
}
