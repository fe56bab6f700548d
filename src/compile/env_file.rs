//! The environment of children: `env` and `env_file` of the manifest and of each file that it includes.
//! Knows nothing of what single tasks add.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::compile::actions::{self, Scope};
use crate::compile::compose;
use crate::compile::context::Context;
use crate::diagnostic::{Diagnostic, utf8};
use crate::manifest::{Manifest, Spanned};
use crate::template::Template;

/// What dotenv files say, the last of equal names last.
type Variables = Vec<(String, String)>;

/// For each file, the variables that its children are given: those of files that are not in the
/// environment of jobrun, and those of `env`; what the manifest says first, then what an included
/// file says for its own.
pub(super) fn environments(context: &mut Context<'_>) -> Vec<Arc<[(String, Template)]>> {
    let whole = context.whole;
    let root_dir = compose::dir(&whole.manifest, context.options);
    let root_files = variables(context, &whole.manifest, &root_dir);
    let root_env = env(context, &whole.manifest);
    let mut environments = vec![joined(&[&root_files], &[&root_env])];
    for part in &whole.included {
        let own_files = variables(context, &part.manifest, &part.dir);
        let own_env = env(context, &part.manifest);
        environments.push(if own_files.is_empty() && own_env.is_empty() {
            Arc::clone(&environments[0])
        } else {
            joined(&[&root_files, &own_files], &[&root_env, &own_env])
        });
    }
    environments
}

fn joined(files: &[&Variables], envs: &[&Vec<(String, Template)>]) -> Arc<[(String, Template)]> {
    let files = files.iter().copied().flatten();
    let fixed = files.map(|(name, value)| (name.clone(), Template::fixed(value.as_str())));
    fixed.chain(envs.iter().copied().flatten().cloned()).collect()
}

fn env(context: &mut Context<'_>, manifest: &Manifest) -> Vec<(String, Template)> {
    let env = manifest.env.as_ref();
    env.map(|env| actions::environment(context, env, Scope::default())).unwrap_or_default()
}

/// The variables of the files of an `env_file`, but for those that jobrun's own environment has.
fn variables(context: &mut Context<'_>, manifest: &Manifest, dir: &Path) -> Variables {
    let mut all = Variables::new();
    for file in manifest.env_file.iter().flat_map(|files| &files.0) {
        match read(context, file, dir) {
            Ok(variables) => all.extend(variables),
            Err(fault) => context.fault(*fault),
        }
    }
    let inherited = &context.options.environment;
    all.retain(|(name, _)| !inherited.contains_key(OsStr::new(name)));
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
