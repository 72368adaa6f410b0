//! Proto to core and back, the only place where both are seen.
//!
//! Reading is parsing: every function notes what is wrong under the field's path and goes on, so
//! that a sender hears of all problems at once. Writing cannot fail. Every match is exhaustive, so
//! that a new word of `core` cannot be forgotten here.

pub(crate) mod words;

mod apis;
pub(crate) mod bindings;
pub(crate) mod catalog;
pub(crate) mod forecasts;
mod grids;
pub(crate) mod modules;
pub(crate) mod plans;
pub(crate) mod samples;
pub(crate) mod told;
