//! What a user of the combination may count on, as sentences.

use tidegate_model_ensemble::{
    Config, Covariates, Kind, ModelError, Series, State, Trust, fit, fit_with,
};
use tidegate_model_kit::{Prediction, Stream};

const LEVELS: [u16; 5] = [250, 1000, 5000, 9000, 9750];
const DAY: usize = 96;

fn quarters(values: &[f64]) -> Series<'_> {
    Series {
        values,
        start_ms: 1_700_006_400_000,
        step_s: 900,
        periods: &[],
    }
}

/// A daily wave with noise of a tenth.
fn wave(n: usize, seed: u64) -> Vec<f64> {
    let mut chance = Stream::new(seed);
    let at = |t: usize| {
        let turn = (t % DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
        100.0 - 50.0 * libm::cos(turn)
    };
    (0..n)
        .map(|t| at(t) * (1.0 + 0.05 * chance.normal()))
        .collect()
}

fn only(kind: Kind) -> Config {
    let full = Trust {
        near: 1.0,
        far: 1.0,
    };
    let trust = |k| if k == kind { full } else { Trust::NONE };
    Config {
        theta: trust(Kind::Theta),
        arima: trust(Kind::Arima),
        prophet: trust(Kind::Prophet),
        seasonal_naive: trust(Kind::SeasonalNaive),
        ets: trust(Kind::Ets),
        sharpness: 1.0,
        width: Trust {
            near: 1.0,
            far: 1.0,
        },
    }
}

fn loss(actual: &[f64], p: &Prediction) -> f64 {
    let off = actual.iter().zip(&p.mean).map(|(a, m)| (a - m).abs());
    off.sum::<f64>() / actual.len() as f64
}

#[test]
fn an_api_that_nobody_configured_gets_four_members() {
    let y = wave(14 * DAY, 1);
    let state = fit(&Config::default(), &quarters(&y)).unwrap();
    let names: Vec<_> = state.members().map(Kind::name).collect();
    assert_eq!(names, ["theta", "arima", "prophet", "seasonal-naive"]);
}

#[test]
fn a_single_member_answers_as_itself() {
    let y = wave(10 * DAY, 2);
    let state = fit(&only(Kind::Theta), &quarters(&y)).unwrap();
    let p = state.predict(DAY, &LEVELS, 7).unwrap();
    let theta = tidegate_model_theta::fit(&tidegate_model_theta::Config::default(), &quarters(&y));
    let q = theta.unwrap().predict(DAY, &LEVELS, 7).unwrap();
    for (a, b) in p
        .mean
        .iter()
        .chain(&p.quantiles)
        .zip(q.mean.iter().chain(&q.quantiles))
    {
        assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a} {b}");
    }
}

#[test]
fn together_they_err_no_more_than_the_mean_of_them() {
    let (mut together, mut apart) = (0.0, 0.0);
    for seed in 0..4 {
        let y = wave(12 * DAY, 10 + seed);
        let (past, future) = y.split_at(11 * DAY);
        let predict = |config: &Config| {
            let state = fit(config, &quarters(past)).unwrap();
            loss(future, &state.predict(DAY, &LEVELS, 1).unwrap())
        };
        together += predict(&Config::default());
        let kinds = [Kind::Theta, Kind::Arima, Kind::Prophet, Kind::SeasonalNaive];
        apart += kinds.map(|k| predict(&only(k))).iter().sum::<f64>() / 4.0;
    }
    assert!(together < apart, "{together} against {apart}");
}

#[test]
fn twelve_steps_are_the_beginning_of_a_day() {
    let state = fit(&Config::default(), &quarters(&wave(9 * DAY, 3))).unwrap();
    let short = state.predict(12, &[5000, 9000], 1).unwrap();
    let long = state.predict(DAY, &[5000, 9000], 1).unwrap();
    for (a, b) in short.quantiles.iter().zip(&long.quantiles) {
        // Members that simulate spend their draws on the horizon that is asked.
        assert!((a - b).abs() < 0.02 * b, "{a} {b}");
    }
}

#[test]
fn one_level_alone_is_the_same_as_among_others() {
    let state = fit(&Config::default(), &quarters(&wave(9 * DAY, 4))).unwrap();
    let alone = state.predict(24, &[9900], 1).unwrap();
    let among = state.predict(24, &[500, 1000, 9900], 1).unwrap();
    let last: Vec<u64> = among.quantiles.chunks(3).map(|q| q[2].to_bits()).collect();
    let one: Vec<u64> = alone.quantiles.iter().map(|q| q.to_bits()).collect();
    assert_eq!(one, last);
}

