//! Templates: text with `{{ expressions }}`. Knows which names an expression may use, not where
//! their values come from.
//!
//! Only `{{ }}` is syntax. A string that is one expression and nothing else keeps the type of its
//! value; in longer text a string goes in as it is, and any other value as JSON.

mod engine;
mod error;
mod names;
mod scan;
mod scope;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::value::Value;
use engine::Compiled;
use names::{Root, second};
use scan::Slot;

pub use engine::Ready;
pub use error::{Refusal, TemplateError};
pub use names::{JOB, KnownTasks, Mention, Names, RUN, Shape, Variables, mentions, written};
pub use scope::{Attribute, Fact, Facts, Scope, Whose};

/// A value, or text with expressions that becomes one. Copies are cheap, and may be used on any
/// thread.
#[derive(Clone, Debug)]
pub struct Template(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Fixed(Arc<Value>),
    One(Part),
    Text(Arc<[Part]>),
    List(Arc<[Template]>),
    Map(Arc<[(String, Template)]>),
}

/// A piece of a text.
#[derive(Clone, Debug)]
enum Part {
    Plain(Arc<str>),
    /// Names joined by dots. They need no engine, which matters in a map of a million.
    Path(Arc<Path>),
    Expression(Compiled),
}

#[derive(Debug)]
struct Path {
    root: Root,
    names: Vec<String>,
}

impl Template {
    /// A template that is always `value`.
    pub fn fixed(value: impl Into<Value>) -> Self {
        Self(Kind::Fixed(Arc::new(value.into())))
    }

    /// Reads `text`, whose expressions may use `names`.
    ///
    /// # Errors
    /// If an expression is not closed or not valid, or uses a name that is not there; the range of
    /// the error is a place in `text`.
    pub fn parse(text: &str, names: &Names<'_>) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(slot) = scan::next_slot(text, at) {
            let slot = slot.map_err(|open| {
                TemplateError::at(
                    "this `{{` is not closed by `}}`; to mean the braces themselves, write \
                     `{{ \"{{\" }}`",
                    open,
                )
            })?;
            if at < slot.outer.start {
                parts.push(Part::Plain(text[at..slot.outer.start].into()));
            }
            let place = if slot.inner.is_empty() { &slot.outer } else { &slot.inner };
            let part = Part::parse(&text[slot.inner.clone()], names);
            parts.push(part.map_err(|error| error.within(place))?);
            at = slot.outer.end;
        }
        if parts.is_empty() {
            return Ok(Self::fixed(text));
        }
        if at < text.len() {
            parts.push(Part::Plain(text[at..].into()));
        }
        Ok(Self(match <[Part; 1]>::try_from(parts) {
            Ok([part]) => Kind::One(part),
            Err(parts) => Kind::Text(parts.into()),
        }))
    }

    /// A list whose items are templates.
    pub fn list(items: Vec<Self>) -> Self {
        match items.iter().map(|item| item.constant().cloned()).collect() {
            Some(items) => Self::fixed(Value::List(items)),
            None => Self(Kind::List(items.into())),
        }
    }

    /// A map whose values are templates.
    pub fn map(entries: Vec<(String, Self)>) -> Self {
        let constant =
            |(name, value): &(String, Self)| Some((name.clone(), value.constant()?.clone()));
        match entries.iter().map(constant).collect() {
            Some(entries) => Self::fixed(Value::Map(entries)),
            None => Self(Kind::Map(entries.into())),
        }
    }

    /// The value that it always has, if it has no expressions.
    pub fn constant(&self) -> Option<&Value> {
        match &self.0 {
            Kind::Fixed(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it is one expression and nothing else, so that its value may be of any type.
    pub fn is_one_expression(&self) -> bool {
        matches!(self.0, Kind::One(_))
    }

    /// What it can be evaluated in before anything runs: `None` if it depends on what only a run
    /// knows.
    pub fn settled<'a>(&self, names: &Names<'a>) -> Option<Scope<'a>> {
        let mut used = Vec::new();
        self.collect_names(&mut used);
        names.scope_of(&used)
    }

    fn collect_names(&self, used: &mut Vec<String>) {
        match &self.0 {
            Kind::Fixed(_) => {}
            Kind::One(part) => part.collect_names(used),
            Kind::Text(parts) => parts.iter().for_each(|part| part.collect_names(used)),
            Kind::List(items) => items.iter().for_each(|item| item.collect_names(used)),
            Kind::Map(entries) => entries.iter().for_each(|(_, value)| value.collect_names(used)),
        }
    }

    /// The value: a single expression keeps its type, anything else is text.
    ///
    /// # Errors
    /// If an expression fails, finds nothing, or is null within text.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Value, TemplateError> {
        Ok(match &self.0 {
            Kind::Fixed(value) => Value::clone(value),
            Kind::One(part) => part.value(scope)?,
            Kind::Text(parts) => Value::Str(join(parts, scope, None)?),
            Kind::List(items) => {
                Value::List(items.iter().map(|item| item.value(scope)).collect::<Result<_, _>>()?)
            }
            Kind::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), value.value(scope)?)))
                    .collect::<Result<_, _>>()?,
            ),
        })
    }

    /// The value as one piece of text: a string as it is, anything else as JSON.
    ///
    /// # Errors
    /// As [`value`](Self::value), and if the value is null, which has no text.
    pub fn text(&self, scope: &Scope<'_>) -> Result<String, TemplateError> {
        self.value(scope)?.to_text().ok_or_else(null_has_no_text)
    }

    /// The value as a line for people, in which null is written as `null`.
    ///
    /// # Errors
    /// As [`value`](Self::value), except for null within text.
    pub fn line(&self, scope: &Scope<'_>) -> Result<String, TemplateError> {
        match &self.0 {
            Kind::Text(parts) => join(parts, scope, Some("null")),
            _ => Ok(self.value(scope)?.to_text().unwrap_or_else(|| "null".to_owned())),
        }
    }
}

