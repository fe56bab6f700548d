//! Stories about the driver: whole manifests under a virtual clock, and one on real threads.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use jobrun::executor::Backend;
use jobrun::executor::mock::{Guard, Mock, Obedience};
use jobrun::functions::Context;
use jobrun::id::{ExecutorId, NodeId};
use jobrun::job::Job;
use jobrun::outcome::{Failure, FailureKind, Outcome, State};
use jobrun::report::events::Events;
use jobrun::time::Time;
use jobrun::work::{Notice, Start, Stop};
use jobrun::{Finished, Functions, Runner};
use serde_json::Value as Json;

use crate::compile::job;
use crate::schedule::sim::secs;

const SIGINT: i32 = 2;

/// Groups, retries, a call that overruns, a failure, resources and callbacks.
const BUSY: &str = r#"
[executor]
max_workers = 3

[resources]
db = 2

[wait]
timeout = "1h"

[[task]]
name = "square"
call = "echo"
map  = { range = [0, 40] }
allow_failure = true

[[task]]
name = "flaky"
call = "echo"
map  = [1, 2, 3, 4, 5]
uses = { db = 1 }
priority = 1
retry = { count = 2, delay = "1s", backoff = 2.0 }
wait = { return_when = { succeeded = 2 }, on_return = "drain" }
[[task.callback]]
on  = ["done", "retry", "return"]
log = "{{ future.name }}"

[[task]]
name = "late"
call = "echo"
args = [1]
timeout = "1s"
retry = 1
after = ["square"]

[[task]]
name = "child"
run  = ["true"]
map  = ["a", "b", "c"]
after = ["flaky"]

[[task]]
name = "clean"
run  = ["true"]
after = ["late", "child"]
when = "always"

[[callback]]
on  = ["start", "success", "failure", "cancelled"]
log = "{{ future.name }} is {{ future.state }}"

[[callback]]
on  = ["return", "job_done"]
log = "the end"
"#;

/// Somewhere to write that can be read while somebody else owns it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The events of a run, but for what tells one run of a job from another.
fn events(job: &Arc<Job>, backend: impl Backend) -> Vec<Json> {
    let lines = Shared::default();
    Runner::new(job).observer(Events::to(Box::new(lines.clone()))).run_on(backend);
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let mut events: Vec<Json> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first = events[0].as_object_mut().unwrap();
    first.remove("run_id").unwrap();
    first.remove("started_at").unwrap();
    events
}

fn manifest(text: &str) -> Arc<Job> {
    Arc::new(job("story.toml", text).unwrap())
}

/// Takes some seconds, going by the number of the future and of the attempt, and fails now and then.
fn play(start: &Start) -> (Duration, Outcome) {
    let draw = start.node.0 * 7 + start.attempt * 3;
    let outcome = match draw % 5 {
        0 => Outcome::Failed(Failure::new(FailureKind::Call, "no luck")),
        _ => Outcome::Succeeded(draw.into()),
    };
    (secs(f64::from(draw % 6)), outcome)
}

#[test]
fn the_same_manifest_has_the_same_events_in_the_same_order() {
    let job = manifest(BUSY);
    let run = |interrupted: bool| {
        let widths = job.graph.executors().iter().map(|it| it.max_workers);
        let obedience = Obedience::After(secs(1.0));
        let mut mock = Mock::new(play).with_widths(widths).with_obedience(obedience);
        if interrupted {
            mock.arrange(Time::ZERO.after(secs(20.0)), Notice::Signal(SIGINT));
        }
        events(&job, mock)
    };
    for interrupted in [false, true] {
        let first = run(interrupted);
        let count = |event: &str| first.iter().filter(|it| it["event"] == event).count();
        assert!(count("retry") > 0 && count("log") > 0 && count("group_returned") > 0);
        assert_eq!(count("finished"), job.graph.future_count() as usize);
        assert_eq!(count("interrupted"), usize::from(interrupted));
        let overran = first.iter().any(|it| it["state"] == "timed_out");
        assert_ne!(overran, interrupted, "`late` comes after the interrupt, if there is one");
        for _ in 0..3 {
            assert_eq!(run(interrupted), first);
        }
    }
}

#[test]
fn a_run_whose_starts_need_permits_does_the_same_work() {
    let job = manifest(BUSY);
    for (more, delay) in [(0, 0.0), (1, 0.5), (1, 3.0)] {
        let run = || {
            let widths = job.graph.executors().iter().map(|it| it.max_workers);
            let guard = Guard::new([ExecutorId(0)], more, secs(delay));
            events(&job, Mock::new(play).with_widths(widths).with_guard(guard))
        };
        let first = run();
        let count = |event: &str| first.iter().filter(|it| it["event"] == event).count();
        assert_eq!(count("finished"), job.graph.future_count() as usize);
        assert_eq!(run(), first);
        let (mut running, mut most) = (0_u32, 0);
        for event in &first {
            match event["event"].as_str().unwrap() {
                "started" => running += 1,
                "finished" | "retry" => running = running.saturating_sub(1),
                _ => {}
            }
            most = most.max(running);
        }
        assert!(most <= 1 + more, "{most} ran at once");
    }
}

/// Two attempts of one call: the first runs past its timeout.
const TWICE: &str = r#"
[executor]
max_workers = 2

[[task]]
name = "t"
call = "echo"
args = [1]
timeout = "2s"
retry = 1
"#;

fn twice(mock: impl Backend) -> Finished {
    Runner::new(&manifest(TWICE)).run_on(mock)
}

