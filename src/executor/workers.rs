//! The numbers of an executor's workers: who runs, and how many ran at once. Knows nothing of what
//! they run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Hands out worker numbers, counted from 1, the lowest free one first. Calls and children of one
/// executor share it, so that no two that run at once have the same number.
#[derive(Debug, Default)]
pub struct Workers(Mutex<Numbers>);

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
    /// Takes the lowest free number.
    pub fn take(&self) -> u32 {
        let mut numbers = self.lock();
        numbers.running += 1;
        numbers.peak = numbers.peak.max(numbers.running);
        if let Some(Reverse(number)) = numbers.free.pop() {
            return number;
        }
        numbers.highest += 1;
        numbers.highest
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
