//! Every way in which threads can meet, tried one after the other: files of the product are compiled
//! here with primitives that know of all threads, so that mail that is lost, or a thread that sleeps
//! for ever, is found and not waited for.
//!
//! What is tried is bounded: a thread is interrupted where it need not be at most three times.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod doors;
mod inboxes;

/// Stands for the room of this name.
mod sync {
    pub use std::sync::PoisonError;

    pub use loom::sync::{Arc, Condvar, Mutex, MutexGuard, atomic};

    /// A bell that only threads of a model hear.
    #[derive(Default)]
    pub struct Bell {
        rung: Mutex<bool>,
        heard: Condvar,
    }

    impl Bell {
        pub fn ring(&self) {
            *self.rung.lock().unwrap() = true;
            self.heard.notify_one();
        }

        /// Sleeps until it has rung since it was heard last.
        pub fn wait(&self) {
            let mut rung = self.rung.lock().unwrap();
            while !*rung {
                rung = self.heard.wait(rung).unwrap();
            }
            *rung = false;
        }
    }
}

/// As much of what a shard is asked as its door needs.
mod supervise {
    pub mod message {
        pub struct Request {
            pub key: u64,
        }

        pub trait Patron {
            fn has_room(&self) -> bool;
            fn admit(&self, request: &mut Request) -> bool;
            fn put_back(&self, request: &mut Request);
        }
    }

    pub mod headroom {
        /// Nothing is scarce.
        pub struct Headroom;

        #[expect(clippy::unused_self, reason = "what it stands for counts")]
        impl Headroom {
            pub fn take(&self) -> bool {
                true
            }

            pub fn give_back(&self) {}
        }
    }
}

mod work {
    #[derive(Clone, Copy)]
    pub struct Stop;
}

#[path = "../../src/supervise/door.rs"]
#[allow(dead_code, reason = "not all of it is tried here")]
mod door;

#[path = "../../src/inbox.rs"]
#[allow(dead_code, reason = "not all of it is tried here")]
mod inbox;

/// Tries all the ways of a story in which no thread is interrupted more than three times.
fn every_way(story: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(story);
}
