//! The command line program.

use std::process::ExitCode;

use jobrun::executor::worker;
use jobrun::functions::Functions;

fn main() -> ExitCode {
    if let Some(code) = worker::serve_if_asked(&Functions::builtin()) {
        return code.into();
    }
    ExitCode::SUCCESS
}
