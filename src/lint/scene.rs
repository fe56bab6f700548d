//! What every rule sees, and where it puts what it finds. Knows no rule.

use std::collections::HashMap;
use std::ops::Range;

use crate::diagnostic::{Diagnostic, Faults, Sources};
use crate::graph::{self, Graph};
use crate::id::TaskId;
use crate::job::{Callback, Job, Spec};
use crate::lint::machine::Machine;
use crate::manifest::{self, Manifest, Span, Spanned, Task};

/// A manifest, its job, and the machine it is looked at on.
pub(super) struct Scene<'a> {
    pub manifest: &'a Manifest,
    pub sources: &'a Sources,
    pub job: &'a Job,
    pub machine: &'a dyn Machine,
    /// The tasks of the job as written.
    written: Vec<&'a Spanned<Task>>,
}

/// One task of the job.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    /// As it was written.
    pub written: &'a Spanned<Task>,
    /// As the schedule sees it.
    pub node: &'a graph::Task,
    /// What it does.
    pub spec: &'a Spec,
}

impl<'a> Scene<'a> {
    pub fn new(
        manifest: &'a Manifest,
        job: &'a Job,
        sources: &'a Sources,
        machine: &'a dyn Machine,
    ) -> Self {
        // A job may have been made of some of the tasks; the order stays.
        let mut rest = manifest.task.iter();
        let written = job.graph.tasks().map_while(|(_, task)| {
            rest.find(|written| written.name.as_ref().is_some_and(|name| name.value == task.name))
        });
        Self { manifest, job, sources, machine, written: written.collect() }
    }

    pub fn graph(&self) -> &'a Graph {
        &self.job.graph
    }

    /// All tasks, in the order of the manifest.
    pub fn tasks(&self) -> impl Iterator<Item = Subject<'a>> {
        let tasks = self.job.graph.tasks().zip(&self.job.specs).zip(&self.written);
        tasks.map(|(((_, node), spec), written)| Subject { written, node, spec })
    }

    /// All callbacks of the job, each as it was written; those of which that is not certain are left
    /// out.
    pub fn callbacks(
        &self,
    ) -> impl Iterator<Item = (&'a Callback, &'a Spanned<manifest::Callback>)> {
        let of_tasks = self.manifest.task.iter().flat_map(|task| &task.callback);
        let mut by_line: HashMap<_, Vec<_>> = HashMap::new();
        for written in self.manifest.callback.iter().chain(of_tasks) {
            by_line.entry(self.place(written.span)).or_default().push(written);
        }
        self.job.callbacks.iter().filter_map(move |callback| {
            match by_line
                .get(&(self.job.origin.file(callback.place), callback.place.line))?
                .as_slice()
            {
                [written] => Some((callback, *written)),
                _ => None,
            }
        })
    }

    /// The file and line of a place; no file and line 0 for nowhere.
    fn place(&self, span: Span) -> (Option<&'a str>, u32) {
        let place = span.range().and_then(|range| self.sources.place(&range));
        (place.map(|it| it.file), place.map_or(0, |it| it.line as u32))
    }

    /// Whether something was written in the manifest itself, and not in a file that it includes and
    /// others may include as well.
    pub fn is_own(&self, range: Option<&Range<usize>>) -> bool {
        range.and_then(|range| self.sources.of(range.start)).is_some_and(|it| it.base() == 0)
    }

    /// The names of tasks, in quotes; many are abridged.
    pub fn names(&self, ids: &[TaskId]) -> String {
        const SHOWN: usize = 8;
        let mut names: Vec<_> = ids.iter().take(SHOWN).map(|id| self.quoted(*id)).collect();
        if ids.len() > SHOWN {
            names.push(format!("{} more", ids.len() - SHOWN));
        }
        names.join(", ")
    }

    /// The name of a task, in quotes.
    pub fn quoted(&self, id: TaskId) -> String {
        format!("`{}`", self.graph().task(id).name)
    }
}

impl Subject<'_> {
    /// Where its name is.
    pub fn name_range(&self) -> Option<Range<usize>> {
        self.written.name.as_deref().and_then(Spanned::range)
    }

    /// Its name, in quotes.
    pub fn title(&self) -> String {
        format!("`{}`", self.node.name)
    }
}

/// Whether a task comes after nothing.
pub(super) fn is_first(task: &graph::Task) -> bool {
    task.before().next().is_none()
}

/// Where a rule puts what it finds.
pub(super) struct Found<'a> {
    code: &'static str,
    faults: &'a mut Faults,
}

impl<'a> Found<'a> {
    pub fn new(code: &'static str, faults: &'a mut Faults) -> Self {
        Self { code, faults }
    }

    /// Adds a warning, once `complete` has said where it is and what to do.
    pub fn add(
        &mut self,
        message: impl Into<String>,
        complete: impl FnOnce(Diagnostic) -> Diagnostic,
    ) {
        self.faults.push(complete(Diagnostic::warning(self.code, message)));
    }
}
