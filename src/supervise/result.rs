//! A child's standard output as the result of its future. Knows nothing of processes.

use std::borrow::Cow;
use std::fs;

use crate::outcome::Captured;
use crate::value::Value;
use crate::work::ResultKind;

/// A result is read from at most so many bytes.
const MAX_RESULT: u64 = 16 << 20;

/// The result that `stdout` makes, or why it makes none.
///
/// Bytes that are no UTF-8 become U+FFFD in text and lines; JSON that is no UTF-8 is an error.
pub(crate) fn read(kind: ResultKind, stdout: &Captured) -> Result<Value, String> {
    match kind {
        ResultKind::None => Ok(Value::Null),
        ResultKind::Auto if stdout.bytes > stdout.kept.len() as u64 => Ok(Value::Null),
        ResultKind::Auto => Ok(text(&stdout.kept)),
        ResultKind::Text => Ok(text(&whole(stdout)?)),
        ResultKind::Lines => {
            let whole = whole(stdout)?;
            let lines = String::from_utf8_lossy(&whole);
            Ok(Value::List(lines.lines().map(Value::from).collect()))
        }
        ResultKind::Json => {
            Value::from_json(&whole(stdout)?).map_err(|what| format!("stdout is {what}"))
        }
    }
}

fn whole(stdout: &Captured) -> Result<Cow<'_, [u8]>, String> {
    if stdout.bytes > MAX_RESULT {
        let (bytes, most) = (stdout.bytes, MAX_RESULT >> 20);
        return Err(format!("stdout has {bytes} bytes; a result is read from at most {most} MiB"));
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

fn text(bytes: &[u8]) -> Value {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    Value::Str(String::from_utf8_lossy(line).into_owned())
}
