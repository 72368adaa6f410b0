//! Forecasters: one pure function per series, batched here.
//!
//! A series that fails fails alone: its error is its status, and zeros stand in its place. What
//! is wrong with the whole call (config, shapes, a foreign model) is the call's error. No series
//! sees another, hence the answer cannot depend on the batching.

use std::marker::PhantomData;

use crate::log::hook_panics;
use crate::policy::{Exported, config, describe, invalid};
use crate::series::{Batch, Rows, length};
use crate::state::{self, Header};
use crate::wit::forecaster::exports::tidegate::policy::forecasting::{
    Fitted, Forecasts, Guest, Horizon as Ask, SeriesStatus,
};
use crate::wit::types::{Blobs, Description, Frames, ModuleKind, PolicyError};
use crate::{Covariates, Error, Policy, Prediction, SeriesView};

/// The largest answer, in numbers: 256 MiB of them.
const MAX_ANSWER: usize = 32 << 20;

/// Learns one series at a time.
pub trait ForecasterPolicy: Policy {
    /// Learns from history.
    ///
    /// # Errors
    /// Any, for this series alone; [`Error::InsufficientData`] where the history is too short.
    fn fit(config: &Self::Config, history: &SeriesView<'_>) -> Result<Self::State, Error>;

    /// Moves the state on by rows that directly follow the last row that it has seen.
    ///
    /// # Errors
    /// Any, for this series alone; its old state then stays with the host.
    fn update(
        config: &Self::Config,
        state: &mut Self::State,
        rows: &SeriesView<'_>,
    ) -> Result<(), Error>;

    /// Says what the steps after the last seen row will be. The answer's quantiles are
    /// `[step][level]`, finite, at least 0 and not falling from level to level
    /// ([`Prediction::lawful`](crate::Prediction::lawful) makes them so).
    ///
    /// # Errors
    /// Any, for this series alone.
    fn predict(
        config: &Self::Config,
        state: &Self::State,
        ask: &Horizon<'_>,
    ) -> Result<Prediction, Error>;
}

/// What is asked of one series.
#[derive(Debug, Clone, Copy)]
pub struct Horizon<'a> {
    /// Number of steps, at least 1.
    pub steps: usize,
    /// Quantile levels per 10,000, rising.
    pub levels: &'a [u16],
    /// Start of the first step, milliseconds since the Unix epoch.
    pub start: i64,
    /// Length of a step in seconds, as fitted.
    pub step: u32,
    /// On the steps to predict.
    pub covariates: Covariates<'a>,
    /// The only source of chance.
    pub seed: u64,
}

/// A policy as the host sees it.
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: ForecasterPolicy + Exported> Component<P> {
    /// Compiles where the policy lacks nothing.
    #[doc(hidden)]
    pub fn is_complete() {}
}

impl<P: ForecasterPolicy + Exported> Guest for Component<P> {
    fn describe() -> Description {
        describe::<P>(ModuleKind::Forecaster)
    }

    fn fit(json: String, frames: Frames) -> Result<Fitted, PolicyError> {
        hook_panics();
        let config = config::<P>(&json)?;
        let batch = Batch::new(&frames)?;
        let model = Header::new::<P>(frames.step, &json).write()?;
        let states = (0..batch.len()).map(|i| {
            let history = batch.series(i)?;
            let state = P::fit(&config, &history)?;
            state::write_series::<P>(history.end(), &state)
        });
        fitted::<P>(model, states.collect())
    }

    fn update(model: Vec<u8>, states: Blobs, frames: Frames) -> Result<Fitted, PolicyError> {
        hook_panics();
        let (header, config) = opened::<P>(&model, states.format)?;
        let batch = Batch::new(&frames)?;
        let slices = state::slices(&states)?;
        length("states", slices.len(), batch.len())?;
        same_step(&header, "frames", frames.step)?;
        let moved = slices.into_iter().enumerate().map(|(i, slice)| {
            let (next, bytes) = state::split_series(slice)?;
            let mut state = state::read::<P>(bytes)?;
            let rows = batch.series(i)?;
            at(next, "the rows begin", rows.start)?;
            P::update(&config, &mut state, &rows)?;
            state::write_series::<P>(rows.end(), &state)
        });
        let moved = moved.collect();
        fitted::<P>(model, moved)
    }

