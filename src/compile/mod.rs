//! `Manifest` → `Job`, or every fault at once. Does no I/O.
//!
//! What a single key says was checked when it was read; here is what keys say together. Each step
//! goes on as well as it can after a fault, and says nothing about what only follows from one.

mod actions;
mod bounds;
mod callbacks;
mod compose;
mod context;
mod env_file;
mod environment;
mod flow;
mod items;
mod limits;
mod names;
mod options;
mod select;
mod sources;
mod tasks;
mod templates;
mod vars;
mod written;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::compile::context::Context;
use crate::diagnostic::{Diagnostic, Faults, Severity, Source, Sources};
use crate::functions::Functions;
use crate::graph::{self, Graph, GraphError, MAX_FUTURES};
use crate::id::TaskId;
use crate::job::{Included, Job, Origin};
use crate::manifest::{self, Manifest, Spanned};

pub use crate::compile::options::{Environment, Options};

/// Reads and compiles a manifest.
///
/// # Errors
/// Everything that is wrong with it, sorted by place.
pub fn load(source: &Arc<Source>, functions: &Functions, options: &Options) -> Result<Job, Faults> {
    let Checked { job, faults, .. } = examine(source, functions, options);
    finish(job, faults)
}

/// What came of a manifest, with all that a closer look needs.
#[derive(Debug)]
pub struct Checked {
    /// What could be read of it, with all that it includes.
    pub manifest: Option<Manifest>,
    /// The job, if there are no errors.
    pub job: Option<Job>,
    /// Errors and warnings, sorted by place.
    pub faults: Faults,
}

/// Reads and compiles a manifest, and gives all that was found on the way.
pub fn examine(source: &Arc<Source>, functions: &Functions, options: &Options) -> Checked {
    let (manifest, found) = manifest::parse(source);
    let Some(manifest) = manifest else {
        return Checked { manifest: None, job: None, faults: found };
    };
    let (manifest, job, mut faults) = check(Cow::Owned(manifest), functions, options);
    faults.append(found);
    let job = job.filter(|_| !faults.has_errors());
    Checked { manifest: Some(manifest.into_owned()), job, faults: faults.sorted() }
}

/// Compiles a manifest, and what it includes.
///
/// # Errors
/// Everything that is wrong with what its keys say together, sorted by place.
pub fn compile(
    manifest: &Manifest,
    functions: &Functions,
    options: &Options,
) -> Result<Job, Faults> {
    let (_, job, faults) = check(Cow::Borrowed(manifest), functions, options);
    finish(job, faults)
}

fn finish(job: Option<Job>, faults: Faults) -> Result<Job, Faults> {
    match job {
        Some(job) if !faults.has_errors() => Ok(job),
        _ => {
            let mut errors = faults;
            errors.retain_mut(|fault| fault.severity == Severity::Error);
            Err(errors.sorted())
        }
    }
}

/// The manifest with all that it includes, the job, if there is one, and everything that is wrong.
fn check<'a>(
    manifest: Cow<'a, Manifest>,
    functions: &Functions,
    options: &Options,
) -> (Cow<'a, Manifest>, Option<Job>, Faults) {
    let (whole, found) = compose::whole(manifest, options);
    let mut faults = Faults::of(whole.sources.clone());
    faults.append(found);
    let mut context = Context::new(&whole, functions, options);
    let job = assemble(&mut context);
    faults.append(context.into_faults());
    (whole.manifest, job, faults)
}

