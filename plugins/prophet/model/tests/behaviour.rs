//! What a user of the model may count on, as sentences.

use tidegate_model_kit::Stream;
use tidegate_model_kit::fixtures::{LEVELS, coverage, day, hourly, noisy};
use tidegate_model_prophet::{
    Ar, Config, Covariates, Growth, Seasonality, Series, State, fit, fit_with,
};
const TAU: f64 = std::f64::consts::TAU;

tidegate_model_kit::forecaster_sentences!(
    tidegate_model_prophet,
    tomorrow = 8.0,
    weekend = 15.0,
    outage = 20.0,
    constant = 1e-4,
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
fn a_growth_that_set_in_goes_on_and_a_flat_trend_does_not() {
    let mut s = Stream::new(3);
    let n = 24 * 28;
    let grown = |t: usize| (t as f64 - 24.0 * 7.0).max(0.0) * 0.3;
    let y: Vec<f64> = (0..n).map(|t| grown(t) + day(t) + s.normal()).collect();
    let ahead = 24 * 4;
    let after = |growth| {
        let config = Config {
            growth,
            ar: Ar::None,
            ..Config::default()
        };
        let p = fit(&config, &hourly(&y)).unwrap();
        p.predict(ahead, &LEVELS, 1).unwrap().mean[ahead - 1]
    };
    let truth = grown(n + ahead - 1) + day(n + ahead - 1);
    for growth in [Growth::Auto, Growth::Linear] {
        let mean = after(growth);
        assert!(
            (mean - truth).abs() < 10.0,
            "{growth:?}: {mean} for {truth}"
        );
    }
    assert!(after(Growth::Flat) < truth - 40.0);
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
fn a_swing_that_grows_with_the_trend_is_seen_as_multiplicative_unless_told_otherwise() {
    let mut s = Stream::new(4);
    let y: Vec<f64> = (0..24 * 21)
        .map(|t| (1.0 + t as f64 / 100.0) * day(t) * (1.0 + 0.03 * s.normal()))
        .collect();
    assert!(fitted(&y).is_multiplicative());
    let config = Config {
        seasonality: Seasonality::Additive,
        ..Config::default()
    };
    assert!(!fit(&config, &hourly(&y)).unwrap().is_multiplicative());
}

#[test]
fn the_level_of_the_newest_errors_is_carried_on_unless_switched_off() {
    // A level that wanders: an hour ahead, where it is now says the most.
    let mut s = Stream::new(5);
    let (mut level, mut carried, mut plain) = (0.0, 0.0, 0.0);
    let y: Vec<f64> = (0..24 * 28)
        .map(|t| {
            level = 0.95 * level + 5.0 * s.normal();
            day(t) + level
        })
        .collect();
    let none = Config {
        ar: Ar::None,
        ..Config::default()
    };
    let cut = 24 * 21;
    let mut with = fitted(&y[..cut]);
    let mut without = fit(&none, &hourly(&y[..cut])).unwrap();
    for v in &y[cut..] {
        carried += (with.predict(1, &LEVELS, 1).unwrap().mean[0] - v).abs();
        plain += (without.predict(1, &LEVELS, 1).unwrap().mean[0] - v).abs();
        with.update(&[*v]);
        without.update(&[*v]);
    }
    assert!(carried < 0.6 * plain, "{carried} {plain}");
}

#[test]
fn a_level_shift_is_followed_within_a_day() {
    let mut state = fitted(&noisy(24 * 14, 3.0, 6));
    let shifted: Vec<f64> = noisy(24 * 2, 3.0, 7).iter().map(|v| v + 200.0).collect();
    state.update(&shifted[..24]);
    let mean = state.predict(24, &LEVELS, 1).unwrap().mean;
    let average = mean.iter().sum::<f64>() / 24.0;
    assert!((average - 300.0).abs() < 40.0, "{average}");
}

#[test]
fn one_spike_moves_the_next_forecast_little_and_the_fit_less() {
    let mut y = noisy(24 * 14, 3.0, 8);
    let mut state = fitted(&y);
    let plain = state.predict(24, &LEVELS, 1).unwrap().mean;
    state.update(&[1500.0, day(1), day(2)]);
    let after = state.predict(21, &LEVELS, 1).unwrap().mean;
    for (a, b) in after.iter().zip(&plain[3..]) {
        assert!((a - b).abs() < 20.0, "{a} {b}");
    }
    y[200] = 1500.0;
    let spiked = fitted(&y).predict(24, &LEVELS, 1).unwrap().mean;
    for (a, b) in spiked.iter().zip(&plain) {
        assert!((a - b).abs() < 8.0, "{a} {b}");
    }
}

#[test]
fn a_gap_moves_time_on_and_nothing_else() {
    let y = noisy(24 * 14, 3.0, 9);
    let (mut gap, whole) = (fitted(&y), fitted(&y));
    gap.update(&[f64::NAN; 6]);
    let late = gap.predict(6, &LEVELS, 1).unwrap().mean;
    let early = whole.predict(12, &LEVELS, 1).unwrap().mean;
    for (a, b) in late.iter().zip(&early[6..]) {
        assert!((a - b).abs() < 1e-6 * b, "{a} {b}");
    }
}

#[test]
fn a_beginning_before_the_api_was_born_is_not_learned_as_load() {
    let mut y = vec![0.0; 24 * 14];
    y.extend(noisy(24 * 7, 3.0, 11));
    let p = fitted(&y).predict(24, &LEVELS, 1).unwrap();
    for (h, (mean, q)) in p.mean.iter().zip(p.quantiles.chunks(5)).enumerate() {
        assert!((mean - day(24 * 21 + h)).abs() < 15.0, "{h}: {mean}");
        assert!(q[4] - q[0] < 60.0, "{h}: {q:?}");
    }
}

#[test]
fn two_hours_of_ten_second_steps_are_a_cold_start_that_knows_its_level() {
    let mut s = Stream::new(17);
    let y: Vec<f64> = (0..720).map(|_| 50.0 + 2.0 * s.normal()).collect();
    let series = Series {
        values: &y,
        start_ms: 0,
        step_s: 10,
        periods: &[],
    };
    let state = fit(&Config::default(), &series).unwrap();
    let p = state.predict(360, &LEVELS, 1).unwrap();
    for (mean, q) in p.mean.iter().zip(p.quantiles.chunks(5)) {
        assert!((mean - 50.0).abs() < 2.0, "{mean}");
        assert!((3.0..15.0).contains(&(q[3] - q[1])), "{q:?}");
    }
}

#[test]
fn four_years_of_hours_are_fitted_on_coarser_bins() {
    let y = noisy(24 * 365 * 4, 3.0, 18);
    let p = fitted(&y).predict(24, &LEVELS, 1).unwrap();
    for (h, mean) in p.mean.iter().enumerate() {
        assert!((mean - day(y.len() + h)).abs() < 5.0, "{h}: {mean}");
    }
}

#[test]
fn two_years_show_a_year() {
    let mut s = Stream::new(13);
    let summer = |t: usize| 30.0 * libm::sin(t as f64 / (24.0 * 365.25) * TAU);
    let n = 24 * 760;
    let y: Vec<f64> = (0..n)
        .map(|t| day(t) + summer(t) + 3.0 * s.normal())
        .collect();
    // Three months on, where the trend of the last weeks would have gone far astray.
    let ahead = 24 * 90;
    let config = Config {
        growth: Growth::Flat,
        ..Config::default()
    };
    let p = fit(&config, &hourly(&y)).unwrap();
    let mean = p.predict(ahead, &LEVELS, 1).unwrap().mean[ahead - 1];
    let truth = day(n + ahead - 1) + summer(n + ahead - 1);
    assert!((mean - truth).abs() < 10.0, "{mean} for {truth}");
}

#[test]
fn daylight_saving_moves_the_day_where_the_calendar_is_known() {
    // From day 15 on, clocks stand one hour ahead, and so does life.
    let local = |t: usize| if t < 24 * 15 { t } else { t + 1 };
    let minute: Vec<f64> = (0..24 * 17)
        .map(|t| (local(t) % 24) as f64 * 60.0)
        .collect();
    let weekday: Vec<f64> = (0..24 * 17).map(|t| (local(t) / 24 % 7) as f64).collect();
    let all = Covariates::new(vec![("minute-of-day", &minute), ("day-of-week", &weekday)]);
    let mut s = Stream::new(14);
    let cut = 24 * 15;
    let y: Vec<f64> = (0..cut).map(|t| day(t) + s.normal()).collect();
    let state = fit_with(&Config::default(), &hourly(&y), &all.rows(0..cut)).unwrap();
    let rows = all.rows(cut..cut + 24);
    let known = state.predict_with(24, &LEVELS, 1, &rows).unwrap().mean;
    let absolute = state.predict(24, &LEVELS, 1).unwrap().mean;
    for (h, mean) in known.iter().enumerate() {
        let truth = day(local(cut + h));
        assert!((mean - truth).abs() < 4.0, "{h}: {mean} for {truth}");
    }
    assert!((absolute[0] - day(cut)).abs() < 4.0, "{}", absolute[0]);
}

#[test]
fn a_state_of_five_minute_data_with_two_seasons_and_events_fits_in_four_kilobytes() {
    let mut s = Stream::new(15);
    let n = 288 * 28;
    let y: Vec<f64> = (0..n)
        .map(|t| {
            let load = day(t / 12);
            let weekend = t / 288 % 7 >= 5;
            (if weekend { 0.5 * load } else { load }) + s.normal()
        })
        .collect();
    let names: Vec<String> = (0..8)
        .map(|k| format!("event:campaign number {k}"))
        .collect();
    let columns: Vec<Vec<f64>> = (0..8)
        .map(|k| {
            (0..n)
                .map(|t| f64::from(u8::from(t / 36 % 32 == k)))
                .collect()
        })
        .collect();
    let known = Covariates::new(
        names
            .iter()
            .map(String::as_str)
            .zip(columns.iter().map(Vec::as_slice))
            .collect(),
    );
    let series = Series {
        values: &y,
        start_ms: 0,
        step_s: 300,
        periods: &[],
    };
    let state = fit_with(&Config::default(), &series, &known).unwrap();
    let size = state.encode().unwrap().len();
    assert!(size <= 4096, "{size}");
}

tidegate_model_kit::state_size_sentence!(tidegate_model_prophet);
