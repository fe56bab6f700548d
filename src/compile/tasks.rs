//! Tasks: what the graph needs of each, and what its futures do. A key that a task does not give
//! comes from `[defaults]`, if it suits the task there.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::compile::actions::{self, Arguments};
use crate::compile::bounds;
use crate::compile::context::Context;
use crate::compile::flow;
use crate::compile::items;
use crate::compile::limits::{self, Limits};
use crate::compile::names::{Globs, Names, title};
use crate::compile::templates::{self, Scope, Tasks};
use crate::diagnostic::Diagnostic;
use crate::graph::{self, Size};
use crate::id::{ExecutorId, ResourceId, TaskId};
use crate::job::{Action, ArgsSpec, CommandSpec, Items, Spec};
use crate::manifest::{self, CALL_KEYS, Limit, Spanned, Task};

/// How long a stopped attempt has to end by itself where nothing else is said.
const USUAL_GRACE: Duration = Duration::from_secs(5);

/// A job may have so many edges between futures: they are kept in memory, four bytes each.
const MAX_EDGES: u64 = 100_000_000;

/// A task, compiled.
pub(super) struct Compiled {
    pub node: graph::Task,
    pub spec: Spec,
}

/// A task on top of the defaults.
struct View<'a> {
    task: &'a Spanned<Task>,
    defaults: Option<&'a Task>,
    kind: Option<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Call,
    Run,
}

/// The value of a key: the task's own, else the default.
macro_rules! pick {
    ($view:expr, $key:ident) => {
        $view.task.$key.as_deref().or($view.defaults.and_then(|defaults| defaults.$key.as_deref()))
    };
}

/// Every task of the manifest, in its order.
pub(super) fn compile(
    context: &mut Context<'_>,
    names: &Names<'_>,
    limits: &Limits<'_>,
) -> Vec<Compiled> {
    let manifest = context.manifest;
    // Most tasks have the same; they share it.
    let usual_exit = actions::usual_exit();
    let whole = context.whole;
    for defaults in (0..whole.len()).filter_map(|file| whole.own(file).defaults.as_ref()) {
        check_defaults(context, &defaults.0);
    }
    let mut globs = Globs::new(manifest.task.len());
    let mut edges = 0_u64;
    let mut compiled = Vec::with_capacity(manifest.task.len());
    for (index, task) in manifest.task.iter().enumerate() {
        let id = TaskId(index as u32);
        let view = View::new(context, task);
        let mentioned = context.mentions.len();
        let mut done = view.compile(context, id, limits, &usual_exit);
        done.node.each = flow::each(context, names, id, task);
        if edges <= MAX_EDGES {
            done.node.after = names.after(context, id, &mut globs);
            for mention in &context.mentions[mentioned..] {
                globs.add(mention.of, id, &mut done.node.after);
            }
            edges += done.node.after.len() as u64 * u64::from(done.node.size.futures().max(1));
            if edges > MAX_EDGES {
                context.fault(too_many_edges(task));
            }
        }
        compiled.push(done);
    }
    settle_sizes(&mut compiled);
    if globs.are_too_many() {
        let message = "finding out which tasks the globs of `after` mean would take too long";
        let fault = Diagnostic::error("too-many-edges", message);
        context.fault(fault.hint(
            "begin globs with the letters that names begin with, or put one task in between that is \
             `after` the many",
        ));
    }
    if edges > MAX_EDGES {
        // Nobody looks for cycles among so many.
        for task in &mut compiled {
            task.node.after = Vec::new();
        }
    }
    compiled
}

/// So many futures at most can the job's wait look at; `None` if faults leave that open.
pub(super) fn most_futures(context: &Context<'_>, tasks: &[Compiled]) -> Option<u32> {
    let manifest = context.manifest;
    let mut most = 0_u32;
    for (task, written) in tasks.iter().zip(&manifest.task) {
        let open = written.broken.contains(&"map")
            || written.broken.contains(&"when")
            || written.is_group() && task.spec.items.is_none();
        if open {
            return None;
        }
        if task.node.when == graph::When::Success {
            most = most.saturating_add(known_futures(&task.node.size)?);
        }
    }
    (!manifest.broken.contains(&"task")).then_some(most)
}

