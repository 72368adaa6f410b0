//! Between the interface's types and those of the pure crates: one to one, no message is parsed.

use tidegate_fit::{Dimension, Tier};

use crate::Error;
use crate::wit::types;

impl From<Error> for types::PolicyError {
    fn from(error: Error) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        match error {
            Error::InvalidInput(text) => Self::InvalidInput(text),
            Error::NotFitted => Self::NotFitted(Error::NotFitted.to_string()),
            Error::InsufficientData { have, need } => Self::InsufficientData(types::Shortage {
                have: count(have),
                need: count(need),
            }),
            Error::Numeric(text) => Self::Numeric(text),
            Error::Unsupported(text) => Self::Unsupported(text),
            Error::Internal(text) => Self::Internal(text),
            // The enum may grow; its text still says what happened.
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<types::Tier> for Tier {
    fn from(tier: types::Tier) -> Self {
        match tier {
            types::Tier::Bronze => Self::Bronze,
            types::Tier::Silver => Self::Silver,
            types::Tier::Gold => Self::Gold,
        }
    }
}

impl From<types::Dimension> for Dimension {
    fn from(dimension: types::Dimension) -> Self {
        match dimension {
            types::Dimension::Cpu => Self::Cpu,
            types::Dimension::Memory => Self::Memory,
            types::Dimension::Network => Self::Network,
            types::Dimension::Io => Self::Io,
            types::Dimension::Requests => Self::Requests,
        }
    }
}
