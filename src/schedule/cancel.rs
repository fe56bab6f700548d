//! How waits return, and what becomes of the rest. A part of the schedule's state machine.

use std::mem;

use crate::id::{NodeId, TaskId};
use crate::outcome::Because;
use crate::schedule::Schedule;
use crate::schedule::action::Action;
use crate::schedule::node::{Blame, Marks, Phase, Wish};
use crate::work::Stop;

impl Schedule<'_> {
    pub(super) fn touch(&mut self, gate: usize) {
        if !mem::replace(&mut self.groups[gate].touched, true) {
            self.touched.push_back(gate);
        }
    }

    pub(super) fn leave_group(&mut self, gate: usize, because: Because) {
        let group = &mut self.groups[gate];
        let id = group.task;
        let task = *self.plan.task(id);
        let node = self.plan.graph.end_of(id);
        let (how, fate) = group.leave(self.now, because, node);
        if group.own && task.inside && !how.success && !task.allow_failure {
            self.job.blame(group.raises_by_verdict(), true);
        }
        let rest = group.wait.on_return();
        self.set(node, Phase::Done);
        self.actions.push_back(Action::GroupReturned { task: id, how });
        self.spread(node, fate);
        if let Some(wish) = rest.and_then(Wish::after) {
            self.cancel_members(id, wish, Blame::Group);
        }
    }

    pub(super) fn leave_job(&mut self, because: Because) {
        if self.job.returned().is_none() {
            let how = self.job.leave(self.now, because);
            self.actions.push_back(Action::JobReturned { how });
        }
    }

    pub(super) fn cancel_job(&mut self, wish: Wish, blame: Blame) {
        for (id, _) in self.plan.graph.tasks() {
            if self.plan.task(id).inside {
                self.cancel_members(id, wish, blame);
            }
        }
    }

    pub(super) fn cancel_members(&mut self, task: TaskId, wish: Wish, blame: Blame) {
        for id in self.plan.graph.members(task) {
            self.cancel(NodeId(id), wish, blame);
        }
        if self.plan.graph.is_open() {
            self.cancel(self.plan.graph.end_of(task), wish, blame);
        }
    }

    /// Cancels a future if it is pending, and sees to what is wished if it is in flight.
    pub(super) fn cancel(&mut self, node: NodeId, wish: Wish, blame: Blame) {
        if self.is_open(node) {
            return self.cancel_open(node, wish, blame);
        }
        let it = &mut self.nodes[node.index()];
        if it.marks.has(Marks::GATE) || it.phase == Phase::Done || it.wish >= wish {
            return;
        }
        // Whoever asked for a stop first is the reason for it.
        if it.wish < Wish::Stop {
            it.blame = blame;
        }
        it.wish = wish;
        let (running, ahead) = (it.phase == Phase::Running, it.marks.has(Marks::AHEAD));
        if blame != Blame::Group {
            self.overrule_group_of(node, blame);
        }
        if !running {
            self.settle_cancelled(node);
            return;
        }
        let how = match wish {
            Wish::Kill => Some(Stop::Kill),
            Wish::Stop => Some(Stop::Stop),
            Wish::Drain => ahead.then_some(Stop::Recall),
            Wish::None => None,
        };
        if let Some(how) = how {
            self.stop(node, how);
        }
    }

    pub(super) fn stop(&mut self, node: NodeId, how: Stop) {
        let attempt = self.attempt(node);
        self.actions.push_back(Action::Stop { node, attempt, how });
    }

    pub(super) fn overrule_group_of(&mut self, node: NodeId, blame: Blame) {
        if let Some(gate) = self.plan.node(node).gate() {
            self.groups[gate].wait.overrule(blame == Blame::Interrupt);
        }
    }
}
