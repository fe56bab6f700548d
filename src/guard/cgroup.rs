//! A cgroup of the kernel's second hierarchy: made, killed and removed. Knows nothing of who is in it.
//!
//! Whoever is born in a cgroup stays in it, and so do its children, whatever they do to detach
//! themselves. One word ends them all at once: none can outrun it, and no number is mistaken for
//! another process's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, access};

/// Where the hierarchy is mounted: alone, or beside those of the first kind.
const PLACES: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// What tells that hierarchy from other file systems.
const MAGIC: u64 = 0x6367_7270;

/// The file in which a word kills all.
const TRIGGER: &str = "cgroup.kill";

/// A cgroup below that of this process.
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: PathBuf,
    folder: File,
    /// Open from the beginning: when it is needed there may be no descriptor left.
    kill: File,
}

impl Cgroup {
    /// Makes the one with this path, with nobody in it.
    ///
    /// # Errors
    /// Where it is not ours to make; then nothing is left of it.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        make(path)?;
        let open = || {
            let kill = OpenOptions::new().write(true).open(path.join(TRIGGER))?;
            Ok(Self { folder: File::open(path)?, kill, path: path.to_owned() })
        };
        open().inspect_err(|_| drop(fs::remove_dir(path)))
    }

    /// Its folder, for whoever is to be born in it.
    pub(crate) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Kills all that are in it, and in those below it.
    pub(crate) fn kill(&self) {
        // It fails once the cgroup has been removed; then there is nobody to kill.
        let _ = (&self.kill).write(b"1");
    }

    /// Removes it, and kills whoever is still in it. That takes until the last has gone, but no longer
    /// than `patience`. Gives whether it has gone.
    pub(crate) fn remove(&self, patience: Duration) -> bool {
        remove(&self.path, patience)
    }
}

/// Removes the cgroup at `path`, and kills whoever is in it; see [`Cgroup::remove`].
pub(crate) fn remove(path: &Path, patience: Duration) -> bool {
    if is_removed(path) {
        return true;
    }
    let deadline = Instant::now() + patience;
    let _ = fs::write(path.join(TRIGGER), "1");
    let mut pause = Duration::from_millis(1);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        wait_until_empty(path, left);
        if is_removed_with_those_below(path) {
            return true;
        }
        if left.is_zero() {
            return false;
        }
        // The kernel says that it is empty a moment before it lets go of it.
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Waits until nobody is in the cgroup at `path`, no longer than `patience`.
fn wait_until_empty(path: &Path, patience: Duration) {
    let Ok(events) = File::open(path.join("cgroup.events")) else { return };
    let timeout = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    let mut text = [0; 256];
    while let Ok(read) = rustix::io::pread(&events, &mut text, 0) {
        if !text[..read].windows(11).any(|words| words == b"populated 1") {
            return;
        }
        let mut changed = [PollFd::new(&events, PollFlags::PRI)];
        if poll(&mut changed, Some(&timeout)) != Ok(1) {
            return;
        }
    }
}

/// Where one for this process would be.
///
/// # Errors
/// Where there is no such hierarchy, or where nothing in it is ours to change.
pub(crate) fn plan() -> io::Result<PathBuf> {
    let own = own()?;
    access(&own, Access::WRITE_OK)?;
    Ok(own.join(format!("jobrun-{}", process::id())))
}

/// The cgroup of this process.
fn own() -> io::Result<PathBuf> {
    let place = PLACES.into_iter().find(|place| is_hierarchy(place)).ok_or(ErrorKind::NotFound)?;
    let of_all_kinds = fs::read_to_string("/proc/self/cgroup")?;
    let own = of_all_kinds.lines().find_map(|line| line.strip_prefix("0::/"));
    Ok(Path::new(place).join(own.ok_or(ErrorKind::NotFound)?))
}

fn is_hierarchy(place: &str) -> bool {
    // The type of that number is not the same everywhere.
    rustix::fs::statfs(place).is_ok_and(|system| system.f_type as u64 == MAGIC)
}

fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        // Somebody of this number was killed before it could remove its own. If anybody were in it,
        // removing it would fail.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_dir(path)?;
            fs::create_dir(path)
        }
        made => made,
    }
}

/// Removes the cgroup at `path`, if that can be; whether it has gone.
fn is_removed(path: &Path) -> bool {
    fs::remove_dir(path).is_ok() || !fs::exists(path).unwrap_or(true)
}

/// Removes the cgroup at `path` and those that were made in it; whether it has gone.
fn is_removed_with_those_below(path: &Path) -> bool {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir())) {
        is_removed_with_those_below(&entry.path());
    }
    is_removed(path)
}
