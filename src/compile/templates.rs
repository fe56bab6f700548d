//! Strings that may be templates: what each may use where it stands, and which tasks it names. Knows
//! nothing of what their values are for.

use std::fmt;
use std::ops::Range;

use crate::compile::context::{Context, Mention};
use crate::compile::written::Named;
use crate::diagnostic::Diagnostic;
use crate::id::TaskId;
use crate::manifest::{Span, Spanned};
use crate::template::{
    self, KnownTasks, Names, Refusal, Shape, Template, TemplateError, Variables,
};
use crate::value::Value;

/// The names that a template can use beside `vars`, `env`, `job` and `run`.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are facts that do not depend on each other"
)]
pub(super) struct Scope<'s> {
    /// `item` and `index`.
    pub item: bool,
    /// `parent`.
    pub parent: bool,
    /// `matrix`: its axes.
    pub matrix: Option<&'s [String]>,
    /// `future`.
    pub future: bool,
    /// `tasks`.
    pub tasks: Tasks,
    /// Whether it yields the items of a group, and so has none itself.
    pub yields_items: bool,
}

/// Which tasks a template can name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Tasks {
    /// None: it is filled in for children that run before any task has ended.
    #[default]
    None,
    /// All but this one, which it belongs to, and which comes after those that it names.
    Before(TaskId),
    /// All, as they are at that moment.
    Now,
}

/// A string that may be a template. `None`, after a fault, if it is none.
pub(super) fn template(
    context: &mut Context<'_>,
    text: &Spanned<String>,
    scope: Scope<'_>,
) -> Option<Template> {
    read(context, text, scope, |_, _| Ok(()))
}

/// A template whose text goes to the operating system, which ends text at a NUL.
pub(super) fn os_template(
    context: &mut Context<'_>,
    text: &Spanned<String>,
    scope: Scope<'_>,
) -> Option<Template> {
    if refuse_nul(context, text, text.range()) {
        return None;
    }
    read(context, text, scope, |template, names| {
        template.settled(names).map_or(Ok(()), |scope| template.text(&scope).map(drop))
    })
}

/// The template of a key that must be one expression and nothing else. Its value must be a `kind`; if it
/// is known before anything runs, it is that. `None`, after a fault, if it is none.
pub(super) fn expression(
    context: &mut Context<'_>,
    key: &str,
    text: &Spanned<String>,
    scope: Scope<'_>,
    kind: &'static str,
) -> Option<Template> {
    let mut settled = None;
    let template = read(context, text, scope, |template, names| {
        settled = template.settled(names).map(|scope| template.value(&scope)).transpose()?;
        Ok(())
    })?;
    let message = match settled {
        _ if !text.contains("{{")
            || !(template.is_one_expression() || template.constant().is_some()) =>
        {
            format!("`{key}` must be one expression, with nothing around it")
        }
        None => return Some(template),
        Some(value) if value.kind() == kind => return Some(Template::fixed(value)),
        Some(Value::Null) => format!("this `{key}` yields null, and must yield a {kind}"),
        Some(value) => format!("this `{key}` yields a {}, and must yield a {kind}", value.kind()),
    };
    let fault = Diagnostic::error("wrong-value", message)
        .at(text.range())
        .hint(format!("write an expression that yields a {kind}, such as {}", example(kind)));
    context.fault(fault);
    None
}

fn example(kind: &str) -> &'static str {
    if kind == "list" { "\"{{ tasks.NAME.result }}\"" } else { "\"{{ vars.count > 0 }}\"" }
}

/// A value in which any string may be a template.
pub(super) fn value_template(
    context: &mut Context<'_>,
    value: &Spanned<Value>,
    scope: Scope<'_>,
) -> Option<Template> {
    deep(context, &value.value, value, scope)
}

/// `place` is the whole value that `value` is a part of.
fn deep(
    context: &mut Context<'_>,
    value: &Value,
    place: &Spanned<Value>,
    scope: Scope<'_>,
) -> Option<Template> {
    Some(match value {
        Value::Str(text) => template(context, &Spanned::at(text.clone(), place.span), scope)?,
        Value::List(items) => {
            let items: Vec<_> =
                items.iter().map(|item| deep(context, item, place, scope)).collect();
            Template::list(items.into_iter().collect::<Option<_>>()?)
        }
        Value::Map(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(name, value)| Some((name.clone(), deep(context, value, place, scope)?)))
                .collect();
            Template::map(entries.into_iter().collect::<Option<_>>()?)
        }
        plain => Template::fixed(plain.clone()),
    })
}

/// Says that text has a NUL, if it has one.
pub(super) fn refuse_nul(
    context: &mut Context<'_>,
    text: &str,
    place: Option<Range<usize>>,
) -> bool {
    if !text.contains('\0') {
        return false;
    }
    let fault = Diagnostic::error("nul", "this text has a NUL character, which no program can get")
        .at(place)
        .hint("take the `\\u0000` out; `stdin` can carry any bytes");
    context.fault(fault);
    true
}

