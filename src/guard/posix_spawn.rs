//! One process started, as cheaply as the system can: `posix_spawn`, which neither copies this process
//! nor runs any code of ours in the new one. Knows nothing of what is started.
#![expect(unsafe_code, reason = "posix_spawn has no safe wrapper that takes a working directory")]

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use rustix::process::Pid;

use super::sys::Mask;

/// What a new process is made of. It gets a process group of its own, an empty signal mask, SIGPIPE as
/// programs expect it, and of our descriptors those that are not closed on exec.
#[derive(Debug)]
pub struct Image<'a> {
    /// The path of the program.
    pub program: &'a CStr,
    /// Its arguments, of which the first is its name.
    pub args: &'a Strings,
    /// Its whole environment.
    pub env: &'a Strings,
    /// Where it runs; here, if not said.
    pub cwd: Option<&'a CStr>,
    /// Its standard input, output and error.
    pub streams: [BorrowedFd<'a>; 3],
    /// Descriptors that it inherits, under the numbers that they have here, even if they are closed on
    /// exec. None of them is a standard stream.
    pub inherits: &'a [OwnedFd],
}

/// Strings as the system takes them: one after the other, each ended by a NUL byte.
#[derive(Clone, Debug, Default)]
pub struct Strings {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Strings {
    /// Adds a string that is made of these parts.
    ///
    /// # Errors
    /// When it contains a NUL byte; then it is not added.
    pub fn push(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        if parts.iter().any(|part| part.contains(&0)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a NUL byte within a string"));
        }
        self.starts.push(self.bytes.len());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.push(0);
        Ok(())
    }

    /// Takes all strings out.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.starts.clear();
    }

    /// Pointers to all strings, and the null that ends them.
    fn pointers(&self) -> Vec<*mut c_char> {
        let each = self.starts.iter().map(|start| self.bytes[*start..].as_ptr().cast_mut().cast());
        each.chain([ptr::null_mut()]).collect()
    }
}

/// Starts a process.
///
/// # Errors
/// As the system gives them: for the program, for the working directory, or for want of room.
pub(super) fn posix_spawn(image: &Image<'_>) -> io::Result<Pid> {
    let kept = image.streams.map(away_from_standard);
    let mut streams = image.streams;
    for (stream, kept) in streams.iter_mut().zip(&kept) {
        if let Some(kept) = kept {
            *stream = kept.as_ref().map_err(|error| io::Error::from(*error))?.as_fd();
        }
    }
    let mut place = MaybeUninit::uninit();
    let mut actions = Actions::new(&mut place)?;
    for (target, stream) in (0..).zip(streams) {
        actions.duplicate(stream, target)?;
    }
    for descriptor in image.inherits {
        // Duplicated to itself, it is no longer closed on exec.
        actions.duplicate(descriptor.as_fd(), descriptor.as_raw_fd())?;
    }
    if let Some(cwd) = image.cwd {
        actions.change_dir(cwd)?;
    }
    let mut place = MaybeUninit::uninit();
    let attributes = Attributes::new(&mut place)?;
    let (args, env) = (image.args.pointers(), image.env.pointers());
    let mut pid = 0;
    // SAFETY: actions and attributes are initialized; both lists end with a null, and they and the
    // strings they point to live until the call returns, by when the process has its own copies.
    check(unsafe {
        libc::posix_spawn(
            &raw mut pid,
            image.program.as_ptr(),
            actions.0,
            attributes.0,
            args.as_ptr(),
            env.as_ptr(),
        )
    })?;
    Pid::from_raw(pid).ok_or_else(|| io::Error::other("a process without a number"))
}

/// A descriptor that is itself a standard stream is duplicated, for it may be overwritten before it is
/// its turn.
fn away_from_standard(fd: BorrowedFd<'_>) -> Option<rustix::io::Result<std::os::fd::OwnedFd>> {
    (fd.as_raw_fd() < 3).then(|| rustix::io::fcntl_dupfd_cloexec(fd, 3))
}

/// What the new process does before it becomes the program.
struct Actions<'a>(&'a mut libc::posix_spawn_file_actions_t);

impl<'a> Actions<'a> {
    fn new(place: &'a mut MaybeUninit<libc::posix_spawn_file_actions_t>) -> io::Result<Self> {
        // SAFETY: initializes the place, which stays where it is as long as this borrows it.
        unsafe {
            check(libc::posix_spawn_file_actions_init(place.as_mut_ptr()))?;
            Ok(Self(place.assume_init_mut()))
        }
    }

    fn duplicate(&mut self, from: BorrowedFd<'_>, to: c_int) -> io::Result<()> {
        // SAFETY: is initialized; the numbers are only used by the new process.
        check(unsafe {
            libc::posix_spawn_file_actions_adddup2(&raw mut *self.0, from.as_raw_fd(), to)
        })
    }

    fn change_dir(&mut self, dir: &CStr) -> io::Result<()> {
        // SAFETY: is initialized; the path is copied.
        check(unsafe { libc::posix_spawn_file_actions_addchdir_np(&raw mut *self.0, dir.as_ptr()) })
    }
}

impl Drop for Actions<'_> {
    fn drop(&mut self) {
        // SAFETY: is initialized and not used any more.
        unsafe {
            libc::posix_spawn_file_actions_destroy(&raw mut *self.0);
        }
    }
}

/// What the new process is like.
struct Attributes<'a>(&'a mut libc::posix_spawnattr_t);

impl<'a> Attributes<'a> {
    fn new(place: &'a mut MaybeUninit<libc::posix_spawnattr_t>) -> io::Result<Self> {
        let (mask, pipe) = (Mask::of(&[]), Mask::of(&[libc::SIGPIPE]));
        let flags = libc::POSIX_SPAWN_SETPGROUP
            | libc::POSIX_SPAWN_SETSIGMASK
            | libc::POSIX_SPAWN_SETSIGDEF;
        // SAFETY: initializes the place, which stays where it is as long as this borrows it; the sets
        // are copied.
        unsafe {
            check(libc::posix_spawnattr_init(place.as_mut_ptr()))?;
            let this = Self(place.assume_init_mut());
            check(libc::posix_spawnattr_setpgroup(&raw mut *this.0, 0))?;
            check(libc::posix_spawnattr_setsigmask(&raw mut *this.0, mask.set()))?;
            check(libc::posix_spawnattr_setsigdefault(&raw mut *this.0, pipe.set()))?;
            check(libc::posix_spawnattr_setflags(&raw mut *this.0, flags as libc::c_short))?;
            Ok(this)
        }
    }
}

impl Drop for Attributes<'_> {
    fn drop(&mut self) {
        // SAFETY: is initialized and not used any more.
        unsafe {
            libc::posix_spawnattr_destroy(&raw mut *self.0);
        }
    }
}

fn check(error: c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}
