//! A minute of the service, as it would be measured: counts, errors, latencies, cores used.

use super::latency::histogram;
use super::{ERROR_SHARE, SLOW_SHARE, THRESHOLD_S, TIMEOUT_S, Tick};
use tidegate_core::distribution::Distribution;

/// Waits that differ by less than this are counted as one, in seconds.
const SAME_WAIT_S: f64 = 0.004;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Minute {
    /// Requests that came.
    pub requests: f64,
    /// Refused or timed out.
    pub errors: f64,
    /// Answered, but later than the threshold.
    pub slow: f64,
    /// Core-seconds used.
    pub cpu: f64,
    /// `(requests, wait, median service time)` of each second.
    waits: Vec<(f64, f64, f64)>,
}

impl Minute {
    /// Adds a second.
    pub fn add(&mut self, tick: &Tick) {
        let late = tick.beyond(TIMEOUT_S);
        self.requests += tick.requests;
        self.errors += tick.refused + late;
        self.slow += tick.beyond(THRESHOLD_S) - late;
        self.cpu += tick.cpu;
        self.waits.push((tick.admitted(), tick.wait, tick.median));
    }

    /// Whether its objective is missed: p95 beyond the threshold, or too many errors.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        let answered = self.requests - self.errors;
        self.slow > SLOW_SHARE * answered || self.errors > ERROR_SHARE * self.requests
    }

    /// Latencies of answered requests.
    #[must_use]
    pub fn latencies(&self) -> Distribution {
        let mut waits = self.waits.clone();
        waits.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut groups: Vec<(f64, f64, f64)> = vec![];
        let mut first = f64::NEG_INFINITY;
        for (n, wait, median) in waits.into_iter().filter(|(n, ..)| *n > 0.0) {
            match groups.last_mut() {
                Some(group) if wait - first < SAME_WAIT_S => {
                    let part = n / (group.0 + n);
                    group.1 += (wait - group.1) * part;
                    group.2 += (median - group.2) * part;
                    group.0 += n;
                }
                _ => {
                    first = wait;
                    groups.push((n, wait, median));
                }
            }
        }
        histogram(&groups, THRESHOLD_S, TIMEOUT_S)
    }
}
