//! The folder where jobrun keeps its own files, and what must hold of it: nobody but this user may
//! change what is in it. Knows nothing of what is kept there.

use std::env;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

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
    pub fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let state = self.path.as_deref().ok_or_else(|| {
            io::Error::new(
                ErrorKind::NotFound,
                "there is no place for files: set JOBRUN_STATE_DIR, XDG_STATE_HOME or HOME",
            )
        })?;
        make(state).map_err(|error| about(&error, state))?;
        // The user may have put a link there to a place with more room.
        let found = fs::metadata(state).map_err(|error| about(&error, state))?;
        check(state, &found)?;
        let folder = state.join(name);
        private_folder(&folder)?;
        Ok(folder)
    }
}

/// Makes a folder that only this user can enter, in one that passed the same check, if it is not
/// there.
pub(super) fn private_folder(path: &Path) -> io::Result<()> {
    make_one(path).map_err(|error| about(&error, path))?;
    // A link would lead out of the folder that was checked.
    let found = fs::symlink_metadata(path).map_err(|error| about(&error, path))?;
    check(path, &found)
}

/// Makes a file that is not there yet and that only this user can read, whatever the umask.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    private_file(OpenOptions::new().create_new(true), path)
}

/// Opens a file that only this user can read, and makes it if it is not there. What was put there in
/// its place, such as a link or a pipe, is refused.
pub(crate) fn own_file(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = private_file(OpenOptions::new().create(true).custom_flags(flags), path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "this is not a regular file"))
}

fn private_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.read(true).write(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
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
fn make(path: &Path) -> io::Result<()> {
    match make_one(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(path.parent().ok_or(error)?)?;
            make_one(path)
        }
        made => made,
    }
}

fn make_one(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o700)),
        // Whatever it is that is there.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // A file system that is read only says that first, and not that the folder is there.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whoever owns a folder, or can write to it, could put a link in the place of a file.
fn check(path: &Path, found: &Metadata) -> io::Result<()> {
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let shown = path.display();
    let refuse = |kind, message| Err(io::Error::new(kind, message));
    if !found.is_dir() {
        return refuse(
            ErrorKind::NotADirectory,
            format!("cannot make the folder {shown}: a file is there"),
        );
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        let message = format!(
            "the folder {shown} belongs to another user: name one of your own with JOBRUN_STATE_DIR"
        );
        return refuse(ErrorKind::PermissionDenied, message);
    }
    let mode = found.mode();
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
