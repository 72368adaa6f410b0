//! What a user of the model may count on, as sentences.

use tidegate_model_kit::fixtures::{LEVELS, coverage, hourly};
use tidegate_model_kit::{Stream, encode};
use tidegate_model_seasonal_naive::{Config, FORMAT, ModelError, SeasonChoice, State, fit};

#[expect(
    clippy::unwrap_used,
    reason = "a helper of tests, outside a test function"
)]
fn fitted(values: &[f64]) -> State {
    fit(&Config::default(), &hourly(values)).unwrap()
}

fn wave(t: usize) -> f64 {
    100.0 + ((t % 24) as f64 - 12.0).abs() * 5.0
}

fn noisy(n: usize, seed: u64) -> Vec<f64> {
    let mut s = Stream::new(seed);
    (0..n).map(|t| wave(t) + 4.0 * s.normal()).collect()
}

#[test]
fn tomorrow_repeats_today_in_phase() {
    let y: Vec<f64> = (0..24 * 7 + 5).map(wave).collect();
    let state = fitted(&y);
    assert_eq!(state.base().period(), 24);
    let p = state.predict(48, &LEVELS, 0).unwrap();
    for (h, mean) in p.mean.iter().enumerate() {
        assert!((mean - wave(y.len() + h)).abs() < 1e-4, "step {h}");
    }
}

#[test]
fn an_update_is_what_is_repeated_next() {
    let mut state = fitted(&noisy(24 * 7, 1));
    let today: Vec<f64> = (0..24).map(|h| 500.0 + f64::from(h)).collect();
    state.update(&today);
    let p = state.predict(24, &LEVELS, 0).unwrap();
    assert_eq!(p.mean, today);
}

#[test]
fn a_missing_step_keeps_the_day_before() {
    let y: Vec<f64> = (0..24 * 7).map(wave).collect();
    let mut state = fitted(&y);
    state.update(&[f64::NAN; 24]);
    let p = state.predict(24, &LEVELS, 0).unwrap();
    assert!(
        p.mean
            .iter()
            .enumerate()
            .all(|(h, m)| (m - wave(h)).abs() < 1e-4)
    );
}

#[test]
fn intervals_hold_what_they_promise_on_their_own_kind_of_data() {
    let predict = |past: &[f64], _| fitted(past).predict(24, &LEVELS, 0).unwrap().quantiles;
    let (c80, c95) = coverage(40, |seed| noisy(24 * 15, seed), predict);
    assert!((0.76..=0.84).contains(&c80), "{c80}");
    assert!((0.93..=0.97).contains(&c95), "{c95}");
}

#[test]
fn the_interval_never_narrows_with_the_days_ahead() {
    let p = fitted(&noisy(24 * 30, 3))
        .predict(24 * 10, &LEVELS, 0)
        .unwrap();
    let width = |d: usize| p.quantiles[d * 24 * 5 + 4] - p.quantiles[d * 24 * 5];
    for d in 1..10 {
        assert!(width(d) >= width(d - 1) - 1e-9, "day {d}");
    }
    assert!(width(9) > width(0));
}

#[test]
fn three_points_are_enough_for_a_wide_answer_and_two_are_not() {
    let p = fitted(&[10.0, 10.0, 10.0]).predict(5, &LEVELS, 0).unwrap();
    assert!((p.mean[0] - 10.0).abs() < 1e-5);
    assert!(
        p.quantiles[4] - p.quantiles[0] > 4.0,
        "{:?}",
        &p.quantiles[..5]
    );
    let two = fit(&Config::default(), &hourly(&[1.0, f64::NAN, 2.0]));
    assert_eq!(two, Err(ModelError::InsufficientData { have: 2, need: 3 }));
}

#[test]
fn a_constant_stays_constant_and_silence_stays_silent() {
    for value in [0.0, 8.0, 1e12] {
        let p = fitted(&[value; 200]).predict(30, &LEVELS, 0).unwrap();
        for v in p.mean.iter().chain(&p.quantiles) {
            assert!((v - value).abs() <= 1e-6 * value, "{v} for {value}");
        }
    }
}

#[test]
fn a_demanded_season_is_repeated_where_the_history_holds_it() {
    let y = noisy(24 * 14, 4);
    let period = |season| {
        let config = Config {
            season,
            ..Config::default()
        };
        fit(&config, &hourly(&y)).unwrap().base().period()
    };
    assert_eq!(period(SeasonChoice::None), 1);
    assert_eq!(period(SeasonChoice::Shortest), 24);
    assert_eq!(period(SeasonChoice::Longest), 168);
}

#[test]
fn bytes_bring_back_the_same_state_and_damage_is_told() {
    let state = fitted(&noisy(24 * 10, 5));
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

tidegate_model_kit::state_size_sentence!(tidegate_model_seasonal_naive);
