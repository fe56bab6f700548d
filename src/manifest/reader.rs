//! The state of reading a manifest, and what it means to be read. Knows no value and no table.

use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use toml::de::DeValue;

use crate::diagnostic::{Diagnostic, Faults, Source};
use crate::manifest::place::Span;

/// A value of the parsed tree.
pub(super) type Node<'a> = toml::Spanned<DeValue<'a>>;

/// What can be made of a value of the tree.
pub(super) trait Read: JsonSchema + Sized {
    /// What it is, in a message: `a duration`.
    const WHAT: &'static str;
    /// How it is written, if that helps.
    const HINT: Option<&'static str> = None;

    /// The value; `None` if a fault was found and reported.
    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self>;
}

/// What the value of a key can be read into.
pub(super) trait Field: Default {
    /// Reads the value of a key; false if nothing could be made of it.
    fn fill(&mut self, key: Span, node: &Node<'_>, reader: &mut Reader<'_>) -> bool;

    /// The schema of the value.
    fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema;
}

/// What is known of a table, for messages.
pub(super) struct Info {
    /// What it is, in a message: `a task`.
    pub what: &'static str,
    /// Its keys.
    pub keys: &'static [&'static str],
    /// Words of other tools, and the key that is meant by them here.
    pub dialect: &'static [(&'static str, &'static str)],
}

/// The state of reading one manifest.
pub(super) struct Reader<'a> {
    source: &'a Source,
    /// Tables and where they are, to say where a key belongs that is in a wrong one.
    pub places: &'static [(&'static Info, &'static str)],
    /// What was found so far.
    pub faults: Faults,
    /// The tables that are being read, the innermost last.
    pub tables: Vec<&'static Info>,
    /// The key whose value is being read.
    key: Span,
    /// Whether an element of that value is being read.
    element: bool,
}

impl<'a> Reader<'a> {
    pub fn new(source: &'a Arc<Source>, places: &'static [(&'static Info, &'static str)]) -> Self {
        let (faults, tables) = (Faults::of(Arc::clone(source)), Vec::new());
        Self { source, places, faults, tables, key: Span::NONE, element: false }
    }

    /// Reads the value of `key`.
    pub fn under<T>(&mut self, key: Span, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = (self.key, self.element);
        (self.key, self.element) = (key, false);
        let value = read(self);
        (self.key, self.element) = before;
        value
    }

    /// Reads an element of the value of the key.
    pub fn element<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.element, true);
        let value = read(self);
        self.element = before;
        value
    }

    /// The key that is being read, as it was written.
    pub fn key_text(&self) -> &'a str {
        self.key.range().and_then(|range| self.source.written(&range)).unwrap_or_default()
    }

    /// What is being read, in a message: `` `timeout` `` or `` each element of `after` ``.
    pub fn subject(&self) -> String {
        let key = self.key_text();
        if self.element { format!("each element of `{key}`") } else { format!("`{key}`") }
    }

    /// Whether a table begins with a header, so that all that follows belongs to it.
    pub fn has_header(&self, node: &Node<'_>) -> bool {
        self.source.written(&node.span()).is_some_and(|text| text.starts_with('['))
            && matches!(node.get_ref(), DeValue::Table(_))
    }

    /// Reports a fault and gives nothing.
    pub fn fault<T>(&mut self, fault: Diagnostic) -> Option<T> {
        self.faults.push(fault);
        None
    }

    /// Reports that the value of the key is of a wrong type.
    pub fn wrong_type<T: Read>(&mut self, node: &Node<'_>) -> Option<T> {
        let message =
            format!("{} must be {}, not {}", self.subject(), T::WHAT, kind(node.get_ref()));
        let fault = Diagnostic::error("wrong-type", message)
            .at(node.span())
            .label(format!("expected {}", T::WHAT))
            .hint_if(self.quoted::<T>(node).or_else(|| T::HINT.map(str::to_owned)));
        self.fault(fault)
    }

    /// What a string would be written like that was written as a number or a boolean.
    fn quoted<T: Read>(&self, node: &Node<'_>) -> Option<String> {
        let scalar = !matches!(node.get_ref(), DeValue::Array(_) | DeValue::Table(_));
        let written = self.source.written(&node.span()).filter(|_| scalar && T::WHAT == STRING)?;
        Some(format!("put it in quotes: \"{written}\""))
    }

    /// Reports that the value of the key is of the right type and nevertheless none to use.
    pub fn wrong_value<T>(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) -> Option<T> {
        self.fault(Diagnostic::error("wrong-value", message).at(span).hint_if(hint.into()))
    }
}

/// What a string is, in a message.
pub(super) const STRING: &str = "a string";

/// What a value is, in a message.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
