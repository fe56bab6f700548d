//! The lives and deaths of worker processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use jobrun::executor::Backend;
use jobrun::executor::local::WorkerProgram;
use jobrun::executor::protocol::{FromWorker, Hello, Message};
use jobrun::id::ExecutorId;
use jobrun::outcome::{FailureKind, Outcome};
use jobrun::value::Value;
use jobrun::work::{Notice, Stop};
use tempfile::TempDir;

use super::bench::{Bench, Open, RUN, Told, fake, ints, logged, logging};
use crate::story::own_functions;

#[test]
fn a_worker_that_cannot_be_started_breaks_the_executor() {
    let missing =
        Bench { worker: WorkerProgram::at("/nowhere/to/be/found"), ..Bench::processes(2) };
    let quits = Bench::processes(2).script("echo 'no such library' >&2; exit 7");
    let babbles = Bench::processes(2).script("echo hello, this is no worker; cat");
    for (bench, cause) in
        [(missing, "/nowhere/to/be/found"), (quits, "exit code 7"), (babbles, "message")]
    {
        let mut open = bench.open();
        for node in 0..10 {
            open.start(node, "echo", ints([1]));
        }
        let told = open.until(10);
        assert_eq!(told.broken.len(), 1);
        let message = &told.broken[0];
        assert!(message.contains("could not be started: "), "{message}");
        assert!(message.contains(cause), "{message}");
        assert!((0..10).all(|node| told.failure(node).kind == FailureKind::BrokenExecutor));
    }
}

#[test]
fn a_worker_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let hello = Hello { protocol: 77, version: "9.9.9".to_owned(), run_id: RUN.to_owned() };
    let bench = Bench::processes(1).script(&fake(&folder, &hello, "cat >/dev/null"));
    let mut open = bench.open();
    open.start(0, "echo", ints([1]));
    let told = open.until(1);
    let message = &told.broken[0];
    assert!(message.contains("it is jobrun 9.9.9 with protocol 77, this is "), "{message}");
}

#[test]
fn a_killed_worker_takes_only_its_own_call_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = Bench::processes(2).ahead().script(&logging(&folder)).open();
    for node in 0..50 {
        open.start(node, "echo", ints([node.into()]));
    }
    open.start(50, "sleep", vec!["1day".into()]);
    for node in 51..100 {
        open.start(node, "echo", ints([node.into()]));
    }
    let mut told = open.until(99);
    // Only the sleeper is left, and only its worker is not idle.
    let pids = logged(&folder);
    assert!((1..=2).contains(&pids.len()));
    let name = |pid: u32| {
        let children = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(children.contains("--jobrun-worker"));
    };
    for pid in &pids {
        name(*pid);
    }
    for pid in &pids {
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    }
    told.ended.append(&mut open.until(1).ended);
    for node in (0..100).filter(|node| *node != 50) {
        assert_eq!(told.result(node), node.into());
    }
    let failure = told.failure(50);
    assert_eq!(failure.kind, FailureKind::WorkerDeath);
    let message = failure.message;
    assert!(message.contains("was killed by SIGKILL (signal 9) while it ran t[50]"), "{message}");
    assert!(pids.iter().any(|pid| message.contains(&format!("(pid {pid})"))), "{message}");
    assert_eq!(told.ended[&50].child.as_ref().unwrap().signal, Some(9));
    assert_eq!(open.one("echo", ints([1])), Outcome::Succeeded(1.into()), "it is replaced");
}

