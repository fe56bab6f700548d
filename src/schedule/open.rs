//! Groups that follow the futures of another task, and groups whose members turn out while the job runs:
//! how these are let in, or never come. A part of the schedule's state machine.

use crate::id::{NodeId, TaskId};
use crate::outcome::State;
use crate::schedule::Schedule;
use crate::schedule::node::{Blame, Fate, Marks, Node, Wish};
use crate::schedule::wait::is_about_failure;

impl Schedule<'_> {
    /// Whether a node is the gate of a group whose members are not known.
    pub(super) fn is_open(&self, node: NodeId) -> bool {
        self.nodes[node.index()].marks.has(Marks::OPEN)
    }

    /// The members of a group were added to the graph; `receive` sees to those that nothing is in the
    /// way of.
    pub(super) fn admit(&mut self, task: TaskId, receive: impl Fn(&mut Self, NodeId)) {
        let gate_node = self.plan.graph.end_of(task);
        let traits = *self.plan.task(task);
        let (Some(gate), true) = (traits.gate(), self.is_open(gate_node)) else { return };
        let members = self.plan.graph.members(task);
        let Node { missing, marks, .. } = self.nodes[gate_node.index()];
        let harmed = if marks.has(Marks::HARMED) { Marks::HARMED } else { Marks::NONE };
        let count = self.nodes.len() + members.len();
        self.nodes.resize(count, Node::new(missing, harmed));
        self.open += members.len();
        self.make_known(gate_node, members.len() as u32);
        let doom = self.groups[gate].doom.take();
        if members.is_empty() {
            match doom.and_then(|fate| Some((fate.root?, fate))) {
                Some((root, fate)) => self.refuse(gate_node, root, fate),
                None if missing == 0 => self.decide(gate_node),
                None => {}
            }
            return;
        }
        let it = &mut self.nodes[gate_node.index()];
        it.missing = u32::MAX;
        it.marks.set(Marks::GROWN, true);
        for node in members.map(NodeId) {
            match doom.and_then(|fate| Some((fate.root?, fate))) {
                _ if self.is_broken(node) => self.settle_by_itself(node, State::Failed),
                Some((root, fate)) => self.refuse(node, root, fate),
                None if missing == 0 => receive(self, node),
                None => {}
            }
        }
    }

    /// A group that is still open gets no members.
    pub(super) fn close(&mut self, node: NodeId) {
        if self.is_open(node) {
            self.make_known(node, 0);
            if let Some(gate) = self.plan.node(node).gate()
                && let Some(doom) = self.groups[gate].doom.take()
            {
                self.groups[gate].condemn(doom);
            }
        }
    }

    /// The waits that look at a group know how many members it has from now on.
    pub(super) fn make_known(&mut self, node: NodeId, members: u32) {
        self.nodes[node.index()].marks.set(Marks::OPEN, false);
        let traits = *self.plan.node(node);
        if let Some(gate) = traits.gate() {
            self.groups[gate].wait.grow(members);
        }
        if traits.inside {
            self.job.grow(members);
        }
    }

    /// A group is not wanted any more whose members are not known.
    pub(super) fn cancel_open(&mut self, node: NodeId, wish: Wish, blame: Blame) {
        self.nodes[node.index()].wish = wish;
        let failed = blame == Blame::Job && self.job.returned().is_some_and(is_about_failure);
        if let Some(gate) = self.plan.node(node).gate() {
            self.groups[gate].give_up(blame == Blame::Interrupt, failed);
            self.close(node);
            self.touch(gate);
        }
    }

    /// Tells those who follow the futures of a task one by one that this one is done. From the gate only
    /// groups hear that have nothing to run.
    pub(super) fn tell_followers(&mut self, node: NodeId, fate: Fate) {
        let graph = self.plan.graph;
        let task = graph.task_of(node);
        let is_gate = self.nodes[node.index()].marks.has(Marks::GATE);
        for &follower in graph.followers(task) {
            let members = graph.members(follower);
            if !is_gate {
                let index = node.0 - graph.members(task).start;
                self.arrive(NodeId(members.start + index), fate);
            } else if members.is_empty() {
                self.arrive(graph.end_of(follower), fate);
            }
        }
    }

    /// Whether a future could not run because of a member of a group that it follows, whose members
    /// count for nothing: only the verdict of that group's own wait does.
    pub(super) fn is_excused(&self, node: NodeId, root: NodeId) -> bool {
        let graph = self.plan.graph;
        let (mut at, at_root) = (graph.task_of(node), graph.task_of(root));
        while let Some(each) = graph.task(at).each {
            if each == at_root {
                return self.plan.task(each).gate().is_some_and(|gate| self.groups[gate].own);
            }
            at = each;
        }
        false
    }
}
