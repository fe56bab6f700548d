//! Where items come from: lists, ranges, and the files that a manifest names, which are read here,
//! before the run.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;

use crate::compile::context::Context;
use crate::diagnostic::Diagnostic;
use crate::graph::MAX_FUTURES;
use crate::job::Items;
use crate::manifest::{self, MapSource, Spanned};
use crate::template;
use crate::value::Value;

/// The items that a source gives; `what` it is, in a message.
pub(super) fn items(
    context: &mut Context<'_>,
    what: &str,
    source: &Spanned<MapSource>,
) -> Option<Items> {
    let items = match &source.value {
        MapSource::List(items) => Items::List(items.clone()),
        MapSource::Range { start, end, step } => {
            range(context, what, source, (*start, *end, *step))?
        }
        MapSource::Glob(patterns) => glob(context, patterns)?,
        MapSource::Lines(path) => lines(context, what, path)?,
        MapSource::Json(path) => json(context, path)?,
        MapSource::Template(_) => {
            let message = format!("{what} comes from an expression, whose values only a run knows");
            let fault = Diagnostic::error("wrong-value", message)
                .at(source.range())
                .hint("write its values, or use `map` with an expression that yields combinations");
            context.fault(fault);
            return None;
        }
    };
    few_enough(context, what, items.len() as u64, source.range()).then_some(items)
}

/// Whether there are not too many items; says it if there are.
fn few_enough(
    context: &mut Context<'_>,
    what: &str,
    count: u64,
    place: Option<Range<usize>>,
) -> bool {
    let fits = count <= MAX_FUTURES;
    if !fits {
        context.fault(too_many(&format!("{what} has {count} items"), place));
    }
    fits
}

/// The fault of what makes too many futures.
pub(super) fn too_many(what: &str, place: Option<Range<usize>>) -> Diagnostic {
    let message = format!("{what}; a job has at most {MAX_FUTURES} futures");
    Diagnostic::error("too-many-futures", message)
        .at(place)
        .hint("let each future do more, or split the job")
}

fn range(
    context: &mut Context<'_>,
    what: &str,
    source: &Spanned<MapSource>,
    (start, end, step): (i64, i64, i64),
) -> Option<Items> {
    if step == 0 {
        let fault = Diagnostic::error("wrong-value", "the step of a range must not be 0")
            .at(source.range())
            .hint("write { range = [start, stop, step] } with a step such as 1 or -1");
        context.fault(fault);
        return None;
    }
    let len = range_len(start, end, step);
    let fits = few_enough(context, what, len, source.range());
    fits.then_some(Items::Range { start, step, len: len as u32 })
}

/// The number of items of a range, as in Python.
fn range_len(start: i64, end: i64, step: i64) -> u64 {
    let ahead = i128::from(end) - i128::from(start);
    let distance = if step > 0 { ahead } else { -ahead };
    let steps = distance.max(0).unsigned_abs().div_ceil(step.unsigned_abs().into());
    // No two numbers of 64 bits are farther apart.
    u64::try_from(steps).unwrap_or(u64::MAX)
}

/// The paths that match one of the patterns, sorted, each once.
fn glob(context: &mut Context<'_>, patterns: &manifest::Items<String>) -> Option<Items> {
    let mut found = Vec::new();
    for pattern in patterns {
        if refuse_template(context, pattern) {
            return None;
        }
        match context.options.files.glob(&context.dir(pattern.span), pattern) {
            Ok(paths) => found.extend(paths),
            Err(error) => {
                let hint = match error.kind() {
                    ErrorKind::InvalidInput => "`*` and `?` match within a name, `**` any folders",
                    ErrorKind::InvalidData => "rename the file, or write a narrower pattern",
                    _ => "write a pattern that only meets what can be read",
                };
                let message = format!("cannot look for `{}`: {error}", pattern.value);
                let fault = Diagnostic::error("bad-glob", message).at(pattern.range()).hint(hint);
                context.fault(fault);
                return None;
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    Some(Items::List(found.into_iter().map(Value::Str).collect()))
}

/// The lines of a file, in its order, without their newlines. A newline at the end of the file ends
/// the last line and begins no other.
fn lines(context: &mut Context<'_>, what: &str, path: &Spanned<String>) -> Option<Items> {
    let bytes = read(context, path)?;
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.split(|byte| *byte == b'\n').count();
            let message = format!("`{}` is not UTF-8 text (line {line})", path.value);
            let fault = Diagnostic::error("not-utf8", message)
                .at(path.range())
                .hint("save the file in the encoding UTF-8");
            context.fault(fault);
            return None;
        }
    };
    // There may be millions more than a job can have, of which none need be kept.
    few_enough(context, what, text.lines().count() as u64, path.range())
        .then(|| Items::List(text.lines().map(Value::from).collect()))
}

/// The elements of the list in a JSON file.
fn json(context: &mut Context<'_>, path: &Spanned<String>) -> Option<Items> {
    let bytes = read(context, path)?;
    let message = match Value::from_json(&bytes) {
        Ok(Value::List(items)) => return Some(Items::List(items)),
        Ok(other) => format!("`{}` holds a {}, not a list", path.value, other.kind()),
        Err(what) => format!("`{}` is {what}", path.value),
    };
    let fault = Diagnostic::error("bad-json", message)
        .at(path.range())
        .hint("the file must hold one JSON list, such as [1, 2, 3]");
    context.fault(fault);
    None
}

/// The bytes of a file; `None`, after a fault, if it cannot be read.
fn read(context: &mut Context<'_>, path: &Spanned<String>) -> Option<Vec<u8>> {
    if refuse_template(context, path) {
        return None;
    }
    let full = context.dir(path.span).join(Path::new(path.as_str()));
    match context.options.files.read(&full) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let missing = error.kind() == ErrorKind::NotFound;
            let message = if missing {
                format!("there is no file `{}`", path.value)
            } else {
                format!("cannot read `{}`: {error}", path.value)
            };
            let hint = missing.then_some("the path starts from the folder of its manifest");
            let fault = Diagnostic::error("unreadable-file", message)
                .at(path.range())
                .hint(hint.unwrap_or("it must be a file that jobrun may read"));
            context.fault(fault);
            None
        }
    }
}

/// Says that a path is a template, if it is one: no template has a value so early.
fn refuse_template(context: &mut Context<'_>, path: &Spanned<String>) -> bool {
    let Some(range) = template::find(path) else { return false };
    let message = "a template has no value here: items are read before the run";
    let fault = Diagnostic::error("template", message)
        .at(context.inside(path, Some(&range)))
        .hint("write the path itself");
    context.fault(fault);
    true
}
