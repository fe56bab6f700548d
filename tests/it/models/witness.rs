//! Sees all events of a run and holds them against what must be true of every run: what starts, ends,
//! and may do so; and at the end, what the ledger and the report say of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use jobrun::event::{Event, Stamped};
use jobrun::graph::{Graph, OnReturn, ReturnWhen, Task, When};
use jobrun::id::{ExecutorId, NodeId, TaskId};
use jobrun::ledger::Ledger;
use jobrun::outcome::{Because, State};
use jobrun::report::{Format, json};
use jobrun::time::Time;
use jobrun::{Finished, Observer, RunView};
use serde_json::Value;

/// What the driver has said and was told.
#[derive(Debug, Default)]
pub struct Seen {
    /// The tasks of futures that were added while the job ran.
    added: BTreeMap<NodeId, TaskId>,
    tasks: Vec<TaskId>,
    /// The attempt that each future made last, and whether it was told of.
    attempts: BTreeMap<NodeId, u32>,
    done: BTreeSet<NodeId>,
    groups: BTreeSet<TaskId>,
    returned: bool,
    pub signals: u32,
    pub broken: Vec<ExecutorId>,
    seq: u64,
    at: Time,
    over: bool,
    /// All events, in words.
    pub story: Vec<String>,
}

impl Seen {
    pub fn of(graph: &Graph) -> Rc<RefCell<Self>> {
        let tasks = (0..graph.node_count() as u32).map(|node| graph.task_of(NodeId(node)));
        Rc::new(RefCell::new(Self { tasks: tasks.collect(), ..Self::default() }))
    }

    pub fn task_of(&self, node: NodeId) -> TaskId {
        self.tasks.get(node.index()).copied().unwrap_or_else(|| self.added[&node])
    }

    pub fn is_done(&self, node: NodeId) -> bool {
        self.done.contains(&node)
    }

    /// Whether an attempt may be handed over now.
    pub fn check_start(&self, graph: &Graph, node: NodeId, attempt: u32) {
        let id = self.task_of(node);
        let (task, inside) = (graph.task(id), graph.is_inside(id));
        let ends = |rest: OnReturn| rest != OnReturn::Continue;
        assert!(!self.is_done(node), "what has ended does not start");
        assert!(
            self.attempts.get(&node).is_none_or(|last| *last < attempt),
            "attempts are counted"
        );
        assert!(self.signals < 2 && (self.signals == 0 || !inside), "it was interrupted");
        assert!(!self.returned || !inside || !ends(graph.wait().on_return), "the job has returned");
        let own = task.size.wait().filter(|_| self.groups.contains(&id));
        assert!(own.is_none_or(|wait| !ends(wait.on_return)), "its group has returned");
        assert!(!self.broken.contains(&task.executor), "its executor is broken");
    }
}

/// The observer.
pub struct Witness(pub Rc<RefCell<Seen>>);

impl Observer for Witness {
    fn observe(&mut self, event: &Stamped, run: &RunView<'_>) -> io::Result<()> {
        let mut seen = self.0.borrow_mut();
        assert_eq!(event.seq, seen.seq, "events are numbered without gaps");
        assert!(event.at >= seen.at, "time does not go back");
        assert!(!seen.over, "nothing follows the end");
        (seen.seq, seen.at) = (event.seq + 1, event.at);
        seen.story.push(format!("{} {:?}", event.at.seconds(), event.event));
        seen.note(event, run);
        Ok(())
    }

    fn wants_output(&self) -> bool {
        true
    }
}

impl Seen {
    fn note(&mut self, event: &Stamped, run: &RunView<'_>) {
        let (graph, ledger) = (&run.job.graph, run.ledger);
        match event.event {
            Event::Started { node, attempt, worker } => {
                let (record, task) = (ledger.record(node), graph.task_of(node));
                assert!(!self.is_done(node), "what has ended does not start");
                let last = self.attempts.insert(node, attempt);
                assert!(last.is_none_or(|last| last < attempt), "an attempt starts once");
                assert_eq!((record.state, record.attempts), (State::Running, attempt));
                assert!(
                    worker > 0 && worker <= graph.executor(graph.task(task).executor).max_workers
                );
                self.check_edges(graph, ledger, node);
            }
            Event::Output { node, .. } => {
                assert_eq!(ledger.record(node).state, State::Running, "only what runs writes");
            }
            Event::Retry { node, attempt, .. } => {
                assert!(!self.is_done(node));
                assert_eq!(ledger.record(node).attempts + 1, attempt);
            }
            Event::Finished { node } => {
                assert!(self.done.insert(node), "a future ends once");
                assert_eq!(ledger.completion.last(), Some(&node));
                check_record(ledger, node, event.at);
                let ran = matches!(ledger.record(node).state, State::Succeeded | State::TimedOut);
                assert!(!ran || self.attempts.contains_key(&node), "only what started ends so");
            }
            Event::Expanded { task } => {
                for task in graph.growing_with(task) {
                    let members = graph.members(task).map(|node| (NodeId(node), task));
                    self.added.extend(members);
                }
            }
            Event::GroupReturned { task } => {
                assert!(self.groups.insert(task), "a group returns once");
                assert!(ledger.group(task).is_some());
            }
            Event::JobReturned => {
                assert!(!self.returned, "the job returns once");
                self.returned = true;
            }
            Event::JobFinished => self.over = true,
            _ => {}
        }
    }

