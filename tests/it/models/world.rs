//! A world in which everything goes wrong: workers die, executors break, children cannot be spawned,
//! permits do not come, nobody stops when told to, and news is late and out of order. It keeps to what
//! a backend promises, and asks the same of the driver. Its clock is a virtual one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use jobrun::executor::Backend;
use jobrun::graph::{ExecutorKind, Graph, Task};
use jobrun::id::{ExecutorId, NodeId};
use jobrun::job::Job;
use jobrun::outcome::{Failure, FailureKind, Outcome, Stream};
use jobrun::time::Time;
use jobrun::value::Value;
use jobrun::work::{Done, Notice, Start, Stop, Work};

use crate::models::dice::Dice;
use crate::models::plan::Plan;
use crate::models::witness::Seen;

type Id = (NodeId, u32);

/// More notices than any case needs.
const MANY: u32 = 100_000;

pub struct World<'a> {
    job: &'a Job,
    plan: &'a Plan,
    dice: Dice,
    /// What the driver has said of the run.
    seen: Rc<RefCell<Seen>>,
    now: Time,
    agenda: BTreeMap<(Time, u64), Happening>,
    arranged: u64,
    lanes: Vec<Lane>,
    /// Those that were handed over and have not ended, whether they run or wait.
    known: BTreeMap<Id, Known>,
    /// When the last news of an attempt comes.
    news: BTreeMap<Id, Time>,
    /// All ids that were handed over and not taken back.
    tried: BTreeSet<Id>,
    /// Permits that were granted and not given back; requests that have not been granted.
    permits: u32,
    line: VecDeque<ExecutorId>,
    told: u32,
}

struct Lane {
    width: u32,
    waiting: VecDeque<Start>,
    running: BTreeMap<u32, Id>,
    peak: u32,
    broken: bool,
    /// Permits that the driver has.
    held: u32,
}

struct Known {
    executor: ExecutorId,
    is_call: bool,
    /// Once it runs.
    run: Option<Run>,
}

struct Run {
    worker: u32,
    started: Time,
    ends: Time,
    outcome: Outcome,
    /// How long it takes to end once it is told to; `None` if it does not listen.
    obeys: Option<Duration>,
}

#[derive(Debug)]
enum Happening {
    End(Id),
    Stop(Id, Stop),
    Break(ExecutorId),
    News(Notice),
}

impl<'a> World<'a> {
    pub fn new(job: &'a Job, plan: &'a Plan, seen: Rc<RefCell<Seen>>) -> Self {
        let lane = |width| Lane {
            width,
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            peak: 0,
            broken: false,
            held: 0,
        };
        let mut world = Self {
            job,
            plan,
            dice: Dice::new(plan.seed),
            seen,
            now: Time::ZERO,
            agenda: BTreeMap::new(),
            arranged: 0,
            lanes: job.graph.executors().iter().map(|it| lane(it.max_workers)).collect(),
            known: BTreeMap::new(),
            news: BTreeMap::new(),
            tried: BTreeSet::new(),
            permits: 0,
            line: VecDeque::new(),
            told: 0,
        };
        for at in &plan.trouble.signals {
            let at = world.now.after(world.times(*at));
            world.arrange(at, Happening::News(Notice::Signal(2)));
        }
        let executors = job.graph.executors().len() as u32;
        for (at, executor) in plan.trouble.breaks.iter().filter(|(_, it)| *it < executors) {
            let at = world.now.after(world.times(*at));
            world.arrange(at, Happening::Break(ExecutorId(*executor)));
        }
        world
    }

    fn graph(&self) -> &Graph {
        &self.job.graph
    }

    fn times(&self, units: u32) -> Duration {
        self.plan.trouble.unit * units
    }

    fn task(&self, node: NodeId) -> &Task {
        self.graph().task(self.seen.borrow().task_of(node))
    }

    fn arrange(&mut self, at: Time, what: Happening) {
        self.agenda.insert((at.max(self.now), self.arranged), what);
        self.arranged += 1;
    }

