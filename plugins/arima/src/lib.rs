//! Regression with ARIMA errors as a component: glue over [`tidegate_model_arima`], which has the
//! thinking.
//!
//! Nothing is decided here. Events and other known values reach the model as they come.

use tidegate_guest::{Error, ForecasterPolicy, Horizon, Policy, Prediction, SeriesView};
use tidegate_model_arima::{CONFIG_SCHEMA, Config, FORMAT, State, fit_with};

/// The policy.
#[derive(Debug)]
pub struct Arima;

impl Policy for Arima {
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

impl ForecasterPolicy for Arima {
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

tidegate_guest::export_forecaster!(Arima);
