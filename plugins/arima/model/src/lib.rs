//! Regression with ARIMA errors, for load signals with a day and a week.
//!
//! An automatic seasonal ARIMA in the sense of Hyndman and Khandakar (Journal of Statistical
//! Software 27, 2008), arranged so that a season of 1,440 steps costs what one of 24 does:
//!
//! - the seasonal factor (0,1,1) is a profile that follows the days with a gain, which is the
//!   same recursion written without its lags;
//! - what it leaves is an ARIMA(p,d,q) with coefficients from autocovariances (Hannan and
//!   Rissanen, Biometrika 69, 1982) and orders by the AICc; the seasonal gain and d are chosen by
//!   forecasts over growing horizons;
//! - per horizon, a ridge regression on the last hours, the day before and the week before
//!   corrects the recursion, as far as that helped on data it had not seen;
//! - declared events are regressors with a learned uplift, kept out of everything else;
//! - logarithms where spread grows with the level;
//! - intervals are the quantiles of errors in the back-test, per horizon and side.
//!
//! Rejected: exact likelihood by a Kalman filter. With thousands of points it differs from the
//! conditional sum of squares in the third digit of a coefficient, and costs the whole budget.
//!
//! Everything is a pure function of its arguments, on `libm`, with fixed iteration order.

mod config;
mod state;

mod arma;
mod direct;
mod events;
mod fit;
mod linear;
mod path;
mod search;
mod season;
mod select;
mod tracker;
mod transform;

pub use config::{CONFIG_SCHEMA, Choice, Config, DifferenceChoice, TransformChoice};
pub use fit::{fit, fit_with};
pub use state::{FORMAT, State};
pub use tidegate_model_kit::{Covariates, ModelError, Prediction, Series};
pub use transform::Transform;
