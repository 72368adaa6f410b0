//! The way of states from one version of a module to another: rehearsed on all of them before the swap.
//!
//! A swap must find states, and a version with another layout must first make them of what the one before it
//! left. That happens here, before anything serves differently: every stored state of the binding is copied,
//! migrated, and asked ([`tidegate_flow::forecast::migrate`]); what allocators and tierers keep is migrated
//! and put to the last question that was asked of it. One that fails refuses the swap, because what a
//! version does to a state it does to every state like it; one that the module does not read, and says
//! so, costs a fit as before.
//!
//! Copies are made by the batch, and what comes of a rehearsal is thrown away: the second pass, once all have
//! passed, makes the same bytes again, since a module is a pure function. Two passes cost time, off the
//! cycle's path; the results of one would have to lie in memory, all of them, for a swap that may be refused.
//! The old version's states stay as they are, under its own digest; so a kill at any point leaves it serving, and a
//! rollback finds them. The keeper drops them when no rollback can need them any more.
//!
//! A state goes on under the config that it was fitted with, which a module may have put into it. So a swap
//! that changes the config as well migrates no forecaster's states: everything is fitted anew.

mod kept;

use super::fitter::{Which, fit_binding, keep};
use crate::gate::stored;
use crate::policies::Whose;
use crate::world::{World, lock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::{BindingId, Digest, PoolId};
use tidegate_core::module::{Binding, ModuleRef};
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::serve::ServeError;
use tidegate_core::ports::storage::SeriesState;
use tidegate_core::roster::{Member, Retreat};
use tidegate_core::sample::SeriesKey;
use tidegate_engine::{Loaded, Policy};
use tidegate_flow::forecast::{MigrateInput, Migrated, fitted_with, migrate, series_name};
use tidegate_telemetry::MigrationOutcome;

/// States that are copied at once.
const BATCH: usize = 64;

/// Failed states after which the rest is not tried: the answer is no, and each may have cost a deadline.
const ENOUGH: usize = 500;

/// Records of a pool that are looked through for what a version kept.
const MOST_RECORDS: usize = 10_000;

/// What a rehearsal came to.
#[derive(Debug, Default)]
struct Tally {
    moved: usize,
    unsupported: usize,
    failed: usize,
    /// Of what the first failure was, and which.
    first: Option<(String, String)>,
    /// States there are; more than were tried where enough had failed.
    all: usize,
}

impl Tally {
    fn fail(&mut self, what: String, why: String) {
        self.failed += 1;
        self.first.get_or_insert((what, why));
    }

    fn tell(&self, world: &World, module: &str) {
        for (outcome, count) in [
            (MigrationOutcome::Moved, self.moved),
            (MigrationOutcome::Unsupported, self.unsupported),
            (MigrationOutcome::Failed, self.failed),
        ] {
            world.metrics.states_migrated(module, outcome, count as u64);
        }
    }

    fn verdict(self, from: &ModuleRef, to: &ModuleRef) -> Result<Self, ServeError> {
        let Some((what, why)) = &self.first else {
            return Ok(self);
        };
        let least = if self.failed >= ENOUGH {
            "at least "
        } else {
            ""
        };
        Err(ServeError::Precondition(format!(
            "{to} cannot take over the states of {from}, which goes on serving: {least}{} of {} failed in rehearsal, the first that of {what}: {why}; correct `migrate` and push that, or have it answer `unsupported`, and every series is fitted anew",
            self.failed, self.all
        )))
    }
}

/// Who takes over from whom.
struct Change<'a> {
    world: &'a World,
    catalog: Arc<Catalog>,
    binding: &'a BindingId,
    from: ModuleRef,
    /// The version before, if it can still be asked.
    before: Option<Policy>,
    to: &'a Loaded,
    /// The next config.
    config: &'a str,
    /// Whether the config stays.
    same_config: bool,
}

