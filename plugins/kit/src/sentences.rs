//! What a user may count on of every forecaster, as tests that each model crate calls once.
//!
//! The laws (`laws.rs`) hold for any history; these hold for plain loads, each with the bound that
//! the model keeps. Macros for the same reason: the models share words and no trait, and no test
//! library comes along with them.

/// Expands to tests of the model crate `$model` on the loads of [`fixtures`](crate::fixtures). The
/// bounds, in the load's unit (the wave is 60 to 140): how far `tomorrow` may be off anywhere, a
/// Saturday's noon after four weeks, and any hour after an outage; how far off, in parts of the
/// value, a constant may be; by which factor the interval of a walk widens over two days.
#[macro_export]
macro_rules! forecaster_sentences {
    (
        $model:ident, tomorrow = $tomorrow:expr, weekend = $weekend:expr, outage = $outage:expr,
        constant = $constant:expr, walk = $walk:expr
    ) => {
        /// The sentences that all models share.
        mod shared {
            use $crate::fixtures::{LEVELS, day, hourly, noisy, walk, week};
            use $crate::{ModelError, Stream, encode};
            use $model::{Config, FORMAT, State, fit};

            fn fitted(values: &[f64]) -> State {
                match fit(&Config::default(), &hourly(values)) {
                    Ok(state) => state,
                    Err(error) => panic!("it fits: {error}"),
                }
            }

            #[test]
            fn tomorrow_is_foreseen_from_a_daily_wave() {
                let state = fitted(&noisy(24 * 14, 3.0, 1));
                let p = state.predict(48, &LEVELS, 1).unwrap();
                for (h, mean) in p.mean.iter().enumerate() {
                    let truth = day(24 * 14 + h);
                    assert!(
                        (mean - truth).abs() < $tomorrow,
                        "step {h}: {mean} for {truth}"
                    );
                }
            }

            #[test]
            fn a_weekend_is_foreseen_from_four_weeks() {
                let mut s = Stream::new(2);
                let n = 24 * 28 + 24 * 4;
                let y: Vec<f64> = (0..n).map(|t| week(t) + s.normal()).collect();
                let p = fitted(&y).predict(72, &LEVELS, 1).unwrap();
                let saturday_noon = 24 + 12;
                let (mean, truth) = (p.mean[saturday_noon], week(n + saturday_noon));
                assert!((mean - truth).abs() < $weekend, "{mean} for {truth}");
            }

            #[test]
            fn a_history_with_gaps_and_an_outage_is_still_forecast() {
                let mut y = noisy(24 * 14, 3.0, 9);
                y[60..90].fill(f64::NAN);
                y[150..156].fill(0.0);
                y[300..304].fill(f64::NAN);
                let p = fitted(&y).predict(24, &LEVELS, 1).unwrap();
                for (h, mean) in p.mean.iter().enumerate() {
                    let truth = day(24 * 14 + h);
                    assert!(
                        (mean - truth).abs() < $outage,
                        "step {h}: {mean} for {truth}"
                    );
                }
            }

            #[test]
            fn a_constant_stays_constant_and_silence_stays_silent() {
                for value in [0.0, 7.0, 1e12] {
                    let p = fitted(&[value; 200]).predict(30, &LEVELS, 1).unwrap();
                    for v in p.mean.iter().chain(&p.quantiles) {
                        assert!((v - value).abs() <= $constant * value, "{v} for {value}");
                    }
                }
            }

            #[test]
            fn three_points_are_enough_for_a_wide_answer_and_two_are_not() {
                let p = fitted(&[10.0, 10.0, 10.0]).predict(5, &LEVELS, 1).unwrap();
                assert!((p.mean[0] - 10.0).abs() < 1e-9);
                let q = &p.quantiles[..5];
                assert!(q[4] - q[0] > 4.0, "{q:?}");
                let two = fit(&Config::default(), &hourly(&[1.0, f64::NAN, 2.0]));
                assert_eq!(two, Err(ModelError::InsufficientData { have: 2, need: 3 }));
            }

            #[test]
            fn the_interval_of_a_walk_widens_with_the_horizon() {
                let p = fitted(&walk(600, 11)).predict(48, &LEVELS, 1).unwrap();
                let width = |h: usize| p.quantiles[h * 5 + 4] - p.quantiles[h * 5];
                assert!(width(47) > $walk * width(0), "{} {}", width(0), width(47));
            }

            #[test]
            fn bytes_bring_back_the_same_state_and_damage_is_told() {
                let state = fitted(&noisy(24 * 10, 5.0, 12));
                let bytes = state.encode().unwrap();
                assert_eq!(State::decode(&bytes).unwrap(), state);
                assert_eq!(State::decode(&[]), Err(ModelError::NotFitted));
                let cut = State::decode(&bytes[..40]);
                assert!(matches!(cut, Err(ModelError::InvalidInput(_))));
                let newer = State::decode(&encode(FORMAT + 1, &0u8).unwrap());
                assert!(matches!(newer, Err(ModelError::Unsupported(_))));
            }
        }
    };
}

