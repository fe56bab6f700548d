//! The numbers of an executor's workers: who runs, and how many ran at once. Knows nothing of what
//! they run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Hands out worker numbers, counted from 1, the lowest free one first. Calls and children of one
/// executor share it, so that no two that run at once have the same number.
#[derive(Debug)]
pub struct Workers {
    numbers: Mutex<Numbers>,
    most: u32,
}

#[derive(Debug, Default)]
struct Numbers {
    /// Numbers that were taken once and given back.
    free: BinaryHeap<Reverse<u32>>,
    /// The highest number ever taken.
    highest: u32,
    running: u32,
    peak: u32,
}

impl Workers {
    /// The numbers of an executor that has at most so many workers.
    pub fn new(most: u32) -> Self {
        Self { numbers: Mutex::default(), most }
    }

    /// How many there are at most.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// Takes the lowest free number. Who takes one without asking has seen to it that there is one.
    pub fn take(&self) -> u32 {
        self.lock().take()
    }

    /// Takes the lowest free number, if there is one.
    pub fn try_take(&self) -> Option<u32> {
        let mut numbers = self.lock();
        (numbers.running < self.most).then(|| numbers.take())
    }

    /// Whether there is a free number.
    pub fn has_room(&self) -> bool {
        self.lock().running < self.most
    }

    /// Gives a number back that was taken.
    pub fn give_back(&self, number: u32) {
        let mut numbers = self.lock();
        numbers.running = numbers.running.saturating_sub(1);
        numbers.free.push(Reverse(number));
    }

    /// The most numbers that were taken at once so far.
    pub fn peak(&self) -> u32 {
        self.lock().peak
    }

    fn lock(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    fn take(&mut self) -> u32 {
        self.running += 1;
        self.peak = self.peak.max(self.running);
        if let Some(Reverse(number)) = self.free.pop() {
            return number;
        }
        self.highest += 1;
        self.highest
    }
}
