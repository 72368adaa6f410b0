//! What an author may set: the size of the network and what its training may cost.
//!
//! Time and memory of a fit are bounded by these numbers alone, whatever the host sends; the
//! defaults fit sixteen series of two weeks of 5-minute steps in some ten seconds.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::ModelError;

/// The configuration of a fit. `{}` is the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Networks that are trained apart and averaged.
    pub networks: u8,
    /// Cells of the recurrent layer of each.
    pub hidden: u8,
    /// Passes over the histories; 0 leaves the network untrained.
    pub epochs: u16,
    /// The most steps of the optimiser, per network.
    pub max_steps: u32,
    /// Of Adam at the beginning.
    pub learning_rate: f32,
    /// Mixed with the seed of the call.
    pub seed: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            networks: 2,
            hidden: 32,
            epochs: 16,
            max_steps: 4000,
            learning_rate: 0.005,
            seed: 0,
        }
    }
}

impl Config {
    /// Checks ranges that the types do not express.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] names the field and its range.
    pub fn validate(&self) -> Result<(), ModelError> {
        let refuse = |what: String| Err(ModelError::invalid(what));
        if !(1..=4).contains(&self.networks) {
            return refuse(format!("networks is {}: use 1 to 4", self.networks));
        }
        if !(8..=64).contains(&self.hidden) || !self.hidden.is_multiple_of(8) {
            return refuse(format!(
                "hidden is {}: use a multiple of 8 from 8 to 64",
                self.hidden
            ));
        }
        if self.epochs > 200 {
            return refuse(format!("epochs is {}: use 0 to 200", self.epochs));
        }
        if !(1..=20_000).contains(&self.max_steps) {
            return refuse(format!("max_steps is {}: use 1 to 20000", self.max_steps));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 0.1) {
            return refuse(format!(
                "learning_rate is {}: use more than 0 and at most 0.1",
                self.learning_rate
            ));
        }
        Ok(())
    }
}

/// The JSON schema of [`Config`], as the manifest carries it.
pub const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    tidegate_model_kit::config_sentences!(Config, CONFIG_SCHEMA, choices = []);

    #[test]
    fn the_bounds_of_the_schema_are_those_of_validate() {
        let schema: Value = serde_json::from_str(CONFIG_SCHEMA).unwrap();
        for (field, steps) in [
            ("networks", 1),
            ("hidden", 8),
            ("epochs", 1),
            ("max_steps", 1),
        ] {
            let bound = |name: &str| schema["properties"][field][name].as_i64().unwrap();
            let (low, high) = (bound("minimum"), bound("maximum"));
            let lawful = |v: i64| {
                let text = format!("{{\"{field}\":{v}}}");
                serde_json::from_str::<Config>(&text).is_ok_and(|c| c.validate().is_ok())
            };
            assert!(lawful(low) && lawful(high), "{field}");
            assert!(!lawful(low - steps) && !lawful(high + steps), "{field}");
        }
    }
}
