//! A small job, a script of how its futures end, and a driver that runs the one by the other under
//! the mock's clock, while a checker looks at every step.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use jobrun::executor::Backend;
use jobrun::executor::mock::{Guard, Mock, Obedience};
use jobrun::graph::{
    Executor, ExecutorKind, Graph, OnReturn, OnWorkerDeath, Resource, Retry, ReturnWhen, Size,
    Task, Wait, When,
};
use jobrun::id::{ExecutorId, NodeId, ResourceId, TaskId};
use jobrun::outcome::{Cause, Failure, FailureKind, Outcome, Return};
use jobrun::schedule::{Action, Answer, End, Options, Schedule};
use jobrun::time::Time;
use jobrun::value::Value;
use jobrun::work::{Args, Call, Command, Leak, Notice, ResultKind, Start, Stop, Work};

use crate::schedule::checker::Checker;

pub fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A task with one future that is ready at once.
pub fn one(name: &str) -> TaskSpec {
    TaskSpec::new(name, None)
}

/// A task that is a group of so many.
pub fn group(name: &str, members: u32) -> TaskSpec {
    TaskSpec::new(name, Some(members))
}

/// A task that turns out to be a group of so many while the job runs; `None` if that cannot be found
/// out.
pub fn open(name: &str, members: Option<u32>) -> TaskSpec {
    let mut spec = TaskSpec::new(name, None);
    spec.task.size = Size::Open { wait: None };
    spec.grows = members;
    spec
}

#[derive(Clone, Debug)]
pub struct TaskSpec {
    pub task: Task,
    after: Vec<String>,
    each: Option<String>,
    grows: Option<u32>,
}

impl TaskSpec {
    fn new(name: &str, members: Option<u32>) -> Self {
        let task = Task {
            name: name.to_owned(),
            size: members.map_or(Size::One, |members| Size::Group { members, wait: None }),
            after: Vec::new(),
            each: None,
            asks: false,
            when: When::Success,
            executor: ExecutorId(0),
            uses: Vec::new(),
            call: true,
            exclusive: false,
            priority: 0,
            estimate: None,
            retry: Retry { backoff: 1.0, ..Retry::default() },
            allow_failure: false,
            timeout: None,
            grace: secs(5.0),
        };
        Self { task, after: Vec::new(), each: None, grows: None }
    }

