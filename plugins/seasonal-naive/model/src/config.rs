//! What an author may set: which season is repeated.

use serde::{Deserialize, Serialize};

/// The configuration of a fit. `{}` is the default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which season is repeated.
    pub season: SeasonChoice,
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
        let properties = schema["properties"].as_object().unwrap();
        let told: Vec<_> = properties
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
        for choice in schema["properties"]["season"]["enum"].as_array().unwrap() {
            assert!(serde_json::from_str::<Config>(&format!("{{\"season\":{choice}}}")).is_ok());
        }
        assert!(serde_json::from_str::<Config>(r#"{"season":"month"}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"seasons":"auto"}"#).is_err());
    }
}
