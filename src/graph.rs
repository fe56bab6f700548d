//! The compiled graph: tasks, nodes, edges, limits and waits. Valid by construction, never edited, and
//! ignorant of everything else: not even what a task does is known here.
//!
//! A task has one node, or, if it is a group, a node for each member and one more, its *gate*. What
//! comes after a group hangs off the gate, which opens when the group's wait returns.
//!
//! An *open* group begins with its gate alone: how many members it has turns out while the job runs.
//! They are then added behind all other nodes, once, and nothing that was there before changes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::Duration;

use crate::id::{ExecutorId, NodeId, ResourceId, TaskId};
use crate::outcome::FailureKind;

/// The most futures that a job may have.
pub const MAX_FUTURES: u64 = 4_000_000;

/// What a task needs of the schedule.
#[derive(Clone, Debug)]
pub struct Task {
    /// Unique among the tasks.
    pub name: String,
    /// One future, or a group of so many.
    pub size: Size,
    /// The tasks that this one is `after`, each once.
    pub after: Vec<TaskId>,
    /// The task whose futures this one follows one by one: it has as many, and each of them is after
    /// its counterpart alone, and not after the whole task. It is not among `after` for that.
    pub each: Option<TaskId>,
    /// Which ends of those let it run.
    pub when: When,
    /// Whether each of its futures has a condition that is asked for before it may start.
    pub asks: bool,
    /// Where its futures run.
    pub executor: ExecutorId,
    /// How much of which resource each of its futures holds while it runs.
    pub uses: Vec<(ResourceId, u64)>,
    /// Whether its futures are calls of registered functions, rather than children.
    pub call: bool,
    /// Whether nothing else of the job may run beside it.
    pub exclusive: bool,
    /// Higher starts first.
    pub priority: i64,
    /// The time one future is expected to take.
    pub estimate: Option<Duration>,
    /// When and how often a failed attempt is followed by another.
    pub retry: Retry,
    /// Whether its failure fails neither the job nor what comes after it.
    pub allow_failure: bool,
    /// How long one attempt may run.
    pub timeout: Option<Duration>,
    /// How long a stopped attempt has to end by itself.
    pub grace: Duration,
}

/// How many futures a task has.
#[derive(Clone, Debug)]
pub enum Size {
    /// A plain task.
    One,
    /// A mapped task: so many members, and a wait of their own if the manifest gives one.
    Group {
        /// The number of members; may be 0.
        members: u32,
        /// The `wait` of the task, if it has one.
        wait: Option<Wait>,
    },
    /// A mapped task whose members are not known before it runs: see [`Graph::grow`].
    Open {
        /// The `wait` of the task, if it has one.
        wait: Option<Wait>,
    },
}

/// Which ends of what a task is `after` let it run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// All succeeded or were skipped.
    #[default]
    Success,
    /// At least one failed, timed out, or was cancelled because of one.
    Failure,
    /// All are done, however.
    Always,
}

/// When a failed attempt is followed by another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retry {
    /// How many more attempts there may be.
    pub count: u32,
    /// The pause before the second attempt.
    pub delay: Duration,
    /// What each pause is multiplied by to give the next; 1 keeps them equal.
    pub backoff: f64,
    /// No pause is longer.
    pub max_delay: Option<Duration>,
    /// Whether a pause is drawn from between its half and its whole.
    pub jitter: bool,
    /// Only these kinds of failure; `None` for all.
    pub on: Option<Vec<FailureKind>>,
    /// Of failures by exit code, only these codes; `None` for all.
    pub on_exit: Option<Vec<i32>>,
}

/// A wait policy: Python's `concurrent.futures.wait` and what becomes of the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wait {
    /// What is waited for.
    pub return_when: ReturnWhen,
    /// When the wait gives up.
    pub timeout: Option<Duration>,
    /// What happens to futures that are not done when it returns.
    pub on_return: OnReturn,
}

/// What a wait waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ReturnWhen {
    /// Everything is done.
    #[default]
    AllCompleted,
    /// One is done.
    FirstCompleted,
    /// One failed, or everything is done.
    FirstException,
    /// One succeeded.
    FirstSuccess,
    /// So many are done.
    Completed(Amount),
    /// So many succeeded.
    Succeeded(Amount),
    /// So many failed, or everything is done.
    Failed(Amount),
}

/// A number of futures, absolute or as a share of all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Exactly so many.
    Count(u32),
    /// This share in percent, rounded up.
    Percent(f64),
}

impl Amount {
    /// The number of futures this means out of `total`.
    pub fn of(self, total: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            // 16.1 % of 1000 is 161 and, in binary fractions, a hair more; that is not 162.
            Self::Percent(percent) => {
                let exact = percent * f64::from(total) / 100.0;
                (exact * (1.0 - 4.0 * f64::EPSILON)).ceil() as u32
            }
        }
    }
}

/// What happens to futures that are not done when a wait returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnReturn {
    /// Pending ones never start, running ones are stopped.
    #[default]
    Cancel,
    /// Pending ones never start, running ones finish.
    Drain,
    /// All go on to the end.
    Continue,
}

