//! Loads that the tests of all models share: a daily wave, and a walk without any season.
//!
//! They live beside the laws and the sentences that use them, as plain functions, so that a model's
//! own tests speak of the same wave. No model calls them.

use crate::{Series, Stream};

/// The quantile levels that tests ask for.
pub const LEVELS: [u16; 5] = [250, 1000, 5000, 9000, 9750];

/// A series at one-hour steps that begins at midnight UTC, with the usual seasons.
#[must_use]
pub fn hourly(values: &[f64]) -> Series<'_> {
    Series {
        values,
        start_ms: 1_700_006_400_000,
        step_s: 3600,
        periods: &[],
    }
}

/// A wave of 24 steps around 100, from 60 to 140.
#[must_use]
pub fn day(t: usize) -> f64 {
    let hour = (t % 24) as f64;
    100.0 + 40.0 * libm::sin(hour / 24.0 * std::f64::consts::TAU)
}

/// [`day`], halved on two days of seven.
#[must_use]
pub fn week(t: usize) -> f64 {
    if t / 24 % 7 >= 5 {
        0.5 * day(t)
    } else {
        day(t)
    }
}

/// [`day`] with normal noise of the given standard deviation.
#[must_use]
pub fn noisy(n: usize, sigma: f64, seed: u64) -> Vec<f64> {
    let mut chance = Stream::new(seed);
    (0..n).map(|t| day(t) + sigma * chance.normal()).collect()
}

/// A random walk from 1000 in steps of standard deviation 1.
#[must_use]
pub fn walk(n: usize, seed: u64) -> Vec<f64> {
    let mut chance = Stream::new(seed);
    let mut level = 1000.0;
    (0..n)
        .map(|_| {
            level += chance.normal();
            level
        })
        .collect()
}

/// The shares of future values that the 80 and the 95 % interval hold: `load(seed)` gives a series
/// of which `predict` sees all but the last 24 values, and answers at [`LEVELS`].
pub fn coverage(
    seeds: u64,
    load: impl Fn(u64) -> Vec<f64>,
    predict: impl Fn(&[f64], u64) -> Vec<f64>,
) -> (f64, f64) {
    let (mut in80, mut in95, mut n) = (0.0, 0.0, 0.0);
    for seed in 0..seeds {
        let y = load(seed);
        let (past, future) = y.split_at(y.len().saturating_sub(24));
        let quantiles = predict(past, seed);
        for (y, q) in future.iter().zip(quantiles.chunks(LEVELS.len())) {
            in80 += f64::from(u8::from((q[1]..=q[3]).contains(y)));
            in95 += f64::from(u8::from((q[0]..=q[4]).contains(y)));
            n += 1.0;
        }
    }
    (in80 / n, in95 / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_counts_what_lies_within_its_bounds_included() {
        let load = |_| vec![1.0; 48];
        let row = [0.0, 1.0, 1.0, 1.0, 2.0];
        let all = coverage(2, load, |_, _| row.repeat(24));
        assert_eq!(all, (1.0, 1.0));
        let row = [0.0, 0.1, 0.2, 0.3, 2.0];
        assert_eq!(coverage(2, load, |_, _| row.repeat(24)), (0.0, 1.0));
    }
}
