//! What must hold in every run, worked out naively: from the graph and from all that was seen so far,
//! over and over, with no counters.

use std::collections::BTreeMap;
use std::time::Duration;

use jobrun::graph::{Amount, Graph, OnReturn, ReturnWhen, Task, Wait, When};
use jobrun::id::{ExecutorId, NodeId, ResourceId, TaskId};
use jobrun::outcome::{Because, Cause, Return, State};
use jobrun::schedule::{Action, Answer, Options};
use jobrun::time::Time;
use jobrun::work::Stop;

pub struct Checker<'g> {
    graph: &'g Graph,
    options: Options,
    futures: BTreeMap<NodeId, Seen>,
    groups: BTreeMap<TaskId, Group>,
    job: Option<Return>,
    /// In flight, and what each holds.
    flying: Vec<(NodeId, Units)>,
    /// Handed over before a worker was free.
    ahead: Vec<NodeId>,
    /// Given up but still busy, by attempt.
    abandoned: BTreeMap<(NodeId, u32), Units>,
    broken: Vec<ExecutorId>,
    guarded: BTreeMap<ExecutorId, Permits>,
    signals: u32,
    /// How often all that could be done was done.
    rests: usize,
    /// Counts what was seen, so that before and after can be told apart.
    step: usize,
}

/// What an executor has of permits.
#[derive(Default)]
struct Permits {
    /// Granted and not given back.
    out: usize,
    asked: bool,
}

type Units = Vec<(ResourceId, Vec<u32>)>;

#[derive(Default)]
struct Seen {
    end: Option<(State, Option<Cause>)>,
    step: usize,
    attempts: u32,
    not_before: Time,
    /// Whether the job's wait or the user wants it to end.
    unwanted: bool,
    /// How hard this attempt was told to stop, at most.
    told: Option<Stop>,
    /// What came of its condition.
    answer: Option<Answer>,
    /// Whether it stands for members that cannot be known.
    stillborn: bool,
}

#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are facts that do not depend on each other"
)]
struct Group {
    clock: Option<Time>,
    /// How many rests there were before that.
    rests: usize,
    returned: Option<(Return, usize)>,
    overruled: bool,
    interrupted: bool,
    /// Whether it was called off before its members were known.
    shut: bool,
    /// Whether it could not have run anything even then.
    doomed: bool,
}

impl<'g> Checker<'g> {
    pub fn new(graph: &'g Graph, options: Options, guarded: Vec<ExecutorId>) -> Self {
        let mut checker = Self {
            graph,
            options,
            futures: graph.futures().map(|node| (node, Seen::default())).collect(),
            groups: BTreeMap::new(),
            job: None,
            flying: Vec::new(),
            ahead: Vec::new(),
            abandoned: BTreeMap::new(),
            broken: Vec::new(),
            guarded: guarded.into_iter().map(|id| (id, Permits::default())).collect(),
            signals: 0,
            rests: 0,
            step: 0,
        };
        for (id, task) in graph.tasks().filter(|(_, task)| task.size.is_group()) {
            let clock = task.before().next().is_none().then_some(Time::ZERO);
            checker.groups.insert(id, Group { clock, ..Group::default() });
        }
        checker
    }

    // What the driver tells -----------------------------------------------------------------------

    pub fn ended(&mut self, node: NodeId) {
        self.land(node);
    }

    pub fn overran(&mut self, node: NodeId) {
        let (_, units) = self.land(node);
        self.abandoned.insert((node, self.futures[&node].attempts), units);
    }

    pub fn freed(&mut self, node: NodeId, attempt: u32) {
        self.abandoned.remove(&(node, attempt)).expect("was abandoned");
    }

    pub fn recalled(&mut self, node: NodeId) {
        self.land(node);
        self.seen_mut(node).attempts -= 1;
    }

    pub fn answered(&mut self, node: NodeId, answer: Answer) {
        let task = self.task(node);
        assert!(task.asks && self.futures[&node].answer.is_none(), "it is asked once");
        assert!(self.is_reached(node) && self.futures[&node].end.is_none(), "its turn has come");
        self.seen_mut(node).answer = Some(answer);
    }

    pub fn grew(&mut self, now: Time, task: TaskId, well: bool) {
        let all_over = self.graph.task(task).after.iter().all(|it| self.is_over(*it));
        assert!(self.groups[&task].returned.is_none() && all_over, "its turn has come");
        assert!(!self.is_refused(self.graph.task(task)), "what cannot run is not asked for");
        for id in self.graph.growing_with(task) {
            let stillborn = id == task && !well;
            let seen = || Seen { stillborn, ..Seen::default() };
            self.futures.extend(self.graph.members(id).map(|node| (NodeId(node), seen())));
        }
        self.start_clocks(now);
    }

    pub fn broke(&mut self, executor: ExecutorId) {
        self.broken.push(executor);
    }

