//! The shipped allocators, natively: core's question in the models' columns, and back.

use super::{config, said};
use tidegate_core::policy::{
    Allocation, AllocationInput, Allocator, Blob, CallError, LoanRow, PolicyError,
};
use tidegate_core::tier::Tier;
use tidegate_core::units::Dimension;
use tidegate_fit::PoolColumns;
use tidegate_model_learned as learned;
use tidegate_model_waterfill as waterfill;

/// Two of the rules keep nothing; the SDK writes an empty state of format 1 for such a policy.
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
        lends: q.lends.iter().map(|l| u8::from(*l)).collect(),
        borrows: q.borrows.iter().map(|b| u8::from(*b)).collect(),
        max_share: q.max_share,
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
        let plan = waterfill::allocate(&config, &fit_columns(input))
            .map_err(|e| CallError::Policy(said(&e)))?;
        Ok(with_loans(plan, NO_STATE))
    }

    fn migrate(&self, _: &Blob) -> Result<Blob, CallError> {
        Err(no_migration())
    }
}

/// Waterfill over demand that has learned each api's headroom. Alone of the three it keeps a state.
#[derive(Debug)]
pub(super) struct Learned;

impl Learned {
    fn state(blob: &Blob) -> Result<learned::State, CallError> {
        if blob.bytes.is_empty() {
            return Ok(learned::State::default());
        }
        learned::State::decode(&blob.bytes).map_err(|e| CallError::Policy(said(&e)))
    }
}

impl Allocator for Learned {
    fn allocate(&self, text: &str, input: &AllocationInput) -> Result<Allocation, CallError> {
        let config = config(text)?;
        let mut state = Self::state(&input.state)?;
        let moment = learned::Moment {
            start: input.grid.start.0,
            step: input.grid.step.secs(),
        };
        let plan = learned::allocate(&config, &mut state, moment, &fit_columns(input))
            .map_err(|e| CallError::Policy(said(&e)))?;
        let bytes = state.encode().map_err(|e| CallError::Policy(said(&e)))?;
        let format = learned::STATE_FORMAT;
        Ok(with_loans(plan, Blob { format, bytes }))
    }

    fn migrate(&self, state: &Blob) -> Result<Blob, CallError> {
        Self::state(state).map(|_| state.clone())
    }
}

/// A plan of waterfill's in core's words.
fn with_loans(plan: waterfill::Output, state: Blob) -> Allocation {
    let loans = plan.loans.iter().map(|l| LoanRow {
        lender: l.lender,
        borrower: l.borrower,
        dimension: l.dimension,
        amount: l.amount,
        from_step: l.from_step,
        until_step: l.until_step,
    });
    Allocation {
        loans: loans.collect(),
        guaranteed: plan.allocation.guaranteed,
        limit: plan.allocation.limit,
        wanted: plan.wanted,
        reasons: plan.reasons,
        state,
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
