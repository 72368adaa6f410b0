//! Trend, seasons and events as Taylor and Letham combine them, with a memory of the newest errors.
//!
//! The model is that of "Forecasting at scale" (The American Statistician 72, 2018), known as
//! Prophet: a piecewise-linear trend whose changes of slope have a Laplace prior, Fourier seasons
//! of a day, a week and a year, added to the trend or in proportion to it, and an effect per kind
//! of declared event, all by a maximum a posteriori fit, with an interval from simulated changes
//! of slope. Four things differ, because load is asked for minutes ahead and fitted by the
//! thousand:
//!
//! - the fit is a handful of small least-squares solves on one Gram matrix, some hundred times
//!   faster than the original;
//! - seasons have as many harmonics as a profile of load needs, and priors by evidence keep them
//!   from noise;
//! - residuals are forecast by an autoregression that is fitted directly at each horizon, on
//!   back-tests, with a profile of what the season has missed lately (`ar: none` leaves it out);
//! - back-tests correct the interval, and the last slope goes on only as far as they support it.
//!
//! Rejected: the original's sampler and optimiser, which need seconds and a compiler's runtime.
//!
//! Everything is a pure function of its arguments, on `libm`, with fixed iteration order.

mod config;
mod fit;
mod state;

mod calendar;
mod design;
mod events;
mod seasons;

mod map;

mod backtest;
mod curve;
mod memory;
mod residuals;
mod simulate;
mod trend;

pub use config::{Ar, CONFIG_SCHEMA, Config, Growth, Seasonality};
pub use fit::{fit, fit_with};
pub use state::{FORMAT, State};
pub use tidegate_model_kit::{Covariates, ModelError, Prediction, Series};
