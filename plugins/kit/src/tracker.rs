//! Between fits: how large errors are now, and whether they all point one way.
//!
//! Sigma follows the squared errors slowly, because loads are calm at times. And a level that a
//! fit found steady may shift: a deployment, a new client. Gains fitted to days of calm would
//! take days to follow. So a tracking signal (Trigg and Leach, Operational Research Quarterly 18,
//! 1967) averages the standardised errors, and while it says that they are off by sigmas in one
//! direction, the level is shifting, and a model may follow it faster.

use serde::{Deserialize, Serialize};

/// The share of each new squared error in sigma squared: a memory of about 100 steps.
const SIGMA_GAIN: f64 = 0.01;
/// Errors count up to this many sigmas there, so that one burst does not open the interval for
/// hours.
const SIGMA_BOUND: f64 = 4.0;
/// The share of each new standardised error in the tracking signal.
const SIGNAL_GAIN: f64 = 0.15;
/// Standardised errors count up to this there.
const SIGNAL_BOUND: f64 = 8.0;
/// The tracking signal beyond which the level is shifting (on white noise it stays within 1.4, at
/// five of its own standard deviations), and that below which it has arrived.
const SHIFT: f64 = 4.0;
const ARRIVED: f64 = 1.0;

/// The running size and direction of one-step errors, in whatever unit makes them alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tracker {
    /// Their standard deviation.
    pub sigma: f64,
    /// The tracking signal, in standard deviations.
    signal: f64,
    /// Whether the level is shifting.
    shifting: bool,
}

impl Tracker {
    /// Begins with a standard deviation and no direction.
    #[must_use]
    pub fn new(sigma: f64) -> Self {
        Self {
            sigma,
            signal: 0.0,
            shifting: false,
        }
    }

    /// Whether the level is shifting.
    #[must_use]
    pub fn is_shifting(&self) -> bool {
        self.shifting
    }

    /// Whether a decoded tracker can be used.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.sigma.is_finite() && self.sigma >= 0.0 && self.signal.is_finite()
    }

    /// Takes the next error.
    pub fn follow(&mut self, error: f64) {
        // Without any error so far, the smallest one is beyond all measure.
        let deviate = if error == 0.0 {
            0.0
        } else {
            error / self.sigma
        };
        let deviate = deviate.clamp(-SIGNAL_BOUND, SIGNAL_BOUND);
        if deviate * self.signal < 0.0 && deviate.abs() > ARRIVED {
            // Overshot, or the end of an outage: the way back is a shift of its own.
            self.signal = 0.0;
        }
        self.signal += SIGNAL_GAIN * (deviate - self.signal);
        self.shifting = self.signal.abs() > if self.shifting { ARRIVED } else { SHIFT };
        let bound = if self.sigma > 0.0 {
            SIGMA_BOUND * self.sigma
        } else {
            f64::INFINITY
        };
        let error = error.clamp(-bound, bound);
        let variance = self.sigma * self.sigma;
        self.sigma = (variance + SIGMA_GAIN * (error * error - variance))
            .max(0.0)
            .sqrt();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_never_counts_as_a_shift_and_a_run_of_large_errors_does() {
        let (mut tracker, mut chance) = (Tracker::new(1.0), crate::Stream::new(1));
        for _ in 0..20_000 {
            tracker.follow(chance.normal());
            assert!(!tracker.is_shifting());
        }
        for _ in 0..8 {
            tracker.follow(20.0);
        }
        assert!(tracker.is_shifting());
    }
}
