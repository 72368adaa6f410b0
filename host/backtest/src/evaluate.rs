//! Rolling-origin evaluation: cut a series at an origin, fit what came before, score what followed.
//!
//! The rule of honesty is in the shapes: a forecaster is given a slice that ends at the origin, and
//! the values behind it are looked at by the scores alone. Figures are means over series of means
//! over origins, so that a long file does not outvote a short one.

pub mod metrics;
pub mod read;
pub mod trace;
