//! What an author may set. Every field has a default that serves an api nobody configured;
//! an unknown field is an error, because a misspelt option that is ignored costs a day.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::ModelError;

/// The configuration of a fit. `{}` is the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The scale that the model is fitted on.
    pub transform: TransformChoice,
    /// Whether the season is differenced.
    pub season: Choice,
    /// The order of ordinary differencing.
    pub difference: DifferenceChoice,
    /// The largest p and the largest q of the search.
    pub max_order: u8,
    /// Whether a regression per horizon corrects the recursion.
    pub direct: Choice,
    /// Origins of the back-test; fewer are faster.
    pub origins: u16,
}

/// Which scales a fit considers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransformChoice {
    /// Logarithms where values are positive and their spread grows with the level.
    Auto,
    /// The values as they are.
    None,
    /// Logarithms; needs values above zero.
    Log,
}

/// Something that a back-test decides, or that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// As the back-test says.
    Auto,
    /// Never.
    None,
}

/// Which orders of differencing a fit considers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceChoice {
    /// None or once, by the back-test.
    Auto,
    /// d = 0.
    None,
    /// d = 1.
    Once,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            transform: TransformChoice::Auto,
            season: Choice::Auto,
            difference: DifferenceChoice::Auto,
            max_order: 12,
            direct: Choice::Auto,
            origins: 500,
        }
    }
}

impl Config {
    /// A cheaper fit at little loss: small orders, half of the origins. The direct regressions
    /// stay, because they bring more than they cost.
    #[must_use]
    pub fn fast() -> Self {
        Self {
            max_order: 3,
            origins: 250,
            ..Self::default()
        }
    }

    /// Checks ranges that the types do not express.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] names the field and its range.
    pub fn validate(&self) -> Result<(), ModelError> {
        if self.max_order > 12 {
            return Err(ModelError::invalid(format!(
                "max_order is {}: use 0 to 12",
                self.max_order
            )));
        }
        if !(50..=5000).contains(&self.origins) {
            return Err(ModelError::invalid(format!(
                "origins is {}: use 50 to 5000",
                self.origins
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
        choices = ["transform", "season", "difference", "direct"]
    );

    #[test]
    fn a_misspelt_option_and_an_absurd_one_are_refused() {
        assert!(serde_json::from_str::<Config>(r#"{"maxorder": 3}"#).is_err());
        let mut config = Config::fast();
        assert_eq!(config.validate(), Ok(()));
        config.max_order = 13;
        assert!(config.validate().is_err());
    }
}
