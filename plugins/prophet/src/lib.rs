//! Trend, seasons and events as a component: glue over [`tidegate_model_prophet`], which has the
//! thinking.
//!
//! Nothing is decided here. What is known beside the series (local calendar, declared events) is
//! handed on, because this model is the one that is made of it.

use tidegate_guest::{Error, ForecasterPolicy, Horizon, Policy, Prediction, SeriesView};
use tidegate_model_prophet::{CONFIG_SCHEMA, Config, FORMAT, State, fit_with};

/// The policy.
#[derive(Debug)]
pub struct Prophet;

impl Policy for Prophet {
    const CONFIG_SCHEMA: &str = CONFIG_SCHEMA;
    const STATE_FORMAT: u32 = FORMAT;
    type Config = Config;
    type State = State;

    fn validate(config: &Config) -> Result<(), Error> {
        config.validate()
    }

    fn encode(state: &State) -> Result<Vec<u8>, Error> {
        state.encode()
    }

    fn decode(bytes: &[u8]) -> Result<State, Error> {
        State::decode(bytes)
    }
}

impl ForecasterPolicy for Prophet {
    fn fit(config: &Config, history: &SeriesView<'_>) -> Result<State, Error> {
        fit_with(config, &history.series(), &history.covariates.known())
    }

    fn update(_: &Config, state: &mut State, rows: &SeriesView<'_>) -> Result<(), Error> {
        state.update_with(rows.values, &rows.covariates.known());
        Ok(())
    }

    fn predict(_: &Config, state: &State, ask: &Horizon<'_>) -> Result<Prediction, Error> {
        state.predict_with(ask.steps, ask.levels, ask.seed, &ask.covariates.known())
    }
}

tidegate_guest::export_forecaster!(Prophet);
