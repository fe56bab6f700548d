//! The queue of a pool of worker processes, shared by its slots and by who hands attempts over.
//! Knows nothing of processes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::executor::pool::{Attempt, Executor, Id, Queue};
use crate::sync::Bell;
use crate::work::Stop;

/// What the slots of a pool share.
pub(super) struct Dispatch {
    pub(super) executor: Executor,
    state: Mutex<State>,
    /// Each worker process holds one of these.
    tally: Arc<()>,
}

/// What is waiting, who has what, and who does what.
#[derive(Default)]
pub(super) struct State {
    pub(super) queue: Queue,
    pub(super) slots: Vec<Slot>,
    pub(super) closing: bool,
    /// How many slots may serve: fewer once the system has refused something to one.
    most: usize,
}

/// One slot, as others see it.
pub(super) struct Slot {
    pub(super) doing: Doing,
    /// Attempts that it shall stop if it has them.
    pub(super) orders: Vec<(Id, Stop)>,
    /// Wakes it where it waits for its worker.
    bell: Arc<Bell>,
}

/// What a slot does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// It has nothing and sleeps.
    Idle,
    /// It was woken, and will take something.
    Woken,
    /// It has something.
    Busy,
    /// It has ended for good, for want of room, and has left its work to the others.
    Gone,
}

impl Dispatch {
    pub(super) fn new(executor: Executor) -> Self {
        let state = State { most: executor.max_workers as usize, ..State::default() };
        Self { executor, state: Mutex::new(state), tally: Arc::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes attempts over. Gives how many slots more could be used.
    pub(super) fn submit(&self, attempts: &mut Vec<Attempt>) -> usize {
        let mut state = self.lock();
        if let Some(why) = state.queue.broken().cloned() {
            drop(state);
            attempts.drain(..).for_each(|attempt| self.executor.refuse(&attempt, &why));
            return 0;
        }
        state.queue.append(attempts);
        state.wake_idle()
    }

    /// Takes an attempt back, or has the slot that has it stop it. Which one that is only the slots
    /// know; each reads its orders before it takes anything new, so a late one hits nobody else.
    pub(super) fn stop(&self, id: Id, how: Stop) {
        let mut state = self.lock();
        if let Some(attempt) = state.queue.remove(id) {
            drop(state);
            self.executor.recalled(&attempt);
            return;
        }
        for slot in state.slots.iter_mut().filter(|slot| slot.doing == Doing::Busy) {
            slot.orders.push((id, how));
            slot.bell.ring();
        }
    }

    /// Takes back what no slot has taken.
    pub(super) fn recall(&self) {
        let unstarted = self.lock().queue.take_all();
        for attempt in &unstarted {
            self.executor.recalled(attempt);
        }
    }

    /// Ends everything that was handed over, and all that will be.
    pub(super) fn break_off(&self, why: &str) {
        let mut state = self.lock();
        if !state.queue.break_off(why) {
            return;
        }
        let unstarted = state.queue.take_all();
        state.wake_all();
        drop(state);
        self.executor.announce_broken(why, &unstarted);
    }

    /// How many worker processes there are.
    pub(super) fn workers(&self) -> usize {
        Arc::strong_count(&self.tally) - 1
    }

    /// What each worker process is to hold.
    pub(super) fn tally(&self) -> Weak<()> {
        Arc::downgrade(&self.tally)
    }

    /// Lets no more than so many slots serve, but one.
    pub(super) fn narrow(&self, most: usize) {
        let mut state = self.lock();
        state.most = state.most.min(most.max(1));
        state.wake_all();
    }

    /// Lets all slots end.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        state.wake_all();
    }
}

impl State {
    /// Adds a slot that will take something as soon as it is there.
    pub(super) fn add_slot(&mut self) -> std::io::Result<Arc<Bell>> {
        let bell = Arc::new(Bell::new()?);
        self.slots.push(Slot { doing: Doing::Woken, orders: Vec::new(), bell: Arc::clone(&bell) });
        Ok(bell)
    }

    /// Whether more slots serve than may.
    pub(super) fn has_surplus(&self) -> bool {
        self.serving() > self.most
    }

    /// How many slots there are that take attempts.
    pub(super) fn serving(&self) -> usize {
        self.slots.iter().filter(|slot| slot.doing != Doing::Gone).count()
    }

    /// How many of the waiting attempts no slot was woken for.
    pub(super) fn unclaimed(&self) -> usize {
        let woken = self.slots.iter().filter(|slot| slot.doing == Doing::Woken).count();
        self.queue.len().saturating_sub(woken)
    }

    /// Wakes an idle slot for each waiting attempt, the lowest first. Gives how many attempts are
    /// left for which there is none.
    pub(super) fn wake_idle(&mut self) -> usize {
        let mut unclaimed = self.unclaimed();
        for slot in &mut self.slots {
            if unclaimed == 0 {
                break;
            }
            if slot.doing == Doing::Idle {
                slot.doing = Doing::Woken;
                slot.bell.ring();
                unclaimed -= 1;
            }
        }
        unclaimed
    }

    fn wake_all(&self) {
        self.slots.iter().for_each(|slot| slot.bell.ring());
    }
}
