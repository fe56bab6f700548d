//! The compiled graph: tasks, nodes, edges, limits and waits. Valid by construction, never edited, and
//! ignorant of everything else: not even what a task does is known here.
//!
//! A task has one node, or, if it is a group, a node for each member and one more, its *gate*. What
//! comes after a group hangs off the gate, which opens when the group's wait returns.
//!
//! An *open* group begins with its gate alone: how many members it has turns out while the job runs.
//! They are then added behind all other nodes, once, and nothing that was there before changes.

mod limits;
mod order;
mod task;
mod wait;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

use crate::graph::order::{Dependents, inside, ranks, topological_order};
use crate::id::{ExecutorId, NodeId, TaskId};

pub use crate::graph::limits::{Concurrency, Executor, ExecutorKind, OnWorkerDeath, Resource};
pub use crate::graph::task::{Retry, Size, Task, When};
pub use crate::graph::wait::{Amount, OnReturn, ReturnWhen, Wait};

/// The most futures that a job may have.
pub const MAX_FUTURES: u64 = 4_000_000;

/// What cannot be made a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GraphError {
    /// Each of these is a cycle: every task is after the next, and the last after the first.
    Cycles(Vec<Vec<TaskId>>),
    /// More than [`MAX_FUTURES`] futures.
    TooLarge(u64),
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cycles(cycles) => write!(f, "{} cycles among the tasks", cycles.len()),
            Self::TooLarge(futures) => {
                write!(f, "the job would have {futures} futures; the most are {MAX_FUTURES}")
            }
        }
    }
}

impl std::error::Error for GraphError {}

/// The graph of one job. See the [module](self) for what its nodes are.
#[derive(Clone, Debug)]
pub struct Graph {
    tasks: Vec<Task>,
    executors: Vec<Executor>,
    resources: Vec<Resource>,
    wait: Wait,
    /// The first node of each task, and one past the last node as the end.
    first: Vec<u32>,
    task_of: Vec<TaskId>,
    /// Compressed sparse rows: the dependents of node `n` are `edges[rows[n]..rows[n + 1]]`.
    rows: Vec<u32>,
    edges: Vec<NodeId>,
    /// Start order: the place of each node, and the node at each place.
    rank: Vec<u32>,
    by_rank: Vec<NodeId>,
    /// The tasks, each behind everything it is after.
    order: Vec<TaskId>,
    /// Whether the job's own wait looks at the task.
    inside: Vec<bool>,
    futures: u32,
    /// Those that follow each task one by one.
    followers: Dependents,
    /// The members of each open group once they are known, by task.
    grown: BTreeMap<TaskId, OnceLock<Range<u32>>>,
    /// The same in the order in which they were added: where each begins, and whose they are.
    segments: Box<[OnceLock<(u32, TaskId)>]>,
}

impl Graph {
    /// Builds the graph of `tasks`, whose ids are their places.
    ///
    /// # Errors
    /// If tasks wait for each other in a circle, or there are more than [`MAX_FUTURES`] futures.
    ///
    /// # Panics
    /// If a task names a task, executor or resource that is not there.
    pub fn new(
        tasks: Vec<Task>,
        executors: Vec<Executor>,
        resources: Vec<Resource>,
        wait: Wait,
    ) -> Result<Self, GraphError> {
        let futures: u64 = tasks.iter().map(|task| u64::from(task.size.futures())).sum();
        if futures > MAX_FUTURES {
            return Err(GraphError::TooLarge(futures));
        }
        for task in &tasks {
            assert!(task.executor.index() < executors.len(), "unknown executor");
            assert!(
                task.uses.iter().all(|(id, _)| id.index() < resources.len()),
                "unknown resource"
            );
        }
        let dependents = Dependents::of(&tasks, |task| task.after.as_slice());
        let followers = Dependents::of(&tasks, |task| task.each.as_slice());
        let all;
        let behind = if followers.len() == 0 {
            &dependents
        } else {
            all = Dependents::of(&tasks, Task::before);
            &all
        };
        let order = topological_order(&tasks, behind).map_err(GraphError::Cycles)?;

        let mut first = Vec::with_capacity(tasks.len() + 1);
        let mut task_of = Vec::with_capacity(tasks.len());
        for (id, task) in tasks.iter().enumerate() {
            first.push(task_of.len() as u32);
            task_of.resize(task_of.len() + task.size.nodes() as usize, TaskId(id as u32));
        }
        first.push(task_of.len() as u32);

        let mut rows = Vec::with_capacity(task_of.len() + 1);
        let mut edges = Vec::with_capacity(dependents.len());
        rows.push(0);
        for (id, nodes) in first.windows(2).enumerate() {
            // Only the last node of a task has dependents: its one future, or the gate.
            rows.resize(nodes[1] as usize, edges.len() as u32);
            for dependent in dependents.on(id) {
                let (start, end) = (first[dependent.index()], first[dependent.index() + 1]);
                // The gate waits for the members; that of an empty or open group is entered itself.
                edges.extend((start..(end - 1).max(start + 1)).map(NodeId));
            }
            rows.push(edges.len() as u32);
        }

        let inside = inside(&tasks, behind, &order);
        let (rank, by_rank) = ranks(&tasks, behind, &order, &first);
        let open = tasks.iter().enumerate().filter(|(_, task)| task.size.is_open());
        let grown: BTreeMap<_, _> =
            open.map(|(id, _)| (TaskId(id as u32), OnceLock::new())).collect();
        Ok(Self {
            tasks,
            executors,
            resources,
            wait,
            first,
            task_of,
            rows,
            edges,
            rank,
            by_rank,
            order,
            inside,
            futures: futures as u32,
            followers,
            segments: grown.keys().map(|_| OnceLock::new()).collect(),
            grown,
        })
    }

