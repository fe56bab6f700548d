//! From a manifest to a job: what is found to be wrong, and what the job then says.

use std::sync::Arc;

use jobrun::Functions;
use jobrun::compile::{Options, load};
use jobrun::diagnostic::{Faults, Source};
use jobrun::job::Job;

/// Compiles a text without further options.
pub fn job(name: &str, text: &str) -> Result<Job, Faults> {
    load(&Arc::new(Source::new(name, text)), &Functions::builtin(), &Options::default())
}
