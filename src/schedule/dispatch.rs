//! Who starts next: the ready ones in order of rank, under the limits of workers, resources and
//! exclusive tasks. Knows nothing of edges, waits or ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{ExecutorId, NodeId};
use crate::schedule::action::Action;
use crate::schedule::limits::{Limits, Units};
use crate::schedule::order::{RankBag, RankSet};
use crate::schedule::permits::Permits;
use crate::schedule::plan::{Plan, Traits};

/// The ready nodes, and what the ones in flight hold.
#[derive(Debug)]
pub struct Dispatch {
    /// One for each executor.
    lanes: Vec<Lane>,
    limits: Limits,
    /// Whether any executor is.
    guarded: bool,
    /// On all executors together.
    in_flight: u32,
    /// Whether an exclusive node is in flight.
    alone: bool,
    /// The best ranks that may become ready when those that are ready, in flight or to be tried again
    /// have ended. Nothing that is worse is handed over before a worker is free: it would start
    /// before what ought to.
    imminent: RankBag,
    /// Those that are ready and share a rank with others.
    crowds: BTreeMap<u32, BTreeSet<NodeId>>,
    /// What those in flight hold, if it has numbers.
    held: BTreeMap<NodeId, Units>,
    /// Attempts that nobody waits for any more but whose workers are still busy.
    abandoned: Vec<Abandoned>,
}

#[derive(Debug)]
struct Abandoned {
    node: NodeId,
    attempt: u32,
    units: Units,
}

/// What may be started now.
#[derive(Debug)]
pub struct Pick {
    pub node: NodeId,
    pub units: Units,
    /// Whether it has to wait in its executor for a worker.
    pub ahead: bool,
}

#[derive(Debug)]
struct Lane {
    ready: RankSet,
    in_flight: u32,
    /// How many of those are calls. While there are others, nobody may wait in the executor: calls
    /// and children wait in different places that do not know of each other.
    calls: u32,
    max_workers: u32,
    ahead: u32,
    permits: Permits,
}

impl Dispatch {
    /// Nothing ready, nothing in flight. Up to `ahead` plain nodes more than it has workers are
    /// handed to each executor.
    pub fn new(plan: &Plan<'_>, ahead: u32) -> Self {
        let lane = |max_workers| Lane {
            ready: RankSet::new(plan.graph.node_count()),
            in_flight: 0,
            calls: 0,
            max_workers,
            ahead,
            permits: Permits::default(),
        };
        Self {
            lanes: plan.graph.executors().iter().map(|it| lane(it.max_workers)).collect(),
            limits: Limits::new(plan.graph),
            guarded: false,
            in_flight: 0,
            alone: false,
            imminent: RankBag::new(plan.graph.node_count()),
            crowds: BTreeMap::new(),
            held: BTreeMap::new(),
            abandoned: Vec::new(),
        }
    }

    /// So many plain nodes more than it has workers are handed to an executor; none to one whose starts
    /// take permits.
    pub fn set_ahead(&mut self, executor: ExecutorId, ahead: u32) {
        let lane = &mut self.lanes[executor.index()];
        lane.ahead = if lane.permits.is_guarded() { 0 } else { ahead };
    }

    /// Every start on this executor takes a permit from now on. Nothing is handed over ahead there: a
    /// permit is for what runs.
    pub fn guard(&mut self, executor: ExecutorId) {
        let lane = &mut self.lanes[executor.index()];
        lane.permits.guard();
        lane.ahead = 0;
        self.guarded = true;
    }

    /// A permit came.
    pub fn permit(&mut self, executor: ExecutorId) {
        self.lanes[executor.index()].permits.add();
    }

    /// A permit to be given back before anything else starts, if there is one.
    pub fn spent_permit(&mut self) -> Option<Action> {
        self.find_permits(Permits::give_back_spent)
    }

    /// What is to be said about permits when nothing can start. Permits are asked for first: only if
    /// none is, everybody was asked whether he needs one.
    pub fn permit_errand(&mut self) -> Option<Action> {
        self.find_permits(Permits::ask).or_else(|| self.find_permits(Permits::let_go))
    }

