//! What is kept of one output stream, in bounded memory. Knows nothing of where it comes from.
//!
//! What stays in memory is kept as it is, for it may become a result; in what goes to a file secrets
//! are covered.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::mask;
use crate::outcome::{Captured, Lost};
use crate::rundir::RunDir;
use crate::supervise::result::MAX_RESULT;
use crate::work::ResultKind;

/// So many bytes are kept in memory; more go to a file.
const WHOLE: usize = 64 << 10;

/// So many of the last bytes stay in memory beside the file.
const TAIL: usize = 8 << 10;

/// So many of the first bytes stay in memory beside the file, in case it cannot be written to its end.
const HEAD: usize = 8 << 10;

/// A stream being captured.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    bytes: u64,
    /// The first bytes, once there is too much for memory.
    head: Vec<u8>,
    kept: Vec<u8>,
    store: Store,
    /// On the way to the file.
    mask: mask::Stream,
    /// Whether a result is read from all of it.
    is_result: bool,
    /// All of it as it is, where the file cannot give the result.
    original: Option<File>,
}

/// Where the whole of it is.
#[derive(Debug, Default)]
enum Store {
    #[default]
    Memory,
    File(File, PathBuf),
    /// Nowhere, for no file could be written: why.
    Lost(String),
    /// Nowhere, for nobody wants it.
    Unwanted,
}

impl Capture {
    /// The capture of a standard output from which a result of this kind is read.
    pub(crate) fn of_result(kind: ResultKind) -> Self {
        let is_result = matches!(kind, ResultKind::Text | ResultKind::Lines | ResultKind::Json);
        Self { is_result, ..Self::default() }
    }

    /// Takes what the stream said next. If a file is needed, it is made in `files` under this name; if
    /// that cannot be, only the count and both ends are kept.
    pub(crate) fn push(&mut self, data: &[u8], files: &RunDir, name: impl FnOnce() -> String) {
        self.bytes += data.len() as u64;
        if !matches!(self.store, Store::Memory) {
            return self.write(data);
        }
        if self.kept.len() + data.len() <= WHOLE {
            return self.kept.extend_from_slice(data);
        }
        let before = std::mem::take(&mut self.kept);
        self.mask = files.masker().stream();
        if files.is_nowhere() {
            self.store = Store::Unwanted;
        } else if let Err(error) = self.open(files, &name()) {
            self.lose(&error);
        }
        self.write(&before);
        self.write(data);
    }

    fn open(&mut self, files: &RunDir, name: &str) -> io::Result<()> {
        if self.is_result && !files.masker().is_none() {
            self.original = Some(files.nameless()?);
        }
        let (file, path) = files.file(name)?;
        self.store = Store::File(file, path);
        Ok(())
    }

    fn write(&mut self, data: &[u8]) {
        let shown = self.mask.push(data);
        if self.bytes > MAX_RESULT {
            self.original = None;
        }
        let original = self.original.as_mut().map_or(Ok(()), |file| file.write_all(data));
        if let Err(error) = original {
            self.lose(&error);
        }
        self.store(&shown);
    }

    /// Keeps what is covered already.
    fn store(&mut self, shown: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(&shown[..shown.len().min(room)]);
        self.keep_tail(shown);
        let Store::File(file, _) = &mut self.store else { return };
        if let Err(error) = file.write_all(shown) {
            self.lose(&error);
        }
    }

    fn lose(&mut self, error: &io::Error) {
        self.original = None;
        let lost = Store::Lost(error.to_string());
        if let Store::File(_, path) = std::mem::replace(&mut self.store, lost) {
            // Half a file helps nobody and takes the room that is missing.
            let _ = fs::remove_file(path);
        }
    }

    fn keep_tail(&mut self, data: &[u8]) {
        let data = &data[data.len().saturating_sub(TAIL)..];
        // Memory is moved once for every `TAIL` bytes, not for every few.
        if self.kept.len() + data.len() > 2 * TAIL {
            let end = self.kept.len();
            self.kept.copy_within(end.saturating_sub(TAIL - data.len())..end, 0);
            self.kept.truncate((TAIL - data.len()).min(end));
            self.kept.shrink_to(2 * TAIL);
        }
        self.kept.extend_from_slice(data);
    }

    /// The stream has ended.
    pub(crate) fn finish(self) -> Captured {
        self.finish_with_original().0
    }

    /// The same, with all of it as it is where the file holds it with secrets covered, if a result is
    /// read from it.
    pub(crate) fn finish_with_original(mut self) -> (Captured, Option<File>) {
        // What was held back because it might have been the beginning of a secret.
        let rest = self.mask.finish();
        if !rest.is_empty() {
            self.store(&rest);
        }
        let (path, lost) = match self.store {
            Store::Memory | Store::Unwanted => (None, None),
            Store::File(_, path) => (Some(path), None),
            Store::Lost(why) => (None, Some(Box::new(Lost { head: self.head, why }))),
        };
        let most = if self.bytes > WHOLE as u64 { TAIL } else { WHOLE };
        let from = self.kept.len().saturating_sub(most);
        // A copy, for what is left of a large block that was made smaller is of no use to anybody.
        let kept = self.kept[from..].to_vec();
        (Captured { bytes: self.bytes, kept, path, lost }, self.original)
    }
}
