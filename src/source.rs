//! Texts, and the places in them. Knows nothing of what the texts mean.
//!
//! Several texts share one space of places, as the files of a compiler do: each starts where the one
//! before it ends. So a range of bytes says by itself which of the texts it is in.

use std::ops::Range;
use std::sync::Arc;

/// A text and the name under which people know it.
#[derive(Clone, Debug, Default)]
pub struct Source {
    name: String,
    text: String,
    /// The place of its first byte.
    base: usize,
    /// Where each line starts, from the start of the text.
    lines: Vec<usize>,
}

/// Texts of which no two have a place in common.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// By place.
    list: Vec<Arc<Source>>,
}

/// A line and a column, both counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A place as people know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place<'a> {
    /// The name of the text.
    pub file: &'a str,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1, in characters.
    pub column: usize,
}

impl Source {
    /// The text of `name`, which is a path as the user gave it, or another name in `<>`.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let after_newline = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(after_newline).collect();
        Self { name: name.into(), text, base: 0, lines }
    }

    /// The same with its first byte at `base`.
    #[must_use]
    pub fn at(mut self, base: usize) -> Self {
        self.base = base;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The place of its first byte.
    pub fn base(&self) -> usize {
        self.base
    }

    /// The place after all of its places. The end of the text is a place of its own.
    pub fn end(&self) -> usize {
        self.base + self.text.len() + 1
    }

    /// What is written at a place; `None` if that is not in this text.
    pub fn written(&self, range: &Range<usize>) -> Option<&str> {
        self.text.get(range.start.checked_sub(self.base)?..range.end.checked_sub(self.base)?)
    }

    /// The line and column of a place; the end of the text for one beyond it.
    pub fn position(&self, at: usize) -> Position {
        let byte = self.text.floor_char_boundary(at.saturating_sub(self.base));
        let line = self.line(self.base + byte);
        let start = self.line_start(line) - self.base;
        Position { line, column: self.text[start..byte].chars().count() + 1 }
    }

    /// The line of a place, counted from 1; the last line for one beyond the text.
    pub fn line(&self, at: usize) -> usize {
        let byte = at.saturating_sub(self.base);
        self.lines.partition_point(|&start| start <= byte)
    }

    /// The place where a line that is counted from 1 starts; the end of the text for one beyond it.
    pub fn line_start(&self, line: usize) -> usize {
        let index = line.saturating_sub(1);
        self.base + self.lines.get(index).copied().unwrap_or(self.text.len())
    }

    /// The start of the first character that does not start before a place; the end of the text for one
    /// beyond it.
    pub fn boundary(&self, at: usize) -> usize {
        self.base + self.text.ceil_char_boundary(at.saturating_sub(self.base))
    }

    /// The part of a range that is on the line where it starts, in whole characters.
    pub fn first_line(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(range.start.saturating_sub(self.base));
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let end = self.text.ceil_char_boundary(range.end.saturating_sub(self.base));
        self.base + start..self.base + end.clamp(start, line_end)
    }
}

impl Sources {
    /// Adds a text, whose places must be after those of the others.
    pub fn add(&mut self, source: Arc<Source>) {
        debug_assert!(source.base >= self.end(), "places are told apart");
        self.list.push(source);
    }

    /// The place after all places.
    pub fn end(&self) -> usize {
        self.list.last().map_or(0, |source| source.end())
    }

    /// All texts, by place.
    pub fn iter(&self) -> std::slice::Iter<'_, Arc<Source>> {
        self.list.iter()
    }

    /// The text that has a place.
    pub fn of(&self, at: usize) -> Option<&Arc<Source>> {
        let after = self.list.partition_point(|source| source.base <= at);
        self.list.get(after.checked_sub(1)?)
    }

    /// Where a range starts, as people know it.
    pub fn place(&self, range: &Range<usize>) -> Option<Place<'_>> {
        let source = self.of(range.start)?;
        let Position { line, column } = source.position(range.start);
        Some(Place { file: &source.name, line, column })
    }

    /// What is written at a place.
    pub fn written(&self, range: &Range<usize>) -> Option<&str> {
        self.of(range.start)?.written(range)
    }
}

/// One text alone.
impl From<Arc<Source>> for Sources {
    fn from(source: Arc<Source>) -> Self {
        Self { list: vec![source] }
    }
}

/// One text alone.
impl From<Source> for Sources {
    fn from(source: Source) -> Self {
        Arc::new(source).into()
    }
}

impl<'a> IntoIterator for &'a Sources {
    type Item = &'a Arc<Source>;
    type IntoIter = std::slice::Iter<'a, Arc<Source>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
