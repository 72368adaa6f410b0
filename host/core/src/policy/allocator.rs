//! The allocator: one pool divided among its apis over the coming steps.

use super::{Blob, CallError};
use crate::tier::Tier;
use crate::time::{Grid, Timestamp};
use crate::units::Dimension;

/// The number that stands for "no bound".
pub const UNBOUNDED: f64 = f64::MAX;

/// Columns over apis (n), steps (S) and dimensions (D); matrices row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct AllocationInput {
    /// The cycle's time.
    pub now: Timestamp,
    /// A hash of root seed, pool and step.
    pub seed: u64,
    /// What the last call returned; empty at first.
    pub state: Blob,
    /// The S steps.
    pub grid: Grid,
    /// D entries.
    pub dimensions: Vec<Dimension>,
    /// `[step][dimension]`: ready at that step.
    pub capacity: Vec<f64>,
    /// `[dimension]`: what the pool can grow to.
    pub capacity_max: Vec<f64>,
    /// Stable keys, in an order that does not change from plan to plan.
    pub apis: Vec<u64>,
    /// In force.
    pub tiers: Vec<Tier>,
    /// > 0.
    pub weights: Vec<f64>,
    /// Index into `quota`.
    pub tenants: Vec<u32>,
    /// `[api][dimension]`.
    pub floor: Vec<f64>,
    /// `[api][dimension]`.
    pub ceiling: Vec<f64>,
    /// `[api][step][dimension]`, at the tier's quantile.
    pub demand: Vec<f64>,
    /// `[api][step][dimension]`, median.
    pub median: Vec<f64>,
    /// `[api][dimension]`: ordinary load.
    pub expected: Vec<f64>,
    /// `[api][dimension]`: measured in the last step.
    pub usage: Vec<f64>,
    /// `[api][dimension]`: in force; -1 for a new api.
    pub previous_guaranteed: Vec<f64>,
    /// `[api][dimension]`: in force; -1 for a new api.
    pub previous_limit: Vec<f64>,
    /// `[api]`, > 1.
    pub step_up: Vec<f64>,
    /// `[api]`, 0 to 1.
    pub step_down: Vec<f64>,
    /// `[api]`: may exceed its step bounds.
    pub emergency: Vec<bool>,
    /// `[tenant][dimension]`.
    pub quota: Vec<f64>,
    /// `[api]`: whether its unused guarantee may be lent.
    pub lends: Vec<bool>,
    /// `[api]`: whether it may borrow.
    pub borrows: Vec<bool>,
    /// `[tier]`, lowest first: most that the apis of a tier hold together, as a part of the capacity,
    /// 0 to 1.
    pub max_share: Vec<f64>,
}

impl AllocationInput {
    /// n, S, D.
    #[must_use]
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.apis.len(), self.grid.count, self.dimensions.len())
    }

    /// Index into an `[api][step][dimension]` matrix.
    #[must_use]
    pub fn at(&self, api: usize, step: usize, dimension: usize) -> usize {
        (api * self.grid.count + step) * self.dimensions.len() + dimension
    }

    /// Most that the apis of a tier hold together, as a part of the capacity; 1 where nothing is said.
    #[must_use]
    pub fn share_of(&self, tier: Tier) -> f64 {
        self.max_share.get(tier as usize).copied().unwrap_or(1.0)
    }

    /// Whether every tier lends and borrows, and none is bounded in what it holds.
    #[must_use]
    pub fn is_shared_freely(&self) -> bool {
        let all = |allowed: &[bool]| allowed.iter().all(|&a| a);
        all(&self.lends) && all(&self.borrows) && self.max_share.iter().all(|&part| part >= 1.0)
    }
}

/// A loan in an allocator's answer, by index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoanRow {
    /// Index into `apis`.
    pub lender: u32,
    /// Index into `apis`.
    pub borrower: u32,
    /// Index into `dimensions`.
    pub dimension: u32,
    /// > 0.
    pub amount: f64,
    /// First step.
    pub from_step: u32,
    /// First step after.
    pub until_step: u32,
}

/// What the allocator answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Allocation {
    /// `[api][step][dimension]`.
    pub guaranteed: Vec<f64>,
    /// `[api][step][dimension]`, loans already moved.
    pub limit: Vec<f64>,
    /// Guaranteed but unused, given to another.
    pub loans: Vec<LoanRow>,
    /// `[step][dimension]`: capacity that the pool should have.
    pub wanted: Vec<f64>,
    /// One sentence per api.
    pub reasons: Vec<String>,
    /// For the next call.
    pub state: Blob,
}

/// Divides a pool.
pub trait Allocator: Send + Sync + std::fmt::Debug {
    /// One pool's grants over the coming steps.
    ///
    /// # Errors
    /// When it gives no answer.
    fn allocate(&self, config: &str, input: &AllocationInput) -> Result<Allocation, CallError>;

    /// Translates a state that an earlier version wrote.
    ///
    /// # Errors
    /// `unsupported` when it cannot: begin with an empty state.
    fn migrate(&self, state: &Blob) -> Result<Blob, CallError>;
}
