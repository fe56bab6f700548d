//! The pure state machine that decides what starts, what stops and how things end. No clock, no
//! thread, no I/O: the same graph, options and inputs give the same actions.
//!
//! Each input is dealt with to its last consequence before it returns. An end spreads along the edges
//! first, so that what can never run is cancelled because of *that*; then the waits of groups are
//! looked at, whose gates spread in turn; then the wait of the job. Only what is ready after all
//! that may start, and it is picked when the driver asks for it, not before.

mod action;
mod cancel;
mod dispatch;
mod group;
mod limits;
mod node;
mod open;
mod order;
mod permits;
mod plan;
mod retry;
mod wait;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;

pub use action::{Action, Answer, End};

use crate::graph::{Graph, OnWorkerDeath, When};
use crate::id::{ExecutorId, NodeId, TaskId};
use crate::outcome::{Because, Cause, FailureKind, State};
use crate::time::Time;
use crate::work::Stop;
use dispatch::Dispatch;
use group::Group;
use node::{Blame, Fate, Marks, Node, Phase, Wish};
use plan::{Plan, Traits};
use retry::Tries;
use wait::{Ballot, Waiting, is_about_failure};

/// What may vary between two runs of one graph.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Where the jitter of retries is drawn from.
    pub seed: u64,
    /// How many plain futures more than it has workers may be handed to each executor, if that cannot
    /// change their order. With 0 a start always means that a worker is free.
    pub ahead: u32,
}

/// The state of one run. See the [module](self).
///
/// Inputs take the time at which they came, which must not go back. What does not fit the state of
/// a node, such as the end of an attempt that is not in flight, is passed over.
#[derive(Debug)]
pub struct Schedule<'g> {
    plan: Plan<'g>,
    nodes: Vec<Node>,
    /// How many nodes are not done, gates included.
    open: usize,
    dispatch: Dispatch,
    tries: Tries,
    timers: BinaryHeap<Reverse<(Time, Timer)>>,
    job: Waiting,
    groups: Vec<Group>,
    /// The executors that can run nothing any more.
    broken: Vec<bool>,
    /// The time of the input that is dealt with.
    now: Time,
    /// Ends that are to be told to what is after them.
    spreading: VecDeque<(NodeId, Fate)>,
    /// Groups whose wait may have to return.
    touched: VecDeque<usize>,
    actions: VecDeque<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Retry(NodeId),
    Group(usize),
    Job,
}

impl<'g> Schedule<'g> {
    /// The state before the run begins.
    pub fn new(graph: &'g Graph, options: Options) -> Self {
        let plan = Plan::new(graph);
        let inside = graph.tasks().filter(|(id, _)| graph.is_inside(*id));
        let total = inside.map(|(_, task)| task.size.futures()).sum();
        let mut nodes = Vec::with_capacity(graph.node_count());
        let mut groups = Vec::new();
        for (id, task) in graph.tasks() {
            let before = task.before().count() as u32;
            let futures = task.size.futures();
            nodes.resize(nodes.len() + futures as usize, Node::new(before, Marks::NONE));
            if let Some(group) = Group::new(id, task) {
                // The gate of a group with members waits for them, not for what they are after.
                let missing = if futures == 0 { before } else { u32::MAX };
                let open = if task.size.is_open() { Marks::OPEN } else { Marks::NONE };
                nodes.push(Node::new(missing, Marks::GATE.and(open)));
                groups.push(group);
            }
        }
        let mut job = Waiting::new(graph.wait(), total);
        let open = graph.tasks().filter(|(id, task)| task.size.is_open() && graph.is_inside(*id));
        open.for_each(|_| job.expect_more());
        Self {
            dispatch: Dispatch::new(&plan, options.ahead),
            plan,
            open: nodes.len(),
            nodes,
            tries: Tries::new(options.seed),
            timers: BinaryHeap::new(),
            job,
            groups,
            broken: vec![false; graph.executors().len()],
            now: Time::ZERO,
            spreading: VecDeque::new(),
            touched: VecDeque::new(),
            actions: VecDeque::new(),
        }
    }

    /// Says, before the run begins, that each start on this executor needs a permit: see
    /// [`Action::Ask`].
    pub fn guard(&mut self, executor: ExecutorId) {
        self.dispatch.guard(executor);
    }

    /// The run begins.
    pub fn start(&mut self, now: Time) {
        self.now = now;
        if let Some(deadline) = self.job.start(now) {
            self.timers.push(Reverse((deadline, Timer::Job)));
        }
        for id in 0..self.nodes.len() {
            if self.nodes[id].missing == 0 && self.nodes[id].phase == Phase::Blocked {
                self.decide(NodeId(id as u32));
            }
        }
        self.conclude();
    }

