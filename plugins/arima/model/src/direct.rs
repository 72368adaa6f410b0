//! Per horizon: what a regression on recent means, the day before and the week before adds to
//! the recursion, and how large the errors are then.
//!
//! A recursion that is right one step ahead is seldom right tomorrow. So for each of a few
//! horizons its errors in the history are regressed, with a ridge, on what was known at their
//! origins (direct forecasts; Marcellino, Stock and Watson, Journal of Econometrics 135, 2006,
//! compare the two). The correction counts as far as it helped on the newest third, which the
//! regression had not seen: weight and ridge are chosen there, and weight 0 is a choice. Between
//! horizons, corrections and errors are interpolated in the logarithm of the horizon.
//!
//! The quantiles of the errors are those that remain, the unseen third counted twice.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Half, quantile_of_sorted, sort_floats};

use crate::linear::Sums;
use crate::transform::Transform;

/// Probabilities at which error quantiles are kept, with their normal deviates.
pub(crate) const PROBABILITIES: [f64; 5] = [0.025, 0.1, 0.5, 0.9, 0.975];
pub(crate) const DEVIATES: [f64; 5] = [
    -1.959_963_984_540_054,
    -1.281_551_565_544_600_4,
    0.0,
    1.281_551_565_544_600_4,
    1.959_963_984_540_054,
];
/// Ridges that are tried.
const RIDGES: [f64; 2] = [0.05, 0.3];
/// Weights of the correction that are tried beside 0.
const WEIGHTS: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
/// What a full correction must gain to be worth its variance.
const PENALTY: f64 = 0.02;
/// The part of the rows that a validation learns from.
const LEARNED: f64 = 0.65;
/// The fewest rows that are split.
const ROWS: usize = 40;
/// More of it, by the root of the part of the unseen rows that one horizon spans: errors far
/// ahead overlap, and few of them are independent.
const OVERLAP: f64 = 0.1;
/// Errors of a fitted model are smaller than those to come.
const STRETCH: f64 = 1.15;
/// Days after which a row counts half.
const HALF_LIFE: f64 = 7.0;

/// The correction and the errors at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Knot {
    /// Steps ahead.
    pub(crate) horizon: u32,
    /// Coefficients times their weight; empty: no correction.
    pub(crate) coefficients: Vec<Half>,
    /// Quantiles of what the corrected forecast misses.
    pub(crate) errors: [Half; 5],
}

/// What the back-test saw at one horizon, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Regressors, row after row.
    pub(crate) x: Vec<f64>,
    /// The origin of each row, in steps.
    pub(crate) origins: Vec<usize>,
    /// What the recursion missed.
    pub(crate) misses: Vec<f64>,
}

/// A correction under test.
struct Trial {
    loss: f64,
    ridge: f64,
    weight: f64,
}

impl Rows {
    /// The knot of a horizon. `per_day` is the steps of a day; `width` regressors a row, 0 for
    /// no correction; `n` the length of the history; `transform` the scale that errors are on.
    pub(crate) fn knot(
        self,
        horizon: usize,
        per_day: f64,
        width: usize,
        n: usize,
        transform: Transform,
    ) -> Knot {
        let mut coefficients = Vec::new();
        let (mut misses, mut unseen) = (self.misses.clone(), 0);
        if width > 0
            && self.misses.len() >= ROWS
            && let Some((b, tail)) = self.correction(horizon, per_day, width)
        {
            for (miss, row) in misses.iter_mut().zip(self.x.chunks_exact(width)) {
                *miss -= dot(row, &b);
            }
            coefficients = b.iter().map(|c| Half::new(*c)).collect();
            unseen = tail.len();
            misses.extend(tail);
        }
        // Between what the errors' correlation says and the count of windows without overlap.
        let windows = n as f64 / horizon as f64;
        let independent = (independent(&misses[..misses.len() - unseen]) * windows).sqrt();
        sort_floats(&mut misses);
        Knot {
            horizon: horizon as u32,
            coefficients,
            errors: error_quantiles(&misses, independent, transform),
        }
    }

