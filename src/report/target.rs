//! Where a report goes: a file that is there whole or not at all, or standard output. Knows nothing
//! of what is written.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

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

    /// Writes all of it. A file is written beside its place, to the disk itself, and then renamed: so
    /// nobody ever reads half of one, not even after a crash. What is no regular file (a named pipe,
    /// `/dev/stderr`) is written in place.
    ///
    /// # Errors
    /// What went wrong, with the path.
    pub fn write(&self, body: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let written = match self {
            Self::Stdout => fill(io::stdout().lock(), body).map(drop),
            Self::File(path) => write_file(path, body),
        };
        written.map_err(|error| self.blame(&error))
    }

    /// Opens it to be written piece by piece, from the start.
    ///
    /// # Errors
    /// What went wrong, with the path.
    pub fn open(&self) -> io::Result<Pieces> {
        match self {
            Self::Stdout => Ok(Pieces::new(Box::new(io::stdout()))),
            Self::File(path) => open_file(path).map_err(|error| self.blame(&error)),
        }
    }

    /// An error with where it happened.
    fn blame(&self, error: &io::Error) -> io::Error {
        let place = match self {
            Self::Stdout => "standard output".into(),
            Self::File(path) => path.display().to_string(),
        };
        io::Error::new(error.kind(), format!("{place}: {error}"))
    }
}

/// Something that is written piece by piece, each of which can be read as soon as it is there.
pub struct Pieces {
    out: Out,
    /// How much of it is whole pieces, in bytes.
    whole: u64,
}

enum Out {
    /// A file of which nobody else writes.
    File(File),
    Stream(Box<dyn Write + Send>),
}

impl Pieces {
    /// Pieces to a writer.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Out::Stream(out), whole: 0 }
    }

    /// Writes one more piece. Of a file, a piece that could only be written in part is cut off again,
    /// where the system allows it: what came before stays valid.
    ///
    /// # Errors
    /// If not all of it could be written. Nothing should follow it then.
    pub fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        let written = match &mut self.out {
            Out::File(file) => file.write_all(piece).inspect_err(|_| {
                let _ = file.set_len(self.whole);
            }),
            Out::Stream(out) => out.write_all(piece).and_then(|()| out.flush()),
        };
        self.whole += piece.len() as u64;
        written
    }

    /// Nothing follows. A file is on the disk then.
    ///
    /// # Errors
    /// If what was written may be lost.
    pub fn end(&mut self) -> io::Result<()> {
        match &self.out {
            Out::File(file) => synced(file),
            Out::Stream(_) => Ok(()),
        }
    }
}

fn write_file(path: &Path, body: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let Some(place) = replaceable(path)? else {
        return fill(open_in_place(path)?, body).map(drop);
    };
    let beside = beside(&place)?;
    // A run that was killed may have left one under the same process id.
    let _ = fs::remove_file(&beside);
    let written = File::options()
        .write(true)
        .create_new(true)
        .open(&beside)
        .and_then(|file| fill(file, body))
        .and_then(|file| synced(&file))
        .and_then(|()| rename(&beside, &place));
    if written.is_err() {
        // What is left of a failed attempt is of no use to anybody.
        let _ = fs::remove_file(&beside);
        return written;
    }
    match File::open(folder_of(&place)) {
        Ok(folder) => synced(&folder),
        // A folder that can be written to but not read cannot be synced either.
        Err(_) => Ok(()),
    }
}

fn open_file(path: &Path) -> io::Result<Pieces> {
    if replaceable(path)?.is_some() {
        let file = File::create(path)?;
        return Ok(Pieces { out: Out::File(file), whole: 0 });
    }
    Ok(Pieces::new(Box::new(open_in_place(path)?)))
}

/// Where the file is that a path names and that can be replaced, if there is none yet as well. A link
/// keeps pointing where it did: its target is what gets replaced. `None` for what is written in place.
fn replaceable(path: &Path) -> io::Result<Option<PathBuf>> {
    // A stream of this process may be a file that others write to.
    let descriptors = ["/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/proc/self/fd"];
    if descriptors.iter().any(|it| path.starts_with(it)) {
        return Ok(None);
    }
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(&place).map(|meta| meta.file_type()) {
        Ok(kind) if kind.is_dir() => Err(ErrorKind::IsADirectory.into()),
        // Whoever names a disk does not mean to lose what is on it.
        Ok(kind) if kind.is_block_device() || kind.is_socket() => {
            Err(io::Error::new(ErrorKind::InvalidInput, "this is neither a file nor a pipe"))
        }
        Ok(kind) if !kind.is_file() => Ok(None),
        _ => Ok(Some(place)),
    }
}

/// Opens what is no file of its own, such as a named pipe, without waiting for anybody.
fn open_in_place(path: &Path) -> io::Result<File> {
    let opened = File::options().append(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NXIO) => {
            io::Error::new(error.kind(), "nobody reads it: start its reader first")
        }
        _ => error,
    })?;
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

fn fill<W: Write>(out: W, body: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<W> {
    let mut out = BufWriter::new(out);
    body(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

/// Waits until it is on the disk. Some things cannot be synced, and need not be.
fn synced(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error)
            if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOTSUP)) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    loop {
        match fs::rename(from, to) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            renamed => return renamed,
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// A name in the same folder that nobody else uses, and that is not too long for any name of a report.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "this names no file"))?;
    let hash = blake3::hash(name.as_encoded_bytes()).to_hex();
    let hidden = format!(".jobrun-{}-{}.tmp", std::process::id(), &hash[..16]);
    Ok(path.with_file_name(hidden))
}
