//! What threads meet at, from one place: models put primitives of their own in its place, and try all
//! the ways in which threads can meet (`tests/loom`). Knows nothing of who meets.

pub use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic};
