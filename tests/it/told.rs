//! A job built by hand, and a run of it told event by event: what the tests of observers and
//! callbacks start from. Times are milliseconds since the start of the run.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use jobrun::event::{Event, Stamped};
use jobrun::graph::{Executor, ExecutorKind, Graph, OnWorkerDeath, Retry, Size, Task, Wait, When};
use jobrun::id::{ExecutorId, NodeId, TaskId};
use jobrun::job::{
    Action, ArgsSpec, Callback, CallbackAction, Items, Job, Origin, Place, Setup, Spec, Trigger,
};
use jobrun::ledger::{Attempt, CallbackRecord, JobReturn, Ledger};
use jobrun::mask::Masker;
use jobrun::outcome::{Because, Captured, Cause, Failure, FailureKind, Return, State, Stream};
use jobrun::report::{Observer, RunView};
use jobrun::template::Template;
use jobrun::time::Time;
use jobrun::value::Value;

/// A job in the making.
pub struct Plan {
    name: String,
    tasks: Vec<Task>,
    specs: Vec<Spec>,
    wait: Wait,
    callbacks: Vec<Callback>,
    manifest: Option<String>,
}

impl Plan {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tasks: Vec::new(),
            specs: Vec::new(),
            wait: Wait::default(),
            callbacks: Vec::new(),
            manifest: Some(format!("jobs/{name}.toml")),
        }
    }

    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// A plain task after others; its line is ten times its place.
    pub fn task(self, name: &str, after: &[&str]) -> Self {
        self.push(name, after, Size::One, None)
    }

    /// A group with these items.
    pub fn group(self, name: &str, items: Vec<Value>, wait: Option<Wait>) -> Self {
        let size = Size::Group { members: items.len() as u32, wait };
        self.push(name, &[], size, Some(Items::List(items)))
    }

    /// Changes the task that was added last.
    pub fn with(mut self, change: impl FnOnce(&mut Task)) -> Self {
        change(self.tasks.last_mut().unwrap());
        self
    }

    pub fn callback(
        mut self,
        on: &[Trigger],
        tasks: Option<&[&str]>,
        action: CallbackAction,
    ) -> Self {
        let mut tasks: Option<Vec<TaskId>> =
            tasks.map(|names| names.iter().map(|name| self.id(name)).collect());
        if let Some(tasks) = &mut tasks {
            tasks.sort();
        }
        let place = Place { file: 0, line: 100 + self.callbacks.len() as u32 };
        let timeout = Duration::from_secs(30);
        self.callbacks.push(Callback { place, on: on.to_vec(), tasks, action, timeout });
        self
    }

    pub fn log(self, on: &[Trigger], tasks: Option<&[&str]>, line: &str) -> Self {
        self.callback(on, tasks, CallbackAction::Log(Template::fixed(line)))
    }

    pub fn run(self) -> Run {
        let executor = Executor {
            name: "default".to_owned(),
            kind: ExecutorKind::Thread,
            max_workers: 4,
            on_worker_death: OnWorkerDeath::Fail,
        };
        let graph = Graph::new(self.tasks, vec![executor], Vec::new(), self.wait).unwrap();
        let ledger = Ledger::new(&graph);
        let origin = Origin {
            manifest: self.manifest,
            hash: "00ff".to_owned(),
            dir: PathBuf::from("/srv/jobs"),
            included: Vec::new(),
        };
        let job = Job {
            name: self.name,
            description: None,
            concurrency: jobrun::graph::Concurrency::Any,
            origin,
            graph,
            specs: self.specs,
            setups: vec![Setup::default()],
            vars: Value::Map(Vec::new()),
            inherited: Value::Null,
            environments: vec![jobrun::job::Environment::default()],
            secrets: Vec::new(),
            reports: Vec::new(),
            callbacks: self.callbacks,
        };
        Run {
            job: Arc::new(job),
            ledger,
            observers: Vec::new(),
            seq: 0,
            now: 0,
            errors: Vec::new(),
        }
    }

    fn push(mut self, name: &str, after: &[&str], size: Size, items: Option<Items>) -> Self {
        let after = after.iter().map(|name| self.id(name)).collect();
        self.tasks.push(Task {
            name: name.to_owned(),
            size,
            after,
            each: None,
            asks: false,
            when: When::Success,
            executor: ExecutorId(0),
            uses: Vec::new(),
            call: true,
            exclusive: false,
            priority: 0,
            estimate: None,
            retry: Retry::default(),
            allow_failure: false,
            timeout: None,
            grace: Duration::from_secs(5),
        });
        let action = Action::Call { function: Arc::from("echo"), args: ArgsSpec::Item };
        let place = Place { file: 0, line: 10 * self.tasks.len() as u32 };
        self.specs.push(Spec {
            place,
            tags: Vec::new(),
            action,
            items,
            condition: None,
            expansion: None,
        });
        self
    }

    fn id(&self, name: &str) -> TaskId {
        TaskId(self.tasks.iter().position(|task| task.name == name).unwrap() as u32)
    }
}