#[test]
fn calls_sent_ahead_survive_the_death_of_their_worker() {
    let mut open = Bench::own(1).ahead().open();
    for node in 0..200 {
        let deadly = node == 100;
        let (function, argument) = if deadly { ("exit", 99) } else { ("echo", i128::from(node)) };
        open.start(node, function, ints([argument]));
    }
    let told = open.until(200);
    for node in (0..200).filter(|node| *node != 100) {
        assert_eq!(told.result(node), node.into());
    }
    let failure = told.failure(100);
    assert_eq!(failure.kind, FailureKind::WorkerDeath);
    let message = failure.message;
    assert!(message.contains("terminated abruptly with exit code 99"), "{message}");
    assert!(message.contains("while it ran t[100]"), "{message}");
    assert_eq!(told.ended[&100].child.as_ref().unwrap().exit_code, Some(99));
    assert_eq!(told.started.len(), 200, "nothing ran twice");
}

/// Opens one worker that takes notes, and hands it calls to note their own numbers. Each tenth takes
/// longer.
fn takes_notes(count: u32) -> (TempDir, Open) {
    let folder = tempfile::tempdir().unwrap();
    let program = own_functions();
    let script = logging(&folder).replace(env!("CARGO_BIN_EXE_jobrun"), program.to_str().unwrap());
    let mut open = Bench::processes(1).members(count).ahead().script(&script).open();
    let notes = folder.path().join("notes");
    for node in 0..count {
        let millis = if node % 10 == 7 { 0.3 } else { 0.0 };
        let args = vec![notes.to_str().unwrap().into(), node.to_string().into(), millis.into()];
        open.start(node, "note", args);
    }
    (folder, open)
}

/// How often each call was made.
fn notes(folder: &TempDir) -> BTreeMap<u32, u32> {
    let mut notes = BTreeMap::new();
    for line in fs::read_to_string(folder.path().join("notes")).unwrap().lines() {
        *notes.entry(line.parse().unwrap()).or_default() += 1;
    }
    notes
}

