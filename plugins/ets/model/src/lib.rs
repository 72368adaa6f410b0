//! Exponential smoothing in state-space form (ETS), for load signals with a day and a week.
//!
//! The models are those of Hyndman, Koehler, Ord and Snyder, "Forecasting with Exponential
//! Smoothing: The State Space Approach" (2008): an additive or multiplicative error, no, an
//! additive or a damped trend, and no, an additive or a multiplicative season, with smoothing
//! parameters by maximum likelihood and the class by AICc. Two things differ from the textbook,
//! because seasons of load are long (24 to 1440 steps) and come in pairs:
//!
//! - the seasonal states begin at a robust, shrunk decomposition of the history instead of being
//!   a thousand parameters of an optimiser, and there may be several seasons, each with its own
//!   gain, as in Gould et al. (European Journal of Operational Research 191, 2008);
//! - the model's own interval is corrected by the errors that the fitted model makes at growing
//!   horizons within the history, because a likelihood of one-step errors says little about
//!   tomorrow.
//!
//! Rejected: STL or MSTL before a non-seasonal ETS. It needs the whole history again for every
//! new point; here the season is part of the state, and an update costs the same at any length.
//!
//! Everything is a pure function of its arguments, on `libm`, with fixed iteration order.

mod config;
mod events;
mod state;

mod calibrate;
mod fit;
mod likelihood;
mod nelder_mead;
mod recursion;
mod seasons;
mod simulate;
mod spread;

pub use config::{CONFIG_SCHEMA, Config, Criterion, ErrorChoice, SeasonChoice, TrendChoice};
pub use events::{State, fit, fit_with};
pub use fit::fit_plain;
pub use recursion::{Class, ErrorKind, SeasonKind, TrendKind};
pub use state::{FORMAT, Smoothing};
pub use tidegate_model_kit::{Covariates, ModelError, Prediction, Series};
