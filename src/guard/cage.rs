//! What holds the runner and all it starts, where the system allows it: a cgroup, and the keeper that
//! ends it if nobody else can. Knows nothing of what they do.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process};

use super::cgroup::{self, Cgroup};
use super::keeper::Keeper;
use super::{birth, sys};

/// How long the guard waits for the last process to go. After that the keeper goes on waiting.
const PATIENCE: Duration = Duration::from_secs(2);

/// A cgroup with a keeper. The guard and the runner each have a copy.
#[derive(Debug)]
pub(crate) struct Cage {
    cgroup: Cgroup,
    keeper: Keeper,
    /// Tells the keeper that the runner, or the guard, lives.
    _alive: PipeWriter,
}

impl Cage {
    /// Builds one for the runner of the guard that has this pidfd, which is this process. The keeper is
    /// there first, so there is no moment at which killing the others leaves anything.
    ///
    /// # Errors
    /// Where the system does not allow it; then nothing is left of it.
    pub(crate) fn build(guard: BorrowedFd<'_>) -> io::Result<Self> {
        let path = cgroup::plan()?;
        let (dead, alive) = io::pipe()?;
        let keeper = Keeper::start(&path, guard, dead.as_fd())?;
        match Cgroup::create(&path) {
            Ok(cgroup) => Ok(Self { cgroup, keeper, _alive: alive }),
            Err(error) => {
                keeper.dismiss();
                Err(error)
            }
        }
    }

    /// Forks, with the child in the cage. `Some` with its pid in the parent, `None` in the child.
    ///
    /// Moving a process into a cgroup takes the kernel longer than all else that is done at the start, so
    /// the child is born there. A process in between is, which forks it and ends; then the nearest
    /// subreaper, this process, is the child's parent.
    ///
    /// # Errors
    /// When the system refuses. A child may be in the cage all the same; it is killed with it.
    pub(crate) fn fork(&self) -> io::Result<Option<Pid>> {
        let (read, write) = io::pipe()?;
        let Some(between) = birth::into_cgroup(self.cgroup.folder())? else {
            return match sys::fork() {
                Ok(None) => Ok(None),
                Ok(Some(child)) => {
                    let code = tell(write, child);
                    if code != 0 {
                        // Nobody knows of it, and another will be started in its place.
                        let _ = kill_process(child, Signal::KILL);
                    }
                    sys::exit_now(code)
                }
                Err(_) => sys::exit_now(1),
            };
        };
        drop(write);
        let child = hear(read);
        sys::reap(between, WaitOptions::empty());
        child.map(Some)
    }

    /// The one who is to be spared when all below this process are killed.
    pub(crate) fn keeper(&self) -> Pid {
        self.keeper.pid()
    }

    /// Kills all that are in it.
    pub(crate) fn kill(&self) {
        self.cgroup.kill();
    }

    /// Takes it down, with all that are still in it.
    pub(crate) fn take_down(&self) {
        if self.cgroup.remove(PATIENCE) {
            self.keeper.dismiss();
        }
    }
}

/// Tells a pid; gives an exit code.
fn tell(mut pipe: PipeWriter, child: Pid) -> i32 {
    i32::from(pipe.write_all(&child.as_raw_pid().to_ne_bytes()).is_err())
}

/// Hears a pid.
fn hear(mut pipe: PipeReader) -> io::Result<Pid> {
    let mut bytes = [0; 4];
    pipe.read_exact(&mut bytes)?;
    Pid::from_raw(i32::from_ne_bytes(bytes)).ok_or_else(|| ErrorKind::InvalidData.into())
}
