//! From the words of the command line to a compiled job, or to what is wrong with them.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cli::args::Changes;
use crate::compile::{self, Environment};
use crate::diagnostic::{Diagnostic, Source, utf8};
use crate::exit::Exit;
use crate::files::{self, Disk};
use crate::functions::Functions;
use crate::graph::ReturnWhen;
use crate::job::Job;
use crate::manifest;
use crate::mask::Masker;

/// The file that is looked for where none is named.
const DEFAULT: &str = "jobrun.toml";

/// What is to be run.
#[derive(Debug)]
pub struct Target {
    /// The manifest; `-` for standard input.
    file: PathBuf,
    /// The tasks; all if there are none.
    tasks: Vec<String>,
}

impl Target {
    /// The first word is the manifest if it is a file, ends in `.toml` or is `-`; else all words are
    /// tasks of the nearest `jobrun.toml`.
    pub fn of_words(words: &[String]) -> Result<Self, Problem> {
        match words.split_first() {
            Some((first, tasks))
                if first == "-" || is_toml(Path::new(first)) || Path::new(first).is_file() =>
            {
                Ok(Self::named(PathBuf::from(first), tasks.to_vec()))
            }
            _ => Self::of_file(None, words.to_vec()),
        }
    }

    /// A manifest, or the nearest `jobrun.toml` upward if none is given.
    pub fn of_file(file: Option<PathBuf>, tasks: Vec<String>) -> Result<Self, Problem> {
        let file = match file {
            Some(file) => file,
            None => nearest().ok_or_else(|| {
                let hint = "name a manifest (jobrun jobs/x.toml) or start one with `jobrun new`";
                match tasks.first() {
                    Some(word) => Problem::Words(format!(
                        "`{word}` is neither a file nor a command, and there is no {DEFAULT} here \
                         or above that could have it as a task; {hint}"
                    )),
                    None => Problem::Words(format!("there is no {DEFAULT} here or above; {hint}")),
                }
            })?,
        };
        Ok(Self::named(file, tasks))
    }

    /// This manifest.
    pub fn named(file: PathBuf, tasks: Vec<String>) -> Self {
        Self { file, tasks }
    }

    /// The manifest as the user knows it.
    pub fn shown(&self) -> String {
        self.file.display().to_string()
    }

    /// The text of the manifest.
    pub fn read(&self) -> Result<Source, Box<Diagnostic>> {
        let shown = self.shown();
        let unreadable = |message| Box::new(Diagnostic::error("unreadable-file", message));
        let bytes = if self.file == Path::new("-") {
            read_bounded(io::stdin().lock())
        } else {
            files::open(&self.file).and_then(read_bounded)
        };
        let bytes = bytes.map_err(|error| unreadable(format!("cannot read {shown}: {error}")))?;
        Ok(Source::new(shown, utf8(bytes)?))
    }

