//! jobrun with more functions: the same command line, and manifests may call what is registered here.
//! The worker processes of its jobs are this program again.
//!
//! ```sh
//! cargo run --example own_functions -- MANIFEST
//! ```

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it shows what becomes of output")]

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use jobrun::cli;
use jobrun::executor::worker;
use jobrun::functions::{Context, Functions};

fn main() -> ExitCode {
    let functions = functions();
    // First of all, for a worker process must not do what the program does otherwise.
    if let Some(code) = worker::serve_if_asked(&functions) {
        return code.into();
    }
    cli::main(&functions)
}

/// The built-in functions and these.
fn functions() -> Functions {
    let mut functions = Functions::builtin();
    functions
        .register("pid", || Ok::<_, String>(std::process::id()))
        .register("worker", |context: &Context| Ok::<_, String>(context.worker()))
        .register("exit", |code: i32| -> Result<(), String> { std::process::exit(code) })
        .register("panic", |message: String| -> Result<(), String> { panic!("{message}") })
        .register_named("say", &["text"], |text: String| {
            println!("{text} out");
            eprintln!("{text} err");
            Ok::<_, String>(text)
        })
        .register("freeze", freeze)
        .register("note", |path: String, text: String, millis: f64| note(&path, &text, millis))
        .register("read", |path: String| std::fs::read_to_string(path))
        .register("deep", |depth: u32| Ok::<_, String>(nested(depth)));
    functions
}

/// Stops the whole process, its other threads included.
fn freeze() -> std::io::Result<()> {
    let pid = std::process::id().to_string();
    std::process::Command::new("kill").args(["-STOP", &pid]).status()?;
    Ok(())
}

/// Adds a line to a file, and is busy for a while.
fn note(path: &str, text: &str, millis: f64) -> std::io::Result<()> {
    let start = Instant::now();
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    while start.elapsed().as_secs_f64() * 1e3 < millis {}
    Ok(())
}

/// A list in a list in a list …
fn nested(depth: u32) -> jobrun::value::Value {
    (0..depth).fold(jobrun::value::Value::Null, |inner, _| vec![inner].into())
}
