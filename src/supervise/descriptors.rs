//! How many descriptors there are and are left. Knows nothing of what they are for.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// So many descriptors are left for files of our own where they are scarce.
pub(crate) const SPARE_FILES: usize = 16;

/// How many descriptors a thread can have now.
pub(crate) fn most_files() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Whether so many descriptors are to spare, when `last` is the one that was opened last.
///
/// The system gives the lowest number that is free, so all below the last one are in use.
///
/// # Errors
/// When they are not, as if they were not there.
pub(crate) fn spares(last: &OwnedFd, spare: usize, most_files: usize) -> io::Result<()> {
    let used = last.as_raw_fd().unsigned_abs() as usize + 1;
    let enough = used.saturating_add(spare) <= most_files;
    if enough { Ok(()) } else { Err(Errno::MFILE.into()) }
}
