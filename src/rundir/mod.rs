//! The files of a run: where they lie, when they are made, when old ones go. Knows nothing of what
//! is in them.

mod state;

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

pub use state::{Folder, State};

use crate::mask::Masker;

/// So many runs keep their files, this one included.
const KEPT_RUNS: usize = 20;

/// The file that a run holds locked while it is alive.
const LOCK: &str = ".lock";

/// So many times a name that is taken gets another number.
const MAX_SAME_NAMES: u32 = 1000;

/// The folder of one run's files. Nothing is made until the first file is. Clones are the same
/// folder.
#[derive(Clone, Debug)]
pub struct RunDir {
    inner: Arc<Inner>,
    masker: Masker,
    /// Whether nothing is to be kept.
    nowhere: bool,
}

#[derive(Debug)]
struct Inner {
    /// Where all runs' files lie.
    state: State,
    run: String,
    made: Mutex<Option<Arc<Made>>>,
}

/// The folder once it is there.
#[derive(Debug)]
struct Made {
    folder: Folder,
    /// Locked while this run is alive, however it ends.
    _lock: File,
}

impl RunDir {
    /// The folder of the run `run_id`, where the environment says.
    pub fn new(run_id: &str) -> Self {
        Self::with_state(State::of_environment(), run_id)
    }

    /// The folder of the run `run_id`, under `state`.
    pub fn at(state: impl Into<PathBuf>, run_id: &str) -> Self {
        Self::with_state(State::at(state), run_id)
    }

    fn with_state(state: State, run_id: &str) -> Self {
        let inner = Inner { state, run: encode(run_id), made: Mutex::new(None) };
        Self { inner: Arc::new(inner), masker: Masker::none(), nowhere: false }
    }

    /// No folder: of what would go to a file nobody will ask for the whole.
    pub fn nowhere() -> Self {
        Self { nowhere: true, ..Self::with_state(State::default(), "") }
    }

    /// Whether there is no folder, and no file is to be asked for.
    pub fn is_nowhere(&self) -> bool {
        self.nowhere
    }

    /// The same folder, for files in which secrets are covered.
    #[must_use]
    pub fn masked(mut self, masker: Masker) -> Self {
        self.masker = masker;
        self
    }

    /// What covers secrets: whatever is written to a file goes through it.
    pub fn masker(&self) -> &Masker {
        &self.masker
    }

    /// The same run, for a thread that shares no descriptors with others.
    #[must_use]
    pub fn apart(&self) -> Self {
        let (state, run) = (self.inner.state.clone(), self.inner.run.clone());
        let inner = Inner { state, run, made: Mutex::new(None) };
        Self { inner: Arc::new(inner), masker: self.masker.clone(), nowhere: self.nowhere }
    }

    /// Makes a new file and says where it is. `name` may be anything, such as the name of a future:
    /// what does not suit a file name is percent-encoded, and one that is taken gets a number.
    ///
    /// Only this user can read it, whatever the umask. The first file makes the folder and removes
    /// those of old runs.
    ///
    /// # Errors
    ///
    /// When the folder or the file cannot be made, or somebody else could change what is in the folder.
    pub fn file(&self, name: &str) -> io::Result<(File, PathBuf)> {
        let made = self.inner.made()?;
        let name = encode(&self.masker.text(name));
        for number in 0..MAX_SAME_NAMES {
            let name = if number == 0 { name.clone() } else { format!("{name}~{number}") };
            match made.folder.new_file(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                new => return new.map(|file| (file, made.folder.path().join(name))),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("too many files named {name}")))
    }

    /// Makes a file that nobody else can open, to be written and read back: it is gone with its
    /// descriptor. What is in it need not be covered.
    ///
    /// # Errors
    ///
    /// As [`file`](Self::file).
    pub fn nameless(&self) -> io::Result<File> {
        let (file, path) = self.file("nameless")?;
        let name = path.file_name().unwrap_or_default();
        self.inner.made()?.folder.remove(&name.to_string_lossy())?;
        Ok(file)
    }
}

impl Inner {
    fn made(&self) -> io::Result<Arc<Made>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*made {
            return Ok(Arc::clone(made));
        }
        let new = Arc::new(Made::make(&self.state, &self.run)?);
        *made = Some(Arc::clone(&new));
        Ok(new)
    }
}

impl Made {
    fn make(state: &State, run: &str) -> io::Result<Self> {
        let runs = state.folder("runs")?;
        let folder = runs.folder(run)?;
        let lock = folder.own_file(LOCK)?;
        // A file system without locks still holds files; they may be pruned early.
        let _ = lock.try_lock_shared();
        prune(runs.path(), folder.path());
        Ok(Self { folder, _lock: lock })
    }
}

/// Removes the files of all but the newest runs, and of those that are alive. What cannot be removed
/// stays: that is no reason to fail.
fn prune(runs: &Path, own: &Path) {
    let mut others: Vec<(SystemTime, PathBuf)> = fs::read_dir(runs)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.path() != own)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    others.sort();
    let old = others.len().saturating_sub(KEPT_RUNS - 1);
    for (_, path) in others.drain(..old).filter(|(_, path)| !is_alive(path)) {
        let _ = fs::remove_dir_all(path);
    }
}

fn is_alive(run: &Path) -> bool {
    // Without waiting, should somebody have put a pipe there.
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
        .open(run.join(LOCK))
        .is_ok_and(|lock| matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// A file name for any text: letters, digits, `.`, `_` and `-` stay, but for a first `.`.
pub(crate) fn encode(name: &str) -> String {
    // A name has at most 255 bytes, and other text may follow.
    const MAX_LEN: usize = 200;
    let mut encoded = String::with_capacity(name.len());
    for (place, byte) in name.bytes().enumerate() {
        match byte {
            b'.' if place == 0 => encoded.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                encoded.push(char::from(byte));
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    if encoded.len() > MAX_LEN {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        encoded.truncate(MAX_LEN - 17);
        encoded.push('-');
        encoded.push_str(&hash[..16]);
    }
    encoded
}
