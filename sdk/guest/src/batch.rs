//! What both kinds of forecasters do around an author's answers: shapes, statuses, refusals.
//!
//! One policy learns each series alone, another learns a cohort together; to the host they are the
//! same world. So how a batch is answered stands here once, and the two traits differ in nothing
//! but in what is passed to the author.

use crate::policy::invalid;
use crate::series::{Batch, Rows, length};
use crate::state::{self, Header};
use crate::wit::forecaster::exports::tidegate::policy::forecasting::{
    Advanced, Fitted, Forecasts, Horizon as Ask, SeriesStatus,
};
use crate::wit::types::{Blobs, Frames, PolicyError};
use crate::{Error, Horizon, Policy, Prediction, SeriesView};

/// The largest answer, in numbers: 256 MiB of them.
const MAX_ANSWER: usize = 32 << 20;

/// Asks `predict` for every series of the grid: a series that fails has zeros and its error.
pub(crate) fn answers(
    grid: &Grid<'_>,
    mut predict: impl FnMut(usize, &Horizon<'_>) -> Result<Prediction, PolicyError>,
) -> Forecasts {
    let levels = grid.ask.levels.len();
    let mut out = Forecasts {
        mean: Vec::with_capacity(grid.series * grid.steps),
        quantiles: Vec::with_capacity(grid.series * grid.steps * levels),
        status: Vec::with_capacity(grid.series),
    };
    for i in 0..grid.series {
        let ask = grid.series(i);
        match predict(i, &ask).and_then(|answer| shaped(answer, &ask)) {
            Ok(prediction) => {
                out.mean.extend(prediction.mean);
                out.quantiles.extend(prediction.quantiles);
                out.status.push(SeriesStatus::Ok);
            }
            Err(error) => out.status.push(SeriesStatus::Failed(error)),
        }
        out.mean.resize((i + 1) * grid.steps, 0.0);
        out.quantiles.resize((i + 1) * grid.steps * levels, 0.0);
    }
    out
}

/// Moves every state on by its news and asks it what comes next. A series without news keeps its bytes; a
/// series that fails in either has its error, zeros, and no state.
pub(crate) fn advanced<P: Policy>(
    states: &Blobs,
    news: &Frames,
    ask: &Ask,
    update: impl Fn(&mut P::State, &SeriesView<'_>) -> Result<(), Error>,
    predict: impl Fn(&P::State, &Horizon<'_>) -> Result<Prediction, Error>,
) -> Result<Advanced, PolicyError> {
    let batch = Batch::new(news)?;
    let slices = state::slices(states)?;
    length("states", slices.len(), batch.len())?;
    let grid = Grid::new(ask, slices.len())?;
    let mut parts = vec![Vec::new(); slices.len()];
    let forecasts = answers(&grid, |i, ask| {
        let (next, bytes) = state::split_series(slices[i])?;
        let mut state = state::read::<P>(bytes)?;
        let rows = batch.series(i)?;
        at(next, "the news begin", rows.start)?;
        let moved = if rows.values.is_empty() {
            slices[i].to_vec()
        } else {
            update(&mut state, &rows)?;
            state::write_series::<P>(rows.end(), &state)?
        };
        at(rows.end(), "the horizon begins", ask.start)?;
        let prediction = predict(&state, ask)?;
        parts[i] = moved;
        Ok(prediction)
    });
    let states = state::join(P::STATE_FORMAT, &parts)?;
    Ok(Advanced { states, forecasts })
}

fn shaped(answer: Prediction, ask: &Horizon<'_>) -> Result<Prediction, PolicyError> {
    let (mean, quantiles) = (answer.mean.len(), answer.quantiles.len());
    if mean == ask.steps && quantiles == ask.steps * ask.levels.len() {
        return Ok(answer);
    }
    Err(PolicyError::Internal(format!(
        "predicted {mean} means and {quantiles} quantiles for {} steps of {} levels",
        ask.steps,
        ask.levels.len()
    )))
}

/// The outcomes of a migration, or the first refusal where every series was refused: the host
/// then fits anew.
pub(crate) fn or_all_refused(
    moved: Vec<Result<Vec<u8>, PolicyError>>,
) -> Result<Vec<Result<Vec<u8>, PolicyError>>, PolicyError> {
    let refused = |o: &Result<_, PolicyError>| matches!(o, Err(PolicyError::Unsupported(_)));
    if let Some(Err(error)) = moved.first()
        && moved.iter().all(refused)
    {
        return Err(error.clone());
    }
    Ok(moved)
}

/// What `fit`, `update` and `migrate` answer: a failed series has an empty state.
pub(crate) fn fitted<P: Policy>(
    model: Vec<u8>,
    outcomes: Vec<Result<Vec<u8>, PolicyError>>,
) -> Result<Fitted, PolicyError> {
    let (mut parts, mut status) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(part) => {
                parts.push(part);
                status.push(SeriesStatus::Ok);
            }
            Err(error) => {
                parts.push(Vec::new());
                status.push(SeriesStatus::Failed(error));
            }
        }
    }
    Ok(Fitted {
        model,
        states: state::join(P::STATE_FORMAT, &parts)?,
        status,
    })
}

/// Refuses another step than that of the fit.
pub(crate) fn same_step(header: &Header, what: &str, step: u32) -> Result<(), PolicyError> {
    if step == header.step {
        return Ok(());
    }
    Err(invalid(format!(
        "{what}.step is {step} s, but the states were fitted at {} s: fit anew",
        header.step
    )))
}

/// Refuses rows or horizons that do not begin where the state goes on.
pub(crate) fn at(next: i64, what: &str, start: i64) -> Result<(), PolicyError> {
    if start == next {
        return Ok(());
    }
    Err(invalid(format!(
        "{what} at {start} ms, but the state goes on at {next} ms: send the rows between, missing \
         ones marked"
    )))
}

/// What an earlier version left and this one cannot read is no fault of the caller.
pub(crate) fn unsupported(error: PolicyError) -> PolicyError {
    match error {
        PolicyError::NotFitted(text) | PolicyError::InvalidInput(text) => {
            PolicyError::Unsupported(text)
        }
        other => other,
    }
}

/// A horizon, checked.
pub(crate) struct Grid<'a> {
    ask: &'a Ask,
    rows: Rows<'a>,
    steps: usize,
    /// Number of series.
    series: usize,
}

