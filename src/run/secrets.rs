//! What is secret in a run: the values of the variables that the job names, wherever they come from.

use std::collections::BTreeSet;
use std::env;
use std::os::unix::ffi::OsStringExt;

use crate::job::{Action, CallbackAction, CommandSpec, Job};
use crate::mask::{Masker, SHORTEST};
use crate::template::Scope;

/// The secrets of a run.
#[derive(Clone, Default)]
pub struct Secrets {
    values: BTreeSet<Vec<u8>>,
    masker: Masker,
    /// The variables with a value that is too short to be covered.
    short: BTreeSet<String>,
}

impl Secrets {
    /// The secrets of a run of `job` in the environment of this process.
    pub fn of(job: &Job) -> Self {
        let mut secrets = Self::default();
        for name in &job.secrets {
            for value in values(job, name) {
                secrets.add(name, value);
            }
        }
        secrets.masker = Masker::new(&secrets.values);
        secrets
    }

    /// What covers them.
    pub fn masker(&self) -> &Masker {
        &self.masker
    }

    /// Their lines, each once.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.values.iter().flat_map(|value| value.split(|byte| *byte == b'\n'));
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        lines.filter(|line| line.len() >= SHORTEST).collect::<BTreeSet<_>>().into_iter()
    }

    /// What people have to know: which secrets are not covered.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        self.short.iter().map(|name| {
            format!(
                "the secret {name} has fewer than {SHORTEST} bytes: it is not covered where it is \
                 shown"
            )
        })
    }

    fn add(&mut self, name: &str, value: Vec<u8>) {
        match value.trim_ascii().len() {
            0 => {}
            1..SHORTEST => {
                self.short.insert(name.to_owned());
            }
            _ => {
                self.values.insert(value);
            }
        }
    }
}

/// The values that a variable has in a run: that of this process, and those that the job sets.
fn values(job: &Job, name: &str) -> Vec<Vec<u8>> {
    let inherited = env::var_os(name).map(OsStringExt::into_vec);
    let files = || job.environments.iter().flat_map(|environment| &environment.files);
    let mut below = job.inherited.clone();
    files().for_each(|(name, value)| below.set(name, value.as_str().into()));
    let scope = Scope { vars: Some(&job.vars), env: Some(&below), ..Scope::default() };
    let files = files().filter(|(other, _)| other == name).map(|(_, value)| value.clone());
    let common = job.environments.iter().flat_map(|environment| &environment.env);
    let own = commands(job).flat_map(|command| &command.env);
    let set = common.chain(own).filter(|(other, _)| other == name);
    // What differs from future to future is not known yet.
    let set = set.filter_map(|(_, value)| value.text(&scope).ok());
    inherited.into_iter().chain(files.chain(set).map(String::into_bytes)).collect()
}

/// The commands of tasks and of callbacks.
fn commands(job: &Job) -> impl Iterator<Item = &CommandSpec> {
    let callbacks = job.callbacks.iter().filter_map(|callback| match &callback.action {
        CallbackAction::Do(action) => Some(action),
        CallbackAction::Log(_) | CallbackAction::Post { .. } => None,
    });
    let actions = job.specs.iter().map(|spec| &spec.action).chain(callbacks);
    actions.filter_map(|action| match action {
        Action::Run(command) => Some(command),
        Action::Call { .. } => None,
    })
}
