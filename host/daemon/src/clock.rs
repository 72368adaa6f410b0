//! Whose time counts: the machine's, or that of a feed that replays the past.
//!
//! The one place in the house that reads the time of day; everything else gets it as an argument.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tidegate_core::time::Timestamp;

/// See the module.
#[derive(Debug)]
pub(crate) enum Clock {
    /// The machine's.
    System,
    /// Moved by `Clock.Advance` alone; starts at 0.
    Driven(AtomicI64),
}

impl Clock {
    /// A clock that stands at `start` until it is moved.
    pub(crate) fn driven(start: Timestamp) -> Self {
        Clock::Driven(AtomicI64::new(start.0))
    }

    /// The time that counts.
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Clock::System => wall(),
            Clock::Driven(ms) => Timestamp(ms.load(Ordering::Acquire)),
        }
    }

    /// Moves a driven clock; a system clock does not move.
    pub(crate) fn set(&self, now: Timestamp) {
        if let Clock::Driven(ms) = self {
            ms.store(now.0, Ordering::Release);
        }
    }
}

/// The machine's time of day.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that everything else is given"
)]
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A point from which a duration is measured: for metrics and progress, and for how much time has surely passed.
#[expect(
    clippy::disallowed_methods,
    reason = "durations for metrics, progress and upkeep, never for a decision of a plan"
)]
pub(crate) fn stopwatch() -> Instant {
    Instant::now()
}
