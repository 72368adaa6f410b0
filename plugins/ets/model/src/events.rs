//! The model with declared events: the kit's [`Uplifted`] around the plain one.
//!
//! Events do not enter the equations. Their rows are missing to the smoothing, and what they are
//! worth is learned beside it, in the same way for every model that takes no regressors.

use tidegate_model_kit::{Covariates, ModelError, Series, Uplifted};

use crate::config::Config;
use crate::fit::fit_plain;
use crate::state::{FORMAT, Smoothing};

/// The format of states that knew no events.
const PLAIN_FORMAT: u32 = 1;

/// A fitted model with what events are worth; what the host keeps per series.
pub type State = Uplifted<Smoothing>;

/// [`fit_with`] where nothing is known beside the series.
///
/// # Errors
/// As [`fit_plain`].
pub fn fit(config: &Config, series: &Series<'_>) -> Result<State, ModelError> {
    fit_with(config, series, &Covariates::default())
}

/// Fits a model to a history with the events of `known`, one value per row.
///
/// # Errors
/// As [`fit_plain`]; rows on which events run do not count as points.
pub fn fit_with(
    config: &Config,
    series: &Series<'_>,
    known: &Covariates<'_>,
) -> Result<State, ModelError> {
    State::fit(series, known, |ordinary| fit_plain(config, ordinary))
}

/// Reads the bytes of an earlier version: format 1 had no events.
///
/// # Errors
/// [`ModelError::Unsupported`] for a format that was never written,
/// [`ModelError::InvalidInput`] for damaged bytes.
pub fn migrate(format: u32, bytes: &[u8]) -> Result<State, ModelError> {
    if format != PLAIN_FORMAT {
        return Err(ModelError::Unsupported(format!(
            "a state of format {format}; this version reads {PLAIN_FORMAT} and {FORMAT}: fit again"
        )));
    }
    State::migrate(format, bytes, Smoothing::scale)
}