/// The number of futures, if it is known before the run.
pub(super) fn known_futures(size: &Size) -> Option<u32> {
    (!size.is_open()).then(|| size.futures())
}

/// Gives each task that follows another as many futures as that has.
fn settle_sizes(tasks: &mut [Compiled]) {
    let mut settled: Vec<bool> = tasks.iter().map(|task| task.node.each.is_none()).collect();
    for id in 0..tasks.len() {
        let mut chain = Vec::new();
        let mut at = id;
        while !settled[at] {
            // A circle ends here too, as each of its tasks is looked at once.
            settled[at] = true;
            chain.push(at);
            if let Some(next) = tasks[at].node.each {
                at = next.index();
            }
        }
        if chain.contains(&at) {
            continue;
        }
        let members = match &tasks[at].node.size {
            Size::One => Some(1),
            Size::Group { members, .. } => Some(*members),
            Size::Open { .. } => None,
        };
        for id in chain {
            let wait = tasks[id].node.size.wait().cloned();
            tasks[id].node.size = match members {
                Some(members) => Size::Group { members, wait },
                None => Size::Open { wait },
            };
        }
    }
}

fn too_many_edges(task: &Spanned<Task>) -> Diagnostic {
    let message = format!("the tasks are `after` each other more than {MAX_EDGES} times in all");
    Diagnostic::error("too-many-edges", message)
        .at(task.after.as_deref().and_then(Spanned::range))
        .label("beyond this one")
        .hint("put one task in between that is `after` the many, and let the others be after it")
}

fn check_defaults(context: &mut Context<'_>, defaults: &Task) {
    if let (Some(call), Some(run)) = (&defaults.call, &defaults.run) {
        context.fault(both_actions("`[defaults]`", call.entry(), run.entry()));
    }
    if let Some(shell) = &defaults.shell {
        refuse_empty_shell(context, shell);
    }
}

fn refuse_empty_shell(context: &mut Context<'_>, shell: &Spanned<manifest::Items<String>>) {
    if shell.first().is_none_or(|program| program.is_empty()) {
        let fault = Diagnostic::error("wrong-value", "`shell` names no program")
            .at(shell.range())
            .hint("write a shell and its flags, such as [\"bash\", \"-c\"]");
        context.fault(fault);
    }
}

fn both_actions(what: &str, call: Option<Range<usize>>, run: Option<Range<usize>>) -> Diagnostic {
    let (first, second) = if call.as_ref().map(|it| it.start) <= run.as_ref().map(|it| it.start) {
        (call, run)
    } else {
        (run, call)
    };
    Diagnostic::error("both-actions", format!("{what} has both `call` and `run`"))
        .at(second)
        .hint("keep one of them: `call` for a function, `run` for a command")
        .note(first, "the other one")
}

impl<'a> View<'a> {
    fn new(context: &mut Context<'a>, task: &'a Spanned<Task>) -> Self {
        let defaults = context.defaults(task.span);
        let kind = kind(context, task, defaults);
        let view = Self { task, defaults, kind };
        view.refuse_unsuited(context);
        view
    }

