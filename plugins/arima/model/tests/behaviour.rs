//! What a user of the model may count on, as sentences.

use tidegate_model_arima::{
    Choice, Config, Covariates, DifferenceChoice, ModelError, Series, State, Transform,
    TransformChoice, fit, fit_with,
};
use tidegate_model_kit::fixtures::{LEVELS, coverage, day, hourly, noisy};
use tidegate_model_kit::{Prediction, Stream};
fn series(values: &[f64], step_s: u32) -> Series<'_> {
    Series {
        values,
        start_ms: 1_700_006_400_000,
        step_s,
        periods: &[],
    }
}

tidegate_model_kit::forecaster_sentences!(
    tidegate_model_arima,
    tomorrow = 10.0,
    weekend = 20.0,
    outage = 25.0,
    constant = 1e-6,
    walk = 2.0
);

#[expect(
    clippy::unwrap_used,
    reason = "a helper of tests, outside a test function"
)]
fn fitted(values: &[f64]) -> State {
    fit(&Config::default(), &hourly(values)).unwrap()
}

#[test]
fn the_season_of_a_daily_wave_is_differenced() {
    assert_eq!(fitted(&noisy(24 * 14, 3.0, 1)).orders()[3], 1);
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
fn an_autoregression_around_a_level_is_forecast_back_to_it() {
    let mut s = Stream::new(3);
    let mut u = 0.0;
    let y: Vec<f64> = (0..600)
        .map(|_| {
            u = 0.8 * u + s.normal();
            50.0 + u
        })
        .collect();
    let state = fitted(&y);
    assert_eq!(
        state.orders()[1],
        0,
        "no differencing: {:?}",
        state.orders()
    );
    let p = state.predict(48, &LEVELS, 1).unwrap();
    assert!((p.mean[47] - 50.0).abs() < 2.0, "{}", p.mean[47]);
}

#[test]
fn spread_that_grows_with_the_level_is_fitted_in_logarithms() {
    let mut s = Stream::new(4);
    let y: Vec<f64> = (0..24 * 21)
        .map(|t| (day(t) - 55.0) * libm::exp(0.15 * s.normal()))
        .collect();
    let state = fitted(&y);
    assert_eq!(state.transform(), Transform::Log);
    let p = state.predict(24, &LEVELS, 1).unwrap();
    let width = |h: usize| p.quantiles[h * 5 + 3] - p.quantiles[h * 5 + 1];
    assert!(width(6) > 2.0 * width(18), "{} {}", width(6), width(18));
    assert_eq!(fitted(&noisy(24 * 21, 3.0, 4)).transform(), Transform::None);
}

/// Three weeks of hours; a sale of four hours doubles the load at three times that no season
/// explains, the last of them beyond the history.
fn campaigns() -> (Vec<f64>, Vec<f64>, usize) {
    let n = 24 * 21;
    let mut y = noisy(n + 24, 3.0, 5);
    let mut sale = vec![0.0; n + 24];
    for start in [200, 371, n + 6] {
        for t in start..start + 4 {
            y[t] *= 2.0;
            sale[t] = 1.0;
        }
    }
    (y, sale, n)
}

#[test]
fn a_campaign_seen_twice_is_foreseen_the_third_time_within_its_interval() {
    let (y, sale, n) = campaigns();
    let known = Covariates::new(vec![("event:sale", &sale)]);
    let past = known.rows(0..n);
    let state = fit_with(&Config::default(), &hourly(&y[..n]), &past).unwrap();
    let (factor, _) = state.uplift("sale").unwrap();
    assert!((factor - 2.0).abs() < 0.25, "{factor}");
    let p = state
        .predict_with(24, &LEVELS, 1, &known.rows(n..n + 24))
        .unwrap();
    for h in 6..10 {
        let (truth, q) = (y[n + h], &p.quantiles[h * 5..h * 5 + 5]);
        assert!(
            (p.mean[h] / truth - 1.0).abs() < 0.2,
            "{} {truth}",
            p.mean[h]
        );
        assert!(q[0] <= truth && truth <= q[4], "{truth} {q:?}");
    }
}

#[test]
fn an_event_that_was_never_seen_adds_nothing_but_width() {
    let (y, sale, n) = campaigns();
    let state = fitted(&y[..150]);
    let strange = Covariates::new(vec![("event:sale", &sale)]);
    let plain = state.predict(24, &LEVELS, 1).unwrap();
    let during = state
        .predict_with(24, &LEVELS, 1, &strange.rows(n..n + 24))
        .unwrap();
    let width = |p: &Prediction, h: usize| p.quantiles[h * 5 + 4] - p.quantiles[h * 5];
    for h in 0..24 {
        assert!((during.mean[h] - plain.mean[h]).abs() < 1e-9, "step {h}");
        let wider = width(&during, h) / width(&plain, h);
        let runs = (6..10).contains(&h);
        assert!(
            if runs { wider > 1.5 } else { wider < 1.001 },
            "{h}: {wider}"
        );
    }
}

#[test]
fn what_ran_on_most_of_the_history_is_ordinary_and_widens_nothing() {
    let (y, _, n) = campaigns();
    let always = vec![1.0; n + 24];
    let known = Covariates::new(vec![("event:migration", &always)]);
    let state = fit_with(&Config::default(), &hourly(&y[..n]), &known.rows(0..n)).unwrap();
    let during = state.predict_with(24, &LEVELS, 1, &known.rows(n..n + 24));
    assert_eq!(during.unwrap(), state.predict(24, &LEVELS, 1).unwrap());
    let (mut seen, mut told) = (state.clone(), state);
    seen.update(&y[n..]);
    told.update_with(&y[n..], &known.rows(n..n + 24));
    assert_eq!(seen, told);
}

#[test]
fn a_campaign_does_not_pollute_the_ordinary_season() {
    let (mut y, mut sale, n) = campaigns();
    // A last sale, just before the forecast begins.
    for t in n - 30..n - 20 {
        y[t] *= 3.0;
        sale[t] = 1.0;
    }
    let known = Covariates::new(vec![("event:sale", &sale[..n])]);
    let with = fit_with(&Config::default(), &hourly(&y[..n]), &known).unwrap();
    let p = with.predict(24, &LEVELS, 1).unwrap();
    for (h, mean) in p.mean.iter().enumerate() {
        let truth = day(n + h);
        assert!((mean - truth).abs() < 12.0, "step {h}: {mean} for {truth}");
    }
}

#[test]
fn an_update_during_a_campaign_teaches_the_campaign_and_not_the_level() {
    let (y, sale, n) = campaigns();
    let known = Covariates::new(vec![("event:sale", &sale)]);
    let mut state = fit_with(&Config::default(), &hourly(&y[..n]), &known.rows(0..n)).unwrap();
    state.update_with(&y[n..n + 8], &known.rows(n..n + 8));
    let next = state.points_at(&[3, 4]);
    assert!((next[0] - day(n + 10)).abs() < 15.0, "{next:?}");
}

#[test]
fn what_is_asked_for_is_what_is_fitted() {
    let y = noisy(24 * 10, 5.0, 6);
    let config = Config {
        transform: TransformChoice::Log,
        season: Choice::None,
        difference: DifferenceChoice::Once,
        max_order: 1,
        direct: Choice::None,
        ..Config::default()
    };
    let state = fit(&config, &hourly(&y)).unwrap();
    let [p, d, q, season] = state.orders();
    assert!(p <= 1 && q <= 1);
    assert_eq!((d, season, state.corrections()), (1, 0, 0));
    assert_eq!(state.transform(), Transform::Log);
    let mut zero = y;
    zero[50] = 0.0;
    let refused = fit(&config, &hourly(&zero));
    assert!(matches!(refused, Err(ModelError::Unsupported(_))));
}

#[test]
fn points_at_is_the_centre_of_the_prediction() {
    let state = fitted(&noisy(24 * 14, 3.0, 7));
    let p = state.predict(30, &LEVELS, 1).unwrap();
    for (h, point) in [1, 7, 30].iter().zip(state.points_at(&[1, 7, 30])) {
        assert!((point - p.mean[h - 1]).abs() < 1e-9);
    }
}

#[test]
fn a_level_shift_is_followed_within_a_day() {
    let mut state = fitted(&noisy(24 * 14, 3.0, 6));
    let shifted: Vec<f64> = noisy(24 * 2, 3.0, 7).iter().map(|v| v + 200.0).collect();
    state.update(&shifted);
    let mean = state.predict(24, &LEVELS, 1).unwrap().mean;
    let average = mean.iter().sum::<f64>() / 24.0;
    assert!((average - 300.0).abs() < 60.0, "{average}");
}

#[test]
fn two_weeks_of_minutes_and_of_five_minutes_fit_in_four_kilobytes() {
    for step_s in [60u32, 300] {
        let per_day = 86_400 / step_s as usize;
        let mut s = Stream::new(11);
        let y: Vec<f64> = (0..per_day * 16)
            .map(|t| day(t * 24 / per_day) + s.normal())
            .collect();
        let state = fit(&Config::default(), &series(&y, step_s)).unwrap();
        let bytes = state.encode().unwrap().len();
        assert!(bytes <= 4096, "{bytes} at {step_s} s");
    }
}

tidegate_model_kit::state_size_sentence!(tidegate_model_arima);
