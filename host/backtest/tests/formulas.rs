//! The formulas against numbers worked out by hand, and against what must hold for any numbers.
//!
//! A wrong metric is worse than none: every module's figures would be wrong alike and look right. So
//! each is held to its definition twice, once by arithmetic that fits on a line and once by the
//! property for which it was chosen (pinball is least at the quantile, scores do not know the unit).

use proptest::prelude::*;
use tidegate_backtest::evaluate::metrics::{
    interval_score, mean, pinball_loss, seasonal_scale, symmetric_percentage_error,
};
use tidegate_backtest::evaluate::report::Benchmark;
use tidegate_backtest::evaluate::scores::{INTERVALS, LOSSES, Metric, Scores, place};
use tidegate_backtest::evaluate::subject::Grid;

#[track_caller]
fn near(have: f64, want: f64) {
    let tolerance = 1e-9 * want.abs().max(1.0);
    assert!((have - want).abs() <= tolerance, "{have}, not {want}");
}

/// The same nine quantiles at every step, and a mean.
fn grid(steps: usize, mean: f64, quantiles: [f64; 9]) -> Grid {
    Grid {
        mean: vec![mean; steps],
        quantiles: quantiles.repeat(steps),
    }
}

#[test]
fn every_level_that_is_scored_is_asked_for() {
    for level in LOSSES {
        assert!(place(level).is_some(), "{level}");
    }
    for (percent, low, high) in INTERVALS {
        assert!(place(low).is_some() && place(high).is_some());
        assert_eq!(high - low, percent * 100);
    }
}

#[test]
fn single_errors_are_what_their_papers_say() {
    near(pinball_loss(10.0, 8.0, 0.9), 1.8);
    near(pinball_loss(10.0, 12.0, 0.9), 0.2);
    near(interval_score(7.0, 6.0, 8.0, 0.05), 2.0);
    near(interval_score(5.0, 6.0, 8.0, 0.05), 42.0);
    near(interval_score(9.5, 6.0, 8.0, 0.2), 17.0);
    near(symmetric_percentage_error(100.0, 50.0), 200.0 / 3.0);
    near(symmetric_percentage_error(0.0, 0.0), 0.0);
    near(symmetric_percentage_error(0.0, 1.0), 200.0);
}

#[test]
fn the_scale_is_the_mean_seasonal_difference_and_none_where_nothing_changes() {
    near(seasonal_scale(&[1.0, 2.0, 4.0, 3.0], 1).unwrap(), 4.0 / 3.0);
    near(seasonal_scale(&[1.0, 2.0, 4.0, 3.0], 2).unwrap(), 2.0);
    near(seasonal_scale(&[1.0, f64::NAN, 4.0, 6.0], 1).unwrap(), 2.0);
    assert_eq!(seasonal_scale(&[5.0; 100], 24), None);
    assert_eq!(seasonal_scale(&[5.0, 6.0], 24), None);
    assert_eq!(seasonal_scale(&[], 1), None);
    // The sum of rounding errors is no scale.
    let noisy: Vec<f64> = (0..100).map(|t| 1e6 + f64::from(t % 2) * 1e-9).collect();
    assert_eq!(seasonal_scale(&noisy, 1), None);
}

#[test]
fn a_forecast_of_two_steps_is_scored_as_on_paper() {
    let levels = [0.0, 2.0, 4.0, 5.0, 6.0, 8.0, 9.0, 10.0, 12.0];
    let scores = Scores::of(&[5.0, 11.0], &grid(2, 5.0, levels), Some(2.0));
    near(scores.get(Metric::Smape), 200.0 * (6.0 / 16.0) / 2.0);
    near(scores.get(Metric::Mase), 6.0 / 2.0 / 2.0);
    // Losses at 0, 2, 5, 8, 10 for p = .025, .1, .5, .9, .975.
    let first = 0.125 + 0.3 + 0.0 + 0.3 + 0.125;
    let second = 0.275 + 0.9 + 3.0 + 2.7 + 0.975;
    near(scores.get(Metric::Mspl), (first + second) / 5.0 / 2.0 / 2.0);
    near(scores.get(Metric::Wql), 2.0 * (first + second) / 5.0 / 16.0);
    // Width 10 twice, and 11 lies 1 above 10: 40.
    near(scores.get(Metric::Msis), (20.0 + 40.0) / 2.0 / 2.0);
    near(scores.get(Metric::Cover50), 50.0);
    near(scores.get(Metric::Cover95), 50.0);
    near(scores.get(Metric::Width80), 3.0);
    near(scores.get(Metric::Below90), 50.0);
    near(scores.get(Metric::Below99), 100.0);
}

