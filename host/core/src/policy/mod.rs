//! The four policies as synchronous traits: what a room asks, whoever answers.
//!
//! The types mirror the WIT worlds column by column, so that the engine's adapter moves vectors
//! and copies nothing twice; native baselines implement the same traits. A policy is a pure
//! function: state goes in and comes out, time and seed are in the input.

pub mod allocator;
pub mod forecaster;
pub mod judge;
pub mod kept;
pub mod tierer;

pub use allocator::{Allocation, AllocationInput, Allocator, LoanRow, UNBOUNDED};
pub use forecaster::{
    Advanced, Blobs, Covariates, Fitted, Forecaster, Forecasts, Frames, Horizon, SeriesStatus,
};
pub use judge::{Counts, Evidence, Judge, JudgeInput, Judgement, MetricSpec, Verdict};
pub use kept::{Earlier, Kept};
pub use tierer::{TierInput, TierOutput, Tierer};

use crate::invariant::Breach;

/// Opaque bytes of a module; the module numbers its formats.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blob {
    /// The module's number for the layout of `bytes`.
    pub format: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Why a policy gives no answer, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The input breaks the interface's contract, or the config is wrong.
    #[error("invalid input: {0}")]
    InvalidInput(String),
    /// No or a foreign model or state was given.
    #[error("not fitted: {0}")]
    NotFitted(String),
    /// Too little history.
    #[error("insufficient data: {have} steps, {need} needed")]
    InsufficientData {
        /// Steps that were there.
        have: u32,
        /// Steps that the model needs.
        need: u32,
    },
    /// The computation left the finite numbers.
    #[error("numeric failure: {0}")]
    Numeric(String),
    /// This signal, step, horizon or format is not served.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// A defect of the module.
    #[error("internal error: {0}")]
    Internal(String),
}

/// Why a call gave no usable answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The policy said so.
    #[error("the module answered with an error: {0}")]
    Policy(PolicyError),
    /// It trapped or panicked.
    #[error("the module trapped: {0}")]
    Trap(String),
    /// It took too long.
    #[error("the module did not answer within {limit_ms} ms")]
    Deadline {
        /// The limit that it overran.
        limit_ms: u64,
    },
    /// It wanted more memory, tables or returned bytes than it may have.
    #[error("the module exceeded its {what} limit of {limit}")]
    Limit {
        /// Which limit.
        what: &'static str,
        /// Its value, in bytes or elements.
        limit: u64,
    },
    /// Its answer broke an invariant.
    #[error("the module's answer was refused: {0}")]
    Refused(Breach),
    /// It could not be loaded or instantiated.
    #[error("the module is unavailable: {0}")]
    Unavailable(String),
}

impl CallError {
    /// A short label for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            CallError::Policy(_) => "policy-error",
            CallError::Trap(_) => "trap",
            CallError::Deadline { .. } => "deadline",
            CallError::Limit { .. } => "limit",
            CallError::Refused(_) => "refused",
            CallError::Unavailable(_) => "unavailable",
        }
    }
}