fn assemble(context: &mut Context<'_>) -> Option<Job> {
    let manifest = context.manifest;
    context.vars = vars::values(context);
    let origin = origin(context);
    let description = manifest.description.as_ref().map(|text| text.value.as_str());
    context.job = origin.describe(&job_name(manifest), description);
    let environments = environment::compile(context);
    let secrets = secrets(context);
    let limits = limits::compile(context);
    let names = names::Names::new(context);
    let mut tasks = tasks::compile(context, &names, &limits);
    let mut callbacks = callbacks::compile(context, &names);
    let kept = select::kept(context, &names, &tasks);
    refuse_lost_reports(context);

    let faulty = context.has_faults();
    if faulty {
        limits::refuse_unreachable_job(context, tasks::most_futures(context, &tasks));
        // A faulty job gets no graph, but its cycles are faults too.
        for task in &mut tasks {
            task.node.size = graph::Size::One;
        }
    } else {
        select::retain(&kept, &mut tasks, &mut callbacks);
    }
    let (nodes, specs): (Vec<_>, Vec<_>) =
        tasks.into_iter().map(|task| (task.node, task.spec)).unzip();
    let wait = limits::job_wait(context);
    let graph = match Graph::new(nodes, limits.executors, limits.resources, wait) {
        Ok(graph) => graph,
        Err(error) => {
            report(context, error);
            return None;
        }
    };
    if faulty {
        return None;
    }
    let looked_at = graph.tasks().filter(|(id, _)| graph.is_inside(*id));
    let total = looked_at.map(|(_, task)| tasks::known_futures(&task.size)).sum();
    limits::refuse_unreachable_job(context, total);
    Some(Job {
        name: job_name(manifest),
        description: manifest.description.as_ref().map(|text| text.value.clone()),
        concurrency: manifest.concurrency.as_ref().map(|it| it.value).unwrap_or_default(),
        reports: reports(manifest, &origin.dir),
        origin,
        graph,
        specs,
        setups: limits.setups,
        vars: std::mem::take(&mut context.vars),
        inherited: context.options.environment.to_value(),
        environments,
        secrets,
        callbacks,
    })
}

/// The name of a job that has none of its own is the stem of its file.
fn job_name(manifest: &Manifest) -> String {
    if let Some(name) = &manifest.name {
        return name.value.clone();
    }
    let path = manifest.source.as_ref().map(|source| Path::new(source.name()));
    let stem = path.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    stem.filter(|stem| stem != "-").unwrap_or_else(|| "job".to_owned())
}

/// The names of the variables that are secret; their values are nobody's business yet.
fn secrets(context: &mut Context<'_>) -> Vec<String> {
    let names = context.manifest.secrets.as_deref().into_iter().flat_map(|names| names.iter());
    let (good, bad): (Vec<_>, Vec<_>) = names.partition(|name| actions::is_name_of_variable(name));
    for name in bad {
        let fault = actions::bad_name_of_variable(name, name.range());
        context.fault(fault);
    }
    good.into_iter().map(|name| name.value.clone()).collect()
}

fn origin(context: &Context<'_>) -> Origin {
    let whole = context.whole;
    let included = whole
        .included
        .iter()
        .map(|file| Included { name: file.name.clone(), dir: Arc::clone(&file.dir) });
    Origin {
        manifest: whole.manifest.source.as_ref().map(|source| source.name().to_owned()),
        hash: hash(&whole.sources),
        dir: compose::dir(&whole.manifest, context.options),
        included: included.collect(),
    }
}

/// The hash of a text; that of several texts is the hash of their hashes.
fn hash(sources: &Sources) -> String {
    let mut hashes = sources.iter().map(|source| blake3::hash(source.text().as_bytes()));
    match (hashes.next(), sources.iter().len()) {
        (None, _) => String::new(),
        (Some(only), 1) => only.to_hex().to_string(),
        (Some(first), _) => {
            let mut all = blake3::Hasher::new();
            for hash in std::iter::once(first).chain(hashes) {
                all.update(hash.as_bytes());
            }
            all.finalize().to_hex().to_string()
        }
    }
}

/// The reports that the manifest asks for: the format and where it was written.
fn declared_reports(manifest: &Manifest) -> Vec<(&'static str, &Spanned<String>)> {
    let Some(report) = &manifest.report else { return Vec::new() };
    let formats = [
        ("json", &report.json),
        ("junit", &report.junit),
        ("markdown", &report.markdown),
        ("html", &report.html),
        ("trace", &report.trace),
    ];
    formats.into_iter().filter_map(|(format, path)| Some((format, path.as_deref()?))).collect()
}

