//! Bytes as a manifest: it is read, compiled, looked at and planned, or refused. Nothing panics.

#![no_main]

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jobrun::Functions;
use jobrun::compile::{Environment, Options, examine};
use jobrun::diagnostic::Source;
use jobrun::files::Files;
use jobrun::plan::Plan;
use libfuzzer_sys::fuzz_target;

/// Larger jobs only take longer.
const MAX_NODES: usize = 1000;

/// What a text names on this machine must not matter, and not be read.
#[derive(Debug)]
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(ErrorKind::NotFound.into())
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn exists(&self, _: &Path) -> bool {
        false
    }

    fn glob(&self, _: &Path, _: &str) -> io::Result<Vec<String>> {
        Ok(vec!["b".to_owned(), "a".to_owned()])
    }
}

fuzz_target!(|text: &str| {
    let options = Options {
        dir: Some(PathBuf::from("/")),
        files: Arc::new(NoFiles),
        environment: Environment::of_run([]),
        ..Options::default()
    };
    let source = Arc::new(Source::new("fuzz.toml", text));
    let checked = examine(&source, &Functions::builtin(), &options);
    let _ = checked.faults.render(true);
    let Some(job) = checked.job else { return };
    if job.graph.node_count() > MAX_NODES {
        return;
    }
    let _ = Plan::of(&job.graph);
});
