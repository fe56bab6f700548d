//! One run of a job at a time: who has the lock, and whose turn comes next. Knows nothing of what runs.
//!
//! A lock is a file that its holder has locked with `flock`: however the holder ends, the kernel frees
//! it. What is written in the file is for people alone, and true only while it is locked.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::SystemTime;

use crate::rundir::{State, encode};

/// What becomes of a run whose turn it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBusy {
    /// It waits for its turn.
    #[default]
    Wait,
    /// It does not begin, which is an error.
    Refuse,
    /// It begins all the same, and locks nothing.
    Ignore,
}

/// The right to run, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Whether it is a run's turn.
#[derive(Debug)]
pub enum Turn {
    /// It is.
    Ours(Lock),
    /// It is another run's.
    Theirs(Queue),
}

/// The wait for one's turn.
#[derive(Debug)]
pub struct Queue {
    file: File,
    path: PathBuf,
    us: Holder,
    them: Holder,
}

/// A run that has a lock, or wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    run: String,
    process: u32,
    since: String,
    host: String,
}

impl Holder {
    /// The run `run`, which the user knows as the process `process`, and which has the lock from now on.
    pub fn new(run: &str, process: u32) -> Self {
        let since = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        Self { run: run.to_owned(), process, since, host: host() }
    }

    /// What the file of a lock says. It may say nothing, if its holder has only just got it.
    fn read(file: &mut File) -> Self {
        let mut text = String::new();
        // What cannot be read is as good as not there: it is for people alone.
        let _ =
            file.seek(SeekFrom::Start(0)).and_then(|_| file.take(4096).read_to_string(&mut text));
        let mut holder = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match key {
                "run" => value.clone_into(&mut holder.run),
                "process" => holder.process = value.parse().unwrap_or_default(),
                "since" => value.clone_into(&mut holder.since),
                "host" => value.clone_into(&mut holder.host),
                _ => {}
            }
        }
        holder
    }

    fn write(&self, file: &mut File) -> io::Result<()> {
        let Self { run, process, since, host } = self;
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        write!(file, "run {run}\nprocess {process}\nsince {since}\nhost {host}\n")
    }
}

impl fmt::Display for Holder {
    /// `run 20261201-… (process 12, since 2026-12-01T00:00:00Z)`, with its host if that is another.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.run.is_empty() {
            return f.write_str("another run");
        }
        write!(f, "run {} (process {}", self.run, self.process)?;
        if self.host != host() {
            write!(f, " on {}", self.host)?;
        }
        write!(f, ", since {})", self.since)
    }
}

/// Asks for the lock of the job `job` that is written down at `place`: jobs of one name in two places are
/// two jobs.
///
/// # Errors
/// When the file cannot be made, or not be locked.
pub fn take(state: &State, job: &str, place: &Path, us: Holder) -> io::Result<Turn> {
    let (folder, name) = (state.folder("locks")?, file_name(job, place));
    let path = folder.path().join(&name);
    let mut file = folder.own_file(&name).map_err(|error| about(&path, &error))?;
    match again(|| file.try_lock()) {
        Ok(()) => Ok(Turn::Ours(Lock::with(file, &path, &us)?)),
        Err(TryLockError::WouldBlock) => {
            let them = Holder::read(&mut file);
            Ok(Turn::Theirs(Queue { file, path, us, them }))
        }
        Err(TryLockError::Error(error)) => Err(cannot_lock(&path, &error)),
    }
}

impl Lock {
    fn with(mut file: File, path: &Path, us: &Holder) -> io::Result<Self> {
        us.write(&mut file).map_err(|error| about(path, &error))?;
        Ok(Self { _file: file })
    }
}

impl Queue {
    /// Who has the lock.
    pub fn holder(&self) -> &Holder {
        &self.them
    }

    /// Waits on a thread of its own, and hands over what comes of it. If nobody wants that any more, it
    /// is to be dropped.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn wait(self, then: impl FnOnce(io::Result<Lock>) + Send + 'static) -> io::Result<()> {
        let wait = move || {
            let Self { file, path, us, .. } = self;
            then(match again(|| file.lock().map_err(TryLockError::Error)) {
                Ok(()) => Lock::with(file, &path, &us),
                Err(error) => Err(cannot_lock(&path, &error.into())),
            });
        };
        thread::Builder::new().name("jobrun-turn".to_owned()).spawn(wait).map(drop)
    }
}

/// The name of the lock of a job, however its place was reached.
fn file_name(job: &str, place: &Path) -> String {
    let place = fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
    let hash = blake3::hash(place.as_os_str().as_encoded_bytes()).to_hex();
    format!("{}-{}", encode(job), &hash[..16])
}

/// Does it again as long as a signal comes in between.
fn again(mut act: impl FnMut() -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    loop {
        match act() {
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn cannot_lock(path: &Path, error: &io::Error) -> io::Error {
    let message =
        format!("cannot lock {}: {error}; --lock ignore runs without a lock", path.display());
    io::Error::new(error.kind(), message)
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot use the lock {}: {error}", path.display()))
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
