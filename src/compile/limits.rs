//! Executors, resources and waits: what bounds how futures run.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use crate::compile::actions;
use crate::compile::context::Context;
use crate::diagnostic::Diagnostic;
use crate::graph::{self, Amount, ExecutorKind, ReturnWhen};
use crate::id::{ExecutorId, ResourceId};
use crate::job::{Conditions, Setup};
use crate::manifest::{Executor, Initializer, Span, Spanned, Wait};

/// The name of the executor that `[executor]` describes.
const DEFAULT: &str = "default";

/// An executor may have so many workers: more threads than this no machine gives.
const MAX_WORKERS: u32 = 65_535;

/// The units of a counted resource are told apart, each by its number.
const MAX_UNITS: u64 = 1_000_000;

/// The executors and resources of a job.
pub(super) struct Limits<'a> {
    pub executors: Vec<graph::Executor>,
    pub setups: Vec<Setup>,
    pub resources: Vec<graph::Resource>,
    executor_ids: HashMap<&'a str, ExecutorId>,
    resource_ids: HashMap<&'a str, ResourceId>,
}

impl Limits<'_> {
    /// The executor of a name.
    pub fn executor(&self, name: &str) -> Option<ExecutorId> {
        self.executor_ids.get(name).copied()
    }

    /// The resource of a name.
    pub fn resource(&self, name: &str) -> Option<ResourceId> {
        self.resource_ids.get(name).copied()
    }

    /// The names of all executors.
    pub fn executor_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.executors.iter().map(|executor| executor.name.as_str())
    }

    /// The names of all resources.
    pub fn resource_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.resources.iter().map(|resource| resource.name.as_str())
    }
}

/// The executors, the default one first, and the resources.
pub(super) fn compile<'a>(context: &mut Context<'a>) -> Limits<'a> {
    let manifest = context.manifest;
    let mut limits = Limits {
        executors: Vec::new(),
        setups: Vec::new(),
        resources: Vec::new(),
        executor_ids: HashMap::new(),
        resource_ids: HashMap::new(),
    };
    let usual = Executor::default();
    let (default, place) = match manifest.executor.as_deref() {
        Some(executor) => (&executor.value, executor.span),
        None => (&usual, Span::NONE),
    };
    add_executor(context, &mut limits, DEFAULT, default, place);
    for (name, executor) in manifest.executors.iter().flat_map(|table| table.iter()) {
        if limits.executor(name).is_some() {
            let message = format!("there are two executors named `{name}`");
            let hint = "the one of `[executor]` is named `default`; choose another name";
            let place = executor.key_range();
            context.fault(Diagnostic::error("duplicate-name", message).at(place).hint(hint));
            continue;
        }
        add_executor(context, &mut limits, name, executor, executor.span);
    }
    override_workers(context, &mut limits);
    for (name, quantity) in manifest.resources.iter().flat_map(|table| table.iter()) {
        if !quantity.bytes && quantity.amount > MAX_UNITS {
            let message = format!("{name} must be <= {MAX_UNITS}");
            let fault = Diagnostic::error("wrong-value", message)
                .at(quantity.range())
                .hint("write a size as a string with a unit, such as \"8GiB\"");
            context.fault(fault);
        }
        limits.resource_ids.insert(name, ResourceId(limits.resources.len() as u32));
        limits.resources.push(graph::Resource {
            name: name.to_owned(),
            capacity: quantity.amount,
            counted: !quantity.bytes,
        });
    }
    limits
}

fn add_executor<'a>(
    context: &mut Context<'a>,
    limits: &mut Limits<'a>,
    name: &'a str,
    executor: &Executor,
    place: Span,
) {
    let kind = executor.kind.as_ref().map(|kind| kind.value).unwrap_or_default();
    if kind == ExecutorKind::Thread && !executor.broken.contains(&"kind") {
        refuse_process_keys(context, executor);
    }
    if executor.broken.contains(&"max_workers = 0") {
        context.fault(no_workers());
    }
    if let Some(workers) = executor.max_workers.as_ref().filter(|n| n.get() > MAX_WORKERS) {
        let fault =
            Diagnostic::error("wrong-value", format!("max_workers must be <= {MAX_WORKERS}"))
                .at(workers.range());
        context.fault(fault);
    }
    let conditions = Conditions {
        max_load: executor.max_load.as_ref().map(|load| load.0),
        min_free_memory: executor.min_free_memory.as_ref().map(|bytes| bytes.0),
        jobserver: executor.jobserver.as_ref().map(|on| on.value),
    };
    if conditions.max_load.is_some_and(|load| load.is_nan() || load <= 0.0) {
        let fault = Diagnostic::error("wrong-value", "max_load must be greater than 0");
        context.fault(fault.hint("give a number such as 1.5, or leave it out"));
    }
    let usual = || usual_workers(kind);
    limits.executor_ids.insert(name, ExecutorId(limits.executors.len() as u32));
    limits.executors.push(graph::Executor {
        name: name.to_owned(),
        kind,
        max_workers: executor.max_workers.as_ref().map_or_else(usual, |workers| workers.get()),
        on_worker_death: executor.on_worker_death.as_ref().map(|it| it.value).unwrap_or_default(),
    });
    let initializer = executor.initializer.as_ref();
    limits.setups.push(Setup {
        place: context.place(place),
        max_tasks_per_child: executor.max_tasks_per_child.as_ref().map(|calls| calls.get()),
        initializer: initializer.and_then(|initializer| initialize(context, initializer)),
        conditions,
    });
}