    /// Tells of an attempt, after all that was told of it before.
    fn tell(&mut self, id: Id, notice: Notice) {
        let lag = self.dice.below(u64::from(self.plan.trouble.lag) + 1) as u32;
        let at = self.now.after(self.times(lag));
        let at = at.max(self.news.get(&id).copied().unwrap_or_default());
        self.news.insert(id, at);
        self.arrange(at, Happening::News(notice));
    }

    // Starts.

    fn check_start(&self, start: &Start) {
        let (node, attempt) = (start.node, start.attempt);
        let (seen, task, lane) =
            (self.seen.borrow(), self.task(node), &self.lanes[start.executor.index()]);
        assert_eq!(start.executor, task.executor);
        assert!(!self.tried.contains(&(node, attempt)), "an attempt starts once");
        assert!(attempt == 1 || self.tried.contains(&(node, attempt - 1)), "attempts are counted");
        seen.check_start(self.graph(), node, attempt);
        let idle = lane.waiting.is_empty() && lane.running.len() < lane.width as usize;
        // A broken executor refuses, and that makes room before anybody hears of it.
        assert!(!start.announce || idle || lane.broken, "it is handed over when a worker is free");
        if self.is_guarded(start.executor) {
            let on = self.known.values().filter(|it| it.executor == start.executor).count();
            assert!((on as u32) < lane.held, "each start has a permit");
        }
    }

    /// What holds while something runs, those included that nobody waits for any more.
    fn check_limits(&self) {
        let running = || self.lanes.iter().flat_map(|lane| lane.running.values());
        let tasks: Vec<&Task> = running().map(|(node, _)| self.task(*node)).collect();
        assert!(
            tasks.len() < 2 || !tasks.iter().any(|it| it.exclusive),
            "exclusive ones are alone"
        );
        for (place, resource) in self.graph().resources().iter().enumerate() {
            let held = tasks.iter().flat_map(|task| &task.uses);
            let used: u64 =
                held.filter(|(id, _)| id.index() == place).map(|(_, units)| units).sum();
            assert!(used <= resource.capacity, "{used} of {} are used", resource.name);
        }
    }

    fn begin(&mut self, start: &Start) {
        let id = (start.node, start.attempt);
        let lane = &mut self.lanes[start.executor.index()];
        let free = (1..=lane.width).find(|it| !lane.running.contains_key(it));
        let worker = free.expect("it begins when a worker is free");
        lane.running.insert(worker, id);
        lane.peak = lane.peak.max(lane.running.len() as u32);
        assert!(lane.peak <= lane.width, "no more run than there are workers");
        self.check_limits();
        let run = self.draw(start, worker);
        self.arrange(run.ends, Happening::End(id));
        if let Some(known) = self.known.get_mut(&id) {
            known.run = Some(run);
        }
        let (node, attempt) = id;
        let writes = start.live && self.dice.percent(30);
        // What is not asked for is told all the same by what writes, and by children.
        if start.announce || writes || self.dice.percent(30) {
            self.tell(id, Notice::Started { node, attempt, worker, at: self.now });
        }
        if writes {
            let bytes = b"so\n".as_slice().into();
            self.tell(id, Notice::Output { node, stream: Stream::Stdout, bytes });
        }
    }

