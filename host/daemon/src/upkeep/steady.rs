//! The time by which old things go: the clock's, but for a while after it has jumped ahead.
//!
//! A machine that wakes with a wrong time says for minutes that everything is old; what was dropped by then does not
//! come back when the clock is set right. So what the clock says beyond what has passed since is believed after an
//! hour in which it has stood by it. Nothing is lost by waiting: what is old goes an hour later.

use std::time::{Duration, Instant};
use tidegate_core::time::Timestamp;

/// How far a clock may be ahead of what has passed: it may be slewed, and a machine may have been stopped for a moment.
const SLACK: Duration = Duration::from_mins(10);
/// How long it has to stand by more.
const HOLD: Duration = Duration::from_hours(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Steady {
    /// What was believed last, and when.
    believed: Timestamp,
    at: Instant,
    /// Since when the clock has been ahead.
    ahead: Option<Instant>,
    /// Whether it was asked before.
    is_begun: bool,
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Steady {
    /// `known` is an instant that has surely passed, such as that of the last thing that was stored.
    pub(super) fn new(known: Timestamp, at: Instant) -> Self {
        Self {
            believed: known,
            at,
            ahead: None,
            is_begun: false,
        }
    }

    /// The time to go by where the clock says `told`.
    pub(super) fn now(&mut self, told: Timestamp, at: Instant) -> Timestamp {
        let passed = self
            .believed
            .plus_ms(ms(at.saturating_duration_since(self.at)));
        let is_ahead = told > passed.plus_ms(ms(SLACK));
        let since = *self.ahead.get_or_insert(at);
        if is_ahead && at.saturating_duration_since(since) < HOLD {
            // At the first look it has been down.
            if since == at && self.is_begun {
                tracing::warn!(
                    clock = %told,
                    believed = %passed,
                    "the clock has moved ahead by more than the time that has passed: for an hour, nothing goes for its age; set the clock right"
                );
            }
            self.is_begun = true;
            return passed;
        }
        (self.believed, self.at, self.ahead) = (told, at, None);
        self.is_begun = true;
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_ahead_is_believed_after_an_hour_and_one_that_is_set_right_before_was_not()
    {
        let start = crate::clock::stopwatch();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let s = Timestamp::from_secs;
        let mut steady = Steady::new(s(1_000), start);
        let mut check = |told: i64, passed: u64, wanted: i64| {
            assert_eq!(steady.now(s(told), after(passed)), s(wanted), "{told}");
        };
        check(1_060, 60, 1_060);
        // Slewed, or set back.
        check(1_300, 120, 1_300);
        check(1_200, 180, 1_200);
        // A month ahead for two minutes.
        check(2_700_000, 240, 1_260);
        check(2_700_060, 300, 1_320);
        check(1_380, 360, 1_380);
        // For good.
        check(2_700_000, 420, 1_440);
        check(2_703_000, 3_420, 4_440);
        check(2_703_600, 4_020, 2_703_600);
        check(2_703_660, 4_080, 2_703_660);
    }
}
