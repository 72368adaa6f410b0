//! What a user of the model may count on, as sentences.

use tidegate_model_kit::fixtures::{LEVELS, day, hourly};
use tidegate_model_kit::{Covariates, Stream, encode};
use tidegate_model_lstm::{
    Config, FORMAT, History, Memory, Model, ModelError, Series, State, fit, fit_cohort,
};

/// A small network and a short training: the tests want its behaviour, not its last percent.
fn small() -> Config {
    Config {
        hidden: 16,
        max_steps: 200,
        ..Config::default()
    }
}

fn cohort<'a>(all: &'a [Vec<f64>]) -> Vec<History<'a>> {
    let history = |values: &'a Vec<f64>| History {
        series: hourly(values),
        known: Covariates::default(),
    };
    all.iter().map(history).collect()
}

/// A day's wave whose level wanders from hour to hour: neither the last value nor the last day is
/// the best forecast.
fn wandering(n: usize, seed: u64) -> Vec<f64> {
    let mut s = Stream::new(seed);
    let mut level = 0.0;
    (0..n)
        .map(|t| {
            level = 0.95 * level + 8.0 * s.normal();
            (day(t) + level + s.normal()).max(0.0)
        })
        .collect()
}

fn many(n: usize, length: usize) -> Vec<Vec<f64>> {
    (0..n).map(|k| wandering(length, k as u64)).collect()
}

/// The mean pinball loss of a cohort's forecasts of the 12 hours behind each history.
#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn loss(config: &Config, whole: &[Vec<f64>], base: Option<&Model>) -> f64 {
    let seen: Vec<Vec<f64>> = whole.iter().map(|y| y[..y.len() - 12].to_vec()).collect();
    let (model, memories) = fit_cohort(config, &cohort(&seen), 1, base).unwrap();
    let (mut sum, mut n) = (0.0, 0.0);
    for (y, memory) in whole.iter().zip(memories) {
        let known = Covariates::default();
        let p = memory
            .unwrap()
            .predict(&model, 12, &LEVELS, &known)
            .unwrap();
        sum += pinball(&y[y.len() - 12..], &p.quantiles);
        n += 1.0;
    }
    sum / n
}

fn pinball(truth: &[f64], quantiles: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (y, q) in truth.iter().zip(quantiles.chunks(LEVELS.len())) {
        for (q, level) in q.iter().zip(LEVELS) {
            let a = f64::from(level) / 1e4;
            sum += (a * (y - q)).max((a - 1.0) * (y - q));
        }
    }
    sum / (truth.len() * LEVELS.len()) as f64
}

#[test]
fn a_trained_network_beats_an_untrained_one_and_a_repeated_day() {
    let whole = many(8, 24 * 21);
    let untrained = Config {
        epochs: 0,
        ..small()
    };
    let (trained, untrained) = (loss(&small(), &whole, None), loss(&untrained, &whole, None));
    let naive = whole.iter().map(|y| {
        let (seen, truth) = y.split_at(y.len() - 12);
        let config = tidegate_model_seasonal_naive::Config::default();
        let state = tidegate_model_seasonal_naive::fit(&config, &hourly(seen)).unwrap();
        pinball(truth, &state.predict(12, &LEVELS, 1).unwrap().quantiles)
    });
    let naive = naive.sum::<f64>() / whole.len() as f64;
    assert!(trained < 0.9 * untrained, "{trained} {untrained}");
    assert!(trained < 0.95 * naive, "{trained} {naive}");
}

#[test]
fn a_training_that_goes_on_from_a_model_is_short_and_keeps_what_was_learned() {
    let whole = many(8, 24 * 21);
    let (model, _) = fit_cohort(&small(), &cohort(&whole), 1, None).unwrap();
    let fresh: Vec<Vec<f64>> = (20..28).map(|k| wandering(24 * 21, k)).collect();
    let brief = Config {
        epochs: 1,
        ..small()
    };
    let (warm, cold) = (
        loss(&brief, &fresh, Some(&model)),
        loss(&brief, &fresh, None),
    );
    assert!(warm < 0.95 * cold, "{warm} {cold}");
}

#[test]
fn a_base_of_another_size_is_passed_over() {
    let whole = many(2, 24 * 8);
    let other = Config {
        hidden: 8,
        ..small()
    };
    let (base, _) = fit_cohort(&other, &cohort(&whole), 1, None).unwrap();
    let with = fit_cohort(&small(), &cohort(&whole), 1, Some(&base)).unwrap();
    let without = fit_cohort(&small(), &cohort(&whole), 1, None).unwrap();
    assert_eq!(with, without);
}