    /// Whether the condition of a future holds.
    pub fn answered(&mut self, now: Time, node: NodeId, answer: Answer) {
        if self.phase(node) == Phase::Blocked {
            self.now = now;
            match answer {
                Answer::Yes => self.set(node, Phase::Ready),
                Answer::No => self.settle_by_itself(node, State::Skipped),
                Answer::Unclear => self.settle_by_itself(node, State::Failed),
            }
            self.conclude();
        }
    }

    /// The members of an open group, and of those that follow it, were added to the graph.
    pub fn expanded(&mut self, now: Time, task: TaskId) {
        self.now = now;
        for task in self.plan.graph.growing_with(task) {
            self.admit(task, Self::decide);
        }
        self.conclude();
    }

    /// The members of an open group cannot be known. One was added to the graph to have failed for that.
    pub fn not_expanded(&mut self, now: Time, task: TaskId) {
        self.now = now;
        for (place, task) in self.plan.graph.growing_with(task).into_iter().enumerate() {
            if place == 0 {
                self.admit(task, |this, node| this.settle_by_itself(node, State::Failed));
            } else {
                self.admit(task, Self::decide);
            }
        }
        self.conclude();
    }

    /// An attempt ended and its worker is free.
    pub fn ended(&mut self, now: Time, node: NodeId, end: End<'_>) {
        if self.phase(node) == Phase::Running {
            self.now = now;
            self.dispatch.release(&self.plan, node);
            self.finish_attempt(node, end);
            self.conclude();
        }
    }

    /// A call ran past its timeout. It is timed out now, but its worker, and what it holds of
    /// resources, stay taken until [`Schedule::freed`].
    pub fn overran(&mut self, now: Time, node: NodeId) {
        self.abandon(now, node, End::TimedOut);
    }

    /// A call that was to be stopped goes on. It is cancelled now, but its worker, and what it holds
    /// of resources, stay taken until [`Schedule::freed`].
    pub fn gave_up(&mut self, now: Time, node: NodeId) {
        self.abandon(now, node, End::Cancelled);
    }

    fn abandon(&mut self, now: Time, node: NodeId, end: End<'_>) {
        if self.phase(node) == Phase::Running {
            self.now = now;
            self.dispatch.abandon(&self.plan, node, self.attempt(node));
            self.finish_attempt(node, end);
            self.conclude();
        }
    }

    /// The worker of an attempt that was abandoned is free: its function returned, or it was
    /// replaced. By then the future may be on its next attempt, so this one is named.
    pub fn freed(&mut self, now: Time, node: NodeId, attempt: u32) {
        self.now = now;
        self.dispatch.freed(&self.plan, node, attempt);
    }

    /// An attempt was taken back before it started. It is cancelled if that was wanted, else it
    /// becomes ready again.
    pub fn recalled(&mut self, now: Time, node: NodeId) {
        if self.phase(node) != Phase::Running {
            return;
        }
        self.now = now;
        self.dispatch.release(&self.plan, node);
        if self.nodes[node.index()].wish != Wish::None {
            self.settle_cancelled(node);
        } else if self.is_broken(node) {
            self.settle_by_itself(node, State::Failed);
        } else {
            self.set(node, Phase::Ready);
        }
        self.conclude();
    }

    /// An executor can run nothing any more. Every pending future of it fails now, and every one in
    /// flight when its attempt ends, in whichever way, unless it was to be cancelled anyway.
    pub fn broke(&mut self, now: Time, executor: ExecutorId) {
        self.now = now;
        self.break_executor(executor);
        self.conclude();
    }

    /// One more attempt may start on a guarded executor.
    pub fn permit(&mut self, now: Time, executor: ExecutorId) {
        self.now = now;
        self.dispatch.permit(executor);
    }

    /// The user asks the run to stop: the job's wait returns, and what it looks at is cancelled. What
    /// stands outside still runs.
    pub fn interrupt(&mut self, now: Time) {
        self.now = now;
        self.leave_job(Because::Interrupt);
        self.cancel_job(Wish::Stop, Blame::Interrupt);
        self.conclude();
    }

    /// The user insists: everything stops at once, and nothing starts any more.
    pub fn kill(&mut self, now: Time) {
        self.now = now;
        self.leave_job(Because::Interrupt);
        for id in 0..self.nodes.len() {
            self.cancel(NodeId(id as u32), Wish::Kill, Blame::Interrupt);
        }
        self.conclude();
    }

