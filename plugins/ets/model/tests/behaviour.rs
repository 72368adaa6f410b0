//! What a user of the model may count on, as sentences.

use tidegate_model_ets::{
    Class, Config, ErrorChoice, ErrorKind, FORMAT, ModelError, SeasonChoice, SeasonKind, Series,
    State, TrendChoice, TrendKind, fit,
};
use tidegate_model_kit::{Stream, encode};

const LEVELS: [u16; 5] = [250, 1000, 5000, 9000, 9750];

fn hourly(values: &[f64]) -> Series<'_> {
    Series {
        values,
        start_ms: 1_700_000_000_000,
        step_s: 3600,
        periods: &[],
    }
}

#[expect(
    clippy::unwrap_used,
    reason = "a helper of tests, outside a test function"
)]
fn fitted(values: &[f64]) -> State {
    fit(&Config::default(), &hourly(values)).unwrap()
}

fn day(t: usize) -> f64 {
    let hour = (t % 24) as f64;
    100.0 + 40.0 * libm::sin(hour / 24.0 * std::f64::consts::TAU)
}

/// A daily wave with noise of the given standard deviation.
fn noisy(n: usize, sigma: f64, seed: u64) -> Vec<f64> {
    let mut s = Stream::new(seed);
    (0..n).map(|t| day(t) + sigma * s.normal()).collect()
}

#[test]
fn tomorrow_is_foreseen_from_a_daily_wave() {
    let p = fitted(&noisy(24 * 14, 3.0, 1))
        .predict(24, &LEVELS, 1)
        .unwrap();
    for (h, mean) in p.mean.iter().enumerate() {
        let truth = day(24 * 14 + h);
        assert!((mean - truth).abs() < 10.0, "step {h}: {mean} for {truth}");
    }
}

#[test]
fn a_weekend_is_foreseen_from_four_weeks() {
    let weekly = |t: usize| {
        if t / 24 % 7 >= 5 {
            0.5 * day(t)
        } else {
            day(t)
        }
    };
    let mut s = Stream::new(2);
    let n = 24 * 28 + 24 * 4;
    let y: Vec<f64> = (0..n).map(|t| weekly(t) + s.normal()).collect();
    let p = fitted(&y).predict(72, &LEVELS, 1).unwrap();
    let saturday_noon = 24 + 12;
    let (mean, truth) = (p.mean[saturday_noon], weekly(n + saturday_noon));
    assert!((mean - truth).abs() < 15.0, "{mean} for {truth}");
}

#[test]
fn intervals_hold_what_they_promise_on_their_own_kind_of_data() {
    let (mut in80, mut in95, mut n) = (0, 0, 0);
    for seed in 0..40 {
        let y = noisy(24 * 10 + 24, 8.0, seed);
        let p = fitted(&y[..240]).predict(24, &LEVELS, seed).unwrap();
        for (y, q) in y[240..].iter().zip(p.quantiles.chunks(5)) {
            in80 += i32::from((q[1]..=q[3]).contains(y));
            in95 += i32::from((q[0]..=q[4]).contains(y));
            n += 1;
        }
    }
    let (c80, c95) = (
        f64::from(in80) / f64::from(n),
        f64::from(in95) / f64::from(n),
    );
    assert!((0.75..=0.90).contains(&c80), "{c80}");
    assert!((0.92..=0.99).contains(&c95), "{c95}");
}

#[test]
fn growth_in_proportion_is_seen_as_a_multiplicative_season() {
    let mut s = Stream::new(3);
    let y: Vec<f64> = (0..24 * 21)
        .map(|t| (1.0 + t as f64 / 100.0) * day(t) * (1.0 + 0.03 * s.normal()))
        .collect();
    assert_eq!(fitted(&y).base().class().season, SeasonKind::Multiplicative);
}

#[test]
fn a_demanded_class_is_the_class_that_is_fitted() {
    let y = noisy(24 * 10, 5.0, 4);
    let config = Config {
        error: ErrorChoice::Multiplicative,
        trend: TrendChoice::Additive,
        season: SeasonChoice::Additive,
        ..Config::default()
    };
    let class = fit(&config, &hourly(&y)).unwrap().base().class();
    let asked = Class {
        error: ErrorKind::Multiplicative,
        trend: TrendKind::Additive,
        season: SeasonKind::Additive,
    };
    assert_eq!(class, asked);
}

#[test]
fn a_multiplicative_class_is_refused_where_values_touch_zero() {
    let mut y = noisy(100, 5.0, 5);
    y[50] = 0.0;
    let config = Config {
        error: ErrorChoice::Multiplicative,
        ..Config::default()
    };
    assert!(matches!(
        fit(&config, &hourly(&y)),
        Err(ModelError::Unsupported(_))
    ));
}

