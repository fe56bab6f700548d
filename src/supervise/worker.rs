//! Long-lived worker processes: started and signalled here, spoken to by who asked for them.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::guard::{self, Image, Strings};
use crate::supervise::descriptors::{SPARE_FILES, most_files, spares};
use crate::supervise::headroom::Headroom;
use crate::supervise::process::Process;
use crate::supervise::program::is;
use crate::supervise::spawn::Environment;

/// A worker process with our ends of its three streams, which block.
#[derive(Debug)]
pub struct Worker {
    /// Its process, in a group of its own.
    pub process: Process,
    /// Readable when it has ended; `None` if the system has none to give.
    pub end: Option<OwnedFd>,
    /// What it reads.
    pub stdin: OwnedFd,
    /// What it writes.
    pub stdout: OwnedFd,
    /// What it complains about.
    pub stderr: OwnedFd,
}

/// A worker takes one more that tells of its end, and one for a moment while it is started.
const FILES_OF_START: usize = 2;

/// Starts a worker: `program`, a path, with `args`, in this process's environment. Some descriptors are
/// left for files of our own.
///
/// # Errors
/// When it cannot be started.
pub fn spawn_worker(program: &Path, args: &[OsString], headroom: &Headroom) -> io::Result<Worker> {
    let start = || start(program, args, headroom);
    match start() {
        Err(error) if is(&error, Errno::MFILE) && headroom.raise_files() => start(),
        other => other,
    }
}

fn start(program: &Path, args: &[OsString], headroom: &Headroom) -> io::Result<Worker> {
    let name = program.as_os_str().as_bytes();
    let mut strings = Strings::default();
    strings.push(&[name])?;
    args.iter().try_for_each(|arg| strings.push(&[arg.as_bytes()]))?;
    let (its_stdin, stdin) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stdout, its_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, its_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    spares(&its_stderr, SPARE_FILES / 2 + FILES_OF_START, most_files())?;
    let (pid, end) = guard::spawn(&Image {
        program: &std::ffi::CString::new(name)?,
        args: &strings,
        env: &Environment::inherited().with(&[])?,
        cwd: None,
        streams: [its_stdin.as_fd(), its_stdout.as_fd(), its_stderr.as_fd()],
        inherits: &[],
        limits: headroom.files_of_children().as_slice(),
    })
    .map_err(|refused| refused.error)?;
    Ok(Worker { process: Process::new(pid), end, stdin, stdout, stderr })
}
