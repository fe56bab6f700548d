//! Runs a job. Messages in, events out; knows nothing of manifests or report formats.

mod audience;
mod cover;
mod driver;
mod leftovers;
mod pace;
mod remarks;
pub mod secrets;
mod turn;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use crate::bind::Binder;
use crate::callback::Callbacks;
use crate::executor::Backend;
use crate::executor::local::{Local, Settings, WorkerProgram};
use crate::exit::Exit;
use crate::functions::Functions;
use crate::hosts::{Host, Hosts};
use crate::id::NodeId;
use crate::inbox::{Inbox, Sender};
use crate::job::Job;
use crate::ledger::Ledger;
use crate::lock::{Holder, OnBusy};
use crate::mask::Masker;
use crate::report::Observer;
use crate::run::audience::Audience;
use crate::run::driver::Driver;
use crate::run::secrets::Secrets;
use crate::run::turn::Turn;
use crate::rundir::RunDir;
use crate::shape::RunView;
use crate::supervise::Headroom;
use crate::time::Clock;
use crate::value::Value;
use crate::work::Notice;

/// The facts of a run that nothing in it changes.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The id of the run: letters, digits and `-`.
    pub run_id: String,
    /// When it started, by the wall clock.
    pub started_at: SystemTime,
    /// The trace that the run is a part of, as `TRACEPARENT` gives it.
    pub traceparent: Option<String>,
    /// What covers its secrets.
    pub masker: Masker,
}

impl Facts {
    /// The facts of a run that starts now, in the environment of this process.
    pub fn now() -> Self {
        let started_at = SystemTime::now();
        Self {
            run_id: run_id(started_at),
            started_at,
            traceparent: std::env::var("TRACEPARENT").ok(),
            masker: Masker::none(),
        }
    }

    /// A number that differs from run to run, for jitter.
    fn seed(&self) -> u64 {
        let hash = blake3::hash(self.run_id.as_bytes());
        hash.as_bytes()[..8].iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    }
}

/// The time to the second, for people, and something that tells runs of one second apart.
fn run_id(now: SystemTime) -> String {
    let time = humantime::format_rfc3339_seconds(now).to_string();
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    let (date, clock) = digits.split_at(8);
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Where the time of day stands still or jumps back, chance tells runs apart.
    let chance = RandomState::new().hash_one(());
    let salt = format!("{}:{}:{chance}", std::process::id(), since.as_nanos());
    let hash = blake3::hash(salt.as_bytes()).to_hex();
    format!("{date}-{clock}-{}", &hash[..6])
}

/// A run that is being prepared.
///
/// ```
/// use std::sync::Arc;
///
/// use jobrun::manifest::{Manifest, Task};
/// use jobrun::{Functions, Options, Runner, compile};
///
/// let mut functions = Functions::builtin();
/// functions.register("double", |n: i64| Ok::<_, String>(2 * n));
///
/// let manifest = Manifest::new("doubles").task(Task::call("double", "double").map([1, 2, 3]));
/// let job = Arc::new(compile(&manifest, &functions, &Options::default()).unwrap());
///
/// let finished = Runner::new(&job).functions(functions).run()?;
/// assert_eq!(finished.exit.code(), 0);
/// assert_eq!(finished.result("double"), Some(vec![2, 4, 6].into()));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runner<'a> {
    job: Arc<Job>,
    functions: Functions,
    observers: Vec<Box<dyn Observer + 'a>>,
    facts: Facts,
    secrets: Secrets,
    inbox: Inbox<Notice>,
    worker: WorkerProgram,
    /// What [`take_turn`](Self::take_turn) left: held to the end, where there is a lock.
    turn: Option<Turn>,
    headroom: Arc<Headroom>,
    alone: bool,
    hosts: Hosts,
}

impl<'a> Runner<'a> {
    /// A run of `job` with the built-in functions and no observers. What is secret in it is read from
    /// the environment now.
    pub fn new(job: &Arc<Job>) -> Self {
        let secrets = Secrets::of(job);
        Self {
            job: job.for_a_run(),
            functions: Functions::builtin(),
            observers: Vec::new(),
            facts: Facts { masker: secrets.masker().clone(), ..Facts::now() },
            secrets,
            inbox: Inbox::default(),
            worker: WorkerProgram::default(),
            turn: None,
            headroom: Arc::default(),
            alone: false,
            hosts: Hosts::default(),
        }
    }

    /// The functions that calls may name: those the job was compiled with.
    #[must_use]
    pub fn functions(mut self, functions: Functions) -> Self {
        self.functions = functions;
        self
    }

    /// One more observer; they are told in the order in which they were added.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'a) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// The program that serves the workers of `process` executors; this program, if not said, which
    /// must call [`init`](crate::init).
    #[must_use]
    pub fn worker(mut self, program: WorkerProgram) -> Self {
        self.worker = program;
        self
    }

    /// Lets callbacks post to these hosts, and to those of the open internet.
    #[must_use]
    pub fn allow_hosts(mut self, hosts: impl IntoIterator<Item = Host>) -> Self {
        self.hosts = hosts.into_iter().collect();
        self
    }

    /// The id that the run will have.
    pub fn run_id(&self) -> &str {
        &self.facts.run_id
    }

