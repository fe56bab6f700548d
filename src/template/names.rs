//! The names that expressions may use, and what is said about others. Knows nothing of values but
//! whether they are there.

use std::ops::Range;

use super::error::TemplateError;
use super::scan;
use crate::value::Value;

/// The names that exist, and what each stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
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

impl Root {
    pub const ALL: [Self; 4] = [Self::Item, Self::Index, Self::Vars, Self::Future];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Item => "item",
            Self::Index => "index",
            Self::Vars => "vars",
            Self::Future => "future",
        }
    }

    /// The root of a dotted name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|root| root.word() == first(name))
    }
}

impl Names<'_> {
    /// Whether `expression` may use a dotted name of it.
    pub(super) fn check(&self, name: &str, expression: &str) -> Result<(), TemplateError> {
        self.refusal(name).map_or(Ok(()), |message| {
            Err(TemplateError { message, range: place_of(name, expression) })
        })
    }

    /// Why a dotted name cannot be used here, if it cannot.
    fn refusal(&self, name: &str) -> Option<String> {
        match Root::of(name) {
            Some(Root::Item | Root::Index) if !self.item => Some(format!(
                "`{}` has no value here: only the futures of a task with `map` have it",
                first(name)
            )),
            Some(Root::Future) if !self.future => {
                Some("`future` has no value here: only callbacks have it".to_owned())
            }
            Some(Root::Vars) => {
                let var = second(name).filter(|var| self.vars.get(var).is_none())?;
                Some(self.unknown_var(var))
            }
            Some(_) => None,
            None if LATER.contains(&first(name)) => {
                Some(format!("`{}` in templates is not supported yet", first(name)))
            }
            None => Some(self.unknown(first(name))),
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

/// Whether a dotted name is one of ours, be it that it has no value yet.
pub(super) fn is_ours(name: &str) -> bool {
    Root::of(name).is_some() || LATER.contains(&first(name))
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
