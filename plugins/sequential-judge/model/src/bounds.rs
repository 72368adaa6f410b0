//! Anytime-valid bounds on the ratio shadow / production: what a person should see.
//!
//! A [`RatioTest`] is inverted: for each ratio of a fixed grid the evidence against "at most this"
//! and against "at least this" is kept. The lower bound is the last ratio of the unbroken run of
//! rejected ones from the bottom of the grid, the upper bound likewise from the top. (An unbroken
//! run matters: to be wrong, the bound must have rejected one fixed true null, which happens with
//! probability at most alpha over the whole life of the release, whatever the grid.) Bounds only
//! tighten.

use serde::{Deserialize, Serialize};

use crate::ratio::{DECLINES, Flush, GROWTHS, log_mean_exp};

/// Ratios of the grid: `2^(-6)` to `2^6`, eight to the octave.
const POINTS: usize = 97;
const PER_OCTAVE: f64 = 8.0;
const LOWEST_OCTAVE: f64 = -6.0;

/// Bounds that hold at all times together, each side with probability `1 - alpha`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatioBounds {
    /// `[point][growth]`, evidence against "at most this".
    above: Vec<f64>,
    /// `[point][decline]`, evidence against "at least this".
    below: Vec<f64>,
    low: f64,
    high: f64,
}

impl Default for RatioBounds {
    fn default() -> Self {
        Self::new()
    }
}

impl RatioBounds {
    /// Nothing is known: 0 to infinity.
    #[must_use]
    pub fn new() -> Self {
        let cells = vec![0.0; POINTS * GROWTHS.len()];
        Self {
            above: cells.clone(),
            below: cells,
            low: 0.0,
            high: f64::INFINITY,
        }
    }

    /// Whether a stored state has the shape of this version's grid.
    pub(crate) fn is_whole(&self) -> bool {
        self.above.len() == POINTS * GROWTHS.len() && self.below.len() == self.above.len()
    }

    /// Adds one flush, as [`RatioTest::update`](crate::RatioTest::update); `dispersion` of at
    /// least 1 deflates the evidence, `alpha` is the error rate of each side.
    pub fn update(
        &mut self,
        shadow: (u64, u64),
        production: (u64, u64),
        dispersion: f64,
        alpha: f64,
    ) {
        self.add(&Flush::new(shadow, production), dispersion, alpha);
    }

    pub(crate) fn add(&mut self, flush: &Flush, dispersion: f64, alpha: f64) {
        if !flush.compares() {
            return;
        }
        let enough = -libm::log(alpha) * dispersion;
        let (mut from_bottom, mut from_top) = (0, POINTS);
        let n = GROWTHS.len();
        for point in 0..POINTS {
            let rho = ratio(point);
            let null = flush.log_mass(rho);
            for (g, (growth, decline)) in GROWTHS.into_iter().zip(DECLINES).enumerate() {
                let up = flush.log_mass(growth * rho) - null;
                let down = flush.log_mass(rho / decline) - null;
                let (more, less) = (libm::log(growth), libm::log(decline));
                self.above[point * n + g] += flush.shadow_events * more - flush.events * up;
                self.below[point * n + g] -= flush.shadow_events * less + flush.events * down;
            }
            let cells = point * n..(point + 1) * n;
            if from_bottom == point && log_mean_exp(&self.above[cells.clone()]) >= enough {
                from_bottom = point + 1;
            }
            if log_mean_exp(&self.below[cells]) < enough {
                from_top = POINTS;
            } else if from_top == POINTS {
                from_top = point;
            }
        }
        if from_bottom > 0 {
            self.low = self.low.max(ratio(from_bottom - 1));
        }
        if from_top < POINTS {
            self.high = self.high.min(ratio(from_top));
        }
    }

    /// Lower and upper bound.
    #[must_use]
    pub fn get(&self) -> (f64, f64) {
        (self.low, self.high)
    }
}

fn ratio(point: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "below 100")]
    let octave = point as f64 / PER_OCTAVE;
    libm::exp2(LOWEST_OCTAVE + octave)
}
