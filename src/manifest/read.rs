//! Values that any table can have: strings, numbers, lists, words. Knows nothing of the keys of a
//! manifest.

use toml::de::{DeArray, DeFloat, DeInteger, DeTable, DeValue};

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::manifest::place::{Given, Items, Span, Spanned};
use crate::manifest::reader::{Field, Node, Read, Reader, STRING};
use crate::value::Value;

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
            format!("{} is a whole number beyond 64 bits", number.as_str()),
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
    let mut items = Items::with_capacity(array.len());
    reader.element(|reader| {
        for node in array {
            items.extend(T::read(node, reader).map(|value| Spanned::at(value, node.span())));
        }
    });
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

impl<T: Read> Field for Given<T> {
    fn fill(&mut self, key: Span, node: &Node<'_>, reader: &mut Reader<'_>) -> bool {
        *self = T::read(node, reader)
            .map(|value| Box::new(Spanned { value, span: node.span().into(), key }));
        self.is_some()
    }

    fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<T>()
    }
}

impl Read for String {
    const WHAT: &'static str = STRING;
    const HINT: Option<&'static str> = Some("put it in quotes");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        text(node).or_else(|| reader.wrong_type(node))
    }
}

impl Read for bool {
    const WHAT: &'static str = "true or false";
    const HINT: Option<&'static str> = Some("write true or false, without quotes");

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
