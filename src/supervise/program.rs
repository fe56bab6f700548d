//! Which file a program is, and why it could not be started, in words. Knows nothing of processes.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::guard::{Refused, Step};
use crate::supervise::bounds::Bounds;
use crate::work;

/// Why a child could not be started.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The program is open for writing: soon it may not be.
    Busy(String),
    /// The system has no more processes or memory: later it may.
    Scarce(String),
    /// This thread can have no more descriptors: later it may.
    Files(String),
    /// It cannot be started.
    Never(String),
}

impl Refusal {
    /// What is wrong.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Busy(why) | Self::Scarce(why) | Self::Files(why) | Self::Never(why) => why,
        }
    }
}

/// Where programs are looked up if nobody says.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Whether a child in `cwd` whose `PATH` this is would find a program. Starts nothing.
pub fn has_program(name: &OsStr, path: Option<&OsStr>, cwd: &Path) -> bool {
    if has_slash(name) {
        let file = cwd.join(name);
        return file.is_file() && access(&file, Access::EXEC_OK).is_ok();
    }
    look_up(name, path.unwrap_or(DEFAULT_PATH.as_ref()), cwd).is_ok()
}

pub(crate) fn has_slash(name: &OsStr) -> bool {
    name.as_encoded_bytes().contains(&b'/')
}

/// The first executable file called `name` in the folders of `path`; those that are relative start
/// from `cwd`, and whether there were any of those before it was found.
pub(crate) fn look_up(name: &OsStr, path: &OsStr, cwd: &Path) -> Result<(PathBuf, bool), String> {
    let mut not_executable = None;
    let mut depends_on_cwd = false;
    for folder in env::split_paths(path) {
        depends_on_cwd |= folder.is_relative();
        let candidate = match std::path::absolute(cwd.join(folder).join(name)) {
            Ok(candidate) if candidate.is_file() => candidate,
            _ => continue,
        };
        if access(&candidate, Access::EXEC_OK).is_ok() {
            return Ok((candidate, depends_on_cwd));
        }
        not_executable.get_or_insert(candidate);
    }
    let name = name.display();
    Err(match not_executable {
        Some(file) => format!("cannot run `{name}`: {} is not executable", file.display()),
        None => format!("cannot run `{name}`: it was not found in PATH"),
    })
}

pub(crate) fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Whether an error says that the system is short of something, and may not be later.
pub fn is_scarcity(error: &io::Error) -> bool {
    let scarce = [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    scarce.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Why a child could not be started, in words that name what is wrong.
pub(crate) fn explain(
    refused: &Refused,
    program: &Path,
    command: &work::Command,
    bounds: &Bounds,
) -> Refusal {
    let why = |text: String| format!("cannot run `{}`: {text}", command.program.display());
    let error = &refused.error;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let memory = command.limits.as_ref().and_then(|limits| limits.memory);
    match (refused.step, errno) {
        (Step::Limit(place), _) => Refusal::Never(why(bounds.explain(place, error))),
        (Step::Program, Some(Errno::NOMEM)) if memory.is_some() => Refusal::Never(why(
            "what `limits.memory` lets it have is not enough to begin".to_owned(),
        )),
        (Step::Directory, _) => Refusal::Never(why(no_directory(error, errno, &command.cwd))),
        (_, Some(Errno::TXTBSY)) => {
            Refusal::Busy(why(format!("{} is being written to", program.display())))
        }
        (_, Some(Errno::MFILE)) => Refusal::Files(why(scarcity(error))),
        _ if is_scarcity(error) => Refusal::Scarce(why(scarcity(error))),
        _ => Refusal::Never(why(reason(error, errno, program, command))),
    }
}

/// What the system is short of.
pub fn scarcity(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::AGAIN) => "the limit of processes is reached".to_owned(),
        Some(Errno::MFILE | Errno::NFILE) => "the limit of open files is reached".to_owned(),
        _ => error.to_string(),
    }
}

fn no_directory(error: &io::Error, errno: Option<Errno>, cwd: &Path) -> String {
    let what = match errno {
        Some(Errno::NOENT) => "does not exist".to_owned(),
        Some(Errno::NOTDIR) => "is not a directory".to_owned(),
        Some(Errno::ACCESS) => "cannot be entered".to_owned(),
        _ => format!("cannot be entered: {error}"),
    };
    format!("its working directory {} {what}", cwd.display())
}

fn reason(
    error: &io::Error,
    errno: Option<Errno>,
    program: &Path,
    command: &work::Command,
) -> String {
    let file = program.display();
    match errno {
        Some(Errno::NOENT) if program.exists() => {
            format!("the interpreter that {file} names does not exist")
        }
        Some(Errno::NOENT | Errno::NOTDIR) => format!("{file} does not exist"),
        Some(Errno::ACCESS) if program.is_dir() => format!("{file} is a directory"),
        Some(Errno::ACCESS) => format!("{file} is not executable"),
        Some(Errno::NOEXEC) => {
            format!("{file} is no program of this system; a script begins with `#!`")
        }
        Some(Errno::TOOBIG) => {
            let bytes: usize = command.args.iter().map(|arg| arg.len() + 1).sum();
            format!("its arguments ({bytes} bytes) and environment are too long for the system")
        }
        None if error.kind() == io::ErrorKind::InvalidInput => {
            "an argument, a variable or the working directory holds a NUL byte".to_owned()
        }
        _ => error.to_string(),
    }
}
