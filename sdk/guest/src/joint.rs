//! Forecasters that learn a cohort together: one model for all series of a fit, one small state
//! for each.
//!
//! A network learns what single histories are too short for, from all of them. To the host it is
//! the world `forecaster` like any other: `fit` gets many series of a tenant and answers one
//! immutable `model` with a `state` per series, and `update` and `predict` get that model back.
//! What differs from [`ForecasterPolicy`](crate::ForecasterPolicy) is what "batching" means:
//!
//! - `fit` is joint *by definition*: what is learned depends on who was in the batch. It does not
//!   depend on their order: the SDK sorts the series by what they carry (seed first, which names
//!   series and time), so that an author who sums over them in order is still right.
//! - `update` and `predict` see one series and the model. Their answers do not depend on the
//!   batching, as everywhere.
//! - A series that cannot be read, or of which the author says so, fails alone; the others are a
//!   cohort without it. Only an error of the whole fit is the call's.
//!
//! Warm starts: the host gives the model of the fit before as [`Cohort::base`]. One that cannot be
//! read, or is of another format, is passed over: a fit must not fail for what it could do without.
//!
//! Rejected: a model per series inside its state (the largest part of it would be stored once per
//! series), and a hook in `ForecasterPolicy` (every author would have to know about both).

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate_model_kit::{decode, encode};

use crate::batch::{Grid, advanced, answers, at, fitted, or_all_refused, same_step, unsupported};
use crate::log::hook_panics;
use crate::policy::{Exported, config, describe};
use crate::series::{Batch, length};
use crate::state::{self, Header};
use crate::wit::forecaster::exports::tidegate::policy::forecasting::{
    Advanced, Fitted, Forecasts, Guest, Horizon as Ask,
};
use crate::wit::types::{Blobs, Description, Frames, ModuleKind, PolicyError};
use crate::{Error, Horizon, Policy, Prediction, SeriesView};

/// Learns the series of a tenant or category together. [`Policy::State`] is what one series keeps;
/// [`Policy::STATE_FORMAT`] numbers the layout of states and model alike.
pub trait JointForecaster: Policy {
    /// What all series share: weights, not histories.
    type Model: Serialize + DeserializeOwned;

    /// Learns from the histories of a cohort, which has at least one series.
    ///
    /// # Errors
    /// Any, for the whole cohort; what concerns one series is its place in [`Joint::states`].
    fn fit(
        config: &Self::Config,
        cohort: &Cohort<'_, Self::Model>,
    ) -> Result<Joint<Self::Model, Self::State>, Error>;

    /// Moves a state on by rows that directly follow the last row that it has seen.
    ///
    /// # Errors
    /// Any, for this series alone; its old state then stays with the host.
    fn update(
        config: &Self::Config,
        model: &Self::Model,
        state: &mut Self::State,
        rows: &SeriesView<'_>,
    ) -> Result<(), Error>;

    /// Says what the steps after the last seen row will be, as
    /// [`ForecasterPolicy::predict`](crate::ForecasterPolicy::predict) does.
    ///
    /// # Errors
    /// Any, for this series alone.
    fn predict(
        config: &Self::Config,
        model: &Self::Model,
        state: &Self::State,
        ask: &Horizon<'_>,
    ) -> Result<Prediction, Error>;

    /// The model as bytes. The default writes the format number and then postcard.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be serialised.
    fn encode_model(model: &Self::Model) -> Result<Vec<u8>, Error> {
        encode(Self::STATE_FORMAT, model)
    }

    /// Reads what [`JointForecaster::encode_model`] wrote. Check here what the policy relies on.
    ///
    /// # Errors
    /// Any; the SDK answers `not-fitted` with the text.
    fn decode_model(bytes: &[u8]) -> Result<Self::Model, Error> {
        decode(Self::STATE_FORMAT, bytes)
    }

    /// Translates a model that an earlier version wrote under another format number.
    ///
    /// # Errors
    /// [`Error::Unsupported`], which is the default: the host then fits anew.
    fn migrate_model(format: u32, bytes: &[u8]) -> Result<Self::Model, Error> {
        let _ = bytes;
        Err(Error::Unsupported(format!(
            "a model of format {format}; this version reads {} alone: fit anew",
            Self::STATE_FORMAT
        )))
    }
}

