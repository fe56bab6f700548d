//! A mailbox with one reader and many senders, made for much mail: senders do not meet each other, and
//! the reader takes all there is at once. Knows nothing of what is sent.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::thread;
use std::time::Instant;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The reader's end.
pub struct Inbox<T> {
    shared: Arc<Shared<T>>,
    /// What was taken out of the lanes and not read yet.
    taken: VecDeque<T>,
    /// An empty vector to be exchanged for a full one, so that neither is ever allocated anew.
    spare: Vec<T>,
}

/// A sender's end. Clones share a lane, so what they send stays in order; what is sent on different
/// lanes is read in any order.
pub struct Sender<T> {
    lane: Arc<Lane<T>>,
    shared: Arc<Shared<T>>,
}

/// What a thread leaves to say if it panics, so that nobody waits for what it will never send.
#[derive(Debug)]
pub struct Will<T> {
    sender: Sender<T>,
    mail: Option<T>,
}

type Lane<T> = Mutex<Vec<T>>;

struct Shared<T> {
    lanes: Mutex<Vec<Arc<Lane<T>>>>,
    /// Whether the reader sleeps, or is about to: it looks at all lanes once more after setting this.
    sleeps: AtomicBool,
    rung: Mutex<bool>,
    bell: Condvar,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        let shared = Shared {
            lanes: Mutex::default(),
            sleeps: AtomicBool::new(false),
            rung: Mutex::new(false),
            bell: Condvar::new(),
        };
        Self { shared: Arc::new(shared), taken: VecDeque::new(), spare: Vec::new() }
    }
}

impl<T> Inbox<T> {
    /// A sender with a lane of its own.
    pub fn sender(&self) -> Sender<T> {
        Sender::new(Arc::clone(&self.shared))
    }

    /// Whether all that was taken has been read, so that the next look is a new one.
    pub fn is_read(&self) -> bool {
        self.taken.is_empty()
    }

    /// What came next, if there is something.
    pub fn try_next(&mut self) -> Option<T> {
        if self.taken.is_empty() {
            self.take_all();
        }
        self.taken.pop_front()
    }

    /// Waits for what comes next, no longer than `until`; for ever if that is `None`.
    pub fn next(&mut self, until: Option<Instant>) -> Option<T> {
        loop {
            if let Some(next) = self.try_next() {
                return Some(next);
            }
            self.shared.sleeps.store(true, Ordering::SeqCst);
            // A sender that did not see that the reader sleeps has put its mail in before this look.
            let next = self.try_next();
            let in_time = next.is_some() || self.shared.sleep(until);
            self.shared.sleeps.store(false, Ordering::SeqCst);
            if next.is_some() || !in_time {
                return next.or_else(|| self.try_next());
            }
        }
    }

    fn take_all(&mut self) {
        let mut lanes = lock(&self.shared.lanes);
        lanes.retain(|lane| {
            let mut mail = lock(lane);
            if mail.is_empty() {
                // Nobody can put anything in any more when this is the last to know of it.
                return Arc::strong_count(lane) > 1;
            }
            mem::swap(&mut *mail, &mut self.spare);
            drop(mail);
            self.taken.extend(self.spare.drain(..));
            true
        });
    }
}

impl<T> Sender<T> {
    fn new(shared: Arc<Shared<T>>) -> Self {
        let lane = Arc::<Lane<T>>::default();
        lock(&shared.lanes).push(Arc::clone(&lane));
        Self { lane, shared }
    }

    /// A sender with a lane of its own, for a thread that sends much.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }

    /// Sends, and wakes the reader if it sleeps.
    pub fn send(&self, mail: T) {
        self.leave(mail);
        self.ring();
    }

    /// Mail that is sent if this thread panics while it has it.
    #[must_use]
    pub fn will(&self, mail: T) -> Will<T> {
        Will { sender: self.clone(), mail: Some(mail) }
    }

    /// Sends without waking the reader: for what can wait until it wakes, or until [`Self::ring`].
    pub fn leave(&self, mail: T) {
        lock(&self.lane).push(mail);
    }

    /// Wakes the reader if it sleeps.
    pub fn ring(&self) {
        if self.shared.sleeps.load(Ordering::SeqCst) {
            *lock(&self.shared.rung) = true;
            self.shared.bell.notify_one();
        }
    }
}

impl<T> Drop for Will<T> {
    fn drop(&mut self) {
        if let Some(mail) = self.mail.take().filter(|_| thread::panicking()) {
            self.sender.send(mail);
        }
    }
}

impl<T> Shared<T> {
    /// Sleeps until somebody rings; `false` if `until` came first.
    fn sleep(&self, until: Option<Instant>) -> bool {
        let mut rung = lock(&self.rung);
        while !*rung {
            rung = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.bell.wait(rung).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => {
                    let woken = self.bell.wait_timeout(rung, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        mem::replace(&mut *rung, false)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { lane: Arc::clone(&self.lane), shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// No lock is held while anything of a caller's runs.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