    /// Weighted coefficients of all rows, and what the same choice missed on the unseen ones.
    fn correction(
        &self,
        horizon: usize,
        per_day: f64,
        width: usize,
    ) -> Option<(Vec<f64>, Vec<f64>)> {
        let (first, last) = (*self.origins.first()?, *self.origins.last()?);
        let cut = first + ((last - first) as f64 * LEARNED) as usize;
        let (mut head, mut gap, mut tail) = (Sums::new(width), Sums::new(width), Sums::new(width));
        let rows = || {
            self.origins
                .iter()
                .zip(self.x.chunks_exact(width))
                .zip(&self.misses)
        };
        let mut unseen = Vec::new();
        for ((origin, row), miss) in rows() {
            let age = (last - origin) as f64 / per_day / HALF_LIFE;
            let weight = libm::exp2(-age);
            if origin + horizon <= cut {
                head.add(row, *miss, weight);
            } else if *origin > cut {
                tail.add(row, *miss, weight);
                unseen.push((row, *miss));
            } else {
                gap.add(row, *miss, weight);
            }
        }
        let count = unseen.len() as f64;
        let plain = unseen.iter().map(|(_, m)| m.abs()).sum::<f64>() / count;
        let mut best = Trial {
            loss: plain,
            ridge: 0.0,
            weight: 0.0,
        };
        if unseen.len() < ROWS / 4 || self.origins.len() - unseen.len() < ROWS / 2 {
            return None;
        }
        let span = (horizon as f64 / (last - cut).max(1) as f64).sqrt();
        let penalty = PENALTY + OVERLAP * span;
        for ridge in RIDGES {
            let Some(b) = head.solve(ridge) else { continue };
            let fits: Vec<f64> = unseen.iter().map(|(row, _)| dot(row, &b)).collect();
            for weight in WEIGHTS {
                let pairs = unseen.iter().zip(&fits);
                let sum: f64 = pairs.map(|((_, m), f)| (m - weight * f).abs()).sum();
                let loss = sum / count * (1.0 + penalty * weight);
                if loss < best.loss {
                    best = Trial {
                        loss,
                        ridge,
                        weight,
                    };
                }
            }
        }
        if best.weight == 0.0 {
            return None;
        }
        let scaled = |sums: &Sums| -> Option<Vec<f64>> {
            let b = sums.solve(best.ridge)?;
            Some(b.iter().map(|c| best.weight * c).collect())
        };
        let of_head = scaled(&head)?;
        let missed = unseen
            .iter()
            .map(|(row, m)| m - dot(row, &of_head))
            .collect();
        Some((scaled(&head.plus(&gap).plus(&tail))?, missed))
    }
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// How many independent errors say as much as these, which overlap: by their correlation with
/// the next one, as if it fell geometrically.
fn independent(misses: &[f64]) -> f64 {
    let mean = misses.iter().sum::<f64>() / misses.len().max(1) as f64;
    let (mut square, mut product) = (0.0, 0.0);
    for (i, m) in misses.iter().enumerate() {
        square += (m - mean) * (m - mean);
        if let Some(next) = misses.get(i + 1) {
            product += (m - mean) * (next - mean);
        }
    }
    let r = if square > 0.0 { product / square } else { 0.0 };
    let r = r.clamp(0.0, 0.999);
    misses.len() as f64 * (1.0 - r) / (1.0 + r)
}

/// Quantiles of ascending errors, stretched by what `independent` errors leave unknown.
fn error_quantiles(sorted: &[f64], independent: f64, transform: Transform) -> [Half; 5] {
    let centre = quantile_of_sorted(sorted, 0.5);
    let mut out = [Half::default(); 5];
    for (q, (p, z)) in out.iter_mut().zip(PROBABILITIES.iter().zip(DEVIATES)) {
        // A quantile from few errors is that of a t distribution (Abramowitz and Stegun 26.7.5).
        let few = 1.0 + (z * z + 1.0) / (4.0 * (independent - 1.0).max(2.0));
        let off = quantile_of_sorted(sorted, *p) - centre;
        *q = Half::new(centre + transform.widened(off, few * STRETCH));
    }
    out
}

/// The knots on both sides of a horizon, and the weight of the second.
pub(crate) fn between(knots: &[Knot], h: usize) -> Option<(&Knot, &Knot, f64)> {
    let after = knots.partition_point(|k| (k.horizon as usize) < h);
    let (a, b) = (
        knots.get(after.saturating_sub(1))?,
        knots.get(after).or(knots.last())?,
    );
    if a.horizon >= b.horizon {
        return Some((a, b, 0.0));
    }
    let log = |h: f64| libm::log2(h);
    let (from, to) = (log(f64::from(a.horizon)), log(f64::from(b.horizon)));
    Some((a, b, (log(h as f64) - from) / (to - from)))
}

impl Knot {
    pub(crate) fn correction(&self, regressors: &[f64]) -> f64 {
        let pairs = self.coefficients.iter().zip(regressors);
        pairs.map(|(c, x)| c.get() * x).sum()
    }

