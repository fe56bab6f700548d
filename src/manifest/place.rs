//! Values with the place where they were written. Knows nothing of what the values mean.

use std::borrow::Cow;
use std::ops::{Deref, Range};

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// A range of bytes of the files of a job, or nowhere for what a program made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// No place at all.
    pub const NONE: Self = Self { start: u32::MAX, end: u32::MAX };

    /// The bytes; `None` for nowhere.
    pub fn range(self) -> Option<Range<usize>> {
        (self != Self::NONE).then_some(self.start as usize..self.end as usize)
    }

    /// From the start of this one to the end of `other`; just `other` if this is nowhere.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        if self == Self::NONE { other } else { Self { start: self.start, end: other.end } }
    }
}

/// A manifest has at most 64 MiB, and all files of a job at most [`MAX_TOTAL`](super::MAX_TOTAL)
/// bytes, so places fit 32 bits.
impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start as u32, end: range.end as u32 }
    }
}

impl Default for Span {
    fn default() -> Self {
        Self::NONE
    }
}

/// A value, its place, and the place of its key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
    /// Where its key was written; nowhere for an element of a list.
    pub key: Span,
}

impl<T> Spanned<T> {
    /// A value that was written at `span`.
    pub fn at(value: T, span: impl Into<Span>) -> Self {
        Self { value, span: span.into(), key: Span::NONE }
    }

    /// The bytes of the value.
    pub fn range(&self) -> Option<Range<usize>> {
        self.span.range()
    }

    /// The bytes of the key and the value.
    pub fn entry(&self) -> Option<Range<usize>> {
        self.key.to(self.span).range()
    }

    /// The bytes of the key; those of the value if there is no key.
    pub fn key_range(&self) -> Option<Range<usize>> {
        self.key.range().or_else(|| self.range())
    }
}

/// A value that a program made, from nowhere.
impl<T> From<T> for Spanned<T> {
    fn from(value: T) -> Self {
        Self { value, span: Span::NONE, key: Span::NONE }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// The value of a key that may be absent. Most keys of most tables are, and a job can have a million
/// tables, so this is as small as can be.
pub type Given<T> = Option<Box<Spanned<T>>>;

/// A list of values, each with its place.
pub type Items<T> = Vec<Spanned<T>>;

/// A table with names of the user's own, in the order written.
#[derive(Clone, Debug)]
pub struct Entries<T> {
    list: Vec<(String, Spanned<T>)>,
    /// Names that are there with a value that could not be read.
    pub(crate) broken: Vec<String>,
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self { list: Vec::new(), broken: Vec::new() }
    }
}

impl<T> Entries<T> {
    /// The names and their values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Spanned<T>)> {
        self.list.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|(name, _)| name.as_str())
    }

    /// The value under a name.
    pub fn get(&self, name: &str) -> Option<&Spanned<T>> {
        self.list.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Adds a value.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Spanned<T>>) {
        self.list.push((name.into(), value.into()));
    }
}

impl<T> IntoIterator for Entries<T> {
    type Item = (String, Spanned<T>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("TableOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        schemars::json_schema!({ "type": "object", "additionalProperties": value })
    }
}
