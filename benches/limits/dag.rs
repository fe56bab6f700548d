//! Bare loops over the generated graph: every node once, after all that it is after, and nothing
//! done for it.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_deque::{Stealer, Worker};
use crossbeam_utils::Backoff;
use rayon::{Scope, ThreadPool, ThreadPoolBuilder};

use crate::graph::generate;

/// Runs the graph in one of the ways and says how long that took, without making the graph.
pub fn run(how: &str, nodes: u32, workers: usize) -> Result<Duration, String> {
    let graph = Graph::new(nodes);
    let pool = ThreadPoolBuilder::new().num_threads(workers).build();
    let pool = pool.map_err(|error| error.to_string())?;
    let start = Instant::now();
    let done = match how {
        "kahn" => kahn(&graph),
        "rayon" => on_rayon(&graph, &pool),
        "deque" => on_deques(&graph, workers),
        _ => return Err(format!("no loop is called {how}")),
    };
    let took = start.elapsed();
    if done == nodes as usize { Ok(took) } else { Err(format!("{done} of {nodes} nodes ran")) }
}

/// The successors of all nodes in one vector, and how many nodes each is after.
struct Graph {
    successors: Vec<u32>,
    starts: Vec<usize>,
    after: Vec<u32>,
}

impl Graph {
    fn new(nodes: u32) -> Self {
        let after = generate(nodes);
        let mut starts = vec![0; after.len() + 1];
        for &earlier in after.iter().flatten() {
            starts[earlier as usize + 1] += 1;
        }
        for node in 0..after.len() {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut successors = vec![0; next[after.len()]];
        for (node, earlier) in after.iter().enumerate() {
            for &it in earlier {
                successors[next[it as usize]] = node as u32;
                next[it as usize] += 1;
            }
        }
        let after = after.iter().map(|it| it.len() as u32).collect();
        Self { successors, starts, after }
    }

    fn successors(&self, node: u32) -> &[u32] {
        &self.successors[self.starts[node as usize]..self.starts[node as usize + 1]]
    }

    fn roots(&self) -> impl Iterator<Item = u32> {
        (0..self.after.len() as u32).filter(|&node| self.after[node as usize] == 0)
    }
}

/// Kahn's algorithm on one thread.
fn kahn(graph: &Graph) -> usize {
    let mut missing = graph.after.clone();
    let mut ready: Vec<u32> = graph.roots().collect();
    let mut done = 0;
    while let Some(node) = ready.pop() {
        done += usize::from(black_box(node) == node);
        for &it in graph.successors(node) {
            missing[it as usize] -= 1;
            if missing[it as usize] == 0 {
                ready.push(it);
            }
        }
    }
    done
}

/// What the threads share.
struct Shared<'g> {
    graph: &'g Graph,
    missing: Vec<AtomicU32>,
    done: AtomicUsize,
}

impl<'g> Shared<'g> {
    fn new(graph: &'g Graph) -> Self {
        let missing = graph.after.iter().map(|&count| AtomicU32::new(count)).collect();
        Self { graph, missing, done: AtomicUsize::new(0) }
    }

    /// The successors that were waiting for this node alone.
    fn finish(&self, node: u32) -> impl Iterator<Item = u32> {
        let last = |it: &&u32| self.missing[**it as usize].fetch_sub(1, Ordering::AcqRel) == 1;
        self.graph.successors(black_box(node)).iter().filter(last).copied()
    }
}

/// A task in rayon's queue for each node.
fn on_rayon(graph: &Graph, pool: &ThreadPool) -> usize {
    fn work<'s>(shared: &'s Shared<'s>, scope: &Scope<'s>, node: u32) {
        shared.done.fetch_add(1, Ordering::Relaxed);
        for it in shared.finish(node) {
            scope.spawn(move |scope| work(shared, scope, it));
        }
    }
    let shared = Shared::new(graph);
    let all = &shared;
    pool.scope(|scope| {
        for node in graph.roots() {
            scope.spawn(move |scope| work(all, scope, node));
        }
    });
    shared.done.into_inner()
}

/// A queue a thread, from which the others steal; the first successor that is ready is run at once.
fn on_deques(graph: &Graph, workers: usize) -> usize {
    let shared = Shared::new(graph);
    let queues: Vec<Worker<u32>> = (0..workers).map(|_| Worker::new_lifo()).collect();
    let stealers: Vec<Stealer<u32>> = queues.iter().map(Worker::stealer).collect();
    for (index, node) in graph.roots().enumerate() {
        queues[index % workers].push(node);
    }
    std::thread::scope(|scope| {
        for queue in queues {
            let (shared, stealers) = (&shared, &stealers);
            scope.spawn(move || take_part(shared, &queue, stealers));
        }
    });
    shared.done.into_inner()
}

fn take_part(shared: &Shared<'_>, queue: &Worker<u32>, stealers: &[Stealer<u32>]) {
    let (mut here, pause) = (0, Backoff::new());
    loop {
        let mut next = queue.pop();
        if next.is_none() {
            shared.done.fetch_add(std::mem::take(&mut here), Ordering::AcqRel);
            next = stealers.iter().find_map(|it| it.steal_batch_and_pop(queue).success());
        }
        if next.is_none() {
            if shared.done.load(Ordering::Acquire) == shared.missing.len() {
                return;
            }
            pause.snooze();
        }
        while let Some(node) = next {
            pause.reset();
            here += 1;
            let mut ready = shared.finish(node);
            next = ready.next();
            ready.for_each(|it| queue.push(it));
        }
    }
}