impl<'a> Grid<'a> {
    pub(crate) fn new(ask: &'a Ask, series: usize) -> Result<Self, PolicyError> {
        let steps = ask.steps as usize;
        length("horizon.starts", ask.starts.len(), series)?;
        length("horizon.seeds", ask.seeds.len(), series)?;
        let lawful = |w: &[u16]| w[0] < w[1];
        if !ask.levels.windows(2).all(lawful) || ask.levels.iter().any(|l| !(1..=9999).contains(l))
        {
            return Err(invalid("horizon.levels must rise within 1 to 9999"));
        }
        let numbers = series
            .checked_mul(steps)
            .and_then(|n| n.checked_mul(ask.levels.len() + 1));
        if steps == 0 || numbers.is_none_or(|n| n > MAX_ANSWER) {
            return Err(invalid(format!(
                "horizon.steps is {steps}: ask for at least 1, and at most {MAX_ANSWER} numbers in \
                 all"
            )));
        }
        Ok(Self {
            ask,
            rows: Rows::new(&ask.future, series * steps)?,
            steps,
            series,
        })
    }

    /// What is asked of series `i`.
    fn series(&self, i: usize) -> Horizon<'_> {
        Horizon {
            steps: self.steps,
            levels: &self.ask.levels,
            start: self.ask.starts[i],
            step: self.ask.step,
            covariates: self.rows.of(i * self.steps..(i + 1) * self.steps),
            seed: self.ask.seeds[i],
        }
    }
}
