//! jobrun runs jobs that are written down: a TOML manifest names tasks, executors, limits and wait
//! policies; jobrun compiles it into a graph of futures, runs the graph, and tells observers what
//! happens. It is Python's `concurrent.futures` made declarative.
//!
//! The program is `jobrun MANIFEST`. This library is the same thing for programs that bring their
//! own functions:
//!
//! ```
//! use jobrun::{Functions, Options, Runner, compile, read};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let functions = Functions::builtin();
//! functions_of_this_program(&functions);
//! # fn functions_of_this_program(_: &Functions) {}
//! # Ok(())
//! # }
//! ```

pub mod bind;
pub mod callback;
pub mod cli;
pub mod compile;
pub mod diagnostic;
pub mod event;
pub mod executor;
pub mod exit;
pub mod functions;
pub mod graph;
pub mod guard;
pub mod id;
pub mod job;
pub mod ledger;
pub mod manifest;
pub mod measure;
pub mod outcome;
pub mod plan;
pub mod report;
pub mod run;
pub mod rundir;
pub mod schedule;
pub mod shape;
pub mod supervise;
pub mod template;
pub mod time;
pub mod traceparent;
pub mod value;
pub mod work;

use std::io;

pub use compile::{Options, compile};
pub use exit::Exit;
pub use functions::{Context, Functions};
pub use job::Job;
pub use manifest::Manifest;
pub use report::{Observer, RunView};
pub use run::{Finished, Handle, Runner};
pub use value::Value;

/// Makes this program safe to run jobs in: call it first thing in `main`, before there is any other
/// thread, with the functions that its jobs may call.
///
/// The program is started again for each worker of a `process` executor; in such a process this call
/// serves the runner and does not return. Otherwise the process splits in two: a guard, which has the
/// pid that the user sees, and the process that returns from this call and does the work. When either
/// is killed, the other ends whatever jobs have started.
///
/// Without it everything but `process` executors works, but what a killed program has started may
/// stay behind.
///
/// # Errors
/// If the system refuses to start the thread that watches the guard.
pub fn init(functions: &Functions) -> io::Result<()> {
    if let Some(code) = executor::worker::serve_if_asked(functions) {
        std::process::exit(code.into());
    }
    match guard::split() {
        guard::Split::Runner(runner) => runner.watch(),
        guard::Split::Over(over) => std::process::exit(i32::from(over.code)),
    }
}
