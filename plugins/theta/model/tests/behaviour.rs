//! What a user of the model may count on, as sentences.

use tidegate_model_kit::Stream;
use tidegate_model_kit::fixtures::{LEVELS, coverage, day, hourly, noisy};
use tidegate_model_theta::{
    Choice, Config, ModelError, Noise, SeasonChoice, SeasonKind, Series, State, fit,
};

tidegate_model_kit::forecaster_sentences!(
    tidegate_model_theta,
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

/// A wave whose level wanders and comes back within about ten hours.
fn wandering(n: usize, seed: u64) -> Vec<f64> {
    let (mut s, mut off) = (Stream::new(seed), 0.0);
    (0..n)
        .map(|t| {
            off = 0.9 * off + 5.0 * s.normal();
            day(t) + off
        })
        .collect()
}

#[test]
fn a_level_off_its_mean_is_carried_for_hours_and_not_for_a_day() {
    let state = fitted(&wandering(24 * 28, 3));
    let weights: Vec<f64> = state.base().thetas().iter().map(|t| t.2).collect();
    let far = state
        .base()
        .thetas()
        .iter()
        .position(|t| t.0 == 32)
        .unwrap();
    assert!(weights[0] > 0.6, "{weights:?}");
    assert!(weights[far] < 0.4, "{weights:?}");
    let kept = Config {
        reversion: Choice::None,
        ..Config::default()
    };
    let state = fit(&kept, &hourly(&wandering(24 * 28, 3))).unwrap();
    assert!(
        state
            .base()
            .thetas()
            .iter()
            .all(|t| (t.2 - 1.0).abs() < 1e-9)
    );
}

#[test]
fn steady_growth_is_continued_and_a_level_load_does_not_drift() {
    let mut s = Stream::new(4);
    let n = 24 * 28;
    let rising: Vec<f64> = (0..n)
        .map(|t| day(t) + 0.5 * t as f64 + s.normal())
        .collect();
    let state = fitted(&rising);
    assert!(state.base().drift() > 0.0, "{}", state.base().drift());
    let p = state.predict(48, &LEVELS, 1).unwrap();
    let truth: f64 = (n..n + 48).map(|t| day(t) + 0.5 * t as f64).sum::<f64>() / 48.0;
    let mean = p.mean.iter().sum::<f64>() / 48.0;
    assert!((mean - truth).abs() < 30.0, "{mean} for {truth}");
    assert!(fitted(&noisy(n, 3.0, 4)).base().drift().abs() < 1e-12);
}

#[test]
fn intervals_hold_what_they_promise_on_their_own_kind_of_data() {
    let predict = |past: &[f64], seed| {
        let state = fitted(past);
        state.predict(24, &LEVELS, seed).unwrap().quantiles
    };
    let (c80, c95) = coverage(40, |seed| wandering(24 * 21 + 24, seed), predict);
    assert!((0.74..=0.90).contains(&c80), "{c80}");
    assert!((0.90..=0.99).contains(&c95), "{c95}");
}

#[test]
fn growth_in_proportion_is_seen_as_a_multiplicative_season_with_noise_to_match() {
    let mut s = Stream::new(5);
    let y: Vec<f64> = (0..24 * 28)
        .map(|t| (1.0 + t as f64 / 100.0) * day(t) * libm::exp(0.1 * s.normal()))
        .collect();
    let state = fitted(&y);
    assert_eq!(state.base().season(), SeasonKind::Multiplicative);
    assert_eq!(state.base().noise(), Noise::Proportional);
}

#[test]
fn a_demanded_season_is_fitted_and_refused_where_values_touch_zero() {
    let of = |season| Config {
        season,
        ..Config::default()
    };
    let mut y = noisy(24 * 14, 3.0, 6);
    let kind = |c: SeasonChoice, y: &[f64]| fit(&of(c), &hourly(y)).map(|s| s.base().season());
    assert_eq!(kind(SeasonChoice::None, &y), Ok(SeasonKind::None));
    assert_eq!(
        kind(SeasonChoice::Multiplicative, &y),
        Ok(SeasonKind::Multiplicative)
    );
    y[50] = 0.0;
    assert_eq!(kind(SeasonChoice::Auto, &y), Ok(SeasonKind::Additive));
    assert!(matches!(
        kind(SeasonChoice::Multiplicative, &y),
        Err(ModelError::Unsupported(_))
    ));
}

#[test]
fn a_level_shift_is_followed_within_a_day() {
    let mut state = fitted(&noisy(24 * 14, 3.0, 7));
    let shifted: Vec<f64> = noisy(24, 3.0, 8).iter().map(|v| v + 200.0).collect();
    state.update(&shifted);
    let mean = state.predict(24, &LEVELS, 1).unwrap().mean;
    assert!((mean[0] - 300.0).abs() < 60.0, "{}", mean[0]);
    let average = mean.iter().sum::<f64>() / 24.0;
    assert!((average - 300.0).abs() < 80.0, "{average}");
}

#[test]
fn a_gap_moves_time_on_and_nothing_else() {
    let y = noisy(24 * 14, 3.0, 9);
    let (mut gap, whole) = (fitted(&y), fitted(&y));
    gap.update(&[f64::NAN; 168]);
    // A week later the season stands where it stood, and the levels have not moved.
    let late = gap.predict(6, &LEVELS, 1).unwrap().mean;
    let early = whole.predict(6, &LEVELS, 1).unwrap().mean;
    for (a, b) in late.iter().zip(&early) {
        assert!((a - b).abs() < 1e-6 * b, "{a} {b}");
    }
}

#[test]
fn a_state_of_five_minute_data_with_two_seasons_fits_in_a_kilobyte() {
    let mut s = Stream::new(12);
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
    let bytes = fit(&Config::default(), &series).unwrap().encode().unwrap();
    // A day of 288 phases and a week of 168 hours, about a byte each, and what else there is.
    assert!((400..=1024).contains(&bytes.len()), "{}", bytes.len());
}

tidegate_model_kit::state_size_sentence!(tidegate_model_theta);