#[test]
fn a_level_shift_is_followed_within_a_day() {
    let mut y = noisy(24 * 14, 3.0, 6);
    let mut state = fitted(&y);
    let shifted: Vec<f64> = noisy(24 * 2, 3.0, 7).iter().map(|v| v + 200.0).collect();
    state.update(&shifted);
    y.extend(&shifted);
    let mean = state.predict(24, &LEVELS, 1).unwrap().mean;
    let average = mean.iter().sum::<f64>() / 24.0;
    assert!((average - 300.0).abs() < 40.0, "{average}");
}

#[test]
fn a_gap_moves_time_on_and_nothing_else() {
    let y = noisy(24 * 14, 3.0, 8);
    let (mut gap, whole) = (fitted(&y), fitted(&y));
    gap.update(&[f64::NAN; 6]);
    let late = gap.predict(6, &LEVELS, 1).unwrap().mean;
    let early = whole.predict(12, &LEVELS, 1).unwrap().mean;
    for (a, b) in late.iter().zip(&early[6..]) {
        assert!((a - b).abs() < 1e-6 * b, "{a} {b}");
    }
}

#[test]
fn a_history_with_gaps_and_an_outage_is_still_forecast() {
    let mut y = noisy(24 * 14, 3.0, 9);
    y[60..70].fill(f64::NAN);
    y[150..156].fill(0.0);
    let p = fitted(&y).predict(24, &LEVELS, 1).unwrap();
    for (h, mean) in p.mean.iter().enumerate() {
        assert!((mean - day(24 * 14 + h)).abs() < 25.0, "{h}: {mean}");
    }
}

#[test]
fn a_constant_stays_constant_and_silence_stays_silent() {
    for value in [0.0, 7.0, 1e12] {
        let p = fitted(&[value; 200]).predict(30, &LEVELS, 1).unwrap();
        for v in p.mean.iter().chain(&p.quantiles) {
            assert!((v - value).abs() <= 1e-6 * value, "{v} for {value}");
        }
    }
}

#[test]
fn three_points_are_enough_for_a_wide_answer_and_two_are_not() {
    let p = fitted(&[10.0, 10.0, 10.0]).predict(5, &LEVELS, 1).unwrap();
    assert!((p.mean[0] - 10.0).abs() < 1e-9);
    assert!(
        p.quantiles[4] - p.quantiles[0] > 4.0,
        "{:?}",
        &p.quantiles[..5]
    );
    let two = fit(&Config::default(), &hourly(&[1.0, f64::NAN, 2.0]));
    assert_eq!(two, Err(ModelError::InsufficientData { have: 2, need: 3 }));
}

#[test]
fn the_interval_of_a_walk_widens_with_the_horizon() {
    let mut s = Stream::new(10);
    let mut y = 1000.0;
    let walk: Vec<f64> = (0..400)
        .map(|_| {
            y += s.normal();
            y
        })
        .collect();
    let p = fitted(&walk).predict(48, &LEVELS, 1).unwrap();
    let width = |h: usize| p.quantiles[h * 5 + 4] - p.quantiles[h * 5];
    assert!(width(47) > 3.0 * width(0), "{} {}", width(0), width(47));
}

#[test]
fn a_state_of_five_minute_data_with_two_seasons_fits_in_four_kilobytes() {
    let mut s = Stream::new(11);
    let y: Vec<f64> = (0..288 * 28)
        .map(|t| {
            let load = day(t / 12);
            let weekend = t / 288 % 7 >= 5;
            (if weekend { 0.5 * load } else { load }) + s.normal()
        })
        .collect();
    let series = Series {
        values: &y,
        start_ms: 0,
        step_s: 300,
        periods: &[],
    };
    let state = fit(&Config::default(), &series).unwrap();
    assert_eq!(
        state.base().gains().len(),
        5,
        "alpha, beta, phi, and a gain for day and week"
    );
    assert!(state.encode().unwrap().len() <= 4096);
}

#[test]
fn bytes_bring_back_the_same_state_and_damage_is_told() {
    let state = fitted(&noisy(24 * 10, 5.0, 12));
    let bytes = state.encode().unwrap();
    assert_eq!(State::decode(&bytes).unwrap(), state);
    assert_eq!(State::decode(&[]), Err(ModelError::NotFitted));
    assert!(matches!(
        State::decode(&bytes[..40]),
        Err(ModelError::InvalidInput(_))
    ));
    let newer = encode(FORMAT + 1, &0u8).unwrap();
    assert!(matches!(
        State::decode(&newer),
        Err(ModelError::Unsupported(_))
    ));
}
