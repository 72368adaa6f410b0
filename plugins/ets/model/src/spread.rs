//! Between fits: how large errors are now, and whether they all point one way.
//!
//! Sigma follows the squared errors slowly, because loads are calm at times. And a level that the
//! likelihood found steady may shift: a deployment, a new client. Gains fitted to years of calm
//! would take days to follow. So a tracking signal (Trigg and Leach, Operational Research
//! Quarterly 18, 1967) averages the standardised errors, and while it says that they are off by
//! sigmas in one direction, the level alone moves with a large gain: neither trend nor season is
//! taught by a shift.

use serde::{Deserialize, Serialize};

use crate::recursion::{Class, ErrorKind, Innovation, Path};

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
/// The level's gain while it shifts.
const SHIFT_GAIN: f64 = 0.5;

/// The running size and direction of one-step errors, relative ones for a multiplicative error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// Their standard deviation.
    pub(crate) sigma: f64,
    /// The tracking signal, in standard deviations.
    pub(crate) signal: f64,
    /// Whether the level is shifting.
    shifting: bool,
}

impl Spread {
    /// Begins with a standard deviation and no direction.
    pub(crate) fn new(sigma: f64) -> Self {
        Self {
            sigma,
            signal: 0.0,
            shifting: false,
        }
    }

    /// Shows a model its next value (NaN: missing), and learns from the error.
    pub(crate) fn observe(&mut self, path: &mut Path, value: f64) {
        let seen = if self.shifting {
            path.relevel(value, SHIFT_GAIN)
        } else {
            path.observe(value)
        };
        if let Some(i) = seen {
            self.follow(path.class, i);
        }
    }

    fn follow(&mut self, class: Class, i: Innovation) {
        let error = match class.error {
            ErrorKind::Additive => i.error,
            ErrorKind::Multiplicative => i.error / i.forecast.max(1e-6),
        };
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
    use crate::recursion::{SeasonKind, TrendKind};
    use tidegate_model_kit::Stream;

    fn steady() -> Path {
        Path {
            class: Class {
                error: ErrorKind::Additive,
                trend: TrendKind::None,
                season: SeasonKind::None,
            },
            alpha: 0.01,
            beta: 0.0,
            phi: 0.0,
            level: 100.0,
            trend: 0.0,
            tables: Vec::new(),
            clock: 0,
        }
    }

    #[test]
    fn noise_around_a_level_never_counts_as_a_shift() {
        let (mut path, mut spread, mut chance) = (steady(), Spread::new(1.0), Stream::new(1));
        for _ in 0..20_000 {
            spread.observe(&mut path, 100.0 + chance.normal());
            assert!(!spread.shifting);
        }
        assert!((spread.sigma - 1.0).abs() < 0.3, "{}", spread.sigma);
    }

    #[test]
    fn a_shift_is_followed_within_ten_steps_and_an_outage_left_as_fast() {
        let (mut path, mut spread, mut chance) = (steady(), Spread::new(1.0), Stream::new(2));
        for level in [160.0, 0.0, 160.0] {
            for _ in 0..10 {
                spread.observe(&mut path, level + chance.normal());
            }
            assert!(
                (path.level - level).abs() < 3.0,
                "{} for {level}",
                path.level
            );
        }
    }

    #[test]
    fn a_constant_that_changes_is_followed_though_no_error_was_ever_seen() {
        let (mut path, mut spread) = (steady(), Spread::new(0.0));
        for _ in 0..20 {
            spread.observe(&mut path, 500.0);
        }
        assert!((path.level - 500.0).abs() < 5.0, "{}", path.level);
    }
}