    /// The folder that the paths of the manifest start from.
    fn dir(&self) -> PathBuf {
        let parent = self.file.parent().filter(|it| !it.as_os_str().is_empty());
        let dir = parent.unwrap_or(Path::new("."));
        std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub enum Problem {
    /// The arguments are wrong.
    Words(String),
    /// The manifest is wrong: all faults, as shown to people, and how many there are.
    Manifest(String, usize),
    /// jobrun could not do its own work.
    Work(String),
}

impl Problem {
    /// Standard output cannot be written.
    pub fn output(error: &io::Error) -> Self {
        Self::Work(format!("cannot write to standard output: {error}"))
    }

    /// The manifest cannot be read, or is no text.
    fn unread(target: &Target, fault: &Diagnostic, color: bool) -> Self {
        if fault.code == "unreadable-file" {
            return Self::Words(fault.message.clone());
        }
        Self::Manifest(fault.render(&Source::new(target.shown(), "").into(), color), 1)
    }

    /// Says it on standard error; gives the exit code.
    pub fn tell(&self) -> u8 {
        let code = match self {
            Self::Words(message) | Self::Work(message) => {
                super::tell(&format!("error: {message}"));
                if matches!(self, Self::Work(_)) { Exit::Error } else { Exit::Invalid }
            }
            Self::Manifest(rendered, _) => {
                super::tell(rendered.trim_end());
                Exit::Invalid
            }
        };
        code.code()
    }

    /// The same without secrets.
    #[must_use]
    pub fn covered(self, masker: &Masker) -> Self {
        match self {
            Self::Words(message) => Self::Words(masker.owned(message)),
            Self::Manifest(rendered, count) => Self::Manifest(masker.owned(rendered), count),
            Self::Work(message) => Self::Work(masker.owned(message)),
        }
    }

    /// It in a few words.
    pub fn headline(&self) -> String {
        match self {
            Self::Words(message) | Self::Work(message) => message.clone(),
            Self::Manifest(_, 1) => "1 fault; see `jobrun check`".to_owned(),
            Self::Manifest(_, count) => format!("{count} faults; see `jobrun check`"),
        }
    }
}

/// The environment of this process, which a later run may not have.
pub fn environment_of_now() -> Environment {
    Environment::of_now(std::env::vars_os())
}

/// Reads and compiles a target for an environment.
pub fn job(
    target: &Target,
    changes: &Changes,
    color: bool,
    functions: &Functions,
    environment: Environment,
) -> Result<Job, Problem> {
    let options = options(target, changes, environment)?;
    let source = target.read().map_err(|fault| Problem::unread(target, &fault, color))?;
    let source = Arc::new(source);
    compile::load(&source, functions, &options)
        .map_err(|faults| Problem::Manifest(faults.render(color), faults.len()))
}

/// What the command line changes, in the compiler's terms.
pub fn options(
    target: &Target,
    changes: &Changes,
    environment: Environment,
) -> Result<compile::Options, Problem> {
    Ok(compile::Options {
        max_workers: changes
            .max_workers
            .iter()
            .map(|word| max_workers(word))
            .collect::<Result<_, _>>()?,
        return_when: changes.return_when.as_deref().map(return_when).transpose()?,
        fail_fast: changes.fail_fast,
        timeout: changes.timeout.as_deref().map(timeout).transpose()?,
        vars: changes.vars.iter().map(|word| var(word)).collect::<Result<_, _>>()?,
        tasks: target.tasks.clone(),
        tags: changes.tags.clone(),
        skip: changes.skip.clone(),
        dir: Some(target.dir()),
        files: Arc::new(Disk),
        environment,
    })
}

/// `N`, or `NAME=N`.
fn max_workers(word: &str) -> Result<(String, u32), Problem> {
    let (name, count) = word.rsplit_once('=').unwrap_or(("default", word));
    match count.trim().parse::<i64>() {
        Ok(count) if count <= 0 => {
            Err(Problem::Words("max_workers must be greater than 0".to_owned()))
        }
        Ok(count) => Ok((name.to_owned(), u32::try_from(count).unwrap_or(u32::MAX))),
        Err(_) => Err(Problem::Words(format!(
            "--max-workers {word}: wants a number, or NAME=NUMBER for an executor of that name"
        ))),
    }
}

fn return_when(word: &str) -> Result<ReturnWhen, Problem> {
    manifest::return_when(word)
        .map_err(|message| Problem::Words(format!("--return-when {word}: {message}")))
}

/// A duration as in a manifest; `none` takes the manifest's timeout away.
fn timeout(word: &str) -> Result<Option<Duration>, Problem> {
    manifest::duration(word)
        .map_err(|message| Problem::Words(format!("--timeout {word}: {message}")))
}

/// `NAME=VALUE`.
fn var(word: &str) -> Result<(String, String), Problem> {
    word.split_once('=')
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| Problem::Words(format!("--var {word}: wants NAME=VALUE")))
}

/// Reads no more than a manifest may have, and a byte, so that the parser can tell that it is more.
fn read_bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(manifest::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "toml")
}

fn nearest() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let found = here.ancestors().map(|dir| dir.join(DEFAULT)).find(|file| file.is_file())?;
    // A path as short as what a person would have typed.
    Some(found.strip_prefix(&here).map(Path::to_owned).unwrap_or(found))
}

/// The manifests of a folder and of its `jobs` folder, sorted. Cargo's own file is not one.
pub fn manifests_in(dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut files = Vec::new();
    for dir in [dir.to_owned(), dir.join("jobs")] {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(Problem::Words(format!("cannot read {}: {error}", dir.display())));
            }
        };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
            let foreign = ["Cargo.toml", "rustfmt.toml", "clippy.toml", "pyproject.toml"];
            if is_toml(&path) && path.is_file() && !foreign.contains(&name) {
                files.push(path.strip_prefix("./").map(Path::to_owned).unwrap_or(path));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A job and its tasks, for `list`.
pub fn listing(target: &Target, job: &Job) -> String {
    let mut text = format!("{} ({})", job.name, target.shown());
    if let Some(description) = &job.description {
        let _ = write!(text, ": {description}");
    }
    text.push('\n');
    for (id, task) in job.graph.tasks() {
        let _ = write!(text, "  {}", super::graph::label(&task.name, &task.size));
        let tags = &job.spec(id).tags;
        if !tags.is_empty() {
            let _ = write!(text, "  [{}]", tags.join(", "));
        }
        text.push('\n');
    }
    text
}
