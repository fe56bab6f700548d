//! Every way in which threads can meet, tried one after the other: files of the product are compiled
//! here with primitives that know of all threads, and a thread that sleeps for ever is found.
//!
//! What is tried is bounded: a thread is interrupted where it need not be at most so often.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod inboxes;

/// Stands for the room of this name.
mod sync {
    pub use std::sync::PoisonError;

    pub use loom::sync::{Arc, Condvar, Mutex, MutexGuard, atomic};
}

#[path = "../../src/inbox.rs"]
#[allow(dead_code, reason = "not all of it is tried here")]
mod inbox;

/// Tries all the ways of a story in which no thread is interrupted more than three times.
fn every_way(story: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(story);
}