    pub fn after(mut self, names: &[&str]) -> Self {
        self.after = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// A group that follows the futures of another task, one by one.
    pub fn each(mut self, name: &str) -> Self {
        self.each = Some(name.to_owned());
        self
    }

    /// Its futures have a condition. See [`Job::answers`].
    pub fn asks(mut self) -> Self {
        self.task.asks = true;
        self
    }

    pub fn when(mut self, when: When) -> Self {
        self.task.when = when;
        self
    }

    pub fn wait(mut self, own: Wait) -> Self {
        match &mut self.task.size {
            Size::Group { wait, .. } | Size::Open { wait } => *wait = Some(own),
            // It becomes a group as soon as it is known whom it follows.
            Size::One => self.task.size = Size::Open { wait: Some(own) },
        }
        self
    }

    pub fn on(mut self, executor: u32) -> Self {
        self.task.executor = ExecutorId(executor);
        self
    }

    pub fn uses(mut self, uses: &[(u32, u64)]) -> Self {
        self.task.uses = uses.iter().map(|&(id, amount)| (ResourceId(id), amount)).collect();
        self
    }

    pub fn exclusive(mut self) -> Self {
        self.task.exclusive = true;
        self
    }

    pub fn priority(mut self, priority: i64) -> Self {
        self.task.priority = priority;
        self
    }

    pub fn estimate(mut self, seconds: f64) -> Self {
        self.task.estimate = Some(secs(seconds));
        self
    }

    pub fn retry(mut self, retry: Retry) -> Self {
        self.task.retry = retry;
        self
    }

    pub fn allow_failure(mut self) -> Self {
        self.task.allow_failure = true;
        self
    }

    pub fn timeout(mut self, seconds: f64) -> Self {
        self.task.timeout = Some(secs(seconds));
        self
    }

    fn line(&self) -> String {
        let it = &self.task;
        let mut line = format!(
            "{} {:?} grows {:?} after {:?} each {:?} {:?} on {} uses {:?} retry {}",
            it.name,
            it.size,
            self.grows,
            self.after,
            self.each,
            it.when,
            it.executor.0,
            it.uses,
            it.retry.count
        );
        for (word, holds) in [
            ("call", it.call),
            ("exclusive", it.exclusive),
            ("allow_failure", it.allow_failure),
            ("asks", it.asks),
        ] {
            line += if holds { " " } else { " not " };
            line += word;
        }
        line + &format!(" timeout {:?} priority {}", it.timeout, it.priority)
    }

    /// It is a child process, not a call.
    pub fn child(mut self) -> Self {
        self.task.call = false;
        self
    }
}

pub fn wait(return_when: ReturnWhen) -> Wait {
    Wait { return_when, ..Wait::default() }
}

pub fn within(mut wait: Wait, seconds: f64) -> Wait {
    wait.timeout = Some(secs(seconds));
    wait
}

pub fn then(mut wait: Wait, on_return: OnReturn) -> Wait {
    wait.on_return = on_return;
    wait
}

pub fn retries(count: u32, delay: f64) -> Retry {
    Retry { count, delay: secs(delay), backoff: 1.0, ..Retry::default() }
}

/// How an attempt ends if nobody stops it.
#[derive(Clone, Debug)]
pub enum How {
    Succeeds,
    Fails(FailureKind),
    Exits(i32),
}

type Script = Arc<dyn Fn(&str, u32) -> (Duration, How)>;
type Oracle = Arc<dyn Fn(&str) -> Answer>;

#[derive(Clone)]
pub struct Job {
    tasks: Vec<TaskSpec>,
    executors: Vec<Executor>,
    resources: Vec<Resource>,
    wait: Wait,
    options: Options,
    obedience: Obedience,
    guard: Guard,
    special: BTreeMap<(String, u32), (Duration, How)>,
    script: Option<Script>,
    oracle: Oracle,
    signals: Vec<f64>,
    breaks: Vec<(f64, u32)>,
}

impl Job {
    /// A job with one worker, whose futures all succeed after a second.
    pub fn new(tasks: impl IntoIterator<Item = TaskSpec>) -> Self {
        Self {
            tasks: tasks.into_iter().collect(),
            executors: vec![executor("default", 1, OnWorkerDeath::Fail)],
            resources: Vec::new(),
            wait: Wait::default(),
            options: Options::default(),
            obedience: Obedience::AtOnce,
            guard: Guard::default(),
            special: BTreeMap::new(),
            script: None,
            oracle: Arc::new(|_| Answer::Yes),
            signals: Vec::new(),
            breaks: Vec::new(),
        }
    }

    pub fn workers(mut self, count: u32) -> Self {
        self.executors[0].max_workers = count;
        self
    }

    pub fn on_worker_death(mut self, what: OnWorkerDeath) -> Self {
        self.executors[0].on_worker_death = what;
        self
    }

    pub fn executor(mut self, workers: u32, on_worker_death: OnWorkerDeath) -> Self {
        let name = format!("x{}", self.executors.len());
        self.executors.push(executor(&name, workers, on_worker_death));
        self
    }

    pub fn resource(mut self, name: &str, capacity: u64) -> Self {
        self.resources.push(Resource { name: name.to_owned(), capacity, counted: true });
        self
    }

    pub fn memory(mut self, name: &str, bytes: u64) -> Self {
        self.resources.push(Resource { name: name.to_owned(), capacity: bytes, counted: false });
        self
    }

    pub fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    pub fn ahead(mut self, ahead: u32) -> Self {
        self.options.ahead = ahead;
        self
    }

    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    pub fn obedience(mut self, obedience: Obedience) -> Self {
        self.obedience = obedience;
        self
    }

    /// Starts on these executors need a permit. There are `1 + more` in all, and all but the first take
    /// so long to come.
    pub fn guard(mut self, executors: &[u32], more: u32, seconds: f64) -> Self {
        self.guard = Guard::new(executors.iter().copied().map(ExecutorId), more, secs(seconds));
        self
    }

    /// The future takes so long.
    pub fn takes(self, name: &str, seconds: f64) -> Self {
        (1..=9).fold(self, |job, attempt| job.attempt(name, attempt, seconds, How::Succeeds))
    }

    /// The future fails after so long, every time.
    pub fn fails(self, name: &str, seconds: f64) -> Self {
        let how = How::Fails(FailureKind::Call);
        (1..=9).fold(self, |job, attempt| job.attempt(name, attempt, seconds, how.clone()))
    }

    pub fn attempt(mut self, name: &str, attempt: u32, seconds: f64, how: How) -> Self {
        self.special.insert((name.to_owned(), attempt), (secs(seconds), how));
        self
    }

    /// How all attempts end that nothing else is said of.
    pub fn script(mut self, script: impl Fn(&str, u32) -> (Duration, How) + 'static) -> Self {
        self.script = Some(Arc::new(script));
        self
    }

