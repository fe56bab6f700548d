//! What it costs to decide who starts next: the schedule alone, told at once that each attempt
//! succeeded, and the whole driver under a virtual clock.

#[path = "limits/graph.rs"]
mod graph;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jobrun::executor::mock::Mock;
use jobrun::graph::Graph;
use jobrun::manifest::{Executor, Manifest, Task};
use jobrun::outcome::Outcome;
use jobrun::schedule::{Action, End, Options, Schedule};
use jobrun::time::Time;
use jobrun::{Functions, Job, Runner, Value, compile};

const NODES: u32 = 100_000;

/// Nodes that are all ready at once.
fn flat() -> Manifest {
    manifest().task(Task::call("t", "echo").map_range(0, i64::from(NODES), 1))
}

/// Each node is after the one before it.
fn chain() -> Manifest {
    let first = manifest().task(Task::call("t0", "echo").args([0]));
    (1..NODES).fold(first, |manifest, node| {
        let task = Task::call(format!("t{node}"), "echo").args([0]);
        manifest.task(task.after([format!("t{}", node - 1)]))
    })
}

/// Each node is after none to four others, and takes a time of its own.
fn dag() -> Manifest {
    graph::generate(NODES).iter().enumerate().fold(manifest(), |manifest, (node, after)| {
        let task = Task::call(format!("t{node}"), "echo").args([0]);
        let task = task.estimate(Duration::from_millis(node as u64 * 7919 % 1000 + 1));
        manifest.task(task.after(after.iter().map(|it| format!("t{it}"))))
    })
}

fn manifest() -> Manifest {
    Manifest::new("bench").executor(Executor::thread().max_workers(8))
}

/// Ends whatever starts, in the order of starts, and counts.
fn work_off(graph: &Graph) -> usize {
    let mut schedule = Schedule::new(graph, Options::default());
    let mut ended = 0;
    schedule.start(Time::ZERO);
    let mut running = std::collections::VecDeque::new();
    loop {
        while let Some(action) = schedule.next_action() {
            if let Action::Start { node, .. } = action {
                running.push_back(node);
            }
        }
        let Some(node) = running.pop_front() else { return ended };
        ended += 1;
        schedule.ended(Time::ZERO, node, End::Succeeded);
    }
}

/// The same by the driver: arguments bound, a ledger written.
fn drive(job: &Arc<Job>) -> i32 {
    let outcome = || Outcome::Succeeded(Value::Null);
    let mock = Mock::new(|_| (Duration::from_millis(1), outcome())).with_widths([8]);
    i32::from(Runner::new(job).run_on(mock).exit.code())
}

fn schedules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("schedule");
    group.sample_size(10);
    group.throughput(Throughput::Elements(u64::from(NODES)));
    for (name, manifest) in [("flat", flat()), ("chain", chain()), ("dag", dag())] {
        let job = compile(&manifest, &Functions::builtin(), &jobrun::Options::default());
        let job = Arc::new(job.unwrap_or_else(|faults| panic!("{faults:?}")));
        group.bench_function(BenchmarkId::new("decide", name), |bench| {
            bench.iter(|| work_off(black_box(&job.graph)));
        });
        group.bench_function(BenchmarkId::new("drive", name), |bench| {
            bench.iter(|| drive(black_box(&job)));
        });
    }
    group.finish();
}

criterion_group!(benches, schedules);
criterion_main!(benches);
