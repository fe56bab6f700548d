//! The moment in which a child is spawned. Knows nothing of what is spawned.

use std::os::fd::OwnedFd;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use rustix::process::Pid;

use super::clone::clone;
use super::image::{Image, Refused};

/// Held for reading while a child is spawned, and for writing while this process stops all that is below
/// it, or for ever once it kills that: another thread would spawn the next child behind its back. It
/// belongs to the process as its children do, so it is not handed around.
static GATE: RwLock<()> = RwLock::new(());

/// Starts a child process: its number, and what can be read once it has ended if the system has such.
/// The child is killed when the calling thread ends.
///
/// It never returns once the process tree is being torn down.
///
/// # Errors
/// As the system gives them, with what could not be done.
pub fn spawn(image: &Image<'_>) -> Result<(Pid, Option<OwnedFd>), Refused> {
    let _open = GATE.read().unwrap_or_else(PoisonError::into_inner);
    clone(image)
}

/// Lets no child be spawned until the result is dropped.
pub(crate) fn hold() -> RwLockWriteGuard<'static, ()> {
    GATE.write().unwrap_or_else(PoisonError::into_inner)
}

/// Lets no child be spawned from now on.
pub(crate) fn close() {
    std::mem::forget(hold());
}
