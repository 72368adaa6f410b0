//! Rolling-origin evaluation: cut a series at an origin, fit what came before, score what followed.
//!
//! The rule of honesty is in the shapes: a forecaster is given a slice that ends at the origin, and
//! the values behind it are looked at by the scores alone. Figures are means over series of means
//! over origins, so that a long file does not outvote a short one.
//!
//! Reading order: files to traces, the forecaster under test, origins, formulas, the report; then
//! streams, and what becomes of a forecaster in misfortune.

pub mod read;
pub mod trace;

pub mod calendar;
pub mod subject;

pub mod parallel;
pub mod rolling;

pub mod metrics;
pub mod naive2;
pub mod scores;

pub mod forecasts;
pub mod report;

pub mod calibrated;
pub mod cold;
pub mod robustness;
pub mod stream;
