//! From the tree that the TOML parser gives to typed values, collecting faults. Knows nothing of
//! the keys of a manifest.

use std::ops::Range;

use schemars::JsonSchema;
use toml::de::{DeArray, DeFloat, DeInteger, DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Faults, did_you_mean};
use crate::manifest::place::{Entries, Given, Items, Span, Spanned};
use crate::manifest::table::{self, Info, Table};
use crate::value::Value;

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

/// The state of reading one manifest.
pub(super) struct Reader<'a> {
    text: &'a str,
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
    pub fn new(text: &'a str) -> Self {
        Self { text, faults: Faults::new(), tables: Vec::new(), key: Span::NONE, element: false }
    }

    /// Reads the value of `key`.
    pub fn under<T>(&mut self, key: Span, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = (self.key, self.element);
        (self.key, self.element) = (key, false);
        let value = read(self);
        (self.key, self.element) = before;
        value
    }

    /// The key that is being read, as it was written.
    pub fn key_text(&self) -> &'a str {
        self.key.range().and_then(|range| self.text.get(range)).unwrap_or_default()
    }

    /// What is being read, in a message: `` `timeout` `` or `` each element of `after` ``.
    pub fn subject(&self) -> String {
        let key = self.key_text();
        if self.element { format!("each element of `{key}`") } else { format!("`{key}`") }
    }

    /// Whether a table begins with a header, so that all that follows belongs to it.
    pub fn has_header(&self, node: &Node<'_>) -> bool {
        self.text.get(node.span()).is_some_and(|text| text.starts_with('['))
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
        let written = self.text.get(node.span()).filter(|_| scalar && T::WHAT == String::WHAT)?;
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

/// The text of a string or a date.
pub(super) fn text(node: &Node<'_>) -> Option<String> {
    match node.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Datetime(date) => Some(date.to_string()),
        _ => None,
    }
}

/// A whole number. Beyond 64 bits is a fault.
pub(super) fn integer(
    number: &DeInteger<'_>,
    node: &Node<'_>,
    reader: &mut Reader<'_>,
) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok().or_else(|| {
        reader.wrong_value(
            node.span(),
            format!("{} is a whole number beyond 64 bits", reader.subject()),
            Some(format!("use a number from {} to {}, or a string", i64::MIN, i64::MAX)),
        )
    })
}

/// A fraction. What is not finite is a fault.
pub(super) fn float(number: &DeFloat<'_>, node: &Node<'_>, reader: &mut Reader<'_>) -> Option<f64> {
    number.as_str().parse().ok().filter(|number: &f64| number.is_finite()).or_else(|| {
        reader.wrong_value(
            node.span(),
            format!("{} must be a finite number", reader.subject()),
            Some("`nan`, `inf` and numbers beyond 64-bit floats have no meaning here".to_owned()),
        )
    })
}

/// Reads a list; what cannot be read is reported and left out. `None` if nothing is left of it.
pub(super) fn list<T: Read>(array: &DeArray<'_>, reader: &mut Reader<'_>) -> Option<Items<T>> {
    let before = std::mem::replace(&mut reader.element, true);
    let items: Items<T> = array
        .iter()
        .filter_map(|node| Some(Spanned::at(T::read(node, reader)?, node.span())))
        .collect();
    reader.element = before;
    (array.is_empty() || !items.is_empty()).then_some(items)
}

impl<T: Read> Read for Items<T> {
    const WHAT: &'static str = "a list";
    const HINT: Option<&'static str> = Some("put it in brackets: [ … ]");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::Array(array) => list(array, reader),
            _ => reader.wrong_type(node),
        }
    }
}

impl<T: Read> Read for Entries<T> {
    const WHAT: &'static str = "a table of names and values";
    const HINT: Option<&'static str> = Some("write { name = value, … }");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let DeValue::Table(table) = node.get_ref() else { return reader.wrong_type(node) };
        let header = reader.has_header(node).then(|| reader.key_text());
        let mut entries = Self::default();
        for (key, value) in table {
            if let Some(header) = header
                && let Some(fault) = table::misplaced(header, key, value, &reader.tables)
            {
                reader.faults.push(fault);
                entries.broken.push(key.get_ref().to_string());
                continue;
            }
            let key_span = Span::from(key.span());
            let name = key.get_ref().to_string();
            match reader.under(key_span, |reader| T::read(value, reader)) {
                Some(read) => {
                    let span = value.span().into();
                    entries.push(name, Spanned { value: read, span, key: key_span });
                }
                None => entries.broken.push(name),
            }
        }
        Some(entries)
    }
}

