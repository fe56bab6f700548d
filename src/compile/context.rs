//! What every step of compiling needs: the manifest, what surrounds it, and the faults so far.

use std::cell::{Cell, OnceCell};
use std::ops::Range;
use std::path::PathBuf;

use crate::compile::compose::{self, Whole};
use crate::compile::options::Options;
use crate::compile::written::Written;
use crate::diagnostic::{Diagnostic, Faults, did_you_mean};
use crate::functions::Functions;
use crate::id::TaskId;
use crate::job::Place;
use crate::manifest::{Manifest, Span, Spanned, Task, place_of_part};
use crate::value::Value;

/// So many times a likely meaning of an unknown name is searched for; each search looks at all
/// names, which many thousand wrong names must not all cause.
const MAX_GUESSES: u32 = 20;

pub(super) struct Context<'a> {
    /// The files of the job.
    pub whole: &'a Whole<'a>,
    /// The manifest, with all that is merged of what it includes.
    pub manifest: &'a Manifest,
    pub functions: &'a Functions,
    pub options: &'a Options,
    /// The values of `vars`, once known.
    pub vars: Value,
    /// What `env` stands for in the templates of each file; null for a value that only a run knows.
    pub environments: Vec<Value>,
    /// What `job` stands for in templates, once known.
    pub job: Value,
    /// The tasks that templates of tasks name, by task.
    pub mentions: Vec<Mention>,
    written: OnceCell<Written<'a>>,
    faults: Faults,
    guesses: Cell<u32>,
}

/// A task that a template of another names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mention {
    /// Whose template it is.
    pub by: TaskId,
    /// Which task it names.
    pub of: TaskId,
    /// Where.
    pub place: Span,
}

impl<'a> Context<'a> {
    pub fn new(whole: &'a Whole<'a>, functions: &'a Functions, options: &'a Options) -> Self {
        Self {
            whole,
            manifest: &whole.manifest,
            functions,
            options,
            vars: Value::Null,
            environments: Vec::new(),
            job: Value::Null,
            mentions: Vec::new(),
            written: OnceCell::new(),
            faults: Faults::new(),
            guesses: Cell::new(0),
        }
    }

    /// The tasks by what templates write for their names. Many jobs have no use for it.
    pub fn written(&self) -> &Written<'a> {
        self.written.get_or_init(|| Written::new(self.manifest))
    }

    pub fn fault(&mut self, fault: Diagnostic) {
        self.faults.push(fault);
    }

    pub fn has_faults(&self) -> bool {
        self.faults.has_errors()
    }

    pub fn into_faults(self) -> Faults {
        self.faults
    }

    /// The folder that the relative paths of the file of a place start from.
    pub fn dir(&self, at: Span) -> PathBuf {
        match self.whole.file(at).checked_sub(1) {
            Some(included) => self.whole.included[included].dir.to_path_buf(),
            None => compose::dir(self.manifest, self.options),
        }
    }

    /// The defaults of the tasks of the file of a place.
    pub fn defaults(&self, at: Span) -> Option<&'a Task> {
        let own = self.whole.own(self.whole.file(at));
        own.defaults.as_ref().map(|defaults| &*defaults.0)
    }

    /// What `env` stands for in the templates of the file of a place, as far as it is known.
    pub fn environment(&self, at: Span) -> &Value {
        self.environments.get(self.whole.file(at)).unwrap_or(&Value::Null)
    }

    /// The name of a task, which may be missing while the manifest is faulty.
    pub fn task_name(&self, id: TaskId) -> &'a str {
        name_of(&self.manifest.task[id.index()])
    }

    /// The file and the line of a place.
    pub fn place(&self, span: Span) -> Place {
        let source = span.range().and_then(|it| Some((self.whole.sources.of(it.start)?, it.start)));
        let line = source.map_or(0, |(source, start)| source.line(start) as u32);
        Place { file: self.whole.file(span) as u32, line }
    }

    /// "did you mean `x`?", else the known names if they are few.
    pub fn guess<'n>(
        &self,
        word: &str,
        known: impl IntoIterator<Item = &'n str> + Clone,
    ) -> Option<String> {
        self.guesses.set(self.guesses.get() + 1);
        if self.guesses.get() > MAX_GUESSES {
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

    /// The place of a part of a string, be it deep in the value that `text` has the place of.
    pub fn inside(
        &self,
        text: &Spanned<String>,
        part: Option<&Range<usize>>,
    ) -> Option<Range<usize>> {
        let whole = text.range()?;
        let written = self.whole.sources.written(&whole)?;
        let exact = part.and_then(|part| place_of_part(written, &text.value, part));
        Some(exact.map_or_else(
            || whole.clone(),
            |exact| whole.start + exact.start..whole.start + exact.end,
        ))
    }
}

/// Names are listed in a hint if there are not more.
const MAX_LISTED: usize = 12;

/// The name of a task, which may be missing while the manifest is faulty.
pub(super) fn name_of(task: &Task) -> &str {
    task.name.as_ref().map_or("", |name| name.value.as_str())
}
