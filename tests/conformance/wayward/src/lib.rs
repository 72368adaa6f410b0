//! A forecaster that misbehaves when it is told to.
//!
//! A check that never failed on anything proves nothing. Each fault here is one that an author
//! could make, and a test says which case finds it. Written with the SDK as an author would, so it
//! is also the shortest whole plugin in the repository.

use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};
use tidegate_guest::{Error, ForecasterPolicy, Horizon, Policy, Prediction, SeriesView};

/// The policy: the last value goes on.
#[derive(Debug)]
pub struct Wayward;

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Panics when asked for a forecast.
    Panic,
    /// Quantiles fall from level to level.
    Crossing,
    /// The forecast depends on how many went before in the call.
    Counting,
    /// Fits a series without any value.
    Credulous,
}

/// The configuration.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What it does wrong.
    pub fault: Fault,
}

/// The last value.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Last(f64);

impl Policy for Wayward {
    const CONFIG_SCHEMA: &str = include_str!("../config.schema.json");
    const STATE_FORMAT: u32 = 1;
    type Config = Config;
    type State = Last;
}

static CALLS: AtomicU32 = AtomicU32::new(0);

impl ForecasterPolicy for Wayward {
    fn fit(config: &Config, history: &SeriesView<'_>) -> Result<Last, Error> {
        match history.values.iter().rev().find(|v| !v.is_nan()) {
            Some(last) => Ok(Last(*last)),
            None if config.fault == Fault::Credulous => Ok(Last(0.0)),
            None => Err(Error::InsufficientData { have: 0, need: 1 }),
        }
    }

    fn update(_: &Config, state: &mut Last, rows: &SeriesView<'_>) -> Result<(), Error> {
        let known = rows.values.iter().rev().find(|v| !v.is_nan());
        known.into_iter().for_each(|last| state.0 = *last);
        Ok(())
    }

    fn predict(config: &Config, state: &Last, ask: &Horizon<'_>) -> Result<Prediction, Error> {
        let mut value = state.0;
        match config.fault {
            Fault::Panic => panic!("the tide went out"),
            Fault::Counting => value += f64::from(CALLS.fetch_add(1, Ordering::Relaxed)),
            Fault::None | Fault::Crossing | Fault::Credulous => {}
        }
        let spread = if config.fault == Fault::Crossing {
            -1e-5
        } else {
            1e-5
        };
        let row = ask
            .levels
            .iter()
            .map(|level| value * (1.0 + spread * f64::from(*level)));
        let row: Vec<f64> = row.collect();
        Ok(Prediction {
            mean: vec![value; ask.steps],
            quantiles: row.repeat(ask.steps),
        })
    }
}

tidegate_guest::export_forecaster!(Wayward);