    pub fn permitted(&mut self, executor: ExecutorId) {
        let permits = self.guarded.get_mut(&executor).expect("is guarded");
        permits.out += 1;
        permits.asked = false;
    }

    pub fn signal(&mut self) {
        self.signals += 1;
        let all = self.signals > 1;
        self.overrule(true, all);
        self.disown(all);
    }

    fn land(&mut self, node: NodeId) -> (NodeId, Units) {
        let at = self.flying.iter().position(|(it, _)| *it == node).expect("was in flight");
        self.flying.remove(at)
    }

    fn overrule(&mut self, by_user: bool, all: bool) {
        let open = self.groups.keys().filter(|id| self.graph.awaits_members(**id)).copied();
        let doomed: Vec<TaskId> = open.filter(|id| self.is_refused_group(*id)).collect();
        for (&id, group) in &mut self.groups {
            let undone = self.graph.members(id).map(NodeId).map(|node| &self.futures[&node]);
            let mut undone = undone.filter(|it| it.end.is_none() && (all || !it.unwanted));
            let looked_at = all || self.graph.is_inside(id);
            let unknown = self.graph.awaits_members(id);
            if looked_at && group.returned.is_none() && (undone.next().is_some() || unknown) {
                group.doomed |= unknown && !group.shut && doomed.contains(&id);
                group.shut |= unknown;
                group.overruled = true;
                group.interrupted |= by_user;
            }
        }
    }

    fn disown(&mut self, all: bool) {
        for (&node, seen) in &mut self.futures {
            seen.unwanted |= all || self.graph.is_inside(self.graph.task_of(node));
        }
    }

    // What the schedule says ----------------------------------------------------------------------

    pub fn saw(&mut self, now: Time, action: &Action) {
        self.step += 1;
        match action {
            Action::Start { node, attempt, units, ahead, .. } => {
                self.check_start(now, *node, *attempt, *ahead);
                self.check_units(*node, units);
                self.seen_mut(*node).attempts = *attempt;
                self.seen_mut(*node).told = None;
                self.ahead.retain(|it| it != node);
                self.ahead.extend(ahead.then_some(*node));
                self.flying.push((*node, units.clone()));
                self.check_width(self.task(*node).executor);
                self.check_permits(self.task(*node).executor);
            }
            // The answers are told.
            Action::Question { .. } | Action::Expand { .. } => {}
            Action::Ask { executor } => {
                assert!(!self.is_asked(*executor), "it is asked once");
                self.guarded.get_mut(executor).expect("is guarded").asked = true;
            }
            Action::Forgo { executor } => {
                assert!(self.is_asked(*executor), "only what was asked for is forgone");
                self.guarded.get_mut(executor).expect("is guarded").asked = false;
            }
            Action::GiveBack { executor } => {
                self.guarded.get_mut(executor).expect("is guarded").out -= 1;
                self.check_permits(*executor);
            }
            Action::Stop { node, attempt, how } => {
                assert!(self.is_flying(*node), "only what is in flight is stopped");
                assert_eq!(*attempt, self.futures[node].attempts);
                let broken = *how == Stop::Kill && self.is_broken(*node);
                assert!(broken || self.is_called_off(*node), "nobody is stopped for nothing");
                let seen = self.seen_mut(*node);
                if seen.told != Some(Stop::Kill) {
                    seen.told = Some(*how);
                }
            }
            Action::Settle { node, state, cause } => {
                self.check_settle(*node, *state, *cause);
                let step = self.step;
                let seen = self.seen_mut(*node);
                seen.end = Some((*state, *cause));
                seen.step = step;
                self.start_clocks(now);
            }
            Action::Retry { node, attempt, at } => {
                assert!(!self.is_flying(*node) && *at >= now);
                assert_eq!(*attempt, self.futures[node].attempts + 1);
                // What is due now may still have to wait for the clock to be read.
                self.seen_mut(*node).not_before = if *at == now { Time::ZERO } else { *at };
            }
            Action::GroupReturned { task, how } => {
                self.check_group_return(now, *task, how);
                let step = self.step;
                self.group_mut(*task).returned = Some((*how, step));
                self.start_clocks(now);
            }
            Action::JobReturned { how } => {
                self.check_job_return(now, how);
                self.job = Some(*how);
                let rest = self.graph.wait().on_return;
                if how.because != Because::Interrupt && rest != OnReturn::Continue {
                    self.overrule(false, false);
                }
                if rest == OnReturn::Cancel {
                    self.disown(false);
                }
            }
        }
    }

    /// All that could be done was done.
    pub fn at_rest(&mut self, now: Time) {
        self.rests += 1;
        self.check_rest(now);
    }

