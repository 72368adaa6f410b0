//! The members: the other models' crates behind one face.
//!
//! An enum and not a trait object, because the set is closed, the order is part of the result, and
//! a state has to name its member in bytes.

use serde::{Deserialize, Serialize};
use tidegate_model_kit::{Covariates, ModelError, Prediction, Series};

use tidegate_model_arima as arima;
use tidegate_model_ets as ets;
use tidegate_model_prophet as prophet;
use tidegate_model_seasonal_naive as seasonal_naive;
use tidegate_model_theta as theta;

/// How exactly `seasonal-naive` keeps its values here: a week of five minutes is most of the state,
/// and what is rounded away is a small part of what it errs by.
const DIGITS: u16 = 4;

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The theta method.
    Theta,
    /// Regression with ARIMA errors.
    Arima,
    /// Trend, seasons and events.
    Prophet,
    /// The last season again.
    SeasonalNaive,
    /// Exponential smoothing.
    Ets,
}

impl Kind {
    /// In the order in which they are fitted, added up and stored.
    pub const ALL: [Self; 5] = [
        Self::Theta,
        Self::Arima,
        Self::Prophet,
        Self::SeasonalNaive,
        Self::Ets,
    ];

    /// The module's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Theta => "theta",
            Self::Arima => "arima",
            Self::Prophet => "prophet",
            Self::SeasonalNaive => "seasonal-naive",
            Self::Ets => "ets",
        }
    }

    /// The number in a state's bytes.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

/// A fitted member.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Member {
    Theta(theta::State),
    Arima(arima::State),
    Prophet(prophet::State),
    SeasonalNaive(seasonal_naive::State),
    Ets(ets::State),
}

/// The same call on whichever member it is.
macro_rules! each {
    ($member:expr, $state:ident => $call:expr) => {
        match $member {
            Member::Theta($state) => $call,
            Member::Arima($state) => $call,
            Member::Prophet($state) => $call,
            Member::SeasonalNaive($state) => $call,
            Member::Ets($state) => $call,
        }
    };
}

impl Member {
    /// Fits with the member's default configuration.
    pub(crate) fn fit(
        kind: Kind,
        series: &Series<'_>,
        known: &Covariates<'_>,
    ) -> Result<Self, ModelError> {
        Ok(match kind {
            Kind::Theta => Self::Theta(theta::fit_with(&theta::Config::default(), series, known)?),
            Kind::Arima => Self::Arima(arima::fit_with(&arima::Config::default(), series, known)?),
            Kind::Prophet => Self::Prophet(prophet::fit_with(
                &prophet::Config::default(),
                series,
                known,
            )?),
            Kind::SeasonalNaive => {
                let config = seasonal_naive::Config {
                    digits: DIGITS,
                    ..seasonal_naive::Config::default()
                };
                Self::SeasonalNaive(seasonal_naive::fit_with(&config, series, known)?)
            }
            Kind::Ets => Self::Ets(ets::fit_with(&ets::Config::default(), series, known)?),
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Theta(_) => Kind::Theta,
            Self::Arima(_) => Kind::Arima,
            Self::Prophet(_) => Kind::Prophet,
            Self::SeasonalNaive(_) => Kind::SeasonalNaive,
            Self::Ets(_) => Kind::Ets,
        }
    }

    pub(crate) fn update(&mut self, values: &[f64], known: &Covariates<'_>) {
        each!(self, state => state.update_with(values, known));
    }

    pub(crate) fn predict(
        &self,
        horizon: usize,
        levels: &[u16],
        seed: u64,
        known: &Covariates<'_>,
    ) -> Result<Prediction, ModelError> {
        each!(self, state => state.predict_with(horizon, levels, seed, known))
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, ModelError> {
        each!(self, state => state.encode())
    }

    pub(crate) fn decode(code: u8, bytes: &[u8]) -> Result<Self, ModelError> {
        let kind = Kind::ALL.into_iter().find(|k| k.code() == code);
        Ok(match kind {
            Some(Kind::Theta) => Self::Theta(theta::State::decode(bytes)?),
            Some(Kind::Arima) => Self::Arima(arima::State::decode(bytes)?),
            Some(Kind::Prophet) => Self::Prophet(prophet::State::decode(bytes)?),
            Some(Kind::SeasonalNaive) => Self::SeasonalNaive(seasonal_naive::State::decode(bytes)?),
            Some(Kind::Ets) => Self::Ets(ets::State::decode(bytes)?),
            None => {
                return Err(ModelError::invalid(format!(
                    "damaged state: member {code} is unknown"
                )));
            }
        })
    }
}
