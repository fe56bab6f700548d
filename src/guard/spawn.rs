//! The moment in which a child is spawned. Knows nothing of what is spawned.

use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::{Arc, PoisonError, RwLock};

use super::sys::{self, Mask};

/// Held for reading while a child is spawned, and for writing for ever once this process kills all
/// that is below it: another thread would spawn the next child behind its back. It belongs to the
/// process as its children do, so it is not handed around.
static GATE: RwLock<()> = RwLock::new(());

/// Runs `spawn`, which starts one child process, with an empty signal mask, since a child inherits
/// the mask of the thread that spawns it.
///
/// It never returns once the process tree is being torn down.
pub fn spawning<T>(spawn: impl FnOnce() -> T) -> T {
    let _open = GATE.read().unwrap_or_else(PoisonError::into_inner);
    let before = Mask::of(&[]).install();
    let spawned = spawn();
    before.install();
    spawned
}

/// Lets the child that `command` will start inherit these descriptors, under the numbers that they have
/// here. It costs a fork where a child is otherwise started without one.
pub fn inherit(command: &mut Command, descriptors: Arc<[OwnedFd]>) {
    sys::keep_open(command, descriptors);
}

/// Lets no child be spawned from now on.
pub(crate) fn close() {
    std::mem::forget(GATE.write().unwrap_or_else(PoisonError::into_inner));
}