/// Refuses reports that cannot be written, and those of which one would take the place of another.
fn refuse_lost_reports(context: &mut Context<'_>) {
    let reports = declared_reports(context.manifest);
    for (index, (format, path)) in reports.iter().enumerate() {
        if path.contains('\0') {
            let message = "this path has a NUL character, which no file has in its name";
            let fault = Diagnostic::error("nul", message).at(path.range());
            context.fault(fault.hint("take the `\\u0000` out"));
        }
        let same = |(_, other): &&(_, &Spanned<String>)| {
            // Components leave out what does not matter, such as `./` in the middle.
            Path::new(".").join(other.as_str()) == Path::new(".").join(path.as_str())
        };
        if let Some((first, place)) = reports[..index].iter().find(same) {
            let message = format!("the reports `{first}` and `{format}` have the same path");
            let fault = Diagnostic::error("same-path", message)
                .at(path.range())
                .hint("give each report a path of its own")
                .note(place.range(), "the other one");
            context.fault(fault);
        }
    }
}

fn reports(manifest: &Manifest, dir: &Path) -> Vec<(String, PathBuf)> {
    let paths = declared_reports(manifest).into_iter().map(|(format, path)| {
        // `-` is standard output, here as on the command line.
        let path = path.value.as_str();
        (format.to_owned(), if path == "-" { path.into() } else { dir.join(path) })
    });
    paths.collect()
}

/// Says why there is no graph.
fn report(context: &mut Context<'_>, error: GraphError) {
    match error {
        GraphError::TooLarge(futures) => {
            let message = format!("the job has {futures} futures; the most are {MAX_FUTURES}");
            context.fault(
                Diagnostic::error("too-many-futures", message)
                    .hint("let each future do more, or split the job"),
            );
        }
        GraphError::Cycles(cycles) => {
            for cycle in cycles {
                let fault = cycle_fault(context, &cycle);
                context.fault(fault);
            }
        }
    }
}

/// So many tasks of a cycle are named and shown; the path of a longer one is abridged.
const SHOWN_CYCLE: usize = 12;

/// In a cycle every task is after the next one, and the last after the first.
fn cycle_fault(context: &Context<'_>, cycle: &[TaskId]) -> Diagnostic {
    let name = |id: &TaskId| context.task_name(*id);
    let mut path: Vec<_> = cycle.iter().take(SHOWN_CYCLE).map(name).collect();
    let more = format!("({} more)", cycle.len().saturating_sub(SHOWN_CYCLE));
    if cycle.len() > SHOWN_CYCLE {
        path.push(&more);
    }
    path.extend(cycle.first().map(name));
    let message = match cycle {
        [one] => format!("`{}` is after itself", name(one)),
        _ => format!("these tasks wait for each other: {}", path.join(" -> ")),
    };
    let nexts = cycle.iter().skip(1).chain(cycle.first());
    let edges = cycle.iter().zip(nexts).take(SHOWN_CYCLE);
    let edges: Vec<_> =
        edges.map(|(id, next)| (id, next, names::place_of_edge(context, *id, *next))).collect();
    let only_after =
        edges.iter().all(|(.., place)| place.as_ref().is_none_or(|(_, how)| *how == "is after"));
    let hint = match cycle {
        [_] => "take its own name out of its `after`",
        _ if only_after => {
            "take one of these names out of its `after`, so that a task can start first"
        }
        _ => "let one of these tasks do without the next, so that a task can start first",
    };
    let mut fault = Diagnostic::error("cycle", message).hint(hint);
    for (index, (id, next, place)) in edges.into_iter().enumerate() {
        let Some((place, how)) = place else { continue };
        let label = format!("`{}` {how} `{}`", name(id), name(next));
        fault =
            if index == 0 { fault.at(place).label(label) } else { fault.note(Some(place), label) };
    }
    fault
}
