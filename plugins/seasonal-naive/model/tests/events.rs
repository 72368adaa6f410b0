//! Declared events around the model: foreseen, and kept out of the ordinary season.

use tidegate_model_kit::{Covariates, Series, Stream};
use tidegate_model_seasonal_naive::{
    Config, FORMAT, ModelError, State, fit_plain, fit_with, migrate,
};

const LEVELS: [u16; 5] = [250, 1000, 5000, 9000, 9750];
const DAYS: usize = 28;

fn hourly(values: &[f64]) -> Series<'_> {
    Series {
        values,
        start_ms: 0,
        step_s: 3600,
        periods: &[],
    }
}

fn ordinary(t: usize) -> f64 {
    // Up to noon and down again.
    let hour = (t % 24) as f64;
    140.0 - 5.0 * (hour - 12.0).abs()
}

/// A campaign from nine to one on some days.
fn campaign(rows: std::ops::Range<usize>, days: &[usize]) -> Vec<f64> {
    let on = |t: usize| days.contains(&(t / 24)) && (9..13).contains(&(t % 24));
    rows.map(|t| f64::from(u8::from(on(t)))).collect()
}

/// Four weeks of a daily wave, which a campaign on the 12th and the 22nd day doubles.
fn history() -> (Vec<f64>, Vec<f64>) {
    let sale = campaign(0..DAYS * 24, &[12, 22]);
    let mut s = Stream::new(3);
    let y = sale
        .iter()
        .enumerate()
        .map(|(t, on)| ordinary(t) * (1.0 + on) * (1.0 + 0.04 * s.normal()))
        .collect();
    (y, sale)
}

#[test]
fn a_campaign_seen_twice_is_foreseen_the_third_time() {
    let (y, sale) = history();
    let known = Covariates::new(vec![("event:sale", &sale)]);
    let state = fit_with(&Config::default(), &hourly(&y), &known).unwrap();
    let (factor, _) = state.factor("sale").unwrap();
    assert!((factor - 1.95).abs() < 0.15, "{factor}");
    let n = DAYS * 24;
    let next = campaign(n..n + 24, &[DAYS]);
    let known = Covariates::new(vec![("event:sale", &next)]);
    let p = state.predict_with(24, &LEVELS, 1, &known).unwrap();
    for h in 9..13 {
        let (truth, q) = (2.0 * ordinary(h), &p.quantiles[h * 5..h * 5 + 5]);
        assert!(q[1] < truth && truth < q[3], "{truth} outside {q:?}");
        assert!((p.mean[h] / truth - 1.0).abs() < 0.15, "{}", p.mean[h]);
    }
    // Before and after it, nothing is different.
    let plain = state.predict(24, &LEVELS, 1).unwrap();
    assert_eq!(plain.mean[..9], p.mean[..9]);
    assert_eq!(plain.mean[13..], p.mean[13..]);
}

#[test]
fn a_campaign_leaves_the_ordinary_season_alone() {
    let (mut y, sale) = history();
    let known = Covariates::new(vec![("event:sale", &sale)]);
    let mut state = fit_with(&Config::default(), &hourly(&y), &known).unwrap();
    let n = DAYS * 24;
    let next = campaign(n..n + 24, &[DAYS]);
    let known = Covariates::new(vec![("event:sale", &next)]);
    let day: Vec<f64> = (0..24).map(|h| ordinary(h) * (1.0 + next[h])).collect();
    state.update_with(&day, &known);

    // The same with holes where the campaigns were.
    let hole = |v: &mut f64, on: &f64| {
        if *on > 0.0 {
            *v = f64::NAN;
        }
    };
    y.iter_mut().zip(&sale).for_each(|(v, on)| hole(v, on));
    let mut holes = fit_plain(&Config::default(), &hourly(&y)).unwrap();
    let mut day = day;
    day.iter_mut().zip(&next).for_each(|(v, on)| hole(v, on));
    holes.update(&day);
    assert_eq!(state.base(), &holes);
    assert_eq!(
        state.predict(24, &LEVELS, 1).unwrap(),
        holes.predict(24, &LEVELS, 1).unwrap()
    );
}

#[test]
fn without_events_every_bit_is_that_of_the_plain_model() {
    let (y, _) = history();
    let silent = vec![0.0; y.len()];
    let known = Covariates::new(vec![("event:sale", &silent), ("day-of-week", &silent)]);
    let mut state = fit_with(&Config::default(), &hourly(&y), &known).unwrap();
    let mut plain = fit_plain(&Config::default(), &hourly(&y)).unwrap();
    state.update_with(&y[..40], &known.rows(0..40));
    plain.update(&y[..40]);
    assert_eq!(
        state
            .predict_with(48, &LEVELS, 9, &known.rows(0..48))
            .unwrap(),
        plain.predict(48, &LEVELS, 9).unwrap()
    );
}

/// A state of format 1: hours 0 to 71 of `100 + 10 (t mod 6) + (7 t mod 5)` with a season of 6.
const BEFORE_EVENTS: &[u8] = &[
    1, 0, 0, 0, 0, 0, 0, 80, 64, 200, 128, 128, 84, 6, 0, 0, 204, 63, 0, 0, 228, 63, 0, 0, 242, 63,
    0, 0, 5, 64, 0, 0, 12, 64, 0, 0, 24, 64, 3, 1, 13, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 64, 189,
    0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 0, 0, 0, 0, 0, 61, 0, 0, 0, 61, 0, 0, 0, 61,
    0, 0, 0, 61, 0, 0, 0, 61, 0, 0, 0, 61, 2, 13, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 64, 189, 0,
    0, 64, 189, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 0, 0, 0, 0, 0, 61, 0, 0, 128, 61, 0, 0, 128,
    61, 0, 0, 128, 61, 0, 0, 128, 61, 0, 0, 128, 61, 4, 13, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 64,
    189, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 64, 189, 0, 0, 0, 0, 0, 0, 64, 61, 0, 0, 128, 61, 0,
    0, 128, 61, 0, 0, 128, 61, 0, 0, 128, 61, 0, 0, 128, 61,
];

#[test]
fn a_state_from_before_events_is_read_and_says_what_it_said() {
    let state = migrate(1, BEFORE_EVENTS).unwrap();
    let p = state.predict(4, &[1000, 9000], 1).unwrap();
    let (mean, quantiles) = (
        [102.0, 114.0, 121.0, 133.0],
        [99.0, 104.0, 111.0, 116.0, 118.0, 123.0, 130.0, 135.0],
    );
    for (now, then) in p
        .mean
        .iter()
        .zip(mean)
        .chain(p.quantiles.iter().zip(quantiles))
    {
        assert!((now - then).abs() < 1e-9, "{now} was {then}");
    }
    let bytes = state.encode().unwrap();
    assert_eq!(State::decode(&bytes), Ok(state));
    assert!(State::decode(BEFORE_EVENTS).is_err());
    let odd = migrate(FORMAT + 1, BEFORE_EVENTS);
    assert!(matches!(odd, Err(ModelError::Unsupported(_))));
}
