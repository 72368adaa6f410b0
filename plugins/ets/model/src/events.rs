//! The model with declared events: the kit's [`Uplifted`] around the plain one.
//!
//! Events do not enter the equations. Their rows are missing to the smoothing, and what they are
//! worth is learned beside it, in the same way for every model that takes no regressors.

use tidegate_model_kit::{Covariates, ModelError, Series, Uplifted};

use crate::config::Config;
use crate::fit::fit_plain;
use crate::state::Smoothing;

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
