//! How many futures may wait in an executor for a free worker, going by how long futures take there.
//! Knows nothing of what they do.

use std::time::Duration;

/// No more wait in an executor, however short they are.
const MOST: u64 = 256;

/// What waits in an executor is no more than all its workers do in this time. What becomes ready later,
/// and was to start before it, waits no longer than that.
const WORK: Duration = Duration::from_millis(5);

/// The pace of one executor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    workers: u64,
    /// How long a future takes, as a moving average, in nanoseconds; 0 before the first.
    average: u64,
    ahead: u32,
}

/// What follows from a change of pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// So many may wait from now on.
    Ahead(u32),
    /// The same, and those that wait now are far too many.
    Recall(u32),
}

impl Pace {
    /// That of an executor with so many workers, where nothing has ended.
    pub(super) fn new(workers: u32) -> Self {
        Self { workers: workers.into(), average: 0, ahead: 0 }
    }

    /// A future took so long.
    pub(super) fn saw(&mut self, took: Duration) -> Option<Change> {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.average = match self.average {
            0 => took,
            average => average - average / 8 + took / 8,
        };
        let fitting = WORK.as_nanos() as u64 * self.workers / self.average.max(1);
        // Powers of two, so that little changes change nothing.
        let ahead = if fitting == 0 { 0 } else { 1 << fitting.min(MOST).ilog2() };
        let before = std::mem::replace(&mut self.ahead, ahead);
        if ahead == before {
            None
        } else if ahead < before / 4 {
            Some(Change::Recall(ahead))
        } else {
            Some(Change::Ahead(ahead))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Pace};
    use std::time::Duration;

    #[test]
    fn many_short_ones_may_wait_and_no_long_one() {
        let mut pace = Pace::new(1);
        assert_eq!(pace.saw(Duration::from_micros(300)), Some(Change::Ahead(16)));
        assert_eq!(pace.saw(Duration::from_micros(300)), None);
        while pace.saw(Duration::from_nanos(100)) != Some(Change::Ahead(256)) {}
        assert_eq!(pace.saw(Duration::from_secs(1)), Some(Change::Recall(0)));
        assert_eq!(pace.saw(Duration::from_secs(1)), None);
    }
}