/// No secrets.
pub static NOTHING: Masker = Masker::none();

/// A run that is told.
pub struct Run {
    pub job: Arc<Job>,
    pub ledger: Ledger,
    pub observers: Vec<Box<dyn Observer>>,
    /// What observers returned.
    pub errors: Vec<io::Error>,
    seq: u64,
    now: u64,
}

impl Run {
    pub fn view(&self) -> RunView<'_> {
        RunView {
            job: &self.job,
            ledger: &self.ledger,
            run_id: "run-1",
            started_at: SystemTime::UNIX_EPOCH + Duration::from_hours(500_000),
            masker: &NOTHING,
        }
    }

    pub fn watched_by(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Box::new(observer));
        self.emit(Event::JobStarted);
        self
    }

    pub fn node(&self, name: &str) -> NodeId {
        let graph = &self.job.graph;
        graph.futures().find(|&node| graph.name(node).to_string() == name).unwrap()
    }

    pub fn task(&self, name: &str) -> TaskId {
        self.job.graph.tasks().find(|(_, task)| task.name == name).unwrap().0
    }

    pub fn emit(&mut self, event: Event) {
        let stamped = Stamped { seq: self.seq, at: at(self.now), event };
        self.seq += 1;
        let mut observers = std::mem::take(&mut self.observers);
        for observer in &mut observers {
            if let Err(error) = observer.observe(&stamped, &self.view()) {
                self.errors.push(error);
            }
        }
        self.observers = observers;
    }

    pub fn start(&mut self, name: &str, worker: u32, now: u64) -> &mut Self {
        self.start_node(self.node(name), worker, now)
    }

    pub fn start_node(&mut self, node: NodeId, worker: u32, now: u64) -> &mut Self {
        self.now = now;
        let record = self.ledger.record_mut(node);
        record.state = State::Running;
        record.worker = worker;
        record.attempts += 1;
        record.started = at(now);
        let attempt = record.attempts;
        self.ledger.peak_running[0] = self.ledger.peak_running[0].max(worker);
        self.emit(Event::Started { node, attempt, worker });
        self
    }

    pub fn output(&mut self, name: &str, stream: Stream, text: &[u8]) -> &mut Self {
        let node = self.node(name);
        self.captured(name, stream, text);
        self.emit(Event::Output { node, stream, bytes: Arc::from(text) });
        self
    }

    /// What a stream holds, without an event for it.
    pub fn captured(&mut self, name: &str, stream: Stream, text: &[u8]) -> &mut Self {
        let node = self.node(name);
        let detail = self.ledger.record_mut(node).detail_mut();
        let captured = match stream {
            Stream::Stdout => &mut detail.stdout,
            Stream::Stderr => &mut detail.stderr,
        };
        captured.bytes += text.len() as u64;
        captured.kept.extend_from_slice(text);
        self
    }

    pub fn captured_node(&mut self, node: NodeId, text: &[u8]) -> &mut Self {
        let captured =
            Captured { bytes: text.len() as u64, kept: text.to_vec(), path: None, lost: None };
        self.ledger.record_mut(node).detail_mut().stdout = captured;
        self
    }

    pub fn spilled(&mut self, name: &str, captured: Captured) -> &mut Self {
        let node = self.node(name);
        self.ledger.record_mut(node).detail_mut().stdout = captured;
        self
    }

    pub fn succeed(&mut self, name: &str, now: u64, result: impl Into<Value>) -> &mut Self {
        let node = self.node(name);
        self.ledger.record_mut(node).result = result.into();
        self.end(name, now, State::Succeeded)
    }

    pub fn fail(&mut self, name: &str, now: u64, kind: FailureKind, message: &str) -> &mut Self {
        let node = self.node(name);
        let detail = self.ledger.record_mut(node).detail_mut();
        detail.failure = Some(Failure::new(kind, message));
        if kind == FailureKind::Exit {
            detail.exit_code = Some(3);
        }
        let state = if kind == FailureKind::Timeout { State::TimedOut } else { State::Failed };
        self.end(name, now, state)
    }

    pub fn succeed_node(&mut self, node: NodeId, now: u64) -> &mut Self {
        self.end_node(node, now, State::Succeeded)
    }

    pub fn fail_node(&mut self, node: NodeId, now: u64, message: &str) -> &mut Self {
        let failure = Failure::new(FailureKind::Call, message);
        self.ledger.record_mut(node).detail_mut().failure = Some(failure);
        self.end_node(node, now, State::Failed)
    }

    pub fn cancel(&mut self, name: &str, now: u64, cause: Cause) -> &mut Self {
        let node = self.node(name);
        self.ledger.record_mut(node).detail_mut().cause = Some(cause);
        self.end(name, now, State::Cancelled)
    }

    pub fn skip(&mut self, name: &str, now: u64) -> &mut Self {
        self.end(name, now, State::Skipped)
    }

    /// The attempt fails and another will follow.
    pub fn retry(&mut self, name: &str, now: u64, message: &str) -> &mut Self {
        let node = self.node(name);
        self.now = now;
        let record = self.ledger.record_mut(node);
        record.state = State::Pending;
        let attempt = Attempt {
            state: State::Failed,
            worker: record.worker,
            started: record.started,
            ended: at(now),
            exit_code: Some(3),
            signal: None,
            failure: Some(Failure::new(FailureKind::Exit, message)),
        };
        let next = record.attempts + 1;
        record.detail_mut().earlier.push(attempt);
        self.emit(Event::Retry { node, attempt: next, at: at(now + 100) });
        self
    }

    pub fn group_returned(&mut self, name: &str, because: Because, success: bool) -> &mut Self {
        let task = self.task(name);
        let gate = self.job.graph.gate(task).unwrap();
        let now = self.now;
        let record = self.ledger.record_mut(gate);
        record.state = if success { State::Succeeded } else { State::Failed };
        record.ended = at(now);
        let after = Duration::from_millis(now);
        let how = Return { because, after, success };
        self.ledger.group_returned(&self.job.graph, task, how);
        self.emit(Event::GroupReturned { task });
        self
    }

    pub fn returned(&mut self, now: u64, because: Because, success: bool) -> &mut Self {
        self.now = now;
        let how = Return { because, after: Duration::from_millis(now), success };
        self.ledger.returned = Some(JobReturn { how, completed: self.ledger.completion.len() });
        self.emit(Event::JobReturned);
        self
    }

    pub fn callback_ended(
        &mut self,
        callback: usize,
        name: Option<&str>,
        error: Option<&str>,
    ) -> &mut Self {
        let node = name.map(|name| self.node(name));
        self.ledger.callbacks.push(CallbackRecord {
            callback,
            on: "done",
            node,
            error: error.map(str::to_owned),
            elapsed: Duration::from_millis(4),
        });
        self.emit(Event::CallbackEnded);
        self
    }

    pub fn finish(&mut self, now: u64) -> &mut Self {
        self.now = now;
        self.ledger.finished = at(now);
        self.emit(Event::JobFinished);
        self
    }

    fn end(&mut self, name: &str, now: u64, state: State) -> &mut Self {
        self.end_node(self.node(name), now, state)
    }

    fn end_node(&mut self, node: NodeId, now: u64, state: State) -> &mut Self {
        self.now = now;
        let record = self.ledger.record_mut(node);
        record.state = state;
        record.ended = at(now);
        self.ledger.completion.push(node);
        self.emit(Event::Finished { node });
        self
    }
}

