//! Campaigns and holidays: what was seen twice is foreseen the third time, and an ordinary day
//! stays ordinary.

use tidegate_model_kit::Stream;
use tidegate_model_prophet::{Config, Covariates, Prediction, Series, State, fit, fit_with};

const LEVELS: [u16; 5] = [250, 1000, 5000, 9000, 9750];
const DAY: usize = 96;

/// Three weeks of quarter hours and a day to foresee.
const HISTORY: usize = 21 * DAY;

fn quarters(values: &[f64]) -> Series<'_> {
    Series {
        values,
        start_ms: 0,
        step_s: 900,
        periods: &[],
    }
}

fn ordinary(t: usize) -> f64 {
    100.0 + 50.0 * libm::sin((t % DAY) as f64 / DAY as f64 * std::f64::consts::TAU)
}

/// A campaign of three hours, at another time of the day each time; the third is tomorrow.
fn campaign(t: usize) -> f64 {
    let begins = [5 * DAY + 40, 13 * DAY + 20, HISTORY + 60];
    f64::from(u8::from(begins.iter().any(|b| (*b..b + 12).contains(&t))))
}

/// Ordinary load with noise, times or plus what the campaign brings.
fn load(seed: u64, uplift: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut s = Stream::new(seed);
    (0..HISTORY + DAY)
        .map(|t| ordinary(t) + uplift(t) + 3.0 * s.normal())
        .collect()
}

#[expect(
    clippy::unwrap_used,
    reason = "a helper of tests, outside a test function"
)]
fn foreseen(y: &[f64], column: &[f64]) -> (State, Prediction) {
    let known = Covariates::new(vec![("event:campaign", column)]);
    let rows = known.rows(0..HISTORY);
    let state = fit_with(&Config::default(), &quarters(&y[..HISTORY]), &rows).unwrap();
    let ahead = known.rows(HISTORY..HISTORY + DAY);
    let p = state.predict_with(DAY, &LEVELS, 1, &ahead).unwrap();
    (state, p)
}

fn column() -> Vec<f64> {
    (0..HISTORY + DAY).map(campaign).collect()
}

#[test]
fn a_campaign_seen_twice_is_foreseen_the_third_time() {
    let y = load(1, |t| 80.0 * campaign(t));
    let (state, p) = foreseen(&y, &column());
    let (uplift, sd) = state.uplift("campaign").unwrap();
    assert!((uplift - 80.0).abs() < 8.0, "{uplift} ± {sd}");
    assert!((uplift - 80.0).abs() < 2.0 * sd, "{uplift} ± {sd}");
    let within = (60..72)
        .filter(|h| (p.quantiles[h * 5]..=p.quantiles[h * 5 + 4]).contains(&y[HISTORY + h]))
        .count();
    assert!(within >= 11, "{within} of 12 within the 95 % interval");
    assert!(p.mean[66] - p.mean[80] - (ordinary(66) - ordinary(80)) > 60.0);
}

#[test]
fn a_campaign_that_doubles_the_load_is_learned_as_a_part_of_it() {
    // One at noon, one at night: the same part of a different load.
    let y = load(2, |t| 0.8 * ordinary(t) * campaign(t));
    let (_, p) = foreseen(&y, &column());
    for (h, mean) in p.mean.iter().enumerate().take(72).skip(60) {
        let truth = 1.8 * ordinary(HISTORY + h);
        assert!(
            (mean - truth).abs() < 0.12 * truth,
            "{h}: {mean} for {truth}"
        );
    }
}

#[test]
fn a_campaign_does_not_pollute_the_ordinary_season() {
    let (with, without) = (load(3, |t| 80.0 * campaign(t)), load(3, |_| 0.0));
    let (_, p) = foreseen(&with, &column());
    let plain = fit(&Config::default(), &quarters(&without[..HISTORY])).unwrap();
    let plain = plain.predict(DAY, &LEVELS, 1).unwrap();
    let calm = (0..DAY).filter(|h| campaign(HISTORY + h) == 0.0);
    for h in calm {
        let (a, b) = (p.mean[h], plain.mean[h]);
        assert!((a - b).abs() < 3.0, "{h}: {a} {b}");
    }
}

#[test]
fn an_event_that_was_never_seen_adds_nothing_but_width() {
    let y = load(4, |_| 0.0);
    let state = fit(&Config::default(), &quarters(&y[..HISTORY])).unwrap();
    let ones = vec![1.0; DAY];
    let known = Covariates::new(vec![("event:opening", &ones)]);
    let news = state.predict_with(DAY, &LEVELS, 1, &known).unwrap();
    let plain = state.predict(DAY, &LEVELS, 1).unwrap();
    for h in 0..DAY {
        assert!((news.mean[h] - plain.mean[h]).abs() < 1e-9, "{h}");
        let width = |p: &Prediction| p.quantiles[h * 5 + 4] - p.quantiles[h * 5];
        assert!(width(&news) > 1.5 * width(&plain), "{h}");
    }
}

#[test]
fn two_kinds_at_once_are_told_apart() {
    let holiday = |t: usize| f64::from(u8::from([3, 11, 12, 22].contains(&(t / DAY))));
    let y = load(5, |t| 80.0 * campaign(t) - 30.0 * holiday(t));
    let (sale, free): (Vec<f64>, Vec<f64>) =
        (0..HISTORY).map(|t| (campaign(t), holiday(t))).unzip();
    let known = Covariates::new(vec![("event:sale", &sale), ("event:holiday", &free)]);
    let state = fit_with(&Config::default(), &quarters(&y[..HISTORY]), &known).unwrap();
    let (sale, _) = state.uplift("sale").unwrap();
    let (free, _) = state.uplift("holiday").unwrap();
    assert!((sale - 80.0).abs() < 10.0, "{sale}");
    assert!((free + 30.0).abs() < 10.0, "{free}");
}

#[test]
fn an_event_between_fits_is_expected_and_leaves_no_trace() {
    let y = load(6, |t| 80.0 * campaign(t));
    let column = column();
    let (mut state, _) = foreseen(&y, &column);
    let known = Covariates::new(vec![("event:campaign", &column)]);
    state.update_with(&y[HISTORY..], &known.rows(HISTORY..HISTORY + DAY));
    let next = state.predict(DAY, &LEVELS, 1).unwrap();
    for h in 0..DAY {
        let truth = ordinary(HISTORY + DAY + h);
        assert!((next.mean[h] - truth).abs() < 12.0, "{h}: {}", next.mean[h]);
    }
}
