//! What a run amounts to: counts, work done, the critical path, what was done when the job's wait
//! returned. Works on the graph and the ledger alone; knows no format.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::graph::Graph;
use crate::id::{NodeId, TaskId};
use crate::ledger::{Ledger, Record};
use crate::outcome::{Return, State};
use crate::time::Time;

/// How many futures there are, and how many of them stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// All futures.
    pub total: u32,
    /// Ended with a result.
    pub succeeded: u32,
    /// Ended with an error.
    pub failed: u32,
    /// Stopped because they ran too long.
    pub timed_out: u32,
    /// Stopped or never started because something else ended.
    pub cancelled: u32,
    /// Never started because their condition did not hold.
    pub skipped: u32,
    /// Had more than one attempt.
    pub retried: u32,
}

impl Counts {
    /// The counts as the ledger stands now.
    pub fn of(graph: &Graph, ledger: &Ledger) -> Self {
        let mut counts = Self { total: graph.future_count(), ..Self::default() };
        for node in graph.futures() {
            counts.add(ledger.record(node));
        }
        counts
    }

    /// Counts one more future, which is among the total already.
    pub fn add(&mut self, record: &Record) {
        match record.state {
            State::Pending | State::Running => {}
            State::Succeeded => self.succeeded += 1,
            State::Failed => self.failed += 1,
            State::TimedOut => self.timed_out += 1,
            State::Cancelled => self.cancelled += 1,
            State::Skipped => self.skipped += 1,
        }
        if record.attempts > 1 {
            self.retried += 1;
        }
    }

    /// How many have ended.
    pub fn done(&self) -> u32 {
        self.succeeded + self.failed + self.timed_out + self.cancelled + self.skipped
    }

    /// How many failed or timed out.
    pub fn failures(&self) -> u32 {
        self.failed + self.timed_out
    }
}

/// How long a future kept a worker busy: all its attempts, without the pauses between them.
pub fn busy(record: &Record) -> Duration {
    let earlier = record.detail.iter().flat_map(|detail| &detail.earlier);
    let earlier: Duration = earlier.map(|attempt| attempt.ended.since(attempt.started)).sum();
    if last_is_earlier(record) { earlier } else { earlier + record.elapsed() }
}

/// Whether the last attempt that was started is among the earlier ones: the future ended while it
/// waited for its next attempt.
pub fn last_is_earlier(record: &Record) -> bool {
    let earlier = record.detail.as_ref().map_or(0, |detail| detail.earlier.len());
    record.attempts as usize <= earlier
}

/// The time that all futures together kept workers busy.
pub fn work(graph: &Graph, ledger: &Ledger) -> Duration {
    graph.futures().map(|node| busy(ledger.record(node))).sum()
}

/// When the first attempt of a future started; `None` if it never ran.
pub fn first_start(record: &Record) -> Option<Time> {
    let earliest = record.detail.as_ref().and_then(|detail| detail.earlier.first());
    match earliest {
        Some(attempt) => Some(attempt.started),
        None => (record.attempts > 0).then_some(record.started),
    }
}

/// The chain of futures, each after the one before it, that together ran longest.
///
/// What comes after a group follows the slowest of those members that were done when the group's
/// wait returned; what follows it future by future, the counterpart. Of equal chains it is the first in
/// manifest order.
pub fn critical_path(graph: &Graph, ledger: &Ledger) -> Vec<NodeId> {
    let chains = Chains::new(graph, ledger);
    let tasks = graph.tasks().map(|(task, _)| task);
    let mut at = tasks.min_by_key(|&task| (Reverse(chains.of_task(task)), task));
    let mut node = at.and_then(|task| chains.slowest[task.index()]);
    let mut path = Vec::new();
    while let Some(task) = at {
        path.extend(node);
        let counterpart = node.and_then(|node| chains.leader(node, task));
        let before = chains.before(task);
        at = match counterpart {
            Some(leader) => Some(graph.task_of(leader)),
            None => before,
        };
        node = counterpart.or_else(|| chains.slowest[at?.index()]);
    }
    path.reverse();
    path
}

/// How long the longest chain is that ends with each task, and with each future that others follow.
struct Chains<'a> {
    graph: &'a Graph,
    slowest: Vec<Option<NodeId>>,
    tasks: Vec<Duration>,
    followed: HashMap<NodeId, Duration>,
}

impl<'a> Chains<'a> {
    fn new(graph: &'a Graph, ledger: &Ledger) -> Self {
        let count = graph.tasks().len();
        let (slowest, tasks) = (vec![None; count], vec![Duration::ZERO; count]);
        let mut chains = Self { graph, slowest, tasks, followed: HashMap::new() };
        for &task in graph.in_order() {
            chains.add(task, ledger);
        }
        chains
    }

