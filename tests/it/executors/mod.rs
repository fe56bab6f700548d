//! Calls on threads and in worker processes, as the driver sees them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bench;
mod protocol;
mod workers;

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;

use jobrun::executor::Backend;
use jobrun::functions::Context;
use jobrun::id::{ExecutorId, NodeId};
use jobrun::outcome::{Failure, FailureKind, Outcome};
use jobrun::value::Value;
use jobrun::work::{Command, Leak, Notice, ResultKind, Stop, Work};

use bench::{Bench, function_call, ints};

#[test]
fn both_kinds_make_calls_and_say_what_came_of_them() {
    for bench in Bench::both(2) {
        let mut open = bench.open();
        open.start(0, "sum_to", ints([10]));
        open.start(1, "echo", vec![Value::Int(i128::MIN)]);
        open.start(2, "fail", vec!["no luck".into()]);
        open.start(3, "sum_to", vec!["ten".into()]);
        open.start(4, "unheard_of", vec![]);
        let told = open.until(5);
        assert_eq!(told.result(0), 55.into());
        assert_eq!(told.result(1), Value::Int(i128::MIN));
        assert_eq!(told.failure(2), Failure::new(FailureKind::Call, "fail: no luck"));
        let wrong = "sum_to: argument 1: expected a whole number, found a string";
        assert_eq!(told.failure(3), Failure::new(FailureKind::Call, wrong));
        assert!(told.failure(4).message.contains("no function is called `unheard_of`"));
        assert_eq!(told.started.len(), 5);
        for done in told.ended.values() {
            assert!((1..=2).contains(&done.worker));
            assert!(done.started <= done.ended && done.child.is_none());
        }
        assert!((1..=2).contains(&open.local.peak_running(ExecutorId(0))));
    }
}

#[test]
fn attempts_start_in_the_order_they_were_handed_over() {
    // What was sent to a worker process ahead may be taken back and so change places.
    for bench in [Bench::threads(1).ahead(), Bench::threads(1), Bench::processes(1)] {
        let mut open = bench.open();
        for node in 0..150 {
            open.start(node, "echo", ints([node.into()]));
        }
        let told = open.until(150);
        assert_eq!(told.started, (0..150).collect::<Vec<_>>());
        assert_eq!(told.order, told.started);
    }
}

#[test]
fn what_has_not_started_is_taken_back() {
    for bench in Bench::both(1) {
        let mut open = bench.ahead().open();
        for node in 0..20 {
            open.start(node, "sleep", vec!["1day".into()]);
        }
        open.started(0);
        for node in 0..20 {
            open.stop(node, Stop::Recall);
        }
        let told = open.until(19);
        assert_eq!(told.recalled, (1..20).collect(), "the running one goes on");
        open.stop(0, Stop::Stop);
        assert_eq!(open.until(1).outcome(0), Outcome::Cancelled);
        assert_eq!(open.one("echo", ints([1])), Outcome::Succeeded(1.into()), "and there is more");
    }
}

#[test]
fn all_that_has_not_started_is_taken_back_at_once() {
    for bench in Bench::both(1) {
        let mut open = bench.open();
        for node in 0..20 {
            open.start(node, "sleep", vec!["1day".into()]);
        }
        open.started(0);
        open.local.recall(ExecutorId(0));
        assert_eq!(open.until(19).recalled, (1..20).collect(), "the running one goes on");
        // It has the only worker, which children wait for as well.
        for node in 20..23 {
            open.start_work(node, script("true"));
        }
        open.local.recall(ExecutorId(0));
        assert_eq!(open.until(3).recalled, (20..23).collect());
    }
}

#[test]
fn a_hundred_thousand_calls() {
    let count = 100_000;
    for bench in Bench::both(3) {
        let mut open = bench.members(count).ahead().open();
        for node in 0..count {
            open.start(node, "echo", ints([node.into()]));
        }
        let told = open.until(count as usize);
        assert!((0..count).all(|node| told.result(node) == node.into()));
        assert!(open.local.peak_running(ExecutorId(0)) <= 3);
    }
}