    fn check_rest(&self, now: Time) {
        self.check_stopped();
        for (id, permits) in &self.guarded {
            assert_eq!(permits.out, self.busy_on(*id).count(), "no permit lies idle");
            let on_it = |node: &NodeId| self.task(*node).executor == *id;
            let could = self.futures.keys().any(|node| on_it(node) && self.is_ready(now, *node));
            let could = could && self.busy_on(*id).count() < self.width(*id);
            assert!(!permits.asked || could, "nobody asks in vain");
        }
        for &node in self.futures.keys().filter(|node| self.futures[node].end.is_none()) {
            let refused = self.is_refused_member(node);
            assert!(!refused || self.is_flying(node), "what can never run is cancelled at once");
            let asked = !self.task(node).asks || self.futures[&node].answer.is_some();
            assert!(asked || !self.is_reached(node), "what is ready was asked about");
        }
        let busy = self.flying.len() + self.abandoned.len();
        let ready: Vec<NodeId> = self.ready(now).collect();
        // Perhaps for an exclusive one, which is due this very moment.
        let asks = self.guarded.values().any(|permits| permits.asked);
        assert!(busy > 0 || ready.is_empty() || asks, "somebody could start");
        // Here what is due now may be ready already.
        let mut exclusive = self.futures.keys().filter(|node| self.task(**node).exclusive);
        if !exclusive.any(|node| self.is_ready(now, *node)) && !self.is_alone() {
            for node in ready.iter().filter(|node| self.task(**node).uses.is_empty()) {
                let executor = self.task(*node).executor;
                let width = self.width(executor);
                let is_full = self.busy_on(executor).count() >= width;
                assert!(is_full || self.is_asked(executor), "a worker is idle");
            }
        }
        let known = |id: &&TaskId| !self.graph.awaits_members(**id);
        for id in self.groups.keys().filter(|id| self.groups[id].returned.is_none()).filter(known) {
            let due = self.group_due(now, *id);
            assert!(due.is_none_or(|it| it == Because::Timeout), "{id:?} is to return: {due:?}");
        }
        if self.job.is_none() {
            let due = self.job_due(now);
            assert!(due.is_none_or(|it| it == Because::Timeout), "the job is to return: {due:?}");
        }
    }

    pub fn at_the_end(&self) {
        assert!(self.flying.is_empty(), "nothing is in flight that was not given up");
        assert!(self.guarded.values().all(|it| !it.asked), "nobody waits for a permit");
        assert!(self.futures.values().all(|it| it.end.is_some()), "every future has an end");
        assert!(self.groups.values().all(|it| it.returned.is_some()), "every group returned");
        assert!(self.job.is_some(), "the job returned");
    }

    // Starts --------------------------------------------------------------------------------------

    fn check_start(&self, now: Time, node: NodeId, attempt: u32, ahead: bool) {
        let task = self.task(node);
        assert!(self.is_ready(now, node), "only what is ready starts");
        assert_eq!(attempt, self.futures[&node].attempts + 1);
        assert!(!self.is_broken(node), "nothing starts on a broken executor");
        assert!(!self.is_called_off(node), "nothing starts that was called off");
        let width = self.width(task.executor);
        let busy = self.busy_on(task.executor).count();
        assert!(busy < width + self.options.ahead as usize, "too many are in flight");
        assert_eq!(ahead, busy >= width);
        assert!(!ahead || !self.guarded.contains_key(&task.executor), "a permit is for what runs");
        assert!(
            !ahead || self.may_hurry(node),
            "it must not be handed over before a worker is free"
        );
        assert!(!task.exclusive || self.busy().count() == 0, "an exclusive future runs alone");
        assert!(!self.is_alone(), "nothing runs beside an exclusive future");
        for other in self.ready(now).filter(|other| self.graph.rank(*other) < self.graph.rank(node))
        {
            let it = self.task(other);
            let must_wait = it.executor == task.executor && it.uses.is_empty();
            assert!(!must_wait, "a better one on its executor is passed over");
        }
    }

    /// Calls and children wait for a worker in different places that do not know of each other.
    fn check_width(&self, executor: ExecutorId) {
        let width = self.width(executor);
        let busy = self.busy_on(executor).count();
        let calls = self.busy_on(executor).filter(|node| self.task(*node).call).count();
        assert!(busy <= width || calls == 0 || calls == busy, "calls and children wait at once");
    }

    /// What was handed over before a worker was free starts when one is, whatever has become ready
    /// meanwhile. `began` says since when a future runs.
    pub fn check_order(&self, now: Time, began: impl Fn(NodeId) -> Option<Time>) {
        let early = |node: &&NodeId| began(**node).is_none_or(|at| at == now);
        for &node in self.ahead.iter().filter(|node| self.is_flying(**node)).filter(early) {
            let place = |node| (self.graph.rank(node), node);
            let executor = self.task(node).executor;
            for other in self.ready(now).filter(|it| self.task(*it).executor == executor) {
                let died = self.futures[&other].attempts > 0 && self.task(other).retry.count == 0;
                assert!(died || place(node) < place(other), "{other:?} ought to start first");
            }
        }
    }

    fn check_permits(&self, executor: ExecutorId) {
        let Some(permits) = self.guarded.get(&executor) else { return };
        assert!(self.busy_on(executor).count() <= permits.out, "each start has a permit");
    }

