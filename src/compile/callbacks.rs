//! Callbacks of the job and of tasks, in the order declared.

use std::time::Duration;

use crate::compile::actions::{self, Arguments};
use crate::compile::context::Context;
use crate::compile::names::{self, Found, Names};
use crate::compile::templates::{Scope, Tasks, template};
use crate::diagnostic::Diagnostic;
use crate::id::TaskId;
use crate::job::{Action, Callback, CallbackAction, CommandSpec, Trigger};
use crate::manifest::{self, CALL_KEYS, Post, Program, Spanned};
use crate::work::{Leak, ResultKind};

/// How long a callback may take where nothing else is said.
const USUAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Callbacks see the future, not what its task sees.
const SCOPE: Scope<'_> = Scope {
    item: false,
    parent: false,
    matrix: None,
    future: true,
    tasks: Tasks::Now,
    yields_items: false,
};

/// What a callback is declared for.
#[derive(Clone, Copy)]
enum Owner {
    Job,
    Task {
        id: TaskId,
        group: bool,
    },
    /// `[defaults]`: for each task, whether it is a group or not.
    Default(TaskId),
}

/// Every callback, in the order of the manifest; those of a program's manifest by task, the job's
/// last.
pub(super) fn compile(context: &mut Context<'_>, names: &Names<'_>) -> Vec<Callback> {
    let manifest = context.manifest;
    let mut declared = Vec::new();
    for (index, task) in manifest.task.iter().enumerate() {
        let id = TaskId(index as u32);
        let group = task.is_group();
        declared.extend(task.callback.iter().map(|it| (it, Owner::Task { id, group })));
        let defaults =
            context.defaults(task.span).into_iter().flat_map(|defaults| &defaults.callback);
        declared.extend(defaults.map(|it| (it, Owner::Default(id))));
    }
    declared.extend(manifest.callback.iter().map(|it| (it, Owner::Job)));
    let whole = context.whole;
    declared.sort_by_key(|(callback, _)| (whole.rank[whole.file(callback.span)], callback.span));
    declared.into_iter().filter_map(|(it, owner)| callback(context, names, it, owner)).collect()
}

fn callback(
    context: &mut Context<'_>,
    names: &Names<'_>,
    declared: &Spanned<manifest::Callback>,
    owner: Owner,
) -> Option<Callback> {
    let on = triggers(context, declared, owner);
    let tasks = match owner {
        Owner::Job => named_tasks(context, names, declared),
        Owner::Task { id, .. } | Owner::Default(id) => {
            refuse_tasks(context, declared);
            Some(vec![id])
        }
    };
    let action = action(context, declared)?;
    let limit = declared.timeout.as_ref().map(|timeout| timeout.value.0);
    Some(Callback {
        place: context.place(declared.span),
        on,
        tasks,
        action,
        timeout: match limit {
            None => USUAL_TIMEOUT,
            Some(limit) => limit.unwrap_or(Duration::MAX),
        },
    })
}

/// What it is called for.
fn triggers(
    context: &mut Context<'_>,
    declared: &Spanned<manifest::Callback>,
    owner: Owner,
) -> Vec<Trigger> {
    let Some(on) = &declared.on else {
        if !declared.broken.contains(&"on") {
            let fault = Diagnostic::error("missing-key", "this callback has no `on`")
                .at(declared.range())
                .hint("say what it is called for, such as on = \"done\" or on = \"failure\"");
            context.fault(fault);
        }
        return Vec::new();
    };
    if on.0.is_empty() {
        let fault = Diagnostic::error("wrong-value", "`on` is empty: this is never called")
            .at(on.range())
            .hint("say what it is called for, such as on = \"done\" or on = \"failure\"");
        context.fault(fault);
    }
    let mut triggers = Vec::with_capacity(on.0.len());
    for word in &on.0 {
        let known = Trigger::ALL.into_iter().find(|trigger| trigger.word() == word.word());
        let Some(trigger) = known else { continue };
        if let Some((message, hint)) = unsuited(trigger, owner) {
            let fault = Diagnostic::error("does-not-suit", message).at(word.range()).hint(hint);
            context.fault(fault);
        } else if !triggers.contains(&trigger) {
            triggers.push(trigger);
        }
    }
    triggers
}

/// Why a trigger can never come for what the callback is declared for, and what to do.
fn unsuited(trigger: Trigger, owner: Owner) -> Option<(String, &'static str)> {
    let of_job = matches!(trigger, Trigger::JobDone | Trigger::JobSuccess | Trigger::JobFailure);
    match owner {
        Owner::Task { .. } | Owner::Default(_) if of_job => Some((
            format!("\"{}\" happens to the job, not to a task", trigger.word()),
            "declare the callback at the top level, as [[callback]]",
        )),
        Owner::Task { group: false, .. } if trigger == Trigger::Return => Some((
            "\"return\" only happens to the job and to tasks with `map`, `matrix` or `each`"
                .to_owned(),
            "use \"done\" for the end of a task",
        )),
        _ => None,
    }
}

