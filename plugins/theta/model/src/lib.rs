//! The theta method on the seasonally adjusted series, for load signals with a day and a week.
//!
//! Assimakopoulos and Nikolopoulos, "The theta model: a decomposition approach to forecasting"
//! (International Journal of Forecasting 16, 2000), which is simple exponential smoothing with a
//! drift (Hyndman and Billah, "Unmasking the Theta method", IJF 19, 2003); with theta optimised
//! and lines that move with every value (Fiorucci et al., "Models for optimising the theta method
//! and their relationship to state space models", IJF 32, 2016). What a load asks for beyond it:
//!
//! - seasons are taken out by the kit's robust decomposition, by day and week, and go on learning;
//! - the line without curvature is the slow recent mean, not a trend through all history, and
//!   theta is learned per horizon: a load is near its last value in a minute and near its mean
//!   tomorrow. A drift is kept only where the back-test pays for it;
//! - the interval is that of simple smoothing, stretched per horizon and side by measured errors.
//!
//! Rejected: one theta by one-step likelihood. It carries the last deviation through the whole
//! day; a linear regression per horizon on many lags is more than a theta and is another model.
//!
//! Everything is a pure function of its arguments, on `libm`, with fixed iteration order.

mod config;
mod events;
mod state;

mod backtest;
mod fit;
mod interval;
mod lines;
mod theta;

pub use config::{CONFIG_SCHEMA, Choice, Config, SeasonChoice};
pub use events::{State, fit, fit_with};
pub use fit::fit_plain;
pub use interval::Noise;
pub use lines::SeasonKind;
pub use state::{Adjusted, FORMAT};
pub use tidegate_model_kit::{Covariates, ModelError, Prediction, Series};
