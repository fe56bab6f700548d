//! The calls of the kernel that no safe wrapper offers, but for those that start programs. Knows nothing
//! of what the calls are for.
#![expect(unsafe_code, reason = "fork, signal masks and signalfd have no safe wrapper here")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};

/// Forks. `Some` with the child's pid in the parent, `None` in the child.
///
/// The caller sees to it that no lock is held by another thread that the child will want: it is
/// called before there are other threads.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the child goes on with a copy of this thread alone; the C library makes its own
    // allocator usable there, and no other lock is held by the contract above.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// Waits until this child has ended, whatever its end was.
pub(crate) fn reap(child: Pid, how: WaitOptions) {
    while waitpid(Some(child), how).is_err_and(|error| error == Errno::INTR) {}
}

/// Ends the process at once: no destructors, no handlers, no waiting for other threads.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Whether a signal was set to be ignored, as `nohup` does for SIGHUP.
pub(crate) fn is_ignored(signal: i32) -> bool {
    effect(signal) == Some(libc::SIG_IGN)
}

/// Whether a signal has a handler.
pub(crate) fn is_caught(signal: i32) -> bool {
    effect(signal).is_some_and(|effect| effect != libc::SIG_IGN && effect != libc::SIG_DFL)
}

/// What a signal does; `None` for one that the C library keeps to itself, or that there is not.
fn effect(signal: i32) -> Option<libc::sighandler_t> {
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action the call only fills `old`, for which all zeros are valid.
    unsafe {
        let known = libc::sigaction(signal, ptr::null(), old.as_mut_ptr()) == 0;
        known.then_some(old.assume_init().sa_sigaction)
    }
}

/// Who a signal that arrived came from, and whether it was queued rather than sent.
pub(crate) fn origin(info: &libc::siginfo_t) -> (i32, bool) {
    // SAFETY: what is read is a number whatever kind of signal it was: without a sender it means nothing.
    (unsafe { info.si_pid() }, info.si_code == libc::SI_QUEUE)
}

/// Where `siginfo_t` has the sender.
#[repr(C)]
struct SentBy {
    head: [libc::c_int; 3],
    sender: Aligned,
}

#[repr(C)]
union Aligned {
    pid: libc::pid_t,
    _as: *mut libc::c_void,
}

/// Queues a signal for a process in the name of `sender`.
pub(crate) fn pass_on(to: Pid, signal: i32, sender: i32) -> io::Result<()> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: zeros are a valid `siginfo_t`, which is larger than `SentBy` and begins like it; the system
    // takes any sender of a signal that is queued.
    let done = unsafe {
        (*info.as_mut_ptr()).si_signo = signal;
        (*info.as_mut_ptr()).si_code = libc::SI_QUEUE;
        (*info.as_mut_ptr().cast::<SentBy>()).sender.pid = sender;
        libc::syscall(libc::SYS_rt_sigqueueinfo, to.as_raw_pid(), signal, info.as_ptr())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives a signal its default effect.
pub(crate) fn set_default(signal: i32) {
    // SAFETY: SIG_DFL is a valid disposition and installs no code.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
    }
}

/// A set of signals.
#[derive(Clone, Copy)]
pub(crate) struct Mask(libc::sigset_t);

impl Mask {
    /// The set of these signals.
    pub(crate) fn of(signals: &[i32]) -> Self {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigemptyset` initializes the set; `sigaddset` refuses numbers out of range.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in signals {
                libc::sigaddset(set.as_mut_ptr(), *signal);
            }
            Self(set.assume_init())
        }
    }

    /// The set of all signals.
    pub(crate) fn of_all() -> Self {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigfillset` initializes the set.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    /// The set of all signals but those by which the system tells a thread of its own mistakes.
    pub(crate) fn of_all_but_faults() -> Self {
        let faults = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];
        let others: Vec<i32> = (1..=64).filter(|signal| !faults.contains(signal)).collect();
        Self::of(&others)
    }

    /// Blocks these signals in this thread, and in those it will start; gives what was blocked before.
    pub(crate) fn block(&self) -> Self {
        let Self(mut old) = Self::of(&[]);
        // SAFETY: both sets are initialized.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const self.0, &raw mut old);
        }
        Self(old)
    }

    /// Blocks these signals, and no others, in this thread.
    pub(crate) fn restore(&self) {
        // SAFETY: the set is initialized, and the old mask is not asked for.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut());
        }
    }

    /// A descriptor that can be read while one of these signals, blocked, is pending.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set is initialized; a descriptor that is returned is ours alone.
        unsafe {
            match libc::signalfd(-1, &raw const self.0, flags) {
                -1 => Err(io::Error::last_os_error()),
                fd => Ok(OwnedFd::from_raw_fd(fd)),
            }
        }
    }
}