    /// Time passed: whatever was to happen by now does.
    pub fn tick(&mut self, now: Time) {
        self.now = now;
        while let Some(&Reverse((at, timer))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            match timer {
                Timer::Retry(node) if self.phase(node) == Phase::Delayed => {
                    self.set(node, Phase::Ready);
                }
                Timer::Retry(_) => {}
                Timer::Group(gate) => {
                    self.groups[gate].wait.expire();
                    self.touch(gate);
                }
                Timer::Job => self.job.expire(),
            }
        }
        self.conclude();
    }

    /// When [`Schedule::tick`] is to be called next, if at all.
    pub fn next_deadline(&self) -> Option<Time> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Says how many plain futures more than it has workers may be handed to an executor from now on.
    pub fn set_ahead(&mut self, executor: ExecutorId, ahead: u32) {
        self.dispatch.set_ahead(executor, ahead);
    }

    /// The next thing to do; `None` until something else is told.
    pub fn next_action(&mut self) -> Option<Action> {
        while let Some(action) = self.actions.pop_front() {
            // What was decided may have been overtaken by what came after.
            let holds = match action {
                Action::Stop { node, .. } => self.phase(node) == Phase::Running,
                Action::Question { node } => self.phase(node) == Phase::Blocked,
                Action::Expand { task } => self.is_open(self.plan.graph.end_of(task)),
                _ => true,
            };
            if holds {
                return Some(action);
            }
        }
        let spent = self.dispatch.spent_permit();
        spent.or_else(|| self.next_start()).or_else(|| self.dispatch.permit_errand())
    }

    /// Whether every future has its final state, every wait returned, and every action was taken.
    /// Abandoned attempts may still keep workers busy.
    pub fn is_finished(&self) -> bool {
        self.open == 0 && self.job.returned().is_some() && self.actions.is_empty()
    }

    // States ------------------------------------------------------------------------------------

    fn phase(&self, node: NodeId) -> Phase {
        self.nodes[node.index()].phase
    }

    /// The number of the attempt that is under way or next, from 1.
    fn attempt(&self, node: NodeId) -> u32 {
        let retried = self.nodes[node.index()].marks.has(Marks::RETRIED);
        if retried { self.tries.attempt(node) } else { 1 }
    }

    /// The one place where a node's state changes.
    fn set(&mut self, node: NodeId, phase: Phase) {
        let before = mem::replace(&mut self.nodes[node.index()].phase, phase);
        if before == Phase::Ready && phase != Phase::Running {
            self.dispatch.withdraw(&self.plan, node);
        }
        if before == Phase::Blocked && phase != Phase::Done {
            self.dispatch.enter(&self.plan, node);
        }
        match phase {
            Phase::Ready => self.dispatch.add(&self.plan, node),
            Phase::Done => {
                self.open -= 1;
                if before != Phase::Blocked {
                    self.dispatch.leave(&self.plan, node);
                }
            }
            Phase::Blocked | Phase::Delayed | Phase::Running => {}
        }
    }

    fn next_start(&mut self) -> Option<Action> {
        let (groups, job) = (&self.groups, &self.job);
        let hurries = |task: &Traits| {
            task.ahead
                && task.gate().is_none_or(|gate| groups[gate].wait.is_patient())
                && (!task.inside || job.is_patient())
        };
        let pick = self.dispatch.next(&self.plan, hurries)?;
        let node = pick.node;
        self.set(node, Phase::Running);
        let Node { ready, ref mut marks, .. } = self.nodes[node.index()];
        marks.set(Marks::AHEAD, pick.ahead);
        let attempt = self.attempt(node);
        Some(Action::Start { node, attempt, ready, units: pick.units, ahead: pick.ahead })
    }

    fn finish_attempt(&mut self, node: NodeId, end: End<'_>) {
        let wish = self.nodes[node.index()].wish;
        let (state, failure) = match end {
            End::Succeeded => (State::Succeeded, None),
            End::Failed { failure, exit_code } => (State::Failed, Some((failure.kind, exit_code))),
            End::TimedOut => (State::TimedOut, Some((FailureKind::Timeout, None))),
            End::Cancelled => (State::Cancelled, None),
        };
        let executor = self.plan.node(node).executor;
        let breaks = failure.is_some_and(|(kind, _)| kind == FailureKind::WorkerDeath)
            && self.plan.graph.executor(executor).on_worker_death == OnWorkerDeath::Break;
        if wish >= Wish::Stop && state != State::Succeeded
            || wish == Wish::Drain && state == State::Cancelled
        {
            self.settle_cancelled(node);
        } else if self.is_broken(node) && wish < Wish::Stop {
            self.settle_by_itself(node, State::Failed);
        } else if breaks || wish != Wish::None || !self.try_again(node, failure) {
            self.settle_by_itself(node, state);
        }
        if breaks {
            self.break_executor(executor);
        }
    }

