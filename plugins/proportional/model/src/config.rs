//! The configuration of proportional shares, and its JSON schema for the manifest.
//!
//! The schema is written by hand, so that the guest carries no schema generator; a test compares
//! it with the struct, field by field and default by default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_fit::{Error, Tier};

/// JSON schema of [`Config`].
pub const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

/// How shares are computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Base share of one api per dimension name and tier, in the dimension's unit.
    pub base: BTreeMap<String, BaseShare>,
    /// For dimensions without a base: the part of the pool's capacity that each tier's apis
    /// divide by weight.
    pub fraction: BaseShare,
    /// What counts as the predicted load.
    pub predicted: Predicted,
    /// Wanted capacity above the sum of demand, as a part of it.
    pub margin: f64,
}

/// One number per tier.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseShare {
    /// For Gold apis.
    pub gold: f64,
    /// For Silver apis.
    pub silver: f64,
    /// For Bronze apis.
    pub bronze: f64,
}

/// Which prediction is compared with the expected load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predicted {
    /// The median: the ratio of an ordinary day is 1.
    Median,
    /// The quantile that the tier buys: the ratio of an ordinary day is above 1 for Gold.
    Quantile,
}

impl BaseShare {
    /// The number of this tier.
    #[must_use]
    pub fn of(&self, tier: Tier) -> f64 {
        match tier {
            Tier::Gold => self.gold,
            Tier::Silver => self.silver,
            Tier::Bronze => self.bronze,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base: BTreeMap::new(),
            fraction: BaseShare {
                gold: 0.5,
                silver: 0.3,
                bronze: 0.2,
            },
            predicted: Predicted::Median,
            margin: 0.1,
        }
    }
}

impl Config {
    /// Checks ranges and dimension names.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] naming the field.
    pub fn validate(&self) -> Result<(), Error> {
        const NAMES: [&str; 5] = ["cpu", "memory", "network", "io", "requests"];
        let named = self
            .base
            .iter()
            .map(|(name, share)| (format!("base.{name}"), share));
        for (name, share) in named.chain([("fraction".to_owned(), &self.fraction)]) {
            for tier in Tier::SERVED {
                let value = share.of(tier);
                if !(0.0..1e100).contains(&value) {
                    let tier = tier.name();
                    return Err(Error::InvalidInput(format!(
                        "{name}.{tier} is {value}, not >= 0"
                    )));
                }
            }
        }
        if let Some(name) = self
            .base
            .keys()
            .find(|name| !NAMES.contains(&name.as_str()))
        {
            return Err(Error::InvalidInput(format!(
                "base.{name}: use one of {NAMES:?}"
            )));
        }
        if !(0.0..=10.0).contains(&self.margin) {
            return Err(Error::InvalidInput(format!(
                "margin is {}, not in 0..=10",
                self.margin
            )));
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
        let error = from_str::<Config>(r#"{"fractions": 1}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `fractions`"), "{error}");
    }

    #[test]
    fn a_base_for_a_dimension_that_does_not_exist_is_refused() {
        let json = r#"{"base": {"gpu": {"gold": 1, "silver": 1, "bronze": 1}}}"#;
        let error = from_str::<Config>(json)
            .unwrap()
            .validate()
            .unwrap_err()
            .to_string();
        assert!(error.contains("base.gpu: use one of"), "{error}");
    }
}
