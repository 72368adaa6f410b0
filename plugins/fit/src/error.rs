//! Why an allocator gives no answer.
//!
//! The variants are those of the interface (`policy-error` in `wit/`), so that glue maps one to
//! one and nothing is flattened into a string on the way.

/// Why an allocation could not be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The input breaks the contract of the interface, or the configuration is wrong.
    #[error("invalid input: {0}")]
    InvalidInput(String),
    /// The state is missing or foreign.
    #[error("not fitted: {0}")]
    NotFitted(String),
    /// Too little history to say anything, in steps.
    #[error("{have} steps of history, but {need} are needed")]
    InsufficientData {
        /// Steps that were given.
        have: u32,
        /// Steps that are needed.
        need: u32,
    },
    /// The computation left the finite numbers.
    #[error("not a finite number: {0}")]
    Numeric(String),
    /// The module does not serve this input.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// A defect of the module.
    #[error("defect: {0}")]
    Internal(String),
}
