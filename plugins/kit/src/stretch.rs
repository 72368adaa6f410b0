//! How an interval is stretched to the errors that were measured, per horizon and side.
//!
//! A model's own variance is right for its own kind of data. Run through its history, it makes
//! errors; in units of its standard deviation they should be standard normal. The ratio of their
//! 2.5, 10, 90 and 97.5 % quantiles to the normal ones is what the interval is stretched by, so
//! that it may be skewed and heavy-tailed. Rejected: the errors' own quantiles at every level.
//! A history holds a handful of independent errors a day ahead, which say a ratio and no more.

use serde::{Deserialize, Serialize};

use crate::{Half, quantile_of_sorted};

/// The 90 % and 97.5 % points of the normal distribution, where ratios are measured.
const NEAR: f64 = 1.281_551_565_544_600_4;
const FAR: f64 = 1.959_963_984_540_054;
/// Independent errors that weigh as much as the belief that the model is right.
const PRIOR: f64 = 3.0;

/// The stretch of the interval at one horizon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Knot {
    /// Steps ahead.
    pub horizon: u32,
    /// Ratios at 2.5, 10, 90 and 97.5 %.
    pub ratios: [Half; 4],
}

impl Knot {
    /// Of standardised errors `horizon` steps ahead, ascending, that are worth `weight`
    /// independent ones: the fewer, the closer to the normal quantiles.
    #[must_use]
    pub fn measured(horizon: usize, sorted: &[f64], weight: f64) -> Self {
        Self {
            horizon: u32::try_from(horizon).unwrap_or(u32::MAX),
            ratios: ratios(sorted, weight),
        }
    }
}

/// Whether decoded knots can be read: rising horizons and finite ratios.
#[must_use]
pub fn knots_are_sound(knots: &[Knot]) -> bool {
    knots.windows(2).all(|w| w[0].horizon < w[1].horizon)
        && knots
            .iter()
            .all(|k| k.horizon > 0 && k.ratios.iter().all(|r| r.get().is_finite()))
}

fn ratios(sorted: &[f64], weight: f64) -> [Half; 4] {
    let ratio = |p: f64, z: f64| {
        let seen = if sorted.is_empty() {
            1.0
        } else {
            quantile_of_sorted(sorted, p) / z
        };
        let trust = weight / (weight + PRIOR);
        // A quantile from few errors is that of a t distribution, not of a normal one: the first
        // term of its Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5).
        let few = 1.0 + (z * z + 1.0) / (4.0 * (weight - 1.0).max(2.0));
        Half::new(few * (1.0 + trust * (seen.clamp(0.1, 8.0) - 1.0)))
    };
    [
        ratio(0.025, -FAR),
        ratio(0.1, -NEAR),
        ratio(0.9, NEAR),
        ratio(0.975, FAR),
    ]
}

/// The stretched standard deviate for a normal deviate `z`, `h` steps ahead: linear in `z`
/// between 0, the 80 % and the 95 % point and beyond, linear in the logarithm of `h` between
/// knots. It never falls as `z` rises.
#[must_use]
pub fn stretch(knots: &[Knot], h: usize, z: f64) -> f64 {
    let Some(first) = knots.first() else { return z };
    let after = knots.partition_point(|k| (k.horizon as usize) < h);
    let at = |k: &Knot| stretch_at(k, z);
    match (
        after.checked_sub(1).and_then(|i| knots.get(i)),
        knots.get(after),
    ) {
        (None, _) => at(first),
        (Some(last), None) => at(last),
        (Some(a), Some(b)) => {
            let log = |h: f64| libm::log2(h);
            let (from, to) = (log(f64::from(a.horizon)), log(f64::from(b.horizon)));
            let w = (log(h as f64) - from) / (to - from);
            at(a) + w * (at(b) - at(a))
        }
    }
}

fn stretch_at(knot: &Knot, z: f64) -> f64 {
    let [far_low, near_low, near_high, far_high] = knot.ratios.map(Half::get);
    let (near, far) = if z < 0.0 {
        (near_low, far_low)
    } else {
        (near_high, far_high)
    };
    // The far point lies at least as far out as the near one.
    let (inner, outer) = (near * NEAR, (far * FAR).max(near * NEAR));
    let size = z.abs();
    let out = if size <= NEAR {
        near * size
    } else if size <= FAR {
        inner + (size - NEAR) / (FAR - NEAR) * (outer - inner)
    } else {
        outer * size / FAR
    };
    out.copysign(z)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_knots_leave_the_normal_interval_alone() {
        assert!((stretch(&[], 5, 1.5) - 1.5).abs() < 1e-15);
    }

    #[test]
    fn a_knot_is_met_exactly_and_sides_differ() {
        let knots = [Knot {
            horizon: 1,
            ratios: [2.0, 1.0, 0.5, 3.0].map(Half::new),
        }];
        assert!((stretch(&knots, 1, -FAR) + 2.0 * FAR).abs() < 1e-6);
        assert!((stretch(&knots, 9, NEAR) - 0.5 * NEAR).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn a_higher_level_is_never_a_lower_deviate(
            r in proptest::array::uniform4(0.1f64..8.0), s in proptest::array::uniform4(0.1f64..8.0),
            h in 1usize..40, z in -4.0f64..4.0, d in 0.0f64..2.0,
        ) {
            let knots = [Knot { horizon: 1, ratios: r.map(Half::new) }, Knot { horizon: 16, ratios: s.map(Half::new) }];
            prop_assert!(stretch(&knots, h, z) <= stretch(&knots, h, z + d) + 1e-12);
        }
    }
}
