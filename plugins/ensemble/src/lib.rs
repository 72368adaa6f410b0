//! The combination of forecasters as a component: glue over [`tidegate_model_ensemble`].
//!
//! Nothing is decided here. The state's own encoding is used, because it checks what it reads.

use tidegate_guest::{Error, ForecasterPolicy, Horizon, Policy, Prediction, SeriesView};
use tidegate_model_ensemble::{CONFIG_SCHEMA, Config, FORMAT, State, fit_with};

/// The policy.
#[derive(Debug)]
pub struct Ensemble;

impl Policy for Ensemble {
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

impl ForecasterPolicy for Ensemble {
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

tidegate_guest::export_forecaster!(Ensemble);
