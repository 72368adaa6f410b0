//! The theta method as a component: glue over [`tidegate_model_theta`], which has the thinking.
//!
//! Nothing is decided here. The state's own encoding is used, because it checks what it reads.

use tidegate_guest::{Error, ForecasterPolicy, Horizon, Policy, Prediction, SeriesView};
use tidegate_model_theta::{CONFIG_SCHEMA, Config, FORMAT, State, fit_with};

/// The policy.
#[derive(Debug)]
pub struct Theta;

impl Policy for Theta {
    const CONFIG_SCHEMA: &str = CONFIG_SCHEMA;
    const STATE_FORMAT: u32 = FORMAT;
    type Config = Config;
    type State = State;

    fn encode(state: &State) -> Result<Vec<u8>, Error> {
        state.encode()
    }

    fn decode(bytes: &[u8]) -> Result<State, Error> {
        State::decode(bytes)
    }
}

impl ForecasterPolicy for Theta {
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

tidegate_guest::export_forecaster!(Theta);