    fn compile(
        &self,
        context: &mut Context<'_>,
        id: TaskId,
        limits: &Limits<'_>,
        usual_exit: &Arc<[i32]>,
    ) -> Compiled {
        let axes = self
            .task
            .matrix
            .as_ref()
            .map(|matrix| matrix.names().into_iter().map(str::to_owned).collect::<Vec<_>>());
        let scope = Scope {
            item: self.task.is_group(),
            parent: self.task.each.is_some() || self.task.broken.contains(&"each"),
            matrix: axes.as_deref(),
            tasks: Tasks::Before(id),
            ..Scope::default()
        };
        let (items, expansion) = items::compile(context, self.task, scope);
        let wait = || pick!(self, wait).map(|wait| limits::wait(wait));
        let size = match &items {
            None => Size::One,
            Some(Items::Open(_)) => Size::Open { wait: wait() },
            Some(items) => Size::Group { members: items.len() as u32, wait: wait() },
        };
        // How many there are of those that follow others turns out when all tasks are known.
        if self.task.each.is_none() {
            self.refuse_unreachable(context, &size);
        }
        let condition = pick!(self, condition);
        let condition = condition.and_then(|it| flow::condition(context, it, scope));
        let action = self.action(context, usual_exit, scope);
        let flag = |value: Option<&Spanned<bool>>| value.is_some_and(|value| value.value);
        let node = graph::Task {
            name: self.task.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
            size,
            after: Vec::new(),
            each: None,
            when: pick!(self, when).map(|when| when.value).unwrap_or_default(),
            asks: condition.is_some(),
            executor: self.executor(context, limits),
            uses: self.uses(context, limits),
            call: self.kind == Some(Kind::Call),
            exclusive: flag(pick!(self, exclusive)),
            priority: pick!(self, priority).map_or(0, |priority| priority.value),
            estimate: pick!(self, estimate).and_then(|estimate| estimate.0),
            retry: self.retry(),
            allow_failure: flag(pick!(self, allow_failure)),
            timeout: pick!(self, timeout).and_then(|timeout| timeout.0),
            grace: limit(pick!(self, grace)).unwrap_or(USUAL_GRACE),
        };
        let tags = pick!(self, tags).map(|tags| tags.value.as_slice()).unwrap_or_default();
        let spec = Spec {
            place: context.place(self.task.span),
            tags: tags.iter().map(|tag| tag.value.clone()).collect(),
            action,
            items,
            condition,
            expansion,
        };
        Compiled { node, spec }
    }

    /// Says which keys of the task do not suit what it does.
    fn refuse_unsuited(&self, context: &mut Context<'_>) {
        let task = self.task;
        let run_only = [
            ("cwd", task.cwd.as_deref().map(Spanned::entry)),
            ("env", task.env.as_deref().map(Spanned::entry)),
            ("shell", task.shell.as_deref().map(Spanned::entry)),
            ("stdin", task.stdin.as_deref().map(Spanned::entry)),
            ("ok_exit", task.ok_exit.as_deref().map(Spanned::entry)),
            ("result", task.result.as_deref().map(Spanned::entry)),
            ("leak", task.leak.as_deref().map(Spanned::entry)),
            ("limits", task.limits.as_deref().map(Spanned::entry)),
            ("nice", task.nice.as_deref().map(Spanned::entry)),
        ];
        let call_only = [
            ("args", task.args.as_deref().map(Spanned::entry)),
            ("with", task.with.as_deref().map(Spanned::entry)),
        ];
        let (keys, own, other): (&[_], _, _) = match self.kind {
            Some(Kind::Call) => (&run_only, "calls a function", "`run`"),
            Some(Kind::Run) => (&call_only, "runs a command", "`call`"),
            None => return,
        };
        for (key, place) in keys {
            if let Some(place) = place {
                let message = format!("`{key}` only suits {other}, and {} {own}", title(task));
                let fault = Diagnostic::error("does-not-suit", message)
                    .at(place.clone())
                    .hint(format!("leave `{key}` out"));
                context.fault(fault);
            }
        }
        if let Some(wait) = &task.wait
            && !self.task.is_group()
        {
            let message = format!(
                "`wait` only suits a task with `map`, `matrix` or `each`, which {} has not",
                title(task)
            );
            let fault = Diagnostic::error("does-not-suit", message)
                .at(wait.entry())
                .hint("for a limit on the time of one future, use `timeout`");
            context.fault(fault);
        }
        self.refuse_shell_of_argv(context);
    }

    fn refuse_unreachable(&self, context: &mut Context<'_>, size: &Size) {
        let Size::Group { members, wait: Some(wait) } = size else { return };
        let written = pick!(self, wait).and_then(|wait| wait.return_when.as_deref());
        let place = written.and_then(Spanned::range);
        limits::refuse_unreachable(context, wait, place, *members);
    }

