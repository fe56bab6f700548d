//! A point in a run, and the clock that reads it. Knows nothing of calendars: durations come from
//! the monotonic clock alone, less the time in which this process was paused.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// The clock of one run: the monotonic one, which stands still while the process is paused. Copies read the
/// same time, on every thread.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// When it was started, and how long the process had been paused by then.
    origin: u64,
    paused: u64,
}

impl Clock {
    /// A clock that reads zero now.
    pub fn start() -> Self {
        let (origin, paused) = read();
        Self { origin, paused }
    }

    /// The time now.
    pub fn now(self) -> Time {
        Time(read().0.saturating_sub(self.origin))
    }

    /// The instant at which this clock reads `time`, unless the process is paused before; `None` beyond
    /// the range of instants. Whoever waits for it looks at the clock when it has come.
    pub fn instant(self, time: Time) -> Option<Instant> {
        let since = self.origin.checked_add(time.0)?.checked_add(read().1)?;
        EPOCH.checked_add(Duration::from_nanos(since))
    }

    /// How long this clock has stood still since it was started.
    pub fn stood_still(self) -> Duration {
        Duration::from_nanos(read().1.saturating_sub(self.paused))
    }
}

/// Makes all clocks of this process stand still, for it is about to be stopped with all it has started.
pub fn stand_still() {
    let (own, _) = read();
    PAUSE.store(own << 1 | 1, Ordering::SeqCst);
}

/// Makes them go on.
pub fn go_on() {
    let (_, paused) = read();
    PAUSE.store(paused << 1, Ordering::SeqCst);
}

/// What instants are counted from, in nanoseconds.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Twice the nanoseconds in which this process was paused so far; or, while it is, twice what its clocks
/// show, and one. A process is stopped as a whole, so this is the process's, and not handed around.
static PAUSE: AtomicU64 = AtomicU64::new(0);

/// The nanoseconds that this process had for itself since the epoch, and those in which it was paused.
fn read() -> (u64, u64) {
    loop {
        let pause = PAUSE.load(Ordering::SeqCst);
        let since = u64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // A thread may be stopped anywhere, here as well. Then it looks again.
        if PAUSE.load(Ordering::SeqCst) == pause {
            let known = pause >> 1;
            let other = since.saturating_sub(known);
            return if pause & 1 == 0 { (other, known) } else { (known, other) };
        }
    }
}
