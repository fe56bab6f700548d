//! The command line program: a worker process, if it was started as one, else `cli`.

use std::process::ExitCode;

use jobrun::functions::Functions;
use jobrun::{cli, executor};

fn main() -> ExitCode {
    let functions = Functions::builtin();
    if let Some(code) = executor::worker::serve_if_asked(&functions) {
        return code.into();
    }
    cli::main(&functions)
}
