//! A program with a function of its own: the job is built in code, and the function runs in worker
//! processes.
//!
//! ```sh
//! cargo run --example build_job
//! ```

use std::error::Error;
use std::sync::Arc;

use jobrun::manifest::{Executor, Manifest, Task};
use jobrun::{Functions, Options, Runner, compile};

fn main() -> Result<(), Box<dyn Error>> {
    let mut functions = Functions::builtin();
    functions.register("collatz", collatz);

    // First thing in `main`: in a worker process this does not return.
    jobrun::init(&functions)?;

    let manifest = Manifest::new("collatz")
        .executor(Executor::process().max_workers(2))
        .task(Task::call("steps", "collatz").map([27, 97, 871, 6171]));
    let job = compile(&manifest, &functions, &Options::default())
        .map_err(|faults| faults.iter().map(|fault| fault.message.clone()).collect::<String>())?;

    let finished = Runner::new(&Arc::new(job)).functions(functions).run()?;
    let steps = finished.result("steps").unwrap_or_default();
    say(&format!("{} with exit code {}: {steps}", finished.exit.word(), finished.exit.code()));
    Ok(())
}

/// How many steps it takes from `n` to 1 when even numbers are halved, and odd ones tripled and
/// increased by one.
fn collatz(n: i64) -> Result<i64, String> {
    if n < 1 {
        return Err(format!("{n} is not a positive number"));
    }
    let next = |n: &i64| match *n {
        1 => None,
        n if n % 2 == 0 => Some(n / 2),
        n => Some(3 * n + 1),
    };
    Ok(std::iter::successors(Some(n), next).skip(1).map(|_| 1).sum())
}

#[expect(clippy::print_stdout, reason = "an example shows what it found")]
fn say(line: &str) {
    println!("{line}");
}
