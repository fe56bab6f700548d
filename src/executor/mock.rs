//! A backend under a virtual clock: nothing runs, everything ends when the script says so. Waits for
//! nobody, so that a day of work is simulated in a moment, and tells the same story every time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fmt;
use std::time::Duration;

use crate::executor::Backend;
use crate::id::{ExecutorId, NodeId};
use crate::outcome::{Failure, FailureKind, Outcome};
use crate::time::Time;
use crate::work::{Done, Notice, Start, Stop, Work};

/// How long an attempt takes, and how it ends.
type Script<'s> = Box<dyn FnMut(&Start) -> (Duration, Outcome) + 's>;

/// How attempts answer to being stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Obedience {
    /// They end at once.
    #[default]
    AtOnce,
    /// They end so much later, if they have not ended by themselves; at once when they are killed.
    After(Duration),
    /// They run to their end.
    Never,
}

/// Who grants the permits of guarded executors: one at once to whoever asks while none is out, and
/// beyond that so many in all, each after a while. They are shared by the executors.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    executors: Vec<ExecutorId>,
    more: u32,
    delay: Duration,
    /// Granted and not given back, those on their way included.
    out: u32,
    line: VecDeque<ExecutorId>,
}

impl Guard {
    /// Guards these executors: at most `1 + more` permits are out at once, and all but the first take
    /// `delay` to come. They come also to whoever has forgone them by then.
    pub fn new(
        executors: impl IntoIterator<Item = ExecutorId>,
        more: u32,
        delay: Duration,
    ) -> Self {
        Self { executors: executors.into_iter().collect(), more, delay, ..Self::default() }
    }
}

/// The backend. Its clock stands still but in [`Backend::next`], which moves it to the next thing
/// that happens.
pub struct Mock<'s> {
    script: Script<'s>,
    obedience: Obedience,
    guard: Guard,
    now: Time,
    lanes: BTreeMap<ExecutorId, Lane>,
    /// By node and attempt: a node may be tried again while an attempt of it that was given up
    /// still runs.
    running: BTreeMap<(NodeId, u32), Running>,
    /// What happens when; what happens at the same time does so in the order in which it was
    /// arranged. An entry whose attempt ends at another time by now is passed over.
    agenda: BinaryHeap<Reverse<(Time, u64, Happening)>>,
    arranged: u64,
    arranged_notices: BTreeMap<u64, Notice>,
    outbox: VecDeque<Notice>,
    /// How many attempts began.
    begun: u64,
}

/// One executor.
#[derive(Debug)]
struct Lane {
    /// How many attempts run at once; the rest waits here.
    width: u32,
    waiting: VecDeque<(Start, Duration, Outcome)>,
    /// The workers that are free among those that were ever busy.
    idle: BinaryHeap<Reverse<u32>>,
    hired: u32,
    running: u32,
    peak: u32,
}

#[derive(Debug)]
struct Running {
    executor: ExecutorId,
    worker: u32,
    started: Time,
    ends: Time,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    End(NodeId, u32),
    Notice(u64),
}

impl<'s> Mock<'s> {
    /// A backend where each attempt takes as long, and ends, as `script` says. Executors are as wide
    /// as anybody asks, until [`Mock::with_widths`].
    pub fn new(script: impl FnMut(&Start) -> (Duration, Outcome) + 's) -> Self {
        Self {
            script: Box::new(script),
            obedience: Obedience::default(),
            guard: Guard::default(),
            now: Time::ZERO,
            lanes: BTreeMap::new(),
            running: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            arranged: 0,
            arranged_notices: BTreeMap::new(),
            outbox: VecDeque::new(),
            begun: 0,
        }
    }

    /// Gives each executor, by its id, so many workers. Attempts that are handed over beyond that wait
    /// in line and can be recalled.
    #[must_use]
    pub fn with_widths(mut self, widths: impl IntoIterator<Item = u32>) -> Self {
        for (id, width) in widths.into_iter().enumerate() {
            self.lane(ExecutorId(id as u32)).width = width;
        }
        self
    }

