//! What an author may set: how far each member is trusted, and how weights follow widths.
//!
//! One field per member and not a list, so that a schema can name each with its default, and a
//! member cannot be named twice. An unknown field is an error, because a misspelt option that is
//! ignored costs a day.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::ModelError;

use crate::member::Kind;

/// The configuration of a fit. `{}` is the default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Trust in `theta`.
    pub theta: Trust,
    /// Trust in `arima`.
    pub arima: Trust,
    /// Trust in `prophet`.
    pub prophet: Trust,
    /// Trust in `seasonal-naive`.
    pub seasonal_naive: Trust,
    /// Trust in `ets`.
    pub ets: Trust,
    /// How much a member's weight falls with its width: trust / width^sharpness.
    pub sharpness: f64,
    /// The combination's interval in parts of its members' mean one.
    pub width: Trust,
}

/// A number that goes with the horizon. Of a member: its weight before widths are looked at; only
/// ratios to the other members' count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Up to a twentieth of a day ahead.
    pub near: f64,
    /// Beyond three tenths of a day ahead; in between it goes with the logarithm of the horizon.
    pub far: f64,
}

impl Trust {
    /// None at any horizon.
    pub const NONE: Self = Self {
        near: 0.0,
        far: 0.0,
    };
}

impl Default for Config {
    fn default() -> Self {
        let trust = |near, far| Trust { near, far };
        Self {
            theta: trust(3.0, 3.0),
            arima: trust(2.0, 0.7),
            prophet: trust(2.0, 2.0),
            seasonal_naive: trust(0.0, 1.0),
            ets: Trust::NONE,
            sharpness: 2.0,
            width: trust(0.96, 0.9),
        }
    }
}

impl Config {
    /// The trust in a member.
    #[must_use]
    pub fn trust(&self, kind: Kind) -> Trust {
        match kind {
            Kind::Theta => self.theta,
            Kind::Arima => self.arima,
            Kind::Prophet => self.prophet,
            Kind::SeasonalNaive => self.seasonal_naive,
            Kind::Ets => self.ets,
        }
    }

    /// Checks ranges that the types do not express.
    ///
    /// # Errors
    /// [`ModelError::InvalidInput`] names the field and its range.
    pub fn validate(&self) -> Result<(), ModelError> {
        for kind in Kind::ALL {
            let Trust { near, far } = self.trust(kind);
            if !(0.0..=1000.0).contains(&near) || !(0.0..=1000.0).contains(&far) {
                return Err(ModelError::invalid(format!(
                    "{} has near {near} and far {far}: give 0 to 1000",
                    kind.name()
                )));
            }
        }
        let total = |part: fn(Trust) -> f64| -> f64 {
            Kind::ALL.into_iter().map(|k| part(self.trust(k))).sum()
        };
        if total(|t| t.near) <= 0.0 || total(|t| t.far) <= 0.0 {
            return Err(ModelError::invalid(
                "no member is trusted near, or none far: give one a trust above 0 for each",
            ));
        }
        if !(0.0..=8.0).contains(&self.sharpness) {
            return Err(ModelError::invalid(format!(
                "sharpness is {}: give 0 (weights are trusts) to 8",
                self.sharpness
            )));
        }
        let Trust { near, far } = self.width;
        if !(0.1..=4.0).contains(&near) || !(0.1..=4.0).contains(&far) {
            return Err(ModelError::invalid(format!(
                "width has near {near} and far {far}: give 0.1 to 4"
            )));
        }
        Ok(())
    }
}

/// The JSON schema of [`Config`], as the manifest carries it.
pub const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    tidegate_model_kit::config_sentences!(Config, CONFIG_SCHEMA, choices = []);

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let check = |text: &str, word: &str| {
            let said = match serde_json::from_str::<Config>(text) {
                Ok(config) => config.validate().unwrap_err().to_string(),
                Err(e) => e.to_string(),
            };
            assert!(said.contains(word), "{text}: {said}");
        };
        check(r#"{"thetas":{"near":1,"far":1}}"#, "thetas");
        check(r#"{"theta":{"near":1}}"#, "far");
        check(r#"{"ets":{"near":-1,"far":1}}"#, "ets");
        check(r#"{"sharpness":9}"#, "sharpness");
        check(r#"{"width":{"near":0,"far":1}}"#, "width");
        let zero = r#"{"near":0,"far":0}"#;
        check(
            &format!(r#"{{"theta":{zero},"arima":{zero},"prophet":{zero}}}"#),
            "near",
        );
        assert!(Config::default().validate().is_ok());
    }
}
