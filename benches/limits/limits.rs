//! The bare Rust programs that jobrun is measured against: each does one thing that jobrun does too,
//! and nothing else.

mod dag;
mod graph;

use std::error::Error;
use std::hint::black_box;
use std::panic::catch_unwind;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

const USAGE: &str = "usage: limits output PROGRAM | formula N… | loop N… | futures COUNT | \
                     dag deque|rayon|kahn NODES WORKERS";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.split_first() {
        Some((kind, [program])) if kind == "output" => output(program),
        Some((kind, numbers)) if kind == "formula" => sums(numbers, sum_by_formula),
        Some((kind, numbers)) if kind == "loop" => sums(numbers, sum_by_loop),
        Some((kind, [count])) if kind == "futures" => futures(count),
        Some((kind, [how, nodes, workers])) if kind == "dag" => dag(how, nodes, workers),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("limits: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one program to its end and captures what it writes.
fn output(program: &str) -> Result<(), Box<dyn Error>> {
    let output = Command::new(program).output()?;
    if output.status.success() { Ok(()) } else { Err(output.status.to_string().into()) }
}

/// Sums up to each number, in parallel, and prints the results in order.
fn sums(numbers: &[String], sum: fn(u64) -> u128) -> Result<(), Box<dyn Error>> {
    let numbers = numbers.iter().map(|word| word.parse()).collect::<Result<Vec<u64>, _>>()?;
    let results: Vec<u128> = numbers.par_iter().with_max_len(1).map(|&n| sum(n)).collect();
    for (number, result) in numbers.iter().zip(results) {
        println!("{number} -> {result}");
    }
    Ok(())
}

fn sum_by_formula(n: u64) -> u128 {
    let n = u128::from(black_box(n));
    n * (n + 1) / 2
}

fn sum_by_loop(n: u64) -> u128 {
    (1..=n).fold(0, |sum, next| black_box(sum + u128::from(next)))
}

/// Runs so many futures that do nothing, each with its own task in rayon's queue and its own guard
/// against panics, and counts them.
fn futures(count: &str) -> Result<(), Box<dyn Error>> {
    let count: u64 = count.parse()?;
    let done = AtomicU64::new(0);
    rayon::scope(|scope| {
        for index in 0..count {
            let done = &done;
            scope.spawn(move |_| {
                if catch_unwind(|| black_box(index)).is_ok() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    if done.into_inner() == count { Ok(()) } else { Err("a future was lost".into()) }
}

/// Runs a graph of so many nodes and prints how long that took.
fn dag(how: &str, nodes: &str, workers: &str) -> Result<(), Box<dyn Error>> {
    let took = dag::run(how, nodes.parse()?, workers.parse()?)?;
    println!("{{\"run\": {}}}", took.as_secs_f64());
    Ok(())
}