#[test]
fn one_seed_is_one_network_and_another_seed_another() {
    let whole = many(3, 24 * 10);
    let bits = |seed| {
        let (model, memories) = fit_cohort(&small(), &cohort(&whole), seed, None).unwrap();
        let memories: Vec<_> = memories
            .into_iter()
            .map(|m| m.unwrap().encode().unwrap())
            .collect();
        (model.encode().unwrap(), memories)
    };
    assert_eq!(bits(7), bits(7));
    assert_ne!(bits(7), bits(8));
}

#[test]
fn a_history_that_no_model_can_use_fails_alone() {
    let mut whole = many(3, 24 * 8);
    whole[1] = vec![f64::NAN; 50];
    let (_, memories) = fit_cohort(&small(), &cohort(&whole), 1, None).unwrap();
    assert!(memories[0].is_ok() && memories[2].is_ok());
    assert_eq!(
        memories[1],
        Err(ModelError::InsufficientData { have: 0, need: 3 })
    );
    let nobody = fit_cohort(&small(), &cohort(&whole[1..2]), 1, None).unwrap();
    assert!(nobody.1[0].is_err());
}

#[test]
fn tomorrow_is_foreseen_from_a_daily_wave() {
    let mut s = Stream::new(5);
    let y: Vec<f64> = (0..24 * 14).map(|t| day(t) + 2.0 * s.normal()).collect();
    let p = fit(&small(), &hourly(&y))
        .unwrap()
        .predict(48, &LEVELS, 1)
        .unwrap();
    for (h, mean) in p.mean.iter().enumerate() {
        let truth = day(24 * 14 + h);
        assert!((mean - truth).abs() < 10.0, "step {h}: {mean} for {truth}");
    }
}

#[test]
fn a_level_shift_is_followed_within_a_day() {
    let mut state = fit(&small(), &hourly(&wandering(24 * 14, 1))).unwrap();
    let shifted: Vec<f64> = wandering(24, 2).iter().map(|v| v + 300.0).collect();
    state.update(&shifted);
    let mean = state.predict(12, &LEVELS, 1).unwrap().mean;
    let average = mean.iter().sum::<f64>() / 12.0;
    assert!((average - 400.0).abs() < 100.0, "{average}");
}

#[test]
fn a_campaign_seen_twice_is_foreseen_the_third_time_and_leaves_the_season_alone() {
    let n = 24 * 21;
    let mut y = wandering(n + 24, 3);
    let mut sale = vec![0.0; n + 24];
    for start in [24 * 9 + 8, 24 * 16 + 8, n + 8] {
        sale[start..start + 6].fill(1.0);
    }
    for (y, on) in y.iter_mut().zip(&sale) {
        *y *= 1.0 + 1.5 * on;
    }
    let known = |rows: std::ops::Range<usize>| Covariates::new(vec![("event:sale", &sale[rows])]);
    let state = tidegate_model_lstm::fit_with(&small(), &hourly(&y[..n]), &known(0..n)).unwrap();
    let told = state
        .predict_with(24, &LEVELS, 1, &known(n..n + 24))
        .unwrap();
    let untold = state.predict(24, &LEVELS, 1).unwrap();
    let over = |v: &[f64]| v[8..14].iter().sum::<f64>() / 6.0;
    let truth = over(&y[n..]);
    assert!(
        (over(&told.mean) / truth - 1.0).abs() < 0.3,
        "{} {truth}",
        over(&told.mean)
    );
    assert!(
        over(&untold.mean) < 0.6 * truth,
        "{} {truth}",
        over(&untold.mean)
    );
}

#[test]
fn a_gap_moves_time_on() {
    let y = wandering(24 * 14, 4);
    let mut state = fit(&small(), &hourly(&y)).unwrap();
    state.update(&[f64::NAN; 12]);
    let p = state.predict(24, &LEVELS, 1).unwrap();
    let wave = |h: usize| libm::sin(((12 + h) % 24) as f64 / 24.0 * std::f64::consts::TAU);
    let agree: f64 = (0..24).map(|h| (p.mean[h] - 100.0) * wave(h)).sum();
    assert!(agree > 100.0, "{agree}");
}

