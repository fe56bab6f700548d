//! One process started: its program found, its environment and its streams made. Knows nothing of what
//! comes after.

use std::collections::HashMap;
use std::env;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, open};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Resource;

use crate::guard::{self, Image, Refused, Strings};
use crate::supervise::bounds::Bounds;
use crate::supervise::cgroup::{Cell, Cells};
use crate::supervise::descriptors::{most_files, spares};
use crate::supervise::headroom::Headroom;
use crate::supervise::process::Process;
use crate::supervise::program::{DEFAULT_PATH, Refusal, explain, has_slash, is, look_up};
use crate::work::Command;

/// Starts children. Each thread that does has one.
pub(crate) struct Spawner {
    /// The `PATH` of this process.
    path: OsString,
    /// What was found, by `PATH` and name.
    found: HashMap<OsString, HashMap<OsString, PathBuf>>,
    base: Environment,
    /// What children read that read nothing.
    null: Option<OwnedFd>,
    headroom: Arc<Headroom>,
    /// How many descriptors this thread can have.
    most_files: usize,
    /// What every child inherits beyond its streams.
    inherit: Arc<[OwnedFd]>,
    cells: Arc<Cells>,
}

/// A child that runs.
pub(crate) struct Spawned {
    pub(crate) process: Process,
    /// Readable when the process has ended; `None` if the system has none to give.
    pub(crate) pidfd: Option<OwnedFd>,
    /// The ends that we read, which do not block.
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
    /// Where it is kept within its limits.
    pub(crate) cell: Option<Cell>,
}

impl Spawner {
    pub(crate) fn new(headroom: Arc<Headroom>, inherit: Arc<[OwnedFd]>, cells: Arc<Cells>) -> Self {
        let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        Self {
            path,
            found: HashMap::new(),
            base: Environment::inherited(),
            null: None,
            headroom,
            most_files: most_files(),
            inherit,
            cells,
        }
    }

    /// Starts a child in a process group of its own, if so many descriptors are to spare then.
    pub(crate) fn spawn(&mut self, command: &Command, spare: usize) -> Result<Spawned, Refusal> {
        let program = self.find(command)?;
        let bounds = self.bounds(command)?;
        let started = match self.start(&program, command, &bounds, spare) {
            Err(refused) if is(&refused.error, Errno::MFILE) && self.has_more_files() => {
                self.start(&program, command, &bounds, spare)
            }
            other => other,
        };
        started
            .map_err(|refused| {
                if refused.error.kind() == io::ErrorKind::NotFound {
                    // It may have moved since it was found.
                    self.found.clear();
                }
                explain(&refused, &program, command, &bounds)
            })
            .map(|spawned| Spawned { cell: bounds.cell(), ..spawned })
    }

    fn start(
        &mut self,
        program: &Path,
        command: &Command,
        bounds: &Bounds,
        spare: usize,
    ) -> Result<Spawned, Refused> {
        let mut args = Strings::default();
        args.push(&[command.program.as_bytes()])?;
        command.args.iter().try_for_each(|arg| args.push(&[arg.as_bytes()]))?;
        let env = self.base.with(&command.env)?;
        let cwd = command.cwd.as_os_str();
        let cwd = if cwd.is_empty() { None } else { Some(terminated(cwd.as_bytes())?) };
        let mut limits = bounds.list();
        if !bounds.holds(Resource::Nofile) {
            limits.extend(self.headroom.files_of_children());
        }
        let (inherit, most_files) = (Arc::clone(&self.inherit), self.most_files);
        let text = command.stdin.as_deref().map(input).transpose()?;
        let stdin = match &text {
            Some(text) => text.as_fd(),
            None => self.null()?.as_fd(),
        };
        let (stdout, its_stdout) = pipe()?;
        let (stderr, its_stderr) = pipe()?;
        spares(&its_stderr, spare, most_files)?;
        let (pid, pidfd) = guard::spawn(&Image {
            program: &terminated(program.as_os_str().as_bytes())?,
            args: &args,
            env: &env,
            cwd: cwd.as_deref(),
            streams: [stdin, its_stdout.as_fd(), its_stderr.as_fd()],
            inherits: &inherit,
            limits: &limits,
        })?;
        // A pipe that takes this call for a pipe cannot refuse it.
        let _ = ioctl_fionbio(&stdout, true);
        let _ = ioctl_fionbio(&stderr, true);
        Ok(Spawned { process: Process::new(pid), pidfd, stdout, stderr, cell: None })
    }

    fn bounds(&self, command: &Command) -> Result<Bounds, Refusal> {
        let Some(limits) = &command.limits else { return Ok(Bounds::default()) };
        Bounds::prepare(limits, &self.cells).map_err(|why| {
            Refusal::Never(format!("cannot run `{}`: {why}", command.program.display()))
        })
    }

    /// The path of the program, looked up in the `PATH` that the child will have.
    fn find(&mut self, command: &Command) -> Result<PathBuf, Refusal> {
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

    fn null(&mut self) -> io::Result<&OwnedFd> {
        if self.null.is_none() {
            self.null = Some(open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
        }
        self.null.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether this thread can have more descriptors than it thought, perhaps because it asks for that.
    fn has_more_files(&mut self) -> bool {
        self.headroom.raise_files();
        let before = std::mem::replace(&mut self.most_files, most_files());
        self.most_files > before
    }
}

/// A pipe: the end that is read, and the one that is written.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

/// Bytes as the system takes them.
fn terminated(bytes: &[u8]) -> io::Result<CString> {
    Ok(CString::new(bytes)?)
}

/// The environment that all children share, as the system takes it.
pub(crate) struct Environment {
    variables: Vec<Vec<u8>>,
    /// The places of the variables, by name.
    places: HashMap<Vec<u8>, usize>,
}

impl Environment {
    /// That of this process, less the variables that speak of the future it is itself, if another
    /// jobrun started it: about its own children they would lie.
    pub(crate) fn inherited() -> Self {
        let mut this = Self { variables: Vec::new(), places: HashMap::new() };
        for (name, value) in env::vars_os() {
            let foreign = name.as_bytes().starts_with(b"JOBRUN_") && name != "JOBRUN_STATE_DIR";
            if !foreign {
                let name = name.into_vec();
                this.variables.push([name.as_slice(), b"=", value.as_bytes()].concat());
                this.places.insert(name, this.variables.len() - 1);
            }
        }
        this
    }

    /// It with `own` on top, of whose equal names the last wins.
    ///
    /// # Errors
    /// When a name or a value contains a NUL byte.
    pub(crate) fn with(&self, own: &[(OsString, OsString)]) -> io::Result<Strings> {
        let mut strings = Strings::default();
        let mut hidden: Vec<usize> =
            own.iter().filter_map(|(name, _)| self.places.get(name.as_bytes()).copied()).collect();
        hidden.sort_unstable();
        for (place, variable) in self.variables.iter().enumerate() {
            if hidden.binary_search(&place).is_err() {
                strings.push(&[variable])?;
            }
        }
        for (place, (name, value)) in own.iter().enumerate() {
            if !own[place + 1..].iter().any(|(later, _)| later == name) {
                strings.push(&[name.as_bytes(), b"=", value.as_bytes()])?;
            }
        }
        Ok(strings)
    }
}

/// A file in memory that holds `text`: unlike a pipe, nobody has to write it while the child reads.
fn input(text: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
    file.write_all(text)?;
    file.rewind()?;
    Ok(file)
}
