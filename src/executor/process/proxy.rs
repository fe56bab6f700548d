//! One slot of a pool of worker processes: takes attempts from the queue, has its worker do them,
//! and tells the driver. Knows nothing of the other slots but through the queue.

use std::sync::Arc;

use crate::executor::pool::Attempt;
use crate::executor::process::dispatch::{Dispatch, Doing, State};
use crate::executor::process::line::{Line, Rules};
use crate::executor::process::peer::wait_for;
use crate::sync::Bell;
use crate::work::Notice;

/// So often is a worker tried for which the system has no room, waiting 10, 20, 40 … ms in between.
const TRIES: u32 = 10;

/// So often if there are other workers.
const TRIES_OF_MANY: u32 = 3;

/// One slot.
pub(super) struct Proxy {
    dispatch: Arc<Dispatch>,
    slot: usize,
    bell: Arc<Bell>,
    line: Line,
}

impl Proxy {
    pub(super) fn new(
        dispatch: Arc<Dispatch>,
        rules: Arc<Rules>,
        slot: usize,
        bell: Arc<Bell>,
    ) -> Self {
        let tally = dispatch.tally();
        let line = Line::new(dispatch.executor.clone(), rules, slot as u32 + 1, tally);
        Self { dispatch, slot, bell, line }
    }

    /// Serves until the pool closes or breaks.
    pub(super) fn run(mut self) {
        while let Some(taken) = self.settle() {
            self.line.send(taken);
            self.line.obey();
            if self.line.is_settled() {
                self.wait();
            }
        }
        self.end();
    }

    /// Brings the books up to date, tells the driver, and takes what there is to take; `None` when
    /// it is time to go.
    fn settle(&mut self) -> Option<Vec<Attempt>> {
        if let Some(why) = self.line.fault.take() {
            self.dispatch.break_off(&why);
        }
        let must_retire = self.is_refused();
        let mut state = self.dispatch.lock();
        for (id, how) in state.slots[self.slot].orders.drain(..) {
            self.line.stop(id, how);
        }
        if state.closing || state.queue.broken().is_some() {
            return None;
        }
        let retires = state.serving() > 1 && (must_retire || state.has_surplus());
        let retires = retires && self.line.gives_up_waiting();
        for attempt in self.line.books.returned.drain(..).rev() {
            state.queue.put_back(attempt);
        }
        let taken = if state.has_surplus() { Vec::new() } else { self.take(&mut state) };
        let idle = taken.is_empty() && self.line.is_idle();
        state.slots[self.slot].doing = match idle {
            _ if retires => Doing::Gone,
            true => Doing::Idle,
            false => Doing::Busy,
        };
        state.wake_idle();
        drop(state);
        let executor = &self.dispatch.executor;
        // The number is free before the driver hears of it.
        if idle && let Some(number) = self.line.books.number.take() {
            executor.workers.give_back(number);
        }
        self.line.books.notices.drain(..).for_each(|notice| executor.tell(notice));
        if retires {
            return None;
        }
        if self.line.is_idle() && self.line.replace_worker() {
            // There is a new one for what is waiting.
            return self.settle();
        }
        Some(taken)
    }

    /// Whether the slot is to leave its work to others, because the system has refused it a worker more
    /// than once. The last one tries longer, until it breaks the executor.
    fn is_refused(&mut self) -> bool {
        let Some(why) = self.line.refusal.take() else { return false };
        let tries = self.line.tries_again();
        if tries > TRIES {
            self.dispatch.break_off(&why);
        } else if tries > TRIES_OF_MANY {
            // Others than workers need room too.
            let most = self.dispatch.workers().div_ceil(2).max(1);
            self.dispatch.narrow(most);
            self.dispatch.executor.warn_of_fewer_workers(most, &why);
            return true;
        }
        false
    }

    /// Takes attempts from the queue: as many as there is room for, but no more than a fair share,
    /// and nothing that somebody idle could do. An exact one is taken alone.
    fn take(&self, state: &mut State) -> Vec<Attempt> {
        let mut taken = Vec::new();
        state.slots[self.slot].doing = Doing::Busy;
        let free = if self.line.is_idle() {
            state.queue.len()
        } else {
            let idle = state.slots.iter().filter(|slot| slot.doing == Doing::Idle).count();
            state.unclaimed().saturating_sub(idle)
        };
        let share = free.div_ceil(state.serving()).min(self.line.room());
        while taken.len() < share {
            let exact = state.queue.first().is_some_and(|attempt| attempt.exact);
            if exact && !(taken.is_empty() && self.line.is_idle()) {
                break;
            }
            let Some(attempt) = state.queue.pop() else { break };
            taken.push(attempt);
            if exact {
                break;
            }
        }
        taken
    }

    /// Waits for the worker or the bell, and does what there is to do.
    fn wait(&mut self) {
        match self.line.wait(&self.bell) {
            Some(ready) => self.line.react(ready),
            None => wait_for(&self.bell, self.line.pause()),
        }
    }

    /// Ends the worker and, if the executor is broken, what it has.
    fn end(mut self) {
        let why = self.dispatch.lock().queue.broken().cloned();
        self.line.hang_up(why.is_none());
        let executor = &self.dispatch.executor;
        let number = self.line.books.number.take();
        if let Some(number) = number {
            executor.workers.give_back(number);
        }
        self.line.books.notices.drain(..).for_each(|notice| executor.tell(notice));
        let Some(why) = why else { return };
        let now = executor.clock.now();
        for (attempt, started) in self.line.give_up() {
            let worker = started.and(number).unwrap_or_default();
            let done = executor.broken(&attempt, &why, worker, started.unwrap_or(now), now);
            executor.tell(Notice::Ended(done));
        }
    }
}