    /// The error at a normal deviate: linear in it between the kept quantiles, and beyond them
    /// in proportion to the outer one. It never falls as the deviate rises.
    pub(crate) fn error(&self, z: f64) -> f64 {
        let e = self.errors.map(Half::get);
        let at = DEVIATES.partition_point(|d| *d <= z);
        match at {
            0 => e[2] + (e[0] - e[2]) * z / DEVIATES[0],
            5 => e[2] + (e[4] - e[2]) * z / DEVIATES[4],
            _ => {
                let (a, b) = (DEVIATES[at - 1], DEVIATES[at]);
                e[at - 1] + (z - a) / (b - a) * (e[at] - e[at - 1])
            }
        }
    }

    pub(crate) fn is_sound(&self, width: usize) -> bool {
        self.horizon > 0
            && (self.coefficients.is_empty() || self.coefficients.len() == width)
            && self
                .coefficients
                .iter()
                .chain(&self.errors)
                .all(|v| v.get().is_finite())
            && self.errors.windows(2).all(|e| e[0].get() <= e[1].get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tidegate_model_kit::Stream;

    fn rows(signal: f64) -> Rows {
        let mut chance = Stream::new(1);
        let mut rows = Rows::default();
        for t in 0..400 {
            let x = chance.normal();
            rows.x.push(x);
            rows.origins.push(t);
            rows.misses.push(signal * x + chance.normal());
        }
        rows
    }

    #[test]
    fn a_regressor_that_helps_is_used_and_one_that_does_not_is_left() {
        let knot = rows(2.0).knot(4, 24.0, 1, 400, Transform::None);
        assert!((knot.coefficients[0].get() - 2.0).abs() < 0.4, "{knot:?}");
        assert!((knot.errors[4].get() - 1.96).abs() < 0.5, "{knot:?}");
        let idle = rows(0.0).knot(4, 24.0, 1, 400, Transform::None);
        assert!(idle.correction(&[1.0]).abs() < 0.15, "{idle:?}");
    }

    #[test]
    fn few_errors_are_a_wider_interval_than_many() {
        let sample = [-2.0, -1.0, 0.0, 1.0, 2.0];
        let outer = |n| error_quantiles(&sample, n, Transform::None)[4].get();
        assert!(outer(5.0) > outer(500.0));
    }

    proptest! {
        #[test]
        fn a_higher_deviate_is_never_a_lower_error(
            e in prop::array::uniform5(-5.0f64..5.0), z in -4.0f64..4.0, d in 0.0f64..2.0,
        ) {
            let mut errors = e;
            errors.sort_by(f64::total_cmp);
            let knot = Knot { horizon: 1, coefficients: Vec::new(), errors: errors.map(Half::new) };
            prop_assert!(knot.error(z) <= knot.error(z + d) + 1e-9);
        }
    }
}
