//! Seeded simulations that must come out in the order of the figures of the design: production
//! 1000/s, 50 mirrored/s, flushes of 1 s, alpha 1 %.

use tidegate_model_kit::Stream;
use tidegate_model_sequential_judge::{RatioBounds, RatioTest};

/// Poisson by inversion; `mean` well below 700.
fn poisson(stream: &mut Stream, mean: f64) -> u64 {
    let (mut k, mut p, u) = (0, libm::exp(-mean), stream.uniform());
    let mut cumulated = p;
    while u > cumulated && k < 2000 {
        k += 1;
        p *= mean / k as f64;
        cumulated += p;
    }
    k
}

/// Shadow requests until evidence reaches `1 / alpha`, if within `flushes`.
fn until_caught(
    stream: &mut Stream,
    mut test: RatioTest,
    rates: (f64, f64),
    flushes: u64,
) -> Option<u64> {
    let enough = libm::log(100.0);
    (1..=flushes).find_map(|flush| {
        let shadow = (poisson(stream, 50.0 * rates.0), 50);
        test.update(shadow, (poisson(stream, 1000.0 * rates.1), 1000));
        (test.log_e() >= enough).then_some(flush * 50)
    })
}

fn quantiles(mut found: Vec<u64>) -> (u64, u64) {
    found.sort_unstable();
    (found[found.len() / 2], found[found.len() * 9 / 10])
}

#[test]
fn doubled_errors_are_caught_within_about_1450_shadow_requests() {
    let mut stream = Stream::new(1);
    let mut run = |_| until_caught(&mut stream, RatioTest::above(1.0), (0.02, 0.01), 2000);
    let found: Vec<u64> = (0..1000).filter_map(&mut run).collect();
    assert_eq!(found.len(), 1000, "all regressions are caught");
    let (median, p90) = quantiles(found);
    assert!((1300..=1650).contains(&median), "median {median}");
    assert!((2600..=3400).contains(&p90), "90 % {p90}");
}

#[test]
fn false_alarms_over_ten_minutes_of_peeking_stay_within_alpha() {
    let mut stream = Stream::new(2);
    let mut run = || until_caught(&mut stream, RatioTest::above(1.0), (0.01, 0.01), 600);
    let alarms = (0..600).filter(|_| run().is_some()).count();
    // 1 % of 600 is 6; a binomial of that mean exceeds 13 with probability 0.4 %.
    assert!(alarms <= 13, "{alarms} of 600");
}

#[test]
fn an_identical_version_is_certified_within_its_margin_and_one_on_the_margin_is_not() {
    let mut stream = Stream::new(3);
    let mut run =
        |rate, flushes| until_caught(&mut stream, RatioTest::below(1.5), (rate, 0.01), flushes);
    let found: Vec<u64> = (0..400).filter_map(|_| run(0.01, 2000)).collect();
    assert!(found.len() >= 396, "{} of 400", found.len());
    let (median, p90) = quantiles(found);
    assert!((4500..=6000).contains(&median), "median {median}");
    assert!((9500..=12500).contains(&p90), "90 % {p90}");
    let wrong = (0..300).filter(|_| run(0.015, 600).is_some()).count();
    assert!(wrong <= 9, "{wrong} of 300");
}

#[test]
fn the_first_few_errors_of_a_flawless_service_are_enough() {
    let mut test = RatioTest::above(1.0);
    let mut errors = 0;
    while test.log_e() < libm::log(100.0) {
        (0..19).for_each(|_| test.update((0, 50), (0, 1000)));
        test.update((1, 50), (0, 1000));
        errors += 1;
    }
    assert!((2..=5).contains(&errors), "{errors} errors");
}

#[test]
fn a_ramp_of_the_share_while_the_base_rate_drifts_raises_no_alarm() {
    // Pooled totals would see a shadow that is worse by far: its share rose with the error rate.
    let (mut stream, mut alarms) = (Stream::new(5), 0);
    for _ in 0..100 {
        let mut test = RatioTest::above(1.0);
        let mut caught = false;
        for flush in 0..200u32 {
            let (share, rate) = (f64::from(flush + 1), 0.0005 * f64::from(flush + 1));
            let shadow = poisson(&mut stream, share * rate);
            test.update(
                (shadow, u64::from(flush) + 1),
                (poisson(&mut stream, 1000.0 * rate), 1000),
            );
            caught |= test.log_e() >= libm::log(100.0);
        }
        alarms += u32::from(caught);
    }
    assert!(alarms <= 4, "{alarms} of 100");
}

#[test]
fn bounds_hold_the_true_ratio_at_all_times_and_close_in_on_it() {
    let (mut misses, mut widths) = (0, Vec::new());
    let mut stream = Stream::new(4);
    for _ in 0..40 {
        let mut bounds = RatioBounds::new();
        for _ in 0..300 {
            let shadow = (poisson(&mut stream, 50.0 * 0.03), 50);
            bounds.update(
                shadow,
                (poisson(&mut stream, 1000.0 * 0.015), 1000),
                1.0,
                0.005,
            );
        }
        // Bounds only tighten, so the last ones tell whether any before was wrong.
        let (low, high) = bounds.get();
        misses += u32::from(!(low <= 2.0 && 2.0 <= high));
        widths.push(high / low);
    }
    assert!(misses <= 2, "{misses} of 40");
    widths.sort_by(f64::total_cmp);
    assert!(widths[20] < 1.8, "median width {}", widths[20]);
}
