//! A program that runs a manifest and prints its results: the smallest use of the library.
//!
//! ```sh
//! cargo run --example run_manifest -- jobs/sums.toml
//! ```

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use jobrun::compile::load;
use jobrun::diagnostic::Source;
use jobrun::report::json;
use jobrun::{Functions, Options, Runner};

fn main() -> io::Result<ExitCode> {
    let functions = Functions::builtin();
    // First thing in `main`: in a worker process this does not return.
    jobrun::init(&functions)?;

    let path = std::env::args().nth(1).unwrap_or_else(|| "jobs/sums.toml".to_owned());
    let source = Arc::new(Source::new(&path, std::fs::read_to_string(&path)?));
    let job = match load(&source, &functions, &Options::default()) {
        Ok(job) => Arc::new(job),
        Err(faults) => return Err(io::Error::other(faults.render(false))),
    };
    let finished = Runner::new(&job).functions(functions).run()?;
    json::write_results(&mut io::stdout(), &finished.view())?;
    Ok(finished.exit.code().into())
}