#[test]
fn no_call_is_made_twice_when_a_worker_is_killed_from_outside() {
    let count = 1000;
    let (folder, mut open) = takes_notes(count);
    let mut told = Told::default();
    let mut kills = 0;
    while told.ended.len() < count as usize {
        told.note(open.next());
        if told.ended.len() / 200 > kills {
            let pid = logged(&folder).pop().unwrap().to_string();
            let _ = Command::new("kill").args(["-9", &pid]).status().unwrap();
            kills += 1;
        }
    }
    let notes = notes(&folder);
    assert!(notes.values().all(|times| *times == 1), "{notes:?}");
    let mut failed = 0;
    for (node, done) in &told.ended {
        match &done.outcome {
            Outcome::Succeeded(_) => assert!(notes.contains_key(node), "{node} was not made"),
            Outcome::Failed(failure) => {
                assert_eq!(failure.kind, FailureKind::WorkerDeath);
                failed += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(failed <= kills, "a death fails one call at most");
}

#[test]
fn no_call_is_made_twice_and_none_fails_when_others_are_stopped() {
    let count = 400;
    let (folder, mut open) = takes_notes(count);
    let mut told = Told::default();
    let mut stopped = BTreeSet::new();
    while told.ended.len() + told.recalled.len() < count as usize {
        let notice = open.next();
        if let Notice::Started { node, .. } = notice
            && node.0 % 10 == 7
        {
            // At any moment of the call, and after it.
            let moment = Instant::now() + Duration::from_micros(u64::from(node.0 * 37 % 400));
            while Instant::now() < moment {}
            open.stop(node.0, Stop::Stop);
            stopped.insert(node.0);
        }
        told.note(notice);
    }
    assert_eq!(stopped.len(), count as usize / 10);
    let notes = notes(&folder);
    assert!(notes.values().all(|times| *times == 1), "{notes:?}");
    for (node, done) in &told.ended {
        match &done.outcome {
            Outcome::Succeeded(_) => assert!(notes.contains_key(node), "{node} was not made"),
            Outcome::Cancelled => assert!(stopped.contains(node), "{node} was stopped unasked"),
            other => panic!("{node}: {other:?}"),
        }
    }
    assert!(told.recalled.is_empty(), "what has started is not taken back");
}

/// A worker that is asked for call 1 and ends it, is asked for so many more, says the first of these, perhaps
/// as soon as it hears something again the second, and goes on as `then` says. Those that replace it
/// are real.
fn acting(
    folder: &TempDir,
    asked: usize,
    first: &[FromWorker],
    second: Option<&[FromWorker]>,
    then: &str,
) -> Bench {
    let say = |name: &str, hear: &str, messages: &[FromWorker]| {
        let mut bytes = Vec::new();
        for message in messages {
            message.encode(&mut bytes).unwrap();
        }
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        format!("{hear} >/dev/null 2>&1; cat {}", path.display())
    };
    // Just the calls: it may be impatient by then, and what else it says is for later.
    let calls = |count: usize| format!("head -c {}", 23 * count);
    let mut lines =
        vec![say("once", &calls(1), &[done(1, "one")]), say("first", &calls(asked), first)];
    lines.extend(second.map(|second| say("second", "dd bs=64k count=1", second)));
    lines.push(then.to_owned());
    let fake = fake(folder, &Hello::new(RUN), &lines.join("; "));
    let (flag, real) = (folder.path().join("flag"), logging(folder));
    let flag = flag.display();
    Bench::processes(1)
        .ahead()
        .script(&format!("if [ -e {flag} ]; then {real}; else touch {flag}; {fake}; fi"))
}

fn started(id: u64) -> FromWorker {
    FromWorker::Started { id, at: Duration::ZERO }
}

fn done(id: u64, result: &str) -> FromWorker {
    let (started, ended) = (Duration::ZERO, Duration::ZERO);
    FromWorker::Done { id, started, ended, result: Ok(result.into()) }
}

#[test]
fn a_call_that_got_its_turn_just_before_a_stop_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let late = [done(2, "two"), started(3), done(3, "three")];
    let mut open = acting(&folder, 2, &[started(2)], Some(&late), "exec cat >/dev/null").open();
    open.one("echo", ints([0]));
    open.start(2, "echo", ints([0]));
    open.start(3, "echo", ints([0]));
    open.started(2);
    open.stop(2, Stop::Stop);
    let told = open.until(2);
    assert_eq!((told.result(2), told.result(3)), ("two".into(), "three".into()));
}

#[test]
fn only_the_call_that_ran_fails_with_its_worker() {
    let folder = tempfile::tempdir().unwrap();
    let first = [started(2), done(2, "two"), started(3)];
    let mut open = acting(&folder, 4, &first, None, "kill -9 $$").open();
    open.one("echo", ints([0]));
    for node in 2..6 {
        open.start(node, "echo", ints([node.into()]));
    }
    let told = open.until(4);
    assert_eq!(told.result(2), "two".into());
    assert!(told.failure(3).message.contains("while it ran t[3]"));
    assert_eq!((told.result(4), told.result(5)), (4.into(), 5.into()));
}

#[test]
fn nothing_is_made_again_that_a_worker_gone_mad_may_have_made() {
    let folder = tempfile::tempdir().unwrap();
    let first = [started(2), done(2, "two"), FromWorker::Ready(None)];
    let mut open = acting(&folder, 3, &first, None, "exec cat >/dev/null").open();
    open.one("echo", ints([0]));
    for node in 2..5 {
        open.start(node, "echo", ints([node.into()]));
    }
    let told = open.until(3);
    assert_eq!(told.result(2), "two".into());
    for node in 3..5 {
        let failure = told.failure(node);
        assert_eq!(failure.kind, FailureKind::WorkerDeath);
        assert!(failure.message.contains("broke the protocol"), "{}", failure.message);
        assert!(failure.message.contains("said ready out of turn"), "{}", failure.message);
    }
    assert_eq!(open.one("echo", ints([6])), Outcome::Succeeded(6.into()));
}

#[test]
fn what_a_stuck_worker_never_started_is_made_once_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = Bench::own(1).ahead().open();
    for node in 0..50 {
        open.start(node, "echo", ints([1]));
    }
    open.until(50);
    let notes = folder.path().join("notes");
    open.start(50, "freeze", vec![]);
    for node in 51..55 {
        open.start(
            node,
            "note",
            vec![notes.to_str().unwrap().into(), node.to_string().into(), 0.0.into()],
        );
    }
    open.started(50);
    open.stop(50, Stop::Stop);
    let told = open.until(5);
    assert_eq!(told.outcome(50), Outcome::Cancelled);
    assert!((51..55).all(|node| matches!(told.outcome(node), Outcome::Succeeded(_))));
    assert_eq!(fs::read_to_string(notes).unwrap(), "51\n52\n53\n54\n");
}

#[test]
fn a_call_is_taken_back_while_its_worker_gets_ready() {
    let mut open = Bench::processes(1).initializer("sleep", vec!["1day".into()]).open();
    open.start(0, "echo", ints([1]));
    open.stop(0, Stop::Recall);
    open.start(1, "echo", ints([1]));
    open.stop(1, Stop::Stop);
    assert_eq!(open.until(2).recalled, [0, 1].into());
}

#[test]
fn last_words_are_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let dies = "head -c 1 >/dev/null; echo 'out of cheese' >&2; kill -SEGV $$";
    let hello = Hello::new(RUN);
    let mut open = Bench::processes(1).script(&fake(&folder, &hello, dies)).open();
    open.start(3, "echo", ints([1]));
    let failure = open.until(1).failure(3);
    assert_eq!(failure.kind, FailureKind::WorkerDeath);
    let message = failure.message;
    assert!(message.contains("SIGSEGV (signal 11) while it ran t[3]"), "{message}");
    assert!(message.contains("its last words: out of cheese"), "{message}");
}

