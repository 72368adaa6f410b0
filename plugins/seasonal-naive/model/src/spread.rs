//! The interval: quantiles of what repeating the past got wrong, by seasons ahead.
//!
//! Differences over `k` seasons are the errors of the forecast `k` seasons ahead, so their sample
//! quantiles are the interval, with no distribution assumed. They are measured at k = 1, 2, 4, ...
//! as long as half of the history remains, are interpolated in the logarithm of `k`, and grow
//! with the square root of `k` beyond (a random walk over seasons). Too few differences for
//! sample quantiles are described by a normal one, widened for their number.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Half, normal_quantile, quantile_of_sorted, sort_floats};

/// Where quantiles are kept. Between them the interval is linear in the normal deviate.
const PROBABILITIES: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995,
];
/// Differences below which their sample quantiles mean little.
const FEW: usize = 30;

/// Error quantiles at one number of seasons ahead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Knot {
    /// Seasons ahead.
    pub(crate) ahead: u32,
    /// Error quantiles at [`PROBABILITIES`], rising.
    pub(crate) errors: Vec<Half>,
}

impl Knot {
    pub(crate) fn is_sound(&self) -> bool {
        self.ahead > 0
            && self.errors.len() == PROBABILITIES.len()
            && self.errors.iter().all(|e| e.get().is_finite())
    }
}

/// Measures the knots of a series repeated with `period`; `floor` is the least standard deviation
/// of few differences.
pub(crate) fn measure(z: &[f64], period: usize, floor: f64) -> Vec<Knot> {
    let mut knots: Vec<Knot> = Vec::new();
    for ahead in std::iter::successors(Some(1usize), |k| Some(k * 2)).take(12) {
        let lag = ahead * period;
        if ahead > 1 && lag > z.len() / 2 {
            break;
        }
        let mut errors: Vec<f64> = z
            .iter()
            .skip(lag)
            .zip(z)
            .map(|(now, then)| now - then)
            .filter(|e| e.is_finite())
            .collect();
        if errors.is_empty() && ahead > 1 {
            break;
        }
        let mut found = quantiles(&mut errors, floor);
        if let Some(before) = knots.last() {
            // Further ahead is never more certain.
            for ((q, b), p) in found.iter_mut().zip(&before.errors).zip(PROBABILITIES) {
                *q = if p < 0.5 {
                    q.min(b.get())
                } else {
                    q.max(b.get())
                };
            }
        }
        knots.push(Knot {
            ahead: ahead as u32,
            errors: found.into_iter().map(Half::new).collect(),
        });
    }
    knots
}

fn quantiles(errors: &mut [f64], floor: f64) -> Vec<f64> {
    let n = errors.len() as f64;
    if errors.len() < FEW {
        let squares: f64 = errors.iter().map(|e| e * e).sum();
        let sigma = ((squares / n.max(1.0)).sqrt() * (1.0 + 3.0 / n.max(1.0))).max(floor);
        return PROBABILITIES
            .iter()
            .map(|p| sigma * normal_quantile(*p))
            .collect();
    }
    sort_floats(errors);
    // The forecast is the repeated value itself: the errors' median is drift, which this model
    // does not claim to know, so it stays in the interval but not in its centre.
    let mut all: Vec<f64> = PROBABILITIES
        .iter()
        .map(|p| quantile_of_sorted(errors, *p))
        .collect();
    let middle = PROBABILITIES.len() / 2;
    for (i, q) in all.iter_mut().enumerate() {
        *q = match i.cmp(&middle) {
            std::cmp::Ordering::Less => q.min(0.0),
            std::cmp::Ordering::Equal => 0.0,
            std::cmp::Ordering::Greater => q.max(0.0),
        };
    }
    all
}

/// The error at probability `p`, `ahead >= 1` seasons ahead.
pub(crate) fn error_at(knots: &[Knot], ahead: usize, p: f64) -> f64 {
    let after = knots.partition_point(|k| (k.ahead as usize) < ahead);
    let last = after.checked_sub(1).and_then(|i| knots.get(i));
    match (last, knots.get(after)) {
        (None, None) => 0.0,
        (None, Some(k)) => within(k, p),
        (Some(k), None) => within(k, p) * (ahead as f64 / f64::from(k.ahead)).sqrt(),
        (Some(a), Some(b)) => {
            // Knots double, so the logarithm's share is close to the plain one.
            let w = (ahead as f64 - f64::from(a.ahead)) / f64::from(b.ahead - a.ahead);
            within(a, p) + w * (within(b, p) - within(a, p))
        }
    }
}

fn within(knot: &Knot, p: f64) -> f64 {
    let at = PROBABILITIES
        .partition_point(|q| *q < p)
        .clamp(1, PROBABILITIES.len() - 1);
    let (from, to) = (
        normal_quantile(PROBABILITIES[at - 1]),
        normal_quantile(PROBABILITIES[at]),
    );
    let (low, high) = (knot.errors[at - 1].get(), knot.errors[at].get());
    // Beyond the outermost knots the last slope goes on.
    low + (normal_quantile(p) - from) / (to - from) * (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_walk_widens_with_the_steps_ahead() {
        let mut s = tidegate_model_kit::Stream::new(3);
        let mut y = 0.0;
        let walk: Vec<f64> = (0..2000)
            .map(|_| {
                y += s.normal();
                y
            })
            .collect();
        let knots = measure(&walk, 1, 0.0);
        let (near, far) = (error_at(&knots, 1, 0.9), error_at(&knots, 16, 0.9));
        assert!((near - 1.28).abs() < 0.2, "{near}");
        assert!((far / near - 4.0).abs() < 1.5, "{far}");
    }

    #[test]
    fn few_differences_give_a_wide_normal_interval() {
        let knots = measure(&[1.0, 2.0, 1.0, 2.0], 1, 0.0);
        assert!(error_at(&knots, 1, 0.975) > 1.96);
    }

    #[test]
    fn a_probability_on_a_knot_is_the_sample_quantile() {
        let ramp: Vec<f64> = (0..400).map(|t| f64::from(t % 7)).collect();
        let knots = measure(&ramp, 3, 0.0);
        assert!((error_at(&knots, 1, 0.5)).abs() < 1e-9);
        assert!(error_at(&knots, 1, 0.01) <= error_at(&knots, 1, 0.02));
    }
}