    /// Whether a failed attempt is to be followed by another, which is then seen to.
    fn try_again(&mut self, node: NodeId, failure: Option<(FailureKind, Option<i32>)>) -> bool {
        let Some((kind, exit_code)) = failure else { return false };
        let task = self.plan.graph.task(self.plan.graph.task_of(node));
        let on_death = self.plan.graph.executor(task.executor).on_worker_death;
        let pause = self.tries.again(node, &task.retry, on_death, kind, exit_code);
        let Some(pause) = pause else { return false };
        self.nodes[node.index()].marks.set(Marks::RETRIED, true);
        let at = self.now.after(pause);
        self.actions.push_back(Action::Retry { node, attempt: self.tries.attempt(node), at });
        if pause.is_zero() {
            self.set(node, Phase::Ready);
        } else {
            self.set(node, Phase::Delayed);
            self.timers.push(Reverse((at, Timer::Retry(node))));
        }
        true
    }

    // Ends --------------------------------------------------------------------------------------

    /// A future ended by what it did or did not do.
    fn settle_by_itself(&mut self, node: NodeId, state: State) {
        let forgiven = self.plan.node(node).allow_failure && state.is_failure();
        let well = matches!(state, State::Succeeded | State::Skipped) || forgiven;
        let fate = Fate { root: (!well).then_some(node), failed: state.is_failure() };
        self.settle(node, state, None, fate);
    }

    /// A future ended because of the wish that its node has.
    fn settle_cancelled(&mut self, node: NodeId) {
        let (cause, why) = match self.nodes[node.index()].blame {
            Blame::Group => {
                let task = self.plan.graph.task_of(node);
                let gate = self.plan.task(task).gate();
                let why = gate.and_then(|gate| self.groups[gate].wait.returned());
                (Cause::Wait(self.plan.graph.gate(task)), why)
            }
            Blame::Job => (Cause::Wait(None), self.job.returned()),
            Blame::Interrupt => (Cause::Interrupt, None),
        };
        let failed = why.is_some_and(is_about_failure);
        self.settle(node, State::Cancelled, Some(cause), Fate { root: Some(node), failed });
    }

    fn settle(&mut self, node: NodeId, state: State, cause: Option<Cause>, fate: Fate) {
        self.set(node, Phase::Done);
        if self.nodes[node.index()].marks.has(Marks::RETRIED) {
            self.tries.forget(node);
        }
        self.actions.push_back(Action::Settle { node, state, cause });
        self.count(node, state, cause, fate);
        self.spread(node, fate);
    }

    /// Tells the waits that look at a future how it ended.
    fn count(&mut self, node: NodeId, state: State, cause: Option<Cause>, fate: Fate) {
        let task = *self.plan.node(node);
        let raises = state.is_failure() && !task.allow_failure;
        let missed = if let Some(Cause::Dependency(root)) = cause { Some(root) } else { None };
        let excused = task.follows && missed.is_some_and(|root| self.is_excused(node, root));
        let unreached = missed.is_some() && !excused;
        let (mut tells, mut own) = (true, false);
        if let Some(gate) = task.gate() {
            let group = &mut self.groups[gate];
            (tells, own) = (group.tells_failures(), group.own);
            let fate = Fate { failed: fate.failed && !excused, ..fate };
            group.count(Ballot { state, raises, fault: raises || unreached, excused }, fate);
            self.touch(gate);
        }
        if task.inside {
            let raises = raises && tells;
            let fault = raises || unreached && !task.allow_failure && !own;
            self.job.count(Ballot { state, raises, fault, excused });
        }
    }

    fn spread(&mut self, node: NodeId, fate: Fate) {
        let followed = self.plan.node(node).followed;
        if followed || !self.plan.graph.dependents(node).is_empty() {
            self.spreading.push_back((node, fate));
        }
    }

    /// Draws every consequence of what has just happened.
    fn conclude(&mut self) {
        loop {
            if let Some((node, fate)) = self.spreading.pop_front() {
                for &dependent in self.plan.graph.dependents(node) {
                    self.arrive(dependent, fate);
                }
                if self.plan.node(node).followed {
                    self.tell_followers(node, fate);
                }
            } else if let Some(gate) = self.touched.pop_front() {
                self.groups[gate].touched = false;
                if let Some(because) = self.groups[gate].wait.due() {
                    self.leave_group(gate, because);
                }
            } else if let Some(because) = self.job.due() {
                self.leave_job(because);
                if let Some(wish) = self.job.on_return().and_then(Wish::after) {
                    self.cancel_job(wish, Blame::Job);
                }
            } else {
                break;
            }
        }
        self.drop_dead_timers();
    }

