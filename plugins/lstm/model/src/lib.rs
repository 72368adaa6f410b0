//! A recurrent network over the load of many series: trained on a cohort together, one small state
//! per series.
//!
//! One history is too short for a network; sixteen are enough, because what it has to learn is the
//! same in all of them: how far ahead the last value, the last season and the profile can be
//! trusted, in a series that behaves like this one lately. So the network does not predict loads.
//! It reads, tick by tick and in the series' own unit, how those simple forecasts fare
//! (the tracker), remembers it in long short-term memory (Hochreiter and Schmidhuber,
//! 1997), and answers for each step ahead how to mix them and how wide the quantiles around the
//! mixture are, trained by the pinball loss. The papers are named where they are used.
//!
//! Rejected: a sequence-to-sequence network on raw values (it needs hundreds of series to beat a
//! repeated day), and an automatic-differentiation framework (two layers have a gradient of a
//! hundred lines, checked against finite differences in the tests; a framework would be most of the
//! component).
//!
//! Everything is a pure function of its arguments: chance comes from the seed, sums have a fixed
//! order, and no function is used that differs between machines.

mod config;
mod state;

mod model;

mod memory;

mod cell;
mod cycle;
mod grid;
mod head;
mod lesson;
mod linear;
mod tracker;
mod train;
mod uplift;
mod view;
mod weights;

pub use config::{CONFIG_SCHEMA, Config};
pub use memory::Memory;
pub use model::{FORMAT, Fitted, History, Model, fit_cohort};
pub use state::{State, fit, fit_with};
pub use tidegate_model_kit::{ModelError, Prediction, Series};
