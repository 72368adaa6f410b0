//! Lognormal service times: the tail beyond a threshold, and histograms of waits and service times.

use super::SIGMA;
use tidegate_core::distribution::Distribution;

/// Buckets double every so many: a base of `2^(1/4)`, errors below 10 %, as an SDK would send.
const SCALE: i8 = 2;
/// Exponents of the first and last bucket edge: 1 ms to 4 s.
const EDGES: (i32, i32) = (-40, 8);

/// Part of service times with this median beyond so many seconds.
#[must_use]
pub fn tail(seconds: f64, median: f64) -> f64 {
    if seconds <= 0.0 {
        return 1.0;
    }
    let z = libm::log(seconds / median) / SIGMA;
    0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2)
}

/// A histogram of `(requests, wait, median)`, with exact counts beyond the threshold.
pub(super) fn histogram(groups: &[(f64, f64, f64)], threshold: f64, most: f64) -> Distribution {
    let edge = |exponent: i32| libm::exp2(f64::from(exponent) / 4.0);
    let beyond = |seconds: f64| -> f64 {
        let each = groups.iter();
        each.map(|(n, wait, median)| {
            n * (tail(seconds - wait, *median) - tail(most - wait, *median))
        })
        .sum::<f64>()
        .max(0.0)
    };
    let all = beyond(0.0).round();
    let mut before = all;
    let mut buckets: Vec<u64> = vec![];
    let mut sum = 0.0;
    // Counts are rounded where they are cumulated, so that buckets add up to the whole.
    for exponent in EDGES.0..EDGES.1 {
        let after = match exponent + 1 == EDGES.1 {
            true => 0.0,
            false => beyond(edge(exponent + 1)).round().min(before),
        };
        buckets.push((before - after) as u64);
        sum += (before - after) * 0.5 * (edge(exponent) + edge(exponent + 1));
        before = after;
    }
    let skipped = buckets.iter().take_while(|n| **n == 0).count();
    let kept = buckets
        .iter()
        .rposition(|n| *n > 0)
        .map_or(skipped, |last| last + 1);
    Distribution {
        scale: SCALE,
        zero_count: 0,
        offset: EDGES.0 + i32::try_from(skipped).unwrap_or(0),
        buckets: buckets[skipped..kept.max(skipped)].to_vec(),
        sum,
        above: vec![(threshold, beyond(threshold).round().min(all) as u64)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_all_take_longer_than_the_median() {
        assert!((tail(0.05, 0.05) - 0.5).abs() < 1e-12);
        assert!((tail(0.0, 0.05) - 1.0).abs() < 1e-12);
        // p95 of a lognormal is median x exp(1.645 sigma).
        assert!((tail(0.05 * libm::exp(1.644_853_6 * SIGMA), 0.05) - 0.05).abs() < 1e-6);
    }

    #[test]
    fn a_histogram_holds_every_answered_request_and_its_quantiles_are_those_of_the_mixture() {
        let d = histogram(&[(9_000.0, 0.0, 0.05), (1_000.0, 0.5, 0.05)], 0.2, 100.0);
        assert_eq!(d.problem(), None);
        assert_eq!(d.count(), 10_000);
        let above = 9_000.0 * tail(0.2, 0.05) + 1_000.0;
        assert!(
            (d.above(0.2) - above).abs() <= 1.0,
            "{} {above}",
            d.above(0.2)
        );
        assert!(
            d.quantile(0.5).is_some_and(|q| (0.045..0.07).contains(&q)),
            "{:?}",
            d.quantile(0.5)
        );
        assert!(
            d.quantile(0.95).is_some_and(|q| q > 0.5),
            "{:?}",
            d.quantile(0.95)
        );
    }
}
