//! One process started, as cheaply as the system can: it shares our memory until it is the program, and
//! the thread that starts it waits for that. Knows nothing of what is started.
//!
//! What the new process does until then is done in our memory, behind the back of all our other threads.
//! So it makes system calls and nothing else: it allocates nothing, takes no lock, drops nothing and
//! cannot panic. No signal handler of ours may run there either: all signals are blocked, and what is
//! caught gets its default effect, before any is let through.
#![expect(unsafe_code, reason = "clone and exec have no safe wrapper")]

use std::convert::Infallible;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd, write};
use rustix::process::{
    Pid, Signal, WaitOptions, chdir, getpid, getppid, nice, set_parent_process_death_signal,
    setpgid, setrlimit, waitpid,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::image::{Image, Limit, Refused, Step};
use super::sys::{Mask, is_caught, set_default};

/// The stack of the new process, which lies on that of the thread that waits for it.
#[repr(align(16))]
struct Stack([MaybeUninit<u8>; 16 << 10]);

/// What the new process reads, and where it says what went wrong.
struct Plan<'a> {
    image: &'a Image<'a>,
    /// As in the image, but none of them is itself a standard stream.
    streams: [BorrowedFd<'a>; 3],
    args: *const *const c_char,
    env: *const *const c_char,
    no_signals: Mask,
    parent: Pid,
    failed: Option<(Step, Errno)>,
}

/// Starts a process: its number, and what can be read once it has ended if the system has such.
///
/// # Errors
/// When the system refuses, with what it refuses.
pub(super) fn clone(image: &Image<'_>) -> Result<(Pid, Option<OwnedFd>), Refused> {
    let kept = image.streams.map(away_from_standard);
    let mut streams = image.streams;
    for (stream, kept) in streams.iter_mut().zip(&kept) {
        if let Some(kept) = kept {
            *stream = kept.as_ref().map_err(|error| io::Error::from(*error))?.as_fd();
        }
    }
    let (args, env) = (image.args.pointers(), image.env.pointers());
    let mut plan = Plan {
        image,
        streams,
        args: args.as_ptr(),
        env: env.as_ptr(),
        no_signals: Mask::of(&[]),
        parent: getpid(),
        failed: None,
    };
    let mask = Mask::of_all().block();
    let started = start(&mut plan);
    if let (Ok((pid, _)), Some(_)) = (&started, plan.failed) {
        // It never became anything, so nobody shall hear of it.
        let _ = waitpid(Some(*pid), WaitOptions::empty());
    }
    mask.restore();
    match plan.failed {
        None => Ok(started?),
        Some((step, error)) => Err(Refused { step, error: error.into() }),
    }
}

/// A descriptor that is itself a standard stream is duplicated, for it may be overwritten before it is
/// its turn.
fn away_from_standard(fd: BorrowedFd<'_>) -> Option<rustix::io::Result<OwnedFd>> {
    (fd.as_raw_fd() < 3).then(|| fcntl_dupfd_cloexec(fd, 3))
}

/// Starts the process and waits until it has become the program, or has failed to.
fn start(plan: &mut Plan<'_>) -> io::Result<(Pid, Option<OwnedFd>)> {
    let mut stack = Stack([MaybeUninit::uninit(); _]);
    let shared = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // A system that does not know of descriptors of processes ignores the flag or refuses it.
    for flags in [shared | libc::CLONE_PIDFD, shared] {
        let mut pidfd: c_int = -1;
        let top = stack.0.as_mut_ptr_range().end;
        // SAFETY: the stack is large enough for `live` and is used by nobody else; it, the plan, and
        // all that the plan points to, live until the call returns, which is when the new process
        // uses our memory no more. The plan is not touched here meanwhile.
        let pid = unsafe {
            libc::clone(
                live,
                top.cast(),
                flags,
                ptr::from_mut(plan).cast(),
                &raw mut pidfd,
                ptr::null_mut::<c_void>(),
                ptr::null_mut::<c_int>(),
            )
        };
        if let Some(pid) = Pid::from_raw(pid.max(0)) {
            // SAFETY: a descriptor that is given is ours alone.
            let pidfd = (pidfd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(pidfd) });
            return Ok((pid, pidfd));
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINVAL) {
            return Err(error);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EINVAL))
}

/// The life of the new process until it is the program. Its exit code is of interest to nobody.
extern "C" fn live(plan: *mut c_void) -> c_int {
    // SAFETY: it is what `start` gives, and nobody else uses it while this process shares our memory.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    let Err(failed) = become_program(plan);
    plan.failed = Some(failed);
    127
}

fn become_program(plan: &Plan<'_>) -> Result<Infallible, (Step, Errno)> {
    let at = |step| move |error| (step, error);
    forget_handlers();
    setpgid(None, None).map_err(at(Step::Start))?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(at(Step::Start))?;
    if getppid() != Some(plan.parent) {
        // It died before it could be said that this process shall die with it.
        return Err((Step::Start, Errno::SRCH));
    }
    let [stdin, stdout, stderr] = plan.streams;
    dup2_stdin(stdin).map_err(at(Step::Start))?;
    dup2_stdout(stdout).map_err(at(Step::Start))?;
    dup2_stderr(stderr).map_err(at(Step::Start))?;
    for descriptor in plan.image.inherits {
        fcntl_setfd(descriptor, FdFlags::empty()).map_err(at(Step::Start))?;
    }
    if let Some(cwd) = plan.image.cwd {
        chdir(cwd).map_err(at(Step::Directory))?;
    }
    for (place, limit) in plan.image.limits.iter().enumerate() {
        let result = match *limit {
            Limit::Resource(resource, limit) => setrlimit(resource, limit),
            Limit::Nice(more) => nice(more).map(drop),
            // 0 stands for whoever writes it.
            Limit::Join(members) => write(members, b"0").map(drop),
        };
        result.map_err(at(Step::Limit(place)))?;
    }
    plan.no_signals.restore();
    Err((Step::Program, exec(plan.image.program, plan.args, plan.env)))
}

/// Gives every signal that is caught its default effect, and SIGPIPE too, which is ignored here.
fn forget_handlers() {
    for signal in 1..=libc::SIGRTMAX() {
        if is_caught(signal) || signal == libc::SIGPIPE {
            set_default(signal);
        }
    }
}

/// Becomes the program. Returns if it cannot.
fn exec(program: &CStr, args: *const *const c_char, env: *const *const c_char) -> Errno {
    // SAFETY: both lists end with a null, and they and the strings they point to are there, for the
    // thread that made them waits.
    unsafe {
        libc::execve(program.as_ptr(), args, env);
        Errno::from_raw_os_error(*libc::__errno_location())
    }
}
