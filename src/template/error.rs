//! What can be wrong with a template. Knows nothing of what templates are.

use std::fmt;
use std::ops::Range;

/// Why a template is not valid, or could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong, for people.
    pub message: String,
    /// The bytes of the template that are, if that can be said.
    pub range: Option<Range<usize>>,
}

impl TemplateError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), range: None }
    }

    pub(super) fn at(message: impl Into<String>, range: Range<usize>) -> Self {
        Self { message: message.into(), range: Some(range) }
    }

    /// The same error of a text in which the expression has this place.
    pub(super) fn within(self, place: &Range<usize>) -> Self {
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
