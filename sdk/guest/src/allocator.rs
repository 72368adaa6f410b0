//! Allocators: a pool's columns in, a plan out.
//!
//! The input arrives as [`PoolColumns`], the very type that [`fit_to_pool`](crate::fit_to_pool)
//! takes, moved and not copied, and validated: whatever an author indexes by its shape is there.
//! The plan is passed on as it is. It is not made lawful here: a rule whose plan breaks an
//! invariant should be seen to, not be rescued by a library.

use std::marker::PhantomData;

use crate::log::hook_panics;
use crate::policy::{Exported, config, describe};
use crate::series::length;
use crate::state;
pub use crate::wit::allocator::exports::tidegate::policy::allocation::Loan;
use crate::wit::allocator::exports::tidegate::policy::allocation::{
    AllocationInput, AllocationOutput, Guest,
};
use crate::wit::types::{Blob, Description, ModuleKind, PolicyError};
use crate::{Allocation, Error, Policy, PoolColumns};
use tidegate_fit::UNBOUNDED;

/// Divides a pool.
pub trait AllocatorPolicy: Policy<State: Default> {
    /// One pool's plan over the coming steps. The state is what the last call left, the default
    /// at first.
    ///
    /// # Errors
    /// Any: then the host asks another.
    fn allocate(
        config: &Self::Config,
        state: &mut Self::State,
        moment: &Moment,
        pool: &PoolColumns,
    ) -> Result<Plan, Error>;
}

/// When it is, and where chance comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the Unix epoch.
    pub now: i64,
    /// Start of step 0, milliseconds since the Unix epoch.
    pub start: i64,
    /// Seconds.
    pub step: u32,
    /// The only source of chance.
    pub seed: u64,
}

/// What the apis get.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// `[api][step][dimension]`; loans already moved in the limits.
    pub allocation: Allocation,
    /// Guaranteed but unused, given to another.
    pub loans: Vec<Loan>,
    /// `[step][dimension]`: capacity that the pool should have.
    pub wanted: Vec<f64>,
    /// One sentence per api, for people.
    pub reasons: Vec<String>,
}

/// A policy as the host sees it.
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: AllocatorPolicy + Exported> Component<P> {
    /// Compiles where the policy lacks nothing.
    #[doc(hidden)]
    pub fn is_complete() {}
}

impl<P: AllocatorPolicy + Exported> Guest for Component<P> {
    fn describe() -> Description {
        describe::<P>(ModuleKind::Allocator)
    }

    fn allocate(input: AllocationInput) -> Result<AllocationOutput, PolicyError> {
        hook_panics();
        let config = config::<P>(&input.config)?;
        let mut state = state::of_call::<P>(&input.state)?;
        let moment = Moment {
            now: input.now,
            start: input.start,
            step: input.step,
            seed: input.seed,
        };
        let pool = columns(input)?;
        let plan = P::allocate(&config, &mut state, &moment, &pool)?;
        let cells = pool.steps * pool.width();
        let n = pool.len();
        of_plan("guaranteed", plan.allocation.guaranteed.len(), n * cells)?;
        of_plan("limit", plan.allocation.limit.len(), n * cells)?;
        of_plan("wanted", plan.wanted.len(), cells)?;
        of_plan("reasons", plan.reasons.len(), n)?;
        Ok(AllocationOutput {
            guaranteed: plan.allocation.guaranteed,
            limit: plan.allocation.limit,
            loans: plan.loans,
            wanted: plan.wanted,
            reasons: plan.reasons,
            state: state::to_blob::<P>(&state)?,
        })
    }

    fn migrate(state: Blob) -> Result<Blob, PolicyError> {
        hook_panics();
        state::migrate_call::<P>(&state)
    }
}

/// The columns, moved and checked.
fn columns(input: AllocationInput) -> Result<PoolColumns, PolicyError> {
    let n = input.apis.len();
    length("tiers", input.tiers.len(), n)?;
    let unbounded = input.unbounded;
    let bounds = |mut column: Vec<f64>| {
        column
            .iter_mut()
            .filter(|v| **v >= unbounded)
            .for_each(|v| *v = UNBOUNDED);
        column
    };
    let pool = PoolColumns {
        steps: input.steps as usize,
        dimensions: input.dimensions.into_iter().map(Into::into).collect(),
        capacity: input.capacity,
        capacity_max: bounds(input.capacity_max),
        apis: input.apis,
        tiers: input.tiers.into_iter().map(Into::into).collect(),
        weights: input.weights,
        tenants: input.tenants,
        floor: input.floor,
        ceiling: bounds(input.ceiling),
        demand: input.demand,
        median: input.median,
        expected: input.expected,
        usage: input.usage,
        previous_guaranteed: input.previous_guaranteed,
        previous_limit: input.previous_limit,
        step_up: input.step_up,
        step_down: input.step_down,
        emergency: input.emergency,
        quota: bounds(input.quota),
        lends: input.lends,
        borrows: input.borrows,
        max_share: input.max_share,
    };
    pool.validate()?;
    Ok(pool)
}

fn of_plan(name: &str, have: usize, want: usize) -> Result<(), PolicyError> {
    if have == want {
        return Ok(());
    }
    Err(PolicyError::Internal(format!(
        "the plan's {name} has {have} entries, {want} belong there"
    )))
}
