//! Tidegate's vocabulary, invariants and ports.
//!
//! Everything that two rooms, or a room and the outside, must agree on stands here and nowhere
//! else: names, units, shapes, the numbered invariants and the traits through which effects
//! happen. **Absent by rule** (and tested): I/O, async, clocks, environment, randomness, serde.
//! A type that can be serialised is already a promise to somebody, so `store` and `api` own
//! mirror types of theirs; what `core` owns is one *canonical encoding* ([`canonical`]), because
//! hashes and replays need bytes that never depend on who writes them.
//!
//! Reading order: ids and units, data, desired state, decisions, policies, ports.

pub mod ids;
pub mod time;
pub mod units;
pub mod zone;

pub mod distribution;
pub mod frame;
pub mod sample;

pub mod catalog;
pub mod event;
pub mod slo;
pub mod tier;

pub mod forecast;
pub mod plan;

pub mod invariant;
pub mod life;
pub mod module;
pub mod policy;
pub mod roster;

pub mod access;
pub mod alert;
pub mod canonical;
pub mod ports;
pub mod quota;
pub mod record;
