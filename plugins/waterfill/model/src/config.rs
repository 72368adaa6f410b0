//! The configuration of the waterfill, and its JSON schema for the manifest.
//!
//! The schema is written by hand, so that the guest carries no schema generator; a test compares
//! it with the struct, field by field and default by default.

use serde::{Deserialize, Serialize};
use tidegate_fit::Error;

/// JSON schema of [`Config`].
pub const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

/// How the pool is divided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A grant is up this many steps before the demand that it is for. The host's demand is met ahead of
    /// time already, by the lead time and the cycle: more is held from those who are short now.
    pub lead_steps: u32,
    /// While everybody's demand is met, a limit stays if it is within this part of the new one.
    pub hysteresis: f64,
    /// Wanted capacity above the sum of demand, as a part of it. Demand has its headroom already: a
    /// margin pays for bursts and errors a second time.
    pub margin: f64,
    /// Whether guarantees that the forecast does not need are lent.
    pub lend: bool,
    /// What a lender keeps above its demand at the tier's quantile, as a part of it. That quantile is its
    /// reserve, so by default nothing.
    pub loan_reserve: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lead_steps: 0,
            hysteresis: 0.05,
            margin: 0.0,
            lend: true,
            loan_reserve: 0.0,
        }
    }
}

impl Config {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] naming the field.
    pub fn validate(&self) -> Result<(), Error> {
        let fields = [
            ("hysteresis", self.hysteresis, 1.0),
            ("margin", self.margin, 10.0),
            ("loan_reserve", self.loan_reserve, 10.0),
            ("lead_steps", f64::from(self.lead_steps), 1000.0),
        ];
        match fields
            .iter()
            .find(|(_, value, most)| !(0.0..=*most).contains(value))
        {
            Some((name, value, most)) => Err(Error::InvalidInput(format!(
                "{name} is {value}, not in 0..={most}"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_str, to_value};

    #[test]
    fn the_schema_names_every_field_with_its_default_and_no_other() {
        let schema: Value = from_str(CONFIG_SCHEMA).unwrap();
        let config = to_value(Config::default()).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        let fields: Vec<_> = config.as_object().unwrap().keys().collect();
        assert_eq!(properties.keys().collect::<Vec<_>>(), fields);
        for (name, property) in properties {
            assert_eq!(property["default"], config[name], "{name}");
            assert!(property["description"].is_string(), "{name}");
        }
        assert_eq!(schema["additionalProperties"], Value::Bool(false));
    }

    #[test]
    fn no_fields_mean_the_defaults_and_unknown_fields_are_refused_by_name() {
        assert_eq!(from_str::<Config>("{}").unwrap(), Config::default());
        let error = from_str::<Config>(r#"{"lead": 1}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `lead`"), "{error}");
        let error = Config {
            margin: f64::NAN,
            ..Config::default()
        }
        .validate()
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid input: margin is NaN, not in 0..=10"
        );
    }
}
