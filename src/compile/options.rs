//! What a job is compiled with beside its manifest.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::graph::ReturnWhen;
use crate::value::Value;

/// What is asked for beside the manifest, as on a command line.
#[derive(Clone, Debug, Default)]
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
    /// The environment that children will inherit, for `env` in templates.
    pub environment: Environment,
}

/// An environment, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: Vec<(String, String)>,
    of_run: bool,
}

impl Environment {
    /// That of the run, for example [`std::env::vars_os`]: what is not in it is not set. Variables
    /// that are not UTF-8 are no values that a template could have.
    pub fn of_run(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { variables: variables.into_iter().filter_map(text).collect(), of_run: true }
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

    /// The variables as a map of text.
    pub(super) fn to_value(&self) -> Value {
        let entries = self.variables.iter();
        Value::Map(entries.map(|(name, value)| (name.clone(), value.as_str().into())).collect())
    }
}
