//! What is kept of one output stream, in bounded memory. Knows nothing of where it comes from.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::outcome::Captured;

/// So many bytes are kept in memory; more go to a file.
const WHOLE: usize = 64 << 10;

/// So many of the last bytes stay in memory beside the file.
const TAIL: usize = 8 << 10;

/// A stream being captured.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    bytes: u64,
    kept: Vec<u8>,
    store: Store,
}

/// Where the whole of it is.
#[derive(Debug, Default)]
enum Store {
    #[default]
    Memory,
    File(File, PathBuf),
    /// Nowhere, for no file could be written.
    Lost,
}

impl Capture {
    /// Takes what the stream said next. `open` makes the file if one is needed. An error means that
    /// from now on only the count and the tail are kept.
    pub(crate) fn push(
        &mut self,
        data: &[u8],
        open: impl FnOnce() -> io::Result<(File, PathBuf)>,
    ) -> io::Result<()> {
        self.bytes += data.len() as u64;
        let stored = match &mut self.store {
            Store::Memory if self.kept.len() + data.len() <= WHOLE => {
                self.kept.extend_from_slice(data);
                return Ok(());
            }
            Store::Memory => open().and_then(|(mut file, path)| {
                let written = file.write_all(&self.kept).and_then(|()| file.write_all(data));
                self.store = Store::File(file, path);
                written
            }),
            Store::File(file, _) => file.write_all(data),
            Store::Lost => Ok(()),
        };
        if stored.is_err()
            && let Store::File(_, path) = std::mem::replace(&mut self.store, Store::Lost)
        {
            // Half a file helps nobody and takes the room that is missing.
            let _ = fs::remove_file(path);
        }
        self.keep_tail(data);
        stored
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
        let path = match self.store {
            Store::File(_, path) => Some(path),
            Store::Memory | Store::Lost => None,
        };
        let most = if self.bytes > WHOLE as u64 { TAIL } else { WHOLE };
        let from = self.kept.len().saturating_sub(most);
        // A copy, for what is left of a large block that was made smaller is of no use to anybody.
        Captured { bytes: self.bytes, kept: self.kept[from..].to_vec(), path }
    }
}
