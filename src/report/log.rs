//! Where the lines of tracing go: standard error, with secrets covered, whoever wrote them. Knows
//! nothing of spans.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::mask::Masker;
use crate::value::Value;

/// Standard error, for a subscriber that writes a whole line at once.
#[derive(Debug)]
pub struct Stderr {
    masker: Masker,
}

impl Stderr {
    /// Standard error, with what `masker` covers covered.
    pub fn new(masker: Masker) -> Self {
        Self { masker }
    }
}

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(&covered(&self.masker, line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// JSON stays JSON: in it, only texts and numbers are covered.
fn covered<'a>(masker: &Masker, line: &'a [u8]) -> Cow<'a, [u8]> {
    let shown = masker.bytes(line);
    if matches!(shown, Cow::Borrowed(_)) || !line.starts_with(b"{") {
        return shown;
    }
    match serde_json::from_slice::<Value>(line) {
        Ok(value) => {
            let value = masker.value(&value).unwrap_or(value);
            format!("{value}\n").into_bytes().into()
        }
        Err(_) => shown,
    }
}