    /// Gives an open group its members, and as many to each open group that follows it one by one.
    ///
    /// # Errors
    /// If the job would have more than [`MAX_FUTURES`] futures. Nothing has changed then. One member may
    /// always be added.
    ///
    /// # Panics
    /// If the group is not open, or has its members.
    pub fn grow(&self, task: TaskId, members: u32) -> Result<(), GraphError> {
        let tasks = self.growing_with(task);
        let more = u64::from(members) * tasks.len() as u64;
        let futures = u64::from(self.future_count()) + more;
        if members > 1 && futures > MAX_FUTURES {
            return Err(GraphError::TooLarge(futures));
        }
        let mut start = self.node_count() as u32;
        let free = self.segments.partition_point(|segment| segment.get().is_some());
        for (task, segment) in tasks.into_iter().zip(&self.segments[free..]) {
            let range = start..start + members;
            let once =
                self.grown[&task].set(range).and(segment.set((start, task)).map_err(|_| 0..0));
            assert!(once.is_ok(), "a group grows once");
            start += members;
        }
        Ok(())
    }

    /// The open groups that get their members together with this one, itself first, each behind the
    /// one that it follows.
    pub fn growing_with(&self, task: TaskId) -> Vec<TaskId> {
        let mut tasks = vec![task];
        let mut next = 0;
        while let Some(&task) = tasks.get(next) {
            tasks.extend(self.followers(task));
            next += 1;
        }
        tasks
    }

    /// Whether any group is open.
    pub fn is_open(&self) -> bool {
        !self.grown.is_empty()
    }

    /// Whether this is an open group whose members are not known yet.
    pub fn awaits_members(&self, task: TaskId) -> bool {
        self.is_open() && self.grown.get(&task).is_some_and(|members| members.get().is_none())
    }

    /// Whether a node was added while the job ran.
    #[inline]
    pub fn is_grown(&self, node: NodeId) -> bool {
        node.index() >= self.task_of.len()
    }

    /// The tasks that follow this one, future by future.
    pub fn followers(&self, task: TaskId) -> &[TaskId] {
        self.followers.on(task.index())
    }

    /// The future that this one follows; `None` if its task has no `each`.
    pub fn counterpart(&self, node: NodeId) -> Option<NodeId> {
        let each = self.task(self.task_of(node)).each?;
        Some(NodeId(self.members(each).start + self.index_in_group(node)?))
    }

    /// All tasks, in manifest order.
    pub fn tasks(&self) -> impl ExactSizeIterator<Item = (TaskId, &Task)> {
        self.tasks.iter().enumerate().map(|(id, task)| (TaskId(id as u32), task))
    }

    /// All tasks, each behind everything it is after.
    pub fn in_order(&self) -> &[TaskId] {
        &self.order
    }

    /// One task.
    pub fn task(&self, id: TaskId) -> &Task {
        &self.tasks[id.index()]
    }

    /// All executors, the default one first.
    pub fn executors(&self) -> &[Executor] {
        &self.executors
    }

    /// One executor.
    pub fn executor(&self, id: ExecutorId) -> &Executor {
        &self.executors[id.index()]
    }

    /// All resources.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The job's own wait.
    pub fn wait(&self) -> &Wait {
        &self.wait
    }

