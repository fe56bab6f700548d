//! One child process started: its program found, its streams made, and what went wrong in words.
//! Knows nothing of what comes after.

use std::collections::HashMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Access, MemfdFlags, access, memfd_create};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, getrlimit, pidfd_open, prlimit, setrlimit,
};

use crate::guard::{inherit, spawning};
use crate::supervise::message::Request;
use crate::work;

/// Where programs are looked up if nobody says.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Starts children. Each thread that does has one.
pub(crate) struct Spawner {
    /// The `PATH` of this process.
    path: OsString,
    /// What was found, by `PATH` and name.
    found: HashMap<OsString, HashMap<OsString, PathBuf>>,
    /// Variables of this process that no child inherits.
    foreign: Vec<OsString>,
    limit: OpenFiles,
}

/// The limit of open files that children inherit, once this process has raised its own. Shared by
/// all threads.
pub(crate) type OpenFiles = Arc<OnceLock<Rlimit>>;

/// A child that runs.
pub(crate) struct Spawned {
    pub(crate) process: Child,
    /// Readable when the process has ended; `None` if the system has none to give.
    pub(crate) pidfd: Option<OwnedFd>,
    /// The ends that we read, which do not block.
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// Why a child could not be started.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The program is open for writing: soon it may not be.
    Busy(String),
    /// The system has no more processes, descriptors or memory: later it may.
    Scarce(String),
    /// It cannot be started.
    Never(String),
}

impl Refusal {
    /// What is wrong.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Busy(why) | Self::Scarce(why) | Self::Never(why) => why,
        }
    }
}

impl Spawner {
    pub(crate) fn new(limit: OpenFiles) -> Self {
        let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        Self { path, found: HashMap::new(), foreign: foreign_variables().collect(), limit }
    }

    /// Starts a child in a process group of its own.
    pub(crate) fn spawn(&mut self, request: &Request) -> Result<Spawned, Refusal> {
        let command = &request.command;
        let program = self.find(command)?;
        let spawned = match start(&program, request, &self.foreign) {
            Err(error) if is(&error, Errno::MFILE) && self.raise_limit() => {
                start(&program, request, &self.foreign)
            }
            other => other,
        };
        let spawned = spawned.map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                // It may have moved since it was found.
                self.found.clear();
            }
            explain(&error, &program, command)
        })?;
        self.restore_limit(&spawned.process);
        Ok(spawned)
    }

    /// The path of the program, looked up in the `PATH` that the child will have.
    fn find(&mut self, command: &work::Command) -> Result<PathBuf, Refusal> {
        let name = &command.program;
        if has_slash(name) {
            let path = std::path::absolute(command.cwd.join(name));
            return path.map_err(|error| {
                Refusal::Never(format!("cannot run `{}`: {error}", name.display()))
            });
        }
        let own = command.env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, path)| path);
        let path = own.unwrap_or(&self.path);
        if let Some(program) = self.found.get(path).and_then(|known| known.get(name)) {
            return Ok(program.clone());
        }
        let (program, depends_on_cwd) =
            look_up(name, path, &command.cwd).map_err(Refusal::Never)?;
        if !depends_on_cwd {
            let known = self.found.entry(path.clone()).or_default();
            known.insert(name.clone(), program.clone());
        }
        Ok(program)
    }

    /// Lets this process have as many open files as the system allows. Whether that changed
    /// anything.
    fn raise_limit(&self) -> bool {
        let mut raised = false;
        self.limit.get_or_init(|| {
            let before = getrlimit(Resource::Nofile);
            let more = Rlimit { current: before.maximum, maximum: before.maximum };
            raised = before.current != before.maximum && setrlimit(Resource::Nofile, more).is_ok();
            before
        });
        raised
    }

    /// Gives a child the limit that this process was given. Programs that use `select`, or that
    /// close every descriptor they might have, rely on it.
    fn restore_limit(&self, process: &Child) {
        if let Some(limit) = self.limit.get() {
            let _ = prlimit(Some(Pid::from_child(process)), Resource::Nofile, *limit);
        }
    }
}