#[test]
fn calls_run_at_the_same_time_up_to_the_number_of_workers() {
    // Each call waits for the other two, also if it was handed over ahead behind short ones.
    let barrier = Arc::new(Barrier::new(3));
    let mut bench = Bench::threads(3).ahead();
    bench.functions.register("meet", move || {
        barrier.wait();
        Ok::<_, String>(())
    });
    let mut open = bench.open();
    for node in 0..60 {
        let function = if node % 20 < 17 { "echo" } else { "meet" };
        open.start(node, function, if function == "echo" { ints([1]) } else { vec![] });
    }
    let told = open.until(60);
    assert!(told.ended.values().all(|done| matches!(done.outcome, Outcome::Succeeded(_))));
    assert_eq!(open.local.peak_running(ExecutorId(0)), 3);
}

#[test]
fn a_call_never_waits_behind_a_long_one_while_a_worker_is_free() {
    let mut open = Bench::processes(2).ahead().open();
    for node in 0..50 {
        open.start(node, "echo", ints([1]));
    }
    open.until(50);
    // By now many are sent ahead. The long one would hold up what is in its worker's pipe.
    open.start(50, "sleep", vec!["1day".into()]);
    for node in 51..120 {
        open.start(node, "echo", ints([1]));
    }
    let told = open.until(69);
    assert!((51..120).all(|node| told.ended.contains_key(&node)));
    open.stop(50, Stop::Kill);
    assert_eq!(open.until(1).outcome(50), Outcome::Cancelled);
}

#[test]
fn a_cancelled_call_may_still_succeed() {
    let (started, running) = mpsc::channel();
    let mut bench = Bench::threads(2);
    bench.functions.register("stubborn", move |context: &Context, ok: bool| {
        started.send(()).unwrap();
        while context.sleep(Duration::from_hours(1)) {}
        if ok { Ok("done") } else { Err("gave up") }
    });
    let mut open = bench.open();
    open.start(0, "stubborn", vec![true.into()]);
    open.start(1, "stubborn", vec![false.into()]);
    open.started(0);
    running.recv().unwrap();
    running.recv().unwrap();
    open.stop(0, Stop::Stop);
    open.stop(1, Stop::Kill);
    let told = open.until(2);
    assert_eq!(told.result(0), "done".into());
    assert_eq!(told.outcome(1), Outcome::Cancelled);
    open.stop(0, Stop::Kill);
    assert_eq!(open.one("echo", ints([1])), Outcome::Succeeded(1.into()), "late stops hit nobody");
}

#[test]
fn a_stop_hits_its_own_attempt() {
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let mut bench = Bench::threads(2);
    bench.functions.register("work", move |context: &Context| {
        if context.attempt() == 1 {
            released.lock().unwrap().recv().unwrap();
            return Ok(1);
        }
        while context.sleep(Duration::from_hours(1)) {}
        Err("stopped")
    });
    let mut open = bench.open();
    let work = || function_call("work", vec![]);
    open.start_attempt(0, 1, work());
    open.started(0);
    open.stop_attempt(0, 1, Stop::Stop);
    // The first does not care; the driver has given it up and tries again.
    open.start_attempt(0, 2, work());
    open.started(0);
    open.start(1, "sleep", vec!["1day".into()]);
    open.start_attempt(0, 3, work());
    open.stop_attempt(0, 1, Stop::Kill);
    open.stop_attempt(0, 3, Stop::Stop);
    let Notice::Recalled { attempt: 3, .. } = open.next() else { panic!("3 was in line") };
    open.stop_attempt(0, 2, Stop::Stop);
    let Notice::Ended(done) = open.next() else { panic!() };
    assert_eq!((done.attempt, done.outcome), (2, Outcome::Cancelled));
    open.started(1);
    release.send(()).unwrap();
    let Notice::Ended(done) = open.next() else { panic!() };
    assert_eq!((done.attempt, done.outcome), (1, Outcome::Succeeded(1.into())));
    open.stop(1, Stop::Stop);
    assert_eq!(open.until(1).outcome(1), Outcome::Cancelled);
}