pub fn at(millis: u64) -> Time {
    Time(millis * 1_000_000)
}

/// A writer whose bytes can be looked at.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The seed's job, run to its end: four sums, all of which succeed.
pub fn sums() -> Run {
    let mut run = sums_to_be();
    tell_sums(&mut run);
    run
}

/// The same before it starts.
pub fn sums_to_be() -> Run {
    let items = [10_000, 100_000, 1_000_000, 10_000_000i64];
    let wait = Wait { timeout: Some(Duration::from_secs(7)), ..Wait::default() };
    Plan::new("sums")
        .wait(wait)
        .group("sum", items.iter().map(|&item| item.into()).collect(), None)
        .log(&[Trigger::Done], None, "a line")
        .run()
}

pub fn tell_sums(run: &mut Run) {
    let items = [10_000, 100_000, 1_000_000, 10_000_000i64];
    for (place, worker) in (0..4).zip(1..) {
        run.start(&format!("sum[{place}]"), worker, 1);
    }
    for (place, item) in items.iter().enumerate() {
        let name = format!("sum[{place}]");
        run.succeed(&name, 2 + 3 * place as u64, item * (item + 1) / 2);
        run.callback_ended(0, Some(&name), None);
    }
    run.group_returned("sum", Because::AllCompleted, true);
    run.returned(11, Because::AllCompleted, true).finish(12);
}