    fn width(&self, executor: ExecutorId) -> usize {
        self.graph.executor(executor).max_workers as usize
    }

    fn is_asked(&self, executor: ExecutorId) -> bool {
        self.guarded.get(&executor).is_some_and(|permits| permits.asked)
    }

    fn check_stopped(&self) {
        for &(node, _) in &self.flying {
            let told = self.futures[&node].told;
            let ends = self.is_broken(node) || self.signals > 1;
            assert!(!ends || told == Some(Stop::Kill), "what runs on in vain is killed");
            let asked = matches!(told, Some(Stop::Stop | Stop::Kill));
            assert!(!self.is_stopped(node) || asked, "what was cancelled is stopped");
        }
    }

    fn check_units(&self, node: NodeId, units: &Units) {
        for &(id, amount) in &self.task(node).uses {
            let resource = &self.graph.resources()[id.index()];
            let bounded = |amount: u64| amount.min(resource.capacity);
            let used_by = |node: NodeId| {
                let mut uses = self.task(node).uses.iter();
                uses.find(|(other, _)| *other == id).map_or(0, |(_, amount)| bounded(*amount))
            };
            let held: u64 = self.busy().map(|(other, _)| used_by(other)).sum();
            assert!(held + bounded(amount) <= resource.capacity, "there is not enough");
            if resource.counted {
                let taken: Vec<u32> = self
                    .busy()
                    .flat_map(|(_, units)| units)
                    .filter(|(other, _)| *other == id)
                    .flat_map(|(_, units)| units.iter().copied())
                    .collect();
                let lowest = (0..).filter(|unit| !taken.contains(unit));
                let lowest: Vec<u32> = lowest.take(bounded(amount) as usize).collect();
                assert!(units.contains(&(id, lowest)), "the lowest free units are handed out");
            }
        }
    }

    /// The futures that are held back by limits alone.
    fn ready(&self, now: Time) -> impl Iterator<Item = NodeId> {
        self.futures.keys().copied().filter(move |node| {
            let delayed = self.futures[node].not_before;
            let due = delayed < now || delayed == Time::ZERO;
            due && self.is_ready(now, *node) && !self.is_broken(*node) && !self.is_called_off(*node)
        })
    }

    fn is_ready(&self, now: Time, node: NodeId) -> bool {
        let (seen, task) = (&self.futures[&node], self.task(node));
        let pending = seen.end.is_none() && !self.is_flying(node) && seen.not_before <= now;
        let answered = !task.asks || seen.answer == Some(Answer::Yes);
        pending && answered && !seen.stillborn && self.is_reached(node)
    }

    /// Whether all that it is after is done and lets it run.
    fn is_reached(&self, node: NodeId) -> bool {
        let task = self.task(node);
        let after = || task.after.iter().copied();
        let leader = self.graph.counterpart(node);
        let led = leader.is_none_or(|it| self.futures[&it].end.is_some());
        led && after().all(|it| self.is_over(it))
            && match task.when {
                When::Success => !self.is_refused_member(node),
                When::Failure => {
                    after().any(|it| self.may_have_failed(it))
                        || leader.is_some_and(|it| self.has_failed_or_was_cancelled(it))
                }
                When::Always => true,
            }
    }

    fn has_failed_or_was_cancelled(&self, node: NodeId) -> bool {
        let state = self.futures[&node].end.map(|(state, _)| state);
        state.is_some_and(|state| state.is_failure() || state == State::Cancelled)
    }

    /// Whether something that it needs went wrong.
    fn is_refused_member(&self, node: NodeId) -> bool {
        let task = self.task(node);
        let leader =
            self.graph.counterpart(node).and_then(|it| Some((it, self.futures[&it].end?.0)));
        let misled = leader.is_some_and(|(it, state)| {
            let forgiven = self.task(it).allow_failure && state.is_failure();
            !forgiven && (state.is_failure() || state == State::Cancelled)
        });
        self.is_refused(task) || task.when == When::Success && misled
    }

    /// Whether the clock of a group runs by now: its first future, or itself without any, is reached.
    fn is_entered(&self, id: TaskId) -> bool {
        let task = self.graph.task(id);
        let over = task.after.iter().all(|it| self.is_over(*it));
        let led = |node| {
            let leader = self.graph.counterpart(node);
            leader.is_none_or(|it| self.futures[&it].end.is_some())
        };
        over && if self.size(id) == 0 {
            !self.is_refused_group(id) && task.each.is_none_or(|it| self.is_over(it))
        } else {
            let mut members = self.graph.members(id).map(NodeId);
            members.any(|it| led(it) && !self.is_refused_member(it))
        }
    }

    /// Whether a group could not run anything whatever its members were.
    fn is_refused_group(&self, id: TaskId) -> bool {
        let task = self.graph.task(id);
        let needs = task.when == When::Success && self.size(id) == 0;
        self.is_refused(task) || needs && task.each.is_some_and(|it| self.is_bad(it))
    }