    /// What comes of conditions.
    pub fn answers(mut self, oracle: impl Fn(&str) -> Answer + 'static) -> Self {
        self.oracle = Arc::new(oracle);
        self
    }

    /// The user sends a signal: the first interrupts, the second kills.
    pub fn signal(mut self, seconds: f64) -> Self {
        self.signals.push(seconds);
        self
    }

    pub fn breaks(mut self, seconds: f64, executor: u32) -> Self {
        self.breaks.push((seconds, executor));
        self
    }

    pub fn graph(&self) -> Graph {
        let id = |name: &String| {
            let at = self.tasks.iter().position(|it| it.task.name == *name);
            TaskId(at.unwrap_or_else(|| panic!("no task {name}")) as u32)
        };
        let mut tasks: Vec<Task> = Vec::new();
        for spec in &self.tasks {
            let mut task = spec.task.clone();
            task.after = spec.after.iter().map(id).collect();
            task.each = spec.each.as_ref().map(id);
            if let Some(each) = task.each {
                let wait = task.size.wait().cloned();
                task.size = match tasks[each.index()].size {
                    Size::Open { .. } => Size::Open { wait },
                    ref other => Size::Group { members: other.futures(), wait },
                };
            }
            tasks.push(task);
        }
        Graph::new(tasks, self.executors.clone(), self.resources.clone(), self.wait.clone())
            .expect("the graph is valid")
    }

    /// Runs the job to its end, checking every step, and tells what happened.
    pub fn run(&self) -> Vec<String> {
        let graph = self.graph();
        let mut mock = Mock::new(|start: &Start| self.play(&graph, start))
            .with_widths(graph.executors().iter().map(|it| it.max_workers))
            .with_obedience(self.obedience)
            .with_guard(self.guard.clone());
        for &at in &self.signals {
            mock.arrange(Time::ZERO.after(secs(at)), Notice::Signal(2));
        }
        for &(at, executor) in &self.breaks {
            let executor = ExecutorId(executor);
            let notice = Notice::Broken { executor, message: String::new() };
            mock.arrange(Time::ZERO.after(secs(at)), notice);
        }
        Sim::new(self, &graph, mock).run()
    }

    fn play(&self, graph: &Graph, start: &Start) -> (Duration, Outcome) {
        let name = graph.name(start.node).to_string();
        let (takes, how) = match (self.special.get(&(name.clone(), start.attempt)), &self.script) {
            (Some(special), _) => special.clone(),
            (None, Some(script)) => script(&name, start.attempt),
            (None, None) => (secs(1.0), How::Succeeds),
        };
        let outcome = match how {
            How::Succeeds => Outcome::Succeeded(Value::Null),
            How::Fails(kind) => Outcome::Failed(Failure::new(kind, "as scripted")),
            // The code travels in the message: the mock has no children.
            How::Exits(code) => Outcome::Failed(Failure::new(FailureKind::Exit, code.to_string())),
        };
        (takes, outcome)
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("tasks", &self.tasks.iter().map(TaskSpec::line).collect::<Vec<_>>())
            .field("executors", &self.executors.iter().map(width).collect::<Vec<_>>())
            .field("wait", &self.wait)
            .field("options", &self.options)
            .field("obedience", &self.obedience)
            .field("guard", &self.guard)
            .field("signals", &self.signals)
            .field("breaks", &self.breaks)
            .finish_non_exhaustive()
    }
}

fn width(executor: &Executor) -> String {
    format!("{} {:?}", executor.max_workers, executor.on_worker_death)
}

fn executor(name: &str, max_workers: u32, on_worker_death: OnWorkerDeath) -> Executor {
    Executor { name: name.to_owned(), kind: ExecutorKind::Thread, max_workers, on_worker_death }
}

/// The driver.
struct Sim<'g, 's> {
    job: &'g Job,
    graph: &'g Graph,
    schedule: Schedule<'g>,
    mock: Mock<'s>,
    checker: Checker<'g>,
    /// The calls that run under a timeout, by when it ends.
    timeouts: BTreeSet<(Time, NodeId, u32)>,
    current: BTreeMap<NodeId, u32>,
    abandoned: BTreeSet<(NodeId, u32)>,
    signals: u32,
    story: Vec<String>,
}

impl<'g, 's> Sim<'g, 's> {
    fn new(job: &'g Job, graph: &'g Graph, mock: Mock<'s>) -> Self {
        let options = job.options;
        let executors = (0..graph.executors().len() as u32).map(ExecutorId);
        let guarded: Vec<ExecutorId> = executors.filter(|id| mock.is_guarded(*id)).collect();
        let mut schedule = Schedule::new(graph, options);
        for id in &guarded {
            schedule.guard(*id);
        }
        Self {
            job,
            graph,
            schedule,
            mock,
            checker: Checker::new(graph, options, guarded),
            timeouts: BTreeSet::new(),
            current: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            signals: 0,
            story: Vec::new(),
        }
    }