    /// The number of nodes, gates included, that there are by now.
    pub fn node_count(&self) -> usize {
        let added = self.segments.partition_point(|segment| segment.get().is_some());
        match self.segments[..added].last().and_then(OnceLock::get) {
            Some((_, task)) => self.members(*task).end as usize,
            None => self.task_of.len(),
        }
    }

    /// The number of futures that are known by now.
    pub fn future_count(&self) -> u32 {
        self.futures + (self.node_count() - self.task_of.len()) as u32
    }

    /// All futures, in submission order: by task, then by index.
    pub fn futures(&self) -> impl Iterator<Item = NodeId> {
        self.tasks().flat_map(|(id, _)| self.members(id)).map(NodeId)
    }

    /// The task a node belongs to.
    #[inline]
    pub fn task_of(&self, node: NodeId) -> TaskId {
        match self.task_of.get(node.index()) {
            Some(task) => *task,
            None => self.task_of_grown(node),
        }
    }

    #[cold]
    fn task_of_grown(&self, node: NodeId) -> TaskId {
        let is_before = |segment: &OnceLock<(u32, TaskId)>| {
            segment.get().is_some_and(|(start, _)| *start <= node.0)
        };
        // Empty segments begin where the next one does, so the last that begins so early has it.
        let place = self.segments.partition_point(is_before);
        self.segments[place - 1].get().expect("it begins before the node").1
    }

    /// The ids of a task's futures, as a range over [`NodeId`]. An open group has none at first.
    pub fn members(&self, task: TaskId) -> Range<u32> {
        let size = &self.task(task).size;
        if size.is_open() {
            return self.grown[&task].get().cloned().unwrap_or_default();
        }
        let start = self.first[task.index()];
        start..start + size.futures()
    }

    /// The gate of a task, if it is a group.
    pub fn gate(&self, task: TaskId) -> Option<NodeId> {
        self.task(task).size.is_group().then(|| self.end_of(task))
    }

    /// Whether a node is the gate of a group.
    pub fn is_gate(&self, node: NodeId) -> bool {
        self.gate(self.task_of(node)) == Some(node)
    }

    /// The place of a future in its group; `None` for a plain task and for a gate.
    #[inline]
    pub fn index_in_group(&self, node: NodeId) -> Option<u32> {
        let task = self.task_of(node);
        let start = match self.task(task).size {
            Size::One => return None,
            Size::Group { .. } => self.first[task.index()],
            Size::Open { .. } => self.members(task).start,
        };
        (node != self.end_of(task)).then(|| node.0 - start)
    }

    /// The node whose end is the end of a task: its one future, or the gate.
    pub fn end_of(&self, task: TaskId) -> NodeId {
        NodeId(self.first[task.index() + 1] - 1)
    }

    /// The nodes that are directly after this one, but for those that [follow](Self::followers) it.
    pub fn dependents(&self, node: NodeId) -> &[NodeId] {
        if self.is_grown(node) {
            return &[];
        }
        &self.edges[self.rows[node.index()] as usize..self.rows[node.index() + 1] as usize]
    }

    /// The place of a node in the order of starts: priority, then critical path, then manifest
    /// order. Every node has its own, but for those that were added: they share that of their gate,
    /// and go by their number among themselves.
    pub fn rank(&self, node: NodeId) -> u32 {
        let own = self.rank.get(node.index()).copied();
        own.unwrap_or_else(|| self.rank_of(self.task_of_grown(node)))
    }

    /// The best place that a node of a task has in the order of starts.
    pub fn rank_of(&self, task: TaskId) -> u32 {
        self.rank[self.first[task.index()] as usize]
    }

    /// The node at a place of the order of starts; the gate for those that share it.
    pub fn at_rank(&self, rank: u32) -> NodeId {
        self.by_rank[rank as usize]
    }

    /// Whether the job's own wait looks at a task. It does not at `when = "failure"` and
    /// `"always"` tasks and what comes after them.
    pub fn is_inside(&self, task: TaskId) -> bool {
        self.inside[task.index()]
    }

    /// The name of a node: `sum[3]` for a member of a group, the task's name for anything else.
    pub fn name(&self, node: NodeId) -> Name<'_> {
        Name { task: &self.task(self.task_of(node)).name, index: self.index_in_group(node) }
    }
}

/// The name of a node. Displays without allocating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    task: &'a str,
    index: Option<u32>,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => f.pad(self.task),
            Some(index) => write!(f, "{}[{index}]", self.task),
        }
    }
}