#[test]
fn what_was_not_measured_counts_nowhere() {
    let levels = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    let whole = Scores::of(&[5.0], &grid(1, 4.0, levels), Some(1.0));
    let gappy = Scores::of(&[f64::NAN, 5.0], &grid(2, 4.0, levels), Some(1.0));
    assert_eq!(whole, gappy);
    let unscaled = Scores::of(&[5.0], &grid(1, 4.0, levels), None);
    assert!(unscaled.get(Metric::Mase).is_nan() && unscaled.get(Metric::Smape) > 0.0);
    let both = [whole, Scores::NONE];
    assert_eq!(Scores::mean(both.iter()), whole);
    assert_eq!(mean([f64::NAN, f64::INFINITY]), None);
}

#[test]
fn owa_is_one_for_the_benchmark_itself_and_m4s_own_for_seasonal_naive() {
    let of = |smape: f64, mase: f64| {
        // A forecast with these two errors: the actual is 100, the scale fits the rest.
        let miss = 2.0 * 100.0 * smape / (200.0 - smape);
        Scores::of(
            &[100.0],
            &grid(1, 100.0 + miss, [100.0; 9]),
            Some(miss / mase),
        )
    };
    near(Benchmark::M4_HOURLY.owa(&of(18.383, 2.395)), 1.0);
    let published = Benchmark::M4_HOURLY.owa(&of(13.912, 1.193));
    assert!((published - 0.628).abs() < 0.001, "{published}");
}

fn values(n: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(0.0..1e4_f64, n)
}

fn rising() -> impl Strategy<Value = [f64; 9]> {
    prop::array::uniform9(0.0..1e4_f64).prop_map(|mut levels| {
        levels.sort_by(f64::total_cmp);
        levels
    })
}

proptest! {
    #[test]
    fn pinball_is_never_negative_and_nothing_for_a_hit(
        y in 0.0..1e6_f64, q in 0.0..1e6_f64, p in 0.01..0.99_f64,
    ) {
        prop_assert!(pinball_loss(y, q, p) >= 0.0);
        prop_assert!((y - q).abs() < 1e-12 || pinball_loss(y, q, p) > 0.0);
        near(pinball_loss(y, y, p), 0.0);
    }

    #[test]
    fn pinball_is_least_at_the_quantile(
        sample in values(101), other in 0.0..1e4_f64, level in 1_usize..100,
    ) {
        let mut sorted = sample.clone();
        sorted.sort_by(f64::total_cmp);
        let p = level as f64 / 100.0;
        let total = |q: f64| sample.iter().map(|y| pinball_loss(*y, q, p)).sum::<f64>();
        prop_assert!(total(sorted[(101.0 * p) as usize]) <= total(other) + 1e-6);
    }

    #[test]
    fn an_interval_that_covers_scores_its_width_and_no_interval_scores_less(
        low in 0.0..100.0_f64, width in 0.0..100.0_f64, at in 0.0..=1.0_f64, y in -50.0..250.0_f64,
    ) {
        let high = low + width;
        near(interval_score(low + at * width, low, high, 0.05), width);
        prop_assert!(interval_score(y, low, high, 0.05) >= high - low);
    }

    #[test]
    fn a_perfect_forecast_has_no_error(actual in values(5)) {
        let quantiles = actual.iter().flat_map(|y| [*y; 9]).collect();
        let perfect = Grid { mean: actual.clone(), quantiles };
        let scores = Scores::of(&actual, &perfect, Some(1.0));
        for metric in [Metric::Smape, Metric::Mase, Metric::Mspl, Metric::Msis] {
            near(scores.get(metric), 0.0);
        }
        for metric in [Metric::Cover50, Metric::Cover95, Metric::Below90, Metric::Below99] {
            near(scores.get(metric), 100.0);
        }
    }

    #[test]
    fn no_score_knows_the_unit(actual in values(6), levels in rising(), power in -30..30_i32) {
        let factor = 2.0_f64.powi(power);
        let scaled: Vec<f64> = actual.iter().map(|y| y * factor).collect();
        let here = Scores::of(&actual, &grid(6, levels[4], levels), Some(3.0));
        let there = Scores::of(
            &scaled,
            &grid(6, levels[4] * factor, levels.map(|q| q * factor)),
            Some(3.0 * factor),
        );
        for metric in Metric::ALL {
            let (a, b) = (here.get(metric), there.get(metric));
            prop_assert!(
                (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs(),
                "{metric:?}"
            );
        }
    }

    #[test]
    fn wider_intervals_hold_more(actual in values(20), levels in rising()) {
        let scores = Scores::of(&actual, &grid(20, levels[3], levels), Some(1.0));
        prop_assert!(scores.get(Metric::Cover50) <= scores.get(Metric::Cover80));
        prop_assert!(scores.get(Metric::Cover80) <= scores.get(Metric::Cover95));
        prop_assert!(scores.get(Metric::Below90) <= scores.get(Metric::Below99));
        prop_assert!(scores.get(Metric::Width50) <= scores.get(Metric::Width95));
    }
}