/// The tasks it is for; all for `None`.
fn named_tasks(
    context: &mut Context<'_>,
    names: &Names<'_>,
    declared: &Spanned<manifest::Callback>,
) -> Option<Vec<TaskId>> {
    let patterns = &declared.tasks.as_ref()?.0;
    let mut tasks = Vec::new();
    for pattern in patterns {
        match names.find(pattern) {
            Found::Several(ids) if ids.is_empty() => {
                names.report_unknown(context, pattern, pattern.range());
            }
            Found::Unknown => names.report_unknown(context, pattern, pattern.range()),
            found => tasks.extend(names::ids(found)),
        }
    }
    tasks.sort_unstable();
    tasks.dedup();
    Some(tasks)
}

fn refuse_tasks(context: &mut Context<'_>, declared: &Spanned<manifest::Callback>) {
    if let Some(tasks) = &declared.tasks {
        let message = "`tasks` only suits a callback of the job: this one belongs to a task";
        let fault = Diagnostic::error("does-not-suit", message)
            .at(tasks.entry())
            .hint("leave `tasks` out, or declare the callback at the top level, as [[callback]]");
        context.fault(fault);
    }
}

/// What it does: exactly one thing.
fn action(
    context: &mut Context<'_>,
    declared: &Spanned<manifest::Callback>,
) -> Option<CallbackAction> {
    let keys = [
        ("log", declared.log.as_deref().map(Spanned::entry)),
        ("run", declared.run.as_deref().map(Spanned::entry)),
        ("post", declared.post.as_deref().map(Spanned::entry)),
        ("call", declared.call.as_deref().map(Spanned::entry)),
    ];
    let given: Vec<_> = keys.into_iter().filter_map(|(key, at)| Some((key, at?))).collect();
    match given.as_slice() {
        [_] => {}
        [] => {
            let meant = ["log", "run", "post", "call"];
            if !meant.iter().any(|key| declared.broken.contains(key)) {
                let message = "this callback does nothing";
                let fault = Diagnostic::error("no-action", message)
                    .at(declared.range())
                    .hint("add exactly one of `log`, `run`, `post` and `call`");
                context.fault(fault);
            }
            return None;
        }
        [(first, _), (second, place), ..] => {
            let message = format!("this callback has both `{first}` and `{second}`");
            let fault = Diagnostic::error("both-actions", message)
                .at(place.clone())
                .hint("keep exactly one of `log`, `run`, `post` and `call`");
            context.fault(fault);
            return None;
        }
    }
    if declared.call.is_none() {
        refuse_arguments(context, declared);
    }
    if let Some(log) = &declared.log {
        return template(context, log, SCOPE).map(CallbackAction::Log);
    }
    if let Some(run) = &declared.run {
        return command(context, run).map(|command| CallbackAction::Do(Action::Run(command)));
    }
    if let Some(post) = &declared.post {
        return self::post(context, post);
    }
    let arguments = Arguments {
        args: declared.args.as_deref(),
        with: declared.with.as_deref(),
        usual: 1,
        broken: CALL_KEYS.iter().any(|key| declared.broken.contains(key)),
    };
    arguments.refuse_both(context);
    actions::call(context, declared.call.as_ref()?, arguments, SCOPE).map(CallbackAction::Do)
}

/// Says which arguments are there without a call.
fn refuse_arguments(context: &mut Context<'_>, declared: &manifest::Callback) {
    let args = declared.args.as_deref().map(Spanned::entry);
    let with = declared.with.as_deref().map(Spanned::entry);
    for (key, place) in [("args", args), ("with", with)] {
        if let Some(place) = place {
            let message = format!("`{key}` only suits `call`, which this callback has not");
            let fault = Diagnostic::error("does-not-suit", message)
                .at(place)
                .hint(format!("leave `{key}` out"));
            context.fault(fault);
        }
    }
}

fn command(context: &mut Context<'_>, run: &Spanned<Program>) -> Option<CommandSpec> {
    let program = actions::program(context, run, None, SCOPE);
    Some(CommandSpec {
        program: program?,
        env: Vec::new(),
        cwd: None,
        stdin: None,
        ok_exit: actions::usual_exit(),
        result: ResultKind::None,
        leak: Leak::Kill,
        limits: None,
    })
}

fn post(context: &mut Context<'_>, post: &Spanned<Box<Post>>) -> Option<CallbackAction> {
    let Some(url) = &post.url else {
        if !post.broken.contains(&"url") {
            let fault = Diagnostic::error("missing-key", "this `post` has no `url`")
                .at(post.range())
                .hint("write post = { url = \"https://…\" }");
            context.fault(fault);
        }
        return None;
    };
    if !url.contains("{{") && !["http://", "https://"].iter().any(|start| url.starts_with(start)) {
        let fault = Diagnostic::error("wrong-value", format!("`{}` is not a URL", url.value))
            .at(url.range())
            .hint("a URL starts with https:// or http://");
        context.fault(fault);
        return None;
    }
    let url = template(context, url, SCOPE);
    let headers: Vec<_> = post
        .headers
        .iter()
        .flat_map(|headers| headers.iter())
        .map(|(name, value)| Some((name.to_owned(), template(context, value, SCOPE)?)))
        .collect();
    let body = post.body.as_ref().map(|body| template(context, body, SCOPE));
    Some(CallbackAction::Post {
        url: url?,
        headers: headers.into_iter().collect::<Option<_>>()?,
        body: body.flatten(),
    })
}