    fn refuse_shell_of_argv(&self, context: &mut Context<'_>) {
        let Some(shell) = &self.task.shell else { return };
        let argv =
            pick!(self, run).is_some_and(|run| matches!(run.value, manifest::Program::Argv(_)));
        if argv && self.kind == Some(Kind::Run) {
            let fault = Diagnostic::error("does-not-suit", "a list in `run` uses no shell")
                .at(shell.entry())
                .hint("leave `shell` out, or write the script as one string");
            context.fault(fault);
        }
        refuse_empty_shell(context, shell);
    }

    fn executor(&self, context: &mut Context<'_>, limits: &Limits<'_>) -> ExecutorId {
        let Some(name) = pick!(self, executor) else { return ExecutorId(0) };
        limits.executor(name).unwrap_or_else(|| {
            // Executors that could not be read are not to be missed as well.
            let manifest = context.manifest;
            let unread = manifest.executors.as_ref().is_some_and(|all| all.broken.contains(name));
            if !unread && !manifest.broken.contains(&"executors") {
                let hint = context.guess(name, limits.executor_names());
                let message = format!("there is no executor `{}`", name.value);
                let fault =
                    Diagnostic::error("unknown-executor", message).at(name.range()).hint_if(hint);
                context.fault(fault);
            }
            ExecutorId(0)
        })
    }

    fn uses(&self, context: &mut Context<'_>, limits: &Limits<'_>) -> Vec<(ResourceId, u64)> {
        let Some(uses) = pick!(self, uses) else { return Vec::new() };
        let mut held = Vec::with_capacity(uses.iter().len());
        for (name, quantity) in uses.iter() {
            let Some(id) = limits.resource(name) else {
                let known = context.manifest.resources.as_ref();
                let unread = known.is_some_and(|all| all.broken.iter().any(|other| other == name));
                let broken = unread || context.manifest.broken.contains(&"resources");
                if !broken {
                    let hint = match known {
                        None => {
                            Some("declare it: [resources], then the name and a count".to_owned())
                        }
                        Some(_) => context.guess(name, limits.resource_names()),
                    };
                    let message = format!("there is no resource `{name}`");
                    let fault = Diagnostic::error("unknown-resource", message)
                        .at(quantity.key_range())
                        .hint_if(hint);
                    context.fault(fault);
                }
                continue;
            };
            let resource = &limits.resources[id.index()];
            let declared = context.manifest.resources.as_ref().and_then(|all| all.get(name));
            let declared = declared.and_then(Spanned::entry);
            if quantity.bytes && resource.counted {
                let message = format!("`{name}` is a count, not a size");
                let fault = Diagnostic::error("wrong-type", message)
                    .at(quantity.range())
                    .hint("write a whole number, or declare the resource as a size")
                    .note(declared, "declared here");
                context.fault(fault);
            } else if quantity.amount > resource.capacity {
                let message = format!("this is more of `{name}` than there is");
                let fault = Diagnostic::error("above-capacity", message)
                    .at(quantity.range())
                    .label("it could never start")
                    .hint("use less, or raise the resource")
                    .note(declared, "all there is");
                context.fault(fault);
            } else {
                held.push((id, quantity.amount));
            }
        }
        held
    }

    fn retry(&self) -> graph::Retry {
        let Some(retry) = pick!(self, retry) else {
            return graph::Retry { backoff: 1.0, ..graph::Retry::default() };
        };
        let codes = retry.on_exit.as_ref();
        graph::Retry {
            // A table that says how to retry and not how often means to retry.
            count: retry.count.as_ref().map_or(1, |count| count.value),
            delay: limit(retry.delay.as_deref()).unwrap_or_default(),
            backoff: retry.backoff.as_ref().map_or(1.0, |factor| factor.0),
            max_delay: limit(retry.max_delay.as_deref()),
            jitter: retry.jitter.as_ref().is_some_and(|jitter| jitter.value),
            on: retry.on.as_ref().map(|on| on.0.iter().map(|kind| kind.value).collect()),
            on_exit: codes.map(|codes| codes.0.iter().map(|code| code.0.into()).collect()),
        }
    }