    /// Says how attempts answer to being stopped.
    #[must_use]
    pub fn with_obedience(mut self, obedience: Obedience) -> Self {
        self.obedience = obedience;
        self
    }

    /// Says which starts need a permit, and when there is one.
    #[must_use]
    pub fn with_guard(mut self, guard: Guard) -> Self {
        self.guard = guard;
        self
    }

    /// Arranges for a notice to come at some time: a signal, or a broken executor.
    pub fn arrange(&mut self, at: Time, notice: Notice) {
        let key = self.arranged;
        self.arranged_notices.insert(key, notice);
        self.put(at, Happening::Notice(key));
    }

    /// How many attempts run now, on all executors.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// How many attempts wait in line for a worker, on all executors.
    pub fn waiting(&self) -> usize {
        self.lanes.values().map(|lane| lane.waiting.len()).sum()
    }

    /// When the attempt of a future that is under way began to run; `None` while it waits in line, and
    /// when there is none.
    pub fn began(&self, node: NodeId) -> Option<Time> {
        let mut attempts = self.running.range((node, 0)..=(node, u32::MAX));
        attempts.next_back().map(|(_, running)| running.started)
    }

    /// How many attempts began to run so far.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    fn lane(&mut self, executor: ExecutorId) -> &mut Lane {
        self.lanes.entry(executor).or_insert_with(|| Lane {
            width: u32::MAX,
            waiting: VecDeque::new(),
            idle: BinaryHeap::new(),
            hired: 0,
            running: 0,
            peak: 0,
        })
    }

    fn put(&mut self, at: Time, happening: Happening) {
        self.agenda.push(Reverse((at.max(self.now), self.arranged, happening)));
        self.arranged += 1;
    }

    /// Lets the next in line have its permit, if there is one to be had.
    fn grant(&mut self) {
        let guard = &mut self.guard;
        if guard.out > guard.more {
            return;
        }
        let delay = if guard.out == 0 { Duration::ZERO } else { guard.delay };
        if let Some(executor) = guard.line.pop_front() {
            guard.out += 1;
            self.arrange(self.now.after(delay), Notice::Permit { executor });
        }
    }

    fn begin(&mut self, start: &Start, takes: Duration, outcome: Outcome) {
        let is_call = matches!(start.work, Work::Call(_));
        let lane = self.lane(start.executor);
        let worker = lane.hire();
        self.begun += 1;
        let (takes, outcome) = match start.timeout {
            // Calls are timed by the driver.
            Some(timeout) if timeout < takes && !is_call => {
                let message = format!("ran longer than {timeout:?}");
                (timeout, Outcome::TimedOut(Failure::new(FailureKind::Timeout, message)))
            }
            _ => (takes, outcome),
        };
        let ends = self.now.after(takes);
        let (node, attempt) = (start.node, start.attempt);
        let executor = start.executor;
        let running = Running { executor, worker, started: self.now, ends, outcome };
        self.running.insert((node, attempt), running);
        self.put(ends, Happening::End(node, attempt));
        if start.announce {
            self.outbox.push_back(Notice::Started { node, attempt, worker, at: self.now });
        }
    }

    fn end(&mut self, node: NodeId, attempt: u32) -> Option<Notice> {
        let running = self.running.remove(&(node, attempt))?;
        let lane = self.lane(running.executor);
        lane.running -= 1;
        lane.idle.push(Reverse(running.worker));
        if let Some((start, takes, outcome)) = lane.waiting.pop_front() {
            self.begin(&start, takes, outcome);
        }
        Some(Notice::Ended(Done {
            node,
            attempt,
            worker: running.worker,
            started: running.started,
            ended: self.now,
            outcome: running.outcome,
            child: None,
        }))
    }

    fn take_back(&mut self, node: NodeId, attempt: u32) -> bool {
        let lines = self.lanes.values_mut();
        for waiting in lines.map(|lane| &mut lane.waiting) {
            let is_it = |start: &Start| (start.node, start.attempt) == (node, attempt);
            if let Some(at) = waiting.iter().position(|(start, ..)| is_it(start)) {
                waiting.remove(at);
                self.outbox.push_back(Notice::Recalled { node, attempt });
                return true;
            }
        }
        false
    }

    /// Makes an attempt end after `grace`, unless it ends before that.
    fn cut_short(&mut self, node: NodeId, attempt: u32, grace: Duration) {
        let ends = self.now.after(grace);
        if let Some(running) = self.running.get_mut(&(node, attempt))
            && ends < running.ends
        {
            running.ends = ends;
            running.outcome = Outcome::Cancelled;
            self.put(ends, Happening::End(node, attempt));
        }
    }

    fn is_stale(&self, at: Time, happening: Happening) -> bool {
        match happening {
            Happening::Notice(_) => false,
            Happening::End(node, attempt) => {
                self.running.get(&(node, attempt)).is_none_or(|running| running.ends != at)
            }
        }
    }
}

