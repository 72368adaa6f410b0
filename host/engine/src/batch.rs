//! Batches of series: a call that fails is split until the series that breaks it stands alone.
//!
//! A batch carries many series of one tenant, and one strange series must not take the others'
//! forecasts with it. So a batch that trapped, overran or wanted too much is halved again and
//! again; the guilty series get a failed status, the others their results, which are the same as in
//! one batch because the interface says that results do not depend on which series share a call.
//! The cost is bounded: each further call costs 1 of [`BUDGET`], one that ran into its deadline
//! [`DEADLINE_COST`]; what is not resolved by then has failed.

use tidegate_core::invariant::{Breach, Invariant};
use tidegate_core::policy::{
    Advanced, Blobs, CallError, Fitted, Forecasts, Horizon, PolicyError, SeriesStatus,
};

/// Further calls after a failed batch: enough to find four series among a thousand.
const BUDGET: u32 = 80;

/// What a call that ran into its deadline costs of it: at most five of them.
const DEADLINE_COST: u32 = 16;

/// The outcome of one part of a batch.
#[derive(Debug)]
pub(crate) struct Part<T> {
    /// Indices into the batch, rising.
    pub(crate) series: Vec<usize>,
    pub(crate) outcome: Result<T, CallError>,
}

/// Calls `whole`, and on a failure that a single series can cause, `some` on parts of the batch.
/// `join` may answer `None` when the parts' results cannot stand side by side (they fitted
/// different models): then the survivors are called once more together.
///
/// # Errors
/// The first error, when no series could be saved or when it is the batch's own.
pub(crate) fn rescue<T>(
    series: usize,
    whole: impl FnOnce() -> Result<T, CallError>,
    mut some: impl FnMut(&[usize]) -> Result<T, CallError>,
    mut join: impl FnMut(usize, &[Part<T>]) -> Option<T>,
) -> Result<T, CallError> {
    let first = match whole() {
        Ok(answer) => return Ok(answer),
        Err(error) if series < 2 || !may_be_one_series(&error) => return Err(error),
        Err(error) => error,
    };
    let parts = split(series, &first, &mut some);
    if parts.iter().all(|part| part.outcome.is_err()) {
        return Err(first);
    }
    if let Some(joined) = join(series, &parts) {
        return Ok(joined);
    }
    let (saved, mut rest): (Vec<_>, Vec<_>) = parts.into_iter().partition(|p| p.outcome.is_ok());
    let survivors: Vec<usize> = saved.into_iter().flat_map(|part| part.series).collect();
    let outcome = some(&survivors);
    if let Err(error) = outcome {
        return Err(error);
    }
    rest.push(Part {
        series: survivors,
        outcome,
    });
    join(series, &rest).ok_or(first)
}

fn split<T>(
    series: usize,
    first: &CallError,
    some: &mut impl FnMut(&[usize]) -> Result<T, CallError>,
) -> Vec<Part<T>> {
    let mut left = BUDGET.saturating_sub(cost(first));
    let mut open = halves((0..series).collect());
    let mut parts = vec![];
    while let Some(series) = open.pop() {
        if left == 0 {
            let text = format!("the batch failed too often to find out why: {first}");
            let outcome = Err(CallError::Trap(text));
            parts.push(Part { series, outcome });
            continue;
        }
        let outcome = some(&series);
        left = left.saturating_sub(outcome.as_ref().err().map_or(1, cost));
        match outcome {
            Err(error) if series.len() > 1 && may_be_one_series(&error) => {
                open.extend(halves(series));
            }
            outcome => parts.push(Part { series, outcome }),
        }
    }
    parts
}

/// The second half first, so that a stack gives the first one back first.
fn halves(mut series: Vec<usize>) -> Vec<Vec<usize>> {
    let second = series.split_off(series.len() / 2);
    vec![second, series]
}

fn cost(error: &CallError) -> u32 {
    match error {
        CallError::Deadline { .. } => DEADLINE_COST,
        _ => 1,
    }
}

fn may_be_one_series(error: &CallError) -> bool {
    match error {
        CallError::Trap(_) | CallError::Deadline { .. } | CallError::Limit { .. } => true,
        CallError::Policy(_) | CallError::Refused(_) | CallError::Unavailable(_) => false,
    }
}

/// Per series: the result that it is in, and where.
fn places<T>(series: usize, parts: &[Part<T>]) -> Vec<Result<(&T, usize), PolicyError>> {
    let missing = || PolicyError::Internal("the series was in no part of the batch".into());
    let mut places: Vec<_> = (0..series).map(|_| Err(missing())).collect();
    for part in parts {
        for (at, &s) in part.series.iter().enumerate() {
            if let Some(place) = places.get_mut(s) {
                *place = match &part.outcome {
                    Ok(answer) => Ok((answer, at)),
                    Err(CallError::Policy(error)) => Err(error.clone()),
                    Err(error) => Err(PolicyError::Internal(error.to_string())),
                };
            }
        }
    }
    places
}

fn status_at(status: &[SeriesStatus], at: usize) -> SeriesStatus {
    let missing = || PolicyError::Internal("the series has no status".into());
    status.get(at).cloned().unwrap_or_else(|| Err(missing()))
}

