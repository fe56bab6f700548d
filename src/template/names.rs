//! The names that expressions may use, and what is said about others. Knows nothing of values but
//! whether they are there.

use std::fmt;
use std::ops::Range;

use super::error::{Refusal, TemplateError};
use super::scan;
use super::scope::{Attribute, Scope};
use crate::value::Value;

/// The names that exist, and what each stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Item,
    Index,
    Parent,
    Matrix,
    Vars,
    Env,
    Job,
    Run,
    Tasks,
    Future,
}

/// What `job` has.
pub const JOB: [&str; 4] = ["name", "description", "manifest", "dir"];

/// What `run` has.
pub const RUN: [&str; 2] = ["id", "started_at"];

static NOTHING: Value = Value::Null;

/// Which names the expressions of a template may use, and what is known of them beforehand.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// `item` and `index`: the task is a group.
    pub item: bool,
    /// `parent`: the task follows another with `each`.
    pub parent: bool,
    /// `matrix`: the axes of the task's combinations.
    pub matrix: Option<&'a [String]>,
    /// `future`: this is a callback.
    pub future: bool,
    /// The job's `vars`, as a map; those that are not in it cannot be used.
    pub vars: &'a Value,
    /// The environment of the job's children.
    pub env: Variables<'a>,
    /// `job`, as a map of [`JOB`].
    pub job: &'a Value,
    /// `tasks`: those of the job. `None` where no task can have ended.
    pub tasks: Option<&'a dyn KnownTasks>,
}

/// An environment, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Variables<'a> {
    /// As a map of text. Null stands for a value that is only known when the job runs.
    pub values: &'a Value,
    /// Whether that is all of it, so that what is not in it is not set.
    pub complete: bool,
}

impl Default for Names<'_> {
    /// Just the names that are everywhere, and nothing in them.
    fn default() -> Self {
        Self {
            item: false,
            parent: false,
            matrix: None,
            future: false,
            vars: &NOTHING,
            env: Variables { values: &NOTHING, complete: false },
            job: &NOTHING,
            tasks: None,
        }
    }
}

/// Who knows the tasks that expressions may name.
pub trait KnownTasks: fmt::Debug {
    /// What the task is that is [written] so; `None` if that cannot be said.
    ///
    /// # Errors
    /// Why the name cannot be used.
    fn shape(&self, written: &str) -> Result<Option<Shape>, Refusal>;
}

/// What there is to ask of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It has one future, and a `result`.
    Plain,
    /// It has several, and `results`.
    Group,
}

/// The name of a task as templates write it: what is no letter, digit or `_` is `_`.
pub fn written(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

impl Root {
    pub const ALL: [Self; 10] = [
        Self::Item,
        Self::Index,
        Self::Parent,
        Self::Matrix,
        Self::Vars,
        Self::Env,
        Self::Job,
        Self::Run,
        Self::Tasks,
        Self::Future,
    ];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Item => "item",
            Self::Index => "index",
            Self::Parent => "parent",
            Self::Matrix => "matrix",
            Self::Vars => "vars",
            Self::Env => "env",
            Self::Job => "job",
            Self::Run => "run",
            Self::Tasks => "tasks",
            Self::Future => "future",
        }
    }

    /// The root of a dotted name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|root| root.word() == first(name))
    }
}

impl<'a> Names<'a> {
    /// Whether `expression` may use a dotted name of it.
    pub(super) fn check(&self, name: &str, expression: &str) -> Result<(), TemplateError> {
        match self.refusal(name, expression) {
            None => Ok(()),
            Some(refusal) => Err(refusal.at(place_of(name, expression))),
        }
    }

