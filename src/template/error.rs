//! What can be wrong with a template. Knows nothing of what templates are.

use std::fmt;
use std::ops::Range;

/// Why a template is not valid, or could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong, for people.
    pub message: String,
    /// What to do about it, if that is known.
    pub hint: Option<String>,
    /// The bytes of the template that are, if that can be said.
    pub range: Option<Range<usize>>,
}

impl TemplateError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, range: None }
    }

    pub(super) fn at(message: impl Into<String>, range: Range<usize>) -> Self {
        Self { range: Some(range), ..Self::new(message) }
    }

    /// The same error of a text in which the expression has this place.
    pub(super) fn within(self, place: &Range<usize>) -> Self {
        let range = match self.range {
            Some(range) => place.start + range.start..(place.start + range.end).min(place.end),
            None => place.clone(),
        };
        Self { range: Some(range), ..self }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}

/// Why a name cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, for people.
    pub message: String,
    /// What to do about it, if that is known.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn at(self, range: Option<Range<usize>>) -> TemplateError {
        TemplateError { message: self.message, hint: self.hint, range }
    }
}
