//! Templates: text with `{{ expressions }}`. Knows which names an expression may use, not where
//! their values come from.
//!
//! Only `{{ }}` is syntax. A string that is one expression and nothing else keeps the type of its
//! value; in longer text a string goes in as it is, and any other value as JSON.

mod engine;
mod scan;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::value::Value;
use engine::Compiled;
use scan::Slot;

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

/// The names that exist, and what each stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    Item,
    Index,
    Vars,
    Future,
}

/// Names of the language that have no values yet.
const LATER: [&str; 6] = ["tasks", "matrix", "parent", "env", "job", "run"];

/// Which names the expressions of a template may use.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// `item` and `index`: the task is a group.
    pub item: bool,
    /// `future`: this is a callback.
    pub future: bool,
    /// The job's `vars`, as a map; those that are not in it cannot be used.
    pub vars: &'a Value,
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

/// Why a template is not valid, or could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong, for people.
    pub message: String,
    /// The bytes of the template that are, if that can be said.
    pub range: Option<Range<usize>>,
}

impl TemplateError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), range: None }
    }

    fn at(message: impl Into<String>, range: Range<usize>) -> Self {
        Self { message: message.into(), range: Some(range) }
    }

    /// The same error of a text in which the expression has this place.
    fn within(self, place: &Range<usize>) -> Self {
        let range = match self.range {
            Some(range) => place.start + range.start..(place.start + range.end).min(place.end),
            None => place.clone(),
        };
        Self { message: self.message, range: Some(range) }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}

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
            names
                .check(name)
                .map_err(|message| TemplateError { message, range: place_of(name, expression) })?;
        }
        if let Some(path) = Path::parse(expression) {
            return Ok(Self::Path(Arc::new(path)));
        }
        // What depends on nothing that changes can be tried now, so that its errors are found
        // before anything runs.
        if compiled.names().iter().all(|name| Root::of(name) == Some(Root::Vars)) {
            evaluate(&compiled, &Scope { vars: Some(names.vars), ..Scope::default() })?;
        }
        Ok(Self::Expression(compiled))
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

impl Root {
    const ALL: [Self; 4] = [Self::Item, Self::Index, Self::Vars, Self::Future];

    const fn word(self) -> &'static str {
        match self {
            Self::Item => "item",
            Self::Index => "index",
            Self::Vars => "vars",
            Self::Future => "future",
        }
    }

    /// The root of a dotted name.
    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|root| root.word() == first(name))
    }
}

impl Names<'_> {
    /// Whether a dotted name can be used here; `Err` says why not.
    fn check(&self, name: &str) -> Result<(), String> {
        match Root::of(name) {
            Some(Root::Item | Root::Index) if !self.item => Err(format!(
                "`{}` has no value here: only the futures of a task with `map` have it",
                first(name)
            )),
            Some(Root::Future) if !self.future => {
                Err("`future` has no value here: only callbacks have it".to_owned())
            }
            Some(Root::Vars) => match second(name) {
                Some(var) if self.vars.get(var).is_none() => Err(self.unknown_var(var)),
                _ => Ok(()),
            },
            Some(_) => Ok(()),
            None if LATER.contains(&first(name)) => {
                Err(format!("`{}` in templates is not supported yet", first(name)))
            }
            None => Err(self.unknown(first(name))),
        }
    }

    fn unknown_var(&self, var: &str) -> String {
        let declared: Vec<&str> = match self.vars {
            Value::Map(entries) => entries.iter().map(|(name, _)| name.as_str()).collect(),
            _ => Vec::new(),
        };
        match nearest(var, &declared) {
            Some(near) => format!("`{var}` is not among `vars`; did you mean `vars.{near}`?"),
            None if declared.is_empty() => {
                format!("`{var}` is not among `vars`: the manifest declares none")
            }
            None => format!("`{var}` is not among `vars`, which are: {}", declared.join(", ")),
        }
    }

    fn unknown(&self, name: &str) -> String {
        let here: Vec<&str> = Root::ALL
            .into_iter()
            .filter(|root| match root {
                Root::Item | Root::Index => self.item,
                Root::Future => self.future,
                Root::Vars => true,
            })
            .map(Root::word)
            .collect();
        if self.vars.get(name).is_some() {
            return format!("there is no `{name}` in templates; did you mean `vars.{name}`?");
        }
        match nearest(name, &here) {
            Some(near) => format!("there is no `{name}` in templates; did you mean `{near}`?"),
            None => {
                format!("there is no `{name}` in templates; here they know {}", here.join(", "))
            }
        }
    }
}

/// The first expression of a script that is over our names: those who wrote it may expect it to be
/// filled in. Braces that mean something to another program, as in `{{.Id}}`, are not.
pub fn find(script: &str) -> Option<Range<usize>> {
    let mut at = 0;
    while let Some(slot) = scan::next_slot(script, at) {
        let Ok(Slot { outer, inner }) = slot else {
            at = script[at..].find("{{").map_or(script.len(), |open| at + open + 1);
            continue;
        };
        let ours = |name: &String| Root::of(name).is_some() || LATER.contains(&first(name));
        if Compiled::new(&script[inner]).is_ok_and(|found| found.names().iter().any(ours)) {
            return Some(outer);
        }
        // The next braces may begin within these, as in `{{{ item }}}`.
        at = outer.start + 1;
    }
    None
}

fn first(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

fn second(name: &str) -> Option<&str> {
    name.split('.').nth(1)
}

fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(word, known), *known))
        .filter(|(distance, known)| *distance <= 1 + known.len().min(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Where a dotted name stands in an expression, as far as can be told from its last part.
fn place_of(name: &str, expression: &str) -> Option<Range<usize>> {
    let written: Vec<&str> = name.split('.').collect();
    let tokens: Vec<(usize, &str)> = scan::tokens(expression).collect();
    let wanted: Vec<&str> = written.iter().flat_map(|part| [".", part]).skip(1).collect();
    let at = tokens
        .windows(wanted.len())
        .position(|window| window.iter().map(|(_, token)| token).eq(wanted.iter()))?;
    let (start, _) = tokens[at];
    let (last, token) = tokens[at + wanted.len() - 1];
    Some(start..last + token.len())
}