#[test]
fn the_late_end_of_an_attempt_is_not_that_of_the_next() {
    let script = |start: &Start| match start.attempt {
        1 => (secs(3.0), Outcome::Failed(Failure::new(FailureKind::Call, "too late"))),
        _ => (secs(1.5), Outcome::Succeeded("in time".into())),
    };
    let end = twice(Mock::new(script).with_obedience(Obedience::Never));
    assert_eq!(end.exit.code(), 0);
    assert_eq!(end.result("t"), Some("in time".into()));
    let record = end.ledger.record(NodeId(0));
    assert_eq!((record.attempts, record.worker), (2, 2), "worker 1 was still busy");
    assert_eq!((record.started, record.ended), (time(2.0), time(3.5)));
    let earlier = &record.detail.as_ref().unwrap().earlier;
    assert_eq!((earlier.len(), earlier[0].state), (1, State::TimedOut));
    assert_eq!((earlier[0].worker, earlier[0].ended), (1, time(2.0)));
}

#[test]
fn a_stop_names_its_attempt() {
    let mut stops = Vec::new();
    let script = |_: &Start| (secs(1000.0), Outcome::Succeeded(1.into()));
    let mut mock = Mock::new(script).with_obedience(Obedience::After(secs(60.0)));
    mock.arrange(time(3.0), Notice::Signal(SIGINT));
    mock.arrange(time(3.5), Notice::Signal(SIGINT));
    let end = twice(Spy { mock, stops: &mut stops });
    assert_eq!(stops, [(1, Stop::Stop), (2, Stop::Stop), (2, Stop::Kill)]);
    assert_eq!(end.ledger.record(NodeId(0)).state, State::Cancelled);
    assert_eq!(end.ledger.record(NodeId(0)).ended, time(3.5));
}

#[test]
fn a_function_that_does_not_stop_does_not_hold_up_the_next_attempt() {
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let mut functions = Functions::builtin();
    functions.register("echo", move |context: &Context, _: i64| {
        if context.attempt() == 1 {
            // Nothing but the next attempt ends this one, whatever its token says.
            released.lock().unwrap().recv().unwrap();
        } else {
            release.send(()).unwrap();
        }
        Ok::<_, String>(context.attempt())
    });
    let end = Runner::new(&manifest(TWICE)).functions(functions).run().unwrap();
    assert_eq!(end.exit.code(), 0);
    assert_eq!(end.result("t"), Some(2.into()));
    assert_eq!(end.ledger.record(NodeId(0)).attempts, 2);
}

fn time(seconds: f64) -> Time {
    Time::ZERO.after(secs(seconds))
}

/// Notes which attempts are stopped.
struct Spy<'a, 's> {
    mock: Mock<'s>,
    stops: &'a mut Vec<(u32, Stop)>,
}

impl Backend for Spy<'_, '_> {
    fn now(&self) -> Time {
        self.mock.now()
    }

    fn start(&mut self, start: Start) {
        self.mock.start(start);
    }

    fn stop(&mut self, node: NodeId, attempt: u32, how: Stop) {
        self.stops.push((attempt, how));
        self.mock.stop(node, attempt, how);
    }

    fn recall(&mut self, executor: ExecutorId) {
        self.mock.recall(executor);
    }

    fn next(&mut self, until: Option<Time>) -> Option<Notice> {
        self.mock.next(until)
    }

    fn peak_running(&self, executor: ExecutorId) -> u32 {
        self.mock.peak_running(executor)
    }
}

/// One worker, and calls so short that many of them wait in the executor, long before a more urgent
/// one is ready.
const URGENT: &str = r#"
[executor]
max_workers = 1

[[task]]
name = "warm"
call = "echo"
map = { range = [0, 10] }

[[task]]
name = "first"
call = "echo"
args = [0]

[[task]]
name = "idle"
call = "echo"
map = { range = [0, 50] }

[[task]]
name = "urgent"
call = "echo"
args = [0]
priority = 1
after = ["first"]
"#;

#[test]
fn a_call_that_becomes_ready_late_overtakes_what_it_ranks_before() {
    let job = manifest(URGENT);
    let mock = Mock::new(|_| (MOMENT, Outcome::Succeeded(0.into()))).with_widths([1]);
    let end = Runner::new(&job).run_on(mock);
    assert_eq!(started(&end, "urgent"), Time::ZERO.after(11 * MOMENT));
}

/// One worker, many short calls, and a long one among them.
const LONG: &str = r#"
[executor]
max_workers = 1

[[task]]
name = "short"
call = "echo"
map = { range = [0, 10] }

[[task]]
name = "long"
call = "echo"
args = [0]

[[task]]
name = "late"
call = "echo"
args = [0]
after = ["long"]

[[task]]
name = "rest"
call = "echo"
map = { range = [0, 50] }
"#;

#[test]
fn what_waits_in_an_executor_is_taken_back_when_futures_turn_out_long() {
    let job = manifest(LONG);
    let long = named(&job, "long");
    let script = |start: &Start| {
        let takes = if start.node == long { secs(3600.0) } else { MOMENT };
        (takes, Outcome::Succeeded(0.into()))
    };
    let end = Runner::new(&job).run_on(Mock::new(script).with_widths([1]));
    // The one that was next in line has begun when the driver hears of the long one's end.
    assert_eq!(started(&end, "rest[0]"), Time::ZERO.after(10 * MOMENT + secs(3600.0)));
    assert!(started(&end, "late") < started(&end, "rest[1]"));
}

/// So short that many may wait in the executor.
const MOMENT: Duration = Duration::from_micros(1);

fn named(job: &Job, name: &str) -> NodeId {
    job.graph.futures().find(|node| job.graph.name(*node).to_string() == name).unwrap()
}

fn started(end: &Finished, name: &str) -> Time {
    end.ledger.record(named(&end.job, name)).started
}
