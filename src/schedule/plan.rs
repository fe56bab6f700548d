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
    /// Whether its futures have a condition.
    pub asks: bool,
    /// Whether its futures follow those of another task.
    pub follows: bool,
    /// Whether another task follows its futures.
    pub followed: bool,
    /// Whether it takes anything of a resource.
    pub uses: bool,
    /// Whether it is plain enough to be handed over before a worker is free.
    pub ahead: bool,
    /// Whether it is a call: calls and children wait for a worker in different places.
    pub call: bool,
    /// The best rank of anything whose turn may come when it ends.
    releases: u32,
}

/// What stands for no gate, and for no rank.
const NONE: u32 = u32::MAX;

impl<'g> Plan<'g> {
    /// The plan of `graph`.
    pub fn new(graph: &'g Graph) -> Self {
        let mut gates = 0..NONE;
        let traits = graph
            .tasks()
            .map(|(id, task)| {
                let gate = if task.size.is_group() { gates.next() } else { None };
                let followed = !graph.followers(id).is_empty();
                Traits { followed, ..Traits::new(task, gate, graph.is_inside(id)) }
            })
            .collect();
        let mut this = Self { graph, traits };
        this.find_releases();
        this
    }

    /// Whatever comes after something may come at once, if what is between is skipped or has nothing
    /// to run. What uses a resource lets those in line for it go on, and what may be tried again
    /// comes after itself. Where nobody gave a priority or an estimate, ranks only follow the manifest,
    /// and no order was asked for that somebody could be waited for to keep.
    fn find_releases(&mut self) {
        let asked = |task: &Task| task.priority != 0 || task.estimate.is_some();
        if !self.graph.tasks().any(|(_, task)| asked(task)) {
            return;
        }
        for &id in self.graph.in_order().iter().rev() {
            let after = |node: &NodeId| self.graph.rank(*node).min(self.node(*node).releases);
            let behind = |id: &TaskId| self.graph.rank_of(*id).min(self.task(*id).releases);
            let followers = self.graph.followers(id).iter().map(behind);
            let dependents = self.graph.dependents(self.graph.end_of(id)).iter().map(after);
            let next = dependents.chain(followers).min();
            let task = self.graph.task(id);
            let own = match (task.uses.is_empty(), task.retry.count) {
                (false, _) => 0,
                (true, 0) => NONE,
                (true, _) => self.graph.rank_of(id),
            };
            self.traits[id.index()].releases = next.unwrap_or(NONE).min(own);
        }
    }

    /// The traits of a task.
    pub fn task(&self, task: TaskId) -> &Traits {
        &self.traits[task.index()]
    }

    /// The traits of a node's task.
    #[inline]
    pub fn node(&self, node: NodeId) -> &Traits {
        self.task(self.graph.task_of(node))
    }
}

impl Traits {
    fn new(task: &Task, gate: Option<u32>, inside: bool) -> Self {
        // A call's timeout is the driver's business, which has to know when it starts.
        let timed_by_driver = task.call && task.timeout.is_some();
        Self {
            executor: task.executor,
            gate: gate.unwrap_or(NONE),
            when: task.when,
            inside,
            allow_failure: task.allow_failure,
            exclusive: task.exclusive,
            asks: task.asks,
            follows: task.each.is_some(),
            followed: false,
            uses: !task.uses.is_empty(),
            ahead: task.uses.is_empty() && !task.exclusive && !timed_by_driver,
            call: task.call,
            releases: NONE,
        }
    }

    /// The best rank of anything whose turn may come when it ends; `None` if there is nothing.
    pub fn releases(&self) -> Option<u32> {
        (self.releases != NONE).then_some(self.releases)
    }

    /// Which of the groups it is, in the order of tasks; `None` for a plain task.
    pub fn gate(&self) -> Option<usize> {
        (self.gate != NONE).then_some(self.gate as usize)
    }
}
