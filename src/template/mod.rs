//! Templates: text with `{{ expressions }}`. Knows which names an expression may use, not where
//! their values come from.
//!
//! Only `{{ }}` is syntax. A string that is one expression and nothing else keeps the type of its
//! value; in longer text a string goes in as it is, and any other value as JSON.

mod engine;
mod error;
mod names;
mod scan;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::value::Value;
use engine::Compiled;
use names::{Root, second};
use scan::Slot;

pub use error::TemplateError;
pub use names::Names;

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

/// What the expressions of a template can see.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// `vars`: always there.
    pub vars: Option<&'a Value>,
    /// `item`, in a group.
    pub item: Option<&'a Value>,
    /// `index`, in a group.
    pub index: Option<u32>,
    /// `future`, in a callback.
    pub future: Option<&'a Value>,
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
        // What depends on nothing that changes can be tried now, so that its errors are found
        // before anything runs.
        let unchanging = compiled.names().iter().all(|name| Root::of(name) == Some(Root::Vars));
        let part = match Path::parse(expression) {
            Some(path) => Self::Path(Arc::new(path)),
            None => Self::Expression(compiled),
        };
        if unchanging {
            part.value(&Scope { vars: Some(names.vars), ..Scope::default() })?;
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

/// Hands over only what the expression needs: a job may have many `vars`.
fn evaluate(compiled: &Compiled, scope: &Scope<'_>) -> Result<Value, TemplateError> {
    let names = compiled.names();
    let wants = |root: Root| names.iter().any(|name| Root::of(name) == Some(root));
    compiled.eval(Root::ALL.into_iter().filter(|&root| wants(root)).filter_map(|root| {
        let value = match root {
            Root::Index => scope.index?.into(),
            Root::Item => engine::to_engine(scope.item?),
            Root::Future => engine::to_engine(scope.future?),
            Root::Vars => match scope.vars? {
                Value::Map(entries) if !names.iter().any(|name| name == "vars") => entries
                    .iter()
                    .filter(|(var, _)| names.iter().any(|name| second(name) == Some(var)))
                    .map(|(var, value)| (var.as_str(), engine::to_engine(value)))
                    .collect(),
                all => engine::to_engine(all),
            },
        };
        Some((root.word(), value))
    }))
}

impl Path {
    fn parse(expression: &str) -> Option<Self> {
        let names = scan::plain_path(expression)?;
        let (root, rest) = names.split_first()?;
        Some(Self {
            root: Root::ALL.into_iter().find(|known| known.word() == *root)?,
            names: rest.iter().map(ToString::to_string).collect(),
        })
    }

    fn value(&self, scope: &Scope<'_>) -> Result<Value, TemplateError> {
        let index;
        let root = match self.root {
            Root::Item => scope.item,
            Root::Vars => scope.vars,
            Root::Future => scope.future,
            Root::Index => {
                index = scope.index.map(Value::from);
                index.as_ref()
            }
        };
        let found = root.and_then(|root| {
            self.names.iter().try_fold(root, |value, name| value.get(name)).cloned()
        });
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
