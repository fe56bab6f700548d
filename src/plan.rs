//! What would run, in which order and how long, found by the schedule itself under a virtual clock.
//! Runs nothing, renders nothing.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::time::Duration;

use crate::graph::Graph;
use crate::id::{NodeId, TaskId};
use crate::outcome::State;
use crate::schedule::{Action, Answer, End, Options, Schedule};
use crate::time::Time;

/// How a job would go if every future succeeded after just its estimate.
///
/// A task without an estimate counts as taking no time, a group whose members are not known yet as
/// having one, and every condition as holding.
#[derive(Debug, Default)]
pub struct Plan {
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

impl Plan {
    /// The plan of a job with this graph, whose open groups are given a member each.
    pub fn of(graph: &Graph) -> Self {
        let mut plan = Self::default();
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
                        plan.work += estimate;
                        plan.steps.push(Step { node, start: now, end });
                        running.push(Reverse((end, node)));
                    }
                    // What a condition will say nobody knows yet, nor how many members there will be.
                    Action::Question { node } => schedule.answered(now, node, Answer::Yes),
                    Action::Expand { task } => {
                        // One may always be added.
                        let _ = graph.grow(task, 1);
                        schedule.expanded(now, task);
                    }
                    Action::Settle { node, state: State::Skipped, .. } => plan.skipped.push(node),
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
        plan.makespan = now.since(Time::ZERO);
        plan.find_critical_path(graph);
        plan
    }

    /// Steps are in an order in which everything comes after what it needs.
    fn find_critical_path(&mut self, graph: &Graph) {
        let mut longest = vec![Duration::ZERO; graph.tasks().len()];
        let mut via: Vec<Option<TaskId>> = vec![None; longest.len()];
        let mut last = None;
        let mut seen = vec![false; longest.len()];
        for step in &self.steps {
            let id = graph.task_of(step.node);
            if std::mem::replace(&mut seen[id.index()], true) {
                continue;
            }
            let task = graph.task(id);
            via[id.index()] = task.before().copied().max_by_key(|it| longest[it.index()]);
            let before = via[id.index()].map_or(Duration::ZERO, |it| longest[it.index()]);
            longest[id.index()] = before + task.estimate.unwrap_or_default();
            if longest[id.index()] > self.critical {
                self.critical = longest[id.index()];
                last = Some(id);
            }
        }
        while let Some(id) = last {
            self.critical_path.push(id);
            last = via[id.index()].filter(|it| !longest[it.index()].is_zero());
        }
        self.critical_path.reverse();
    }
}
