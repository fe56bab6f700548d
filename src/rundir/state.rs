//! The folder where jobrun keeps its own files, and what must hold of it: nobody but this user may
//! change what is in it. Knows nothing of what is kept there.

use std::env;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

/// Where jobrun keeps its own files. Nothing is made until something is kept.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// `None` if nobody says.
    path: Option<PathBuf>,
}

impl State {
    /// `$JOBRUN_STATE_DIR`, else `$XDG_STATE_HOME/jobrun`, else `~/.local/state/jobrun`.
    pub fn of_environment() -> Self {
        Self { path: of_environment() }
    }

    /// This folder.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()) }
    }

    /// A folder in it, made if it is not there: only this user can enter it, whatever the umask.
    ///
    /// # Errors
    /// When there is no place for it, when it cannot be made, and when somebody else could change
    /// what is in it.
    pub fn folder(&self, name: &str) -> io::Result<Folder> {
        let path = self.path.as_deref().ok_or_else(|| {
            io::Error::new(
                ErrorKind::NotFound,
                "there is no place for files: set JOBRUN_STATE_DIR, XDG_STATE_HOME or HOME",
            )
        })?;
        make_all(path).map_err(|error| about(&error, path))?;
        // The user may have put a link there to a place with more room.
        Folder::open(CWD, path, path.to_owned(), OFlags::empty())?.folder(name)
    }
}

/// A folder that nobody but this user can change. It stays the same one, whatever is put in its place.
#[derive(Debug)]
pub struct Folder {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Where it was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder in it, made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made, or somebody else could change what is in it.
    pub fn folder(&self, name: &str) -> io::Result<Self> {
        let path = self.path.join(name);
        make_one(self.descriptor.as_fd(), Path::new(name)).map_err(|error| about(&error, &path))?;
        // A link would lead out of the folder that was checked.
        Self::open(self.descriptor.as_fd(), Path::new(name), path, OFlags::NOFOLLOW)
    }

    /// Makes a file in it that is not there yet and that only this user can read, whatever the umask.
    ///
    /// # Errors
    /// When it is there, or cannot be made.
    pub fn new_file(&self, name: &str) -> io::Result<File> {
        self.private_file(name, OFlags::EXCL)
    }

    /// Opens a file in it that only this user can read, and makes it if it is not there. What was put
    /// there in its place, such as a link or a pipe, is refused.
    ///
    /// # Errors
    /// When it cannot be opened, or is no file.
    pub fn own_file(&self, name: &str) -> io::Result<File> {
        let file = self.private_file(name, OFlags::NONBLOCK)?;
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        Err(io::Error::new(ErrorKind::InvalidInput, "this is not a regular file"))
    }

    /// Takes a file out of it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty())?)
    }

    fn private_file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let file = retry_on_intr(|| rustix::fs::openat(&self.descriptor, name, flags, mode))?;
        rustix::fs::fchmod(&file, mode)?;
        Ok(file.into())
    }

    fn open(parent: BorrowedFd<'_>, name: &Path, path: PathBuf, flags: OFlags) -> io::Result<Self> {
        let flags = flags | OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(parent, name, flags, Mode::empty());
        let descriptor = retry_on_intr(open).map_err(|error| about(&error.into(), &path))?;
        let found = rustix::fs::fstat(&descriptor).map_err(|error| about(&error.into(), &path))?;
        check(&path, &found)?;
        Ok(Self { descriptor, path })
    }
}

fn of_environment() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(own) = set("JOBRUN_STATE_DIR") {
        return std::path::absolute(own).ok();
    }
    // A relative one is to be ignored, says the XDG specification.
    if let Some(xdg) = set("XDG_STATE_HOME").filter(|path| path.is_absolute()) {
        return Some(xdg.join("jobrun"));
    }
    set("HOME").filter(|path| path.is_absolute()).map(|home| home.join(".local/state/jobrun"))
}

/// Makes a folder and those above it that are missing. One by one, for with some umasks this user
/// could not make anything in a folder that was just made.
fn make_all(path: &Path) -> io::Result<()> {
    match make_one(CWD, path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_all(path.parent().ok_or(error)?)?;
            make_one(CWD, path)
        }
        made => made,
    }
}

/// Makes a folder, unless something is there.
fn make_one(parent: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    let mode = Mode::from_raw_mode(0o700);
    match rustix::fs::mkdirat(parent, name, mode) {
        Ok(()) => Ok(rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?),
        Err(Errno::EXIST) => Ok(()),
        // A file system that is read-only may say that first, and not that the folder is there.
        Err(error) => match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(()),
            Err(_) => Err(error.into()),
        },
    }
}

/// Whoever owns a folder, or can write to it, could put a link in the place of a file.
fn check(path: &Path, found: &Stat) -> io::Result<()> {
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let shown = path.display();
    let refuse = |kind, message| Err(io::Error::new(kind, message));
    if found.st_uid != rustix::process::geteuid().as_raw() {
        let message = format!(
            "the folder {shown} belongs to another user: name one of your own with JOBRUN_STATE_DIR"
        );
        return refuse(ErrorKind::PermissionDenied, message);
    }
    let mode = found.st_mode;
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        let message = format!(
            "others can write to the folder {shown} (its mode is {:o}): take that from them with \
             `chmod go-w`, or name another with JOBRUN_STATE_DIR",
            mode & 0o7777
        );
        return refuse(ErrorKind::PermissionDenied, message);
    }
    Ok(())
}

fn about(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("cannot make the folder {}: {error}", path.display()))
}
