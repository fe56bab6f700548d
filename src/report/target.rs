//! Where a report goes: a file that is there whole or not at all, or standard output. Knows nothing
//! of what is written.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output, written `-`.
    Stdout,
    /// A file, made or replaced.
    File(PathBuf),
}

impl Target {
    /// What a path given by the user means.
    pub fn new(path: &Path) -> Self {
        if path == Path::new("-") { Self::Stdout } else { Self::File(path.to_owned()) }
    }

    /// Writes all of it. A file is written beside its place and renamed, so that nobody ever reads
    /// half of one; what is no regular file (`/dev/stderr`, a named pipe) is written in place.
    ///
    /// # Errors
    /// What went wrong, with the path.
    pub fn write(&self, body: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = BufWriter::new(io::stdout().lock());
                body(&mut out)?;
                out.flush()
            }
            Self::File(path) => write_file(path, body).map_err(|error| at(path, &error)),
        }
    }

    /// Opens it to be written bit by bit, from the start.
    ///
    /// # Errors
    /// What went wrong, with the path.
    pub fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        match self {
            Self::Stdout => Ok(Box::new(io::stdout())),
            Self::File(path) => match File::create(path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) => Err(at(path, &error)),
            },
        }
    }
}

fn write_file(path: &Path, body: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // A link keeps pointing where it did: its target is what gets replaced.
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&place).is_ok_and(|meta| !meta.is_file()) {
        return fill(File::options().write(true).open(&place)?, body);
    }
    let beside = beside(&place)?;
    // A run that was killed may have left one under the same process id.
    let _ = fs::remove_file(&beside);
    let written = File::options()
        .write(true)
        .create_new(true)
        .open(&beside)
        .and_then(|file| fill(file, body))
        .and_then(|()| fs::rename(&beside, &place));
    if written.is_err() {
        // What is left of a failed attempt is of no use to anybody.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn fill(file: File, body: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    body(&mut out)?;
    out.flush()
}

/// A name in the same folder that no other run uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "this names no file"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    Ok(path.with_file_name(hidden))
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
