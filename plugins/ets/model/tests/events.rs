//! Declared events around the model: foreseen, and kept out of the ordinary season.

use tidegate_model_ets::{Config, FORMAT, ModelError, State, fit_plain, fit_with, migrate};
use tidegate_model_kit::{Covariates, Series, Stream};

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
    let hour = (t % 24) as f64;
    100.0 + 40.0 * libm::sin(hour / 24.0 * std::f64::consts::TAU)
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
    1, 0, 0, 1, 70, 228, 51, 86, 111, 44, 32, 63, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    123, 120, 172, 190, 218, 196, 255, 63, 0, 0, 0, 0, 0, 0, 0, 0, 1, 6, 1, 70, 99, 139, 236, 43,
    32, 63, 6, 133, 86, 201, 190, 76, 141, 108, 190, 122, 161, 157, 189, 27, 5, 164, 61, 166, 8,
    110, 62, 11, 254, 198, 62, 200, 128, 128, 84, 0, 0, 0, 0, 0, 0, 80, 64, 54, 94, 164, 181, 45,
    58, 151, 63, 35, 49, 9, 67, 213, 128, 197, 191, 0, 4, 1, 189, 164, 93, 63, 105, 65, 146, 63,
    24, 87, 134, 63, 195, 239, 94, 63, 2, 224, 138, 109, 63, 147, 173, 148, 63, 237, 47, 138, 63,
    79, 76, 110, 63, 4, 251, 187, 138, 63, 158, 96, 157, 63, 88, 183, 145, 63, 2, 94, 136, 63, 8,
    250, 51, 187, 63, 115, 21, 174, 63, 237, 232, 171, 63, 242, 243, 185, 63, 144, 3,
];

#[test]
fn a_state_from_before_events_is_read_and_says_what_it_said() {
    let state = migrate(1, BEFORE_EVENTS).unwrap();
    let p = state.predict(4, &[1000, 9000], 1).unwrap();
    let (mean, quantiles) = (
        [
            101.90860525935015,
            112.29135481684527,
            122.14988962977252,
            132.2014743503841,
        ],
        [
            99.78283490618922,
            103.8611911048468,
            110.13037406459321,
            114.29985541818716,
            119.91494479496274,
            124.22240323225915,
            129.9140511581035,
            134.31940590525116,
        ],
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