    /// One of the nodes that `node` is after is done.
    fn arrive(&mut self, node: NodeId, fate: Fate) {
        let it = &mut self.nodes[node.index()];
        if it.marks.has(Marks::GROWN) {
            let members = self.plan.graph.members(self.plan.graph.task_of(node));
            return members.for_each(|member| self.arrive(NodeId(member), fate));
        }
        // A gate that was called off has nothing to wait for.
        if it.phase != Phase::Blocked || it.wish != Wish::None {
            return;
        }
        it.missing -= 1;
        if fate.failed {
            it.marks.set(Marks::HARMED, true);
        }
        let missing = it.missing;
        let task = self.plan.node(node);
        if let Some(root) = fate.root.filter(|_| task.when == When::Success) {
            match task.gate() {
                // How many there are to be cancelled turns out when those are known that it follows.
                Some(gate) if missing > 0 && task.follows && self.is_open(node) => {
                    self.groups[gate].doom.get_or_insert(fate);
                }
                _ => self.refuse(node, root, fate),
            }
        } else if missing == 0 {
            self.decide(node);
        }
    }

    /// All that `node` is after is done, and nothing forbids it to run.
    fn decide(&mut self, node: NodeId) {
        let Node { marks, .. } = self.nodes[node.index()];
        let task = *self.plan.node(node);
        let wanted = task.when != When::Failure || marks.has(Marks::HARMED);
        if marks.has(Marks::OPEN) && wanted && !task.follows {
            let task = self.plan.graph.task_of(node);
            self.actions.push_back(Action::Expand { task });
            return;
        }
        if let Some(gate) = task.gate() {
            // Of those that follow others, each is wanted or not by itself.
            if !wanted && (!task.follows || marks.has(Marks::GATE)) {
                self.groups[gate].wait.waive();
            }
            if let Some(deadline) = self.groups[gate].wait.start(self.now) {
                self.timers.push(Reverse((deadline, Timer::Group(gate))));
            }
            self.touch(gate);
        }
        if marks.has(Marks::GATE) {
            // An empty group has nothing to run.
            self.close(node);
        } else if wanted {
            self.nodes[node.index()].ready = self.now;
            if task.asks {
                self.actions.push_back(Action::Question { node });
            } else {
                self.set(node, Phase::Ready);
            }
        } else {
            self.settle_by_itself(node, State::Skipped);
        }
    }

    /// `node` can never run, because of what went wrong at `root`.
    fn refuse(&mut self, node: NodeId, root: NodeId, fate: Fate) {
        if !self.nodes[node.index()].marks.has(Marks::GATE) {
            self.settle(node, State::Cancelled, Some(Cause::Dependency(root)), fate);
        } else if let Some(gate) = self.plan.node(node).gate() {
            self.groups[gate].condemn(fate);
            self.close(node);
            self.touch(gate);
        }
    }

    // Executors and time ------------------------------------------------------------------------

    fn is_broken(&self, node: NodeId) -> bool {
        self.broken[self.plan.node(node).executor.index()]
    }

    fn break_executor(&mut self, executor: ExecutorId) {
        if mem::replace(&mut self.broken[executor.index()], true) {
            return;
        }
        for id in 0..self.nodes.len() {
            let node = NodeId(id as u32);
            let Node { phase, marks, .. } = self.nodes[id];
            if marks.has(Marks::GATE) || self.plan.node(node).executor != executor {
                continue;
            }
            match phase {
                Phase::Blocked | Phase::Ready | Phase::Delayed => {
                    self.settle_by_itself(node, State::Failed);
                }
                // Whatever it comes to, it will have failed.
                Phase::Running => self.stop(node, Stop::Kill),
                Phase::Done => {}
            }
        }
    }

    /// A timer that nobody waits for any more must not wake the driver.
    fn drop_dead_timers(&mut self) {
        while let Some(Reverse((_, timer))) = self.timers.peek() {
            let alive = match *timer {
                Timer::Retry(node) => self.phase(node) == Phase::Delayed,
                Timer::Group(gate) => self.groups[gate].wait.returned().is_none(),
                Timer::Job => self.job.returned().is_none(),
            };
            if alive {
                break;
            }
            self.timers.pop();
        }
    }
}
