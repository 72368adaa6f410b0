//! What a user of the model may count on, as sentences.

use tidegate_model_arima::{
    Choice, Config, Covariates, DifferenceChoice, FORMAT, ModelError, Series, State, Transform,
    TransformChoice, fit, fit_with,
};
use tidegate_model_kit::{Stream, encode};

const LEVELS: [u16; 5] = [250, 1000, 5000, 9000, 9750];

fn series(values: &[f64], step_s: u32) -> Series<'_> {
    Series {
        values,
        start_ms: 1_700_006_400_000,
        step_s,
        periods: &[],
    }
}

fn hourly(values: &[f64]) -> Series<'_> {
    series(values, 3600)
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
    let state = fitted(&noisy(24 * 14, 3.0, 1));
    assert_eq!(state.orders()[3], 1, "the season is differenced");
    let p = state.predict(48, &LEVELS, 1).unwrap();
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
    let p = fitted(&y).predict(48, &LEVELS, 1).unwrap();
    let saturday_noon = 24 + 12;
    let (mean, truth) = (p.mean[saturday_noon], weekly(n + saturday_noon));
    assert!((mean - truth).abs() < 20.0, "{mean} for {truth}");
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
    let share = |k: i32| f64::from(k) / f64::from(n);
    let (c80, c95) = (share(in80), share(in95));
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
    assert!(width(47) > 2.0 * width(0), "{} {}", width(0), width(47));
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
    let width = p.quantiles[4] - p.quantiles[0];
    assert!(width > 4.0, "{:?}", &p.quantiles[..5]);
    let two = fit(&Config::default(), &hourly(&[1.0, f64::NAN, 2.0]));
    assert_eq!(two, Err(ModelError::InsufficientData { have: 2, need: 3 }));
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
