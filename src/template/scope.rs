//! What the expressions of a template see when they are evaluated. Knows who is asked for a value,
//! not where that finds it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::engine::Ready;
use crate::value::Value;

/// What the expressions of a template can see.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// `vars`: always there.
    pub vars: Option<&'a Value>,
    /// `env`: the environment of the job's children, as a map.
    pub env: Option<&'a Value>,
    /// `job`, as a map of [`JOB`](super::JOB).
    pub job: Option<&'a Value>,
    /// `run`, as a map of [`RUN`](super::RUN).
    pub run: Option<&'a Value>,
    /// `item`, in a group; `matrix` too, where there is one.
    pub item: Option<&'a Value>,
    /// `index`, in a group.
    pub index: Option<u32>,
    /// `future`, in a callback.
    pub future: Option<&'a Value>,
    /// Who knows `tasks` and `parent`.
    pub facts: Option<&'a dyn Facts>,
}

/// What futures left. It is asked for one by one, so that only what an expression uses is made.
pub trait Facts: fmt::Debug {
    /// An attribute; `None` if there is no such thing.
    fn fact(&self, of: Whose<'_>, attribute: Attribute) -> Option<Fact<'_>>;

    /// The same as the engine takes it.
    fn ready(&self, of: Whose<'_>, attribute: Attribute) -> Option<Ready> {
        self.fact(of, attribute).map(|fact| Ready::new(&fact))
    }
}

/// Whose attribute is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'a> {
    /// That of the task whose name is [written](super::written) so.
    Task(&'a str),
    /// That of the counterpart, under `each`.
    Parent,
}

/// A value that lies somewhere, or that was made to be looked at.
#[derive(Debug)]
pub enum Fact<'a> {
    /// It lies there.
    There(&'a Value),
    /// It was made.
    Made(Arc<Value>),
}

impl Deref for Fact<'_> {
    type Target = Value;

    fn deref(&self) -> &Value {
        match self {
            Self::There(value) => value,
            Self::Made(value) => value,
        }
    }
}

/// What `tasks.NAME` and `parent` have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// The name of the counterpart.
    Name,
    /// Its place in its group; null for a plain task.
    Index,
    /// Its item; null for a plain task.
    Item,
    /// The word of where a future or a group stands.
    State,
    /// What a future left.
    Result,
    /// Why it failed; null if it did not.
    Error,
    /// What the futures of a group left, in submission order.
    Results,
    /// The futures that are done.
    Done,
    /// Those that are not.
    NotDone,
    /// Those of the done ones that failed.
    Errors,
}

impl Attribute {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Name,
        Self::Index,
        Self::Item,
        Self::State,
        Self::Result,
        Self::Error,
        Self::Results,
        Self::Done,
        Self::NotDone,
        Self::Errors,
    ];
    /// Those of `parent`, and of each entry of `done`, `not_done` and `errors`.
    pub const OF_FUTURE: [Self; 6] =
        [Self::Name, Self::Index, Self::Item, Self::State, Self::Result, Self::Error];
    /// Those of a plain task.
    pub const OF_PLAIN: [Self; 5] =
        [Self::Result, Self::State, Self::Done, Self::NotDone, Self::Errors];
    /// Those of a group.
    pub const OF_GROUP: [Self; 5] =
        [Self::Results, Self::State, Self::Done, Self::NotDone, Self::Errors];

    /// The word that it is used by.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Index => "index",
            Self::Item => "item",
            Self::State => "state",
            Self::Result => "result",
            Self::Error => "error",
            Self::Results => "results",
            Self::Done => "done",
            Self::NotDone => "not_done",
            Self::Errors => "errors",
        }
    }

    pub(super) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.word() == word)
    }
}