    /// Whether a future could not run because of a member of a group that it follows, which only the
    /// verdict of that group counts for.
    fn is_excused(&self, node: NodeId) -> bool {
        let Some((_, Some(Cause::Dependency(root)))) = self.futures[&node].end else {
            return false;
        };
        let mut leader = self.task(node).each;
        while let Some(id) = leader {
            if id == self.graph.task_of(root) {
                return self.has_own_wait(id);
            }
            leader = self.graph.task(id).each;
        }
        false
    }

    /// Whether any member of a group was cancelled for something that counts.
    fn misses_any(&self, id: TaskId) -> bool {
        self.graph.members(id).map(NodeId).any(|node| {
            let end = self.futures[&node].end;
            end.is_some_and(|(_, cause)| matches!(cause, Some(Cause::Dependency(_))))
                && !self.is_excused(node)
        })
    }

    /// How many members a group is known to have.
    fn size(&self, id: TaskId) -> u32 {
        self.graph.members(id).len() as u32
    }

    /// Whether it is not known yet how many it has.
    fn is_unknown(&self, id: TaskId) -> bool {
        self.graph.awaits_members(id) && self.groups[&id].returned.is_none()
    }

    /// Whether no attempt of it may start any more.
    fn is_called_off(&self, node: NodeId) -> bool {
        self.is_over_for(node, |rest| rest != OnReturn::Continue)
    }

    /// Whether an attempt of it that runs is to end.
    fn is_stopped(&self, node: NodeId) -> bool {
        self.is_over_for(node, |rest| rest == OnReturn::Cancel)
    }

    fn is_over_for(&self, node: NodeId, matters: impl Fn(OnReturn) -> bool) -> bool {
        let id = self.graph.task_of(node);
        let by_group = self.groups.get(&id).is_some_and(|group| group.returned.is_some())
            && matters(self.wait_of(id).on_return);
        let by_job = self.job.is_some() && matters(self.graph.wait().on_return) && self.inside(id);
        by_group || by_job || self.signals > 1 || self.signals > 0 && self.inside(id)
    }

    fn is_broken(&self, node: NodeId) -> bool {
        self.broken.contains(&self.task(node).executor)
    }

    fn may_hurry(&self, node: NodeId) -> bool {
        let (id, task) = (self.graph.task_of(node), self.task(node));
        let patient = |wait: &Wait| wait.return_when == ReturnWhen::AllCompleted;
        let group = self.groups.get(&id);
        task.uses.is_empty()
            && !task.exclusive
            && (task.timeout.is_none() || !task.call)
            && group.is_none_or(|it| it.returned.is_some() || patient(&self.wait_of(id)))
            && (!self.inside(id) || self.job.is_some() || patient(self.graph.wait()))
    }

    fn is_alone(&self) -> bool {
        self.busy().any(|(node, _)| self.task(node).exclusive)
    }

    fn busy_on(&self, executor: ExecutorId) -> impl Iterator<Item = NodeId> {
        let on = move |node: &NodeId| self.task(*node).executor == executor;
        self.busy().map(|(node, _)| node).filter(on)
    }

    /// Whoever keeps a worker busy, and what it holds.
    fn busy(&self) -> impl Iterator<Item = (NodeId, &Units)> {
        let flying = self.flying.iter().map(|(node, units)| (*node, units));
        flying.chain(self.abandoned.iter().map(|((node, _), units)| (*node, units)))
    }

    // Ends ----------------------------------------------------------------------------------------

    fn check_settle(&self, node: NodeId, state: State, cause: Option<Cause>) {
        let (id, task) = (self.graph.task_of(node), self.task(node));
        let after = || task.after.iter().copied();
        assert!(self.futures[&node].end.is_none(), "a future ends once");
        assert!(!self.is_flying(node), "an end comes after the attempt");
        assert_eq!(state == State::Cancelled, cause.is_some());
        match (state, cause) {
            (State::Skipped, _) if self.futures[&node].answer == Some(Answer::No) => {}
            (State::Skipped, _) => {
                let leader = self.graph.counterpart(node).map(|it| self.futures[&it].end);
                assert!(leader.is_none_or(|end| !end.expect("it is done").0.is_failure()));
                assert!(task.when == When::Failure && after().all(|it| self.is_over(it)));
                assert!(!after().any(|it| self.must_have_failed(it)));
            }
            (State::Cancelled, Some(Cause::Dependency(root))) => {
                assert!(task.when == When::Success && self.is_refused_member(node));
                assert!(self.is_rotten(root), "the root of it went wrong");
            }
            (State::Cancelled, Some(Cause::Wait(None))) => {
                assert!(self.job.is_some() && self.inside(id));
                assert!(self.graph.wait().on_return != OnReturn::Continue);
            }
            (State::Cancelled, Some(Cause::Wait(gate))) => {
                assert_eq!(gate, self.graph.gate(id));
                assert!(self.groups[&id].returned.is_some());
                assert!(self.wait_of(id).on_return != OnReturn::Continue);
            }
            (State::Cancelled, _) => assert!(self.signals > u32::from(!self.inside(id))),
            (State::Failed, _) => {
                let seen = &self.futures[&node];
                let unclear = seen.answer == Some(Answer::Unclear) || seen.stillborn;
                assert!(seen.attempts > 0 || self.is_broken(node) || unclear);
            }
            (state, _) => {
                assert!(state.is_done(), "it is a final state");
                assert!(self.futures[&node].attempts > 0, "only what ran ends so");
            }
        }
    }

