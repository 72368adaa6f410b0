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
    use serde_json::Value;

    #[test]
    fn the_schema_names_the_fields_and_defaults_of_the_struct() {
        let schema: Value = serde_json::from_str(CONFIG_SCHEMA).unwrap();
        let defaults = serde_json::to_value(Config::default()).unwrap();
        let told: Vec<_> = schema["properties"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.clone(), v["default"].clone()))
            .collect();
        let real: Vec<_> = defaults
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        assert_eq!(told, real);
    }

    #[test]
    fn every_choice_in_the_schema_parses_and_no_other() {
        let schema: Value = serde_json::from_str(CONFIG_SCHEMA).unwrap();
        for field in ["season", "reversion", "drift"] {
            for choice in schema["properties"][field]["enum"].as_array().unwrap() {
                let text = format!("{{\"{field}\":{choice}}}");
                assert!(serde_json::from_str::<Config>(&text).is_ok(), "{text}");
            }
            assert!(serde_json::from_str::<Config>(&format!("{{\"{field}\":\"odd\"}}")).is_err());
        }
        let e = serde_json::from_str::<Config>(r#"{"drifts":"none"}"#).unwrap_err();
        assert!(e.to_string().contains("drifts"), "{e}");
    }
}
