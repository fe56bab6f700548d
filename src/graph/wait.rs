//! Wait policies: what is waited for, and what becomes of the rest. Knows nothing of who waits.

use std::time::Duration;

/// A wait policy: Python's `concurrent.futures.wait` and what becomes of the rest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wait {
    /// What is waited for.
    pub return_when: ReturnWhen,
    /// When the wait gives up.
    pub timeout: Option<Duration>,
    /// What happens to futures that are not done when it returns.
    pub on_return: OnReturn,
}

/// What a wait waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ReturnWhen {
    /// Everything is done.
    #[default]
    AllCompleted,
    /// One is done.
    FirstCompleted,
    /// One failed, or everything is done.
    FirstException,
    /// One succeeded.
    FirstSuccess,
    /// So many are done.
    Completed(Amount),
    /// So many succeeded.
    Succeeded(Amount),
    /// So many failed, or everything is done.
    Failed(Amount),
}

/// A number of futures, absolute or as a share of all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Exactly so many.
    Count(u32),
    /// This share in percent, rounded up.
    Percent(f64),
}

impl Amount {
    /// The number of futures this means out of `total`.
    pub fn of(self, total: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            // 16.1 % of 1000 is 161 and, in binary fractions, a hair more; that is not 162.
            Self::Percent(percent) => {
                let exact = percent * f64::from(total) / 100.0;
                (exact * (1.0 - 4.0 * f64::EPSILON)).ceil() as u32
            }
        }
    }
}

/// What happens to futures that are not done when a wait returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnReturn {
    /// Pending ones never start, running ones are stopped.
    #[default]
    Cancel,
    /// Pending ones never start, running ones finish.
    Drain,
    /// All go on to the end.
    Continue,
}
