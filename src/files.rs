//! Reads the files that a manifest names, and finds them by pattern. Knows nothing of what is in
//! them.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// The largest file that is read, in bytes.
pub const MAX_BYTES: u64 = 64 << 20;

/// So many places are looked at for one pattern: a pattern that means more is a mistake, and must
/// not keep anybody waiting.
const MAX_LOOKED_AT: usize = 1_000_000;

/// What can be read while a manifest is compiled.
pub trait Files: fmt::Debug + Send + Sync {
    /// All bytes of a file of at most [`MAX_BYTES`]. What is no regular file is an error, so that
    /// nothing is waited for.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The one path by which a file is told from others, however it was reached.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;

    /// Whether there is something at a path.
    fn exists(&self, path: &Path) -> bool;

    /// What a pattern matches, from `dir`, sorted. `*`, `?`, `[…]` and `{…}` match within a name, and
    /// `**` any folders, without following links. Names that begin with a dot match only if their
    /// part of the pattern does.
    fn glob(&self, dir: &Path, pattern: &str) -> io::Result<Vec<String>>;
}

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = open(path)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "it has more than 64 MiB"));
        }
        Ok(bytes)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn glob(&self, dir: &Path, pattern: &str) -> io::Result<Vec<String>> {
        let parts = parts(pattern)?;
        Search::new(dir, &parts).run()
    }
}

/// Opens a regular file. What is none is an error: a FIFO would be waited for, were it opened like one.
///
/// # Errors
/// If there is no such file, or it cannot be read.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let data = file.metadata()?;
    if data.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !data.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

/// What stands between two slashes of a pattern.
#[derive(Debug)]
enum Part {
    /// A name, `.`, `..` or nothing.
    Plain(String),
    /// Names that match; with those that begin with a dot, or without.
    Names(GlobMatcher, bool),
    /// `**`.
    Deep,
}

fn parts(pattern: &str) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for text in pattern.split('/') {
        let part = match text {
            "**" if matches!(parts.last(), Some(Part::Deep)) => continue,
            "**" => Part::Deep,
            _ if text.contains(['*', '?', '[', '{', '\\']) => {
                let glob = GlobBuilder::new(text).literal_separator(true).build();
                let glob = glob.map_err(|error| {
                    io::Error::new(ErrorKind::InvalidInput, error.kind().to_string())
                })?;
                Part::Names(glob.compile_matcher(), text.starts_with('.'))
            }
            _ => Part::Plain(text.to_owned()),
        };
        parts.push(part);
    }
    Ok(parts)
}

/// A search under way. Each path is looked at once with each rest of the pattern, so even a pattern
/// with many `**` takes no longer than there are files.
#[derive(Debug)]
struct Search<'a> {
    dir: &'a Path,
    parts: &'a [Part],
    /// Paths that matched so far, with a slash at the end of folders, and which part comes next.
    open: Vec<(String, usize)>,
    seen: HashSet<(String, usize)>,
    found: BTreeSet<String>,
}

impl<'a> Search<'a> {
    fn new(dir: &'a Path, parts: &'a [Part]) -> Self {
        let open = vec![(String::new(), 0)];
        Self { dir, parts, open, seen: HashSet::new(), found: BTreeSet::new() }
    }

    fn run(mut self) -> io::Result<Vec<String>> {
        let parts = self.parts;
        while let Some((path, next)) = self.open.pop() {
            if self.seen.len() > MAX_LOOKED_AT {
                let why = format!("it looks at more than {MAX_LOOKED_AT} files");
                return Err(io::Error::other(why));
            }
            match &parts[next] {
                Part::Plain(name) => self.plain(&path, name, next),
                Part::Names(glob, dotted) => {
                    for (name, _) in self.names(&path)? {
                        if glob.is_match(&name) && name.starts_with('.') == *dotted {
                            self.step(format!("{path}{name}"), next);
                        }
                    }
                }
                Part::Deep => self.deep(path, next)?,
            }
        }
        if let Some(odd) = self.found.iter().find(|found| self.is_lost(found)) {
            let why = format!("the name of {odd} is not UTF-8");
            return Err(io::Error::new(ErrorKind::InvalidData, why));
        }
        Ok(self.found.into_iter().collect())
    }

    fn plain(&mut self, path: &str, name: &str, next: usize) {
        let found = format!("{path}{name}");
        // With a slash only a folder is there.
        let slash = if self.is_last(next) { "" } else { "/" };
        if self.dir.join(format!("{found}{slash}")).symlink_metadata().is_ok() {
            self.step(found, next);
        }
    }

    /// `**` is no folder, or any and again `**`.
    fn deep(&mut self, path: String, next: usize) -> io::Result<()> {
        for (name, folder) in self.names(&path)? {
            if name.starts_with('.') {
                continue;
            }
            let found = format!("{path}{name}");
            if folder {
                self.look(format!("{found}/"), next);
            }
            if self.is_last(next) {
                self.found.insert(found);
            }
        }
        if !self.is_last(next) {
            self.look(path, next + 1);
        }
        Ok(())
    }

    fn is_last(&self, part: usize) -> bool {
        part + 1 == self.parts.len()
    }

    /// Whether a name had to be changed to be text, so that nothing is found under it.
    fn is_lost(&self, found: &str) -> bool {
        found.contains('\u{FFFD}') && self.dir.join(found).symlink_metadata().is_err()
    }

    /// Goes on with what matched a part.
    fn step(&mut self, found: String, next: usize) {
        if self.is_last(next) {
            self.found.insert(found);
        } else {
            self.look(found + "/", next + 1);
        }
    }

    fn look(&mut self, path: String, next: usize) {
        if self.seen.insert((path.clone(), next)) {
            self.open.push((path, next));
        }
    }

    /// The names in a folder, what is not UTF-8 in them replaced, and whether each is a folder
    /// itself; none if this is no folder.
    fn names(&self, path: &str) -> io::Result<Vec<(String, bool)>> {
        // Nothing at all is no path, but for people it is this folder.
        let dir = Path::new(".").join(self.dir).join(path);
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(Vec::new());
            }
            Err(error) => return Err(with_path(&error, &dir)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| with_path(&error, &dir))?;
            let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            names.push((entry.file_name().to_string_lossy().into_owned(), folder));
        }
        Ok(names)
    }
}

fn with_path(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
