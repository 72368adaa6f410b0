//! The configuration of the judge, and its JSON schema for the manifest.
//!
//! The schema is written by hand, so that the guest carries no schema generator; a test compares
//! it with the struct, field by field and default by default.

use serde::{Deserialize, Serialize};

use crate::Error;

/// JSON schema of [`Config`].
pub const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

/// When evidence is enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Probability of ever rolling back a harmless release; the same for a wrong promotion.
    pub alpha: f64,
    /// Without a measured dispersion, only ratios above this roll back by themselves.
    pub severe_rho: f64,
    /// Whether a release that warns may still be promoted.
    pub promote_despite_warning: bool,
    /// Shadow requests without which no verdict is expected.
    pub least_requests: u64,
    /// Paired losses without which no verdict is expected.
    pub least_pairs: u64,
    /// Seconds that a release may run before it can be called starved.
    pub patience_seconds: u32,
    /// Mean paired loss differences up to this are no harm.
    pub loss_harmless: f64,
    /// Mean paired loss differences below this are good enough.
    pub loss_margin: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            severe_rho: 2.0,
            promote_despite_warning: false,
            least_requests: 400,
            least_pairs: 100,
            patience_seconds: 300,
            loss_harmless: 0.0,
            loss_margin: 0.05,
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
            ("alpha", self.alpha, 1e-12, 0.5),
            ("severe_rho", self.severe_rho, 1.0, 100.0),
            ("loss_harmless", self.loss_harmless, 0.0, 0.9),
            ("loss_margin", self.loss_margin, 1e-9, 0.9),
        ];
        match fields
            .iter()
            .find(|(_, value, least, most)| !(least..=most).contains(&value))
        {
            Some((name, value, least, most)) => Err(Error::InvalidInput(format!(
                "{name} is {value}, not in {least}..={most}"
            ))),
            None if self.loss_harmless > self.loss_margin => Err(Error::InvalidInput(format!(
                "loss_harmless {} is above loss_margin {}",
                self.loss_harmless, self.loss_margin
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
        let error = from_str::<Config>(r#"{"alfa": 1}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("unknown field `alfa`"), "{error}");
        let error = Config {
            alpha: 0.0,
            ..Config::default()
        }
        .validate()
        .unwrap_err();
        assert!(error.to_string().contains("alpha is 0"), "{error}");
    }
}
