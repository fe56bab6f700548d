//! The ways into the threads that mind children: the queue that all of them take from, and the door of
//! each. Knows nothing of what they do with it.

use std::collections::VecDeque;
use std::mem;

use crate::supervise::headroom::Headroom;
use crate::supervise::message::{Patron, Request};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Bell, Mutex, MutexGuard, PoisonError};
use crate::work::Stop;

/// Children that have not been spawned, first come first served.
#[derive(Default)]
pub(crate) struct Queue(Mutex<VecDeque<Request>>);

impl Queue {
    pub(crate) fn push(&self, request: Request) {
        lock(&self.0).push_back(request);
    }

    /// The next one, whether or not there is room for it.
    pub(crate) fn pop(&self) -> Option<Request> {
        lock(&self.0).pop_front()
    }

    /// The next one, if there is room for it and its patron admits it.
    pub(crate) fn admit(&self, headroom: &Headroom, patron: &dyn Patron) -> Option<Request> {
        let mut queue = lock(&self.0);
        let first = queue.front_mut().filter(|_| patron.has_room() && headroom.take())?;
        if patron.admit(first) {
            queue.pop_front()
        } else {
            headroom.give_back();
            None
        }
    }

    /// Puts the one back that was admitted last.
    pub(crate) fn put_back(&self, mut request: Request, patron: &dyn Patron) {
        let mut queue = lock(&self.0);
        patron.put_back(&mut request);
        queue.push_front(request);
    }

    /// Whether there is one.
    pub(crate) fn is_waiting(&self) -> bool {
        !lock(&self.0).is_empty()
    }

    /// Takes one out. Who takes back many begins with the last.
    pub(crate) fn remove(&self, key: u64) -> Option<Request> {
        let mut queue = lock(&self.0);
        let place = queue.iter().rposition(|request| request.key == key)?;
        queue.remove(place)
    }
}

/// The way into one shard.
pub(crate) struct Door {
    ops: Mutex<Vec<Op>>,
    /// What the shard waits for, among other things.
    pub(crate) bell: Bell,
    /// Whether it waits, or is about to: it looks for news once more after setting this.
    sleeping: AtomicBool,
    /// How many children it minds; beyond all bounds while it can mind no more.
    load: AtomicUsize,
}

/// What a shard is asked to do, beside looking at the queue.
#[derive(Clone, Copy)]
pub(crate) enum Op {
    Stop(u64, Stop),
    /// A child without a pidfd has ended: its token.
    Exited(u64),
    Quit,
}

impl Door {
    pub(crate) fn new(bell: Bell) -> Self {
        Self {
            ops: Mutex::default(),
            bell,
            sleeping: AtomicBool::new(false),
            load: AtomicUsize::new(0),
        }
    }

    // From inside.

    /// How many children the shard minds from now on.
    pub(crate) fn set_load(&self, load: usize) {
        self.load.store(load, Ordering::Relaxed);
    }

    /// From now on the bell rings for all that is new; whether the shard may wait for it. What was put in
    /// before that has not rung, so it looks once more.
    pub(crate) fn lie_down(&self, has_news: impl FnOnce() -> bool) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        !has_news()
    }

    /// The shard looks at everything before it lies down again.
    pub(crate) fn get_up(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
    }

    pub(crate) fn has_ops(&self) -> bool {
        !lock(&self.ops).is_empty()
    }

    pub(crate) fn take(&self) -> Vec<Op> {
        mem::take(&mut lock(&self.ops))
    }

    // From outside.

    /// Of these, the one whose shard sleeps and minds the fewest children, fewer than `share`. Those that
    /// are awake will look at the queue.
    pub(crate) fn sleeper<'a>(
        doors: impl Iterator<Item = &'a Self>,
        share: usize,
    ) -> Option<&'a Self> {
        let asleep = doors.filter(|door| door.sleeping.load(Ordering::SeqCst));
        let loads = asleep.map(|door| (door.load.load(Ordering::Relaxed), door));
        loads.filter(|(load, _)| *load < share).min_by_key(|(load, _)| *load).map(|(_, door)| door)
    }

    /// Wakes the shard if it sleeps.
    pub(crate) fn wake(&self) {
        if self.sleeping.swap(false, Ordering::SeqCst) {
            self.bell.ring();
        }
    }

    pub(crate) fn push(&self, op: Op) {
        lock(&self.ops).push(op);
        self.wake();
    }
}

/// No lock is held while anything but a patron's admission runs.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
