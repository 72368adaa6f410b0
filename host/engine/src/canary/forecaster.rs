//! A forecaster's first day: fit, update, predict, both in one call, and its own states through `migrate`.
//!
//! Every series is asked in one batch and the first of them alone, since the cycle batches as it
//! likes; forecasts are held to FC1 as in production.

use super::past::{FRESH, Past};
use super::{AdmissionError, At, Rigour, Sung, says_no};
use tidegate_core::invariant::check_forecasts;
use tidegate_core::policy::{
    Blobs, CallError, Forecaster, Frames, Horizon, PolicyError, SeriesStatus,
};

pub(super) fn sing(
    policy: &dyn Forecaster,
    config: &str,
    past: &Past,
    sung: &mut Sung,
) -> Result<(), AdmissionError> {
    let case = past.case.as_str();
    let at = |call| At { call, case };
    let frames = past.before();
    let Some(fitted) = at("fit").answer(sung, policy.fit(config, &frames))? else {
        return Ok(());
    };
    // What could not be fitted is asked no more, as in the cycle.
    let kept = served(at("fit"), sung, &fitted.status)?;
    // Who has fitted has taken the config.
    sung.rigour = Rigour::Module;
    if kept.is_empty() {
        return Ok(());
    }
    let states = fitted.states.pick(&kept);
    let migrated = policy.migrate(&fitted.model, &states);
    if let Some(migrated) = at("migrate").answer(sung, migrated)? {
        served(at("migrate"), sung, &migrated.status)?;
    }
    let next = past.horizon(0).pick(&kept);
    predict(policy, &fitted.model, &states, at("predict"), &next, sung)?;
    let news: Frames = past.after().pick(&kept);
    let updated = policy.update(&fitted.model, &states, &news);
    let Some(updated) = at("update").answer(sung, updated)? else {
        return Ok(());
    };
    let still = served(at("update"), sung, &updated.status)?;
    if still.is_empty() {
        return Ok(());
    }
    let model = if updated.model.is_empty() {
        &fitted.model
    } else {
        &updated.model
    };
    let (before, all) = (states, still.len() == kept.len());
    let kept: Vec<usize> = still.iter().filter_map(|&i| kept.get(i).copied()).collect();
    let states = updated.states.pick(&still);
    let next = past.horizon(FRESH).pick(&kept);
    if all {
        let at = at("advance");
        let once = policy.advance(&fitted.model, &before, &news, &next);
        let twice = policy.predict(&fitted.model, &states, &next);
        let (once, twice) = (at.answer(sung, once)?, at.answer(sung, twice)?);
        if let Some(once) = &once {
            check_forecasts(&next, &once.forecasts).map_err(|b| at.fails(CallError::Refused(b)))?;
        }
        at.same(&once.map(|a| a.forecasts), &twice, "in two calls")?;
    }
    predict(policy, model, &states, at("predict"), &next, sung)
}

fn predict(
    policy: &dyn Forecaster,
    model: &[u8],
    states: &Blobs,
    at: At<'_>,
    horizon: &Horizon,
    sung: &mut Sung,
) -> Result<(), AdmissionError> {
    let mut ask = |states: &Blobs, horizon: &Horizon| {
        let answer = at.answer(sung, policy.predict(model, states, horizon))?;
        if let Some(answer) = &answer {
            check_forecasts(horizon, answer).map_err(|b| at.fails(CallError::Refused(b)))?;
            served(at, sung, &answer.status)?;
        }
        Ok::<_, AdmissionError>(answer)
    };
    let together = ask(states, horizon)?;
    let again = ask(states, horizon)?;
    at.same(&together, &again, "when it was asked again")?;
    let alone = ask(&states.pick(&[0]), &horizon.pick(&[0]))?;
    let (Some(together), Some(alone)) = (together, alone) else {
        return Ok(());
    };
    let (means, cells) = (alone.mean.len(), alone.quantiles.len());
    let part = (
        together.mean.get(..means),
        together.quantiles.get(..cells),
        together.status.first().map(Result::is_ok),
    );
    let whole = (
        Some(&alone.mean[..]),
        Some(&alone.quantiles[..]),
        alone.status.first().map(Result::is_ok),
    );
    at.same(&part, &whole, "when a series was asked alone")
}

/// The series that were served. One that trapped was told apart from its neighbours by the batch's
/// rescue and looks like a typed error; it is none.
fn served(
    at: At<'_>,
    sung: &mut Sung,
    statuses: &[SeriesStatus],
) -> Result<Vec<usize>, AdmissionError> {
    let mut served = vec![];
    for (i, status) in statuses.iter().enumerate() {
        match status {
            Ok(()) => served.push(i),
            Err(error @ PolicyError::Internal(_)) => {
                return Err(at.fails(CallError::Policy(error.clone())));
            }
            Err(error) if says_no(sung.rigour, error) => {
                return Err(at.fails(CallError::Policy(error.clone())));
            }
            Err(_) => sung.declined += 1,
        }
    }
    Ok(served)
}
