//! What random cases have found, told one by one.

use std::io;
use std::time::Duration;

use jobrun::event::Stamped;
use jobrun::executor::Backend;
use jobrun::executor::mock::{Mock, Obedience};
use jobrun::id::{ExecutorId, NodeId};
use jobrun::outcome::{Cause, Outcome, State, Stream};
use jobrun::time::Time;
use jobrun::work::{Notice, Start, Stop};
use jobrun::{Finished, Functions, Observer, RunView, Runner};

use crate::models::job;

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn time(seconds: f64) -> Time {
    Time::ZERO.after(secs(seconds))
}

/// Attempts of the first future take very long and do not listen; all others take some time.
fn deaf(start: &Start) -> (Duration, Outcome) {
    (secs(if start.node == NodeId(0) { 100.0 } else { 5.0 }), Outcome::Succeeded(1.into()))
}

/// Runs a manifest, with all events noted as words.
fn run(text: &str, backend: impl Backend) -> (Finished, Vec<String>) {
    let mut told = Vec::new();
    let job = job(text, &Functions::builtin()).unwrap();
    let end = Runner::new(&job).observer(Diary(&mut told)).run_on(backend);
    (end, told)
}

struct Diary<'a>(&'a mut Vec<String>);

impl Observer for Diary<'_> {
    fn observe(&mut self, event: &Stamped, _: &RunView<'_>) -> io::Result<()> {
        self.0.push(format!("{} {:?}", event.at.seconds(), event.event));
        Ok(())
    }

    fn wants_output(&self) -> bool {
        true
    }
}

/// News of the start of the first future comes only after this time.
struct Late<'s> {
    mock: Mock<'s>,
    until: Time,
    held: Option<Notice>,
}

impl Backend for Late<'_> {
    fn now(&self) -> Time {
        self.mock.now()
    }

    fn start(&mut self, start: Start) {
        self.mock.start(start);
    }

    fn stop(&mut self, node: NodeId, attempt: u32, how: Stop) {
        self.mock.stop(node, attempt, how);
    }

    fn recall(&mut self, executor: ExecutorId) {
        self.mock.recall(executor);
    }

    fn next(&mut self, until: Option<Time>) -> Option<Notice> {
        if self.mock.now() >= self.until && self.held.is_some() {
            return self.held.take();
        }
        match self.mock.next(until) {
            Some(notice @ Notice::Started { node: NodeId(0), .. }) if self.held.is_none() => {
                self.held = Some(notice);
                self.next(until)
            }
            notice => notice,
        }
    }

    fn peak_running(&self, executor: ExecutorId) -> u32 {
        self.mock.peak_running(executor)
    }
}

const TWO: &str = r#"
[executors.pool]
kind = "process"

[[task]]
name  = "deaf"
call  = "echo"
args  = [1]
grace = "0s"

[[task]]
name = "other"
run  = ["true"]
"#;

#[test]
fn a_start_that_is_heard_of_after_the_end_changes_nothing() {
    let mut mock = Mock::new(deaf).with_obedience(Obedience::Never);
    mock.arrange(time(1.0), Notice::Signal(2));
    mock.arrange(time(2.0), Notice::Warning("time goes by".into()));
    let (end, told) = run(TWO, Late { mock, until: time(2.0), held: None });
    let record = end.ledger.record(NodeId(0));
    assert_eq!((record.state, record.cause()), (State::Cancelled, Some(Cause::Interrupt)));
    assert_eq!((record.started, record.ended), (time(1.0), time(1.0)));
    assert!(!told.iter().any(|line| line.contains("Started { node: NodeId(0)")), "{told:#?}");
}

