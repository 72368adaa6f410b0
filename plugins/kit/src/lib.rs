//! What the pure forecasting models share, and nothing that belongs to one of them.
//!
//! A model crate is linked into its plugin and into plugins that combine several models, so the
//! words they exchange must be the same types: a series, a prediction, an error. The rest here is
//! arithmetic with one right answer (normal quantiles, empirical quantiles, state bytes). No
//! model, no I/O, no clock; transcendental functions come from `libm`, so that a result has the
//! same bits on the host and in the guest.
//!
//! Rejected: one trait that every forecaster implements. The WIT world is that contract already;
//! a second one in Rust would have to follow its versions.

mod cholesky;
mod covariates;
mod error;
mod series;

mod bins;
mod codec;
pub mod fixtures;
mod laws;
mod normal;
mod prediction;
mod quantile;
mod rng;
mod season;
mod sentences;
mod stretch;
mod tracker;
mod uplift;

pub use bins::{Bins, Half, PROFILE};
pub use cholesky::{Cholesky, dot};
pub use codec::{decode, encode};
pub use covariates::{Covariates, EVENT};
pub use error::ModelError;
pub use laws::check_lawful;
pub use normal::{normal_cdf, normal_quantile};
pub use prediction::{Prediction, Shape};
pub use quantile::{
    MAX_LEVEL, median, probability, quantile, quantile_of_sorted, smaller, sort_floats,
};
pub use rng::Stream;
pub use season::{Decomposition, Place, Table, decompose, decompose_factors, expectation};
pub use series::{DAY_S, MAX_POINTS, Series, WEEK_S, clock_of, scaled};
pub use stretch::{Knot, knots_are_sound, stretch};
pub use tracker::Tracker;
pub use uplift::{Base, Uplifted};
