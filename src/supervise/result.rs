//! A child's standard output as the result of its future. Knows nothing of processes.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};

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
        ResultKind::Json => {
            Value::from_json(&whole(stdout, original)?).map_err(|what| format!("stdout is {what}"))
        }
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
        None => match &stdout.lost {
            Some(lost) => Err(format!("most of stdout is lost: {}", lost.why)),
            None => Ok(Cow::Borrowed(&stdout.kept)),
        },
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
