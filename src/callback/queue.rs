//! Which callbacks are due, and which of them may start now. Pure: knows neither what a callback
//! does nor when.
//!
//! Python's contract: each is called once, in the order declared for one future, never two at once
//! for the same future. Between futures there is no order but that of their events.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::event::Event;
use crate::id::{NodeId, TaskId};
use crate::job::{Job, Trigger};
use crate::outcome::State;
use crate::shape::RunView;

/// One call of a callback that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Tells it from all others of the run.
    pub key: u64,
    /// The place of the callback in the job.
    pub callback: usize,
    /// What it is called for.
    pub on: Trigger,
    /// The future it is about; a group's gate for a group; `None` for the job.
    pub node: Option<NodeId>,
}

/// The callbacks that are due and have not ended. Holds ids alone, as many as there are.
#[derive(Debug)]
pub struct Queue {
    /// The callbacks for all tasks, and those for some, by task; each list in the order declared.
    for_all: Vec<usize>,
    for_task: HashMap<TaskId, Vec<usize>>,
    /// Those that may start, oldest first.
    ready: VecDeque<Due>,
    /// For each future (or the job) with one that is ready or runs: those behind it.
    behind: HashMap<Option<NodeId>, VecDeque<Due>>,
    running: HashMap<u64, Due>,
    at_once: usize,
    next_key: u64,
}

impl Queue {
    /// A queue for the callbacks of `job`, of which at most `at_once` run at the same time.
    pub fn new(job: &Job, at_once: usize) -> Self {
        let mut for_all = Vec::new();
        let mut for_task: HashMap<TaskId, Vec<usize>> = HashMap::new();
        for (place, callback) in job.callbacks.iter().enumerate() {
            match &callback.tasks {
                None => for_all.push(place),
                Some(tasks) => {
                    // Once each, even if a task is named twice.
                    for task in tasks.iter().collect::<HashSet<_>>() {
                        for_task.entry(*task).or_default().push(place);
                    }
                }
            }
        }
        Self {
            for_all,
            for_task,
            ready: VecDeque::new(),
            behind: HashMap::new(),
            running: HashMap::new(),
            at_once: at_once.max(1),
            next_key: 0,
        }
    }

    /// Takes note of what is due after an event.
    pub fn observe(&mut self, event: &Event, run: &RunView<'_>) {
        match event {
            Event::Started { node, attempt: 1, .. } => self.future(run, *node, &[Trigger::Start]),
            Event::Retry { node, .. } => self.future(run, *node, &[Trigger::Retry]),
            Event::Finished { node } => {
                self.future(run, *node, ends(run.record(*node).state));
            }
            Event::GroupReturned { task } => self.group(run, *task),
            Event::JobReturned => self.job(run, &[Trigger::Return]),
            _ => {}
        }
    }

    /// Takes note that the job has ended, well or not. To be told when nothing else is left to do.
    pub fn job_ended(&mut self, run: &RunView<'_>, success: bool) {
        let how = if success { Trigger::JobSuccess } else { Trigger::JobFailure };
        self.job(run, &[Trigger::JobDone, how]);
    }

    /// The next one that may start now, if there is one; it counts as running until it has
    /// [`ended`](Self::ended).
    pub fn start_next(&mut self) -> Option<Due> {
        if self.running.len() >= self.at_once {
            return None;
        }
        let due = self.ready.pop_front()?;
        self.running.insert(due.key, due);
        Some(due)
    }

    /// One that was running has ended. `None` if there is none of that key.
    pub fn ended(&mut self, key: u64) -> Option<Due> {
        let due = self.running.remove(&key)?;
        if let Some(next) = self.behind.get_mut(&due.node).and_then(VecDeque::pop_front) {
            self.ready.push_back(next);
        } else {
            self.behind.remove(&due.node);
        }
        Some(due)
    }

    /// Whether nothing is due and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.running.is_empty()
    }

    /// The keys of those that run.
    pub fn running(&self) -> impl Iterator<Item = u64> {
        self.running.keys().copied()
    }

    fn future(&mut self, run: &RunView<'_>, node: NodeId, triggers: &[Trigger]) {
        let task = run.job.graph.task_of(node);
        for place in self.places(Some(task)) {
            self.add(run, place, triggers, Some(node));
        }
    }

    /// A group's return concerns those callbacks that name the group: one without `tasks` that is on
    /// `return` is about the job.
    fn group(&mut self, run: &RunView<'_>, task: TaskId) {
        let gate = run.job.graph.gate(task);
        for place in self.for_task.get(&task).cloned().unwrap_or_default() {
            self.add(run, place, &[Trigger::Return], gate);
        }
    }

    fn job(&mut self, run: &RunView<'_>, triggers: &[Trigger]) {
        for place in self.for_all.clone() {
            self.add(run, place, triggers, None);
        }
    }

    /// The places of the callbacks for a task, in the order declared.
    fn places(&self, task: Option<TaskId>) -> Vec<usize> {
        let own = task.and_then(|task| self.for_task.get(&task));
        let mut places = self.for_all.clone();
        if let Some(own) = own {
            places.extend(own);
            places.sort_unstable();
        }
        places
    }

    /// Makes a callback due if it is on one of the triggers: once, whatever else it is on.
    fn add(
        &mut self,
        run: &RunView<'_>,
        callback: usize,
        triggers: &[Trigger],
        node: Option<NodeId>,
    ) {
        let on = &run.job.callbacks[callback].on;
        let Some(&on) = on.iter().find(|on| triggers.contains(on)) else { return };
        let due = Due { key: self.next_key, callback, on, node };
        self.next_key += 1;
        if let Some(behind) = self.behind.get_mut(&node) {
            behind.push_back(due);
        } else {
            self.behind.insert(node, VecDeque::new());
            self.ready.push_back(due);
        }
    }
}

/// What a final state triggers.
const fn ends(state: State) -> &'static [Trigger] {
    match state {
        State::Succeeded => &[Trigger::Done, Trigger::Success],
        State::Failed => &[Trigger::Done, Trigger::Failure],
        State::TimedOut => &[Trigger::Done, Trigger::Failure, Trigger::Timeout],
        State::Cancelled => &[Trigger::Done, Trigger::Cancelled],
        State::Skipped => &[Trigger::Done, Trigger::Skipped],
        State::Pending | State::Running => &[],
    }
}
