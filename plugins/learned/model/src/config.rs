//! The configuration of the learned policy, and its JSON schema for the manifest.
//!
//! Costs are ratios: one step of an api's ordinary load held idle is the unit, so that the same
//! numbers mean the same for an api of one core and of a thousand. The fields of `waterfill`, which
//! divides the pool, stand beside the own ones and not in an object of their own, because `margin`
//! has another default here, and a default that depends on where it is left out misleads.

use serde::{Deserialize, Serialize};
use tidegate_fit::{Error, Tier};

/// JSON schema of [`Config`].
pub const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

/// One of a thing for each tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByTier<T> {
    /// Guaranteed.
    pub gold: T,
    /// Priority.
    pub silver: T,
    /// Best effort.
    pub bronze: T,
}

impl<T: Copy> ByTier<T> {
    /// That of a tier.
    #[must_use]
    pub const fn of(&self, tier: Tier) -> T {
        match tier {
            Tier::Gold => self.gold,
            Tier::Silver => self.silver,
            Tier::Bronze => self.bronze,
        }
    }
}

/// What is worth how much, and how fast it is learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Cost of a step in which an api is short, in steps of its ordinary load held idle.
    pub shortage_cost: ByTier<f64>,
    /// Cost of an api's ordinary load held idle for a step.
    pub slack_cost: f64,
    /// Exponent per unit of cost in the weights of the headrooms.
    pub learning_rate: f64,
    /// Hours of measured steps after which a lesson counts half.
    pub memory_hours: f64,
    /// Own steps that weigh as much as what the tier has learned.
    pub prior_steps: f64,
    /// Least that is bought, as a multiple of the median need.
    pub floor: f64,
    /// Most that is bought, as a multiple of the demand at the tier's quantile.
    pub ceiling: f64,
    /// Part of a grant up to which it is used without suffering.
    pub comfort: f64,
    /// Part of a grant from which on its use is a shortage of unknown size.
    pub saturation: f64,
    /// Factor on what is bought after a shortage.
    pub retreat: f64,
    /// Minutes after which half of a retreat is taken back.
    pub retreat_minutes: f64,
    /// A grant is up this many steps before the demand that it is for.
    pub lead_steps: u32,
    /// While everybody's demand is met, a limit stays if it is within this part of the new one.
    pub hysteresis: f64,
    /// Wanted capacity above the sum of what is bought, as a part of it.
    pub margin: f64,
    /// Whether guarantees that the forecast does not need are lent.
    pub lend: bool,
    /// What a lender keeps above what it buys, as a part of it.
    pub loan_reserve: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shortage_cost: ByTier {
                gold: 30.0,
                silver: 10.0,
                bronze: 5.0,
            },
            slack_cost: 1.0,
            learning_rate: 0.3,
            memory_hours: 72.0,
            prior_steps: 240.0,
            floor: 0.9,
            ceiling: 2.0,
            comfort: 0.88,
            saturation: 0.95,
            retreat: 1.1,
            retreat_minutes: 20.0,
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
            ("shortage_cost.gold", self.shortage_cost.gold, 0.0, 1e3),
            ("shortage_cost.silver", self.shortage_cost.silver, 0.0, 1e3),
            ("shortage_cost.bronze", self.shortage_cost.bronze, 0.0, 1e3),
            ("slack_cost", self.slack_cost, 0.0, 1e3),
            ("learning_rate", self.learning_rate, 0.0, 10.0),
            ("memory_hours", self.memory_hours, 0.1, 1e4),
            ("prior_steps", self.prior_steps, 0.0, 1e6),
            ("floor", self.floor, 0.5, 10.0),
            ("ceiling", self.ceiling, 1.0, 10.0),
            ("comfort", self.comfort, 0.1, 0.99),
            ("saturation", self.saturation, 0.5, 1.0),
            ("retreat", self.retreat, 1.0, 2.0),
            ("retreat_minutes", self.retreat_minutes, 1.0, 1e4),
        ];
        match fields
            .iter()
            .find(|(_, value, least, most)| !(*least..=*most).contains(value))
        {
            Some((name, value, least, most)) => Err(Error::InvalidInput(format!(
                "{name} is {value}, not in {least}..={most}"
            ))),
            None if self.saturation <= self.comfort => Err(Error::InvalidInput(format!(
                "saturation is {}, not above comfort, which is {}",
                self.saturation, self.comfort
            ))),
            None => self.waterfill().validate(),
        }
    }

    /// How the pool is divided.
    #[must_use]
    pub fn waterfill(&self) -> tidegate_model_waterfill::Config {
        tidegate_model_waterfill::Config {
            lead_steps: self.lead_steps,
            hysteresis: self.hysteresis,
            margin: self.margin,
            lend: self.lend,
            loan_reserve: self.loan_reserve,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    tidegate_model_kit::config_sentences!(Config, CONFIG_SCHEMA, choices = []);

    #[test]
    fn a_number_out_of_range_is_refused_by_its_field_as_the_schema_says() {
        let schema: serde_json::Value = serde_json::from_str(CONFIG_SCHEMA).unwrap();
        for (name, field) in schema["properties"].as_object().unwrap() {
            for (bound, by) in [("minimum", -1.0), ("maximum", 1.0)] {
                let (Some(edge), Some("number")) = (field[bound].as_f64(), field["type"].as_str())
                else {
                    continue;
                };
                let parse = |value: f64| {
                    let text = format!("{{\"{name}\":{value}}}");
                    serde_json::from_str::<Config>(&text).unwrap().validate()
                };
                let said = |value: f64| parse(value).map_err(|e| e.to_string());
                let refused = format!("{name} is {edge}, not in");
                assert!(
                    said(edge).err().is_none_or(|e| !e.contains(&refused)),
                    "{name}"
                );
                let error = said(edge + by).unwrap_err();
                assert!(error.contains(&format!("{name} is ")), "{error}");
            }
        }
    }

    #[test]
    fn a_saturation_below_comfort_is_refused_with_both() {
        let config = Config {
            comfort: 0.9,
            saturation: 0.8,
            ..Config::default()
        };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "invalid input: saturation is 0.8, not above comfort, which is 0.9"
        );
    }

    #[test]
    fn every_field_of_waterfill_is_one_here() {
        let fields = |text| {
            let schema = serde_json::from_str::<serde_json::Value>(text).unwrap();
            schema["properties"].as_object().unwrap().clone()
        };
        let own = fields(CONFIG_SCHEMA);
        for (name, theirs) in fields(tidegate_model_waterfill::CONFIG_SCHEMA) {
            assert_eq!(own[&name]["type"], theirs["type"], "{name}");
            assert_eq!(own[&name]["maximum"], theirs["maximum"], "{name}");
        }
    }
}