fn null_has_no_text() -> TemplateError {
    TemplateError::new("the value is null, which has no text")
}

/// The text of all parts; `null` stands for null, which is an error without it.
fn join(parts: &[Part], scope: &Scope<'_>, null: Option<&str>) -> Result<String, TemplateError> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Plain(plain) => text.push_str(plain),
            part => match (part.value(scope)?.to_text(), null) {
                (Some(value), _) => text.push_str(&value),
                (None, Some(null)) => text.push_str(null),
                (None, None) => return Err(part.null_error()),
            },
        }
    }
    Ok(text)
}

impl Part {
    fn parse(expression: &str, names: &Names<'_>) -> Result<Self, TemplateError> {
        let compiled = Compiled::new(expression)?;
        for name in compiled.names() {
            names.check(name, expression)?;
        }
        let part = match Path::parse(expression) {
            Some(path) => Self::Path(Arc::new(path)),
            None => Self::Expression(compiled.clone()),
        };
        // What depends on nothing that a run changes can be tried now, so that its errors are found
        // before anything runs.
        if let Some(scope) = names.scope_of(compiled.names()) {
            part.value(&scope)?;
        }
        Ok(part)
    }

    fn value(&self, scope: &Scope<'_>) -> Result<Value, TemplateError> {
        match self {
            Self::Plain(text) => Ok(Value::from(&**text)),
            Self::Path(path) => path.value(scope),
            Self::Expression(compiled) => evaluate(compiled, scope),
        }
    }

    fn collect_names(&self, used: &mut Vec<String>) {
        match self {
            Self::Plain(_) => {}
            Self::Path(path) => used.push(path.to_string()),
            Self::Expression(compiled) => used.extend_from_slice(compiled.names()),
        }
    }

    fn null_error(&self) -> TemplateError {
        match self {
            Self::Path(path) => TemplateError::new(format!("`{path}` is null, which has no text")),
            Self::Expression(compiled) => {
                TemplateError::new(format!("`{compiled:?}` is null, which has no text"))
            }
            Self::Plain(_) => null_has_no_text(),
        }
    }
}

/// Hands over only what the expression needs: a job may have many `vars`, and results are large.
fn evaluate(compiled: &Compiled, scope: &Scope<'_>) -> Result<Value, TemplateError> {
    let names = compiled.names();
    let wants = |root: &Root| names.iter().any(|name| Root::of(name) == Some(*root));
    let roots = Root::ALL.into_iter().filter(wants);
    compiled.eval(roots.filter_map(|root| Some((root.word(), ready(root, names, scope)?))))
}

/// A root as the engine takes it, with what `names` use of it.
fn ready(root: Root, names: &[String], scope: &Scope<'_>) -> Option<Ready> {
    Some(match root {
        Root::Index => Ready::new(&scope.index?.into()),
        Root::Item | Root::Matrix => Ready::new(scope.item?),
        Root::Future => Ready::new(scope.future?),
        Root::Job => Ready::new(scope.job?),
        Root::Run => Ready::new(scope.run?),
        Root::Vars => ready_entries(root, names, scope.vars?),
        Root::Env => ready_entries(root, names, scope.env?),
        Root::Parent => attributes(Whose::Parent, names, 1, scope.facts?),
        Root::Tasks => {
            let mut tasks: Vec<&str> = of_root(root, names).filter_map(second).collect();
            // The names are sorted.
            tasks.dedup();
            let facts = scope.facts?;
            Ready::map(tasks.into_iter().map(|task| {
                let of_task: Vec<String> = of_root(root, names)
                    .filter(|name| second(name) == Some(task))
                    .map(str::to_owned)
                    .collect();
                (task, attributes(Whose::Task(task), &of_task, 2, facts))
            }))
        }
    })
}

