//! `core`'s allocator over the `allocation` interface.

use super::{allocation as wit, function, shared, types};
use crate::call::Prepared;
use crate::gate::Class;
use crate::guest::Guest as State;
use std::sync::Arc;
use tidegate_core::invariant::{Breach, Invariant};
use tidegate_core::policy::{
    Allocation, AllocationInput, Allocator, Blob, CallError, LoanRow, PolicyError, UNBOUNDED,
};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance};

/// An allocator in a component.
pub(in crate::adapter) struct Guest {
    allocate: ComponentExportIndex,
    migrate: ComponentExportIndex,
    module: Arc<Prepared>,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.module.fmt(f)
    }
}

impl Guest {
    pub(in crate::adapter) fn new(module: Arc<Prepared>, export: &str) -> wasmtime::Result<Self> {
        Ok(Self {
            allocate: function(&module, export, "allocate")?,
            migrate: function(&module, export, "migrate")?,
            module,
        })
    }

    /// Fails where a function has other types.
    pub(in crate::adapter) fn check(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<()> {
        instance.get_typed_func::<Input<'_>, Answer>(&mut *store, &self.allocate)?;
        super::check_migrate(&self.migrate, store, instance)
    }
}

type Input<'a> = (wit::AllocationInput<'a>,);

type Answer = (Result<wit::AllocationOutput, types::PolicyError>,);

impl Allocator for Guest {
    fn allocate(&self, config: &str, input: &AllocationInput) -> Result<Allocation, CallError> {
        let steps = u32::try_from(input.grid.count).map_err(|_| {
            let text = format!("{} steps are more than a plan can have", input.grid.count);
            CallError::Policy(PolicyError::InvalidInput(text))
        })?;
        let dimensions: Vec<types::Dimension> = input
            .dimensions
            .iter()
            .copied()
            .map(shared::dimension)
            .collect();
        let tiers = shared::tiers(&input.tiers);
        let flags = |column: &[bool]| -> Vec<u8> { column.iter().map(|&f| u8::from(f)).collect() };
        let emergency = flags(&input.emergency);
        let (lends, borrows) = (flags(&input.lends), flags(&input.borrows));
        let lent = wit::AllocationInput {
            now: input.now.0,
            seed: input.seed,
            config,
            state: shared::blob_in(&input.state),
            start: input.grid.start.0,
            step: input.grid.step.secs(),
            steps,
            dimensions: &dimensions,
            unbounded: UNBOUNDED,
            capacity: &input.capacity,
            capacity_max: &input.capacity_max,
            apis: &input.apis,
            tiers: &tiers,
            weights: &input.weights,
            tenants: &input.tenants,
            floor: &input.floor,
            ceiling: &input.ceiling,
            demand: &input.demand,
            median: &input.median,
            expected: &input.expected,
            usage: &input.usage,
            previous_guaranteed: &input.previous_guaranteed,
            previous_limit: &input.previous_limit,
            step_up: &input.step_up,
            step_down: &input.step_down,
            emergency: &emergency,
            quota: &input.quota,
            lends: &lends,
            borrows: &borrows,
            max_share: &input.max_share,
        };
        let (answer,) = self.module.run(Class::Cycle, |store, instance| {
            instance
                .get_typed_func::<Input<'_>, Answer>(&mut *store, &self.allocate)?
                .call(store, (lent.clone(),))
        })?;
        let said = shared::answer(answer)?;
        let plan = Allocation {
            guaranteed: said.guaranteed,
            limit: said.limit,
            loans: said.loans.iter().map(loan).collect(),
            wanted: said.wanted,
            reasons: said.reasons,
            state: shared::blob_out(said.state),
        };
        check_shape(input, &plan).map_err(CallError::Refused)?;
        Ok(plan)
    }

    fn migrate(&self, state: &Blob) -> Result<Blob, CallError> {
        super::migrate_blob(&self.module, &self.migrate, state)
    }
}

fn loan(row: &wit::Loan) -> LoanRow {
    LoanRow {
        lender: row.lender,
        borrower: row.borrower,
        dimension: row.dimension,
        amount: row.amount,
        from_step: row.from_step,
        until_step: row.until_step,
    }
}

/// Lengths alone, so that nobody indexes past an end; the flow checks the plan itself.
fn check_shape(input: &AllocationInput, plan: &Allocation) -> Result<(), Breach> {
    let (n, s, d) = input.shape();
    let lengths = [
        ("guaranteed", plan.guaranteed.len(), n * s * d),
        ("limit", plan.limit.len(), n * s * d),
        ("wanted", plan.wanted.len(), s * d),
        ("reasons", plan.reasons.len(), n),
    ];
    match lengths.into_iter().find(|(_, have, want)| have != want) {
        None => Ok(()),
        Some((what, have, want)) => Err(Breach::new(
            Invariant::AL1,
            format!("{what} has {have} entries, {want} were asked for"),
        )),
    }
}
