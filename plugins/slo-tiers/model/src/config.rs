//! The configuration of the tierer, and its JSON schema for the manifest.
//!
//! The schema is written by hand, so that the guest carries no schema generator; a test compares
//! it with the struct, field by field and default by default.

use serde::{Deserialize, Serialize};

use crate::Error;

/// JSON schema of [`Config`].
pub const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

/// When an api moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// When an error budget burns. The defaults are those of the Site Reliability Workbook.
    pub burn_rules: Vec<BurnRule>,
    /// With less of its error budget left, an api is one level above its base.
    pub budget_low: f64,
    /// And stays there until this much is left again.
    pub budget_recovered: f64,
    /// A grant used to this part or more is saturated.
    pub saturated: f64,
    /// Seconds after which a saturated api is one level above its base.
    pub saturated_seconds: u32,
    /// A median predicted peak of so many times the expected load is a surge.
    pub surge: f64,
    /// Only if the 99 % peak is at most so many times the median one.
    pub surge_width: f64,
    /// Seconds without any reason to be above its base, after which an api goes one level down.
    pub calm_seconds: u32,
    /// Idle is to use no more than this part of the grant, and to be predicted no more than this
    /// part of the expected load.
    pub idle: f64,
    /// Seconds after which an idle api is one level below its base.
    pub idle_seconds: u32,
}

/// An error budget burns when its rate is reached over both windows: the long one shows that it
/// matters, the short one that it still goes on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurnRule {
    /// Seconds.
    pub long_seconds: u32,
    /// Seconds.
    pub short_seconds: u32,
    /// Times faster than sustainable.
    pub rate: f64,
    /// How far it pushes.
    pub raise: Raise,
}

/// How far a burning budget pushes an api.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Raise {
    /// One level above its base.
    One,
    /// To its highest tier.
    Highest,
}

impl Default for Config {
    fn default() -> Self {
        let rule = |long_seconds, short_seconds, rate, raise| BurnRule {
            long_seconds,
            short_seconds,
            rate,
            raise,
        };
        Self {
            burn_rules: vec![
                rule(3_600, 300, 14.4, Raise::Highest),
                rule(21_600, 1_800, 6.0, Raise::One),
                rule(259_200, 21_600, 1.0, Raise::One),
            ],
            budget_low: 0.1,
            budget_recovered: 0.25,
            saturated: 0.95,
            saturated_seconds: 600,
            surge: 2.0,
            surge_width: 2.5,
            calm_seconds: 900,
            idle: 0.2,
            idle_seconds: 3_600,
        }
    }
}

impl Config {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] naming the field.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |what: String| Err(Error::InvalidInput(what));
        let fields = [
            ("budget_low", self.budget_low, 0.0, 1.0),
            (
                "budget_recovered",
                self.budget_recovered,
                self.budget_low,
                1.0,
            ),
            ("saturated", self.saturated, self.idle, 10.0),
            ("surge", self.surge, 1.0, 1e9),
            ("surge_width", self.surge_width, 1.0, 1e9),
            ("idle", self.idle, 0.0, 1.0),
        ];
        for (name, value, least, most) in fields {
            if !(least..=most).contains(&value) {
                return refuse(format!("{name} is {value}, not in {least}..={most}"));
            }
        }
        for (i, rule) in self.burn_rules.iter().enumerate() {
            if !(rule.rate > 0.0 && rule.rate.is_finite()) {
                return refuse(format!(
                    "burn_rules[{i}].rate is {}, not above 0",
                    rule.rate
                ));
            }
            if rule.short_seconds == 0 || rule.short_seconds > rule.long_seconds {
                return refuse(format!(
                    "burn_rules[{i}].short_seconds is {}, not in 1..={}",
                    rule.short_seconds, rule.long_seconds
                ));
            }
        }
        if self.burn_rules.is_empty() {
            return refuse("burn_rules is empty: without rules no SLO can raise a tier".into());
        }
        Ok(())
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
        let error = from_str::<Config>(r#"{"surges": 1}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `surges`"), "{error}");
        let error = from_str::<Config>(r#"{"budget_recovered": 0.05}"#)
            .unwrap()
            .validate();
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("budget_recovered is 0.05")
        );
    }
}