fn of_root(root: Root, names: &[String]) -> impl Iterator<Item = &str> {
    names.iter().map(String::as_str).filter(move |name| Root::of(name) == Some(root))
}

/// Of a large map the entries that are used; all if the map is used as a whole.
fn ready_entries(root: Root, names: &[String], map: &Value) -> Ready {
    match map {
        Value::Map(entries) if of_root(root, names).all(|name| second(name).is_some()) => {
            let used = |entry: &&(String, Value)| {
                of_root(root, names).any(|name| second(name) == Some(&entry.0))
            };
            let entries = entries.iter().filter(used);
            Ready::map(entries.map(|(name, value)| (name.as_str(), Ready::new(value))))
        }
        all => Ready::new(all),
    }
}

/// The attributes that are used, each the part of a name at `place`; all that there are if one of the
/// names ends before it.
fn attributes(whose: Whose<'_>, names: &[String], place: usize, facts: &dyn Facts) -> Ready {
    let used = |attribute: &Attribute| {
        names
            .iter()
            .filter(|name| place > 1 || Root::of(name) == Some(Root::Parent))
            .any(|name| name.split('.').nth(place).is_none_or(|word| word == attribute.word()))
    };
    let used = Attribute::ALL.into_iter().filter(used);
    Ready::map(used.filter_map(|it| Some((it.word(), facts.ready(whose, it)?))))
}

impl Path {
    fn parse(expression: &str) -> Option<Self> {
        let names = scan::plain_path(expression)?;
        let (root, rest) = names.split_first()?;
        let root = Root::ALL.into_iter().find(|known| known.word() == *root)?;
        // Those two are made of attributes, which must be known.
        let attribute = match root {
            Root::Tasks => Some(rest.get(1)?),
            Root::Parent => Some(rest.first()?),
            _ => None,
        };
        if let Some(attribute) = attribute {
            Attribute::named(attribute)?;
        }
        Some(Self { root, names: rest.iter().map(ToString::to_string).collect() })
    }

    fn value(&self, scope: &Scope<'_>) -> Result<Value, TemplateError> {
        let index;
        let fact;
        let (root, rest) = match self.root {
            Root::Item | Root::Matrix => (scope.item, self.names.as_slice()),
            Root::Vars => (scope.vars, self.names.as_slice()),
            Root::Env => (scope.env, self.names.as_slice()),
            Root::Job => (scope.job, self.names.as_slice()),
            Root::Run => (scope.run, self.names.as_slice()),
            Root::Future => (scope.future, self.names.as_slice()),
            Root::Index => {
                index = scope.index.map(Value::from);
                (index.as_ref(), self.names.as_slice())
            }
            Root::Parent | Root::Tasks => {
                let (whose, rest) = match self.names.split_first() {
                    Some((task, rest)) if self.root == Root::Tasks => (Whose::Task(task), rest),
                    _ => (Whose::Parent, self.names.as_slice()),
                };
                fact =
                    rest.first().and_then(|word| scope.facts?.fact(whose, Attribute::named(word)?));
                (fact.as_deref(), rest.get(1..).unwrap_or_default())
            }
        };
        let found = root
            .and_then(|root| rest.iter().try_fold(root, |value, name| value.get(name)).cloned());
        found.ok_or_else(|| TemplateError::new(format!("`{self}` is undefined")))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.root.word())?;
        self.names.iter().try_for_each(|name| write!(f, ".{name}"))
    }
}

/// How many braces of a script are looked at. What comes after so many that were not ours is taken as
/// it is, so that no script takes long.
const MAX_OPENS: usize = 2000;
/// How long an expression in a script can be, in bytes, to be noticed.
const MAX_WINDOW: usize = 2048;

/// The first expression of a script that is over our names: those who wrote it may expect it to be
/// filled in. Braces that mean something to another program, as in `{{.Id}}`, are not.
pub fn find(script: &str) -> Option<Range<usize>> {
    let opens = script.match_indices("{{").map(|(open, _)| open);
    // In `{{{ item }}}` the expression begins with the second brace.
    let opens =
        opens.flat_map(|open| [open, open + 1]).filter(|at| script[*at..].starts_with("{{"));
    opens.take(MAX_OPENS).find_map(|open| {
        let end = script.floor_char_boundary(open + MAX_WINDOW);
        let Slot { outer, inner } = scan::next_slot(&script[open..end], 0)?.ok()?;
        let found = Compiled::new(&script[open..][inner]).ok()?;
        let ours = found.names().iter().any(|name| names::is_ours(name));
        ours.then(|| open + outer.start..open + outer.end)
    })
}
