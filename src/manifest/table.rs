//! Tables with fixed keys: one Rust struct is the source of the keys, their types, how they are
//! read, what they mean to people, and their JSON Schema. Knows no table in particular.

use std::ops::Range;

use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value as Json, json};
use toml::de::{DeString, DeTable, DeValue};

use crate::diagnostic::{Diagnostic, closest};
use crate::manifest::place::{Entries, Items, Span, Spanned};
use crate::manifest::read::list;
use crate::manifest::reader::{Field, Info, Node, Read, Reader};

/// A struct made by [`table!`].
pub(super) trait Table: JsonSchema + Default + Custom {
    /// What is known of it.
    const INFO: &'static Info;

    /// Reads the value of a key; false if the table has no such key.
    fn fill(&mut self, name: &str, key: Span, node: &Node<'_>, reader: &mut Reader<'_>) -> bool;

    /// Notes that a key was there, or meant, and could not be used.
    fn mark_broken(&mut self, key: &'static str);
}

/// What a table has beyond its keys.
pub(super) trait Custom {
    /// See [`Info::dialect`].
    const DIALECT: &'static [(&'static str, &'static str)] = &[];

    /// Adds what the types of the keys cannot say to the schema.
    fn refine(_schema: &mut Schema) {}
}

/// Makes a struct whose fields are the keys of a table.
macro_rules! table {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident is $what:literal {
            $($(#[doc = $text:literal])+
            pub $key:ident $(as $word:literal)?: $type:ty = $example:tt,)*
        }
        $($(#[doc = $more:literal])+ also $extra:ident: $extra_type:ty;)*
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Default)]
        pub struct $name {
            $($(#[doc = $text])+ pub $key: $type,)*
            $($(#[doc = $more])+ pub(crate) $extra: $extra_type,)*
            /// Keys that were there, or meant, and could not be used.
            pub(crate) broken: Vec<&'static str>,
        }

        impl $crate::manifest::table::Table for $name {
            const INFO: &'static $crate::manifest::reader::Info = &$crate::manifest::reader::Info {
                what: $what,
                keys: &[$($crate::manifest::table::word!($key $($word)?)),*],
                dialect: <Self as $crate::manifest::table::Custom>::DIALECT,
            };

            fn fill(
                &mut self,
                name: &str,
                key: $crate::manifest::place::Span,
                node: &$crate::manifest::reader::Node<'_>,
                reader: &mut $crate::manifest::reader::Reader<'_>,
            ) -> bool {
                use $crate::manifest::reader::Field;
                match name {
                    $($crate::manifest::table::word!($key $($word)?) => {
                        if !reader.under(key, |reader| self.$key.fill(key, node, reader)) {
                            self.broken.push($crate::manifest::table::word!($key $($word)?));
                        }
                    })*
                    _ => return false,
                }
                true
            }

            fn mark_broken(&mut self, key: &'static str) {
                self.broken.push(key);
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                use $crate::manifest::reader::Field;
                let properties = [$((
                    $crate::manifest::table::word!($key $($word)?),
                    <$type as Field>::schema(generator),
                    concat!($($text),+),
                    serde_json::json!($example),
                )),*];
                let mut schema =
                    $crate::manifest::table::object(concat!($($doc),+), properties);
                <Self as $crate::manifest::table::Custom>::refine(&mut schema);
                schema
            }
        }
    };
}
pub(super) use table;

/// The word of a key: the name of its field, or the one that is given where Rust has another use for
/// it.
macro_rules! word {
    ($key:ident) => {
        stringify!($key)
    };
    ($key:ident $word:literal) => {
        $word
    };
}
pub(super) use word;

/// The schema of a table with these keys: name, schema, description, example.
pub(super) fn object<const N: usize>(
    doc: &str,
    keys: [(&'static str, Schema, &'static str, Json); N],
) -> Schema {
    let mut properties = Map::new();
    for (name, mut schema, text, example) in keys {
        schema.insert("description".to_owned(), prose(text).into());
        schema.insert("examples".to_owned(), json!([example]));
        properties.insert(name.to_owned(), schema.to_value());
    }
    schemars::json_schema!({
        "type": "object",
        "description": prose(doc),
        "properties": properties,
        "additionalProperties": false,
    })
}

/// A doc comment as prose for an editor: without the brackets of links.
fn prose(doc: &str) -> String {
    doc.replace("[`", "`").replace("`]", "`").trim().to_owned()
}

/// Reads a table, reporting every key that it does not have.
pub(super) fn read<T: Table>(table: &DeTable<'_>, reader: &mut Reader<'_>) -> T {
    reader.tables.push(T::INFO);
    let mut read = T::default();
    for (key, node) in table {
        if !read.fill(key.get_ref(), key.span().into(), node, reader) {
            let (fault, meant) = unknown_key(key.get_ref(), key.span(), reader);
            reader.faults.push(fault);
            if let Some(meant) = meant {
                read.mark_broken(meant);
            }
        }
    }
    reader.tables.pop();
    read
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
                *self = vec![Spanned::at(read(table, reader), node.span())];
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
            DeValue::Table(table) => Some(read(table, reader)),
            _ => reader.wrong_type(node),
        }
    }
}

/// The fault of a key that the table being read does not have, and the key that was meant.
fn unknown_key(
    key: &str,
    span: Range<usize>,
    reader: &Reader<'_>,
) -> (Diagnostic, Option<&'static str>) {
    let Some((own, outer)) = reader.tables.split_last() else {
        return (Diagnostic::error("unknown-key", format!("unknown key `{key}`")).at(span), None);
    };
    let fault =
        Diagnostic::error("unknown-key", format!("unknown key `{key}` in {}", own.what)).at(span);
    let dialect = own.dialect.iter().find(|(word, _)| *word == key).map(|(_, meant)| *meant);
    if let Some(meant) = dialect {
        let key = meant.trim_matches(['[', ']']);
        return (fault.hint(format!("write `{meant}` instead")), Some(key));
    }
    if let Some(owner) = outer.iter().rev().find(|table| table.keys.contains(&key)) {
        let hint = format!(
            "`{key}` is a key of {}: move it above the header of this table, or write this table \
             inline as {{ … }}",
            owner.what
        );
        return (fault.hint(hint), None);
    }
    if let Some(meant) = closest(key, own.keys.iter().copied()) {
        return (fault.hint(format!("did you mean `{meant}`?")), Some(meant));
    }
    if let Some(place) = elsewhere(key, own, reader) {
        return (fault.hint(place), None);
    }
    let keys: Vec<_> = own.keys.iter().map(|key| format!("`{key}`")).collect();
    (fault.hint(format!("its keys are {}", keys.join(", "))), None)
}

/// Where a key belongs that stands in the wrong table.
fn elsewhere(key: &str, own: &Info, reader: &Reader<'_>) -> Option<String> {
    let (_, place) = reader.places.iter().find(|(info, _)| {
        info.what != own.what
            && (info.keys.contains(&key) || info.dialect.iter().any(|(word, _)| *word == key))
    })?;
    Some(format!("`{key}` belongs {place}"))
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
                && let Some(fault) = misplaced(header, key, value, &reader.tables)
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

/// The fault of a name in a table of the user's own names that is a key of a table around it: TOML
/// gives every key below a header to that header, which is rarely what was meant.
pub(super) fn misplaced(
    header: &str,
    key: &toml::Spanned<DeString<'_>>,
    node: &Node<'_>,
    tables: &[&'static Info],
) -> Option<Diagnostic> {
    let name = key.get_ref().as_ref();
    // The innermost table is the one that the header belongs to.
    let owner = tables.iter().rev().find(|table| table.keys.contains(&name))?;
    let what = owner.what;
    let message =
        format!("`{name}` is a key of {what}, but here it belongs to the table `{header}`");
    let hint = format!(
        "move it above the header of `{header}`; if the name `{name}` is meant, write it inline: \
         {header} = {{ {name} = … }}"
    );
    Some(
        Diagnostic::error("misplaced-key", message)
            .at(key.span().start..node.span().end.max(key.span().end))
            .hint(hint),
    )
}