impl Lane {
    fn hire(&mut self) -> u32 {
        self.running += 1;
        self.peak = self.peak.max(self.running);
        if let Some(Reverse(worker)) = self.idle.pop() {
            return worker;
        }
        self.hired += 1;
        self.hired
    }
}

impl Backend for Mock<'_> {
    fn now(&self) -> Time {
        self.now
    }

    fn start(&mut self, start: Start) {
        let (takes, outcome) = (self.script)(&start);
        let lane = self.lane(start.executor);
        if lane.running < lane.width {
            self.begin(&start, takes, outcome);
        } else {
            lane.waiting.push_back((start, takes, outcome));
        }
    }

    fn stop(&mut self, node: NodeId, attempt: u32, how: Stop) {
        if self.take_back(node, attempt) || how == Stop::Recall {
            return;
        }
        match self.obedience {
            Obedience::AtOnce => self.cut_short(node, attempt, Duration::ZERO),
            Obedience::After(_) if how == Stop::Kill => {
                self.cut_short(node, attempt, Duration::ZERO);
            }
            Obedience::After(grace) => self.cut_short(node, attempt, grace),
            Obedience::Never => {}
        }
    }

    fn recall(&mut self, executor: ExecutorId) {
        let waiting = std::mem::take(&mut self.lane(executor).waiting);
        let recalled = waiting
            .iter()
            .map(|(start, ..)| Notice::Recalled { node: start.node, attempt: start.attempt });
        self.outbox.extend(recalled);
    }

    fn is_guarded(&self, executor: ExecutorId) -> bool {
        self.guard.executors.contains(&executor)
    }

    fn ask(&mut self, executor: ExecutorId) -> bool {
        let guard = &mut self.guard;
        if guard.out == 0 && guard.line.is_empty() {
            guard.out = 1;
            return true;
        }
        guard.line.push_back(executor);
        self.grant();
        false
    }

    fn forgo(&mut self, executor: ExecutorId) {
        self.guard.line.retain(|id| *id != executor);
    }

    fn give_back(&mut self, _executor: ExecutorId) {
        self.guard.out -= 1;
        self.grant();
    }

    fn next(&mut self, until: Option<Time>) -> Option<Notice> {
        loop {
            if let Some(notice) = self.outbox.pop_front() {
                return Some(notice);
            }
            let Some(&Reverse((at, _, happening))) = self.agenda.peek() else { break };
            if self.is_stale(at, happening) {
                self.agenda.pop();
                continue;
            }
            if until.is_some_and(|until| at > until) {
                break;
            }
            self.agenda.pop();
            self.now = self.now.max(at);
            let notice = match happening {
                Happening::End(node, attempt) => self.end(node, attempt),
                Happening::Notice(key) => self.arranged_notices.remove(&key),
            };
            // What began because of this end is told after it.
            if let Some(notice) = notice {
                return Some(notice);
            }
        }
        // Nothing happens before `until`; without one nothing ever will.
        self.now = until.map_or(self.now, |until| self.now.max(until));
        None
    }

    fn peak_running(&self, executor: ExecutorId) -> u32 {
        self.lanes.get(&executor).map_or(0, |lane| lane.peak)
    }
}

impl fmt::Debug for Mock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mock")
            .field("now", &self.now)
            .field("running", &self.running)
            .field("lanes", &self.lanes)
            .finish_non_exhaustive()
    }
}
