//! The rooms that data walks through, in walking order, and the cycle that threads them.
//!
//! `ingest → history → forecast → demand → tier → allocate → actuate → observe`, and `shadow` and
//! `judge`, which lead back; `adjust` leads from fresh measures to `allocate`, between two cycles. Every room
//! has one shape: `Input`, `Output`, `Error`, one public function,
//! synchronous, with time and seeds as arguments. Rooms return effects as data; who runs the cycle
//! (daemon, backtest, replay) performs them.
//!
//! **Absent by rule** (and tested): gRPC, sled, Wasm, tokio, the time of day. Rooms see policies
//! and stored data only through the traits of `tidegate-core`.

pub mod ingest;

pub mod history;

pub mod forecast;

pub mod demand;

pub mod tier;

pub mod allocate;

pub mod adjust;

pub mod actuate;

pub mod observe;

pub mod shadow;

pub mod judge;

pub mod cycle;

pub mod baseline;

mod compact;

#[cfg(test)]
mod fake;
