//! A child's standard output as the result of its future. Knows nothing of processes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};

use jiter::{JsonError, JsonErrorType, JsonValue};

use crate::outcome::Captured;
use crate::value::Value;
use crate::work::ResultKind;

/// A result is read from at most so many bytes.
pub(crate) const MAX_RESULT: u64 = 16 << 20;

/// The result that `stdout` makes, or why it makes none. `original` holds all of it, if it is there.
///
/// Bytes that are no UTF-8 become U+FFFD in text and lines; JSON that is no UTF-8 is an error.
pub(crate) fn read(
    kind: ResultKind,
    stdout: &Captured,
    original: Option<&File>,
) -> Result<Value, String> {
    match kind {
        ResultKind::None => Ok(Value::Null),
        ResultKind::Auto if stdout.bytes > stdout.kept.len() as u64 => Ok(Value::Null),
        ResultKind::Auto => Ok(text(&stdout.kept)),
        ResultKind::Text => Ok(text(&whole(stdout, original)?)),
        ResultKind::Lines => {
            let whole = whole(stdout, original)?;
            let lines = String::from_utf8_lossy(&whole);
            Ok(Value::List(lines.lines().map(Value::from).collect()))
        }
        ResultKind::Json => json(&whole(stdout, original)?),
    }
}

fn whole<'a>(stdout: &'a Captured, original: Option<&File>) -> Result<Cow<'a, [u8]>, String> {
    if stdout.bytes > MAX_RESULT {
        let (bytes, most) = (stdout.bytes, MAX_RESULT >> 20);
        return Err(format!("stdout has {bytes} bytes; a result is read from at most {most} MiB"));
    }
    if let Some(file) = original {
        let read = read_back(file).map_err(|error| format!("cannot read stdout back: {error}"));
        return read.map(Cow::Owned);
    }
    match &stdout.path {
        Some(path) => fs::read(path)
            .map(Cow::Owned)
            .map_err(|error| format!("cannot read stdout back from {}: {error}", path.display())),
        None if stdout.bytes > stdout.kept.len() as u64 => {
            Err("stdout was lost, for no file could be written".to_owned())
        }
        None => Ok(Cow::Borrowed(&stdout.kept)),
    }
}

fn read_back(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(bytes: &[u8]) -> Value {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    Value::Str(String::from_utf8_lossy(line).into_owned())
}

/// Reads one JSON document. Whole numbers are exact to 128 bits; larger ones, and fractions too
/// large for a float, are errors. Of equal keys the last one counts.
fn json(bytes: &[u8]) -> Result<Value, String> {
    let parsed = JsonValue::parse(bytes, false).map_err(|error| not_json(&error, bytes))?;
    convert(&parsed).map_err(|why| format!("stdout is JSON with {why}"))
}

fn not_json(error: &JsonError, bytes: &[u8]) -> String {
    if error.error_type == JsonErrorType::EofWhileParsingValue && bytes.trim_ascii().is_empty() {
        return "stdout is not JSON: it is empty".to_owned();
    }
    let place = error.get_position(bytes);
    let (line, column) = (place.line, place.column);
    format!("stdout is not JSON: line {line} column {column}: {}", error.error_type)
}

fn convert(value: &JsonValue<'_>) -> Result<Value, String> {
    Ok(match value {
        JsonValue::Null => Value::Null,
        JsonValue::Bool(truth) => Value::Bool(*truth),
        JsonValue::Int(number) => Value::from(*number),
        JsonValue::BigInt(number) => Value::Int(
            i128::try_from(number).map_err(|_| "a whole number beyond 128 bits".to_owned())?,
        ),
        JsonValue::Float(number) if number.is_finite() => Value::Float(*number),
        JsonValue::Float(_) => return Err("a number beyond the range of floats".to_owned()),
        JsonValue::Str(text) => Value::Str(text.as_ref().to_owned()),
        JsonValue::Array(items) => {
            Value::List(items.iter().map(convert).collect::<Result<_, _>>()?)
        }
        JsonValue::Object(entries) => {
            let mut map: Vec<(String, Value)> = Vec::with_capacity(entries.len());
            let mut places: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
            for (key, value) in entries.iter() {
                let value = convert(value)?;
                let place = *places.entry(key.as_ref()).or_insert(map.len());
                match map.get_mut(place) {
                    Some(entry) => entry.1 = value,
                    None => map.push((key.as_ref().to_owned(), value)),
                }
            }
            Value::Map(map)
        }
    })
}
