//! What threads meet at, from one place: models put primitives of their own in its place, and try all
//! the ways in which threads can meet (`tests/loom`). Knows nothing of who meets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
pub use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic};

use rustix::event::{EventfdFlags, eventfd};

/// Wakes a thread that waits for several descriptors at once, of which this is one.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// A bell that is silent.
    ///
    /// # Errors
    /// If there is no descriptor to be had.
    pub fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Wakes the thread; many rings before it wakes are one.
    pub fn ring(&self) {
        // Who is not woken may sleep for ever, so one failure is not taken for an answer.
        for _ in 0..3 {
            if rustix::io::write(&self.0, &1u64.to_ne_bytes()).is_ok() {
                return;
            }
        }
    }

    /// Makes it silent again.
    pub fn hush(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