    fn add(&mut self, task: TaskId, ledger: &Ledger) {
        let before = self.before(task).map_or(Duration::ZERO, |before| self.of_task(before));
        let length = |chains: &Self, node: NodeId| {
            let led = chains.graph.counterpart(node).map(|leader| chains.followed[&leader]);
            busy(ledger.record(node)) + led.unwrap_or_default().max(before)
        };
        if !self.graph.followers(task).is_empty() {
            let nodes = self.graph.members(task).map(NodeId);
            let lengths: Vec<_> = nodes.map(|node| (node, length(self, node))).collect();
            self.followed.extend(lengths);
        }
        let node = slowest_member(self.graph, ledger, task, |node| length(self, node));
        self.slowest[task.index()] = node;
        self.tasks[task.index()] = node.map_or(before, |node| length(self, node));
    }

    fn of_task(&self, task: TaskId) -> Duration {
        self.tasks[task.index()]
    }

    /// The task with the longest chain of those that this one is after as a whole.
    fn before(&self, task: TaskId) -> Option<TaskId> {
        let after = self.graph.task(task).after.iter().copied();
        after.min_by_key(|&task| (Reverse(self.of_task(task)), task))
    }

    /// The counterpart of a future, if the chain that ends with that is the longer one.
    fn leader(&self, node: NodeId, task: TaskId) -> Option<NodeId> {
        let leader = self.graph.counterpart(node)?;
        let before = self.before(task).map_or(Duration::ZERO, |before| self.of_task(before));
        (self.followed[&leader] >= before).then_some(leader)
    }
}

fn slowest_member(
    graph: &Graph,
    ledger: &Ledger,
    task: TaskId,
    length: impl Fn(NodeId) -> Duration,
) -> Option<NodeId> {
    let unfinished = ledger.unfinished(task);
    let in_time = |node: &NodeId| unfinished.binary_search_by_key(node, |(it, _)| *it).is_err();
    let members = graph.members(task).map(NodeId).filter(in_time);
    let ran = members.filter(|&node| ledger.record(node).attempts > 0);
    ran.min_by_key(|&node| (Reverse(length(node)), node))
}

/// How many members of a group were not done when its wait returned, and how many it has.
pub fn unfinished_in_group(graph: &Graph, ledger: &Ledger, task: TaskId) -> (u32, u32) {
    (ledger.unfinished(task).len() as u32, graph.members(task).len() as u32)
}

/// For each node, whether it was done when the job's wait returned; if it did not, whether it is
/// done now.
pub fn done_at_return(graph: &Graph, ledger: &Ledger) -> Vec<bool> {
    let mut done = vec![false; graph.node_count()];
    let completed = ledger.returned.as_ref().map_or(usize::MAX, |returned| returned.completed);
    for node in ledger.completion.iter().take(completed) {
        done[node.index()] = true;
    }
    done
}

/// The futures that the job's wait looks at, in submission order.
pub fn waited_for(graph: &Graph) -> impl Iterator<Item = NodeId> {
    let tasks = graph.tasks().map(|(task, _)| task).filter(|&task| graph.is_inside(task));
    tasks.flat_map(|task| graph.members(task)).map(NodeId)
}

/// How many futures were not done when the job's wait returned, and how many it looks at.
pub fn unfinished(graph: &Graph, ledger: &Ledger) -> (u32, u32) {
    let done = done_at_return(graph, ledger);
    waited_for(graph)
        .fold((0, 0), |(left, all), node| (left + u32::from(!done[node.index()]), all + 1))
}

/// The futures that failed or timed out and whose failure is allowed, or is not, in submission
/// order.
pub fn failures<'a>(
    graph: &'a Graph,
    ledger: &'a Ledger,
    allowed: bool,
) -> impl Iterator<Item = NodeId> + 'a {
    let tasks = graph.tasks().filter(move |(_, task)| task.allow_failure == allowed);
    let nodes = tasks.flat_map(|(id, _)| graph.members(id)).map(NodeId);
    nodes.filter(|&node| ledger.record(node).state.is_failure())
}

/// All of them, those that are allowed behind those that are not.
pub fn all_failures<'a>(graph: &'a Graph, ledger: &'a Ledger) -> impl Iterator<Item = NodeId> + 'a {
    failures(graph, ledger, false).chain(failures(graph, ledger, true))
}

/// The groups whose own wait failed, in manifest order.
pub fn failed_groups<'a>(
    graph: &'a Graph,
    ledger: &'a Ledger,
) -> impl Iterator<Item = TaskId> + 'a {
    let verdict = |task: TaskId| ledger.group(task).map(Return::verdict);
    let failed = move |task: TaskId| verdict(task) == Some(State::Failed);
    graph.tasks().map(|(task, _)| task).filter(move |&task| failed(task))
}