    fn is_rotten(&self, node: NodeId) -> bool {
        match self.futures.get(&node) {
            Some(seen) => {
                seen.end.is_some_and(|(state, _)| state.is_failure() || state == State::Cancelled)
            }
            None => self.is_bad(self.graph.task_of(node)),
        }
    }

    fn is_over(&self, task: TaskId) -> bool {
        match self.groups.get(&task) {
            Some(group) => group.returned.is_some(),
            None => self.end_of(task).is_some(),
        }
    }

    /// Whether something that a task needs went wrong.
    fn is_refused(&self, task: &Task) -> bool {
        task.when == When::Success && task.after.iter().any(|it| self.is_bad(*it))
    }

    /// Whether what is after `task` for its success cannot run.
    fn is_bad(&self, task: TaskId) -> bool {
        let forgiven = self.graph.task(task).allow_failure;
        match self.groups.get(&task) {
            Some(group) => group.returned.is_some_and(|(how, _)| {
                let met = matches!(how.because, Because::FirstSuccess | Because::Succeeded);
                !met && (self.has_lost(task) || !how.success && !forgiven)
            }),
            None => self
                .end_of(task)
                .is_some_and(|state| state == State::Cancelled || state.is_failure() && !forgiven),
        }
    }

    /// Whether a group had cancelled members when it returned, or was never entered at all.
    fn has_lost(&self, id: TaskId) -> bool {
        let cancelled = |node: NodeId, state| state == State::Cancelled && !self.is_excused(node);
        self.at_return(id, cancelled)
            || self.size(id) == 0 && self.is_refused_group(id)
            || self.groups[&id].shut
    }

    /// Whether what is after `task` for its failure must run.
    fn must_have_failed(&self, task: TaskId) -> bool {
        match self.groups.get(&task) {
            Some(group) => group.returned.is_some_and(|(how, _)| {
                matches!(how.because, Because::Timeout | Because::Unreachable)
                    || self.at_return(task, |_, state| state.is_failure())
                        && !(how.success && self.forgives(task))
            }),
            None => self.end_of(task).is_some_and(State::is_failure),
        }
    }

    /// Whether it may run: that depends on why something was cancelled.
    fn may_have_failed(&self, task: TaskId) -> bool {
        let bad = match self.groups.get(&task) {
            Some(group) => {
                group.returned.is_some_and(|(how, _)| !how.success || self.has_lost(task))
            }
            None => self.end_of(task) == Some(State::Cancelled),
        };
        bad || self.must_have_failed(task)
    }

    // Waits ---------------------------------------------------------------------------------------

    fn start_clocks(&mut self, now: Time) {
        let ids: Vec<TaskId> = self.groups.keys().copied().collect();
        for id in ids {
            let over = self.is_entered(id) && !self.is_unknown(id);
            let rests = self.rests;
            let group = self.group_mut(id);
            if over && group.clock.is_none() && group.returned.is_none() {
                group.clock = Some(now);
                group.rests = rests;
            }
        }
    }

    fn check_group_return(&self, now: Time, id: TaskId, how: &Return) {
        let group = &self.groups[&id];
        assert!(group.returned.is_none(), "a group returns once");
        assert_eq!(how.after, group.clock.map_or(Duration::ZERO, |it| now.since(it)));
        let polled = how.because != Because::Timeout || self.rests > group.rests;
        assert!(polled, "a poll lets start what is ready");
        let task = self.graph.task(id);
        let members = || self.ends(id).map(|(state, _)| state);
        let failed = self.ends(id).any(|(state, _)| state.is_failure() && !task.allow_failure);
        let fault = failed || self.misses_any(id) || group.doomed;
        let unreached = self.is_refused_group(id);
        let empty = self.size(id) == 0;
        let leader_is_over = task.each.is_some_and(|it| self.is_over(it));
        let unwanted = task.when == When::Failure;
        let closed = group.shut || unreached || unwanted || leader_is_over;
        assert!(closed || !self.graph.awaits_members(id), "its members are to be found out");
        let unsure = task.when == When::Failure
            && task.before().any(|it| self.may_have_failed(*it))
            && !task.before().any(|it| self.must_have_failed(*it));
        if empty && unsure && how.because == Because::AllCompleted {
            return;
        }
        let due = self.group_due(now, id);
        let success = verdict(due, fault || empty && unreached);
        let met = matches!(due, Some(Because::FirstSuccess | Because::Succeeded));
        let lost =
            group.overruled && !met && (self.has_lost(id) && !(empty && unreached) || group.shut);
        if lost && group.interrupted {
            assert!(due.is_some() && !how.success);
            assert_eq!(how.because, Because::Interrupt);
        } else if lost && (!fault || self.forgives(id)) {
            assert!(due.is_some() && !how.success);
            assert_eq!(how.because, Because::Cancelled);
        } else {
            assert_eq!(how.success, success, "{id:?} {how:?}");
            assert_eq!(Some(how.because), due, "{id:?} {:?}", members().collect::<Vec<_>>());
        }
    }