#[test]
fn a_constant_stays_constant_and_silence_stays_silent() {
    for value in [0.0, 7.0, 1e12] {
        let state = fit(&small(), &hourly(&[value; 200])).unwrap();
        let p = state.predict(30, &LEVELS, 1).unwrap();
        for v in p.mean.iter().chain(&p.quantiles) {
            assert!((v - value).abs() <= 0.01 * value, "{v} for {value}");
        }
    }
}

#[test]
fn three_points_are_enough_for_a_wide_answer_and_two_are_not() {
    let p = fit(&small(), &hourly(&[10.0, 10.0, 10.0]))
        .unwrap()
        .predict(5, &LEVELS, 1)
        .unwrap();
    assert!((p.mean[0] - 10.0).abs() < 4.0, "{:?}", p.mean);
    assert!(
        p.quantiles[4] - p.quantiles[0] > 4.0,
        "{:?}",
        &p.quantiles[..5]
    );
    let two = fit(&small(), &hourly(&[1.0, f64::NAN, 2.0]));
    assert_eq!(two, Err(ModelError::InsufficientData { have: 2, need: 3 }));
}

#[test]
fn hours_of_history_say_little_about_a_day_and_the_interval_says_so() {
    let y = wandering(24 * 14, 9);
    let state = fit(&small(), &hourly(&y[y.len() - 6..])).unwrap();
    let p = state.predict(24, &LEVELS, 1).unwrap();
    // The hour before those that were seen; the upper half, since the lower one ends at zero.
    let width = |step: usize| p.quantiles[step * 5 + 3] - p.quantiles[step * 5 + 2];
    assert!(width(17) > 1.7 * width(0), "{} {}", width(17), width(0));
}

#[test]
fn seasons_of_any_length_and_steps_of_seconds_are_served() {
    let y = wandering(2000, 6);
    for (step_s, periods) in [(10, &[][..]), (60, &[]), (604_800, &[]), (60, &[97, 1009])] {
        let series = Series {
            values: &y,
            start_ms: 0,
            step_s,
            periods,
        };
        let mut state = fit(&small(), &series).unwrap();
        state.update(&y[..50]);
        assert!(state.predict(40, &LEVELS, 1).is_ok(), "{step_s} s");
    }
}

#[test]
fn a_state_of_one_minute_steps_fits_in_four_kilobytes_and_the_networks_in_a_hundred() {
    let y = wandering(3 * 1440, 7);
    let history = History {
        series: Series {
            step_s: 60,
            ..hourly(&y)
        },
        known: Covariates::default(),
    };
    let config = Config {
        epochs: 0,
        ..Config::default()
    };
    let (model, memories) = fit_cohort(&config, &[history], 1, None).unwrap();
    let memory = memories.into_iter().next().unwrap().unwrap();
    let (state, network) = (memory.encode().unwrap(), model.encode().unwrap());
    assert!(state.len() <= 4096, "{}", state.len());
    assert!(network.len() <= 100_000, "{}", network.len());
    assert_eq!(Memory::decode(&state).unwrap(), memory);
    assert_eq!(Model::decode(&network).unwrap(), model);
}

#[test]
fn a_state_does_not_go_with_networks_of_another_number_or_size() {
    let whole = many(1, 24 * 8);
    let (_, memories) = fit_cohort(&small(), &cohort(&whole), 1, None).unwrap();
    let mut memory = memories.into_iter().next().unwrap().unwrap();
    let known = Covariates::default();
    for (networks, hidden) in [(2, 8), (1, 16)] {
        let other = Config {
            networks,
            hidden,
            epochs: 0,
            ..small()
        };
        let (model, _) = fit_cohort(&other, &cohort(&whole), 1, None).unwrap();
        assert!(matches!(
            memory.predict(&model, 3, &LEVELS, &known),
            Err(ModelError::InvalidInput(_))
        ));
        assert!(memory.update(&model, &[1.0], &known).is_err());
    }
}

#[test]
fn damage_is_told() {
    let state = fit(&small(), &hourly(&wandering(24 * 8, 8))).unwrap();
    let bytes = state.encode().unwrap();
    assert_eq!(State::decode(&bytes).unwrap(), state);
    assert_eq!(State::decode(&[]), Err(ModelError::NotFitted));
    assert_eq!(Model::decode(&[]), Err(ModelError::NotFitted));
    assert!(matches!(
        Memory::decode(&bytes[..40]),
        Err(ModelError::InvalidInput(_))
    ));
    let newer = encode(FORMAT + 1, &0u8).unwrap();
    assert!(matches!(
        Model::decode(&newer),
        Err(ModelError::Unsupported(_))
    ));
}
