//! `core`'s tierer over the `tiering` interface.

use super::{function, shared, tiering as wit, types};
use crate::call::Prepared;
use crate::gate::Class;
use crate::guest::Guest as State;
use std::sync::Arc;
use tidegate_core::invariant::{Breach, Invariant};
use tidegate_core::policy::{Blob, CallError, TierInput, TierOutput, Tierer};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance};

/// A tierer in a component.
pub(in crate::adapter) struct Guest {
    decide: ComponentExportIndex,
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
            decide: function(&module, export, "decide")?,
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
        instance.get_typed_func::<Input<'_>, Answer>(&mut *store, &self.decide)?;
        super::check_migrate(&self.migrate, store, instance)
    }
}

type Input<'a> = (wit::TierInput<'a>,);

type Answer = (Result<wit::TierOutput, types::PolicyError>,);

impl Tierer for Guest {
    fn decide(&self, config: &str, input: &TierInput) -> Result<TierOutput, CallError> {
        let current = shared::tiers(&input.current);
        let base = shared::tiers(&input.base);
        let lowest = shared::tiers(&input.lowest);
        let highest = shared::tiers(&input.highest);
        let levels = shared::levels(&input.levels);
        let lent = wit::TierInput {
            now: input.now.0,
            seed: input.seed,
            config,
            state: shared::blob_in(&input.state),
            apis: &input.apis,
            current: &current,
            base: &base,
            lowest: &lowest,
            highest: &highest,
            dwell: &input.dwell,
            expected: &input.expected,
            levels: &levels,
            peak: &input.peak,
            utilisation: &input.utilisation,
            burn_windows: &input.burn_windows,
            burn: &input.burn,
            budget_left: &input.budget_left,
        };
        let (answer,) = self.module.run(Class::Cycle, |store, instance| {
            instance
                .get_typed_func::<Input<'_>, Answer>(&mut *store, &self.decide)?
                .call(store, (lent.clone(),))
        })?;
        let said = shared::answer(answer)?;
        let want = input.apis.len();
        for (what, have) in [
            ("wanted", said.wanted.len()),
            ("reasons", said.reasons.len()),
        ] {
            if have != want {
                let detail = format!("{what} has {have} entries for {want} apis");
                return Err(CallError::Refused(Breach::new(Invariant::TI1, detail)));
            }
        }
        Ok(TierOutput {
            wanted: said.wanted.into_iter().map(shared::tier_out).collect(),
            reasons: said.reasons,
            state: shared::blob_out(said.state),
        })
    }

    fn migrate(&self, state: &Blob) -> Result<Blob, CallError> {
        super::migrate_blob(&self.module, &self.migrate, state)
    }
}