/// Expands to tests of a model that is [`Uplifted`](crate::Uplifted): declared events are foreseen,
/// and kept out of the ordinary season. `$ordinary` gives the load of an hour that no event touches,
/// in a shape that the model can follow.
#[macro_export]
macro_rules! event_sentences {
    ($model:ident, $ordinary:ident) => {
        /// The sentences about events that models without regressors share.
        mod shared {
            use super::$ordinary as ordinary;
            use $crate::fixtures::{LEVELS, hourly};
            use $crate::{Covariates, Stream};
            use $model::{Config, fit_plain, fit_with};

            const DAYS: usize = 28;

            /// A campaign from nine to one on some days.
            fn campaign(rows: std::ops::Range<usize>, days: &[usize]) -> Vec<f64> {
                let on = |t: usize| days.contains(&(t / 24)) && (9..13).contains(&(t % 24));
                rows.map(|t| f64::from(u8::from(on(t)))).collect()
            }

            /// Four weeks of days, which a campaign on the 12th and the 22nd doubles.
            fn history() -> (Vec<f64>, Vec<f64>) {
                let sale = campaign(0..DAYS * 24, &[12, 22]);
                let mut s = Stream::new(3);
                let load =
                    |(t, on): (usize, &f64)| ordinary(t) * (1.0 + on) * (1.0 + 0.04 * s.normal());
                (sale.iter().enumerate().map(load).collect(), sale)
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
                let mut day: Vec<f64> = (0..24).map(|h| ordinary(h) * (1.0 + next[h])).collect();
                state.update_with(&day, &known);

                // The same with holes where the campaigns were.
                let hole = |v: &mut f64, on: &f64| {
                    if *on > 0.0 {
                        *v = f64::NAN;
                    }
                };
                y.iter_mut().zip(&sale).for_each(|(v, on)| hole(v, on));
                let mut holes = fit_plain(&Config::default(), &hourly(&y)).unwrap();
                day.iter_mut().zip(&next).for_each(|(v, on)| hole(v, on));
                holes.update(&day);
                assert_eq!(state.base(), &holes);
                let plain = holes.predict(24, &LEVELS, 1).unwrap();
                assert_eq!(state.predict(24, &LEVELS, 1).unwrap(), plain);
            }

            #[test]
            fn without_events_every_bit_is_that_of_the_plain_model() {
                let (y, _) = history();
                let silent = vec![0.0; y.len()];
                let known =
                    Covariates::new(vec![("event:sale", &silent), ("day-of-week", &silent)]);
                let mut state = fit_with(&Config::default(), &hourly(&y), &known).unwrap();
                let mut plain = fit_plain(&Config::default(), &hourly(&y)).unwrap();
                state.update_with(&y[..40], &known.rows(0..40));
                plain.update(&y[..40]);
                let said = state
                    .predict_with(48, &LEVELS, 9, &known.rows(0..48))
                    .unwrap();
                assert_eq!(said, plain.predict(48, &LEVELS, 9).unwrap());
            }
        }
    };
}