#[test]
fn a_panic_fails_its_own_call() {
    let mut bench = Bench::threads(1);
    bench.functions.register("panic", || -> Result<(), String> { panic!("at the disco") });
    for (mut open, args) in
        [(bench.open(), vec![]), (Bench::own(1).open(), vec!["at the disco".into()])]
    {
        open.start(0, "panic", args);
        open.start(1, "echo", ints([1]));
        let told = open.until(2);
        let expected = Failure::new(FailureKind::Panic, "panic: panicked: at the disco");
        assert_eq!(told.failure(0), expected);
        assert_eq!(told.result(1), 1.into());
    }
}

#[test]
fn dropping_the_executors_does_not_wait_for_a_stuck_call() {
    let (started, running) = mpsc::channel();
    let (stuck, never) = mpsc::channel::<()>();
    let never = std::sync::Mutex::new(never);
    let mut bench = Bench::threads(1);
    bench.functions.register("stuck", move || {
        started.send(()).unwrap();
        let _ = never.lock().unwrap().recv();
        Ok::<_, String>(())
    });
    let mut open = bench.open();
    open.start(0, "stuck", vec![]);
    open.started(0);
    running.recv().unwrap();
    drop(open);
    drop(stuck);
}

#[test]
fn an_initializer_comes_first_on_every_thread() {
    let count = Arc::new(AtomicU32::new(0));
    let (add, read) = (Arc::clone(&count), count);
    let mut bench = Bench::threads(2);
    bench.functions.register("initialize", move |by: u32| {
        add.fetch_add(by, Ordering::SeqCst);
        Ok::<_, String>(())
    });
    bench.functions.register("read", move || Ok::<_, String>(read.load(Ordering::SeqCst)));
    let mut open = bench.initializer("initialize", ints([5])).open();
    for node in 0..50 {
        open.start(node, "read", vec![]);
    }
    let told = open.until(50);
    assert!((0..50).all(|node| [5.into(), 10.into()].contains(&told.result(node))));
}

#[test]
fn an_initializer_that_works_changes_nothing() {
    let mut open = Bench::processes(2).initializer("sum_to", ints([3])).open();
    for node in 0..20 {
        open.start(node, "echo", ints([node.into()]));
    }
    let told = open.until(20);
    assert!((0..20).all(|node| told.result(node) == node.into()));
}

#[test]
fn an_initializer_that_fails_breaks_the_executor() {
    for bench in Bench::both(2) {
        let mut open = bench.initializer("fail", vec!["no licence".into()]).open();
        for node in 0..30 {
            open.start(node, "echo", ints([1]));
        }
        let told = open.until(30);
        assert_eq!(told.broken.len(), 1);
        assert!(told.broken[0].contains("the initializer failed"), "{}", told.broken[0]);
        assert!(told.broken[0].contains("fail: no licence"), "{}", told.broken[0]);
        for node in 0..30 {
            let failure = told.failure(node);
            assert_eq!(failure.kind, FailureKind::BrokenExecutor);
            assert!(failure.message.contains("`default` is broken"), "{}", failure.message);
            assert!(failure.message.contains("no licence"), "{}", failure.message);
        }
        let Outcome::Failed(failure) = open.one("echo", ints([1])) else { panic!() };
        assert_eq!(failure.kind, FailureKind::BrokenExecutor, "nor does anything later run");
    }
}

