//! What would have been: forecasters run over the past, and told how good they are.
//!
//! Pure over `core`'s ports: no file, no clock, no engine. Text comes in as text, CPU time is
//! measured by whoever calls ([`evaluate::subject::Meter`]), and a forecaster is a trait object, so that a
//! component, its native twin and a test's stub go the same way.

pub mod evaluate;
pub mod replay;
pub mod shape;
