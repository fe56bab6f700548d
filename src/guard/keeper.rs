//! The process that ends a run whose guard and runner were both killed. Knows nothing of how they work.
//!
//! It does nothing but wait for the guard to be gone. Nothing that is aimed at the guard, or at the run,
//! by a name, a group or a terminal hits it.
#![expect(
    unsafe_code,
    reason = "its descriptors and its words are those of a process that is no more"
)]

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, chdir, kill_process, setsid};

use super::sys::{self, Mask};
use super::{birth, cgroup};

/// How long a runner whose guard was killed may take to end everything itself. It knows of those that
/// were moved out of the cgroup.
const RUNNERS_TURN: Duration = Duration::from_millis(300);

/// How long it waits for what has been killed. Only what hangs in the kernel takes so long.
const PATIENCE: Duration = Duration::from_hours(1);

/// The process, as its parent knows it.
#[derive(Debug)]
pub(crate) struct Keeper(Pid);

impl Keeper {
    /// Starts it, for the cgroup at `path`, which may be made later. `guard` is a pidfd of this process; of `runner` the other end is held by the runner
    /// for as long as it lives.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn start(
        path: &Path,
        guard: BorrowedFd<'_>,
        runner: BorrowedFd<'_>,
    ) -> std::io::Result<Self> {
        // One that is stopped before it has left the terminal's group would stay so.
        let before = Mask::of_all().block();
        // It has its name from the first moment, however long it waits for a processor.
        let name = rustix::thread::name().unwrap_or_default();
        let _ = rustix::thread::set_name(c"run-keeper");
        let pid = match birth::unseen() {
            Ok(None) => keep(path, guard, runner),
            Ok(Some(pid)) => Ok(Self(pid)),
            Err(error) => Err(error),
        };
        let _ = rustix::thread::set_name(&name);
        before.restore();
        pid
    }

    /// Its pid: whoever kills all that is left of a run leaves it alone.
    pub(crate) fn pid(&self) -> Pid {
        self.0
    }

    /// Ends it.
    pub(crate) fn dismiss(&self) {
        let _ = kill_process(self.0, Signal::KILL);
        sys::reap(self.0, WaitOptions::from_bits_retain(libc::__WCLONE.cast_unsigned()));
    }
}

/// Its whole life, in which all signals are blocked.
fn keep(path: &Path, guard: BorrowedFd<'_>, runner: BorrowedFd<'_>) -> ! {
    let _ = setsid();
    // A file system can be unmounted, a pipe is at its end: nobody waits for this process.
    let _ = chdir("/");
    blank_words();
    close_all_but([guard, runner].map(|kept| kept.as_raw_fd()));
    wait_for(guard, PollFlags::IN, None);
    wait_for(runner, PollFlags::HUP, Some(RUNNERS_TURN));
    cgroup::remove(path, PATIENCE);
    sys::exit_now(0)
}

/// Waits until `event`, or the end of the patience.
fn wait_for(descriptor: BorrowedFd<'_>, event: PollFlags, patience: Option<Duration>) {
    let timeout =
        patience.map(|left| Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) });
    let mut wanted = [PollFd::from_borrowed_fd(descriptor, event)];
    while poll(&mut wanted, timeout.as_ref()) == Err(rustix::io::Errno::INTR) {}
}

/// Closes every descriptor of this process but these.
fn close_all_but(mut kept: [RawFd; 2]) {
    kept.sort_unstable();
    let mut first = 0;
    for last in kept.map(i32::cast_unsigned).into_iter().chain([u32::MAX]) {
        if first < last {
            // The last one is that of no descriptor.
            // SAFETY: this process uses no descriptor but those it keeps.
            unsafe {
                libc::syscall(libc::SYS_close_range, first, last - 1, 0);
            }
        }
        first = last.saturating_add(1);
    }
}

/// Blanks the arguments and the environment that others see of this process. They are those of the
/// guard, and who kills whatever was started with certain words, or looks for the processes of a run,
/// does not mean this one.
fn blank_words() {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // `PID (NAME) STATE …`; of the fields the 48th to 51st say where words begin and end.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_ascii_whitespace().skip(45));
    let places: Vec<usize> = fields.into_iter().flatten().map_while(|it| it.parse().ok()).collect();
    for words in places.chunks_exact(2).take(2) {
        let place = std::ptr::with_exposed_provenance_mut::<u8>(words[0]);
        // SAFETY: the kernel put the words there when the program began, in memory that is never
        // unmapped; in this process, which has one thread, nobody reads them any more.
        unsafe {
            place.write_bytes(0, words[1].saturating_sub(words[0]));
        }
    }
}
