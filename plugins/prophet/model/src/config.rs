//! What an author may set. Every field has a default that serves an api nobody configured;
//! an unknown field is an error, because a misspelt option that is ignored costs a day.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::ModelError;

/// The configuration of a fit. `{}` is the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What the trend does.
    pub growth: Growth,
    /// How seasons meet the trend.
    pub seasonality: Seasonality,
    /// Whether the level of the newest errors is carried on.
    pub ar: Ar,
    /// Possible changes of the trend's slope, spread over the first four fifths of the history.
    pub changepoints: u16,
    /// The scale of the Laplace prior of a change, in the size of the series per history: larger
    /// lets the trend bend more.
    pub changepoint_prior: f64,
    /// Sample paths of a simulated interval.
    pub paths: u16,
}

/// Which trends a fit considers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// Linear, with a last slope that back-tests must have earned.
    Auto,
    /// Piecewise linear, the last slope going on.
    Linear,
    /// A constant.
    Flat,
}

/// Which meetings of season and trend a fit considers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seasonality {
    /// By the scatter that each leaves.
    Auto,
    /// The same swing at every level.
    Additive,
    /// A swing in proportion to the trend.
    Multiplicative,
}

/// Whether residuals are forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ar {
    /// As far ahead as back-tests say that it helps.
    Auto,
    /// The model of the paper.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            growth: Growth::Auto,
            seasonality: Seasonality::Auto,
            ar: Ar::Auto,
            changepoints: 25,
            changepoint_prior: 0.05,
            paths: 400,
        }
    }
}

impl Config {
    /// Checks ranges that the types do not express.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] names the field and its range.
    pub fn validate(&self) -> Result<(), ModelError> {
        if self.changepoints > 100 {
            return Err(ModelError::invalid(format!(
                "changepoints is {}: use 0 to 100",
                self.changepoints
            )));
        }
        if !(1e-4..=100.0).contains(&self.changepoint_prior) {
            return Err(ModelError::invalid(format!(
                "changepoint_prior is {}: use 0.0001 to 100",
                self.changepoint_prior
            )));
        }
        if !(50..=5000).contains(&self.paths) {
            return Err(ModelError::invalid(format!(
                "paths is {}: use 50 to 5000",
                self.paths
            )));
        }
        Ok(())
    }
}

/// The JSON schema of [`Config`], as the manifest carries it.
pub const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    tidegate_model_kit::config_sentences!(
        Config,
        CONFIG_SCHEMA,
        choices = ["growth", "seasonality", "ar"]
    );

    #[test]
    fn numbers_out_of_range_are_refused_by_name_and_unknown_keys_too() {
        for (text, name) in [
            ("{\"paths\":3}", "paths"),
            ("{\"changepoints\":101}", "changepoints"),
            ("{\"changepoint_prior\":0}", "changepoint_prior"),
        ] {
            let config: Config = serde_json::from_str(text).unwrap();
            let e = config.validate().unwrap_err();
            assert!(e.to_string().contains(name), "{e}");
        }
        let e = serde_json::from_str::<Config>("{\"grow\":1}").unwrap_err();
        assert!(e.to_string().contains("grow"), "{e}");
    }
}