    /// What an expression that uses these dotted names can be evaluated in before anything runs;
    /// `None` if it depends on what is known only then.
    pub(super) fn scope_of(&self, used: &[String]) -> Option<Scope<'a>> {
        used.iter().all(|name| self.is_settled(name)).then(|| Scope {
            vars: Some(self.vars),
            env: Some(self.env.values),
            job: Some(self.job),
            ..Scope::default()
        })
    }

    fn is_settled(&self, name: &str) -> bool {
        match Root::of(name) {
            Some(Root::Vars | Root::Job) => true,
            Some(Root::Env) => match second(name) {
                None => self.env.complete && !any_null(self.env.values),
                Some(variable) => match self.env.values.get(variable) {
                    None => self.env.complete,
                    Some(value) => !value.is_null(),
                },
            },
            _ => false,
        }
    }

    /// Why a dotted name cannot be used here, if it cannot.
    fn refusal(&self, name: &str, expression: &str) -> Option<Refusal> {
        let root = Root::of(name).ok_or_else(|| self.unknown(first(name)));
        let root = match root {
            Ok(root) => root,
            Err(message) => return Some(Refusal::new(message)),
        };
        if !self.has(root) {
            return Some(self.misplaced(root));
        }
        let attribute = second(name);
        match root {
            Root::Item | Root::Index | Root::Future => None,
            Root::Vars => {
                let var = attribute.filter(|var| self.vars.get(var).is_none())?;
                Some(Refusal::new(self.unknown_var(var)))
            }
            Root::Env => self.unset(attribute?, expression),
            Root::Job => no_attribute("job", attribute?, JOB),
            Root::Run => no_attribute("run", attribute?, RUN),
            Root::Parent => {
                no_attribute("parent", attribute?, Attribute::OF_FUTURE.map(Attribute::word))
            }
            Root::Matrix => {
                let axes = self.matrix.unwrap_or_default();
                no_attribute("matrix", attribute?, axes.iter().map(String::as_str))
            }
            Root::Tasks => self.no_task(name),
        }
    }

    /// Why a root that exists has no value in this place, and what to do.
    fn misplaced(&self, root: Root) -> Refusal {
        let word = root.word();
        let who = match root {
            Root::Item | Root::Index => {
                "only the futures of a task with `map`, `matrix` or `each` have it"
            }
            Root::Parent => "only the futures of a task with `each` have it",
            Root::Matrix => "only the futures of a task with `matrix` have it",
            Root::Tasks => {
                "it is for every child, also for those that run before any task has ended"
            }
            _ => "only callbacks have it",
        };
        let refusal = Refusal::new(format!("`{word}` has no value here: {who}"));
        match root {
            Root::Item | Root::Index if self.future => {
                refusal.hint(format!("the future has it: {{{{ future.{word} }}}}"))
            }
            Root::Matrix if self.future => {
                refusal.hint("the future has the combination: {{ future.item }}")
            }
            _ if self.future => refusal,
            Root::Tasks => refusal.hint("put it into the `env` of the task that needs it"),
            Root::Item | Root::Index => {
                refusal.hint("give the task a `map`, or take the value from `vars`")
            }
            Root::Parent => {
                refusal.hint("write each = \"TASK\" to follow the futures of a task one by one")
            }
            Root::Matrix => refusal.hint("give the task a `matrix`, or take the value from `vars`"),
            _ => refusal,
        }
    }

    /// Whether a root has a value here.
    fn has(&self, root: Root) -> bool {
        match root {
            Root::Item | Root::Index => self.item,
            Root::Parent => self.parent,
            Root::Matrix => self.matrix.is_some(),
            Root::Future => self.future,
            Root::Tasks => self.tasks.is_some(),
            Root::Vars | Root::Env | Root::Job | Root::Run => true,
        }
    }

    /// Why `tasks.NAME.ATTRIBUTE` cannot be used, if it cannot.
    fn no_task(&self, name: &str) -> Option<Refusal> {
        let mut parts = name.split('.').skip(1);
        let Some(task) = parts.next() else {
            let message = "`tasks` cannot be used without the name of a task after a dot: which tasks \
                           a template needs must be known before anything runs";
            let hint =
                "write {{ tasks.NAME.result }}, with `_` for what is no letter, digit or `_`";
            return Some(Refusal::new(message).hint(hint));
        };
        let shape = match self.tasks?.shape(task) {
            Ok(shape) => shape?,
            Err(refusal) => return Some(refusal),
        };
        let attribute = parts.next()?;
        let (known, what) = match shape {
            Shape::Plain => (Attribute::OF_PLAIN, "one future"),
            Shape::Group => (Attribute::OF_GROUP, "several futures"),
        };
        let right = match (shape, attribute) {
            (Shape::Plain, "results") => "result",
            (Shape::Group, "result") => "results",
            _ => {
                return no_attribute(
                    &format!("tasks.{task}"),
                    attribute,
                    known.map(Attribute::word),
                );
            }
        };
        let message = format!("`{task}` has {what}, and so no `{attribute}`");
        Some(Refusal::new(message).hint(format!("write `tasks.{task}.{right}`")))
    }

    /// Why a variable of the environment cannot be used, if it cannot. Where the environment is not
    /// that of the run, nothing can be said of what is not in it.
    fn unset(&self, variable: &str, expression: &str) -> Option<Refusal> {
        let is_set = self.env.values.get(variable).is_some();
        if is_set || !self.env.complete || may_be_missing(variable, expression) {
            return None;
        }
        let set: Vec<&str> = entries(self.env.values).map(|(name, _)| name).collect();
        let message = match nearest(variable, &set) {
            Some(near) => format!("`{variable}` is not set; did you mean `env.{near}`?"),
            None => format!("`{variable}` is not set in the environment"),
        };
        let hint = format!("set it, or give a default: {{{{ env.{variable} | default(\"\") }}}}");
        Some(Refusal::new(message).hint(hint))
    }

    fn unknown_var(&self, var: &str) -> String {
        let declared: Vec<&str> = entries(self.vars).map(|(name, _)| name).collect();
        match nearest(var, &declared) {
            Some(near) => format!("`{var}` is not among `vars`; did you mean `vars.{near}`?"),
            None if declared.is_empty() => {
                format!("`{var}` is not among `vars`: the manifest declares none")
            }
            None => format!("`{var}` is not among `vars`, which are: {}", declared.join(", ")),
        }
    }

    fn unknown(&self, name: &str) -> String {
        let here: Vec<&str> =
            Root::ALL.into_iter().filter(|root| self.has(*root)).map(Root::word).collect();
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

/// Why `whose` has no such attribute; `None` if it has.
fn no_attribute<'k>(
    whose: &str,
    attribute: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<Refusal> {
    let known: Vec<&str> = known.into_iter().collect();
    if known.contains(&attribute) {
        return None;
    }
    if let Some(near) = nearest(attribute, &known) {
        let message = format!("`{whose}` has no `{attribute}`; did you mean `{whose}.{near}`?");
        return Some(Refusal::new(message));
    }
    let message = format!("`{whose}` has no `{attribute}`, but: {}", known.join(", "));
    let hint = known.first().map(|first| format!("write `{whose}.{first}`, for example"));
    Some(Refusal { hint, ..Refusal::new(message) })
}

/// Whether an expression says what to do if a variable of the environment is not set.
fn may_be_missing(variable: &str, expression: &str) -> bool {
    let tokens: Vec<&str> = scan::tokens(expression).map(|(_, token)| token).collect();
    tokens.windows(5).any(|window| match window {
        ["env", ".", name, "|", "default" | "d"] | ["env", ".", name, "is", _] => *name == variable,
        _ => false,
    })
}

fn entries(map: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let entries = match map {
        Value::Map(entries) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|(name, value)| (name.as_str(), value))
}

fn any_null(map: &Value) -> bool {
    entries(map).any(|(_, value)| value.is_null())
}

/// Whether a dotted name is one of ours.
pub(super) fn is_ours(name: &str) -> bool {
    Root::of(name).is_some()
}

/// A task that an expression names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention<'t> {
    /// Its name as it is [written].
    pub task: &'t str,
    /// Where it stands, from `tasks` on.
    pub range: Range<usize>,
}

/// The tasks that the expressions of a text name.
pub fn mentions(text: &str) -> Vec<Mention<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(Ok(slot)) = scan::next_slot(text, at) {
        let tokens: Vec<(usize, &str)> = scan::tokens(&text[slot.inner.clone()]).collect();
        for (place, window) in tokens.windows(3).enumerate() {
            let [(start, "tasks"), (_, "."), (last, task)] = window else { continue };
            let is_attribute = place > 0 && tokens[place - 1].1 == ".";
            if !is_attribute {
                let from = slot.inner.start;
                found.push(Mention { task, range: from + start..from + last + task.len() });
            }
        }
        at = slot.outer.end;
    }
    found
}

fn first(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The part of a dotted name after the root.
pub(super) fn second(name: &str) -> Option<&str> {
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