    fn find_permits<T>(
        &mut self,
        mut look: impl FnMut(&mut Permits, ExecutorId) -> Option<T>,
    ) -> Option<T> {
        if !self.guarded {
            return None;
        }
        let mut lanes = self.lanes.iter_mut().enumerate();
        lanes.find_map(|(id, lane)| look(&mut lane.permits, ExecutorId(id as u32)))
    }

    /// A node became ready.
    pub fn add(&mut self, plan: &Plan<'_>, node: NodeId) {
        let rank = plan.graph.rank(node);
        if plan.graph.is_grown(node) {
            self.crowds.entry(rank).or_default().insert(node);
        }
        self.lanes[plan.node(node).executor.index()].ready.insert(rank);
    }

    /// A node is not ready any more.
    fn remove(&mut self, plan: &Plan<'_>, node: NodeId, traits: &Traits) {
        let rank = plan.graph.rank(node);
        if plan.graph.is_grown(node)
            && let Some(crowd) = self.crowds.get_mut(&rank)
        {
            crowd.remove(&node);
            if !crowd.is_empty() {
                return;
            }
            self.crowds.remove(&rank);
        }
        self.lanes[traits.executor.index()].ready.remove(rank);
    }

    /// The first ready node of a rank.
    fn at_rank(&self, plan: &Plan<'_>, rank: u32) -> NodeId {
        let shared = if self.crowds.is_empty() { None } else { self.crowds.get(&rank) };
        let first = shared.and_then(BTreeSet::first).copied();
        first.unwrap_or_else(|| plan.graph.at_rank(rank))
    }

    /// A node that is ready shall not start after all.
    pub fn withdraw(&mut self, plan: &Plan<'_>, node: NodeId) {
        let traits = plan.node(node);
        self.remove(plan, node, traits);
        if traits.uses {
            self.limits.leave(plan.graph, node);
            self.call_up(plan, node);
        }
    }

    /// Takes the next node that may start, if there is one; it is in flight from then on.
    /// `hurries` says which plain tasks may be handed over before a worker is free.
    pub fn next(&mut self, plan: &Plan<'_>, hurries: impl Fn(&Traits) -> bool) -> Option<Pick> {
        if self.guarded {
            self.lanes.iter_mut().for_each(|lane| lane.permits.reset());
        }
        if self.alone || self.lanes.iter().all(Lane::is_full) {
            return None;
        }
        // The heads of some lanes, up to this rank, cannot start now; lanes do not overtake within.
        let mut passed = None;
        while let Some(rank) = self.best_after(passed) {
            let node = self.at_rank(plan, rank);
            let traits = plan.node(node);
            if traits.exclusive && passed.is_none() && self.in_flight > 0 {
                return None;
            }
            if traits.exclusive && passed.is_some() || !self.has_room(traits, rank, &hurries) {
                passed = Some(rank);
            } else if self.lacks_permit(traits) && self.limits.suffice(plan.graph, node) {
                let is_on_its_way = self.lanes[traits.executor.index()].permits.want();
                // One that comes at once is for this node, before anybody worse takes what it needs.
                if traits.exclusive || !is_on_its_way {
                    return None;
                }
                passed = Some(rank);
            } else if let Some(pick) = self.claim(plan, node, *traits) {
                return Some(pick);
            } else {
                // It stands in line for a resource, and may have made way for a better one.
                passed = None;
            }
        }
        None
    }

    /// Nothing holds a node back any more but limits.
    pub fn enter(&mut self, plan: &Plan<'_>, node: NodeId) {
        if let Some(rank) = plan.node(node).releases() {
            self.imminent.insert(rank);
        }
    }

    /// A node that had entered is done.
    pub fn leave(&mut self, plan: &Plan<'_>, node: NodeId) {
        if let Some(rank) = plan.node(node).releases() {
            self.imminent.remove(rank);
        }
    }

