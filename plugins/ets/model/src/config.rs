//! What an author may set. Every field has a default that serves an api nobody configured;
//! an unknown field is an error, because a misspelt option that is ignored costs a day.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::ModelError;

/// The configuration of a fit. `{}` is the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How errors enter: scaled with the level, or not.
    pub error: ErrorChoice,
    /// The trend's class.
    pub trend: TrendChoice,
    /// The season's class.
    pub season: SeasonChoice,
    /// What the likelihood is of.
    pub criterion: Criterion,
    /// The newest points that the likelihood sees; the seasons are estimated from all.
    pub likelihood_points: u32,
    /// Sample paths of a simulated forecast (classes without a closed form).
    pub paths: u16,
}

/// Which error classes a fit considers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorChoice {
    /// By AICc.
    Auto,
    /// Errors of the same size at every level.
    Additive,
    /// Errors in proportion to the level; needs values above zero.
    Multiplicative,
}

/// Which trend classes a fit considers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrendChoice {
    /// None or damped, by AICc. An undamped trend runs away over a day of 5-minute steps.
    Auto,
    /// No trend.
    None,
    /// A straight line.
    Additive,
    /// A line that flattens out.
    Damped,
}

/// Which season classes a fit considers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeasonChoice {
    /// By the likelihood of the decomposition; none where the history shows none.
    Auto,
    /// No season.
    None,
    /// A profile that is added.
    Additive,
    /// A profile that multiplies; needs values above zero.
    Multiplicative,
}

/// Which errors the likelihood is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// Errors one step ahead, as in the textbook.
    OneStep,
    /// Errors 1, 2, 4, ... steps ahead up to a season: steadier hours ahead.
    MultiStep,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            error: ErrorChoice::Auto,
            trend: TrendChoice::Auto,
            season: SeasonChoice::Auto,
            criterion: Criterion::MultiStep,
            likelihood_points: 2016,
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
        if !(50..=100_000).contains(&self.likelihood_points) {
            return Err(ModelError::invalid(format!(
                "likelihood_points is {}: use 50 to 100000",
                self.likelihood_points
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
        choices = ["error", "trend", "season", "criterion"]
    );

    #[test]
    fn a_number_out_of_range_is_refused_by_name() {
        let e = Config {
            paths: 3,
            ..Config::default()
        }
        .validate()
        .unwrap_err();
        assert!(e.to_string().contains("paths"), "{e}");
    }
}