/// What the schedule and reports need to know of an executor.
#[derive(Clone, Debug)]
pub struct Executor {
    /// `default`, or the `NAME` of `[executors.NAME]`.
    pub name: String,
    /// How calls run there.
    pub kind: ExecutorKind,
    /// How many futures may run there at once; at least 1.
    pub max_workers: u32,
    /// What the death of a worker process means.
    pub on_worker_death: OnWorkerDeath,
}

/// What the death of a worker process means for the futures of its executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnWorkerDeath {
    /// Only the future that was running there fails.
    #[default]
    Fail,
    /// That future is run again, three times at most.
    Retry,
    /// Every pending and running future of the executor fails: Python's `BrokenProcessPool`.
    Break,
}

/// How registered functions run on an executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExecutorKind {
    /// On threads of this process.
    #[default]
    Thread,
    /// In worker processes.
    Process,
}

impl ExecutorKind {
    /// The word used in manifests and reports: `thread` or `process`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Process => "process",
        }
    }
}

/// A shared limit.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its name in `[resources]`.
    pub name: String,
    /// How much there is: a count, or bytes.
    pub capacity: u64,
    /// Whether it counts units that can be told apart, so that a future is told which it holds.
    pub counted: bool,
}

/// What cannot be made a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GraphError {
    /// Each of these is a cycle: every task is after the next, and the last after the first.
    Cycles(Vec<Vec<TaskId>>),
    /// More than [`MAX_FUTURES`] futures.
    TooLarge(u64),
}

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
        let behind = if followers.tasks.is_empty() {
            &dependents
        } else {
            all = Dependents::of(&tasks, Task::before);
            &all
        };
        let order = topological_order(&tasks, behind)?;

        let mut first = Vec::with_capacity(tasks.len() + 1);
        let mut task_of = Vec::with_capacity(tasks.len());
        for (id, task) in tasks.iter().enumerate() {
            first.push(task_of.len() as u32);
            task_of.resize(task_of.len() + task.size.nodes() as usize, TaskId(id as u32));
        }
        first.push(task_of.len() as u32);

        let mut rows = Vec::with_capacity(task_of.len() + 1);
        let mut edges = Vec::with_capacity(dependents.tasks.len());
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
    /// If the job would have more than [`MAX_FUTURES`] futures. Nothing has changed then.
    ///
    /// # Panics
    /// If the group is not open, or has its members.
    pub fn grow(&self, task: TaskId, members: u32) -> Result<(), GraphError> {
        let tasks = self.growing_with(task);
        let more = u64::from(members) * tasks.len() as u64;
        let futures = u64::from(self.future_count()) + more;
        if futures > MAX_FUTURES {
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
        let grown = self.grown.values().filter_map(OnceLock::get).map(|members| members.end);
        grown.max().map_or(self.task_of.len(), |end| end as usize)
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
    pub fn task_of(&self, node: NodeId) -> TaskId {
        self.task_of.get(node.index()).copied().unwrap_or_else(|| self.task_of_grown(node))
    }

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
    pub fn index_in_group(&self, node: NodeId) -> Option<u32> {
        let task = self.task_of(node);
        let members = self.members(task);
        let within = self.task(task).size.is_group() && members.contains(&node.0);
        within.then(|| node.0 - members.start)
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

impl Task {
    /// All tasks that this one comes after, be it future by future.
    pub fn before(&self) -> impl Iterator<Item = &TaskId> {
        self.after.iter().chain(&self.each)
    }
}

impl Size {
    /// The number of futures; 0 for an open group, whose number is not known here.
    pub const fn futures(&self) -> u32 {
        match self {
            Self::One => 1,
            Self::Group { members, .. } => *members,
            Self::Open { .. } => 0,
        }
    }

    /// Whether this is a group.
    pub const fn is_group(&self) -> bool {
        !matches!(self, Self::One)
    }

    /// Whether this is a group whose members are not known before it runs.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// The wait that the manifest gives a group.
    pub const fn wait(&self) -> Option<&Wait> {
        match self {
            Self::Group { wait: Some(wait), .. } | Self::Open { wait: Some(wait) } => Some(wait),
            _ => None,
        }
    }

    const fn nodes(&self) -> u32 {
        match self {
            Self::One => 1,
            Self::Group { members, .. } => *members + 1,
            Self::Open { .. } => 1,
        }
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

/// Who comes after each task, in compressed sparse rows: a task is large, and following its `after` is
/// a leap through memory for each.
#[derive(Clone, Debug)]
struct Dependents {
    rows: Vec<u32>,
    tasks: Vec<TaskId>,
}

impl Dependents {
    /// `before` gives what a task comes after.
    fn of<'t, I>(tasks: &'t [Task], before: impl Fn(&'t Task) -> I) -> Self
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

    fn on(&self, task: usize) -> &[TaskId] {
        &self.tasks[self.rows[task] as usize..self.rows[task + 1] as usize]
    }
}

/// Kahn's algorithm; what it cannot reach is on a cycle or behind one.
fn topological_order(tasks: &[Task], dependents: &Dependents) -> Result<Vec<TaskId>, GraphError> {
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
    if order.len() == tasks.len() {
        Ok(order)
    } else {
        Err(GraphError::Cycles(cycles(tasks, &missing)))
    }
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

fn inside(tasks: &[Task], dependents: &Dependents, order: &[TaskId]) -> Vec<bool> {
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
fn ranks(
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
