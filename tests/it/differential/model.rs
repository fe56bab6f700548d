//! The same scenarios in virtual time: the schedule against a model of Python's `wait`, written from
//! its documented behaviour. Times are exact here, so that hundreds of thousands are quick, and the
//! moment of the return is compared too.

use std::collections::BTreeMap;
use std::time::Duration;

use jobrun::graph::{
    Executor, ExecutorKind, Graph, OnReturn, OnWorkerDeath, Retry, ReturnWhen, Size, Task, Wait,
    When,
};
use jobrun::id::{ExecutorId, NodeId, TaskId};
use jobrun::outcome::{Because, Failure, FailureKind, State};
use jobrun::schedule::{Action, End, Options, Schedule};
use jobrun::time::Time;
use jobrun::work::Stop;

use super::scenario::{Policy, Scenario, Style, Then};

/// What a side says about a scenario. Futures are given by index, times in half ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub done: Vec<usize>,
    pub not_done: Vec<usize>,
    pub timed_out: bool,
    pub returned_after: u64,
    /// Those that ran to their end.
    pub order: Vec<usize>,
    pub states: Vec<State>,
}

/// What Python does, were every cancelled future notified (D1), `shutdown` called in the instant of
/// the return (D3), and, with [`Then::Cancel`], what runs then stopped (D10).
pub fn python(scenario: &Scenario) -> Answer {
    let mut model = Model {
        scenario,
        states: vec![State::Pending; scenario.tasks.len()],
        ends: BTreeMap::new(),
        answer: None,
        order: Vec::new(),
    };
    let deadline = scenario.timeout.map(u64::from);
    model.fill(0);
    model.look(0, false);
    loop {
        let next = model.ends.first_key_value().map(|(&at, _)| at);
        match (next, deadline.filter(|_| model.answer.is_none())) {
            (next, Some(deadline)) if next.is_none_or(|at| deadline < at) => {
                model.look(deadline, true);
            }
            (Some(now), _) => model.end(now),
            (None, _) => break,
        }
    }
    Answer { order: model.order, states: model.states, ..model.answer.unwrap_or_default() }
}

struct Model<'s> {
    scenario: &'s Scenario,
    states: Vec<State>,
    /// What runs, by the half tick of its end.
    ends: BTreeMap<u64, usize>,
    answer: Option<Answer>,
    order: Vec<usize>,
}

impl Model<'_> {
    /// Workers take pending futures in the order of submission.
    fn fill(&mut self, now: u64) {
        for (index, task) in self.scenario.tasks.iter().enumerate() {
            let ready = self.states[index] == State::Pending && task.after.is_none();
            if ready && self.ends.len() < self.scenario.workers {
                self.states[index] = State::Running;
                self.ends.insert(now + 2 * u64::from(task.ticks), index);
            }
        }
    }

    fn end(&mut self, now: u64) {
        let Some(index) = self.ends.remove(&now) else { return };
        self.order.push(index);
        let fails = self.scenario.tasks[index].fails;
        self.states[index] = if fails { State::Failed } else { State::Succeeded };
        for (dependent, task) in self.scenario.tasks.iter().enumerate() {
            let refused =
                |need: usize| matches!(self.states[need], State::Failed | State::Cancelled);
            if self.states[dependent] == State::Pending && task.after.is_some_and(refused) {
                self.states[dependent] = State::Cancelled;
            }
        }
        self.look(now, false);
        self.fill(now);
    }

    /// `wait` looks at the states, and returns if there is a reason to.
    fn look(&mut self, now: u64, expired: bool) {
        let (done, not_done): (Vec<usize>, Vec<usize>) =
            (0..self.states.len()).partition(|&index| self.states[index].is_done());
        let released = not_done.is_empty()
            || match self.scenario.policy {
                Policy::AllCompleted => false,
                Policy::FirstCompleted => !done.is_empty(),
                Policy::FirstException => self.states.contains(&State::Failed),
            };
        if self.answer.is_some() || !released && !expired {
            return;
        }
        for &index in &not_done {
            match (self.scenario.then, self.states[index]) {
                (Then::Continue, _) | (Then::Drain, State::Running) => {}
                _ => self.states[index] = State::Cancelled,
            }
        }
        self.ends.retain(|_, index| self.states[*index] == State::Running);
        let timed_out = !released;
        let answer = Answer { done, not_done, timed_out, returned_after: now, ..Answer::default() };
        self.answer = Some(answer);
    }
}