#[test]
fn a_worker_that_talks_nonsense_fails_its_own_call_and_goes() {
    let frame = |message: FromWorker| {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).unwrap();
        bytes
    };
    let done = |id| FromWorker::Done {
        id,
        started: Duration::ZERO,
        ended: Duration::ZERO,
        result: Ok(Value::Null),
    };
    let half = frame(done(1))[..6].to_vec();
    let nonsense: [(&str, Vec<u8>); 7] = [
        ("an unknown kind", vec![1, 0, 0, 0, 200]),
        ("longer than", vec![255, 255, 255, 255, 104]),
        ("it is empty", vec![0, 0, 0, 0]),
        ("call 9", frame(done(9))),
        ("gave call 1 back unasked", frame(FromWorker::Recalled { id: 1 })),
        ("said hello out of turn", frame(FromWorker::Hello(Hello::new(RUN)))),
        ("in the middle of a message", half),
    ];
    for (cause, bytes) in nonsense {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("nonsense");
        fs::write(&said, bytes).unwrap();
        // The first worker is a fake, those that replace it are not.
        let (fake, real) = (
            fake(
                &folder,
                &Hello::new(RUN),
                &format!("head -c 1 >/dev/null; cat {}", said.display()),
            ),
            logging(&folder),
        );
        let flag = folder.path().join("second");
        let stay = if cause.contains("middle") { "" } else { "; exec cat >/dev/null" };
        let script =
            format!("if [ -e {0} ]; then {real}; else touch {0}; {fake}{stay}; fi", flag.display());
        let mut open = Bench::processes(1).script(&script).open();
        for node in 0..5 {
            open.start(node, "echo", ints([node.into()]));
        }
        let told = open.until(5);
        let failure = told.failure(0);
        assert_eq!(failure.kind, FailureKind::WorkerDeath);
        assert!(failure.message.contains("while it ran t[0]"), "{}", failure.message);
        assert!(failure.message.contains(cause), "{cause}: {}", failure.message);
        assert!((1..5).all(|node| told.result(node) == node.into()));
    }
}

