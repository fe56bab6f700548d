//! Files of environment variables, as `NAME=VALUE` lines. Knows nothing of who gets them.

use std::cell::Cell;
use std::fmt::Display;
use std::io::{self, Read};
use std::path::Path;

use crate::compile::context::Context;
use crate::diagnostic::{Diagnostic, utf8};
use crate::manifest::{Manifest, Spanned};

/// What dotenv files say, the last of equal names last.
pub(super) type Variables = Vec<(String, String)>;

/// The variables of the files of an `env_file`, but for those that jobrun's own environment has.
pub(super) fn variables(context: &mut Context<'_>, manifest: &Manifest, dir: &Path) -> Variables {
    let mut all = Variables::new();
    for file in manifest.env_file.iter().flat_map(|files| &files.0) {
        match read(context, file, dir) {
            Ok(variables) => all.extend(variables),
            Err(fault) => context.fault(*fault),
        }
    }
    all.retain(|(name, _)| !context.options.environment.has(name));
    all
}

fn read(
    context: &mut Context<'_>,
    file: &Spanned<String>,
    dir: &Path,
) -> Result<Variables, Box<Diagnostic>> {
    let unreadable = |why: &dyn Display| {
        Diagnostic::error("env-file", format!("cannot read `{}`: {why}", file.value))
            .at(file.range())
            .hint("paths start from the folder of the file that they are written in")
    };
    let bytes = context.options.files.read(&dir.join(file.as_str()));
    let text = utf8(bytes.map_err(|error| unreadable(&error))?)
        .map_err(|fault| unreadable(&fault.message))?;
    let mut variables = Variables::new();
    for (line, variable) in parse(&text) {
        match variable {
            Some((_, value)) if value.contains('\0') => {
                let message = format!("line {line} of `{}` has a NUL character", file.value);
                context.fault(
                    Diagnostic::error("nul", message)
                        .at(file.range())
                        .hint("take it out: no program can get it"),
                );
            }
            Some(variable) => variables.push(variable),
            // What is written there may be a secret, so it is not shown.
            None => {
                let message = format!("line {line} of `{}` is not NAME=VALUE", file.value);
                context.fault(Diagnostic::error("env-file", message).at(file.range()).hint(
                    "put values with spaces or other special characters in single quotes, and \
                         close all quotes",
                ));
            }
        }
    }
    Ok(variables)
}

/// The variables of a dotenv text, each with its line; `None` for what is none.
fn parse(text: &str) -> Vec<(usize, Option<(String, String)>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let begun = Cell::new(0);
    let lines = Lines { rest: text.as_bytes(), at_start: true, begun: &begun };
    let mut found = Vec::new();
    for variable in dotenvy::from_read_iter(lines) {
        found.push(match variable {
            Ok(variable) => (begun.get(), Some(variable)),
            Err(dotenvy::Error::LineParse(written, _)) => {
                let more = written.strip_suffix('\n').unwrap_or(&written).matches('\n').count();
                (begun.get().saturating_sub(more), None)
            }
            // There is nothing that could not be read, and nothing else is asked of the system.
            Err(_) => (begun.get(), None),
        });
    }
    found
}

/// A text that is read line by line, so that it is known how far the parser is.
struct Lines<'a> {
    rest: &'a [u8],
    at_start: bool,
    begun: &'a Cell<usize>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let line =
            self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let count = line.min(buffer.len());
        let (now, rest) = self.rest.split_at(count);
        if self.at_start && !now.is_empty() {
            self.begun.set(self.begun.get() + 1);
        }
        self.at_start = now.last() == Some(&b'\n');
        buffer[..count].copy_from_slice(now);
        self.rest = rest;
        Ok(count)
    }
}
