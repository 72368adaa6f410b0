//! What an author may set: which season is repeated, and how exactly.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::ModelError;

/// The configuration of a fit. `{}` is the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which season is repeated.
    pub season: SeasonChoice,
    /// How exactly values are kept: to this part of what most neighbours differ by, 4 to 4,096.
    /// A long season takes about as many bits a step as this has digits, and two more.
    pub digits: u16,
}

impl Config {
    /// Checks ranges that the types do not express.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] names the field and its range.
    pub fn validate(&self) -> Result<(), ModelError> {
        if (4..=4096).contains(&self.digits) {
            return Ok(());
        }
        Err(ModelError::invalid(format!(
            "digits is {}: give 4 to 4096",
            self.digits
        )))
    }
}

/// Which season is repeated. A season that the history does not hold once gives way to a
/// shorter one, and at last to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeasonChoice {
    /// The one with the smallest error in the history.
    Auto,
    /// None: the last value stays.
    None,
    /// The shortest of the series' seasons, usually a day.
    Shortest,
    /// The longest, usually a week.
    Longest,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            season: SeasonChoice::Auto,
            digits: 32,
        }
    }
}

/// The JSON schema of [`Config`], as the manifest carries it.
pub const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    tidegate_model_kit::config_sentences!(Config, CONFIG_SCHEMA, choices = ["season"]);
}
