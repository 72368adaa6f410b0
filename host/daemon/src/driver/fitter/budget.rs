//! How much fitting may cost: CPU seconds per hour of wall time.
//!
//! A token bucket: it fills by the clock, each fit takes off what it was measured to cost, and
//! nothing begins while it is empty. It holds ten minutes' worth, so that a few new series are
//! fitted at once and yet a machine is not busy for an hour after a quiet one.

use std::time::{Duration, Instant};
use tidegate_core::time::Timestamp;

/// Milliseconds whose worth the bucket holds.
const FILL_MS: i64 = 600_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Budget {
    /// CPU seconds per second.
    share: f64,
    left: f64,
    at: Option<Timestamp>,
}

impl Budget {
    /// A full bucket, of so many CPU seconds an hour.
    pub(super) fn per_hour(seconds: u32) -> Self {
        let share = f64::from(seconds) / 3600.0;
        Self {
            share,
            left: share * FILL_MS as f64 / 1000.0,
            at: None,
        }
    }

    /// Whether a fit may begin now.
    pub(super) fn allows(&mut self, now: Timestamp) -> bool {
        let passed = self.at.map_or(0, |at| now.since_ms(at));
        self.at = Some(now);
        // A clock that stepped back gives nothing, one that leapt not more than the bucket holds.
        let gained = passed.clamp(0, FILL_MS) as f64 / 1000.0 * self.share;
        let most = self.share * FILL_MS as f64 / 1000.0;
        self.left = (self.left + gained).min(most);
        self.left > 0.0
    }

    /// Takes off what a fit cost.
    pub(super) fn spend(&mut self, cost: Duration) {
        self.left -= cost.as_secs_f64();
    }
}

/// Measures what a thread's work costs.
#[derive(Debug)]
pub(super) struct Meter {
    wall: Instant,
    cpu: Option<Duration>,
}

impl Meter {
    /// From now on, for the calling thread.
    pub(super) fn start() -> Self {
        Self {
            wall: crate::clock::stopwatch(),
            cpu: thread_cpu(),
        }
    }

    /// CPU time since then; wall time where the system does not tell.
    pub(super) fn cost(&self) -> Duration {
        match (self.cpu, thread_cpu()) {
            (Some(from), Some(to)) => to.saturating_sub(from),
            _ => self.wall.elapsed(),
        }
    }
}

/// What the calling thread has used, where the kernel is Linux and counts it.
fn thread_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn an_hour_of_fits_costs_what_it_may() {
        let mut budget = Budget::per_hour(900);
        let mut spent = 0.0;
        for second in 0..3600 {
            while budget.allows(at(second)) {
                budget.spend(Duration::from_millis(700));
                spent += 0.7;
            }
        }
        let most = 900.0 + 150.0 + 0.7;
        assert!((900.0..=most).contains(&spent), "{spent}");
    }

    #[test]
    fn a_costly_fit_is_paid_before_the_next_begins() {
        let mut budget = Budget::per_hour(360);
        assert!(budget.allows(at(0)));
        budget.spend(Duration::from_secs(70));
        assert!(!budget.allows(at(50)));
        assert!(budget.allows(at(120)));
    }

    #[test]
    fn a_clock_that_steps_gives_no_more_than_the_bucket() {
        let mut budget = Budget::per_hour(360);
        assert!(budget.allows(at(1_000_000)));
        budget.spend(Duration::from_secs(61));
        assert!(!budget.allows(at(0)));
        assert!(budget.allows(at(9_000_000)));
        budget.spend(Duration::from_secs(61));
        assert!(!budget.allows(at(9_000_001)));
    }
}