#[test]
fn a_campaign_seen_twice_is_foreseen_and_does_not_pollute_the_season() {
    let mut y = wave(15 * DAY, 5);
    let mut sale = vec![0.0; y.len()];
    let at = |day: usize| day * DAY + 40..day * DAY + 52;
    for day in [4, 9, 14] {
        for t in at(day) {
            sale[t] = 1.0;
            y[t] *= 3.0;
        }
    }
    let now = 14 * DAY;
    let known = Covariates::new(vec![("event:sale", &sale[..now])]);
    let state = fit_with(&Config::default(), &quarters(&y[..now]), &known).unwrap();
    let ahead = Covariates::new(vec![("event:sale", &sale[now..])]);
    let with = state.predict_with(DAY, &LEVELS, 1, &ahead).unwrap();
    let without = state.predict(DAY, &LEVELS, 1).unwrap();
    let quiet = fit(&Config::default(), &quarters(&wave(14 * DAY, 5))).unwrap();
    let plain = quiet.predict(DAY, &LEVELS, 1).unwrap();
    for (row, t) in at(14).enumerate() {
        let step = 40 + row;
        let q = &with.quantiles[step * 5..step * 5 + 5];
        assert!(
            q[0] <= y[t] && y[t] <= q[4],
            "step {step}: {} outside {q:?}",
            y[t]
        );
        let uplift = with.mean[step] / without.mean[step];
        assert!((2.5..3.5).contains(&uplift), "uplift {uplift}");
    }
    for step in 0..DAY {
        let (a, b) = (without.mean[step], plain.mean[step]);
        assert!(
            (a - b).abs() < 0.1 * b,
            "step {step}: {a} with campaigns in the past, {b} without"
        );
    }
}

#[test]
fn a_member_that_cannot_be_fitted_stands_aside() {
    let y = [5.0, 6.0, 5.5, 6.5];
    let state = fit(&Config::default(), &quarters(&y)).unwrap();
    assert!(state.members().count() >= 1);
    let p = state.predict(4, &LEVELS, 1).unwrap();
    assert!(
        p.mean.iter().all(|m| (2.0..12.0).contains(m)),
        "{:?}",
        p.mean
    );
    assert!(matches!(
        fit(&Config::default(), &quarters(&y[..2])),
        Err(ModelError::InsufficientData { .. })
    ));
}

#[test]
fn a_state_of_unknown_members_is_refused() {
    let bytes = fit(&Config::default(), &quarters(&wave(3 * DAY, 6)))
        .unwrap()
        .encode()
        .unwrap();
    assert!(State::decode(&bytes).is_ok());
    assert!(matches!(
        State::decode(&bytes[..bytes.len() - 1]),
        Err(ModelError::InvalidInput(_))
    ));
    assert_eq!(State::decode(&[]), Err(ModelError::NotFitted));
}

tidegate_model_kit::state_size_sentence!(tidegate_model_ensemble);

/// Two weeks of five minutes: quiet, but in a fifth of the steps for jumps of hundreds of times that.
fn jumping(n: usize, seed: u64) -> Vec<f64> {
    let mut chance = Stream::new(seed);
    (0..n)
        .map(|_| {
            let quiet = 1.0 + 0.01 * chance.normal().abs();
            let jumps = chance.uniform() < 0.22;
            quiet
                + if jumps {
                    libm::exp(5.0 + 2.0 * chance.normal())
                } else {
                    0.0
                }
        })
        .collect()
}

#[test]
fn a_load_that_jumps_takes_four_kilobytes_and_no_more_however_it_goes_on() {
    for seed in 1..4 {
        let y = jumping(4032 + 2016, seed);
        let series = Series {
            step_s: 300,
            ..quarters(&y[..4032])
        };
        let mut state = fit(&Config::default(), &series).unwrap();
        let fitted = state.encode().unwrap().len();
        assert!(fitted <= 4096, "{fitted} bytes");
        for day in y[4032..].chunks(288) {
            state.update(day);
            let later = state.encode().unwrap().len();
            assert!(later <= 4096, "{later} bytes");
        }
    }
}

#[test]
fn beyond_what_its_history_can_judge_a_forecast_is_mostly_the_plainest_one() {
    // A day that rises is no week that does.
    let y: Vec<f64> = (0..DAY)
        .map(|t| 100.0 + t as f64 + 5.0 * Stream::new(t as u64).normal())
        .collect();
    let of = |config: &Config| {
        let state = fit(config, &quarters(&y)).unwrap();
        state.predict(4 * DAY, &LEVELS, 1).unwrap()
    };
    let (all, plain) = (of(&Config::default()), of(&only(Kind::SeasonalNaive)));
    let (far, last) = (4 * DAY - 1, plain.mean[4 * DAY - 1]);
    assert!(
        (all.mean[far] / last - 1.0).abs() < 0.2,
        "{} {last}",
        all.mean[far]
    );
    let width = |p: &Prediction| p.quantiles[far * 5 + 4] - p.quantiles[far * 5];
    assert!((0.5..2.0).contains(&(width(&all) / width(&plain))));
}