/// What is learned from.
#[derive(Debug, Clone, Copy)]
pub struct Cohort<'a, M> {
    /// The histories, in an order that follows from what they carry and not from the caller's.
    pub series: &'a [SeriesView<'a>],
    /// The only source of chance: a hash of the seeds of the series.
    pub seed: u64,
    /// What was learned before, to train on from; `None` to begin anew.
    pub base: Option<&'a M>,
}

/// What was learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Joint<M, S> {
    /// Shared, immutable.
    pub model: M,
    /// One per series of the cohort, in its order.
    pub states: Vec<Result<S, Error>>,
}

/// A policy as the host sees it.
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: JointForecaster + Exported> Component<P> {
    /// Compiles where the policy lacks nothing.
    #[doc(hidden)]
    pub fn is_complete() {}
}

impl<P: JointForecaster + Exported> Guest for Component<P> {
    fn describe() -> Description {
        describe::<P>(ModuleKind::Forecaster)
    }

    fn fit(json: String, base: Vec<u8>, frames: Frames) -> Result<Fitted, PolicyError> {
        hook_panics();
        let base = Opened::<P>::new(&base, P::STATE_FORMAT).ok();
        learn::<P>(&json, &frames, base.as_ref().map(|opened| &opened.model))
    }

    fn update(model: Vec<u8>, states: Blobs, frames: Frames) -> Result<Fitted, PolicyError> {
        hook_panics();
        let opened = Opened::<P>::new(&model, states.format)?;
        let batch = Batch::new(&frames)?;
        let slices = state::slices(&states)?;
        length("states", slices.len(), batch.len())?;
        same_step(&opened.header, "frames", frames.step)?;
        let moved = slices.into_iter().enumerate().map(|(i, slice)| {
            let (next, bytes) = state::split_series(slice)?;
            let mut state = state::read::<P>(bytes)?;
            let rows = batch.series(i)?;
            at(next, "the rows begin", rows.start)?;
            P::update(&opened.config, &opened.model, &mut state, &rows)?;
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
        let opened = Opened::<P>::new(&model, states.format)?;
        same_step(&opened.header, "news", news.step)?;
        same_step(&opened.header, "horizon", horizon.step)?;
        let Opened { config, model, .. } = &opened;
        advanced::<P>(
            &states,
            &news,
            &horizon,
            |state, rows| P::update(config, model, state, rows),
            |state, ask| P::predict(config, model, state, ask),
        )
    }

    fn predict(model: Vec<u8>, states: Blobs, horizon: Ask) -> Result<Forecasts, PolicyError> {
        hook_panics();
        let opened = Opened::<P>::new(&model, states.format)?;
        let slices = state::slices(&states)?;
        let grid = Grid::new(&horizon, slices.len())?;
        same_step(&opened.header, "horizon", horizon.step)?;
        Ok(answers(&grid, |i, ask| {
            let (next, bytes) = state::split_series(slices[i])?;
            let state = state::read::<P>(bytes)?;
            at(next, "the horizon begins", ask.start)?;
            Ok(P::predict(&opened.config, &opened.model, &state, ask)?)
        }))
    }

    fn migrate(model: Vec<u8>, states: Blobs) -> Result<Fitted, PolicyError> {
        hook_panics();
        let (header, bytes) = split(&model).map_err(unsupported)?;
        let header = Header::read::<P>(header).map_err(unsupported)?;
        config::<P>(&header.config).map_err(unsupported)?;
        let shared = if header.format == P::STATE_FORMAT {
            read_model::<P>(bytes).map_err(unsupported)?
        } else {
            P::migrate_model(header.format, bytes)?
        };
        let moved = state::slices(&states)?
            .into_iter()
            .map(|slice| {
                let (next, bytes) = state::split_series(slice)?;
                state::write_series::<P>(next, &state::migrated::<P>(states.format, bytes)?)
            })
            .collect();
        let moved = or_all_refused(moved)?;
        let model = join(
            &Header::new::<P>(header.step, &header.config),
            &P::encode_model(&shared)?,
        )?;
        fitted::<P>(model, moved)
    }
}

fn learn<P: JointForecaster + Exported>(
    json: &str,
    frames: &Frames,
    base: Option<&P::Model>,
) -> Result<Fitted, PolicyError> {
    let config = config::<P>(json)?;
    let batch = Batch::new(frames)?;
    let header = Header::new::<P>(frames.step, json);
    let mut outcomes: Vec<Result<Vec<u8>, PolicyError>> = Vec::with_capacity(batch.len());
    let mut sound = Vec::with_capacity(batch.len());
    for i in 0..batch.len() {
        match batch.series(i) {
            Ok(series) => {
                sound.push((i, series));
                outcomes.push(Ok(Vec::new()));
            }
            Err(error) => outcomes.push(Err(error)),
        }
    }
    if sound.is_empty() {
        return fitted::<P>(join(&header, &[])?, outcomes);
    }
    sound.sort_by(|(_, a), (_, b)| order(a, b));
    let series: Vec<SeriesView<'_>> = sound.iter().map(|(_, s)| *s).collect();
    let seed = series.iter().fold(series.len() as u64, |hash, s| {
        // The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
        let mut z = (hash ^ s.seed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    });
    let cohort = Cohort {
        series: &series,
        seed,
        base,
    };
    let joint = P::fit(&config, &cohort)?;
    if joint.states.len() != series.len() {
        return Err(PolicyError::Internal(format!(
            "fitted {} states for {} series",
            joint.states.len(),
            series.len()
        )));
    }
    for ((i, series), state) in sound.iter().zip(joint.states) {
        outcomes[*i] = state
            .map_err(PolicyError::from)
            .and_then(|state| state::write_series::<P>(series.end(), &state));
    }
    let model = join(&header, &P::encode_model(&joint.model)?)?;
    fitted::<P>(model, outcomes)
}

/// By everything a series carries: series that are equal in all of it are interchangeable.
fn order(a: &SeriesView<'_>, b: &SeriesView<'_>) -> std::cmp::Ordering {
    let key = |s: &SeriesView<'_>| (s.seed, s.start, s.signal as u8, s.values.len());
    let covariates = |s: &SeriesView<'_>| -> Vec<u64> {
        let columns = s.covariates.iter().flat_map(|(_, column)| column);
        columns.map(|v| v.to_bits()).collect()
    };
    key(a)
        .cmp(&key(b))
        .then_with(|| {
            let bits =
                |s: &SeriesView<'_>| s.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            bits(a).cmp(&bits(b))
        })
        .then_with(|| covariates(a).cmp(&covariates(b)))
}

/// A model of this module in the present format, read once per call.
struct Opened<P: JointForecaster> {
    header: Header,
    config: P::Config,
    model: P::Model,
}

impl<P: JointForecaster + Exported> Opened<P> {
    fn new(model: &[u8], format: u32) -> Result<Self, PolicyError> {
        let (header, bytes) = split(model)?;
        let header = Header::read::<P>(header)?;
        state::expect_format::<P>(format)?;
        state::expect_format::<P>(header.format)?;
        let config = config::<P>(&header.config)?;
        let model = read_model::<P>(bytes)?;
        Ok(Self {
            header,
            config,
            model,
        })
    }
}

fn read_model<P: JointForecaster>(bytes: &[u8]) -> Result<P::Model, PolicyError> {
    P::decode_model(bytes).map_err(|error| {
        PolicyError::NotFitted(format!(
            "the model is not one of this module: {error}; fit anew"
        ))
    })
}

/// A model as the host holds it: the length of the header, the header, the author's bytes.
fn join(header: &Header, model: &[u8]) -> Result<Vec<u8>, PolicyError> {
    let header = header.write()?;
    let length = u32::try_from(header.len())
        .map_err(|_| PolicyError::Internal("a config of more than 4 GiB".to_owned()))?;
    Ok([&length.to_le_bytes()[..], &header, model].concat())
}

/// The inverse of [`join`]. An empty header means an empty model, which [`Header::read`] refuses.
fn split(model: &[u8]) -> Result<(&[u8], &[u8]), PolicyError> {
    let Some((length, rest)) = model.split_first_chunk() else {
        return Ok((model, &[]));
    };
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
        .ok_or_else(|| {
            PolicyError::NotFitted(
                "the model is not one of this module: its header is cut; fit anew".to_owned(),
            )
        })
}