fn refuse_process_keys(context: &mut Context<'_>, executor: &Executor) {
    let per_child = executor.max_tasks_per_child.as_deref().map(Spanned::entry);
    let on_death = executor.on_worker_death.as_deref().map(Spanned::entry);
    let keys = [("max_tasks_per_child", per_child), ("on_worker_death", on_death)];
    for (key, entry) in keys {
        if let Some(place) = entry {
            let message = format!("`{key}` only suits an executor of kind \"process\"");
            let fault = Diagnostic::error("does-not-suit", message)
                .at(place)
                .hint("add kind = \"process\", or leave the key out");
            context.fault(fault);
        }
    }
}

fn initialize(
    context: &mut Context<'_>,
    initializer: &Spanned<Initializer>,
) -> Option<(Arc<str>, Vec<crate::value::Value>)> {
    let Some(call) = &initializer.call else {
        if !initializer.broken.contains(&"call") {
            let fault = Diagnostic::error("missing-key", "this `initializer` has no `call`")
                .at(initializer.range())
                .hint("name a function: initializer = { call = \"…\" }");
            context.fault(fault);
        }
        return None;
    };
    let args = initializer.args.as_ref().map(|args| args.value.as_slice()).unwrap_or_default();
    if !initializer.broken.contains(&"args") {
        let place = initializer.args.as_deref().map_or(call.range(), Spanned::range);
        actions::check_call(context, call, Some(args.len()), place);
    }
    Some((call.as_str().into(), args.iter().map(|value| value.value.clone()).collect()))
}

/// Python's defaults: calls on threads often wait, worker processes compute.
fn usual_workers(kind: ExecutorKind) -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32);
    match kind {
        ExecutorKind::Thread => cpus.saturating_add(4).min(32),
        ExecutorKind::Process => cpus.min(MAX_WORKERS),
    }
}

fn override_workers(context: &mut Context<'_>, limits: &mut Limits<'_>) {
    for (name, workers) in &context.options.max_workers {
        let Some(id) = limits.executor(name) else {
            let message = format!("--max-workers {name}={workers}: there is no executor `{name}`");
            let hint = context.guess(name, limits.executor_names());
            context.fault(Diagnostic::error("unknown-executor", message).hint_if(hint));
            continue;
        };
        match NonZeroU32::new(*workers) {
            None => context.fault(no_workers()),
            Some(workers) if workers.get() > MAX_WORKERS => {
                let message = format!("max_workers must be <= {MAX_WORKERS}");
                context.fault(Diagnostic::error("wrong-value", message));
            }
            Some(workers) => limits.executors[id.index()].max_workers = workers.get(),
        }
    }
}

fn no_workers() -> Diagnostic {
    Diagnostic::error("wrong-value", "max_workers must be greater than 0")
        .hint("give 1 or more, or leave it out for a number that suits the machine")
}

/// The job's own wait, as the manifest and then the command line have it.
pub(super) fn job_wait(context: &Context<'_>) -> graph::Wait {
    let mut wait = context.manifest.wait.as_ref().map(|it| wait(it)).unwrap_or_default();
    let options = context.options;
    if options.fail_fast {
        wait.return_when = ReturnWhen::FirstException;
    }
    if let Some(policy) = options.return_when {
        wait.return_when = policy;
    }
    if let Some(timeout) = options.timeout {
        wait.timeout = timeout;
    }
    wait
}

/// Refuses a job that asks for more futures than its wait looks at, if their number is known.
pub(super) fn refuse_unreachable_job(context: &mut Context<'_>, total: Option<u32>) {
    // What the command line says has no place in the manifest.
    let options = context.options;
    let overridden = options.fail_fast || options.return_when.is_some();
    let written = context.manifest.wait.as_ref().filter(|_| !overridden);
    let place = written.and_then(|wait| wait.return_when.as_deref()?.range());
    if let Some(total) = total {
        refuse_unreachable(context, &job_wait(context), place, total);
    }
}

/// Refuses a wait that asks for more than there is. That nothing at all returns at once is what a job
/// over what happens to be there may rely on.
pub(super) fn refuse_unreachable(
    context: &mut Context<'_>,
    wait: &graph::Wait,
    place: Option<Range<usize>>,
    total: u32,
) {
    let (ReturnWhen::Completed(Amount::Count(wanted))
    | ReturnWhen::Succeeded(Amount::Count(wanted))) = wait.return_when
    else {
        return;
    };
    if wanted > total && total > 0 {
        let futures = if total == 1 { "1 future".to_owned() } else { format!("{total} futures") };
        let message = format!("{wanted} of {futures} can never be reached");
        let fault = Diagnostic::error("unreachable-policy", message)
            .at(place)
            .label(format!("it waits for {futures}"))
            .hint(format!("ask for {total} at most, or for a share such as \"80%\""));
        context.fault(fault);
    }
}

/// A wait as the graph has it.
pub(super) fn wait(wait: &Wait) -> graph::Wait {
    graph::Wait {
        return_when: wait.return_when.as_ref().map(|it| it.value).unwrap_or_default(),
        timeout: wait.timeout.as_ref().and_then(|timeout| timeout.0),
        on_return: wait.on_return.as_ref().map(|it| it.value).unwrap_or_default(),
    }
}
