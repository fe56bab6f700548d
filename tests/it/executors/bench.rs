//! A stand-in for the driver: hands attempts to one executor and notes what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use jobrun::executor::Backend;
use jobrun::executor::local::{Local, Settings, WorkerProgram};
use jobrun::executor::protocol::{FromWorker, Hello, Message, ToWorker};
use jobrun::functions::Functions;
use jobrun::graph::{Executor, ExecutorKind, Graph, OnWorkerDeath, Retry, Size, Task, Wait, When};
use jobrun::id::{ExecutorId, NodeId};
use jobrun::inbox::Inbox;
use jobrun::job::{Action, ArgsSpec, Job, Origin, Place, Setup, Spec};
use jobrun::outcome::{Failure, Outcome, Stream};
use jobrun::rundir::RunDir;
use jobrun::time::Clock;
use jobrun::value::Value;
use jobrun::work::{Args, Call, Done, Notice, Start, Stop, Work};
use tempfile::TempDir;

use crate::story::own_functions;

pub(super) const RUN: &str = "run-1";

/// One executor with a group `t` of futures to start on it.
pub(super) struct Bench {
    pub(super) kind: ExecutorKind,
    pub(super) max_workers: u32,
    pub(super) members: u32,
    /// Whether calls are plain enough to be taken several at a time.
    pub(super) ahead: bool,
    pub(super) setup: Setup,
    pub(super) functions: Functions,
    pub(super) worker: WorkerProgram,
}

impl Bench {
    pub(super) fn threads(max_workers: u32) -> Self {
        Self {
            kind: ExecutorKind::Thread,
            max_workers,
            members: 200,
            ahead: false,
            setup: Setup::default(),
            functions: Functions::builtin(),
            worker: WorkerProgram::at(env!("CARGO_BIN_EXE_jobrun")),
        }
    }

    pub(super) fn processes(max_workers: u32) -> Self {
        Self { kind: ExecutorKind::Process, ..Self::threads(max_workers) }
    }

    /// Processes of a program that has more functions than the built-in ones.
    pub(super) fn own(max_workers: u32) -> Self {
        Self { worker: WorkerProgram::at(own_functions()), ..Self::processes(max_workers) }
    }

    pub(super) fn both(max_workers: u32) -> [Self; 2] {
        [Self::threads(max_workers), Self::processes(max_workers)]
    }

    pub(super) fn members(self, members: u32) -> Self {
        Self { members, ..self }
    }

    pub(super) fn ahead(self) -> Self {
        Self { ahead: true, ..self }
    }

    pub(super) fn initializer(mut self, function: &str, args: Vec<Value>) -> Self {
        self.setup.initializer = Some((function.into(), args));
        self
    }

    pub(super) fn max_tasks(mut self, max: u32) -> Self {
        self.setup.max_tasks_per_child = Some(max);
        self
    }

    /// Workers are this shell script.
    pub(super) fn script(self, script: &str) -> Self {
        let args = vec!["-c".into(), script.into()];
        Self { worker: WorkerProgram { program: "/bin/sh".into(), args }, ..self }
    }

    pub(super) fn open(self) -> Open {
        let task = Task {
            name: "t".to_owned(),
            size: Size::Group { members: self.members, wait: None },
            after: vec![],
            each: None,
            asks: false,
            when: When::Success,
            executor: ExecutorId(0),
            uses: vec![],
            call: true,
            exclusive: false,
            priority: 0,
            estimate: None,
            retry: Retry::default(),
            allow_failure: false,
            timeout: None,
            grace: Duration::ZERO,
        };
        let executor = Executor {
            name: "default".to_owned(),
            kind: self.kind,
            max_workers: self.max_workers,
            on_worker_death: OnWorkerDeath::Fail,
        };
        let graph = Graph::new(vec![task], vec![executor], vec![], Wait::default()).unwrap();
        let spec = Spec {
            condition: None,
            expansion: None,
            place: Place::default(),
            tags: vec![],
            action: Action::Call { function: "echo".into(), args: ArgsSpec::Item },
            items: None,
        };
        let files = tempfile::tempdir().unwrap();
        let job = Arc::new(Job {
            name: "bench".to_owned(),
            description: None,
            concurrency: jobrun::graph::Concurrency::Any,
            origin: Origin::default(),
            graph,
            specs: vec![spec],
            setups: vec![self.setup],
            vars: Value::Null,
            inherited: Value::Null,
            environments: vec![jobrun::job::Environment::default()],
            secrets: Vec::new(),
            reports: vec![],
            callbacks: vec![],
        });
        let settings = Settings {
            job,
            functions: self.functions,
            clock: Clock::start(),
            run_id: RUN.to_owned(),
            files: RunDir::at(files.path(), RUN),
            worker: self.worker,
            headroom: Arc::default(),
            alone: false,
        };
        let local = Local::new(settings, Inbox::default());
        // One that has a timeout is alone on its worker.
        let timeout = (!self.ahead).then_some(Duration::from_hours(1));
        Open { local, files, timeout, announce: true }
    }
}

