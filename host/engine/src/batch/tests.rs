//! Splitting and joining batches, without any guest.

use super::*;
use std::cell::Cell;
use std::collections::BTreeSet;
use tidegate_core::policy::Covariates;
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::Level;

fn trap() -> CallError {
    CallError::Trap("unreachable".into())
}

/// Answers each series with its own number, unless a guilty one is among them.
fn numbers(series: &[usize], guilty: &BTreeSet<usize>) -> Result<Forecasts, CallError> {
    if series.iter().any(|s| guilty.contains(s)) {
        return Err(trap());
    }
    let mean: Vec<f64> = series.iter().map(|&s| s as f64).collect();
    Ok(Forecasts {
        quantiles: mean.clone(),
        status: vec![Ok(()); mean.len()],
        mean,
    })
}

fn horizon(series: usize) -> Horizon {
    Horizon {
        step: Step::MINUTE,
        steps: 1,
        levels: vec![Level::P50],
        starts: vec![Timestamp(0); series],
        future: Covariates::default(),
        seeds: (0..series as u64).collect(),
    }
}

/// The answer and the number of calls that it took.
fn rescued(series: usize, guilty: &[usize]) -> (Result<Forecasts, CallError>, u32) {
    let guilty: BTreeSet<usize> = guilty.iter().copied().collect();
    let calls = Cell::new(0);
    let call = |part: &[usize]| {
        calls.set(calls.get() + 1);
        numbers(part, &guilty)
    };
    let all: Vec<usize> = (0..series).collect();
    let horizon = horizon(series);
    let answer = rescue(
        series,
        || call(&all),
        call,
        |n, parts| Some(join_forecasts(&horizon, n, parts)),
    );
    (answer, calls.get())
}

#[test]
fn a_guilty_series_does_not_take_its_neighbours_along() {
    for guilty in [&[0][..], &[6], &[2, 3], &[0, 4, 6]] {
        let (answer, _) = rescued(7, guilty);
        let answer = answer.unwrap();
        for s in 0..7 {
            let failed = guilty.contains(&s);
            assert_eq!(
                answer.status[s].is_err(),
                failed,
                "series {s} of {guilty:?}"
            );
            let value = if failed { 0.0 } else { s as f64 };
            assert_eq!(answer.mean[s].to_bits(), value.to_bits());
        }
    }
}

#[test]
fn the_cost_of_finding_the_guilty_is_bounded() {
    let (answer, calls) = rescued(1000, &[613]);
    assert_eq!(
        answer.unwrap().status.iter().filter(|s| s.is_err()).count(),
        1
    );
    assert!(calls <= 22, "{calls}");
    let many: Vec<usize> = (0..1000).step_by(3).collect();
    let (answer, calls) = rescued(1000, &many);
    assert!(calls <= BUDGET + 1, "{calls}");
    // What could not be resolved has failed, and says why.
    let answer = answer.unwrap();
    assert!(answer.status[1].is_ok());
    let last = answer.status[999].clone().unwrap_err();
    assert!(last.to_string().contains("too often"), "{last}");
}

#[test]
fn a_deadline_costs_more_than_a_trap() {
    let calls = Cell::new(0);
    let slow = || {
        calls.set(calls.get() + 1);
        Err::<Forecasts, _>(CallError::Deadline { limit_ms: 500 })
    };
    let outcome = rescue(64, slow, |_| slow(), |_, _| None);
    assert_eq!(outcome, Err(CallError::Deadline { limit_ms: 500 }));
    assert_eq!(calls.get(), 5);
}

#[test]
fn a_batch_that_nobody_survives_keeps_its_error() {
    let (answer, _) = rescued(4, &[0, 1, 2, 3]);
    assert_eq!(answer, Err(trap()));
    let (answer, calls) = rescued(1, &[0]);
    assert_eq!((answer, calls), (Err(trap()), 1));
    let refused = CallError::Policy(PolicyError::InvalidInput("config".into()));
    let outcome = rescue(
        9,
        || Err::<Forecasts, _>(refused.clone()),
        |_| panic!("a wrong config is wrong for every part"),
        |_, _| None,
    );
    assert_eq!(outcome, Err(refused));
}

#[test]
fn survivors_that_fitted_different_models_are_fitted_together() {
    let fit = |series: &[usize]| {
        if series.contains(&1) {
            return Err(trap());
        }
        let blobs: Vec<Vec<u8>> = series.iter().map(|&s| vec![s as u8]).collect();
        Ok(Fitted {
            model: vec![series.len() as u8],
            states: Blobs::join(7, blobs.iter().map(Vec::as_slice)),
            status: vec![Ok(()); series.len()],
        })
    };
    let fitted = rescue(4, || fit(&[0, 1, 2, 3]), fit, join_fitted).unwrap();
    assert_eq!((fitted.model, fitted.states.format), (vec![3], 7));
    let states: Vec<&[u8]> = (0..4).map(|s| fitted.states.get(s)).collect();
    assert_eq!(states, [&[0][..], &[], &[2], &[3]]);
    assert!(fitted.status[1].is_err() && fitted.status[2].is_ok());
}

#[test]
fn parts_of_an_advance_stand_side_by_side_with_their_states() {
    let advance = |series: &[usize]| {
        let forecasts = numbers(series, &[1].into())?;
        let blobs: Vec<Vec<u8>> = series.iter().map(|&s| vec![s as u8; s]).collect();
        let states = Blobs::join(7, blobs.iter().map(Vec::as_slice));
        Ok(Advanced { states, forecasts })
    };
    let asked = horizon(4);
    let joined = rescue(
        4,
        || advance(&[0, 1, 2, 3]),
        advance,
        |series, parts| join_advanced(&asked, series, parts),
    );
    let joined = joined.unwrap();
    let states: Vec<&[u8]> = (0..4).map(|s| joined.states.get(s)).collect();
    assert_eq!(states, [&[][..], &[], &[2, 2], &[3, 3, 3]]);
    assert_eq!(joined.states.format, 7);
    assert_eq!(joined.forecasts.mean, [0.0, 0.0, 2.0, 3.0]);
    let failed: Vec<bool> = joined.forecasts.status.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, false, false]);
}

#[test]
fn answers_of_a_wrong_shape_are_refused() {
    let fitted = |offsets: &[u32], bytes: usize, status: usize| Fitted {
        model: vec![],
        states: Blobs {
            format: 1,
            offsets: offsets.to_vec(),
            bytes: vec![0; bytes],
        },
        status: vec![Ok(()); status],
    };
    for (answer, part) in [
        (fitted(&[0, 1, 2], 2, 2), None),
        (fitted(&[0, 1, 2], 2, 1), Some("status has 1")),
        (fitted(&[0, 2], 2, 2), Some("offsets has 2")),
        (fitted(&[0, 1, 2], 9, 2), Some("bytes has 9")),
        (fitted(&[1, 1, 2], 2, 2), Some("never fall")),
        (fitted(&[0, 3, 2], 2, 2), Some("never fall")),
    ] {
        match (check_fitted_shape(2, &answer), part) {
            (Ok(()), None) => {}
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
            (outcome, part) => panic!("{outcome:?}, expected {part:?}"),
        }
    }
}
