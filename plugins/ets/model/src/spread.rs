//! Between fits: the errors that the running model makes, and what a shift does to its level.
//!
//! The kit's [`Tracker`] says how large errors are now and whether they all point one way; while
//! they do, the level alone moves with a large gain: neither trend nor season is taught by a
//! shift.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::Tracker;

use crate::recursion::{ErrorKind, Path};

/// The level's gain while it shifts.
const SHIFT_GAIN: f64 = 0.5;

/// The running size and direction of one-step errors, relative ones for a multiplicative error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread(Tracker);

impl Spread {
    /// Begins with a standard deviation and no direction.
    pub(crate) fn new(sigma: f64) -> Self {
        Self(Tracker::new(sigma))
    }

    /// The errors' standard deviation.
    pub(crate) fn sigma(&self) -> f64 {
        self.0.sigma
    }

    /// The same direction with another standard deviation.
    pub(crate) fn set_sigma(&mut self, sigma: f64) {
        self.0.sigma = sigma;
    }

    /// Whether a decoded spread can be used.
    pub(crate) fn is_sound(&self) -> bool {
        self.0.is_sound()
    }

    /// Shows a model its next value (NaN: missing), and learns from the error.
    pub(crate) fn observe(&mut self, path: &mut Path, value: f64) {
        let seen = if self.0.is_shifting() {
            path.relevel(value, SHIFT_GAIN)
        } else {
            path.observe(value)
        };
        if let Some(i) = seen {
            self.0.follow(match path.class.error {
                ErrorKind::Additive => i.error,
                ErrorKind::Multiplicative => i.error / i.forecast.max(1e-6),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recursion::{Class, SeasonKind, TrendKind};
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
            assert!(!spread.0.is_shifting());
        }
        assert!((spread.sigma() - 1.0).abs() < 0.3, "{}", spread.sigma());
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
