//! Text → `Manifest`, with the place of everything. Knows nothing of graphs.
//!
//! The text is parsed into a tree and that is lowered by hand, so that every fault is found at once
//! and each with its place. What one key says is checked here; what keys say together, in `compile`.

mod build;
mod limits;
mod parts;
mod place;
mod read;
mod reader;
mod rebase;
mod shorthand;
mod sources;
mod strings;
mod table;
mod tables;
mod units;
mod values;
mod words;

use std::collections::HashSet;
use std::sync::Arc;

use schemars::generate::SchemaSettings;
use toml::de::DeTable;

use crate::diagnostic::{Diagnostic, Faults, Source};
use crate::manifest::reader::Reader;

pub use crate::manifest::limits::{Limits, Nice};
pub use crate::manifest::place::{Entries, Given, Items, Span, Spanned};
pub use crate::manifest::sources::{MapSource, Matrix};
pub use crate::manifest::strings::place_of_part;
pub use crate::manifest::tables::{
    CALL_KEYS, Callback, Defaults, Executor, Initializer, Manifest, Post, Report, Retry, Task, Wait,
};
pub use crate::manifest::values::{
    Condition, ExitCode, Factor, Limit, OneOrMany, Program, Quantity, Scalar, duration, return_when,
};
pub use crate::manifest::words::On;

/// The largest manifest that is read, in bytes.
pub const MAX_BYTES: usize = 64 << 20;

/// The most that all files of one job have together, in bytes.
pub const MAX_TOTAL: usize = 1 << 30;

/// So many syntax errors are reported; what follows is rarely more than their echo.
const MAX_SYNTAX_FAULTS: usize = 20;

/// Reads a manifest, and finds everything that is wrong in a single key.
///
/// The manifest holds what could be read, so that what the rest says together can be checked as
/// well; it is `None` if the text is not even TOML.
pub fn parse(source: &Arc<Source>) -> (Option<Manifest>, Faults) {
    let text = source.text();
    if text.len() > MAX_BYTES {
        let mut faults = Faults::of(Arc::clone(source));
        let message = format!("a manifest has at most 64 MiB, and this has {} bytes", text.len());
        faults.push(
            Diagnostic::error("too-large", message).hint("use `map` for many tasks that are alike"),
        );
        return (None, faults);
    }
    let (mut tree, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return (None, syntax_faults(source, &errors));
    }
    rebase::table(tree.get_mut(), source.base());
    let mut reader = Reader::new(source, &tables::PLACES);
    let mut manifest: Manifest = table::read(tree.get_ref(), &mut reader);
    manifest.source = Some(Arc::clone(source));
    (Some(manifest), reader.faults.sorted())
}

/// The JSON Schema of a manifest, for editors and other programs.
pub fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Manifest>();
    schema.insert("title".to_owned(), "jobrun manifest".into());
    schema.to_value()
}

/// The first error of each line: others on the same line are mostly caused by it.
fn syntax_faults(source: &Arc<Source>, errors: &[toml::de::Error]) -> Faults {
    let mut faults = Faults::new();
    for error in errors {
        let mut span = error.span().unwrap_or_default();
        // An empty span has nothing to underline.
        if span.is_empty() {
            span.end = source.text().ceil_char_boundary(span.start + 1);
        }
        faults.push(
            Diagnostic::error("syntax", error.message())
                .at(rebase::moved(span, source.base()))
                .hint_if(syntax_hint(error.message())),
        );
    }
    let mut lines = HashSet::new();
    let mut first = Faults::of(Arc::clone(source));
    for fault in &faults.sorted() {
        let line = fault.span.as_ref().map(|span| source.line(span.start));
        if first.len() < MAX_SYNTAX_FAULTS && lines.insert(line) {
            first.push(fault.clone());
        }
    }
    first
}

/// What to do about the syntax errors that newcomers to TOML make.
fn syntax_hint(message: &str) -> Option<&'static str> {
    let hints = [
        ("string values must be quoted", "put the text in quotes: key = \"text\""),
        ("invalid float", "put text in quotes: key = \"text\""),
        ("invalid boolean", "write true or false, and put text in quotes: key = \"text\""),
        ("key with no value", "write key = value"),
        (
            "duplicate key",
            "a key can stand only once in a table; the header of a list has two brackets, as in \
             [[task]]",
        ),
        ("missing comma", "put a comma between the elements; the last may have one too"),
        ("unclosed array table", "write the header with two brackets on both sides: [[task]]"),
        ("unclosed array", "close the list with `]`"),
        ("unclosed table", "close the header with `]`"),
        ("unclosed inline table", "close the table with `}`"),
        ("leading zero", "write the number without zeros in front, or put it in quotes"),
        ("invalid unquoted key", "put the key in quotes, or use letters, digits, `-` and `_` only"),
        ("invalid basic string", "close the string with `\"` on the same line"),
        ("invalid literal string", "close the string with `'` on the same line"),
        ("invalid multi-line basic string", "close the string with three quotes"),
    ];
    hints.iter().find(|(start, _)| message.contains(start)).map(|(_, hint)| *hint)
}
