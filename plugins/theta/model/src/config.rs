//! What an author may set. Every field has a default that serves an api nobody configured; an
//! unknown field is an error, because a misspelt option that is ignored costs a day.

use serde::{Deserialize, Serialize};

/// The configuration of a fit. `{}` is the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How the season joins the level.
    pub season: SeasonChoice,
    /// Whether the level returns to its recent mean.
    pub reversion: Choice,
    /// Whether the recent mean goes on moving.
    pub drift: Choice,
}

/// Which season classes a fit considers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeasonChoice {
    /// By the back-test, and in doubt by what the decomposition leaves; none where the history
    /// shows none.
    Auto,
    /// No season.
    None,
    /// A profile that is added.
    Additive,
    /// A profile that multiplies; needs values above zero.
    Multiplicative,
}

/// Whether the back-test may use a part of the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// As far as the back-test says.
    Auto,
    /// Not at all.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            season: SeasonChoice::Auto,
            reversion: Choice::Auto,
            drift: Choice::Auto,
        }
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
        choices = ["season", "reversion", "drift"]
    );
}
