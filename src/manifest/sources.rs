//! Where the items of a group come from, as it is written: a list, a range, files, or a matrix of
//! them. Reads no file, and knows nothing of what the items are for.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::manifest::place::{Entries, Items, Span, Spanned};
use crate::manifest::read::list;
use crate::manifest::reader::{Node, Read, Reader};
use crate::manifest::table::misplaced;
use crate::manifest::values::OneOrMany;
use crate::value::Value;

/// Where the items of a group come from.
#[derive(Clone, Debug)]
pub enum MapSource {
    /// These.
    List(Vec<Value>),
    /// `start`, `start + step`, … below `end` (above it for a negative step).
    Range {
        /// The first.
        start: i64,
        /// The end, which is not among them.
        end: i64,
        /// The distance.
        step: i64,
    },
    /// The paths that match one of these patterns, sorted.
    Glob(Items<String>),
    /// The lines of the file of this path.
    Lines(Spanned<String>),
    /// The elements of the list in the JSON file of this path.
    Json(Spanned<String>),
    /// Those that an expression yields.
    Template(String),
}

/// The combinations of several lists.
#[derive(Clone, Debug, Default)]
pub struct Matrix {
    /// The name of each axis and where its values come from.
    pub axes: Entries<MapSource>,
    /// Combinations beside those of the axes.
    pub include: Items<Entries<Value>>,
    /// What combinations of the axes are left out: those with all the values of one of these.
    pub exclude: Items<Entries<Value>>,
}

/// The keys of a table that says where items come from.
const SOURCES: [&str; 4] = ["range", "glob", "lines", "json"];

/// The hint where a table has none of them, or others.
const SOURCES_HINT: &str = "write { range = [start, stop, step] }, { glob = \"*.txt\" }, \
                            { lines = \"file\" } or { json = \"file\" }";

impl Matrix {
    /// No combinations yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an axis with these values.
    #[must_use]
    pub fn axis<V: Into<Value>>(
        self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        self.axis_from(name, MapSource::List(values.into_iter().map(Into::into).collect()))
    }

    /// Adds an axis with values from anywhere that a `map` can have items from.
    #[must_use]
    pub fn axis_from(mut self, name: impl Into<String>, values: impl Into<MapSource>) -> Self {
        self.axes.push(name, values.into());
        self
    }

    /// Adds a combination beside those of the axes: a value for each of them.
    #[must_use]
    pub fn include<N: Into<String>>(
        mut self,
        values: impl IntoIterator<Item = (N, Value)>,
    ) -> Self {
        self.include.push(combination(values));
        self
    }

    /// Leaves out the combinations of the axes that have all these values.
    #[must_use]
    pub fn exclude<N: Into<String>>(
        mut self,
        values: impl IntoIterator<Item = (N, Value)>,
    ) -> Self {
        self.exclude.push(combination(values));
        self
    }

    /// The names of the axes: if there are none, those of the first combination of `include`.
    pub fn names(&self) -> Vec<&str> {
        let named = self.axes.iter().len() + self.axes.broken.len() > 0;
        match self.include.first() {
            Some(first) if !named => first.names().collect(),
            _ => self.axes.names().collect(),
        }
    }
}

fn combination<N: Into<String>>(
    values: impl IntoIterator<Item = (N, Value)>,
) -> Spanned<Entries<Value>> {
    let mut entries = Entries::default();
    values.into_iter().for_each(|(name, value)| entries.push(name, value));
    entries.into()
}

impl Read for MapSource {
    const WHAT: &'static str = "a list of items, a range or an expression";
    const HINT: Option<&'static str> = Some(
        "write the items, [1, 2, 3], { range = [start, stop, step] }, or an expression that yields a \
         list, \"{{ tasks.NAME.result }}\"",
    );

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        match node.get_ref() {
            DeValue::Array(array) => {
                let items: Vec<_> = array.iter().map(|item| Value::read(item, reader)).collect();
                items.into_iter().collect::<Option<_>>().map(Self::List)
            }
            DeValue::Table(table) => source(table, node, reader),
            DeValue::String(text) if text.contains("{{") => Some(Self::Template(text.to_string())),
            _ => reader.wrong_type(node),
        }
    }
}

/// Reads a table with exactly one of the keys.
fn source(table: &DeTable<'_>, node: &Node<'_>, reader: &mut Reader<'_>) -> Option<MapSource> {
    let mut faulty = false;
    let mut found = None;
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let fault = match (SOURCES.iter().find(|known| **known == name), &found) {
            (Some(known), None) => {
                found = Some((*known, Span::from(key.span()), value));
                continue;
            }
            (Some(_), Some((first, place, _))) => {
                let message = format!("`{}` has both `{first}` and `{name}`", reader.key_text());
                Diagnostic::error("both-sources", message)
                    .hint("keep one of them")
                    .note(place.range(), "the other one")
            }
            (None, _) => {
                let message = format!("unknown key `{name}` in `{}`", reader.key_text());
                let hint = did_you_mean(name, SOURCES);
                Diagnostic::error("unknown-key", message)
                    .hint(hint.unwrap_or_else(|| SOURCES_HINT.to_owned()))
            }
        };
        faulty = true;
        reader.faults.push(fault.at(key.span()));
    }
    match found {
        _ if faulty => None,
        Some((name, key, value)) => reader.under(key, |reader| match name {
            "range" => range(value, reader),
            "glob" => glob(value, reader),
            "lines" => path(value, reader).map(MapSource::Lines),
            _ => path(value, reader).map(MapSource::Json),
        }),
        None => {
            let message = format!("`{}` is a table that names no items", reader.key_text());
            reader.wrong_value(node.span(), message, Some(SOURCES_HINT.to_owned()))
        }
    }
}

