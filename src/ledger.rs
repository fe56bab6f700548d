//! What is known of every node of a run: state, times, result, failure, output. Dense vectors by
//! node, written by the driver alone and read by everybody: secrets are covered in all of it but in
//! what [`Ledger::result`] gives.

use std::collections::HashMap;
use std::time::Duration;

use crate::graph::Graph;
use crate::guard::{Containment, Leftover};
use crate::id::{NodeId, TaskId};
use crate::outcome::{Captured, Cause, Failure, Return, State};
use crate::time::Time;
use crate::value::Value;

/// What is known of one future. Nothing is allocated for one that has no output, no error, one
/// attempt and no result.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Where it stands.
    pub state: State,
    /// The worker of the last attempt, counted from 1; 0 if it never ran.
    pub worker: u32,
    /// How many attempts were started.
    pub attempts: u32,
    /// When it became ready for the first time.
    pub ready: Time,
    /// When the last attempt started.
    pub started: Time,
    /// When it ended.
    pub ended: Time,
    /// What it left, with secrets covered; null if it left nothing.
    pub result: Value,
    /// What most futures do not have.
    pub detail: Option<Box<Detail>>,
}

/// The part of a record that most futures of a large job do not need.
#[derive(Clone, Debug, Default)]
pub struct Detail {
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Why it was cancelled.
    pub cause: Option<Cause>,
    /// The exit code of the last attempt, if it was a child that exited.
    pub exit_code: Option<i32>,
    /// The signal that ended the last attempt, if it was a child that a signal ended.
    pub signal: Option<i32>,
    /// Whether something that the last attempt had started held its output open after its end.
    pub leaked: bool,
    /// What the last attempt wrote to its standard output.
    pub stdout: Captured,
    /// What the last attempt wrote to its standard error.
    pub stderr: Captured,
    /// All attempts but the last.
    pub earlier: Vec<Attempt>,
}

/// One try of a future that was followed by another.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// How it ended.
    pub state: State,
    /// The worker that ran it, counted from 1; 0 if it never got one.
    pub worker: u32,
    /// When it started.
    pub started: Time,
    /// When it ended.
    pub ended: Time,
    /// The exit code, if it was a child that exited.
    pub exit_code: Option<i32>,
    /// The signal, if it was a child that a signal ended.
    pub signal: Option<i32>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

impl Record {
    /// How long the last attempt ran.
    pub fn elapsed(&self) -> Duration {
        if self.attempts == 0 { Duration::ZERO } else { self.ended.since(self.started) }
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        self.detail.as_ref()?.failure.as_ref()
    }

    /// Why it was cancelled, if it was.
    pub fn cause(&self) -> Option<Cause> {
        self.detail.as_ref()?.cause
    }

    /// The detail, made if there is none yet.
    pub fn detail_mut(&mut self) -> &mut Detail {
        self.detail.get_or_insert_default()
    }
}

/// What a callback did.
#[derive(Clone, Debug)]
pub struct CallbackRecord {
    /// The place of the callback in the job.
    pub callback: usize,
    /// The word of what it was called for, for example `done`.
    pub on: &'static str,
    /// The future it was called for, or `None` for the job; a group's gate for a group.
    pub node: Option<NodeId>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// How long it took.
    pub elapsed: Duration,
}

/// How the job's wait returned, and which futures were done then.
#[derive(Clone, Debug)]
pub struct JobReturn {
    /// When, why, and whether it was what was asked for.
    pub how: Return,
    /// How many entries [`Ledger::completion`] had then: those futures were done.
    pub completed: usize,
}

/// The records of a run.
#[derive(Debug)]
pub struct Ledger {
    records: Vec<Record>,
    /// The results in which secrets were covered, as they were.
    secret_results: HashMap<NodeId, Value>,
    /// The futures that are done, in the order in which they ended.
    pub completion: Vec<NodeId>,
    /// How each group's wait returned, by task.
    pub groups: Vec<Option<Return>>,
    /// The members that were not done when a group's wait returned, and where they stood. Most groups have
    /// none.
    unfinished: HashMap<TaskId, Box<[(NodeId, State)]>>,
    /// How the job's wait returned.
    pub returned: Option<JobReturn>,
    /// The callbacks that ended, in that order.
    pub callbacks: Vec<CallbackRecord>,
    /// For each executor, the most futures that ran on it at once.
    pub peak_running: Vec<u32>,
    /// How long the run was paused, as by Ctrl-Z. No other time counts that.
    pub paused: Duration,
    /// The signal that interrupted the run.
    pub interrupted: Option<i32>,
    /// What went wrong for jobrun itself; exit code 4.
    pub errors: Vec<String>,
    /// What made sure that no process of the run outlives it.
    pub containment: Containment,
    /// The processes that tasks had left behind when all else had ended, and that were ended then.
    pub left_behind: Vec<Leftover>,
    /// When the last future and callback had ended.
    pub finished: Time,
}

impl Ledger {
    /// An empty ledger for the nodes of `graph`.
    pub fn new(graph: &Graph) -> Self {
        Self {
            records: vec![Record::default(); graph.node_count()],
            secret_results: HashMap::new(),
            completion: Vec::new(),
            groups: vec![None; graph.tasks().len()],
            unfinished: HashMap::new(),
            returned: None,
            callbacks: Vec::new(),
            peak_running: vec![0; graph.executors().len()],
            paused: Duration::ZERO,
            interrupted: None,
            errors: Vec::new(),
            containment: Containment::default(),
            left_behind: Vec::new(),
            finished: Time::ZERO,
        }
    }

    /// Makes room for the nodes that were added to `graph`.
    pub fn grow(&mut self, graph: &Graph) {
        self.records.resize_with(graph.node_count(), Record::default);
    }

    /// What is known of a node.
    pub fn record(&self, node: NodeId) -> &Record {
        &self.records[node.index()]
    }

    /// What a future left, as it left it, secrets included: for other tasks and for the program that runs
    /// the job. What is shown is in its record.
    pub fn result(&self, node: NodeId) -> &Value {
        self.secret_results.get(&node).unwrap_or(&self.record(node).result)
    }

    /// Keeps a result that is not to be shown, and what is shown in its place.
    pub fn set_secret_result(&mut self, node: NodeId, result: Value, shown: Value) {
        self.secret_results.insert(node, result);
        self.record_mut(node).result = shown;
    }

    /// The record of a node, to be written by the driver.
    pub fn record_mut(&mut self, node: NodeId) -> &mut Record {
        &mut self.records[node.index()]
    }

    /// A group's wait has returned.
    pub fn group_returned(&mut self, graph: &Graph, task: TaskId, how: Return) {
        let stood = graph.members(task).map(|node| (NodeId(node), self.record(NodeId(node)).state));
        let unfinished: Box<[_]> = stood.filter(|(_, state)| !state.is_done()).collect();
        if !unfinished.is_empty() {
            self.unfinished.insert(task, unfinished);
        }
        self.groups[task.index()] = Some(how);
    }

    /// The members that were not done when a group's wait returned, and where they stood, in
    /// submission order.
    pub fn unfinished(&self, task: TaskId) -> &[(NodeId, State)] {
        self.unfinished.get(&task).map_or(&[], |unfinished| unfinished)
    }

    /// jobrun itself could not do something. The same is noted once.
    pub fn error(&mut self, error: String) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// How a group's wait returned, if it has.
    pub fn group(&self, task: TaskId) -> Option<&Return> {
        self.groups[task.index()].as_ref()
    }
}