#[test]
fn what_is_written_after_the_end_is_not_told() {
    let text = TWO.replace("grace = \"0s\"", "timeout = \"1s\"\nexecutor = \"pool\"");
    let mut mock = Mock::new(deaf).with_obedience(Obedience::Never);
    let bytes = b"late\n".as_slice();
    for at in [0.5, 2.0] {
        let (node, stream) = (NodeId(0), Stream::Stderr);
        mock.arrange(time(at), Notice::Output { node, stream, bytes: bytes.into() });
    }
    let (end, told) = run(&text, mock);
    assert_eq!(end.ledger.record(NodeId(0)).state, State::TimedOut);
    let written: Vec<_> = told.iter().filter(|line| line.contains("Output")).collect();
    assert!(written.len() == 1 && written[0].starts_with("0.5 "), "{written:?}");
}

#[test]
fn what_fails_after_it_was_cancelled_has_a_cause_and_no_error() {
    let text = r#"
        [wait]
        timeout = "1s"
        [[task]]
        name    = "deaf"
        call    = "echo"
        args    = [1]
        timeout = "2s"
        "#;
    let (end, _) = run(text, Mock::new(deaf).with_obedience(Obedience::Never));
    let record = end.ledger.record(NodeId(0));
    assert_eq!((record.state, record.ended), (State::Cancelled, time(2.0)));
    assert_eq!((record.cause(), record.failure()), (Some(Cause::Wait(None)), None));
}

#[test]
#[should_panic(expected = "the thread `mind` has panicked")]
fn a_run_does_not_wait_for_a_thread_that_has_panicked() {
    let mut mock = Mock::new(deaf).with_obedience(Obedience::Never);
    mock.arrange(time(1.0), Notice::Collapsed { thread: "mind".into() });
    run(TWO, mock);
}

/// Half of so many are done when the others are cancelled, some of them just as they end.
const MANY: u32 = 100_000;

fn half(more: &str) -> String {
    format!(
        "[executor]\nmax_workers = 4\n[wait]\nreturn_when = {{ completed = '50%' }}\n\
         [[task]]\nname = 'a'\ncall = 'echo'\nmap = {{ range = [0, {MANY}] }}\n{more}"
    )
}

/// Each future has one end, and one record that agrees with it.
fn check_ends(end: &Finished, told: &[String]) {
    let mut done = end.ledger.completion.clone();
    done.sort_unstable();
    done.dedup();
    assert_eq!((done.len(), end.ledger.completion.len()), (MANY as usize, MANY as usize));
    assert_eq!(told.iter().filter(|line| line.contains(" Finished")).count(), MANY as usize);
    let counts = end.view().counts();
    assert_eq!(counts.succeeded + counts.cancelled, MANY);
    assert!(counts.succeeded >= MANY / 2 && counts.succeeded < MANY, "{}", counts.succeeded);
    for node in &done {
        let record = end.ledger.record(*node);
        assert_eq!(record.state == State::Cancelled, record.cause().is_some());
        assert_eq!(record.state == State::Succeeded, record.result != jobrun::Value::Null);
    }
    let returned = end.ledger.returned.as_ref().unwrap();
    assert!(returned.completed >= MANY as usize / 2);
    assert_eq!(end.exit.code(), 0);
}

#[test]
fn f70_of_100_000_futures_half_are_cancelled_while_they_end() {
    for (obedience, grace) in [(Obedience::AtOnce, "5s"), (Obedience::Never, "0s")] {
        let script = |start: &Start| {
            let micros = f64::from(start.node.0 % 7) * 1e-6;
            (secs(micros), Outcome::Succeeded(start.node.0.into()))
        };
        let mock = Mock::new(script).with_widths([4]).with_obedience(obedience);
        let (end, told) = run(&half(&format!("grace = '{grace}'\n")), mock);
        check_ends(&end, &told);
    }
}

#[test]
fn f70_so_are_they_on_threads() {
    let mut told = Vec::new();
    let job = job(&half(""), &Functions::builtin()).unwrap();
    let end = Runner::new(&job).observer(Diary(&mut told)).run().unwrap();
    check_ends(&end, &told);
    assert_eq!(told.iter().filter(|line| line.contains("JobReturned")).count(), 1);
}
