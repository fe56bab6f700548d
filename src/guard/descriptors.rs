//! A table of descriptors of its own for one thread. Knows nothing of what the descriptors are.
//!
//! A process that is being started holds a copy of every descriptor of the table that it was started
//! from, until it becomes another program. Of two threads that start children all the time, each would
//! keep the other's pipes open for a while, and their readers waiting for an end that has come. What a
//! thread opens in a table of its own nobody else holds; and because nobody else can change that table,
//! the system looks things up in it without a lock.
#![expect(unsafe_code, reason = "unshare and close have no safe wrapper")]

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::sys::Mask;

/// Gives the calling thread a table of descriptors of its own. In it are `keep`, the standard streams,
/// and what programs that are started from it inherit anyway; everything else is closed there, so that
/// its other end sees when its owner closes it.
///
/// The caller sees to it that from now on no descriptor is used on this thread that was opened on
/// another, but for `keep`, and that none that is opened on this one leaves it. No signal is handled on
/// this thread any more: a handler writes to a descriptor that it knows by its number.
///
/// # Errors
/// When the system refuses; then the descriptors are as they were.
pub fn separate(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    Mask::of_all_but_faults().block();
    // SAFETY: changes no memory; by the contract above no number is mistaken for another's.
    if unsafe { libc::unshare(libc::CLONE_FILES) } != 0 {
        return Err(io::Error::last_os_error());
    }
    for fd in foreign().unwrap_or_default() {
        if keep.iter().all(|kept| kept.as_raw_fd() != fd) {
            // SAFETY: the table is this thread's own, and by the contract above nobody uses `fd` in it.
            unsafe {
                libc::close(fd);
            }
        }
    }
    Ok(())
}

/// What this thread has open that is closed on exec.
fn foreign() -> io::Result<Vec<RawFd>> {
    let names = fs::read_dir("/proc/thread-self/fd")?.filter_map(Result::ok);
    let numbers = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.filter(|&fd| fd > 2 && closes_on_exec(fd)).collect())
}

fn closes_on_exec(fd: RawFd) -> bool {
    // SAFETY: asks for the flags of a number, which may be that of nothing.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags >= 0 && flags & libc::FD_CLOEXEC != 0
}
