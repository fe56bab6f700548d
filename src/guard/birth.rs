//! Processes made otherwise than by `fork`: born in a cgroup, or unseen by who waits for children. Knows
//! nothing of what they do.
#![expect(unsafe_code, reason = "clone3 has no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::Pid;

/// `CLONE_INTO_CGROUP`, which is too large for the type of the other flags.
const INTO_CGROUP: u64 = 1 << 33;

/// What `clone3` is asked for, as the kernel declares it.
#[repr(C)]
#[derive(Default)]
struct Arguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// As `fork`, but the child is born in the cgroup that has this folder. `Some` with its pid in the
/// parent, `None` in the child.
///
/// The C library is not told: in the child it takes the thread for the parent's. So the child does
/// little, and what it forks in the ordinary way is as it should be.
pub(crate) fn into_cgroup(folder: BorrowedFd<'_>) -> io::Result<Option<Pid>> {
    clone(&Arguments {
        flags: INTO_CGROUP,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: folder.as_raw_fd() as u64,
        ..Arguments::default()
    })
}

/// As `fork`, but nobody who waits for children in the ordinary way meets the child, and its end sends
/// no signal. What was said of [`into_cgroup`] holds for it too.
pub(crate) fn unseen() -> io::Result<Option<Pid>> {
    clone(&Arguments::default())
}

fn clone(arguments: &Arguments) -> io::Result<Option<Pid>> {
    // SAFETY: without a flag that shares memory the child goes on with a copy of this thread alone, as
    // after `fork`; the arguments are valid, and none of them is a pointer.
    match unsafe { libc::syscall(libc::SYS_clone3, arguments, size_of::<Arguments>()) } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid as i32)),
    }
}
