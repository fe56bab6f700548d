//! What a job is compiled with beside its manifest.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::files::{Disk, Files};
use crate::graph::ReturnWhen;

/// What is asked for beside the manifest, as on a command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// For the executor of a name, `default` being the one of `[executor]`, at most so many
    /// workers.
    pub max_workers: Vec<(String, u32)>,
    /// What the job waits for.
    pub return_when: Option<ReturnWhen>,
    /// Return when the first future fails; `return_when` goes first.
    pub fail_fast: bool,
    /// When the job's wait gives up; `Some(None)` for never.
    pub timeout: Option<Option<Duration>>,
    /// Values for `vars`, as text; each is read as the type that the manifest gives it.
    pub vars: Vec<(String, String)>,
    /// Names or globs of the tasks to run; all if this and `tags` are empty.
    pub tasks: Vec<String>,
    /// Tags of the tasks to run.
    pub tags: Vec<String>,
    /// Globs of tasks not to run.
    pub skip: Vec<String>,
    /// The folder that relative paths start from. Default: the folder of the manifest.
    pub dir: Option<PathBuf>,
    /// How the files are read that the manifest names. Default: those of this machine.
    pub files: Arc<dyn Files>,
    /// The environment that children inherit. Default: that of this process.
    pub environment: Arc<BTreeMap<OsString, OsString>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_workers: Vec::new(),
            return_when: None,
            fail_fast: false,
            timeout: None,
            vars: Vec::new(),
            tasks: Vec::new(),
            tags: Vec::new(),
            skip: Vec::new(),
            dir: None,
            files: Arc::new(Disk),
            environment: Arc::new(std::env::vars_os().collect()),
        }
    }
}