/// One answer of parts that agree on their model; `None` when they do not.
pub(crate) fn join_fitted(series: usize, parts: &[Part<Fitted>]) -> Option<Fitted> {
    let mut answers = parts.iter().filter_map(|part| part.outcome.as_ref().ok());
    let first = answers.next()?;
    let agree =
        |other: &Fitted| other.model == first.model && other.states.format == first.states.format;
    if !answers.all(agree) {
        return None;
    }
    let places = places(series, parts);
    let blobs = places
        .iter()
        .map(|place| place.as_ref().map_or(&[][..], |(f, at)| f.states.get(*at)));
    Some(Fitted {
        model: first.model.clone(),
        states: Blobs::join(first.states.format, blobs),
        status: places
            .iter()
            .map(|place| match place {
                Ok((answer, at)) => status_at(&answer.status, *at),
                Err(error) => Err(error.clone()),
            })
            .collect(),
    })
}

/// One answer of parts that agree on the format of their states; `None` when they do not.
pub(crate) fn join_advanced(
    horizon: &Horizon,
    series: usize,
    parts: &[Part<Advanced>],
) -> Option<Advanced> {
    let mut answers = parts.iter().filter_map(|part| part.outcome.as_ref().ok());
    let format = answers.next()?.states.format;
    if !answers.all(|other| other.states.format == format) {
        return None;
    }
    let places = places(series, parts);
    let blobs = places
        .iter()
        .map(|place| place.as_ref().map_or(&[][..], |(a, at)| a.states.get(*at)));
    let states = Blobs::join(format, blobs);
    let grids = places
        .into_iter()
        .map(|place| place.map(|(answer, at)| (&answer.forecasts, at)));
    let forecasts = side_by_side(horizon, grids);
    Some(Advanced { states, forecasts })
}

/// One answer of parts; zeros where a series failed.
pub(crate) fn join_forecasts(
    horizon: &Horizon,
    series: usize,
    parts: &[Part<Forecasts>],
) -> Forecasts {
    side_by_side(horizon, places(series, parts).into_iter())
}

fn side_by_side<'a>(
    horizon: &Horizon,
    places: impl ExactSizeIterator<Item = Result<(&'a Forecasts, usize), PolicyError>>,
) -> Forecasts {
    let series = places.len();
    let steps = horizon.steps as usize;
    let cells = steps * horizon.levels.len();
    let mut joined = Forecasts {
        mean: Vec::with_capacity(series * steps),
        quantiles: Vec::with_capacity(series * cells),
        status: Vec::with_capacity(series),
    };
    for (i, place) in places.enumerate() {
        joined.status.push(match place {
            Ok((answer, at)) => {
                let mean = answer.mean.get(at * steps..(at + 1) * steps);
                let grid = answer.quantiles.get(at * cells..(at + 1) * cells);
                joined.mean.extend_from_slice(mean.unwrap_or_default());
                joined.quantiles.extend_from_slice(grid.unwrap_or_default());
                status_at(&answer.status, at)
            }
            Err(error) => Err(error),
        });
        joined.mean.resize((i + 1) * steps, 0.0);
        joined.quantiles.resize((i + 1) * cells, 0.0);
    }
    joined
}

/// Lengths alone; the flow checks the numbers per series.
///
/// # Errors
/// FC1 with the column whose length is wrong.
pub(crate) fn check_forecasts_shape(
    horizon: &Horizon,
    answer: &Forecasts,
) -> Result<(), CallError> {
    tidegate_core::invariant::check_forecasts_shape(horizon, answer).map_err(CallError::Refused)
}

/// One status and one state per series, offsets that cover the bytes.
///
/// # Errors
/// FC1 with what is wrong.
pub(crate) fn check_fitted_shape(series: usize, answer: &Fitted) -> Result<(), CallError> {
    check_lengths(&[("status", answer.status.len(), series)])?;
    check_blobs_shape(series, &answer.states)
}

/// One state per series, offsets that cover the bytes.
///
/// # Errors
/// FC1 with what is wrong.
pub(crate) fn check_blobs_shape(series: usize, states: &Blobs) -> Result<(), CallError> {
    let offsets = &states.offsets;
    check_lengths(&[
        ("states.offsets", offsets.len(), series + 1),
        (
            "states.bytes",
            states.bytes.len(),
            offsets.last().map_or(0, |&o| o as usize),
        ),
    ])?;
    if offsets.first() != Some(&0) || !offsets.is_sorted() {
        return Err(refused(
            "states.offsets must begin with 0 and never fall".into(),
        ));
    }
    Ok(())
}

fn check_lengths(lengths: &[(&str, usize, usize)]) -> Result<(), CallError> {
    match lengths.iter().find(|(_, have, want)| have != want) {
        None => Ok(()),
        Some((what, have, want)) => Err(refused(format!(
            "{what} has {have} entries, {want} were asked for"
        ))),
    }
}

fn refused(detail: String) -> CallError {
    CallError::Refused(Breach::new(Invariant::FC1, detail))
}

#[cfg(test)]
mod tests;
