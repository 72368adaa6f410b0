//! A recurrent network as a component: glue over [`tidegate_model_lstm`], which has the thinking.
//!
//! The cohort of a fit is what the host sends in one call; its order does not matter.

use tidegate_guest::{
    Cohort, Error, Horizon, Joint, JointForecaster, Policy, Prediction, SeriesView,
};
use tidegate_model_lstm::{CONFIG_SCHEMA, Config, FORMAT, History, Memory, Model, fit_cohort};

/// The policy.
#[derive(Debug)]
pub struct Lstm;

impl Policy for Lstm {
    const CONFIG_SCHEMA: &str = CONFIG_SCHEMA;
    const STATE_FORMAT: u32 = FORMAT;
    type Config = Config;
    type State = Memory;

    fn validate(config: &Config) -> Result<(), Error> {
        config.validate()
    }

    fn decode(bytes: &[u8]) -> Result<Memory, Error> {
        Memory::decode(bytes)
    }
}

impl JointForecaster for Lstm {
    type Model = Model;

    fn fit(config: &Config, cohort: &Cohort<'_, Model>) -> Result<Joint<Model, Memory>, Error> {
        let histories = cohort.series.iter().map(|s| History {
            series: s.series(),
            known: s.covariates.known(),
        });
        let histories: Vec<_> = histories.collect();
        let (model, states) = fit_cohort(config, &histories, cohort.seed, cohort.base)?;
        Ok(Joint { model, states })
    }

    fn update(_: &Config, m: &Model, s: &mut Memory, rows: &SeriesView<'_>) -> Result<(), Error> {
        s.update(m, rows.values, &rows.covariates.known())
    }

    fn predict(_: &Config, m: &Model, s: &Memory, ask: &Horizon<'_>) -> Result<Prediction, Error> {
        s.predict(m, ask.steps, ask.levels, &ask.covariates.known())
    }

    fn decode_model(bytes: &[u8]) -> Result<Model, Error> {
        Model::decode(bytes)
    }
}

tidegate_guest::export_joint_forecaster!(Lstm);
