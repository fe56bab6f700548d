//! What a job is compiled with beside its manifest.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::files::{Disk, Files};
use crate::graph::ReturnWhen;
use crate::value::Value;

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
    /// The environment that children will inherit. Default: that of this process.
    pub environment: Environment,
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
            environment: Environment::of_run(std::env::vars_os()),
        }
    }
}

/// An environment, as far as it is known.
#[derive(Clone, Debug)]
pub struct Environment {
    variables: Arc<BTreeMap<OsString, OsString>>,
    of_run: bool,
}

impl Environment {
    /// That of the run, for example [`std::env::vars_os`]: what is not in it is not set.
    pub fn of_run(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self { variables: Arc::new(variables.into_iter().collect()), of_run: true }
    }

    /// One that the run may not have, as when a manifest is only checked: what is not in it may be set
    /// then.
    pub fn of_now(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self { of_run: false, ..Self::of_run(variables) }
    }

    /// Whether what is not in it is not set.
    pub(super) fn is_of_run(&self) -> bool {
        self.of_run
    }

    /// Whether a variable is in it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.variables.contains_key(OsStr::new(name))
    }

    /// The variables as a map of text. Those that are not UTF-8 are no values that a template could
    /// have.
    pub(super) fn to_value(&self) -> Value {
        let text = |(name, value): (&OsString, &OsString)| {
            Some((name.to_str()?.to_owned(), Value::from(value.to_str()?)))
        };
        Value::Map(self.variables.iter().filter_map(text).collect())
    }
}
