//! A large graph through the library: how long it takes to build the manifest, to compile it, and to
//! run it on threads. The graph is that of the bare loops in `limits`.
//!
//! ```sh
//! cargo bench --bench dag -- NODES WORKERS
//! ```

#[path = "limits/graph.rs"]
mod graph;

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use jobrun::manifest::{Executor, Manifest, Task};
use jobrun::{Functions, Options, Runner, compile};

fn main() -> Result<(), Box<dyn Error>> {
    // cargo adds words of its own.
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse().ok());
    let nodes = numbers.next().unwrap_or(10_000);
    let workers = numbers.next().unwrap_or(2);

    let after = graph::generate(nodes);
    let mut functions = Functions::empty();
    functions.register("nothing", || Ok::<_, String>(()));

    let before = Instant::now();
    let manifest = manifest(&after, workers);
    let build = before.elapsed();

    let before = Instant::now();
    let job = compile(&manifest, &functions, &Options::default())
        .map_err(|faults| faults.iter().map(|fault| fault.message.clone()).collect::<String>())?;
    let compile = before.elapsed();
    drop(manifest);

    let job = Arc::new(job);
    let runner = Runner::new(&job).functions(functions);
    let before = Instant::now();
    let finished = runner.run()?;
    let run = before.elapsed();

    if finished.exit.code() != 0 || finished.ledger.completion.len() != after.len() {
        return Err(format!("the job {}", finished.exit.word()).into());
    }
    let [build, compile, run] = [build, compile, run].map(|took| took.as_secs_f64());
    say(&format!("{{\"build\": {build}, \"compile\": {compile}, \"run\": {run}}}"));
    Ok(())
}

/// A task a node.
fn manifest(after: &[Vec<u32>], workers: u32) -> Manifest {
    let name = |node: usize| format!("t{node}");
    let manifest = Manifest::new("dag").executor(Executor::thread().max_workers(workers));
    after.iter().enumerate().fold(manifest, |manifest, (node, after)| {
        let task = Task::call(name(node), "nothing");
        manifest.task(task.after(after.iter().map(|&it| name(it as usize))))
    })
}

#[expect(clippy::print_stdout, reason = "it shows what it found")]
fn say(line: &str) {
    println!("{line}");
}
