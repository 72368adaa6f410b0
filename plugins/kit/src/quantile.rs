//! Empirical quantiles and integer levels.
//!
//! Sample quantiles use Hyndman and Fan's type 8 (The American Statistician 50, 1996): it is
//! nearly median-unbiased whatever the distribution, which matters with the few dozen residuals
//! that a short history leaves.

use crate::ModelError;

/// Levels are parts of this many.
pub const MAX_LEVEL: u16 = 10_000;

/// The probability of a level in parts per 10,000.
#[must_use]
pub fn probability(level: u16) -> f64 {
    f64::from(level) / f64::from(MAX_LEVEL)
}

/// Refuses levels that are not strictly ascending within 1..=9999: a prediction's order of
/// quantiles is its order of levels.
///
/// # Errors
/// [`ModelError::InvalidInput`] with the offending level.
pub(crate) fn validate_levels(levels: &[u16]) -> Result<(), ModelError> {
    if let Some(bad) = levels.iter().find(|l| **l == 0 || **l >= MAX_LEVEL) {
        return Err(ModelError::invalid(format!(
            "quantile level {bad} is outside 1..=9999 (parts per 10,000)"
        )));
    }
    if let Some(pair) = levels.windows(2).find(|w| w[0] >= w[1]) {
        return Err(ModelError::invalid(format!(
            "quantile levels must ascend, but {} follows {}",
            pair[1], pair[0]
        )));
    }
    Ok(())
}

/// The smaller of two numbers, `b` where either is missing: one comparison. `f64::min`, which passes
/// over a missing one on either side, is a function call in WebAssembly and keeps a loop from being
/// made of vectors; this is for the innermost ones.
#[inline]
#[must_use]
pub fn smaller(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

/// Sorts in place, ascending, by the total order of floats.
pub fn sort_floats(values: &mut [f64]) {
    values.sort_unstable_by(f64::total_cmp);
}

/// The quantile of an ascending sample at `p`; 0 for an empty one.
#[must_use]
pub fn quantile_of_sorted(sorted: &[f64], p: f64) -> f64 {
    let n = sorted.len();
    if n == 0 {
        return 0.0;
    }
    let h = position(n, p);
    let below = h.floor();
    let lo = sorted[below as usize - 1];
    let hi = sorted[(below as usize).min(n - 1)];
    lo + (h - below) * (hi - lo)
}

/// [`quantile_of_sorted`] of a sample in any order, which it reorders: one that needs a single point
/// need not sort.
pub fn quantile(values: &mut [f64], p: f64) -> f64 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let h = position(n, p);
    let below = h.floor();
    let (_, lo, above) = values.select_nth_unstable_by(below as usize - 1, f64::total_cmp);
    let lo = *lo;
    let hi = above.iter().copied().min_by(f64::total_cmp).unwrap_or(lo);
    lo + (h - below) * (hi - lo)
}

/// Where the quantile lies in a sorted sample of `n`, counted from 1.
fn position(n: usize, p: f64) -> f64 {
    ((n as f64 + 1.0 / 3.0) * p + 1.0 / 3.0).clamp(1.0, n as f64)
}

/// The median of a sample, which it reorders; 0 for an empty one.
pub fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let (below, mid, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        *mid
    } else {
        let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        0.5 * (lower + *mid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn levels_out_of_range_or_order_are_refused() {
        assert!(validate_levels(&[100, 5000, 9999]).is_ok());
        for bad in [&[0u16][..], &[10_000], &[5000, 5000], &[9000, 1000]] {
            assert!(validate_levels(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_median_of_four_is_between_the_middle_two() {
        assert_eq!(
            median(&mut [4.0, 1.0, 3.0, 2.0]).to_bits(),
            2.5f64.to_bits()
        );
    }

    proptest! {
        #[test]
        fn a_quantile_is_the_same_without_sorting(
            mut sample in proptest::collection::vec(-1e6f64..1e6, 0..40), p in 0.0f64..1.0,
        ) {
            let mut sorted = sample.clone();
            sort_floats(&mut sorted);
            let said = quantile(&mut sample, p);
            prop_assert_eq!(said.to_bits(), quantile_of_sorted(&sorted, p).to_bits());
        }

        #[test]
        fn quantiles_rise_with_the_level_and_stay_within_the_sample(
            mut sample in proptest::collection::vec(-1e6f64..1e6, 1..40), p in 0.0f64..1.0, d in 0.0f64..0.2,
        ) {
            sort_floats(&mut sample);
            let a = quantile_of_sorted(&sample, p);
            let b = quantile_of_sorted(&sample, (p + d).min(1.0));
            prop_assert!(a <= b);
            prop_assert!(a >= sample[0] && b <= sample[sample.len() - 1]);
        }

        #[test]
        fn the_median_agrees_with_the_half_quantile(sample in proptest::collection::vec(-1e6f64..1e6, 1..40)) {
            let mut sorted = sample.clone();
            sort_floats(&mut sorted);
            let mut scratch = sample;
            prop_assert!((median(&mut scratch) - quantile_of_sorted(&sorted, 0.5)).abs() < 1e-6);
        }
    }
}