fn range(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<MapSource> {
    let numbers: Vec<i64> = match node.get_ref() {
        DeValue::Array(array) => {
            let items: Items<i64> = list(array, reader)?;
            if items.len() < array.len() {
                return None;
            }
            items.into_iter().map(|item| item.value).collect()
        }
        _ => return reader.wrong_type::<Items<i64>>(node).and(None),
    };
    let (start, end, step) = match numbers[..] {
        [end] => (0, end, 1),
        [start, end] => (start, end, 1),
        [start, end, step] => (start, end, step),
        _ => {
            return reader.wrong_value(
                node.span(),
                format!("`range` must have 1 to 3 numbers, not {}", numbers.len()),
                Some("write [stop], [start, stop] or [start, stop, step]".to_owned()),
            );
        }
    };
    Some(MapSource::Range { start, end, step })
}

fn glob(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<MapSource> {
    let patterns = OneOrMany::<String>::read(node, reader)?.0;
    let lost = matches!(node.get_ref(), DeValue::Array(all) if all.len() > patterns.len());
    (!lost).then_some(MapSource::Glob(patterns))
}

fn path(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Spanned<String>> {
    String::read(node, reader).map(|path| Spanned::at(path, node.span()))
}

impl Read for Matrix {
    const WHAT: &'static str = "a table of lists";
    const HINT: Option<&'static str> =
        Some("write { os = [\"linux\", \"mac\"], version = [1, 2] }");

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let DeValue::Table(table) = node.get_ref() else { return reader.wrong_type(node) };
        let header = reader.has_header(node).then(|| reader.key_text());
        let mut matrix = Self::default();
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let span = Span::from(key.span());
            let read = match name {
                "include" => reader.under(span, |reader| combinations(value, reader)).map(|all| {
                    matrix.include = all;
                }),
                "exclude" => reader.under(span, |reader| combinations(value, reader)).map(|all| {
                    matrix.exclude = all;
                }),
                _ => match header.and_then(|it| misplaced(it, key, value, &reader.tables)) {
                    Some(fault) => reader.fault(fault),
                    None => {
                        reader.under(span, |reader| MapSource::read(value, reader)).map(|all| {
                            let span_of_value = value.span().into();
                            let axis = Spanned { value: all, span: span_of_value, key: span };
                            matrix.axes.push(name, axis);
                        })
                    }
                },
            };
            if read.is_none() {
                matrix.axes.broken.push(name.to_owned());
            }
        }
        Some(matrix)
    }
}

/// A list of tables. With one of them lost, it would be another matrix.
fn combinations(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Items<Entries<Value>>> {
    let DeValue::Array(array) = node.get_ref() else {
        return reader.wrong_type::<Items<Entries<Value>>>(node);
    };
    let read: Items<Entries<Value>> = list(array, reader)?;
    let whole = read.len() == array.len() && read.iter().all(|table| table.broken.is_empty());
    whole.then_some(read)
}

impl JsonSchema for MapSource {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "MapSource".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let patterns = generator.subschema_for::<OneOrMany<String>>();
        let range = json_schema!({
            "type": "array",
            "items": { "type": "integer" },
            "prefixItems": [{}, {}, { "not": { "const": 0 } }],
            "minItems": 1,
            "maxItems": 3,
        });
        json_schema!({
            "oneOf": [
                { "type": "array" },
                { "type": "string", "pattern": "\\{\\{" },
                {
                    "type": "object",
                    "properties": {
                        "range": range,
                        "glob": patterns,
                        "lines": { "type": "string" },
                        "json": { "type": "string" },
                    },
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl JsonSchema for Matrix {
    fn schema_name() -> Cow<'static, str> {
        "Matrix".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // An expression has no values before the run.
        let axis = json!({
            "allOf": [generator.subschema_for::<MapSource>(), { "not": { "type": "string" } }],
        });
        let whole = generator.subschema_for::<Entries<Value>>();
        let mut partial = whole.clone();
        partial.insert("minProperties".to_owned(), 1.into());
        json_schema!({
            "type": "object",
            "description": "Lists by name: one future for each combination of their values.",
            "properties": {
                "include": { "type": "array", "items": whole },
                "exclude": { "type": "array", "items": partial },
            },
            "minProperties": 1,
            "additionalProperties": axis,
        })
    }
}