    fn group_due(&self, now: Time, id: TaskId) -> Option<Because> {
        let (task, group, wait) = (self.graph.task(id), &self.groups[&id], self.wait_of(id));
        let total = self.size(id);
        let states: Vec<State> = self.ends(id).map(|(state, _)| state).collect();
        let all_done = states.len() == total as usize;
        let unreached = self.is_refused_group(id) || group.shut;
        if group.clock.is_none() && !(all_done && (total > 0 || unreached)) {
            let leader_is_over = task.each.is_some_and(|it| self.is_over(it));
            if !self.graph.awaits_members(id) || !leader_is_over && task.when != When::Failure {
                return None;
            }
        }
        let late = group.clock.is_some_and(|it| is_late(&wait, it, now));
        if group.overruled && !all_done {
            return late.then_some(Because::Timeout);
        }
        let unwanted = task.when == When::Failure
            && (total > 0
                && task.each.is_none()
                && self.graph.members(id).all(|it| self.futures[&NodeId(it)].answer.is_none())
                && states.iter().all(|it| *it == State::Skipped)
                && all_done
                || total == 0 && !task.before().any(|it| self.may_have_failed(*it)));
        if unwanted {
            return Some(Because::AllCompleted);
        }
        let failed = states.iter().filter(|it| it.is_failure() && !task.allow_failure).count();
        due(wait.return_when, total, &states, failed, late, true)
    }

    fn check_job_return(&self, now: Time, how: &Return) {
        assert!(self.job.is_none(), "the job returns once");
        assert_eq!(how.after, now.since(Time::ZERO));
        if how.because == Because::Interrupt {
            assert!(self.signals > 0 && !how.success);
            return;
        }
        let total: u32 = self.inside_tasks().map(|(id, _)| self.size(id)).sum();
        if total == 0 && self.graph.is_open() {
            // It asked for nothing, and may have had that before it was known that there is nothing.
            return;
        }
        let due = self.job_due(now);
        assert_eq!(Some(how.because), due);
        let polled = how.because != Because::Timeout || self.rests > 0;
        assert!(polled, "a poll lets start what is ready");
        let unreached = self
            .inside_tasks()
            .any(|(id, task)| !self.has_own_wait(id) && !task.allow_failure && self.misses_any(id));
        let verdicts = self.inside_tasks().any(|(id, _)| self.failed_by_verdict(id));
        let fault = self.job_failures() > 0 || unreached || verdicts;
        assert_eq!(how.success, verdict(due, fault), "{how:?}");
    }

    fn job_due(&self, now: Time) -> Option<Because> {
        let wait = self.graph.wait();
        let total = self.inside_tasks().map(|(id, _)| self.size(id)).sum();
        let known = !self.inside_tasks().any(|(id, _)| self.is_unknown(id));
        let states: Vec<State> =
            self.inside_tasks().flat_map(|(id, _)| self.ends(id)).map(|(state, _)| state).collect();
        let late = is_late(wait, Time::ZERO, now);
        due(wait.return_when, total, &states, self.job_failures(), late, known)
    }

    /// The failures that release the job's wait.
    fn job_failures(&self) -> usize {
        let of_futures = |id: TaskId, task: &Task| {
            if task.allow_failure {
                0
            } else if self.has_own_wait(id) {
                self.failures_told(id)
            } else {
                self.ends(id).filter(|(state, _)| state.is_failure()).count()
            }
        };
        let members: usize = self.inside_tasks().map(|(id, task)| of_futures(id, task)).sum();
        let verdicts = self.inside_tasks().filter(|(id, _)| {
            self.failed_by_verdict(*id) && self.failures_told(*id) == 0 && !self.has_lost(*id)
        });
        members + verdicts.count()
    }

    /// Of a group with a wait of its own: the failures that it could not forgive when they came.
    fn failures_told(&self, id: TaskId) -> usize {
        if self.forgives(id) { 0 } else { self.failures_at_return(id) }
    }

    fn failures_at_return(&self, id: TaskId) -> usize {
        let until = self.groups[&id].returned.map_or(usize::MAX, |(_, step)| step);
        let members = self.graph.members(id).map(|node| &self.futures[&NodeId(node)]);
        let before = members.filter(|it| it.step < until).filter_map(|it| it.end);
        before.filter(|(state, _)| state.is_failure()).count()
    }