    fn predict(model: Vec<u8>, states: Blobs, horizon: Ask) -> Result<Forecasts, PolicyError> {
        hook_panics();
        let (header, config) = opened::<P>(&model, states.format)?;
        let slices = state::slices(&states)?;
        let grid = Grid::new(&horizon, slices.len())?;
        same_step(&header, "horizon", horizon.step)?;
        let mut out = Forecasts {
            mean: Vec::with_capacity(slices.len() * grid.steps),
            quantiles: Vec::with_capacity(slices.len() * grid.steps * horizon.levels.len()),
            status: Vec::with_capacity(slices.len()),
        };
        for (i, slice) in slices.into_iter().enumerate() {
            let answer = predict_one::<P>(&config, slice, &grid.series(i));
            match answer {
                Ok(prediction) => {
                    out.mean.extend(prediction.mean);
                    out.quantiles.extend(prediction.quantiles);
                    out.status.push(SeriesStatus::Ok);
                }
                Err(error) => out.status.push(SeriesStatus::Failed(error)),
            }
            out.mean.resize((i + 1) * grid.steps, 0.0);
            out.quantiles
                .resize((i + 1) * grid.steps * horizon.levels.len(), 0.0);
        }
        Ok(out)
    }

    fn migrate(model: Vec<u8>, states: Blobs) -> Result<Fitted, PolicyError> {
        hook_panics();
        let header = Header::read::<P>(&model).map_err(unsupported)?;
        config::<P>(&header.config).map_err(unsupported)?;
        let moved: Vec<_> = state::slices(&states)?
            .into_iter()
            .map(|slice| {
                let (next, bytes) = state::split_series(slice)?;
                state::write_series::<P>(next, &state::migrated::<P>(states.format, bytes)?)
            })
            .collect();
        let refused = |o: &Result<_, PolicyError>| matches!(o, Err(PolicyError::Unsupported(_)));
        if let Some(Err(error)) = moved.first()
            && moved.iter().all(refused)
        {
            return Err(error.clone());
        }
        let model = Header::new::<P>(header.step, &header.config).write()?;
        fitted::<P>(model, moved)
    }
}

fn predict_one<P: ForecasterPolicy>(
    config: &P::Config,
    slice: &[u8],
    ask: &Horizon<'_>,
) -> Result<Prediction, PolicyError> {
    let (next, bytes) = state::split_series(slice)?;
    let state = state::read::<P>(bytes)?;
    at(next, "the horizon begins", ask.start)?;
    let answer = P::predict(config, &state, ask)?;
    let (mean, quantiles) = (answer.mean.len(), answer.quantiles.len());
    if mean != ask.steps || quantiles != ask.steps * ask.levels.len() {
        return Err(PolicyError::Internal(format!(
            "predicted {mean} means and {quantiles} quantiles for {} steps of {} levels",
            ask.steps,
            ask.levels.len()
        )));
    }
    Ok(answer)
}

/// A model of this module in the present format, and its config.
fn opened<P: ForecasterPolicy + Exported>(
    model: &[u8],
    format: u32,
) -> Result<(Header, P::Config), PolicyError> {
    let header = Header::read::<P>(model)?;
    state::expect_format::<P>(format)?;
    let config = config::<P>(&header.config)?;
    Ok((header, config))
}

fn fitted<P: Policy>(
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

fn same_step(header: &Header, what: &str, step: u32) -> Result<(), PolicyError> {
    if step == header.step {
        return Ok(());
    }
    Err(invalid(format!(
        "{what}.step is {step} s, but the states were fitted at {} s: fit anew",
        header.step
    )))
}

fn at(next: i64, what: &str, start: i64) -> Result<(), PolicyError> {
    if start == next {
        return Ok(());
    }
    Err(invalid(format!(
        "{what} at {start} ms, but the state goes on at {next} ms: send the rows between, missing \
         ones marked"
    )))
}

/// What an earlier version left and this one cannot read is no fault of the caller.
fn unsupported(error: PolicyError) -> PolicyError {
    match error {
        PolicyError::NotFitted(text) | PolicyError::InvalidInput(text) => {
            PolicyError::Unsupported(text)
        }
        other => other,
    }
}

/// A horizon, checked.
struct Grid<'a> {
    ask: &'a Ask,
    rows: Rows<'a>,
    steps: usize,
}

impl<'a> Grid<'a> {
    fn new(ask: &'a Ask, series: usize) -> Result<Self, PolicyError> {
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
        })
    }

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
