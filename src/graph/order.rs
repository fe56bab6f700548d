//! What order tasks are in: who comes after whom, in a circle perhaps, and who starts first. Knows no
//! nodes but as many as each task has.

use std::cmp::Reverse;
use std::time::Duration;

use crate::graph::task::{Task, When};
use crate::id::{NodeId, TaskId};

/// Who comes after each task, in compressed sparse rows: a task is large, and following its `after` is
/// a leap through memory for each.
#[derive(Clone, Debug)]
pub(super) struct Dependents {
    rows: Vec<u32>,
    tasks: Vec<TaskId>,
}

impl Dependents {
    /// `before` gives what a task comes after.
    pub(super) fn of<'t, I>(tasks: &'t [Task], before: impl Fn(&'t Task) -> I) -> Self
    where
        I: IntoIterator<Item = &'t TaskId>,
    {
        // Counted two places on, so that filling a row moves its start, one place on, to its end.
        let mut rows = vec![0; tasks.len() + 2];
        for one in tasks.iter().flat_map(&before) {
            rows[one.index() + 2] += 1;
        }
        for row in 2..rows.len() {
            rows[row] += rows[row - 1];
        }
        let mut dependents = vec![TaskId(0); rows[tasks.len() + 1] as usize];
        for (id, task) in tasks.iter().enumerate() {
            for one in before(task) {
                let place = &mut rows[one.index() + 1];
                dependents[*place as usize] = TaskId(id as u32);
                *place += 1;
            }
        }
        Self { rows, tasks: dependents }
    }

    /// How many there are in all.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn on(&self, task: usize) -> &[TaskId] {
        &self.tasks[self.rows[task] as usize..self.rows[task + 1] as usize]
    }
}

/// Kahn's algorithm; what it cannot reach is on a cycle or behind one.
pub(super) fn topological_order(
    tasks: &[Task],
    dependents: &Dependents,
) -> Result<Vec<TaskId>, Vec<Vec<TaskId>>> {
    let mut missing: Vec<u32> = tasks.iter().map(|task| task.before().count() as u32).collect();
    let mut order = Vec::with_capacity(tasks.len());
    order.extend((0..tasks.len()).filter(|&id| missing[id] == 0).map(|id| TaskId(id as u32)));
    let mut next = 0;
    while let Some(&id) = order.get(next) {
        next += 1;
        for &dependent in dependents.on(id.index()) {
            missing[dependent.index()] -= 1;
            if missing[dependent.index()] == 0 {
                order.push(dependent);
            }
        }
    }
    if order.len() == tasks.len() { Ok(order) } else { Err(cycles(tasks, &missing)) }
}

/// The cycles among the tasks that still miss something, no task in two of them.
///
/// Every such task comes after at least one other such task, so walking that way must come back
/// to where the walk has been.
fn cycles(tasks: &[Task], missing: &[u32]) -> Vec<Vec<TaskId>> {
    const UNSEEN: usize = usize::MAX;
    let mut walk_of = vec![UNSEEN; tasks.len()];
    let mut found = Vec::new();
    for start in (0..tasks.len()).filter(|&id| missing[id] > 0) {
        let mut path = Vec::new();
        let mut at = start;
        while walk_of[at] == UNSEEN {
            walk_of[at] = start;
            path.push(TaskId(at as u32));
            match tasks[at].before().find(|before| missing[before.index()] > 0) {
                Some(next) => at = next.index(),
                None => break,
            }
        }
        if walk_of[at] == start
            && let Some(begin) = path.iter().position(|id| id.index() == at)
        {
            found.push(path.split_off(begin));
        }
    }
    found
}

pub(super) fn inside(tasks: &[Task], dependents: &Dependents, order: &[TaskId]) -> Vec<bool> {
    let mut inside: Vec<bool> = tasks.iter().map(|task| task.when == When::Success).collect();
    for id in order {
        if !inside[id.index()] {
            dependents.on(id.index()).iter().for_each(|next| inside[next.index()] = false);
        }
    }
    inside
}

/// Sorts tasks by priority, then by the estimated time from their start to the end of the job along
/// the longest chain behind them, then by manifest order; nodes follow their task. A task without an
/// estimate counts as taking no time.
pub(super) fn ranks(
    tasks: &[Task],
    dependents: &Dependents,
    order: &[TaskId],
    first: &[u32],
) -> (Vec<u32>, Vec<NodeId>) {
    let nodes = first[tasks.len()];
    if tasks.iter().all(|task| task.priority == 0 && task.estimate.is_none()) {
        return ((0..nodes).collect(), (0..nodes).map(NodeId).collect());
    }
    let mut behind: Vec<Duration> =
        tasks.iter().map(|task| task.estimate.unwrap_or_default()).collect();
    for id in order.iter().rev() {
        let longest = dependents.on(id.index()).iter().map(|next| behind[next.index()]).max();
        behind[id.index()] = behind[id.index()].saturating_add(longest.unwrap_or_default());
    }
    let urgency = |id: usize| Reverse((tasks[id].priority, behind[id]));
    let mut sorted: Vec<_> = (0..tasks.len()).map(|id| (urgency(id), id)).collect();
    sorted.sort_unstable();
    let mut rank = vec![0; nodes as usize];
    let mut by_rank = Vec::with_capacity(nodes as usize);
    for (_, id) in sorted {
        for node in first[id]..first[id + 1] {
            rank[node as usize] = by_rank.len() as u32;
            by_rank.push(NodeId(node));
        }
    }
    (rank, by_rank)
}