/// Reads a template; `try_out` tries what can be tried before anything runs.
fn read(
    context: &mut Context<'_>,
    text: &Spanned<String>,
    scope: Scope<'_>,
    try_out: impl FnOnce(&Template, &Names<'_>) -> Result<(), TemplateError>,
) -> Option<Template> {
    // Most strings have no expressions, and large jobs have many strings.
    // Where `vars` could not be read, its names must not be missed as well.
    if !text.contains("{{") || context.manifest.broken.contains(&"vars") {
        return Some(Template::fixed(text.as_str()));
    }
    let known = Known { context, scope, at: text.span };
    let names = known.names();
    // Where a single value could not be read, whatever it is used for cannot be tried.
    let unread = context.manifest.vars.as_ref().is_some_and(|vars| !vars.broken.is_empty());
    let template = Template::parse(text, &names).and_then(|template| {
        if !unread {
            try_out(&template, &names)?;
        }
        Ok(template)
    });
    // What the environment here has not got, that of the run may have.
    let complete = Names { env: Variables { complete: true, ..names.env }, ..names };
    let may_be_unset = !names.env.complete && text.contains("env");
    let unset = may_be_unset.then(|| Template::parse(text, &complete).err()).flatten();
    match template {
        Ok(template) => {
            if let Some(error) = unset {
                warn_of_unset(context, text, &error);
            }
            note_mentions(context, text, scope);
            Some(template)
        }
        Err(error) => {
            refuse(context, text, scope, &error);
            None
        }
    }
}

/// Of so many tasks that the templates of one task name it is known where in the text they do.
const MAX_PLACED: usize = 100;

/// Makes a task come after those that a template of it names.
fn note_mentions(context: &mut Context<'_>, text: &Spanned<String>, scope: Scope<'_>) {
    let Tasks::Before(by) = scope.tasks else { return };
    for mention in template::mentions(text) {
        if let Some(Named::One(of)) = context.written().get(mention.task) {
            // To look for the place in a long text takes time, and nobody is shown thousands.
            let before = context.mentions.partition_point(|mention| mention.by < by);
            let place = if context.mentions.len() - before < MAX_PLACED {
                context.inside(text, Some(&mention.range)).map_or(text.span, Span::from)
            } else {
                text.span
            };
            context.mentions.push(Mention { by, of, place });
        }
    }
}

fn warn_of_unset(context: &mut Context<'_>, text: &Spanned<String>, error: &TemplateError) {
    let place = context.inside(text, error.range.as_ref());
    let fault = Diagnostic::warning("unset-variable", error.message.as_str()).at(place);
    context.fault(fault.hint_if(error.hint.clone()));
}

fn refuse(
    context: &mut Context<'_>,
    text: &Spanned<String>,
    scope: Scope<'_>,
    error: &TemplateError,
) {
    let place = context.inside(text, error.range.as_ref());
    let fault = Diagnostic::error("template", error.message.as_str()).at(place);
    let is_of_item = scope.yields_items && error.message.contains("has no value here");
    let hint = if is_of_item {
        Some("this yields the items, once, before there are any; use `tasks` or `vars`".to_owned())
    } else {
        error.hint.clone()
    };
    let hint = hint.or_else(|| scope.hint(&error.message).map(str::to_owned));
    context.fault(fault.hint_if(hint));
}

impl Scope<'_> {
    /// What to do about a fault of a template, unless the message says it.
    fn hint(self, message: &str) -> Option<&'static str> {
        if message.contains("did you mean") {
            return None;
        }
        Some(match self {
            Self { future: true, .. } => {
                "templates of callbacks know `future` and `vars`, as in {{ future.name }}"
            }
            Self { item: true, .. } => {
                "templates of this task know `item`, `index` and `vars`, as in {{ item }}"
            }
            _ => "templates of this task know `vars`, as in {{ vars.NAME }}",
        })
    }
}

/// What is known where a template stands.
struct Known<'c, 'a> {
    context: &'c Context<'a>,
    scope: Scope<'c>,
    at: Span,
}

impl fmt::Debug for Known<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Known<'_, '_> {
    fn names(&self) -> Names<'_> {
        let context = self.context;
        let unread = context.manifest.broken.contains(&"env");
        Names {
            item: self.scope.item,
            parent: self.scope.parent,
            matrix: self.scope.matrix,
            future: self.scope.future,
            vars: &context.vars,
            env: Variables {
                values: context.environment(self.at),
                complete: context.options.environment.is_of_run() && !unread,
            },
            job: &context.job,
            tasks: match self.scope.tasks {
                Tasks::None => None,
                Tasks::Before(_) | Tasks::Now => Some(self),
            },
        }
    }
}

impl KnownTasks for Known<'_, '_> {
    fn shape(&self, written: &str) -> Result<Option<Shape>, Refusal> {
        let context = self.context;
        let tasks = context.written();
        let id = match tasks.get(written) {
            Some(Named::One(id)) => id,
            Some(Named::Either(one, other)) => {
                let (one, other) = (context.task_name(one), context.task_name(other));
                let message =
                    format!("both `{one}` and `{other}` are `tasks.{written}` in templates");
                return Err(Refusal::new(message).hint("give one of the two another name"));
            }
            None if tasks.incomplete => return Ok(None),
            None => {
                let refusal = Refusal::new(format!("there is no task `{written}`"));
                return Err(match context.guess(written, tasks.all()) {
                    Some(hint) => refusal.hint(hint),
                    None => refusal.hint("`tasks` has the names of the `[[task]]` entries"),
                });
            }
        };
        if matches!(self.scope.tasks, Tasks::Before(own) if own == id) {
            let name = context.task_name(id);
            let message = format!("`{name}` uses what it leaves itself, before it has run");
            return Err(Refusal::new(message).hint("name another task, or leave this out"));
        }
        let group = context.manifest.task[id.index()].is_group();
        Ok(Some(if group { Shape::Group } else { Shape::Plain }))
    }
}