    /// An attempt is over and its worker is free.
    pub fn release(&mut self, plan: &Plan<'_>, node: NodeId) {
        let traits = plan.node(node);
        let units = if traits.uses { self.held.remove(&node) } else { None };
        self.vacate(plan, node, *traits, units.unwrap_or_default());
    }

    /// An attempt is over but its worker and what it holds are not free before [`Self::freed`].
    pub fn abandon(&mut self, plan: &Plan<'_>, node: NodeId, attempt: u32) {
        self.enter(plan, node);
        let units = self.held.remove(&node).unwrap_or_default();
        self.abandoned.push(Abandoned { node, attempt, units });
    }

    /// The worker of an abandoned attempt is free.
    pub fn freed(&mut self, plan: &Plan<'_>, node: NodeId, attempt: u32) {
        let is_it = |it: &Abandoned| (it.node, it.attempt) == (node, attempt);
        if let Some(at) = self.abandoned.iter().position(is_it) {
            let units = self.abandoned.swap_remove(at).units;
            self.leave(plan, node);
            self.vacate(plan, node, *plan.node(node), units);
        }
    }

    /// Whether a node may be handed over: to a free worker, or to wait for one.
    fn has_room(&self, traits: &Traits, rank: u32, hurries: impl Fn(&Traits) -> bool) -> bool {
        let lane = &self.lanes[traits.executor.index()];
        let alike = if traits.call { lane.calls } else { lane.in_flight - lane.calls };
        lane.in_flight < lane.max_workers
            || !lane.is_full()
                && alike == lane.in_flight
                && self.imminent.first().is_none_or(|next| rank < next)
                && hurries(traits)
    }

    fn lacks_permit(&self, traits: &Traits) -> bool {
        self.guarded && self.lanes[traits.executor.index()].permits.are_missing()
    }

    fn best_after(&self, passed: Option<u32>) -> Option<u32> {
        let heads = self.lanes.iter().filter_map(|lane| lane.ready.first());
        heads.filter(|&rank| passed.is_none_or(|passed| rank > passed)).min()
    }

    fn claim(&mut self, plan: &Plan<'_>, node: NodeId, traits: Traits) -> Option<Pick> {
        self.remove(plan, node, &traits);
        let units = if traits.uses { self.claim_units(plan, node)? } else { Units::new() };
        let lane = &mut self.lanes[traits.executor.index()];
        let ahead = lane.in_flight >= lane.max_workers;
        lane.in_flight += 1;
        lane.permits.use_one();
        lane.calls += u32::from(traits.call);
        self.in_flight += 1;
        self.alone = traits.exclusive;
        Some(Pick { node, units, ahead })
    }

    fn claim_units(&mut self, plan: &Plan<'_>, node: NodeId) -> Option<Units> {
        let units = self.limits.take(plan.graph, node);
        // Taking part of something, or nothing, leaves something for those behind.
        self.call_up(plan, node);
        let units = units?;
        if !units.is_empty() {
            self.held.insert(node, units.clone());
        }
        Some(units)
    }

    fn vacate(&mut self, plan: &Plan<'_>, node: NodeId, traits: Traits, units: Units) {
        let lane = &mut self.lanes[traits.executor.index()];
        lane.in_flight -= 1;
        lane.permits.end_one();
        lane.calls -= u32::from(traits.call);
        self.in_flight -= 1;
        if traits.exclusive {
            self.alone = false;
        }
        if traits.uses {
            self.limits.give(plan.graph, node, units);
            self.call_up(plan, node);
        }
    }

    fn call_up(&mut self, plan: &Plan<'_>, node: NodeId) {
        let mut called = Vec::new();
        self.limits.call_up(plan.graph, node, |node| called.push(node));
        for node in called {
            self.add(plan, node);
        }
    }
}

impl Lane {
    /// Whether nobody could be handed over, however plain.
    fn is_full(&self) -> bool {
        self.in_flight >= self.max_workers.saturating_add(self.ahead)
    }
}
