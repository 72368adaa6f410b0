//! A series with a model of its own: for callers that know one series at a time (the ensemble, the
//! laws of all forecasters).
//!
//! It is a cohort of one. What a network learns of one history is less than what it learns of
//! sixteen, and the model is stored with every series: prefer [`fit_cohort`].

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Covariates, ModelError, Prediction, Series, decode, encode};

use crate::config::Config;
use crate::memory::Memory;
use crate::model::{FORMAT, History, Model, fit_cohort};

/// A network and the series that it was trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    model: Model,
    memory: Memory,
}

/// Trains a network on one history.
///
/// # Errors
/// [`ModelError::InsufficientData`] below three observed points; [`ModelError::InvalidInput`] for
/// a bad configuration, infinite values or a zero step.
pub fn fit(config: &Config, series: &Series<'_>) -> Result<State, ModelError> {
    fit_with(config, series, &Covariates::default())
}

/// [`fit`], with what is known beside the series.
///
/// # Errors
/// As [`fit`].
pub fn fit_with(
    config: &Config,
    series: &Series<'_>,
    known: &Covariates<'_>,
) -> Result<State, ModelError> {
    let history = History {
        series: *series,
        known: known.clone(),
    };
    let (model, memories) = fit_cohort(config, &[history], 0, None)?;
    let memory = memories
        .into_iter()
        .next()
        .unwrap_or(Err(ModelError::NotFitted))?;
    Ok(State { model, memory })
}

impl State {
    /// Takes the values of the steps that follow the last seen one; NaN is a missing step.
    pub fn update(&mut self, values: &[f64]) {
        self.update_with(values, &Covariates::default());
    }

    /// [`State::update`], with what is known on the rows.
    pub fn update_with(&mut self, values: &[f64], known: &Covariates<'_>) {
        // The only error is a model of another size, which `decode` has refused.
        let _ = self.memory.update(&self.model, values, known);
    }

    /// Forecasts the `horizon` steps after the last seen one, at quantile levels in parts per
    /// 10,000 (ascending). Nothing is left to chance: the seed does not matter.
    ///
    /// # Errors
    /// As [`Memory::predict`].
    pub fn predict(
        &self,
        horizon: usize,
        levels: &[u16],
        seed: u64,
    ) -> Result<Prediction, ModelError> {
        self.predict_with(horizon, levels, seed, &Covariates::default())
    }

    /// [`State::predict`], with what is known on the steps.
    ///
    /// # Errors
    /// As [`Memory::predict`].
    pub fn predict_with(
        &self,
        horizon: usize,
        levels: &[u16],
        _: u64,
        known: &Covariates<'_>,
    ) -> Result<Prediction, ModelError> {
        self.memory.predict(&self.model, horizon, levels, known)
    }

    /// The state as bytes that begin with [`FORMAT`].
    ///
    /// # Errors
    /// [`ModelError::Internal`] if serialisation fails.
    pub fn encode(&self) -> Result<Vec<u8>, ModelError> {
        encode(FORMAT, self)
    }

    /// Reads bytes that [`State::encode`] wrote.
    ///
    /// # Errors
    /// [`ModelError::NotFitted`] for empty bytes, [`ModelError::Unsupported`] for another format,
    /// [`ModelError::InvalidInput`] for damaged bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        let state: Self = decode(FORMAT, bytes)?;
        let is_sound = state.model.is_sound() && state.memory.is_sound();
        if is_sound && state.memory.belongs(&state.model).is_ok() {
            Ok(state)
        } else {
            Err(ModelError::invalid("damaged state: impossible values"))
        }
    }
}
