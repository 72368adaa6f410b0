//! What a user of the model may count on, as sentences.

use tidegate_model_ets::{
    Class, Config, ErrorChoice, ErrorKind, ModelError, SeasonChoice, SeasonKind, Series, State,
    TrendChoice, TrendKind, fit,
};
use tidegate_model_kit::Stream;
use tidegate_model_kit::fixtures::{LEVELS, coverage, day, hourly, noisy};

tidegate_model_kit::forecaster_sentences!(
    tidegate_model_ets,
    tomorrow = 10.0,
    weekend = 15.0,
    outage = 25.0,
    constant = 1e-6,
    walk = 3.0
);

#[expect(
    clippy::unwrap_used,
    reason = "a helper of tests, outside a test function"
)]
fn fitted(values: &[f64]) -> State {
    fit(&Config::default(), &hourly(values)).unwrap()
}

#[test]
fn intervals_hold_what_they_promise_on_their_own_kind_of_data() {
    let predict = |past: &[f64], seed| {
        let state = fitted(past);
        state.predict(24, &LEVELS, seed).unwrap().quantiles
    };
    let (c80, c95) = coverage(40, |seed| noisy(24 * 10 + 24, 8.0, seed), predict);
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

tidegate_model_kit::state_size_sentence!(tidegate_model_ets);