/// Prepares the states of a binding for another module: those of another version of the same one are taken
/// over, the others fitted.
///
/// # Errors
/// When a state did not pass the rehearsal; nothing has changed then.
pub(crate) fn prepare(world: &World, binding: &Binding, to: &Loaded) -> Result<(), ServeError> {
    let taken = take_over(world, binding, to)?;
    if let Policy::Forecaster(policy) = to.policy() {
        let member = member(&binding.id, to.module_ref(), &binding.config, policy);
        let which = if taken { Which::Unknown } else { Which::All };
        let (known, all) = fit_binding(world, &binding.id, &member, which);
        tracing::info!(binding = %binding.id, module = %member.module, fitted = known, series = all, "states prepared for the swap");
    }
    Ok(())
}

/// Has another version of the module that serves a binding take over its states; whether there was one to
/// take over from.
///
/// # Errors
/// As [`prepare`].
pub(crate) fn take_over(world: &World, binding: &Binding, to: &Loaded) -> Result<bool, ServeError> {
    let Some((from, config)) = world.policies.serving(&binding.id) else {
        return Ok(false);
    };
    let module = to.module_ref();
    if from.name != module.name || from.digest == module.digest {
        return Ok(false);
    }
    let name = format!("{}@{}", from.name, from.digest);
    let before = world.policies.find(&name, Whose::of(binding));
    let change = Change {
        world,
        catalog: world.catalog.load_full(),
        binding: &binding.id,
        from,
        before: before.ok().map(|loaded| loaded.policy().clone()),
        to,
        config: &binding.config,
        same_config: config == binding.config,
    };
    let tally = match to.policy() {
        Policy::Forecaster(policy) if change.same_config => change.forecaster(policy),
        Policy::Forecaster(_) => return Ok(false),
        Policy::Tierer(policy) => change.tierer(policy.as_ref()),
        Policy::Allocator(policy) => change.allocator(policy.as_ref()),
        Policy::Judge(policy) => Ok(change.judge(policy.as_ref())),
    };
    let tally = tally?;
    tally.tell(world, &module.name);
    let tally = tally.verdict(&change.from, &module)?;
    if let Policy::Forecaster(policy) = to.policy() {
        change.move_states(policy)?;
    }
    tracing::info!(
        binding = %binding.id, from = %change.from, to = %module, moved = tally.moved, unsupported = tally.unsupported, states = tally.all,
        "states rehearsed and taken over; those of the version before stay for a rollback"
    );
    Ok(true)
}

fn member(
    binding: &BindingId,
    module: ModuleRef,
    config: &str,
    policy: &Arc<dyn Forecaster>,
) -> Member<dyn Forecaster> {
    Member {
        module,
        binding: Some(binding.clone()),
        retreat: Retreat::Active,
        config: config.into(),
        policy: policy.clone(),
    }
}

