//! The tierer: which tier each api should be in.

use super::{Blob, CallError};
use crate::tier::Tier;
use crate::time::Timestamp;
use crate::units::Level;

/// Columns over the apis of one tenant in one pool.
#[derive(Debug, Clone, PartialEq)]
pub struct TierInput {
    /// The cycle's time.
    pub now: Timestamp,
    /// A hash of root seed, binding and step.
    pub seed: u64,
    /// What the last call returned; empty at first.
    pub state: Blob,
    /// Stable keys.
    pub apis: Vec<u64>,
    /// In force.
    pub current: Vec<Tier>,
    /// Wanted by the owner in quiet times.
    pub base: Vec<Tier>,
    /// Lower bounds.
    pub lowest: Vec<Tier>,
    /// Upper bounds.
    pub highest: Vec<Tier>,
    /// Seconds since the tier last changed.
    pub dwell: Vec<u32>,
    /// Ordinary requests/s.
    pub expected: Vec<f64>,
    /// Rising.
    pub levels: Vec<Level>,
    /// `[api][level]`: highest predicted requests/s over the horizon.
    pub peak: Vec<f64>,
    /// Used over granted in the scarcest dimension.
    pub utilisation: Vec<f64>,
    /// Seconds, rising.
    pub burn_windows: Vec<u32>,
    /// `[api][window]`, worst SLO.
    pub burn: Vec<f64>,
    /// Worst SLO's, 0 to 1.
    pub budget_left: Vec<f64>,
}

/// What the tierer wants.
#[derive(Debug, Clone, PartialEq)]
pub struct TierOutput {
    /// One per api.
    pub wanted: Vec<Tier>,
    /// One sentence per api.
    pub reasons: Vec<String>,
    /// For the next call.
    pub state: Blob,
}

/// Chooses tiers; the host applies dwell, pins and bounds.
pub trait Tierer: Send + Sync + std::fmt::Debug {
    /// Which tier each api should be in.
    ///
    /// # Errors
    /// When it gives no answer.
    fn decide(&self, config: &str, input: &TierInput) -> Result<TierOutput, CallError>;

    /// Translates a state that an earlier version wrote.
    ///
    /// # Errors
    /// `unsupported` when it cannot: begin with an empty state.
    fn migrate(&self, state: &Blob) -> Result<Blob, CallError>;
}
