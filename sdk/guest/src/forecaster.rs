//! Forecasters: one pure function per series, batched here.
//!
//! A series that fails fails alone: its error is its status, and zeros stand in its place. What
//! is wrong with the whole call (config, shapes, a foreign model) is the call's error. No series
//! sees another, hence the answer cannot depend on the batching.

use std::marker::PhantomData;

use crate::batch::{Grid, advanced, answers, at, fitted, or_all_refused, same_step, unsupported};
use crate::log::hook_panics;
use crate::policy::{Exported, config, describe};
use crate::series::{Batch, length};
use crate::state::{self, Header};
use crate::wit::forecaster::exports::tidegate::policy::forecasting::{
    Advanced, Fitted, Forecasts, Guest, Horizon as Ask,
};
use crate::wit::types::{Blobs, Description, Frames, ModuleKind, PolicyError};
use crate::{Covariates, Error, Policy, Prediction, SeriesView};

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

    fn fit(json: String, _: Vec<u8>, frames: Frames) -> Result<Fitted, PolicyError> {
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

    fn advance(
        model: Vec<u8>,
        states: Blobs,
        news: Frames,
        horizon: Ask,
    ) -> Result<Advanced, PolicyError> {
        hook_panics();
        let (header, config) = opened::<P>(&model, states.format)?;
        same_step(&header, "news", news.step)?;
        same_step(&header, "horizon", horizon.step)?;
        advanced::<P>(
            &states,
            &news,
            &horizon,
            |state, rows| P::update(&config, state, rows),
            |state, ask| P::predict(&config, state, ask),
        )
    }

    fn predict(model: Vec<u8>, states: Blobs, horizon: Ask) -> Result<Forecasts, PolicyError> {
        hook_panics();
        let (header, config) = opened::<P>(&model, states.format)?;
        let slices = state::slices(&states)?;
        let grid = Grid::new(&horizon, slices.len())?;
        same_step(&header, "horizon", horizon.step)?;
        Ok(answers(&grid, |i, ask| {
            let (next, bytes) = state::split_series(slices[i])?;
            let state = state::read::<P>(bytes)?;
            at(next, "the horizon begins", ask.start)?;
            Ok(P::predict(&config, &state, ask)?)
        }))
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
        let moved = or_all_refused(moved)?;
        let model = Header::new::<P>(header.step, &header.config).write()?;
        fitted::<P>(model, moved)
    }
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
