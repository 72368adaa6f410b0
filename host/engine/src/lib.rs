//! The only crate that sees wasmtime: it turns bytes that somebody pushed into policies that
//! `core` can call, and says which of them serves what.
//!
//! The way of a module: [`examine`] tries it, in a process of its own where the host is a daemon,
//! and refuses with the remedy; [`Engine::admit_examined`] takes what passed as a [`Loaded`] whose
//! [`Policy`] implements one of `core`'s traits; [`Slots::swap`] makes it serve a binding by one
//! atomic pointer; a cycle takes a [`Pinned`] and resolves its rosters from that.
//!
//! Absent by rule: `flow`, the store, the network, the time of day. What a version of the WIT
//! looks like is known to its adapter alone. No call outlives its store, no instance its call but where a manifest asks for reuse.
//!
//! Reading order: options and engine, admission and trial, one call, adapters and batches, slots.

mod options;

mod cache;
mod engine;
mod gate;
mod gated;
mod room;
mod ticker;

mod admission;
mod manifest;
mod module;
mod nan;
mod schema;
mod structure;

mod canary;
mod trial;
pub mod wire;

mod call;
mod guest;
mod warm;

mod adapter;
mod batch;

mod slots;

pub use admission::AdmissionError;
pub use cache::CacheError;
pub use engine::{Allocation, Engine, EngineError};
pub use gated::gated_config;
pub use manifest::{ManifestError, SECTION as MANIFEST_SECTION};
pub use module::{Loaded, Policy, Source};
pub use options::{Limits, Options};
pub use schema::{ConfigError, SchemaError, check_config, check_schema};
pub use structure::interface_of;
pub use warm::Reuse;

pub use trial::{Artefact, Passed, Sample, Terms, TrialError, examine, try_config};

pub use slots::{
    Baselines, By, Candidate, FaultLimit, Pinned, Reach, Resolved, RolledBack, Slots, Subject,
    SwapError, Swapped,
};
