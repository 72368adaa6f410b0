//! What allocators and tierers keep, on its way to another version: migrated, and put to the last question
//! that was asked of the version before.
//!
//! Nothing is stored here. The state itself is migrated again when the next version is first asked
//! ([`Kept::for_module`]), from whatever the version before has kept by then.

use super::{Change, MOST_RECORDS, Tally};
use crate::gate::stored;
use crate::keeper;
use crate::trials::OnTrial;
use crate::world::lock;
use tidegate_core::ids::PoolId;
use tidegate_core::invariant::check_allocation;
use tidegate_core::policy::{
    AllocationInput, Allocator, Blob, CallError, Earlier, Judge, Kept, PolicyError, TierInput,
    Tierer,
};
use tidegate_core::ports::serve::ServeError;
use tidegate_core::ports::storage::{Ledger, Modules, StoredModule};
use tidegate_core::roster::Member;
use tidegate_flow::cycle::Pins as _;

impl Change<'_> {
    /// Tries what allocators keep, on the question of the plan in force.
    pub(super) fn allocator(&self, policy: &dyn Allocator) -> Result<Tally, ServeError> {
        let mut tally = Tally::default();
        let pins = self.world.policies.pin();
        for id in self.catalog.pools.keys() {
            if !self.is_served(&pins.allocator(id).members) {
                continue;
            }
            self.recall(id)?;
            let shared = self.world.pool(id);
            let (kept, asked) = {
                let pool = lock(&shared);
                (pool.allocator_state.clone(), pool.asked.clone())
            };
            let outcome = self.kept(&kept, |blob| policy.migrate(blob));
            let tried = outcome.and_then(|state| match (state, asked) {
                (Some(state), Some(asked)) => {
                    let question = AllocationInput {
                        state,
                        ..AllocationInput::clone(&asked)
                    };
                    let answer = policy.allocate(self.config, &question);
                    answered(answer, |plan| {
                        check_allocation(&question, plan).map_err(|breach| breach.to_string())
                    })
                }
                _ => Ok(()),
            });
            self.count(&mut tally, &kept, tried, || format!("pool {id}"));
        }
        Ok(tally)
    }

    /// Tries what tierers keep, on the questions of the last record.
    pub(super) fn tierer(&self, policy: &dyn Tierer) -> Result<Tally, ServeError> {
        let mut tally = Tally::default();
        let pins = self.world.policies.pin();
        for id in self.catalog.pools.keys() {
            self.recall(id)?;
            let states = lock(&self.world.pool(id)).tier_states.clone();
            let store = &self.world.store;
            let record = match store.last(id) {
                Some(last) => store.whole(id, last).map_err(stored)?,
                None => None,
            };
            for (tenant, kept) in states {
                if !self.is_served(&pins.tierer(&tenant).members) {
                    continue;
                }
                let asked = record
                    .as_ref()
                    .and_then(|r| r.tiers.iter().find(|t| t.tenant == tenant));
                let outcome = self.kept(&kept, |blob| policy.migrate(blob));
                let tried = outcome.and_then(|state| match (state, asked) {
                    (Some(state), Some(asked)) => {
                        let question = TierInput {
                            state,
                            ..asked.input.clone()
                        };
                        let n = question.apis.len();
                        answered(policy.decide(self.config, &question), |said| {
                            match (said.wanted.len(), said.reasons.len()) {
                                (w, r) if w == n && r == n => Ok(()),
                                (w, r) => Err(format!("{w} tiers and {r} reasons for {n} apis")),
                            }
                        })
                    }
                    _ => Ok(()),
                });
                self.count(&mut tally, &kept, tried, || format!("tenant {tenant}"));
            }
        }
        Ok(tally)
    }

    /// Tries what judges keep of every trial. It is not asked: without new pairs there is no question.
    pub(super) fn judge(&self, policy: &dyn Judge) -> Tally {
        let mut tally = Tally::default();
        for (binding, question, kept) in OnTrial::evidence(self.world) {
            if kept.writer.as_ref() != Some(&self.from) {
                continue;
            }
            let tried = self.kept(&kept, |blob| policy.migrate(blob)).map(drop);
            let what = || format!("the trial of binding {binding}, {question}");
            self.count(&mut tally, &kept, tried, what);
        }
        tally
    }

    fn is_served<P: ?Sized>(&self, members: &[Member<P>]) -> bool {
        members.first().and_then(|m| m.binding.as_ref()) == Some(self.binding)
    }

    /// What the next version makes of a kept state; `None` where there is nothing to take over, or it says
    /// that it does not read it.
    fn kept(
        &self,
        kept: &Kept,
        migrate: impl FnOnce(&Blob) -> Result<Blob, CallError>,
    ) -> Result<Option<Blob>, String> {
        let module = self.to.module_ref();
        let Some((_, blob)) = kept.of_another_version(&module) else {
            return Ok(None);
        };
        match migrate(blob) {
            Ok(blob) if blob.bytes.is_empty() || blob.format == self.to.state_format() => {
                Ok(Some(blob))
            }
            Ok(blob) => Err(format!(
                "`migrate` wrote format {}, `describe` says {}",
                blob.format,
                self.to.state_format()
            )),
            Err(CallError::Policy(PolicyError::Unsupported(_))) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn count(
        &self,
        tally: &mut Tally,
        kept: &Kept,
        tried: Result<(), String>,
        what: impl FnOnce() -> String,
    ) {
        let module = self.to.module_ref();
        if kept.of_another_version(&module).is_none() {
            return;
        }
        tally.all += 1;
        match tried {
            Ok(()) => tally.moved += 1,
            Err(why) => tally.fail(what(), why),
        }
    }

    /// Gives a pool back what the next version kept itself, where it served within the time of a rollback
    /// and the daemon was started anew since: the ledger has it.
    fn recall(&self, id: &PoolId) -> Result<(), ServeError> {
        let writer = self.to.module_ref();
        let store = &self.world.store;
        let modules = Modules::list(&**store).map_err(stored)?;
        let admitted = modules.iter().find(|m| m.digest == writer.digest);
        let Some(admitted) = admitted.map(StoredModule::admitted_at) else {
            return Ok(());
        };
        let (now, shared) = (self.world.clock.now(), self.world.pool(id));
        let window_ms = keeper::window_ms(&self.catalog);
        let mut next = store.last(id);
        for _ in 0..MOST_RECORDS {
            let Some(generation) = next else { break };
            let Some(record) = store.record(id, generation).map_err(stored)? else {
                break;
            };
            // Before it was there it kept nothing.
            if record.at < admitted || now.since_ms(record.at) >= window_ms {
                break;
            }
            let left = record.at;
            let earlier = |blob: &Blob| Earlier {
                writer: writer.clone(),
                blob: blob.clone(),
                left,
            };
            let mut pool = lock(&shared);
            let kept = &mut pool.allocator_state;
            if record.plan.served.module == writer && kept.own(&writer).is_none() {
                kept.recall(earlier(&record.allocator_state));
            }
            for tier in record.tiers.iter().filter(|t| t.served.module == writer) {
                let kept = pool.tier_states.entry(tier.tenant.clone()).or_default();
                if kept.own(&writer).is_none() {
                    kept.recall(earlier(&tier.state));
                }
            }
            next = (record.plan.parent.0 > 0).then_some(record.plan.parent);
        }
        Ok(())
    }
}

/// Holds an answer to a check; that a module has too little data is an honest answer.
fn answered<T>(
    answer: Result<T, CallError>,
    check: impl FnOnce(&T) -> Result<(), String>,
) -> Result<(), String> {
    let told = match answer {
        Ok(said) => check(&said),
        Err(CallError::Policy(PolicyError::InsufficientData { .. })) => Ok(()),
        Err(error) => Err(error.to_string()),
    };
    told.map_err(|problem| format!("from the migrated state: {problem}"))
}