    /// What the futures do. After a fault it is something, and never done.
    fn action(
        &self,
        context: &mut Context<'_>,
        usual_exit: &Arc<[i32]>,
        scope: Scope<'_>,
    ) -> Action {
        let action = match self.kind {
            Some(Kind::Call) => self.call(context, scope),
            Some(Kind::Run) => self.command(context, usual_exit, scope).map(Action::Run),
            None => None,
        };
        action.unwrap_or_else(|| Action::Call { function: "".into(), args: ArgsSpec::Item })
    }

    fn call(&self, context: &mut Context<'_>, scope: Scope<'_>) -> Option<Action> {
        let function = pick!(self, call)?;
        let broken = |task: &Task| CALL_KEYS.iter().any(|key| task.broken.contains(key));
        let says = |task: &Task| task.args.is_some() || task.with.is_some() || broken(task);
        // The arguments of a default are taken as a whole, or not at all.
        let source = if says(self.task) { Some(&self.task.value) } else { self.defaults };
        let arguments = Arguments {
            args: source.and_then(|task| task.args.as_deref()),
            with: source.and_then(|task| task.with.as_deref()),
            usual: usize::from(self.task.is_group()),
            broken: source.is_some_and(broken),
        };
        arguments.refuse_both(context);
        actions::call(context, function, arguments, scope)
    }

    fn command(
        &self,
        context: &mut Context<'_>,
        usual_exit: &Arc<[i32]>,
        scope: Scope<'_>,
    ) -> Option<CommandSpec> {
        let run = pick!(self, run)?;
        let program = actions::program(context, run, pick!(self, shell), scope);
        let mut env = Vec::new();
        let defaults = self.defaults.and_then(|defaults| defaults.env.as_ref());
        for variables in defaults.into_iter().chain(&self.task.env) {
            env.extend(actions::environment(context, variables, scope));
        }
        let cwd = pick!(self, cwd).map(|cwd| templates::os_template(context, cwd, scope));
        let stdin = pick!(self, stdin).map(|stdin| templates::template(context, stdin, scope));
        let ok_exit = pick!(self, ok_exit)
            .map(|codes| codes.value.iter().map(|code| i32::from(code.0)).collect::<Arc<[i32]>>());
        Some(CommandSpec {
            program: program?,
            env,
            cwd: cwd.flatten(),
            stdin: stdin.flatten(),
            ok_exit: ok_exit.unwrap_or_else(|| Arc::clone(usual_exit)),
            result: pick!(self, result).map(|kind| kind.value).unwrap_or_default(),
            leak: pick!(self, leak).map(|leak| leak.value).unwrap_or_default(),
            limits: bounds::compile(context, pick!(self, limits), pick!(self, nice)),
        })
    }
}

/// Whether a task calls or runs; exactly one of them must be said.
fn kind(context: &mut Context<'_>, task: &Spanned<Task>, defaults: Option<&Task>) -> Option<Kind> {
    let named = |task: &Task, key| task.broken.contains(&key);
    match (&task.call, &task.run) {
        (Some(call), Some(run)) => {
            context.fault(both_actions(&title(task), call.entry(), run.entry()));
            None
        }
        (Some(_), None) if !named(task, "run") => Some(Kind::Call),
        (None, Some(_)) if !named(task, "call") => Some(Kind::Run),
        (None, None) if !named(task, "call") && !named(task, "run") => match defaults {
            Some(Task { call: Some(_), run: None, .. }) => Some(Kind::Call),
            Some(Task { call: None, run: Some(_), .. }) => Some(Kind::Run),
            Some(defaults) if named(defaults, "call") || named(defaults, "run") => None,
            Some(Task { call: Some(_), run: Some(_), .. }) => None,
            _ => {
                let message = format!("{} has neither `call` nor `run`", title(task));
                let name = task.name.as_deref().and_then(Spanned::entry);
                let fault =
                    Diagnostic::error("no-action", message).at(name.or_else(|| task.range())).hint(
                        "add call = \"function\" to call a function, or run = [\"program\", \
                         \"argument\"] to run a command",
                    );
                context.fault(fault);
                None
            }
        },
        _ => None,
    }
}

fn limit(given: Option<&Spanned<Limit>>) -> Option<Duration> {
    given.and_then(|limit| limit.0)
}