/// The variables of this process that speak of the future it is itself, if another jobrun started
/// it: about its own children they would lie.
pub(crate) fn foreign_variables() -> impl Iterator<Item = OsString> {
    let names = env::vars_os().map(|(name, _)| name);
    names.filter(|name| {
        name.as_encoded_bytes().starts_with(b"JOBRUN_") && name != "JOBRUN_STATE_DIR"
    })
}

fn start(program: &Path, request: &Request, foreign: &[OsString]) -> io::Result<Spawned> {
    let command = &request.command;
    let mut std_command = Command::new(program);
    for name in foreign {
        std_command.env_remove(name);
    }
    std_command
        .arg0(&command.program)
        .args(&command.args)
        .envs(command.env.iter().map(|(key, value)| (key, value)))
        .process_group(0)
        .stdin(match &command.stdin {
            Some(text) => Stdio::from(input(text)?),
            None => Stdio::null(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if !command.cwd.as_os_str().is_empty() {
        std_command.current_dir(&command.cwd);
    }
    if let Some(descriptors) = &request.inherit {
        inherit(&mut std_command, Arc::clone(descriptors));
    }
    let mut process = spawning(|| std_command.spawn())?;
    // It holds the child's ends of the pipes, which would never end.
    drop(std_command);
    let (Some(stdout), Some(stderr)) = (process.stdout.take(), process.stderr.take()) else {
        return Err(io::Error::other("a child without its streams"));
    };
    let (stdout, stderr) = (OwnedFd::from(stdout), OwnedFd::from(stderr));
    // A pipe that takes this call for a pipe cannot refuse it.
    let _ = ioctl_fionbio(&stdout, true);
    let _ = ioctl_fionbio(&stderr, true);
    let pidfd = pidfd_open(Pid::from_child(&process), PidfdFlags::empty()).ok();
    Ok(Spawned { process, pidfd, stdout, stderr })
}

/// A file in memory that holds `text`: unlike a pipe, nobody has to write it while the child reads.
fn input(text: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
    file.write_all(text)?;
    file.rewind()?;
    Ok(file)
}

fn has_slash(name: &OsStr) -> bool {
    name.as_encoded_bytes().contains(&b'/')
}

/// The first executable file called `name` in the folders of `path`; those that are relative start
/// from `cwd`, and whether there were any of those before it was found.
fn look_up(name: &OsStr, path: &OsStr, cwd: &Path) -> Result<(PathBuf, bool), String> {
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

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Why a child could not be started, in words that name what is wrong.
fn explain(error: &io::Error, program: &Path, command: &work::Command) -> Refusal {
    let why = |text: String| format!("cannot run `{}`: {text}", command.program.display());
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    match errno {
        Some(Errno::TXTBSY) => {
            Refusal::Busy(why(format!("{} is being written to", program.display())))
        }
        Some(Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
            Refusal::Scarce(why(scarcity(error, errno)))
        }
        _ => Refusal::Never(why(reason(error, errno, program, command))),
    }
}

fn scarcity(error: &io::Error, errno: Option<Errno>) -> String {
    match errno {
        Some(Errno::AGAIN) => "the limit of processes is reached".to_owned(),
        Some(Errno::MFILE | Errno::NFILE) => "the limit of open files is reached".to_owned(),
        _ => error.to_string(),
    }
}

fn reason(
    error: &io::Error,
    errno: Option<Errno>,
    program: &Path,
    command: &work::Command,
) -> String {
    let cwd = &command.cwd;
    let has_cwd = !cwd.as_os_str().is_empty();
    let file = program.display();
    match errno {
        Some(Errno::NOENT | Errno::NOTDIR) if has_cwd && !cwd.exists() => {
            format!("its working directory {} does not exist", cwd.display())
        }
        Some(Errno::NOENT | Errno::NOTDIR) if has_cwd && !cwd.is_dir() => {
            format!("its working directory {} is not a directory", cwd.display())
        }
        Some(Errno::NOENT) if program.exists() => {
            format!("the interpreter that {file} names does not exist")
        }
        Some(Errno::NOENT | Errno::NOTDIR) => format!("{file} does not exist"),
        Some(Errno::ACCESS) if has_cwd && access(cwd, Access::EXEC_OK).is_err() => {
            format!("its working directory {} cannot be entered", cwd.display())
        }
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
