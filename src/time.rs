//! A point in a run, and the clock that reads it. Knows nothing of calendars: durations come from
//! the monotonic clock alone.

use std::time::{Duration, Instant};

/// Nanoseconds since the run started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The start of the run.
    pub const ZERO: Self = Self(0);

    /// The moment `duration` after this one; the end of time if there is none.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long it is from `earlier` to this moment; nothing if that came later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Seconds since the start of the run: the float nearest to it.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// The monotonic clock of one run. Copies read the same time, on every thread.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that reads zero now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The time now.
    pub fn now(self) -> Time {
        Time(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The instant at which this clock reads `time`; `None` beyond the range of instants.
    pub fn instant(self, time: Time) -> Option<Instant> {
        self.origin.checked_add(Duration::from_nanos(time.0))
    }
}
