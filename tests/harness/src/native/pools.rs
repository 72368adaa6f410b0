//! The shipped allocators, natively: core's question in the models' columns, and back.

use super::{config, said};
use tidegate_core::policy::{
    Allocation, AllocationInput, Allocator, Blob, CallError, LoanRow, PolicyError,
};
use tidegate_core::tier::Tier;
use tidegate_core::units::Dimension;
use tidegate_fit::PoolColumns;

/// Neither rule keeps anything; the SDK writes an empty state of format 1 for such a policy.
const NO_STATE: Blob = Blob {
    format: 1,
    bytes: vec![],
};

/// A question as the pure models take it.
#[must_use]
pub fn fit_columns(question: &AllocationInput) -> PoolColumns {
    let tier = |t: &Tier| match t {
        Tier::Bronze => tidegate_fit::Tier::Bronze,
        Tier::Silver => tidegate_fit::Tier::Silver,
        Tier::Gold => tidegate_fit::Tier::Gold,
    };
    let dimension = |d: &Dimension| match d {
        Dimension::Cpu => tidegate_fit::Dimension::Cpu,
        Dimension::Memory => tidegate_fit::Dimension::Memory,
        Dimension::Network => tidegate_fit::Dimension::Network,
        Dimension::Io => tidegate_fit::Dimension::Io,
        Dimension::Requests => tidegate_fit::Dimension::Requests,
    };
    let q = question.clone();
    PoolColumns {
        steps: q.grid.count,
        dimensions: q.dimensions.iter().map(dimension).collect(),
        capacity: q.capacity,
        capacity_max: q.capacity_max,
        apis: q.apis,
        tiers: q.tiers.iter().map(tier).collect(),
        weights: q.weights,
        tenants: q.tenants,
        floor: q.floor,
        ceiling: q.ceiling,
        demand: q.demand,
        median: q.median,
        expected: q.expected,
        usage: q.usage,
        previous_guaranteed: q.previous_guaranteed,
        previous_limit: q.previous_limit,
        step_up: q.step_up,
        step_down: q.step_down,
        emergency: q.emergency.iter().map(|e| u8::from(*e)).collect(),
        quota: q.quota,
    }
}

fn no_migration() -> CallError {
    CallError::Policy(PolicyError::Unsupported("the rule keeps no state".into()))
}

/// Weighted max-min with loans.
#[derive(Debug)]
pub(super) struct Waterfill;

impl Allocator for Waterfill {
    fn allocate(&self, text: &str, input: &AllocationInput) -> Result<Allocation, CallError> {
        let config = config(text)?;
        let plan = tidegate_model_waterfill::allocate(&config, &fit_columns(input))
            .map_err(|e| CallError::Policy(said(&e)))?;
        let loans = plan.loans.iter().map(|l| LoanRow {
            lender: l.lender,
            borrower: l.borrower,
            dimension: l.dimension,
            amount: l.amount,
            from_step: l.from_step,
            until_step: l.until_step,
        });
        Ok(Allocation {
            guaranteed: plan.allocation.guaranteed,
            limit: plan.allocation.limit,
            loans: loans.collect(),
            wanted: plan.wanted,
            reasons: plan.reasons,
            state: NO_STATE,
        })
    }

    fn migrate(&self, _: &Blob) -> Result<Blob, CallError> {
        Err(no_migration())
    }
}

/// Base shares that rise and fall with predicted over ordinary load.
#[derive(Debug)]
pub(super) struct Proportional;

impl Allocator for Proportional {
    fn allocate(&self, text: &str, input: &AllocationInput) -> Result<Allocation, CallError> {
        let config = config(text)?;
        let plan = tidegate_model_proportional::allocate(&config, &fit_columns(input))
            .map_err(|e| CallError::Policy(said(&e)))?;
        Ok(Allocation {
            guaranteed: plan.allocation.guaranteed,
            limit: plan.allocation.limit,
            loans: vec![],
            wanted: plan.wanted,
            reasons: plan.reasons,
            state: NO_STATE,
        })
    }

    fn migrate(&self, _: &Blob) -> Result<Blob, CallError> {
        Err(no_migration())
    }
}
