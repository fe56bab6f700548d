//! What the threads that mind children share, and the way into each of them. Knows nothing of what they
//! do with it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::rundir::RunDir;
use crate::supervise::cgroup::Cells;
use crate::supervise::end::{ChildEnd, How};
use crate::supervise::headroom::Headroom;
use crate::supervise::message::{ChildEvent, Patron, Request};
use crate::supervise::oom::OomWatch;
use crate::time::{Clock, Time};
use crate::work::Stop;

/// What all shards share.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) files: RunDir,
    pub(crate) patron: Arc<dyn Patron>,
    pub(crate) queue: Arc<Queue>,
    /// How many children one shard minds at most. Else one could take what another has just made room
    /// for, and would spawn alone from then on.
    pub(crate) share: usize,
    pub(crate) headroom: Arc<Headroom>,
    /// What every child inherits beyond its streams.
    pub(crate) inherit: Arc<[OwnedFd]>,
    /// The cgroups of those that may use only so much.
    pub(crate) cells: Arc<Cells>,
    /// Begun when the first child runs.
    pub(crate) oom: Arc<OnceLock<OomWatch>>,
}

impl World {
    /// Tells of a child that was taken back before it started.
    pub(crate) fn recall(&self, key: u64) {
        let _ = self.patron.tell(key, ChildEvent::Recalled);
    }

    /// Tells of a child that could not be started.
    pub(crate) fn refuse(&self, request: &Request, now: Time, why: String) {
        let end = ChildEnd {
            started: now,
            ended: now,
            how: How::NotSpawned(why),
            child: Box::default(),
            limits: None,
            out_of_memory: false,
            original: None,
            ok_exit: Arc::clone(&request.command.ok_exit),
            result: request.command.result,
            leak: request.command.leak,
        };
        let _ = self.patron.tell(request.key, ChildEvent::Ended(end));
    }
}

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
    /// An eventfd.
    pub(crate) bell: OwnedFd,
    /// Whether the shard waits for events, or is about to: it looks at the queue once more after
    /// setting this.
    pub(crate) sleeping: AtomicBool,
    /// How many children it minds; beyond all bounds while it can mind no more.
    pub(crate) load: AtomicUsize,
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
    pub(crate) fn new(bell: OwnedFd) -> Self {
        Self {
            ops: Mutex::default(),
            bell,
            sleeping: AtomicBool::new(false),
            load: AtomicUsize::new(0),
        }
    }

    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Whether it has to be woken to see what is new.
    pub(crate) fn sleeps(&self) -> bool {
        self.sleeping.load(Ordering::SeqCst)
    }

    /// Wakes the shard if it sleeps.
    pub(crate) fn wake(&self) {
        if self.sleeping.swap(false, Ordering::SeqCst) {
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    pub(crate) fn push(&self, op: Op) {
        lock(&self.ops).push(op);
        self.wake();
    }

    pub(crate) fn has_ops(&self) -> bool {
        !lock(&self.ops).is_empty()
    }

    pub(crate) fn take(&self) -> Vec<Op> {
        std::mem::take(&mut lock(&self.ops))
    }
}

/// No lock is held while anything but a patron's admission runs.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