/// A job in which much goes wrong.
pub fn troubled() -> Run {
    let mut run = trouble();
    tell_trouble(&mut run);
    run
}

/// The same before it starts.
pub fn trouble() -> Run {
    let wait = Wait { timeout: Some(Duration::from_secs(2)), ..Wait::default() };
    Plan::new("release")
        .task("build", &[])
        .group("test", vec!["unit".into(), "e2e".into(), "slow".into()], Some(wait))
        .task("lint", &[])
        .with(|task| task.allow_failure = true)
        .task("deploy", &["build"])
        .task("docs", &[])
        .callback(&[Trigger::Failure], None, CallbackAction::Log(Template::fixed("x")))
        .run()
}

pub fn tell_trouble(run: &mut Run) {
    run.start("build", 1, 2).start("test[0]", 2, 3).start("test[1]", 3, 3).start("lint", 4, 4);
    run.output("build", Stream::Stdout, b"compiling <b>bold</b> & co\n");
    run.output("build", Stream::Stderr, b"error: ```no``` such \x1b[31mthing\x1b[0m\nlast words\n");
    run.fail("lint", 200, FailureKind::Call, "style | matters");
    run.retry("build", 400, "exit code 3");
    run.start("test[2]", 4, 410).start("build", 1, 500);
    run.output("test[0]", Stream::Stdout, b"12 passed\n").succeed("test[0]", 700, "12 passed");
    run.fail("build", 1200, FailureKind::Exit, "exit code 3");
    run.callback_ended(0, Some("build"), Some("boom <x>"));
    let build = run.node("build");
    run.cancel("deploy", 1200, Cause::Dependency(build));
    run.fail("test[1]", 1500, FailureKind::Timeout, "timed out after 1.5s");
    run.group_returned("test", Because::Timeout, false);
    let gate = run.job.graph.gate(run.task("test"));
    run.cancel("test[2]", 2010, Cause::Wait(gate));
    run.skip("docs", 2011);
    run.returned(2012, Because::AllCompleted, false).finish(2015);
}
