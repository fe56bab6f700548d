//! `Manifest` → `Job`, or every fault at once. Does no I/O.
//!
//! What a single key says was checked when it was read; here is what keys say together. Each step
//! goes on as well as it can after a fault, and says nothing about what only follows from one.

mod actions;
mod callbacks;
mod context;
mod environment;
mod flow;
mod limits;
mod names;
mod options;
mod select;
mod tasks;
mod templates;
mod vars;
mod written;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::compile::context::Context;
use crate::diagnostic::{Diagnostic, Faults, Source};
use crate::functions::Functions;
use crate::graph::{self, Graph, GraphError, MAX_FUTURES};
use crate::id::TaskId;
use crate::job::{Job, Origin};
use crate::manifest::{self, Manifest, Spanned};

pub use crate::compile::options::{Environment, Options};

/// Reads and compiles a manifest.
///
/// # Errors
/// Everything that is wrong with it, sorted by place.
pub fn load(source: &Arc<Source>, functions: &Functions, options: &Options) -> Result<Job, Faults> {
    let (manifest, mut faults) = manifest::parse(source);
    let job = manifest.and_then(|manifest| {
        let (job, found) = check(&manifest, functions, options);
        faults.append(found);
        job
    });
    finish(job, faults)
}

/// Compiles a manifest.
///
/// # Errors
/// Everything that is wrong with what its keys say together, sorted by place.
pub fn compile(
    manifest: &Manifest,
    functions: &Functions,
    options: &Options,
) -> Result<Job, Faults> {
    let (job, faults) = check(manifest, functions, options);
    finish(job, faults)
}

fn finish(job: Option<Job>, faults: Faults) -> Result<Job, Faults> {
    match job {
        Some(job) if faults.is_empty() => Ok(job),
        _ => Err(faults.sorted()),
    }
}

/// The job, if there is one, and everything that is wrong.
fn check(manifest: &Manifest, functions: &Functions, options: &Options) -> (Option<Job>, Faults) {
    let mut context = Context::new(manifest, functions, options);
    let job = assemble(&mut context);
    (job, context.into_faults())
}

fn assemble(context: &mut Context<'_>) -> Option<Job> {
    let manifest = context.manifest;
    context.vars = vars::values(context);
    let origin = origin(context);
    let description = manifest.description.as_ref().map(|text| text.value.as_str());
    context.job = origin.describe(&job_name(manifest), description);
    let inherited = environment::compile(context);
    let limits = limits::compile(context);
    let names = names::Names::new(context);
    let mut tasks = tasks::compile(context, &names, &limits);
    let mut callbacks = callbacks::compile(context, &names);
    let kept = select::kept(context, &names, &tasks);
    refuse_lost_reports(context);

    let faulty = context.has_faults();
    if faulty {
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
    Some(Job {
        name: job_name(manifest),
        description: manifest.description.as_ref().map(|text| text.value.clone()),
        reports: reports(manifest, &origin.dir),
        origin,
        graph,
        specs,
        setups: limits.setups,
        vars: std::mem::take(&mut context.vars),
        inherited,
        env: std::mem::take(&mut context.env),
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

fn origin(context: &Context<'_>) -> Origin {
    let source = context.manifest.source.as_deref();
    let folder = source.and_then(|source| Path::new(source.name()).parent());
    let dir = context.options.dir.as_deref().or(folder);
    Origin {
        manifest: source.map(|source| source.name().to_owned()),
        hash: source
            .map(|source| blake3::hash(source.text().as_bytes()).to_hex().to_string())
            .unwrap_or_default(),
        dir: dir.filter(|dir| *dir != Path::new("")).unwrap_or(Path::new(".")).to_owned(),
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

/// Refuses reports of which one would take the place of another.
fn refuse_lost_reports(context: &mut Context<'_>) {
    let reports = declared_reports(context.manifest);
    for (index, (format, path)) in reports.iter().enumerate() {
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