    /// What is secret in the run.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// What stops the run from another thread.
    pub fn handle(&self) -> Handle {
        Handle(self.inbox.sender())
    }

    /// Takes the inbox that notices come to, so that somebody can send before the run begins.
    #[must_use]
    pub(crate) fn inbox(mut self, inbox: Inbox<Notice>) -> Self {
        self.inbox = inbox;
        self
    }

    /// Waits until this run may begin, if only one of its job may run at once (`concurrency = "one"`);
    /// from then on it is this run's turn, until it has ended. `on_wait` is told whom it waits for. Gives
    /// the signal if it was asked to stop first: then it never begins.
    ///
    /// [`run`](Self::run) waits by itself where this was not called.
    ///
    /// # Errors
    /// If there can be no lock, or another run has it and `on_busy` refuses to wait.
    pub fn take_turn(
        &mut self,
        on_busy: OnBusy,
        on_wait: impl FnOnce(&Holder),
    ) -> io::Result<Option<i32>> {
        let turn = turn::take(&self.job, &self.facts, &mut self.inbox, on_busy, on_wait)?;
        self.facts.started_at = SystemTime::now();
        let stopped = turn.stopped();
        self.turn = Some(turn);
        Ok(stopped)
    }

    /// Runs the job on this machine until every future and callback has ended. If it is asked to stop
    /// while it waits for its turn, nothing has run, and no observer was told anything.
    /// Says that this process does nothing but this run: whatever is below it when the run has ended was
    /// left behind by tasks. Of itself only what has the id of the run in its environment is.
    #[must_use]
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// Runs the job on this machine until every future and callback has ended.
    ///
    /// # Errors
    /// If the run cannot even start: a failed task is no error.
    pub fn run(mut self) -> io::Result<Finished> {
        if self.turn.is_none() {
            self.take_turn(OnBusy::Wait, |_| {})?;
        }
        if let Some(signal) = self.turn.as_ref().and_then(Turn::stopped) {
            return Ok(self.never_began(signal));
        }
        let settings = Settings {
            job: Arc::clone(&self.job),
            functions: self.functions.clone(),
            clock: Clock::start(),
            run_id: self.facts.run_id.clone(),
            files: RunDir::new(&self.facts.run_id).masked(self.facts.masker.clone()),
            worker: self.worker.clone(),
            headroom: Arc::clone(&self.headroom),
            alone: self.alone,
        };
        let notices = self.inbox.sender();
        let backend = Local::new(settings, std::mem::take(&mut self.inbox));
        Ok(self.run_with(backend, notices))
    }

    /// Runs the job in another world, for example under a virtual clock.
    pub fn run_on(self, backend: impl Backend) -> Finished {
        let notices = self.inbox.sender();
        self.run_with(backend, notices)
    }

    fn never_began(self, signal: i32) -> Finished {
        let Self { job, facts, .. } = self;
        let mut ledger = Ledger::new(&job.graph);
        ledger.interrupted = Some(signal);
        Finished { exit: Exit::Interrupted(signal), job, ledger, facts }
    }

    fn run_with(self, backend: impl Backend, notices: Sender<Notice>) -> Finished {
        let Self { job, functions, observers, facts, secrets, headroom, hosts, .. } = self;
        let binder = Binder::new(&job, &facts.run_id, facts.started_at);
        let callbacks = Callbacks::new(&job, &functions, binder, notices)
            .masked(facts.masker.clone())
            .beside(&headroom)
            .allowing(hosts);
        let driver = Driver::new(&job, &facts, backend, Audience::new(observers), callbacks);
        let ledger = driver.run(secrets.warnings());
        let exit = Exit::of(&job.graph, &ledger);
        Finished { exit, job, ledger, facts }
    }
}

/// Stops a run from another thread. Does nothing once the run has ended.
#[derive(Clone, Debug)]
pub struct Handle(Sender<Notice>);

impl Handle {
    /// Asks the run to stop as `signal` would: children are stopped, clean-up tasks still run, and
    /// reports are written. Asked again, it stops at once.
    pub fn interrupt(&self, signal: i32) {
        self.0.send(Notice::Signal(signal));
    }
}

/// A run that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// What was run.
    pub job: Arc<Job>,
    /// What is known of every future, with secrets covered.
    pub ledger: Ledger,
    /// Its id and start.
    pub facts: Facts,
}

impl Finished {
    /// What observers saw at the end.
    pub fn view(&self) -> RunView<'_> {
        RunView {
            job: &self.job,
            ledger: &self.ledger,
            run_id: &self.facts.run_id,
            started_at: self.facts.started_at,
            masker: &self.facts.masker,
        }
    }

    /// What a task left, as it left it, secrets included: one value for a plain task, a list in submission order for a group, with
    /// null where a future has none. `None` if there is no such task.
    pub fn result(&self, task: &str) -> Option<Value> {
        let graph = &self.job.graph;
        let (id, _) = graph.tasks().find(|(_, it)| it.name == task)?;
        let result = |node| self.ledger.result(NodeId(node)).clone();
        if graph.task(id).size.is_group() {
            Some(Value::List(graph.members(id).map(result).collect()))
        } else {
            Some(result(graph.end_of(id).0))
        }
    }
}