    /// How an attempt will go.
    fn draw(&self, start: &Start, worker: u32) -> Run {
        let mut dice = Dice::of(self.plan.seed, (start.node.0, start.attempt));
        let [fails, dies, no_spawn, disobeys] = self.plan.trouble.odds;
        let is_call = matches!(start.work, Work::Call(_));
        let kind = self.graph().executor(start.executor).kind;
        let failed = |kind| Outcome::Failed(Failure::new(kind, "as it was drawn"));
        let mut takes = self.times(dice.below(5) as u32);
        let mut outcome = if dice.percent(fails) {
            let of_call = [FailureKind::Call, FailureKind::Panic, FailureKind::Result];
            let of_run = [FailureKind::Exit, FailureKind::Signal, FailureKind::Result];
            failed(dice.pick(if is_call { &of_call } else { &of_run }))
        } else {
            let list: Vec<Value> = (0..dice.below(4) as u32).map(Value::from).collect();
            Outcome::Succeeded(if dice.percent(60) { list.into() } else { 1.into() })
        };
        if is_call && kind == ExecutorKind::Process && dice.percent(dies) {
            outcome = failed(FailureKind::WorkerDeath);
        }
        if !is_call && dice.percent(no_spawn) {
            (takes, outcome) = (Duration::ZERO, failed(FailureKind::Spawn));
        }
        // Calls are timed by the driver.
        if let Some(timeout) = start.timeout.filter(|it| !is_call && *it < takes) {
            takes = timeout;
            outcome = Outcome::TimedOut(Failure::new(FailureKind::Timeout, "it was too long"));
        }
        let obeys = match dice.below(3) {
            _ if dice.percent(disobeys) => None,
            0 => Some(Duration::ZERO),
            units => Some(self.times(units as u32)),
        };
        Run { worker, started: self.now, ends: self.now.after(takes), outcome, obeys }
    }

    // Ends.

    fn end(&mut self, id: Id) {
        let due = |known: &Known| known.run.as_ref().is_some_and(|run| run.ends <= self.now);
        if !self.known.get(&id).is_some_and(due) {
            // It was made to end before this, or will be later.
            return;
        }
        let Some(Known { executor, run: Some(run), .. }) = self.known.remove(&id) else { return };
        let (node, attempt) = id;
        self.lanes[executor.index()].running.remove(&run.worker);
        let Run { worker, started, outcome, .. } = run;
        let done = Done { node, attempt, worker, started, ended: self.now, outcome, child: None };
        self.tell(id, Notice::Ended(done));
        self.fill(executor);
    }

    /// Lets what waits take the workers that are free.
    fn fill(&mut self, executor: ExecutorId) {
        let lane = &mut self.lanes[executor.index()];
        if !lane.broken
            && lane.running.len() < lane.width as usize
            && let Some(start) = lane.waiting.pop_front()
        {
            self.begin(&start);
        }
    }

    fn refuse(&mut self, id: Id) {
        self.known.remove(&id);
        let outcome = Outcome::Failed(Failure::new(FailureKind::BrokenExecutor, "it is broken"));
        let ((node, attempt), now) = (id, self.now);
        let done =
            Done { node, attempt, worker: 0, started: now, ended: now, outcome, child: None };
        self.tell(id, Notice::Ended(done));
    }

    fn break_off(&mut self, executor: ExecutorId) {
        let lane = &mut self.lanes[executor.index()];
        lane.broken = true;
        let waiting: Vec<Id> = lane.waiting.drain(..).map(|it| (it.node, it.attempt)).collect();
        let message = "as it was drawn".to_owned();
        self.arrange(self.now, Happening::News(Notice::Broken { executor, message }));
        for id in waiting {
            self.refuse(id);
        }
    }

    fn carry_out(&mut self, id: Id, how: Stop) {
        let Some(known) = self.known.get_mut(&id) else { return };
        let (now, executor) = (self.now, known.executor);
        let Some(run) = &mut known.run else {
            let (node, attempt) = id;
            self.known.remove(&id);
            self.tried.remove(&id);
            self.lanes[executor.index()].waiting.retain(|it| (it.node, it.attempt) != id);
            self.tell(id, Notice::Recalled { node, attempt });
            return;
        };
        let forced =
            !known.is_call || self.job.graph.executor(executor).kind == ExecutorKind::Process;
        let within = match how {
            Stop::Recall => return,
            Stop::Kill if forced => Some(Duration::ZERO),
            Stop::Stop | Stop::Kill => run.obeys,
        };
        if let Some(within) = within
            && now.after(within) < run.ends
        {
            run.ends = now.after(within);
            run.outcome = Outcome::Cancelled;
            let ends = run.ends;
            self.arrange(ends, Happening::End(id));
        }
    }

    // Permits.