/// Expands to tests that a configuration and its JSON schema say the same: every field with its
/// default and no other, in the choice fields (named in the brackets) every choice and no other, and
/// that an unknown key is refused by its name. The calling crate needs `serde_json`.
#[macro_export]
macro_rules! config_sentences {
    ($config:ty, $schema:expr, choices = [$($choice:literal),*]) => {
        /// The sentences that all configurations share.
        mod schema {
            use super::*;
            use serde_json::{Value, from_str, to_value};

            fn schema() -> Value {
                from_str($schema).unwrap()
            }

            #[test]
            fn the_schema_names_the_fields_and_defaults_of_the_struct() {
                let schema = schema();
                let fields = schema["properties"].as_object().unwrap();
                let defaults = to_value(<$config>::default()).unwrap();
                let real = defaults.as_object().unwrap();
                assert!(fields.keys().eq(real.keys()), "{fields:?} {real:?}");
                for (name, field) in fields {
                    // A whole number may be written as one though its field is a fraction.
                    let text = format!("{{\"{name}\":{}}}", field["default"]);
                    let said = from_str::<$config>(&text).unwrap();
                    assert_eq!(said, <$config>::default(), "{name}");
                    assert!(!field["default"].is_null(), "{name} has no default");
                }
                assert_eq!(schema["additionalProperties"], Value::Bool(false));
            }

            #[test]
            fn every_choice_in_the_schema_parses_and_no_other() {
                let fields: &[&str] = &[$($choice),*];
                let schema = schema();
                for (name, field) in schema["properties"].as_object().unwrap() {
                    let choices = field["enum"].as_array();
                    assert_eq!(choices.is_some(), fields.contains(&name.as_str()), "{name}");
                    for choice in choices.into_iter().flatten() {
                        let text = format!("{{\"{name}\":{choice}}}");
                        assert!(from_str::<$config>(&text).is_ok(), "{text}");
                        assert!(from_str::<$config>(&format!("{{\"{name}\":\"odd\"}}")).is_err());
                    }
                }
            }

            #[test]
            fn an_empty_config_is_the_default_and_an_unknown_key_is_refused_by_name() {
                assert_eq!(from_str::<$config>("{}").unwrap(), <$config>::default());
                let e = from_str::<$config>(r#"{"misspelt":1}"#).unwrap_err();
                assert!(e.to_string().contains("misspelt"), "{e}");
            }
        }
    };
}

/// Expands to a test that a state of the model crate `$model` takes at most 4 KiB on the grids that
/// hosts keep: two weeks at five minutes, two at one. A host holds one per series and module.
#[macro_export]
macro_rules! state_size_sentence {
    ($model:ident) => {
        #[test]
        fn weeks_of_five_minutes_and_days_of_minutes_fit_in_four_kilobytes() {
            for (step_s, rows) in [(300, 4032), (60, 20_160)] {
                let mut s = $crate::Stream::new(12);
                let day = 86_400 / step_s as usize;
                let y: Vec<f64> = (0..rows)
                    .map(|t| {
                        let from_noon = (t % day) as f64 / day as f64 - 0.5;
                        let weekend = if t / day % 7 >= 5 { 0.4 } else { 1.0 };
                        weekend * (160.0 - 240.0 * from_noon.abs()) + 3.0 * s.normal()
                    })
                    .collect();
                let series = $crate::Series {
                    values: &y,
                    start_ms: 0,
                    step_s,
                    periods: &[],
                };
                let mut state = $model::fit(&$model::Config::default(), &series).unwrap();
                state.update(&y[..day]);
                let bytes = state.encode().unwrap().len();
                assert!(bytes <= 4096, "{bytes} bytes at {step_s} s");
            }
        }
    };
}
