//! The laws that every forecaster keeps, as property tests that each model crate calls once.
//!
//! A macro, because the models share words and no trait: it is written against the names `fit`,
//! `Config` and `State` that each of them exports. It is text until a test crate expands it, so
//! no test library comes along with the models.

use crate::Prediction;

/// Checks invariant FC1 on a prediction of `horizon` steps and `levels` levels.
///
/// # Errors
/// What is unlawful, and where.
pub fn check_lawful(p: &Prediction, horizon: usize, levels: usize) -> Result<(), String> {
    if p.mean.len() != horizon || p.quantiles.len() != horizon * levels {
        return Err(format!(
            "{} means, {} quantiles",
            p.mean.len(),
            p.quantiles.len()
        ));
    }
    let bad = |v: &&f64| !(v.is_finite() && **v >= 0.0);
    if let Some(v) = p.mean.iter().chain(&p.quantiles).find(bad) {
        return Err(format!("{v} is not a load"));
    }
    for (step, q) in p.quantiles.chunks(levels.max(1)).enumerate() {
        if q.windows(2).any(|w| w[0] > w[1]) {
            return Err(format!("the quantiles of step {step} fall: {q:?}"));
        }
    }
    Ok(())
}

/// Expands to property tests of the model crate `$model`, over histories most of which are unlike
/// any load. The calling crate needs `proptest` and this crate.
#[macro_export]
macro_rules! forecaster_laws {
    ($model:ident) => {
        use proptest::prelude::*;

        const LEVELS: [u16; 7] = [1, 250, 1000, 5000, 9000, 9750, 9999];

        /// Gaps, zeros, plain values and the occasional monster.
        fn value() -> impl Strategy<Value = f64> {
            let monsters = [1e12, 1e-9, 1e300, 5e-320, -50.0];
            prop_oneof![
                1 => Just(f64::NAN),
                2 => Just(0.0),
                8 => 0.0f64..100.0,
                1 => prop::sample::select(monsters.to_vec()),
            ]
        }

        fn history() -> impl Strategy<Value = Vec<f64>> {
            prop::collection::vec(value(), 3..160)
        }

        /// A fit with the default configuration and seasons that a short history can hold.
        fn fitted(values: &[f64]) -> Result<$model::State, $crate::ModelError> {
            let series =
                $crate::Series { values, start_ms: 0, step_s: 3600, periods: &[6, 24] };
            $model::fit(&$model::Config::default(), &series)
        }

        fn check(state: &$model::State, seed: u64) -> Result<(), TestCaseError> {
            let p = state.predict(30, &LEVELS, seed).map_err(|e| e.to_string());
            p.and_then(|p| $crate::check_lawful(&p, 30, LEVELS.len())).map_err(TestCaseError::fail)
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(48))]

            #[test]
            fn whatever_was_seen_the_answer_is_lawful(
                y in history(), more in history(), seed: u64,
            ) {
                let Ok(mut state) = fitted(&y) else {
                    prop_assert!(y.iter().filter(|v| !v.is_nan()).count() < 3);
                    return Ok(());
                };
                check(&state, seed)?;
                state.update(&more);
                check(&state, seed)?;
                // An honest state always survives its own bytes.
                prop_assert_eq!($model::State::decode(&state.encode().unwrap()).unwrap(), state);
            }

            #[test]
            fn the_same_call_gives_the_same_bits(y in history(), seed: u64) {
                let run = || -> Result<(Vec<u8>, Vec<u64>), $crate::ModelError> {
                    let state = fitted(&y)?;
                    let p = state.predict(12, &LEVELS, seed)?;
                    let bits = p.mean.iter().chain(&p.quantiles).map(|v| v.to_bits()).collect();
                    Ok((state.encode()?, bits))
                };
                prop_assert_eq!(run(), run());
            }

            #[test]
            fn a_batch_cut_in_two_is_the_same_batch(
                y in history(), more in history(), cut in 0usize..160,
            ) {
                let Ok(state) = fitted(&y) else { return Ok(()) };
                let (mut once, mut twice) = (state.clone(), state);
                let cut = cut.min(more.len());
                once.update(&more);
                twice.update(&more[..cut]);
                twice.update(&more[cut..]);
                prop_assert_eq!(once, twice);
            }

            #[test]
            fn a_power_of_two_in_the_unit_is_the_same_power_in_the_answer(
                y in prop::collection::vec(0.5f64..100.0, 30..120), k in -20i32..40, seed: u64,
            ) {
                let factor = 2.0f64.powi(k);
                let scaled: Vec<f64> = y.iter().map(|v| v * factor).collect();
                let a = fitted(&y).unwrap().predict(12, &LEVELS, seed).unwrap();
                let b = fitted(&scaled).unwrap().predict(12, &LEVELS, seed).unwrap();
                let all = |p: &$crate::Prediction| -> Vec<f64> {
                    p.mean.iter().chain(&p.quantiles).copied().collect()
                };
                for (a, b) in all(&a).iter().zip(all(&b)) {
                    prop_assert_eq!((a * factor).to_bits(), b.to_bits());
                }
            }

            #[test]
            fn damaged_bytes_never_panic(
                y in prop::collection::vec(0.0f64..100.0, 20..60),
                hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            ) {
                let mut bytes = fitted(&y).unwrap().encode().unwrap();
                for (at, byte) in hits {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                if let Ok(mut state) = $model::State::decode(&bytes) {
                    state.update(&[1.0, f64::NAN, 2.0]);
                    if let Ok(p) = state.predict(5, &LEVELS, 1) {
                        prop_assert_eq!($crate::check_lawful(&p, 5, LEVELS.len()), Ok(()));
                    }
                }
            }
        }
    };
}
