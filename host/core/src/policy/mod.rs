//! The four policies as synchronous traits: what a room asks, whoever answers.
//!
//! The types mirror the WIT worlds column by column, so that the engine's adapter moves vectors
//! and copies nothing twice; native baselines implement the same traits. A policy is a pure
//! function: state goes in and comes out, time and seed are in the input.

pub mod allocator;
pub mod forecaster;
pub mod judge;
pub mod tierer;

pub use allocator::{Allocation, AllocationInput, Allocator, LoanRow, UNBOUNDED};
pub use forecaster::{
    Blobs, Covariates, Fitted, Forecaster, Forecasts, Frames, Horizon, SeriesStatus,
};
pub use judge::{Counts, Evidence, Judge, JudgeInput, Judgement, MetricSpec, Verdict};
pub use tierer::{TierInput, TierOutput, Tierer};

use crate::invariant::Breach;
use crate::module::ModuleRef;

/// Opaque bytes of a module; the module numbers its formats.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Blob {
    /// The module's number for the layout of `bytes`.
    pub format: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// State that a policy returned, and who wrote it.
///
/// Whoever is asked next may be another module: after a swap, or along the chain of retreat. It gets
/// its own state as it is, that of another version of itself through its `migrate`, and never that
/// of a stranger, whose format number may be the same by chance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// The writer; `None` before the first answer.
    pub writer: Option<ModuleRef>,
    /// What it wrote.
    pub blob: Blob,
}

impl Kept {
    /// The state to hand to `module`; an empty one where it has to begin anew.
    pub fn for_module(
        &self,
        module: &ModuleRef,
        migrate: impl FnOnce(&Blob) -> Result<Blob, CallError>,
    ) -> Blob {
        match &self.writer {
            Some(writer) if writer.digest == module.digest && writer.name == module.name => {
                self.blob.clone()
            }
            Some(writer) if writer.name == module.name => migrate(&self.blob).unwrap_or_default(),
            Some(_) | None => Blob::default(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;

    #[test]
    fn a_state_goes_to_its_writer_through_migrate_to_its_next_version_and_to_no_stranger() {
        let module = |name: &str, text: &str| ModuleRef {
            name: name.into(),
            version: text.into(),
            digest: Digest::of(text.as_bytes()),
        };
        let blob = Blob {
            format: 1,
            bytes: vec![7],
        };
        let kept = Kept {
            writer: Some(module("tiers", "1")),
            blob: blob.clone(),
        };
        let fail = |_: &Blob| Err(CallError::Unavailable("not asked".into()));
        assert_eq!(kept.for_module(&module("tiers", "1"), fail), blob);
        let migrated = kept.for_module(&module("tiers", "2"), |b| {
            Ok(Blob {
                format: 2,
                bytes: b.bytes.clone(),
            })
        });
        assert_eq!(
            migrated,
            Blob {
                format: 2,
                bytes: vec![7]
            }
        );
        assert_eq!(
            kept.for_module(&module("tiers", "3"), fail),
            Blob::default()
        );
        let stranger = kept.for_module(&module("other", "1"), |b| Ok(b.clone()));
        assert_eq!(stranger, Blob::default());
    }
}
