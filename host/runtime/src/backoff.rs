//! How long to wait before a failed task runs again: doubling, with a cap.
//!
//! No jitter: it exists to keep many clients of one server apart, and here each task waits only
//! for itself. A task that then runs well for a while starts anew, so that two faults a week
//! apart are two first faults.

use std::time::Duration;

/// Capped exponential backoff: the `n`-th fault in a row waits `min(cap, first * 2^(n-1))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after a first fault.
    pub first: Duration,
    /// The longest pause.
    pub cap: Duration,
    /// A run at least this long makes the next fault a first one again.
    pub healthy_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(30),
            healthy_after: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// The pause after `faults_in_a_row` faults (none for zero).
    #[must_use]
    pub fn pause(&self, faults_in_a_row: u32) -> Duration {
        let Some(doublings) = faults_in_a_row.checked_sub(1) else {
            return Duration::ZERO;
        };
        // 2^31 times any sensible `first` is beyond any sensible cap.
        self.first
            .saturating_mul(1 << doublings.min(31))
            .min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_stay_there() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            cap: Duration::from_secs(10),
            ..Backoff::default()
        };
        let pauses: Vec<u64> = (0..=6).map(|n| backoff.pause(n).as_secs()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff.pause(u32::MAX), Duration::from_secs(10));
    }
}