    fn failed_by_verdict(&self, id: TaskId) -> bool {
        self.has_own_wait(id)
            && !self.graph.task(id).allow_failure
            && self.groups[&id].returned.is_some_and(|(how, _)| !how.success)
    }

    // Look-ups ------------------------------------------------------------------------------------

    fn at_return(&self, id: TaskId, is: impl Fn(NodeId, State) -> bool) -> bool {
        let until = self.groups[&id].returned.map_or(usize::MAX, |(_, step)| step);
        let members =
            self.graph.members(id).map(|node| (NodeId(node), &self.futures[&NodeId(node)]));
        members
            .filter(|(_, it)| it.step < until)
            .any(|(node, it)| it.end.is_some_and(|(state, _)| is(node, state)))
    }

    fn forgives(&self, id: TaskId) -> bool {
        matches!(self.wait_of(id).return_when, ReturnWhen::FirstSuccess | ReturnWhen::Succeeded(_))
    }

    fn has_own_wait(&self, id: TaskId) -> bool {
        self.graph.task(id).size.wait().is_some()
    }

    fn wait_of(&self, id: TaskId) -> Wait {
        self.graph.task(id).size.wait().cloned().unwrap_or_default()
    }

    fn inside_tasks(&self) -> impl Iterator<Item = (TaskId, &Task)> {
        self.graph.tasks().filter(|(id, _)| self.inside(*id))
    }

    fn inside(&self, id: TaskId) -> bool {
        self.graph.is_inside(id)
    }

    fn ends(&self, id: TaskId) -> impl Iterator<Item = (State, Option<Cause>)> {
        self.graph.members(id).filter_map(|node| self.futures[&NodeId(node)].end)
    }

    fn end_of(&self, id: TaskId) -> Option<State> {
        self.futures[&self.graph.end_of(id)].end.map(|(state, _)| state)
    }

    fn task(&self, node: NodeId) -> &Task {
        self.graph.task(self.graph.task_of(node))
    }

    fn is_flying(&self, node: NodeId) -> bool {
        self.flying.iter().any(|(it, _)| *it == node)
    }

    fn group_mut(&mut self, id: TaskId) -> &mut Group {
        self.groups.get_mut(&id).expect("it is a group")
    }

    fn seen_mut(&mut self, node: NodeId) -> &mut Seen {
        self.futures.get_mut(&node).expect("it is a future")
    }
}

fn is_late(wait: &Wait, clock: Time, now: Time) -> bool {
    wait.timeout.is_some_and(|timeout| now >= clock.after(timeout))
}

/// Why a wait is to return, if it is, from the states of all that are done.
fn due(
    when: ReturnWhen,
    total: u32,
    states: &[State],
    failed: usize,
    late: bool,
    known: bool,
) -> Option<Because> {
    // A share of what is not known is out of reach.
    let of = |amount: Amount| match amount {
        Amount::Percent(_) if !known => usize::MAX,
        amount => amount.of(total) as usize,
    };
    let done = states.len();
    let skipped = states.iter().filter(|it| **it == State::Skipped).count();
    let succeeded = states.iter().filter(|it| **it == State::Succeeded).count();
    let total_futures = total as usize;
    let (got, possible, wanted, because) = match when {
        ReturnWhen::AllCompleted => (0, usize::MAX, usize::MAX, Because::AllCompleted),
        ReturnWhen::FirstCompleted => {
            (done - skipped, total_futures - skipped, 1, Because::FirstCompleted)
        }
        ReturnWhen::Completed(k) => {
            (done - skipped, total_futures - skipped, of(k), Because::Completed)
        }
        ReturnWhen::FirstSuccess => {
            (succeeded, total_futures - done + succeeded, 1, Because::FirstSuccess)
        }
        ReturnWhen::Succeeded(k) => {
            (succeeded, total_futures - done + succeeded, of(k), Because::Succeeded)
        }
        ReturnWhen::FirstException => (failed, usize::MAX, 1, Because::FirstException),
        ReturnWhen::Failed(k) => (failed, usize::MAX, of(k), Because::Failed),
    };
    let asks_successes = matches!(when, ReturnWhen::FirstSuccess | ReturnWhen::Succeeded(_));
    match () {
        () if total == 0 && known && asks_successes => Some(Because::Unreachable),
        () if total == 0 && known => Some(Because::AllCompleted),
        () if got >= wanted => Some(because),
        () if possible < wanted && known => Some(Because::Unreachable),
        () if done == total_futures && known => Some(Because::AllCompleted),
        () => late.then_some(Because::Timeout),
    }
}

fn verdict(because: Option<Because>, fault: bool) -> bool {
    match because {
        Some(Because::FirstSuccess | Because::Succeeded) => true,
        Some(Because::Timeout | Because::Unreachable) | None => false,
        Some(_) => !fault,
    }
}
