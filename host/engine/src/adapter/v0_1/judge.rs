//! `core`'s judge over the `judging` interface.

use super::{function, judging as wit, shared, types};
use crate::call::Prepared;
use crate::gate::Class;
use crate::guest::Guest as State;
use std::sync::Arc;
use tidegate_core::policy::{Blob, CallError, Evidence, Judge, JudgeInput, Judgement, Verdict};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance};

/// A judge in a component.
pub(in crate::adapter) struct Guest {
    judge: ComponentExportIndex,
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
            judge: function(&module, export, "judge")?,
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
        instance.get_typed_func::<Input<'_>, Answer>(&mut *store, &self.judge)?;
        super::check_migrate(&self.migrate, store, instance)
    }
}

type Input<'a> = (wit::JudgeInput<'a>,);

type Answer = (Result<wit::Judgement, types::PolicyError>,);

impl Judge for Guest {
    fn judge(&self, config: &str, input: &JudgeInput) -> Result<Judgement, CallError> {
        let metrics: Vec<wit::Metric<'_>> = input
            .metrics
            .iter()
            .map(|m| wit::Metric {
                name: &m.name,
                group: &m.group,
                rho_warn: m.rho_warn,
                rho_rollback: m.rho_rollback,
                rho_promote: m.rho_promote,
                critical: m.critical,
            })
            .collect();
        let flushes = shared::instants(&input.flushes);
        let lent = wit::JudgeInput {
            now: input.now.0,
            seed: input.seed,
            config,
            state: shared::blob_in(&input.state),
            metrics: &metrics,
            flushes: &flushes,
            counts: wit::Counts {
                shadow_events: &input.counts.shadow_events,
                shadow_requests: &input.counts.shadow_requests,
                production_events: &input.counts.production_events,
                production_requests: &input.counts.production_requests,
            },
            dispersion: &input.dispersion,
            paired_losses: &input.paired_losses,
            paired_horizon: input.paired_horizon,
            remaining: input.remaining_s,
        };
        let (answer,) = self.module.run(Class::Cycle, |store, instance| {
            instance
                .get_typed_func::<Input<'_>, Answer>(&mut *store, &self.judge)?
                .call(store, (lent.clone(),))
        })?;
        let said = shared::answer(answer)?;
        Ok(Judgement {
            verdict: match said.verdict {
                wit::Verdict::Proceed => Verdict::Proceed,
                wit::Verdict::Promote => Verdict::Promote,
                wit::Verdict::RollBack => Verdict::RollBack,
                wit::Verdict::Starved => Verdict::Starved,
                wit::Verdict::Inconclusive => Verdict::Inconclusive,
            },
            reason: said.reason,
            evidence: said.evidence.into_iter().map(evidence).collect(),
            state: shared::blob_out(said.state),
        })
    }

    fn migrate(&self, state: &Blob) -> Result<Blob, CallError> {
        super::migrate_blob(&self.module, &self.migrate, state)
    }
}

fn evidence(row: wit::Evidence) -> Evidence {
    Evidence {
        metric: row.metric,
        harm: row.harm,
        warning: row.warning,
        parity: row.parity,
        ratio_low: row.ratio_low,
        ratio_high: row.ratio_high,
        shadow_events: row.shadow_events,
        shadow_requests: row.shadow_requests,
    }
}
