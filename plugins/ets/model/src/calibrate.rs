//! How far the model's interval is from its own errors, per horizon and side.
//!
//! The fitted model is run through the history again and asked, at every origin, for steps 1, 2,
//! 4, 8 and so on ahead. The errors, in units of the model's standard deviation there, should be
//! standard normal; the ratio of their 2.5, 10, 90 and 97.5 % quantiles to the normal ones is
//! what the interval is stretched by. Errors `h` steps ahead overlap, so that a history holds
//! about `span / h` of them: the ratios are drawn towards one by that count.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{quantile_of_sorted, sort_floats};

use crate::recursion::{ErrorKind, Path};
use crate::spread::Spread;

/// The 90 % and 97.5 % points of the normal distribution, where ratios are measured.
const NEAR: f64 = 1.281_551_565_544_600_4;
const FAR: f64 = 1.959_963_984_540_054;
/// Independent errors that weigh as much as the belief that the model is right.
const PRIOR: f64 = 3.0;
/// Forecasts per horizon that are enough to measure.
const ORIGINS: usize = 1000;

/// The stretch of the interval at one horizon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Knot {
    /// Steps ahead.
    pub(crate) horizon: u32,
    /// Ratios at 2.5, 10, 90 and 97.5 %.
    pub(crate) ratios: [f32; 4],
}

/// Measures the ratios of a model that begins at `start` on `z`.
pub(crate) fn calibrate(start: &Path, z: &[f64], mut spread: Spread) -> (Vec<Knot>, Spread) {
    if spread.sigma <= 0.0 {
        return (Vec::new(), spread);
    }
    let reach = z.len() / 3;
    let horizons: Vec<usize> = std::iter::successors(Some(1usize), |h| Some(h * 2))
        .take_while(|h| *h <= reach)
        .collect();
    let Some(&longest) = horizons.last() else {
        return (Vec::new(), spread);
    };
    let growth = start.growth(longest);
    let every = z.len().div_ceil(ORIGINS);
    // The first states are a guess of the decomposition: their errors do not count.
    let warm = (z.len() / 10).min(48);
    let mut errors = vec![Vec::with_capacity(z.len() / every + 1); horizons.len()];
    let mut path = start.clone();
    for (t, v) in z.iter().enumerate() {
        if t >= warm && t % every == 0 {
            for (h, list) in horizons.iter().zip(&mut errors) {
                let Some(y) = z.get(t + h - 1).filter(|y| !y.is_nan()) else {
                    continue;
                };
                let point = path.point(*h);
                let unit = match path.class.error {
                    ErrorKind::Additive => spread.sigma,
                    ErrorKind::Multiplicative => spread.sigma * point.abs().max(1e-9),
                };
                list.push((y - point) / (unit * growth[h - 1]));
            }
        }
        spread.observe(&mut path, *v);
    }
    let knots = horizons
        .iter()
        .zip(&mut errors)
        .map(|(h, list)| {
            sort_floats(list);
            let weight = list.len() as f64 * every as f64 / *h as f64;
            Knot {
                horizon: *h as u32,
                ratios: ratios(list, weight),
            }
        })
        .collect();
    (knots, spread)
}

fn ratios(sorted: &[f64], weight: f64) -> [f32; 4] {
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
        (few * (1.0 + trust * (seen.clamp(0.1, 8.0) - 1.0))) as f32
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
pub(crate) fn stretch(knots: &[Knot], h: usize, z: f64) -> f64 {
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
    let [far_low, near_low, near_high, far_high] = knot.ratios.map(f64::from);
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
            ratios: [2.0, 1.0, 0.5, 3.0],
        }];
        assert!((stretch(&knots, 1, -FAR) + 2.0 * FAR).abs() < 1e-6);
        assert!((stretch(&knots, 9, NEAR) - 0.5 * NEAR).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn a_higher_level_is_never_a_lower_deviate(
            r in proptest::array::uniform4(0.1f32..8.0), s in proptest::array::uniform4(0.1f32..8.0),
            h in 1usize..40, z in -4.0f64..4.0, d in 0.0f64..2.0,
        ) {
            let knots = [Knot { horizon: 1, ratios: r }, Knot { horizon: 16, ratios: s }];
            prop_assert!(stretch(&knots, h, z) <= stretch(&knots, h, z + d) + 1e-12);
        }
    }
}
