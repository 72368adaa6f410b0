//! What must hold of a histogram on its way to a distribution.

use super::*;
use proptest::prelude::*;

fn explicit_of(bounds: &[f64], counts: &[u64], sum: f64) -> Histogram {
    Histogram {
        layout: Layout::Explicit(bounds.into()),
        counts: counts.to_vec(),
        sum: Some(sum),
    }
}

fn exponential_of(scale: i32, offset: i32, zero: u64, counts: &[u64]) -> Histogram {
    Histogram {
        layout: Layout::Exponential {
            scale,
            offset,
            zero,
        },
        counts: counts.to_vec(),
        sum: None,
    }
}

const BOUNDS: [f64; 4] = [0.005, 0.1, 0.25, 1.0];

#[test]
fn a_bound_that_the_sender_chose_is_counted_exactly() {
    let d = explicit_of(&BOUNDS, &[10, 20, 5, 3, 2], 20.0).distribution(1.0);
    assert_eq!(d.count(), 40);
    for (threshold, above) in [(0.005, 30.0), (0.1, 10.0), (0.25, 5.0), (1.0, 2.0)] {
        assert!((d.above(threshold) - above).abs() < 1e-9, "{threshold}");
    }
    assert!((d.sum - 20.0).abs() < 1e-12);
    assert_eq!(d.problem(), None);
}

#[test]
fn milliseconds_become_seconds() {
    let d = explicit_of(&[5.0, 100.0, 250.0], &[1, 2, 3, 0], 700.0).distribution(0.001);
    assert!((d.above(0.1) - 3.0).abs() < 1e-9 && (d.sum - 0.7).abs() < 1e-12);
    // 128 ms to 256 ms, in two buckets of a quarter octave each at scale 2.
    let d = exponential_of(2, 28, 0, &[4, 4, 4, 4]).distribution(0.001);
    let median = d.quantile(0.5).unwrap();
    assert!((0.17..0.2).contains(&median), "{median}");
}

#[test]
fn what_lies_beyond_the_last_bound_lies_where_the_sum_says() {
    let d = explicit_of(&[1.0], &[0, 4], 40.0).distribution(1.0);
    let p99 = d.quantile(0.99).unwrap();
    assert!((10.0..22.0).contains(&p99), "{p99}");
    let d = explicit_of(&[1.0], &[0, 4], f64::NAN).distribution(1.0);
    assert!(d.quantile(0.99).unwrap() <= 1.1);
    assert_eq!(d.problem(), None);
}

#[test]
fn a_histogram_that_lost_observations_or_moved_its_bounds_does_not_continue() {
    let before = explicit_of(&BOUNDS, &[1, 2, 3, 4, 5], 1.0);
    assert!(
        explicit_of(&BOUNDS, &[1, 2, 2, 9, 9], 9.0)
            .since(&before)
            .is_none()
    );
    assert!(
        explicit_of(&[0.1], &[100, 200], 9.0)
            .since(&before)
            .is_none()
    );
    let before = exponential_of(3, 10, 0, &[1, 1]);
    assert!(exponential_of(3, 12, 0, &[5]).since(&before).is_none());
    assert!(before.since(&explicit_of(&BOUNDS, &[0; 5], 0.0)).is_none());
}

/// Durations in seconds, from 10 us to 100 s.
fn durations() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((-5.0..2.0_f64).prop_map(|e| libm::pow(10.0, e)), 0..200)
}

fn observe(values: &[f64], scale: i32) -> Histogram {
    let index = |v: f64| libm::ceil(libm::log2(v) * libm::exp2(f64::from(scale))) as i32 - 1;
    let all: Vec<i32> = values.iter().map(|v| index(*v)).collect();
    let (low, high) = (
        all.iter().min().copied().unwrap_or(0),
        all.iter().max().copied().unwrap_or(-1),
    );
    let mut counts = vec![0; usize::try_from(high - low + 1).unwrap_or(0)];
    all.iter().for_each(|i| counts[(i - low) as usize] += 1);
    Histogram {
        sum: Some(values.iter().sum()),
        ..exponential_of(scale, low, 0, &counts)
    }
}

proptest! {
    #[test]
    fn parts_that_follow_each_other_are_the_whole(
        counts in prop::collection::vec(0_u64..1_000_000, 5), cuts in prop::collection::vec(0_i64..60_000, 0..6),
    ) {
        let whole = explicit_of(&BOUNDS, &counts, 7.0);
        let mut at: Vec<i64> = cuts.iter().copied().chain([0, 60_000]).collect();
        at.sort_unstable();
        let mut sums = vec![0; 5];
        for pair in at.windows(2) {
            let part = whole.part(pair[0], pair[1], 60_000);
            part.counts.iter().zip(&mut sums).for_each(|(n, s)| *s += n);
        }
        prop_assert_eq!(sums, counts);
    }

    #[test]
    fn a_distribution_has_every_observation_and_is_admitted(
        bounds in prop::collection::btree_set(1_u32..1_000_000, 0..80),
        seed in prop::collection::vec(0_u64..1000, 81), factor in prop_oneof![Just(1.0), Just(0.001)],
        sum in prop_oneof![Just(None), (-1.0..1e9).prop_map(Some)],
    ) {
        let bounds: Vec<f64> = bounds.into_iter().map(|b| f64::from(b) / 1000.0).collect();
        let counts = seed[..=bounds.len()].to_vec();
        let histogram = Histogram { layout: Layout::Explicit(bounds.into()), counts, sum };
        let d = histogram.distribution(factor);
        prop_assert_eq!(d.count(), histogram.count());
        prop_assert_eq!(d.problem(), None);
    }

    #[test]
    fn a_difference_is_what_came_in_between(
        before in durations(), more in durations(), fine in 0_i32..8, coarse in 0_i32..8,
    ) {
        let both: Vec<f64> = before.iter().chain(&more).copied().collect();
        // The sender may have made its buckets coarser in between.
        let (first, second) = (observe(&before, fine.max(coarse)), observe(&both, fine.min(coarse)));
        let between = second.since(&first).unwrap();
        let expected = observe(&more, fine.min(coarse));
        prop_assert_eq!(between.count(), more.len() as u64);
        let (mut a, mut b) = (between.distribution(1.0), expected.distribution(1.0));
        prop_assert!((a.sum - b.sum).abs() < 1e-6);
        (a.sum, b.sum) = (0.0, 0.0);
        prop_assert_eq!(a, b);
    }

    #[test]
    fn any_exponential_histogram_becomes_an_admitted_distribution(
        scale in -20_i32..=40, offset: i32, zero in 0_u64..9, counts in prop::collection::vec(0_u64..50, 0..900),
        factor in prop_oneof![Just(1.0), Just(0.001)],
    ) {
        let histogram = exponential_of(scale, offset.clamp(i32::MIN / 2, i32::MAX / 2), zero, &counts);
        let d = histogram.distribution(factor);
        prop_assert_eq!(d.count(), histogram.count());
        prop_assert_eq!(d.problem(), None);
    }
}
