//! One group: its wait, and what its return means to others. Knows its members only as they are
//! counted.

use crate::graph::Task;
use crate::id::{NodeId, TaskId};
use crate::outcome::{Because, Return};
use crate::schedule::node::Fate;
use crate::schedule::wait::{Ballot, Waiting, has_successes};
use crate::time::Time;

/// The state of one group.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are facts that do not depend on each other"
)]
#[derive(Debug)]
pub struct Group {
    pub task: TaskId,
    pub wait: Waiting,
    /// Whether the manifest gives it a wait; only then it counts by its verdict.
    pub own: bool,
    /// Whether it is among those to be looked at.
    pub touched: bool,
    /// The first that went wrong, to be named to what comes after.
    root: Option<NodeId>,
    /// Whether a member failed, or was cancelled because of a failure.
    harmed: bool,
    allow_failure: bool,
    /// What went wrong before its members were known: they can never run.
    pub doom: Option<Fate>,
}

impl Group {
    /// The state of a task before the run; `None` if it is no group.
    pub fn new(id: TaskId, task: &Task) -> Option<Self> {
        if !task.size.is_group() {
            return None;
        }
        let own = task.size.wait();
        let mut wait = Waiting::new(&own.cloned().unwrap_or_default(), task.size.futures());
        if task.size.is_open() {
            wait.expect_more();
        }
        Some(Self {
            task: id,
            wait,
            own: own.is_some(),
            touched: false,
            root: None,
            harmed: false,
            allow_failure: task.allow_failure,
            doom: None,
        })
    }

    /// One more member is done.
    pub fn count(&mut self, ballot: Ballot, fate: Fate) {
        self.wait.count(ballot);
        self.root = self.root.or(fate.root);
        self.harmed |= fate.failed;
    }

    /// It has no members, and could not have run any: something before it went wrong.
    pub fn condemn(&mut self, fate: Fate) {
        self.wait.condemn();
        self.root = self.root.or(fate.root);
        self.harmed |= fate.failed;
    }

    /// Its members, which nobody knows, are not wanted any more; `failed` says whether because of a
    /// failure.
    pub fn give_up(&mut self, by_user: bool, failed: bool) {
        self.wait.overrule(by_user);
        self.wait.lose();
        self.harmed |= failed;
    }

    /// Whether a failure of a member is one for the job as well. If the group may forgive it, or does
    /// not look any more, it is not; if the group cannot forgive it, it is at once.
    pub fn tells_failures(&self) -> bool {
        !self.own || self.wait.returned().is_none() && !self.wait.forgives()
    }

    /// Returns; gives how, and what that means for what comes after its `gate`.
    pub fn leave(&mut self, now: Time, because: Because, gate: NodeId) -> (Return, Fate) {
        let how = self.wait.leave(now, because);
        let root = match how.because {
            because if has_successes(because) => None,
            // What was cancelled is not there, however well the wait returned.
            _ if !self.wait.lost_any() && (how.success || self.allow_failure) => None,
            Because::Timeout => Some(gate),
            _ => self.root.or(Some(gate)),
        };
        let failed = matches!(how.because, Because::Timeout | Because::Unreachable)
            || self.harmed && !has_successes(how.because);
        (how, Fate { root, failed })
    }

    /// Whether its verdict is itself a failure that releases the job's wait: one that neither its
    /// members have told already, nor those before it.
    pub fn raises_by_verdict(&self) -> bool {
        let told = self.wait.raised() && !self.wait.forgives();
        !told && !self.wait.lost_any()
    }
}
