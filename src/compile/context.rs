//! What every step of compiling needs: the manifest, what surrounds it, and the faults so far.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::compile::options::Options;
use crate::diagnostic::{Diagnostic, Faults, did_you_mean};
use crate::functions::Functions;
use crate::id::TaskId;
use crate::manifest::{Manifest, Span, Spanned, Task};
use crate::template::Template;
use crate::value::Value;

/// So many times a likely meaning of an unknown name is searched for; each search looks at all
/// names, which many thousand wrong names must not all cause.
const MAX_GUESSES: u32 = 20;

pub(super) struct Context<'a> {
    pub manifest: &'a Manifest,
    pub functions: &'a Functions,
    pub options: &'a Options,
    /// The values of `vars`, once known.
    pub vars: Value,
    /// The job's environment, once known.
    pub env: Vec<(String, Template)>,
    faults: Faults,
    guesses: u32,
}

impl<'a> Context<'a> {
    pub fn new(manifest: &'a Manifest, functions: &'a Functions, options: &'a Options) -> Self {
        let (vars, env, faults) = (Value::Null, Vec::new(), Faults::new());
        Self { manifest, functions, options, vars, env, faults, guesses: 0 }
    }

    pub fn fault(&mut self, fault: Diagnostic) {
        self.faults.push(fault);
    }

    pub fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    pub fn into_faults(self) -> Faults {
        self.faults
    }

    /// The folder that relative paths start from.
    pub fn dir(&self) -> PathBuf {
        let source = self.manifest.source.as_deref();
        let folder = source.and_then(|source| Path::new(source.name()).parent());
        let dir = self.options.dir.as_deref().or(folder);
        dir.filter(|dir| *dir != Path::new("")).unwrap_or(Path::new(".")).to_owned()
    }

    /// The defaults of the tasks.
    pub fn defaults(&self) -> Option<&'a Task> {
        self.manifest.defaults.as_ref().map(|defaults| &*defaults.0)
    }

    /// The name of a task, which may be missing while the manifest is faulty.
    pub fn task_name(&self, id: TaskId) -> &'a str {
        name_of(&self.manifest.task[id.index()])
    }

    /// The line of a place, counted from 1; 0 for nowhere.
    pub fn line(&self, span: Span) -> u32 {
        match (&self.manifest.source, span.range()) {
            (Some(source), Some(range)) => source.line(range.start) as u32,
            _ => 0,
        }
    }

    /// "did you mean `x`?", else the known names if they are few.
    pub fn guess<'n>(
        &mut self,
        word: &str,
        known: impl IntoIterator<Item = &'n str> + Clone,
    ) -> Option<String> {
        self.guesses += 1;
        if self.guesses > MAX_GUESSES {
            return None;
        }
        let meant = did_you_mean(word, known.clone());
        meant.or_else(|| {
            let names: Vec<_> = known.into_iter().take(MAX_LISTED + 1).collect();
            (1..=MAX_LISTED)
                .contains(&names.len())
                .then(|| format!("the known names are: {}", names.join(", ")))
        })
    }

    /// The place of a part of a string: as near as can be said where the text has escapes.
    pub fn inside(
        &self,
        text: &Spanned<String>,
        part: Option<&Range<usize>>,
    ) -> Option<Range<usize>> {
        let whole = text.range()?;
        let written = self.manifest.source.as_ref()?.text().get(whole.clone())?;
        let (part, start) = (part?, written.find(text.value.as_str()));
        let exact = start.map(|at| whole.start + at + part.start..whole.start + at + part.end);
        exact.or(Some(whole))
    }
}

/// Names are listed in a hint if there are not more.
const MAX_LISTED: usize = 12;

/// The name of a task, which may be missing while the manifest is faulty.
pub(super) fn name_of(task: &Task) -> &str {
    task.name.as_ref().map_or("", |name| name.value.as_str())
}