#[test]
fn an_end_told_twice_ends_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let done = FromWorker::Done {
        id: 1,
        started: Duration::ZERO,
        ended: Duration::ZERO,
        result: Ok("once".into()),
    };
    let mut bytes = Vec::new();
    done.encode(&mut bytes).unwrap();
    done.encode(&mut bytes).unwrap();
    let twice = folder.path().join("twice");
    fs::write(&twice, bytes).unwrap();
    let then = format!("head -c 1 >/dev/null; cat {}; exec cat >/dev/null", twice.display());
    let bench = Bench::processes(1).script(&fake(&folder, &Hello::new(RUN), &then));
    let mut open = bench.open();
    open.start(0, "echo", ints([1]));
    let told = open.until(1);
    assert_eq!(told.result(0), "once".into());
    let Notice::Warning(message) = open.next() else { panic!() };
    assert!(message.contains("broke the protocol") && message.contains("call 1"), "{message}");
}

#[test]
fn a_worker_that_dies_while_it_reads_a_large_message_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let then = "head -c 100000 >/dev/null; exit 3";
    let bench = Bench::processes(1).script(&fake(&folder, &Hello::new(RUN), then));
    let mut open = bench.open();
    open.start(0, "echo", vec!["x".repeat(1 << 20).into()]);
    let message = open.until(1).failure(0).message;
    assert!(message.contains("terminated abruptly with exit code 3"), "{message}");
    assert!(message.contains("t[0]"), "{message}");
}

#[test]
fn a_worker_that_dies_while_idle_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = Bench::processes(1).script(&logging(&folder)).open();
    assert_eq!(open.one("echo", ints([1])), Outcome::Succeeded(1.into()));
    let pid = logged(&folder)[0].to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let Notice::Warning(message) = open.next() else { panic!() };
    assert!(message.contains("while it was idle"), "{message}");
    assert_eq!(open.one("echo", ints([2])), Outcome::Succeeded(2.into()));
}

#[test]
fn no_worker_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = Bench::processes(3).script(&logging(&folder)).open();
    open.start(0, "sleep", vec!["1day".into()]);
    open.start(1, "echo", ints([1]));
    while !matches!(open.next(), Notice::Ended(_)) {}
    drop(open);
    let pids = logged(&folder);
    assert!(!pids.is_empty());
    for pid in pids {
        assert!(!PathBuf::from(format!("/proc/{pid}")).exists());
    }
}

#[test]
fn a_worker_is_replaced_after_so_many_calls() {
    let mut open = Bench::own(1).max_tasks(3).open();
    for node in 0..7 {
        open.start(node, "pid", vec![]);
    }
    let told = open.until(7);
    let pids: Vec<_> = (0..7).map(|node| told.result(node)).collect();
    assert!(pids[0] == pids[1] && pids[1] == pids[2]);
    assert!(pids[3] == pids[4] && pids[4] == pids[5]);
    let distinct: BTreeSet<_> = pids.iter().map(|pid| pid.as_int().unwrap()).collect();
    assert_eq!(distinct.len(), 3);
    assert!(told.warnings.is_empty(), "{:?}", told.warnings);
}

#[test]
fn limits_workers_and_calls_go_together() {
    for (workers, limit, calls) in [(1, 2, 6), (2, 2, 8), (3, 1, 6)] {
        let mut open = Bench::processes(workers).max_tasks(limit).ahead().open();
        for node in 0..calls {
            open.start(node, "echo", ints([node.into()]));
        }
        let told = open.until(calls as usize);
        assert!((0..calls).all(|node| told.result(node) == node.into()));
    }
}

#[test]
fn an_idle_worker_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = Bench::processes(4).script(&logging(&folder)).open();
    for _ in 0..5 {
        assert_eq!(open.one("echo", ints([1])), Outcome::Succeeded(1.into()));
    }
    assert_eq!(logged(&folder).len(), 1);
    assert_eq!(open.local.peak_running(ExecutorId(0)), 1);
}