impl Change<'_> {
    /// The states that there are to take over, by pool: of series that the binding serves, by the version
    /// before, and that the next one does not have already.
    fn states(&self) -> Vec<(PoolId, SeriesKey)> {
        let pins = self.world.policies.pin();
        let config = self.fitted_with();
        let mut found = vec![];
        for id in self.catalog.pools.keys() {
            let shared = self.world.pool(id);
            let pool = lock(&shared);
            let of_before = |s: &&SeriesState| s.module == self.from.digest && s.config == config;
            for state in pool.bank.iter().filter(of_before) {
                let api = self.catalog.apis.get(&state.key.api).map(|a| &a.value);
                let mine = api.and_then(|api| pins.binding_of(api)).as_ref() == Some(self.binding);
                let known = pool.bank.get(&state.key, self.to.digest(), config);
                if mine && known.is_none() {
                    found.push((id.clone(), state.key.clone()));
                }
            }
        }
        found
    }

    fn fitted_with(&self) -> Digest {
        fitted_with(self.config, self.world.settings.step)
    }

    /// Goes through the states, a batch of copies at a time, cut into what may share a call.
    fn batches(
        &self,
        keys: &[(PoolId, SeriesKey)],
        mut each: impl FnMut(&[SeriesState]) -> Result<Go, ServeError>,
    ) -> Result<(), ServeError> {
        let config = self.fitted_with();
        for part in keys.chunks(BATCH) {
            if self.world.draining.load(Ordering::Acquire) {
                let text = "the daemon stops; ask again when it is back";
                return Err(ServeError::Unavailable(text.into()));
            }
            let mut copies = vec![];
            for of_pool in part.chunk_by(|a, b| a.0 == b.0) {
                let Some((id, _)) = of_pool.first() else {
                    continue;
                };
                let shared = self.world.pool(id);
                let pool = lock(&shared);
                let keys = of_pool.iter().map(|(_, key)| key);
                let states = keys.filter_map(|key| pool.bank.get(key, self.from.digest, config));
                copies.extend(states.cloned());
            }
            let mut cohorts: BTreeMap<_, Vec<SeriesState>> = BTreeMap::new();
            for state in copies {
                let model = Digest::of(&state.model);
                let cohort = (state.key.api.tenant.clone(), state.format, model);
                cohorts.entry(cohort).or_default().push(state);
            }
            for states in cohorts.values() {
                if each(states)? == Go::Stop {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn migrate(
        &self,
        states: &[SeriesState],
        from: Option<&Member<dyn Forecaster>>,
        to: &Member<dyn Forecaster>,
    ) -> Vec<Migrated> {
        let settings = &self.world.settings;
        migrate(&MigrateInput {
            seed: settings.seed,
            step: settings.step,
            steps: settings.horizon,
            states,
            from,
            to,
            format: self.to.state_format(),
            catalog: &self.catalog,
        })
    }

    /// Tries the way of every state.
    fn forecaster(&self, policy: &Arc<dyn Forecaster>) -> Result<Tally, ServeError> {
        let to = member(self.binding, self.to.module_ref(), self.config, policy);
        let from = match &self.before {
            Some(Policy::Forecaster(before)) => {
                let from = self.from.clone();
                Some(member(self.binding, from, self.config, before))
            }
            _ => None,
        };
        let keys = self.states();
        let mut tally = Tally {
            all: keys.len(),
            ..Tally::default()
        };
        self.batches(&keys, |states| {
            for (state, one) in states.iter().zip(self.migrate(states, from.as_ref(), &to)) {
                match one {
                    Migrated::Moved(_) => tally.moved += 1,
                    Migrated::Unsupported => tally.unsupported += 1,
                    Migrated::Failed(why) => tally.fail(series_name(&state.key), why),
                }
            }
            Ok(if tally.failed < ENOUGH {
                Go::On
            } else {
                Go::Stop
            })
        })?;
        Ok(tally)
    }

    /// Makes what was rehearsed, and keeps it under the next version.
    fn move_states(&self, policy: &Arc<dyn Forecaster>) -> Result<(), ServeError> {
        let to = member(self.binding, self.to.module_ref(), self.config, policy);
        // A model that many series share is made anew with every batch, and kept once.
        let mut models: BTreeMap<Digest, Arc<[u8]>> = BTreeMap::new();
        self.batches(&self.states(), |states| {
            let mut moved = vec![];
            for (state, one) in states.iter().zip(self.migrate(states, None, &to)) {
                match one {
                    Migrated::Moved(mut next) => {
                        let model = models.entry(Digest::of(&next.model));
                        next.model = model.or_insert_with(|| next.model.clone()).clone();
                        moved.push(*next);
                    }
                    Migrated::Unsupported => {}
                    // The state has moved on since, into what the version cannot read.
                    Migrated::Failed(why) => {
                        let mut tally = Tally {
                            all: 1,
                            ..Tally::default()
                        };
                        tally.fail(series_name(&state.key), why);
                        tally.verdict(&self.from, &to.module)?;
                    }
                }
            }
            keep(self.world, &self.catalog, moved).map_err(stored)?;
            Ok(Go::On)
        })
    }
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

#[cfg(test)]
mod tests;