pub(super) struct Open {
    pub(super) local: Local,
    pub(super) files: TempDir,
    timeout: Option<Duration>,
    /// Whether starts are to be told of.
    pub(super) announce: bool,
}

impl Open {
    pub(super) fn start(&mut self, node: u32, function: &str, args: Vec<Value>) {
        self.start_work(node, function_call(function, args));
    }

    pub(super) fn start_work(&mut self, node: u32, work: Work) {
        self.start_attempt(node, 1, work);
    }

    pub(super) fn start_attempt(&mut self, node: u32, attempt: u32, work: Work) {
        self.local.start(Start {
            node: NodeId(node),
            attempt,
            executor: ExecutorId(0),
            work,
            timeout: self.timeout,
            grace: Duration::ZERO,
            announce: self.announce,
            live: true,
            span: tracing::Span::none(),
        });
    }

    pub(super) fn stop(&mut self, node: u32, how: Stop) {
        self.stop_attempt(node, 1, how);
    }

    pub(super) fn stop_attempt(&mut self, node: u32, attempt: u32, how: Stop) {
        self.local.stop(NodeId(node), attempt, how);
    }

    /// The next notice. A minute without one is a hang.
    pub(super) fn next(&mut self) -> Notice {
        let limit = self.local.now().after(Duration::from_mins(1));
        self.local.next(Some(limit)).expect("the executor hangs")
    }

    pub(super) fn started(&mut self, wanted: u32) {
        loop {
            match self.next() {
                Notice::Started { node, .. } if node.0 == wanted => return,
                Notice::Started { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Everything until so many attempts have ended or were taken back.
    pub(super) fn until(&mut self, count: usize) -> Told {
        let mut told = Told::default();
        while told.ended.len() + told.recalled.len() < count {
            told.note(self.next());
        }
        told
    }

    pub(super) fn one(&mut self, function: &str, args: Vec<Value>) -> Outcome {
        self.start(0, function, args);
        self.until(1).outcome(0)
    }
}

pub(super) fn function_call(function: &str, args: Vec<Value>) -> Work {
    Work::Call(Call { function: function.into(), args: Args::List(args.into()), dir: None })
}

#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) started: Vec<u32>,
    pub(super) order: Vec<u32>,
    pub(super) ended: BTreeMap<u32, Done>,
    pub(super) recalled: BTreeSet<u32>,
    pub(super) broken: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) output: BTreeMap<u32, Vec<u8>>,
}

impl Told {
    pub(super) fn note(&mut self, notice: Notice) {
        match notice {
            Notice::Ended(done) => {
                self.order.push(done.node.0);
                assert!(self.ended.insert(done.node.0, done).is_none(), "it ended twice");
            }
            Notice::Recalled { node, .. } => assert!(self.recalled.insert(node.0)),
            Notice::Started { node, .. } => self.started.push(node.0),
            Notice::Broken { message, .. } => self.broken.push(message),
            Notice::Warning(message) => self.warnings.push(message),
            Notice::Output { node, stream, bytes } => {
                assert_eq!(stream, Stream::Stderr);
                assert!(self.started.contains(&node.0), "it writes before it starts");
                self.output.entry(node.0).or_default().extend_from_slice(&bytes);
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn outcome(&self, node: u32) -> Outcome {
        self.ended[&node].outcome.clone()
    }

    pub(super) fn failure(&self, node: u32) -> Failure {
        match self.outcome(node) {
            Outcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn result(&self, node: u32) -> Value {
        match self.outcome(node) {
            Outcome::Succeeded(value) => value,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn ints(values: impl IntoIterator<Item = i128>) -> Vec<Value> {
    values.into_iter().map(Value::Int).collect()
}

/// A script that logs the pid of each worker in `folder` and becomes it.
pub(super) fn logging(folder: &TempDir) -> String {
    let log = folder.path().join("pids");
    let jobrun = env!("CARGO_BIN_EXE_jobrun");
    format!("echo $$ >> {}; exec {jobrun} --jobrun-worker", log.display())
}

pub(super) fn logged(folder: &TempDir) -> Vec<u32> {
    let text = fs::read_to_string(folder.path().join("pids")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// A script that says `hello`, waits for it and one call, and goes on as `then` says.
pub(super) fn fake(folder: &TempDir, hello: &Hello, then: &str) -> String {
    let said = folder.path().join("hello");
    let mut bytes = Vec::new();
    FromWorker::Hello(hello.clone()).encode(&mut bytes).unwrap();
    fs::write(&said, bytes).unwrap();
    let mut heard = Vec::new();
    let hello = Hello::new(RUN);
    ToWorker::Hello { hello, dir: "".into() }.encode(&mut heard).unwrap();
    format!("cat {}; head -c {} >/dev/null; {then}", said.display(), heard.len())
}