/// What jobrun's schedule does when everything takes exactly as long as the scenario says.
pub fn jobrun(scenario: &Scenario) -> Answer {
    let graph = graph(scenario);
    let mut schedule = Schedule::new(&graph, Options::default());
    let mut answer =
        Answer { states: vec![State::Pending; scenario.tasks.len()], ..Answer::default() };
    let mut ends: BTreeMap<Time, NodeId> = BTreeMap::new();
    let mut now = Time::ZERO;
    schedule.start(now);
    loop {
        while let Some(action) = schedule.next_action() {
            match action {
                Action::Start { node, .. } => {
                    let ticks = scenario.tasks[node.index()].ticks;
                    ends.insert(now.after(half_ticks(2 * ticks)), node);
                }
                Action::Stop { how: Stop::Recall, .. } => {}
                Action::Stop { node, .. } => {
                    ends.retain(|_, running| *running != node);
                    schedule.ended(now, node, End::Cancelled);
                }
                Action::Settle { node, state, .. } if !graph.is_gate(node) => {
                    answer.states[node.index()] = state;
                    if state != State::Cancelled {
                        answer.order.push(node.index());
                    }
                }
                Action::JobReturned { how } => {
                    let all = 0..answer.states.len();
                    (answer.done, answer.not_done) =
                        all.partition(|&index| answer.states[index].is_done());
                    answer.timed_out = how.because == Because::Timeout;
                    answer.returned_after =
                        (how.after.as_nanos() / half_ticks(1).as_nanos()) as u64;
                }
                _ => {}
            }
        }
        let end = ends.first_key_value().map(|(&at, _)| at);
        match (end, schedule.next_deadline()) {
            (end, Some(deadline)) if end.is_none_or(|end| deadline < end) => {
                now = deadline;
                schedule.tick(now);
            }
            (Some(end), _) => {
                now = end;
                if let Some(node) = ends.remove(&now) {
                    tell_end(&mut schedule, scenario, now, node);
                }
            }
            (None, _) => break,
        }
    }
    answer
}

fn tell_end(schedule: &mut Schedule<'_>, scenario: &Scenario, now: Time, node: NodeId) {
    let failure = Failure::new(FailureKind::Call, "as the scenario says");
    let fails = scenario.tasks[node.index()].fails;
    let failed = End::Failed { failure: &failure, exit_code: None };
    schedule.ended(now, node, if fails { failed } else { End::Succeeded });
}

fn half_ticks(count: u32) -> Duration {
    Duration::from_millis(1) * count
}

fn graph(scenario: &Scenario) -> Graph {
    let members = scenario.tasks.len() as u32;
    let tasks = match scenario.style {
        Style::Map => vec![task("m".to_owned(), Size::Group { members, wait: None }, None)],
        Style::Submit => (0..scenario.tasks.len())
            .map(|index| task(scenario.name(index), Size::One, scenario.tasks[index].after))
            .collect(),
    };
    let executor = Executor {
        name: "default".to_owned(),
        kind: ExecutorKind::Thread,
        max_workers: scenario.workers as u32,
        on_worker_death: OnWorkerDeath::Fail,
    };
    let wait = Wait {
        return_when: match scenario.policy {
            Policy::AllCompleted => ReturnWhen::AllCompleted,
            Policy::FirstCompleted => ReturnWhen::FirstCompleted,
            Policy::FirstException => ReturnWhen::FirstException,
        },
        timeout: scenario.timeout.map(half_ticks),
        on_return: match scenario.then {
            Then::Continue => OnReturn::Continue,
            Then::Drain => OnReturn::Drain,
            Then::Cancel => OnReturn::Cancel,
        },
    };
    Graph::new(tasks, vec![executor], Vec::new(), wait).unwrap()
}

fn task(name: String, size: Size, after: Option<usize>) -> Task {
    Task {
        name,
        size,
        after: after.into_iter().map(|index| TaskId(index as u32)).collect(),
        each: None,
        asks: false,
        when: When::Success,
        executor: ExecutorId(0),
        uses: Vec::new(),
        call: false,
        exclusive: false,
        priority: 0,
        estimate: None,
        retry: Retry::default(),
        allow_failure: false,
        timeout: None,
        grace: Duration::ZERO,
    }
}