    /// A rule that does not hold is told with the story so far.
    fn run(mut self) -> Vec<String> {
        let run = AssertUnwindSafe(|| self.go());
        if let Err(panic) = catch_unwind(run) {
            let why = panic.downcast_ref::<String>().cloned();
            let why = why.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
            panic!("{} after {:#?}", why.unwrap_or_default(), self.story);
        }
        self.story
    }

    fn go(&mut self) {
        self.schedule.start(Time::ZERO);
        loop {
            while let Some(action) = self.schedule.next_action() {
                self.checker.saw(self.mock.now(), &action);
                self.tell(&action);
                self.act(&action);
            }
            let now = self.mock.now();
            self.checker.at_rest(now);
            self.checker.check_order(now, |node| self.mock.began(node));
            if self.schedule.is_finished() {
                self.checker.at_the_end();
                self.check_peaks();
                return;
            }
            let call = self.timeouts.first().map(|(at, ..)| *at);
            let until = call.into_iter().chain(self.schedule.next_deadline()).min();
            match self.mock.next(until) {
                Some(notice) => self.hear(notice),
                None => self.wake(until),
            }
        }
    }

    fn check_peaks(&self) {
        for (id, executor) in self.graph.executors().iter().enumerate() {
            let peak = self.mock.peak_running(ExecutorId(id as u32));
            assert!(peak <= executor.max_workers, "{peak} ran at once on {}", executor.name);
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Start { node, attempt, .. } => self.start(*node, *attempt),
            Action::Question { node } => self.answer(*node),
            Action::Expand { task } => self.expand(*task),
            Action::Stop { node, attempt, how } => self.mock.stop(*node, *attempt, *how),
            Action::Ask { executor } if self.mock.ask(*executor) => self.permit(*executor),
            Action::Forgo { executor } => self.mock.forgo(*executor),
            Action::GiveBack { executor } => self.mock.give_back(*executor),
            _ => {}
        }
    }

    fn start(&mut self, node: NodeId, attempt: u32) {
        let task = self.graph.task(self.graph.task_of(node));
        self.current.insert(node, attempt);
        if let Some(timeout) = task.timeout.filter(|_| task.call) {
            self.timeouts.insert((self.mock.now().after(timeout), node, attempt));
        }
        self.mock.start(Start {
            node,
            attempt,
            executor: task.executor,
            work: if task.call { call() } else { child() },
            timeout: task.timeout,
            grace: task.grace,
            announce: false,
            live: false,
            span: tracing::Span::none(),
        });
    }

    fn answer(&mut self, node: NodeId) {
        let answer = (self.job.oracle)(&self.graph.name(node).to_string());
        self.checker.answered(node, answer);
        self.schedule.answered(self.mock.now(), node, answer);
    }

    fn expand(&mut self, task: TaskId) {
        let members = self.job.tasks[task.index()].grows;
        self.graph.grow(task, members.unwrap_or(1)).expect("there is room");
        self.checker.grew(self.mock.now(), task, members.is_some());
        match members {
            Some(_) => self.schedule.expanded(self.mock.now(), task),
            None => self.schedule.not_expanded(self.mock.now(), task),
        }
    }

    fn permit(&mut self, executor: ExecutorId) {
        self.checker.permitted(executor);
        self.schedule.permit(self.mock.now(), executor);
    }