    fn grant(&mut self) {
        if self.permits > self.plan.trouble.guarded.1 {
            return;
        }
        if let Some(executor) = self.line.pop_front() {
            let units = if self.permits == 0 { 0 } else { self.dice.below(4) as u32 };
            self.permits += 1;
            let at = self.now.after(self.times(units));
            self.arrange(at, Happening::News(Notice::Permit { executor }));
        }
    }

    /// What the driver is told, and what it knows from then on.
    fn hears(&mut self, notice: Notice) -> Notice {
        self.told += 1;
        assert!(self.told < MANY, "it does not come to an end");
        match &notice {
            Notice::Permit { executor } => self.lanes[executor.index()].held += 1,
            Notice::Signal(_) => self.seen.borrow_mut().signals += 1,
            Notice::Broken { executor, .. } => self.seen.borrow_mut().broken.push(*executor),
            _ => {}
        }
        notice
    }

    /// Whoever is still busy when the run is over, nobody could have waited for.
    pub fn at_the_end(&self) {
        for ((node, attempt), known) in &self.known {
            let seen = self.seen.borrow();
            let of_call = known.is_call && known.run.is_some();
            assert!(of_call && seen.is_done(*node), "{node:?} {attempt} was forgotten");
        }
    }
}

impl Backend for World<'_> {
    fn now(&self) -> Time {
        self.now
    }

    fn start(&mut self, start: Start) {
        self.check_start(&start);
        let id = (start.node, start.attempt);
        let (executor, is_call) = (start.executor, matches!(start.work, Work::Call(_)));
        self.tried.insert(id);
        self.known.insert(id, Known { executor, is_call, run: None });
        if self.lanes[executor.index()].broken {
            return self.refuse(id);
        }
        self.lanes[executor.index()].waiting.push_back(start);
        self.fill(executor);
    }

    fn stop(&mut self, node: NodeId, attempt: u32, how: Stop) {
        // What waits is taken back before anybody listens; to what runs the word may take its time.
        let id = (node, attempt);
        let runs = self.known.get(&id).is_some_and(|known| known.run.is_some());
        if runs && self.plan.trouble.lag > 0 && self.dice.percent(30) {
            self.arrange(self.now.after(self.times(1)), Happening::Stop(id, how));
        } else {
            self.carry_out(id, how);
        }
    }

    fn recall(&mut self, executor: ExecutorId) {
        let waiting = self.lanes[executor.index()].waiting.iter();
        let waiting: Vec<Id> = waiting.map(|it| (it.node, it.attempt)).collect();
        for id in waiting {
            self.carry_out(id, Stop::Recall);
        }
    }

    fn is_guarded(&self, executor: ExecutorId) -> bool {
        self.plan.trouble.guarded.0.contains(&executor.0)
    }

    fn ask(&mut self, executor: ExecutorId) -> bool {
        if self.permits == 0 && self.line.is_empty() {
            self.permits = 1;
            self.lanes[executor.index()].held += 1;
            return true;
        }
        self.line.push_back(executor);
        self.grant();
        false
    }

    fn forgo(&mut self, executor: ExecutorId) {
        self.line.retain(|id| *id != executor);
    }

    fn give_back(&mut self, executor: ExecutorId) {
        self.permits -= 1;
        self.lanes[executor.index()].held -= 1;
        self.grant();
    }

    fn next(&mut self, until: Option<Time>) -> Option<Notice> {
        while let Some(entry) = self.agenda.first_entry() {
            let at = entry.key().0;
            if until.is_some_and(|until| at > until) {
                break;
            }
            self.now = self.now.max(at);
            match entry.remove() {
                Happening::End(id) => self.end(id),
                Happening::Stop(id, how) => self.carry_out(id, how),
                Happening::Break(executor) => self.break_off(executor),
                Happening::News(notice) => return Some(self.hears(notice)),
            }
        }
        let until = until.expect("nothing will ever happen");
        self.told += 1;
        assert!(self.told < MANY, "it does not come to an end");
        self.now = self.now.max(until);
        None
    }

    fn peak_running(&self, executor: ExecutorId) -> u32 {
        self.lanes[executor.index()].peak
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.at_the_end();
        }
    }
}
