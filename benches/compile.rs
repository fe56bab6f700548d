//! What it costs to read a manifest and to compile it.

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jobrun::compile::load;
use jobrun::diagnostic::Source;
use jobrun::manifest::parse;
use jobrun::{Functions, Options, compile};

/// Children with dependencies, as in a build: each task is after the two before it.
fn children(tasks: usize) -> String {
    let mut text = String::from("[executor]\nkind = \"thread\"\nmax_workers = 2\n");
    for task in 0..tasks {
        let _ = write!(text, "\n[[task]]\nname = \"t{task}\"\nrun = [\"true\", \"{task}\"]\n");
        if task > 1 {
            let _ = writeln!(text, "after = [\"t{}\", \"t{}\"]", task - 1, task - 2);
        }
    }
    text
}

/// One task with so many futures.
fn mapped(futures: usize) -> String {
    format!("[[task]]\nname = \"t\"\ncall = \"echo\"\nmap = {{ range = [0, {futures}] }}\n")
}

fn manifests(criterion: &mut Criterion) {
    let (functions, options) = (Functions::builtin(), Options::default());
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for tasks in [10, 1_000, 100_000] {
        let source = Arc::new(Source::new("tasks.toml", children(tasks)));
        group.throughput(Throughput::Elements(tasks as u64));
        group.bench_function(BenchmarkId::new("tasks/parse", tasks), |bench| {
            bench.iter(|| parse(black_box(&source)));
        });
        if let (Some(manifest), _) = parse(&source) {
            group.bench_function(BenchmarkId::new("tasks/compile", tasks), |bench| {
                bench.iter(|| compile(black_box(&manifest), &functions, &options).is_ok());
            });
        }
        group.bench_function(BenchmarkId::new("tasks/load", tasks), |bench| {
            bench.iter(|| load(black_box(&source), &functions, &options).is_ok());
        });
    }
    let futures = 1_000_000;
    let source = Arc::new(Source::new("map.toml", mapped(futures)));
    group.throughput(Throughput::Elements(futures as u64));
    group.bench_function(BenchmarkId::new("map/load", futures), |bench| {
        bench.iter(|| load(black_box(&source), &functions, &options).is_ok());
    });
    group.finish();
}

criterion_group!(benches, manifests);
criterion_main!(benches);
