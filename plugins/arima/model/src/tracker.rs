//! Whether one-step errors all point one way: a shift of the level, such as a deployment makes.
//!
//! An ARMA around a profile returns to it, however long the level has been elsewhere. A tracking
//! signal (Trigg and Leach, Operational Research Quarterly 18, 1967) averages the standardised
//! errors; while it says that they are off by sigmas in one direction, half of each error is
//! taken for a move of the level, which neither the season nor the ARMA then sees. A differenced
//! model follows by itself and needs no tracker.

use serde::{Deserialize, Serialize};

/// The share of each new squared error in the variance, once as many were seen.
const SIGMA_GAIN: f64 = 0.01;
/// Errors count up to this many sigmas in the variance.
const SIGMA_BOUND: f64 = 4.0;
/// The share of each new standardised error in the signal.
const SIGNAL_GAIN: f64 = 0.15;
/// Standardised errors count up to this in the signal.
const SIGNAL_BOUND: f64 = 8.0;
/// The signal at which a shift begins (white noise stays within 1.4), and at which it ends.
const SHIFT: f64 = 3.5;
const ARRIVED: f64 = 1.0;
/// The share of an error that is taken for a move.
const FOLLOW: f64 = 0.5;
/// Errors before which nothing is standardised.
const WARM: u32 = 24;

/// The running size and direction of errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tracker {
    variance: f64,
    signal: f64,
    shifting: bool,
    /// Errors seen, up to the memory of the variance.
    seen: u32,
}

impl Tracker {
    /// Shows an error, and gives the part of it that is a move of the level.
    pub(crate) fn moves(&mut self, error: f64) -> f64 {
        let sigma = self.variance.sqrt();
        if self.seen >= WARM && sigma > 0.0 {
            let deviate = (error / sigma).clamp(-SIGNAL_BOUND, SIGNAL_BOUND);
            if deviate * self.signal < 0.0 && deviate.abs() > ARRIVED {
                // Overshot, or the end of an outage: the way back is a shift of its own.
                self.signal = 0.0;
            }
            self.signal += SIGNAL_GAIN * (deviate - self.signal);
            self.shifting = self.signal.abs() > if self.shifting { ARRIVED } else { SHIFT };
        }
        let bound = if self.seen >= WARM {
            SIGMA_BOUND * sigma
        } else {
            f64::INFINITY
        };
        let cut = error.clamp(-bound, bound);
        self.seen = self.seen.saturating_add(1).min((1.0 / SIGMA_GAIN) as u32);
        let gain = SIGMA_GAIN.max(1.0 / f64::from(self.seen));
        self.variance = (self.variance + gain * (cut * cut - self.variance)).max(0.0);
        if self.shifting { FOLLOW * error } else { 0.0 }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.variance.is_finite()
            && self.variance >= 0.0
            && self.signal.is_finite()
            && self.seen <= (1.0 / SIGMA_GAIN) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model_kit::Stream;

    #[test]
    fn noise_never_moves_the_level() {
        let (mut tracker, mut chance) = (Tracker::default(), Stream::new(1));
        for _ in 0..20_000 {
            assert!(tracker.moves(chance.normal()).abs() < 1e-12);
        }
    }

    #[test]
    fn a_step_is_followed_within_twelve_errors() {
        let (mut tracker, mut chance) = (Tracker::default(), Stream::new(2));
        let mut level = 0.0;
        for t in 0..220 {
            let truth = if t < 200 { 0.0 } else { 50.0 };
            level += tracker.moves(truth + chance.normal() - level);
        }
        assert!((level - 50.0).abs() < 3.0, "{level}");
    }
}
