//! What would run, in which order and how long, found by the schedule itself under a virtual clock.
//! Runs nothing, renders nothing.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::time::Duration;

use crate::graph::{Graph, Size, Wait};
use crate::id::{ExecutorId, NodeId, TaskId};
use crate::outcome::State;
use crate::schedule::{Action, End, Options, Schedule};
use crate::time::Time;

/// How a job would go if every future succeeded after just its estimate.
///
/// A task without an estimate counts as taking no time. What is only known when it runs is taken to be
/// so that as much as possible runs: conditions hold, and a group of unknown size has one member.
#[derive(Debug)]
pub struct Plan<'g> {
    /// The graph that was planned: that of the job, where nothing in it is open.
    pub graph: Cow<'g, Graph>,
    /// The futures that would run, in the order of their starts.
    pub steps: Vec<Step>,
    /// The futures that run only if something goes wrong.
    pub skipped: Vec<NodeId>,
    /// From the start of the first to the end of the last.
    pub makespan: Duration,
    /// The estimates of all steps together.
    pub work: Duration,
    /// The chain of tasks that takes longest, in order; empty without estimates.
    pub critical_path: Vec<TaskId>,
    /// How long that chain takes.
    pub critical: Duration,
}

/// How a job would go with so many workers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The workers of the executor that changes.
    pub workers: u32,
    /// From the start of the first future to the end of the last.
    pub makespan: Duration,
    /// How many times faster that is than with one worker.
    pub speedup: f64,
    /// The speedup for each worker.
    pub efficiency: f64,
}

/// The job planned with each of these numbers of workers on one executor.
pub fn curve(graph: &Graph, executor: ExecutorId, workers: &[u32]) -> Vec<Point> {
    let makespan = |workers| {
        let graph = rebuilt(graph, Some((executor, workers)), graph.wait().clone());
        Walk::through(&graph).makespan
    };
    let alone = makespan(1).as_secs_f64();
    let points = workers.iter().map(|&workers| {
        let makespan = makespan(workers);
        let seconds = makespan.as_secs_f64();
        let speedup = if seconds > 0.0 { alone / seconds } else { 1.0 };
        Point { workers, makespan, speedup, efficiency: speedup / f64::from(workers) }
    });
    points.collect()
}

/// How long the job would take if nobody gave up waiting for it.
pub fn unhurried(graph: &Graph) -> Duration {
    let wait = Wait { timeout: None, ..graph.wait().clone() };
    Walk::through(&rebuilt(graph, None, wait)).makespan
}

/// A graph in which all is known: the one there is, if that is so.
fn assumed(graph: &Graph) -> Cow<'_, Graph> {
    let unknown = graph.is_open() || graph.tasks().any(|(_, task)| task.asks);
    if unknown { rebuilt(graph, None, graph.wait().clone()) } else { Cow::Borrowed(graph) }
}

/// The graph with all that is unknown assumed, other workers for one executor, and this wait.
fn rebuilt(graph: &Graph, workers: Option<(ExecutorId, u32)>, wait: Wait) -> Cow<'_, Graph> {
    let tasks = graph.tasks().map(|(_, task)| {
        let mut task = task.clone();
        task.asks = false;
        if let Size::Open { wait } = task.size {
            task.size = Size::Group { members: 1, wait };
        }
        task
    });
    let mut executors = graph.executors().to_vec();
    if let Some((id, workers)) = workers {
        executors[id.index()].max_workers = workers;
    }
    let made = Graph::new(tasks.collect(), executors, graph.resources().to_vec(), wait);
    // Only a graph with the most futures that there may be can refuse one more.
    made.map_or(Cow::Borrowed(graph), Cow::Owned)
}

/// One future of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The future.
    pub node: NodeId,
    /// When it would start.
    pub start: Time,
    /// When it would end.
    pub end: Time,
}

impl<'g> Plan<'g> {
    /// The plan of a job with this graph.
    pub fn of(graph: &'g Graph) -> Self {
        let graph = assumed(graph);
        let Walk { steps, skipped, makespan, work } = Walk::through(&graph);
        let (critical_path, critical) = critical_path(&graph, &steps);
        Self { graph, steps, skipped, makespan, work, critical_path, critical }
    }
}

/// What the schedule does with a graph.
#[derive(Default)]
struct Walk {
    steps: Vec<Step>,
    skipped: Vec<NodeId>,
    makespan: Duration,
    work: Duration,
}

impl Walk {
    fn through(graph: &Graph) -> Self {
        let mut walk = Self::default();
        let mut schedule = Schedule::new(graph, Options { seed: 0, ahead: 0 });
        let mut running = BinaryHeap::new();
        let mut stopped = HashSet::new();
        let mut now = Time::ZERO;
        schedule.start(now);
        loop {
            while let Some(action) = schedule.next_action() {
                match action {
                    Action::Start { node, .. } => {
                        let estimate = graph.task(graph.task_of(node)).estimate.unwrap_or_default();
                        let end = now.after(estimate);
                        walk.work += estimate;
                        walk.steps.push(Step { node, start: now, end });
                        running.push(Reverse((end, node)));
                    }
                    Action::Settle { node, state: State::Skipped, .. } => walk.skipped.push(node),
                    Action::Stop { node, .. } => {
                        stopped.insert(node);
                        schedule.ended(now, node, End::Cancelled);
                    }
                    _ => {}
                }
            }
            while running.peek().is_some_and(|Reverse((_, node))| stopped.contains(node)) {
                running.pop();
            }
            let deadline = schedule.next_deadline();
            match (running.peek().copied(), deadline) {
                (Some(Reverse((end, node))), deadline)
                    if deadline.is_none_or(|deadline| end <= deadline) =>
                {
                    running.pop();
                    now = end;
                    schedule.ended(now, node, End::Succeeded);
                }
                (_, Some(deadline)) if !schedule.is_finished() => {
                    now = now.max(deadline);
                    schedule.tick(now);
                }
                _ => break,
            }
        }
        walk.makespan = now.since(Time::ZERO);
        walk
    }
}

/// The chain of tasks that takes longest, and how long. Steps are in an order in which everything comes
/// after what it needs.
fn critical_path(graph: &Graph, steps: &[Step]) -> (Vec<TaskId>, Duration) {
    let mut longest = vec![Duration::ZERO; graph.tasks().len()];
    let mut via: Vec<Option<TaskId>> = vec![None; longest.len()];
    let (mut last, mut critical) = (None, Duration::ZERO);
    let mut seen = vec![false; longest.len()];
    for step in steps {
        let id = graph.task_of(step.node);
        if std::mem::replace(&mut seen[id.index()], true) {
            continue;
        }
        let task = graph.task(id);
        via[id.index()] = task.before().copied().max_by_key(|it| longest[it.index()]);
        let before = via[id.index()].map_or(Duration::ZERO, |it| longest[it.index()]);
        longest[id.index()] = before + task.estimate.unwrap_or_default();
        if longest[id.index()] > critical {
            critical = longest[id.index()];
            last = Some(id);
        }
    }
    let mut path = Vec::new();
    while let Some(id) = last {
        path.push(id);
        last = via[id.index()].filter(|it| !longest[it.index()].is_zero());
    }
    path.reverse();
    (path, critical)
}