impl<T: Read> Field for Given<T> {
    fn fill(&mut self, key: Span, node: &Node<'_>, reader: &mut Reader<'_>) -> bool {
        *self = T::read(node, reader).map(|value| Spanned { value, span: node.span().into(), key });
        self.is_some()
    }

    fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<T>()
    }
}

/// A list of tables, `[[key]]`.
impl<T: Table> Field for Items<T> {
    fn fill(&mut self, key: Span, node: &Node<'_>, reader: &mut Reader<'_>) -> bool {
        match node.get_ref() {
            DeValue::Array(array) => {
                *self = list(array, reader).unwrap_or_default();
                // An element that is no table was reported; it must not be missed as well.
                array.is_empty() || !self.is_empty()
            }
            DeValue::Table(table) => {
                let name = reader.key_text();
                let message = format!("`{name}` must be a list of tables, not a table");
                let fault = Diagnostic::error("wrong-type", message)
                    .at(if reader.has_header(node) { Some(node.span()) } else { key.range() })
                    .hint(format!("write the header with two brackets: [[{name}]]"));
                reader.faults.push(fault);
                *self = vec![Spanned::at(table::read(table, reader), node.span())];
                true
            }
            _ => reader.wrong_type::<Vec<Spanned<T>>>(node).is_some(),
        }
    }

    fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<Vec<T>>()
    }
}

impl<T: Table> Read for T {
    const WHAT: &'static str = T::INFO.what;

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::Table(table) => Some(table::read(table, reader)),
            _ => reader.wrong_type(node),
        }
    }
}

impl Read for String {
    const WHAT: &'static str = "a string";
    const HINT: Option<&'static str> = Some("put it in quotes");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        text(node).or_else(|| reader.wrong_type(node))
    }
}

impl Read for bool {
    const WHAT: &'static str = "true or false";

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        node.get_ref().as_bool().or_else(|| reader.wrong_type(node))
    }
}

impl Read for i64 {
    const WHAT: &'static str = "a whole number";

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::Integer(number) => integer(number, node, reader),
            _ => reader.wrong_type(node),
        }
    }
}

impl Read for u32 {
    const WHAT: &'static str = "a whole number";

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let number = i64::read(node, reader)?;
        if let Ok(number) = Self::try_from(number) {
            return Some(number);
        }
        let bound = if number < 0 { ">= 0".to_owned() } else { format!("<= {}", Self::MAX) };
        reader.wrong_value(node.span(), format!("{} must be {bound}", reader.key_text()), None)
    }
}

impl Read for Value {
    const WHAT: &'static str = "a value";

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        Some(match node.get_ref() {
            DeValue::String(text) => Self::Str(text.to_string()),
            DeValue::Datetime(date) => Self::Str(date.to_string()),
            DeValue::Boolean(value) => Self::Bool(*value),
            DeValue::Integer(number) => Self::Int(integer(number, node, reader)?.into()),
            DeValue::Float(number) => Self::Float(float(number, node, reader)?),
            // The parser bounds the depth of a tree, so this recursion is shallow.
            DeValue::Array(array) => {
                let items: Vec<_> = array.iter().map(|item| Self::read(item, reader)).collect();
                Self::List(items.into_iter().collect::<Option<_>>()?)
            }
            DeValue::Table(table) => Self::Map(map(table, reader)?),
        })
    }
}

fn map(table: &DeTable<'_>, reader: &mut Reader<'_>) -> Option<Vec<(String, Value)>> {
    let entries: Vec<_> = table
        .iter()
        .map(|(key, value)| Some((key.get_ref().to_string(), Value::read(value, reader)?)))
        .collect();
    entries.into_iter().collect()
}

/// Types whose values are a few words.
pub(super) trait Words: Copy + 'static {
    /// What it is, in a message.
    const WHAT: &'static str;
    /// The words and what they mean.
    const WORDS: &'static [(&'static str, Self)];

    /// What a word means.
    fn of(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
    }
}

/// The value that a word stands for; an unknown word is a fault that lists the known ones.
pub(super) fn word<T: Words>(node: &Node<'_>, word: &str, reader: &mut Reader<'_>) -> Option<T> {
    if let Some(value) = T::of(word) {
        return Some(value);
    }
    let known = || T::WORDS.iter().map(|(known, _)| *known);
    let all: Vec<_> = known().map(|word| format!("\"{word}\"")).collect();
    let hint = did_you_mean(word, known()).unwrap_or_else(|| format!("use {}", all.join(", ")));
    reader.fault(
        Diagnostic::error("unknown-word", format!("\"{word}\" is not {}", T::WHAT))
            .at(node.span())
            .label(format!("not a value of `{}`", reader.key_text()))
            .hint(hint),
    )
}
