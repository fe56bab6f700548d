//! Templates: text with `{{ expressions }}`. Knows which names an expression may use, not where
//! their values come from.

use std::fmt;

use crate::value::Value;

/// A value, or text with expressions that becomes one.
#[derive(Clone, Debug)]
pub struct Template {
    fixed: Value,
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

/// Why a template could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError(pub String);

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// A template that is always `value`.
    pub fn fixed(value: impl Into<Value>) -> Self {
        Self { fixed: value.into() }
    }

    /// The value: a single expression keeps its type, anything else is text.
    pub fn value(&self, _scope: &Scope<'_>) -> Result<Value, TemplateError> {
        Ok(self.fixed.clone())
    }

    /// The value as one piece of text; null is an error.
    pub fn text(&self, scope: &Scope<'_>) -> Result<String, TemplateError> {
        self.value(scope)?.to_text().ok_or_else(|| TemplateError("null has no text".to_owned()))
    }
}
