//! Resources: who holds how much, which units, and who is in line. Knows nothing of workers.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::graph::{Graph, Resource};
use crate::id::{NodeId, ResourceId};

/// Which units of which counted resources somebody holds.
pub type Units = Vec<(ResourceId, Vec<u32>)>;

/// All resources of a job.
#[derive(Debug)]
pub struct Limits {
    pools: Vec<Pool>,
}

/// One resource.
#[derive(Debug)]
struct Pool {
    capacity: u64,
    free: u64,
    /// Only what is counted hands out numbers.
    counted: bool,
    /// No unit from this one on was ever handed out, so all that came back are lower.
    fresh: u32,
    returned: BinaryHeap<Reverse<u32>>,
    /// Those that did not get enough. Whoever is worse than the best of them does not get anything
    /// either, or a large demand would starve among small ones.
    waiting: BTreeSet<Place>,
}

/// A node in the order of starts: its rank, and what tells those apart that share one.
type Place = (u32, NodeId);

impl Limits {
    /// The resources of `graph`, all free.
    pub fn new(graph: &Graph) -> Self {
        Self { pools: graph.resources().iter().map(Pool::new).collect() }
    }

    /// Takes what a node uses, all or nothing. A node that cannot have it stands in line from then on
    /// for the first resource that it misses.
    pub fn take(&mut self, graph: &Graph, node: NodeId) -> Option<Units> {
        let uses = uses(graph, node);
        let place = place(graph, node);
        for &(id, amount) in uses {
            let pool = &mut self.pools[id.index()];
            if !pool.has(amount, place) {
                pool.waiting.insert(place);
                return None;
            }
        }
        let mut units = Units::new();
        for &(id, amount) in uses {
            let pool = &mut self.pools[id.index()];
            let taken = pool.take(amount);
            if pool.counted {
                units.push((id, taken));
            }
        }
        Some(units)
    }

    /// Whether a node could take what it uses.
    pub fn suffice(&self, graph: &Graph, node: NodeId) -> bool {
        let place = place(graph, node);
        uses(graph, node).iter().all(|&(id, amount)| self.pools[id.index()].has(amount, place))
    }

    /// Gives back what a node took.
    pub fn give(&mut self, graph: &Graph, node: NodeId, units: Units) {
        for &(id, amount) in uses(graph, node) {
            let pool = &mut self.pools[id.index()];
            pool.free += pool.bounded(amount);
        }
        for (id, units) in units {
            self.pools[id.index()].returned.extend(units.into_iter().map(Reverse));
        }
    }

    /// Takes a node out of any line.
    pub fn leave(&mut self, graph: &Graph, node: NodeId) {
        for &(id, _) in uses(graph, node) {
            self.pools[id.index()].waiting.remove(&place(graph, node));
        }
    }

    /// Calls the best in line for anything that `node` uses, as far as there is enough for them
    /// now. To be asked whenever `node` took, gave back or gave up something.
    pub fn call_up(&mut self, graph: &Graph, node: NodeId, mut called: impl FnMut(NodeId)) {
        for &(id, _) in uses(graph, node) {
            let pool = &mut self.pools[id.index()];
            let mut left = pool.free;
            while let Some(&place) = pool.waiting.first() {
                let best = place.1;
                let amount = pool.bounded(amount_of(graph, best, id));
                if amount > left {
                    break;
                }
                left -= amount;
                pool.waiting.remove(&place);
                called(best);
            }
        }
    }
}

impl Pool {
    fn new(resource: &Resource) -> Self {
        Self {
            capacity: resource.capacity,
            free: resource.capacity,
            counted: resource.counted,
            fresh: 0,
            returned: BinaryHeap::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// Nobody can wait for more than there is: such a demand takes it all.
    fn bounded(&self, amount: u64) -> u64 {
        amount.min(self.capacity)
    }

    fn has(&self, amount: u64, place: Place) -> bool {
        self.bounded(amount) <= self.free && self.waiting.first().is_none_or(|&best| place <= best)
    }

    fn take(&mut self, amount: u64) -> Vec<u32> {
        let amount = self.bounded(amount);
        self.free -= amount;
        if !self.counted {
            return Vec::new();
        }
        (0..amount).map(|_| self.lowest()).collect()
    }

    fn lowest(&mut self) -> u32 {
        if let Some(Reverse(unit)) = self.returned.pop() {
            return unit;
        }
        self.fresh += 1;
        self.fresh - 1
    }
}

fn place(graph: &Graph, node: NodeId) -> Place {
    (graph.rank(node), node)
}

fn uses(graph: &Graph, node: NodeId) -> &[(ResourceId, u64)] {
    &graph.task(graph.task_of(node)).uses
}

fn amount_of(graph: &Graph, node: NodeId, resource: ResourceId) -> u64 {
    uses(graph, node).iter().find(|(id, _)| *id == resource).map_or(0, |(_, amount)| *amount)
}