    fn hear(&mut self, notice: Notice) {
        let now = self.mock.now();
        match notice {
            Notice::Permit { executor } => self.permit(executor),
            Notice::Ended(done) if self.abandoned.remove(&(done.node, done.attempt)) => {
                self.checker.freed(done.node, done.attempt);
                self.schedule.freed(now, done.node, done.attempt);
            }
            Notice::Ended(done) => {
                self.timeouts.retain(|(_, node, _)| *node != done.node);
                self.checker.ended(done.node);
                match &done.outcome {
                    Outcome::Succeeded(_) => self.schedule.ended(now, done.node, End::Succeeded),
                    Outcome::Failed(failure) => {
                        let executor = self.graph.task(self.graph.task_of(done.node)).executor;
                        if failure.kind == FailureKind::WorkerDeath
                            && self.graph.executor(executor).on_worker_death == OnWorkerDeath::Break
                        {
                            self.checker.broke(executor);
                        }
                        let exit_code = failure.message.parse().ok();
                        let end = End::Failed { failure, exit_code };
                        self.schedule.ended(now, done.node, end);
                    }
                    Outcome::TimedOut(_) => self.schedule.ended(now, done.node, End::TimedOut),
                    Outcome::Cancelled => self.schedule.ended(now, done.node, End::Cancelled),
                }
            }
            Notice::Recalled { node, .. } => {
                self.timeouts.retain(|(_, timed, _)| *timed != node);
                self.checker.recalled(node);
                self.schedule.recalled(now, node);
            }
            Notice::Broken { executor, .. } => {
                self.checker.broke(executor);
                self.schedule.broke(now, executor);
            }
            Notice::Signal(_) => {
                self.signals += 1;
                self.checker.signal();
                if self.signals == 1 {
                    self.schedule.interrupt(now);
                } else {
                    self.schedule.kill(now);
                }
            }
            _ => {}
        }
    }

    /// Nothing was heard before `until`.
    fn wake(&mut self, until: Option<Time>) {
        assert!(until.is_some(), "nothing will ever happen");
        let now = self.mock.now();
        let any_call = self.timeouts.first().is_some_and(|(at, ..)| *at <= now);
        while let Some(&(at, node, attempt)) = self.timeouts.first()
            && at <= now
        {
            self.timeouts.pop_first();
            self.abandoned.insert((node, attempt));
            self.checker.overran(node);
            self.schedule.overran(now, node);
            self.mock.stop(node, attempt, Stop::Stop);
        }
        if !any_call {
            self.schedule.tick(now);
        }
    }

    fn tell(&mut self, action: &Action) {
        let name = |node: NodeId| self.graph.name(node).to_string();
        let line = match action {
            Action::Start { node, attempt, units, ahead, .. } => {
                let mut words = vec![format!("start {}", name(*node))];
                words.extend((*attempt > 1).then(|| format!("#{attempt}")));
                let resource = |id: &ResourceId| &self.graph.resources()[id.index()].name;
                words.extend(units.iter().map(|(id, units)| format!("{}{units:?}", resource(id))));
                words.extend(ahead.then(|| "ahead".to_owned()));
                words.join(" ")
            }
            Action::Question { node } => format!("ask about {}", name(*node)),
            Action::Expand { task } => format!("expand {}", self.graph.task(*task).name),
            Action::Stop { node, how: Stop::Recall, .. } => format!("recall {}", name(*node)),
            Action::Stop { node, how: Stop::Stop, .. } => format!("stop {}", name(*node)),
            Action::Stop { node, how: Stop::Kill, .. } => format!("kill {}", name(*node)),
            Action::Ask { executor } => format!("ask {}", executor.0),
            Action::Forgo { executor } => format!("forgo {}", executor.0),
            Action::GiveBack { executor } => format!("give back {}", executor.0),
            Action::Settle { node, state, cause } => {
                let cause = match cause {
                    None => String::new(),
                    Some(Cause::Dependency(root)) => format!(" by dependency {}", name(*root)),
                    Some(Cause::Wait(Some(gate))) => format!(" by wait {}", name(*gate)),
                    Some(Cause::Wait(None)) => " by wait".to_owned(),
                    Some(Cause::Interrupt) => " by interrupt".to_owned(),
                };
                format!("{} {}{cause}", name(*node), state.word())
            }
            Action::Retry { node, attempt, at } => {
                format!("retry {} #{attempt} at {}", name(*node), at.seconds())
            }
            Action::GroupReturned { task, how } => {
                format!("{} returned {}", self.graph.task(*task).name, returned(how))
            }
            Action::JobReturned { how } => format!("returned {}", returned(how)),
        };
        self.story.push(format!("{} {line}", self.mock.now().seconds()));
    }
}

fn returned(how: &Return) -> String {
    let verdict = if how.success { "well" } else { "badly" };
    format!("{} after {} {verdict}", how.because.word(), how.after.as_secs_f64())
}

fn call() -> Work {
    Work::Call(Call { function: "test".into(), args: Args::List(Vec::new().into()), dir: None })
}

fn child() -> Work {
    Work::Run(Box::new(Command {
        program: "true".into(),
        args: Vec::new(),
        env: Vec::new(),
        cwd: "/".into(),
        stdin: None,
        ok_exit: Arc::from([0]),
        result: ResultKind::Auto,
        leak: Leak::Warn,
        limits: None,
    }))
}
