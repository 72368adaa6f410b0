//! Why a model gives no answer: the variants of the policy interface, so that the glue maps them
//! one to one and never parses a message.

use thiserror::Error;

/// What a model refuses, and what the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The call itself is wrong; the same call fails again.
    #[error("invalid input: {0}")]
    InvalidInput(String),
    /// A prediction was asked of a state that no `fit` made.
    #[error("the state was never fitted: call fit first")]
    NotFitted,
    /// Too few observed (not missing) points.
    #[error("{have} observed points, but at least {need} are needed: send a longer history")]
    InsufficientData {
        /// Observed points in the history.
        have: usize,
        /// The fewest that the model can work with.
        need: usize,
    },
    /// The arithmetic left the finite numbers.
    #[error("numeric failure: {0}")]
    Numeric(String),
    /// The request is well formed, but this model does not do it.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// A fault of the model, not of its input.
    #[error("internal error of the model: {0}")]
    Internal(String),
}

impl ModelError {
    /// An [`ModelError::InvalidInput`] with its message.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidInput(message.into())
    }
}