    /// What comes before a future is over, and well if it has to be.
    fn check_edges(&self, graph: &Graph, ledger: &Ledger, node: NodeId) {
        let task = graph.task(graph.task_of(node));
        for &id in &task.after {
            let over = if graph.gate(id).is_some() {
                self.groups.contains(&id)
            } else {
                self.is_done(graph.end_of(id))
            };
            assert!(over, "{} comes after {}", task.name, graph.task(id).name);
            let needed = task.when == When::Success && graph.gate(id).is_none();
            let state = ledger.record(graph.end_of(id)).state;
            let well = matches!(state, State::Succeeded | State::Skipped)
                || graph.task(id).allow_failure && state.is_failure();
            assert!(!needed || well, "{} needs {}", task.name, graph.task(id).name);
        }
        let leader = graph.counterpart(node);
        assert!(leader.is_none_or(|it| self.is_done(it)), "it follows another");
    }

    /// The run is over.
    pub fn check_end(&self, end: &Finished) {
        let (graph, ledger) = (&end.job.graph, &end.ledger);
        // A panic of this observer is among them.
        assert_eq!(ledger.errors, [""; 0]);
        assert!(self.over && self.returned, "the job returned and ended");
        let futures: BTreeSet<NodeId> = graph.futures().collect();
        assert_eq!(futures, self.done, "every future has an end");
        assert_eq!(ledger.completion.len(), futures.len());
        for (id, task) in graph.tasks() {
            let returned = self.groups.contains(&id) || !task.size.is_group();
            assert!(returned, "{} returned", task.name);
        }
        for (executor, peak) in graph.executors().iter().zip(&ledger.peak_running) {
            assert!(*peak <= executor.max_workers);
        }
        assert_eq!(i32::from(end.exit.code()), self.exit_code(graph, ledger));
        self.check_report(end);
    }

    /// The exit code by the rule of the manual, as far as it is simple.
    fn exit_code(&self, graph: &Graph, ledger: &Ledger) -> i32 {
        let returned = ledger.returned.as_ref().expect("it returned");
        if self.signals > 0 {
            return 128 + 2;
        }
        if returned.how.because == Because::Timeout {
            return 3;
        }
        let own = |task: &Task| task.size.wait().is_some();
        let bad = |node: &NodeId| {
            let task = graph.task(graph.task_of(*node));
            ledger.record(*node).state.is_failure() && !task.allow_failure && !own(task)
        };
        let inside = |node: &NodeId| graph.is_inside(graph.task_of(*node));
        let done = &ledger.completion[..returned.completed];
        let failed = done.iter().filter(|node| inside(node)).any(bad);
        let outside = ledger.completion.iter().filter(|node| !inside(node)).any(bad);
        let patient = graph.wait().return_when == ReturnWhen::AllCompleted;
        let simple = graph.tasks().all(|(_, task)| !own(task));
        match returned.how.success {
            _ if outside => 1,
            success if !simple || !patient => i32::from(!success || verdict_fails(graph, ledger)),
            success => {
                assert!(!(success && failed), "a failure counts");
                let lost = ledger
                    .completion
                    .iter()
                    .any(|node| ledger.record(*node).state == State::Cancelled && inside(node));
                assert!(success || failed || lost, "nothing failed");
                i32::from(!success)
            }
        }
    }

    fn check_report(&self, end: &Finished) {
        let mut text = Vec::new();
        json::write(&mut text, &end.view()).expect("memory takes it");
        let report: Value = serde_json::from_slice(&text).expect("it is JSON");
        let list = |name: &str| report[name].as_array().expect("it is a list");
        let (graph, ledger) = (&end.job.graph, &end.ledger);
        assert_eq!(report["exit_code"], end.exit.code());
        assert_eq!(list("futures").len(), self.done.len());
        assert_eq!(list("completion_order").len(), self.done.len());
        let inside = graph.futures().filter(|node| graph.is_inside(graph.task_of(*node))).count();
        assert_eq!(list("done").len() + list("not_done").len(), inside);
        for state in ["succeeded", "failed", "timed_out", "cancelled", "skipped"] {
            let found = list("futures").iter().filter(|future| future["state"] == state).count();
            assert_eq!(report["counts"][state], found, "{state}");
        }
        for (future, node) in list("futures").iter().zip(graph.futures()) {
            let record = ledger.record(node);
            assert_eq!(future["state"], record.state.word());
            assert_eq!(future["attempts"].as_array().map(Vec::len), Some(record.attempts as usize));
            assert_eq!(future["error"].is_null(), record.failure().is_none());
        }
        for format in Format::ALL {
            format.write(&mut io::sink(), &end.view()).expect("nowhere takes it");
        }
    }
}

/// Whether a group that the job does not wait for has failed.
fn verdict_fails(graph: &Graph, ledger: &Ledger) -> bool {
    let outside = graph.tasks().filter(|(id, task)| {
        !graph.is_inside(*id) && !task.allow_failure && task.size.wait().is_some()
    });
    let mut verdicts = outside.filter_map(|(id, _)| ledger.group(id));
    verdicts.any(|how| how.verdict() == State::Failed)
}

fn check_record(ledger: &Ledger, node: NodeId, now: Time) {
    let record = ledger.record(node);
    assert!(record.state.is_done());
    assert_eq!(record.state == State::Cancelled, record.cause().is_some());
    assert_eq!(record.failure().is_some(), record.state.is_failure(), "{:?}", record.failure());
    let ran = record.attempts > 0;
    assert!(!ran || record.ready <= record.started && record.started <= record.ended, "{record:?}");
    assert!(record.ended <= now);
    let earlier = record.detail.as_ref().map_or(0, |detail| detail.earlier.len());
    // It may have ended before its first attempt, or in the pause after the last.
    let last = (record.attempts as usize).checked_sub(earlier);
    assert!(matches!(last, Some(0 | 1)), "{} attempts, {earlier} before", record.attempts);
}
