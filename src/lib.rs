//! jobrun runs jobs that are written down: a TOML manifest names tasks, executors, limits and wait
//! policies; jobrun compiles it into a graph of futures, runs the graph, and tells observers what
//! happens. It is Python's `concurrent.futures` made declarative.
//!
//! The program is `jobrun MANIFEST`. The library is the same thing for programs that bring functions of
//! their own:
//!
//! ```
//! use std::sync::Arc;
//!
//! use jobrun::compile::load;
//! use jobrun::diagnostic::Source;
//! use jobrun::{Functions, Options, Runner};
//!
//! let mut functions = Functions::builtin();
//! functions.register("area", |width: u32, height: u32| Ok::<_, String>(width * height));
//!
//! let source = Arc::new(Source::new("areas.toml", r#"
//!     [[task]]
//!     name = "area"
//!     call = "area"
//!     args = ["{{ item }}", 10]
//!     map  = [1, 2, 3]
//! "#));
//! let job = load(&source, &functions, &Options::default()).expect("the manifest is valid");
//!
//! let finished = Runner::new(&Arc::new(job)).functions(functions).run()?;
//! assert_eq!(finished.exit.code(), 0);
//! assert_eq!(finished.result("area"), Some(vec![10, 20, 30].into()));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A program whose jobs run children, or worker processes, calls [`init`] first in its `main`.
//!
//! | to … | see |
//! |---|---|
//! | read and compile a manifest | [`compile::load`] |
//! | build a job without a manifest | [`Manifest::new`], [`compile()`] |
//! | register functions | [`Functions::register`] |
//! | run a job, watch it, stop it | [`Runner`], [`Observer`], [`Handle`] |
//! | read what came of it | [`Finished`], [`ledger::Ledger`], [`report::Format::write`] |
//! | run it under a virtual clock | [`Runner::run_on`], [`executor::mock::Mock`] |

pub mod bind;
pub mod callback;
pub mod cli;
pub mod compile;
pub mod diagnostic;
pub mod event;
pub mod executor;
pub mod exit;
pub mod files;
pub mod functions;
pub mod graph;
pub mod guard;
pub mod hosts;
pub mod id;
pub mod inbox;
pub mod job;
pub mod ledger;
pub mod lint;
pub mod lock;
pub mod manifest;
pub mod mask;
pub mod measure;
pub mod outcome;
pub mod plan;
pub mod report;
pub mod run;
pub mod rundir;
pub mod schedule;
pub mod shape;
pub mod source;
pub mod supervise;
mod sync;
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
        guard::Split::Runner(runner) => runner.watch(|told| match told {
            guard::Told::Signal(_) => {}
            guard::Told::Pause => time::stand_still(),
            guard::Told::GoOn => time::go_on(),
        }),
        guard::Split::Over(over) => std::process::exit(i32::from(over.code)),
    }
}