#[test]
fn what_a_worker_prints_belongs_to_its_future() {
    for announce in [true, false] {
        let mut open = Bench::own(2).ahead().open();
        open.announce = announce;
        for node in 0..40 {
            open.start(node, "say", vec![format!("this is {node}").into()]);
        }
        let told = open.until(40);
        for node in 0..40 {
            assert_eq!(told.result(node), format!("this is {node}").into());
            let expected = format!("this is {node} out\nthis is {node} err\n");
            let stderr = &told.ended[&node].child.as_ref().unwrap().stderr;
            assert_eq!(String::from_utf8_lossy(&stderr.kept), expected);
            assert_eq!(stderr.bytes, expected.len() as u64);
            assert_eq!(told.output[&node], expected.as_bytes());
        }
    }
}

#[test]
fn much_output_of_a_worker_goes_to_a_file() {
    let mut open = Bench::own(1).open();
    let text = "x".repeat(1 << 20);
    open.start(0, "say", vec![text.clone().into()]);
    let told = open.until(1);
    let stderr = &told.ended[&0].child.as_ref().unwrap().stderr;
    let path = stderr.path.as_ref().unwrap();
    assert!(path.starts_with(open.files.path()));
    assert_eq!(fs::read_to_string(path).unwrap(), format!("{text} out\n{text} err\n"));
    assert!(stderr.kept.len() <= 8 << 10);
    assert_eq!(told.result(0), text.into(), "a result may be larger than a pipe");
}

#[test]
fn large_arguments_and_results_pass() {
    let mut open = Bench::processes(2).open();
    let text = Value::from("x".repeat(3 << 20));
    for node in 0..6 {
        open.start(node, "echo", vec![text.clone()]);
    }
    let told = open.until(6);
    assert!((0..6).all(|node| told.result(node) == text));
}

#[test]
fn what_cannot_be_sent_fails_its_own_call() {
    let deep = (0..200).fold(Value::Null, |inner, _| vec![inner].into());
    let mut open = Bench::own(1).open();
    open.start(0, "echo", vec![deep]);
    open.start(1, "deep", ints([200]));
    open.start(2, "echo", ints([2]));
    let told = open.until(3);
    assert!(told.failure(0).message.contains("cannot be sent to a worker"));
    assert!(told.failure(1).message.contains("the result cannot be sent"));
    assert_eq!(told.result(2), 2.into());
    assert!(told.warnings.is_empty());
}

#[test]
fn stopping_one_call_leaves_the_others_alone() {
    let mut open = Bench::processes(2).open();
    open.start(0, "sleep", vec!["1day".into()]);
    open.start(1, "sleep", vec!["1day".into()]);
    let mut running = BTreeSet::new();
    while running.len() < 2 {
        let Notice::Started { node, .. } = open.next() else { panic!() };
        running.insert(node.0);
    }
    open.stop(0, Stop::Stop);
    assert_eq!(open.until(1).outcome(0), Outcome::Cancelled);
    open.start(2, "echo", ints([2]));
    assert_eq!(open.until(1).result(2), 2.into());
    open.stop(1, Stop::Kill);
    assert_eq!(open.until(1).outcome(1), Outcome::Cancelled);
}

#[test]
fn children_and_calls_share_the_numbers_of_the_workers() {
    let mut open = Bench::threads(2).open();
    open.start(0, "sleep", vec!["1day".into()]);
    open.started(0);
    open.start_work(1, script("echo $JOBRUN_WORKER"));
    let done = loop {
        if let Notice::Ended(done) = open.next() {
            break done;
        }
    };
    assert_eq!((done.node, done.worker), (NodeId(1), 2));
    assert_eq!(done.outcome, Outcome::Succeeded("2".into()));
    assert_eq!(open.local.peak_running(ExecutorId(0)), 2);
    open.stop(0, Stop::Stop);
    assert_eq!(open.until(1).outcome(0), Outcome::Cancelled);
}

/// A child whose result is what it prints.
fn script(script: &str) -> Work {
    Work::Run(Box::new(Command {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![],
        cwd: "/".into(),
        stdin: None,
        ok_exit: Arc::new([0]),
        result: ResultKind::Text,
        leak: Leak::Warn,
        limits: None,
    }))
}
