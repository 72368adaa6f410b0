//! Seasonal-naive: the next day (or week) is like the last one.
//!
//! It is the yardstick of every other forecaster and the fallback when one fails, so it must
//! answer whatever the history looks like: from three observed points on, through gaps, outages,
//! zeros and constants. The point forecast is the last observed value of the same phase; which
//! season, if any, is chosen by the errors that each would have made. The interval is empirical:
//! quantiles of the differences over 1, 2, 4, ... seasons, never narrower further ahead.
//!
//! Rejected: averages over several past seasons. They are better forecasts and a worse yardstick;
//! `ets` is the place for them.

mod config;
mod events;
mod fit;
mod spread;
mod state;

pub use config::{CONFIG_SCHEMA, Config, SeasonChoice};
pub use events::{State, fit, fit_with};
pub use fit::fit_plain;
pub use state::{FORMAT, Repeat};
pub use tidegate_model_kit::{Covariates, ModelError, Prediction, Series};
