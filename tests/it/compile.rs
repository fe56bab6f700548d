//! From a manifest to a job: what is found to be wrong, and what the job then says.

use std::sync::Arc;

use jobrun::compile::{Arity, FunctionIndex, Options, load};
use jobrun::diagnostic::{Faults, Source};
use jobrun::job::Job;

/// The built-in functions, as far as a manifest is concerned.
pub struct Builtin;

impl FunctionIndex for Builtin {
    fn arity(&self, name: &str) -> Option<Arity> {
        self.names().contains(&name.to_owned()).then_some(Arity { min: 1, max: 1 })
    }

    fn names(&self) -> Vec<String> {
        ["sum_to", "sum", "echo", "sleep", "fail", "hash", "http"].map(str::to_owned).to_vec()
    }
}

/// Compiles a text without further options.
pub fn job(name: &str, text: &str) -> Result<Job, Faults> {
    load(&Arc::new(Source::new(name, text)), &Builtin, &Options::default())
}
