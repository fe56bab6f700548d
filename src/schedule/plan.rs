//! What the schedule needs of each task, close together: a task of the graph is large, and the path
//! that every node takes must not touch it. Knows nothing of what happens in a run.

use crate::graph::{Graph, Task, When};
use crate::id::{ExecutorId, NodeId, TaskId};

/// The graph, and what is looked up often about its tasks.
#[derive(Debug)]
pub struct Plan<'g> {
    pub graph: &'g Graph,
    traits: Vec<Traits>,
}

/// What the schedule needs of one task.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are facts that do not depend on each other"
)]
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    pub executor: ExecutorId,
    gate: u32,
    pub when: When,
    /// Whether the job's wait looks at it.
    pub inside: bool,
    pub allow_failure: bool,
    pub exclusive: bool,
    /// Whether it takes anything of a resource.
    pub uses: bool,
    /// Whether it is plain enough to be handed over before a worker is free.
    pub ahead: bool,
    /// Whether it is a call, which waits in its executor for a worker; anything else starts as soon
    /// as it is handed over.
    pub call: bool,
}

const NO_GATE: u32 = u32::MAX;

impl<'g> Plan<'g> {
    /// The plan of `graph`.
    pub fn new(graph: &'g Graph) -> Self {
        let mut gates = 0..NO_GATE;
        let latecomers = latecomers(graph);
        let traits = graph
            .tasks()
            .map(|(id, task)| {
                let gate = if task.size.is_group() { gates.next() } else { None };
                let mut traits = Traits::new(task, gate, graph.is_inside(id));
                traits.ahead &= rank(graph, id) <= latecomers[task.executor.index()];
                traits
            })
            .collect();
        Self { graph, traits }
    }

    /// The traits of a task.
    pub fn task(&self, task: TaskId) -> &Traits {
        &self.traits[task.index()]
    }

    /// The traits of a node's task.
    pub fn node(&self, node: NodeId) -> &Traits {
        self.task(self.graph.task_of(node))
    }
}

/// For each executor, the best rank of what may become ready while others already wait there.
///
/// What waits in an executor is overtaken by nobody; so where the order of starts was asked for, by
/// priorities or estimates, only what ranks no worse than this may wait there.
fn latecomers(graph: &Graph) -> Vec<u32> {
    let mut best = vec![u32::MAX; graph.executors().len()];
    if graph.tasks().any(|(_, task)| task.priority != 0 || task.estimate.is_some()) {
        for (id, task) in graph.tasks().filter(|(_, task)| !task.after.is_empty()) {
            let best = &mut best[task.executor.index()];
            *best = rank(graph, id).min(*best);
        }
    }
    best
}

/// The rank of a task's first node, which is the best of its nodes.
fn rank(graph: &Graph, task: TaskId) -> u32 {
    graph.rank(NodeId(graph.members(task).start))
}

impl Traits {
    fn new(task: &Task, gate: Option<u32>, inside: bool) -> Self {
        let plain = task.uses.is_empty() && !task.exclusive && task.timeout.is_none();
        Self {
            executor: task.executor,
            gate: gate.unwrap_or(NO_GATE),
            when: task.when,
            inside,
            allow_failure: task.allow_failure,
            exclusive: task.exclusive,
            uses: !task.uses.is_empty(),
            ahead: task.ahead && plain,
            call: task.ahead,
        }
    }

    /// Which of the groups it is, in the order of tasks; `None` for a plain task.
    pub fn gate(&self) -> Option<usize> {
        (self.gate != NO_GATE).then_some(self.gate as usize)
    }
}
