//! One look: every version on trial is asked about what the cycles have left.

use super::{Known, Left, about, conclude, past, stored};
use crate::life;
use crate::policies::PinnedPolicies;
use crate::world::{World, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tidegate_core::catalog::Catalog;
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{BindingId, PoolId, TenantId};
use tidegate_core::life::Version;
use tidegate_core::module::ModuleKind;
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::record::TierRecord;
use tidegate_core::roster::{Member, Retreat};
use tidegate_core::time::Timestamp;
use tidegate_core::units::Signal;
use tidegate_engine::Policy;
use tidegate_flow::forecast::{Bank, Tracks, fitted_with};
use tidegate_flow::shadow::{self, Conclusion, Output, Scene, Silent, Trial};

/// Milliseconds of the data's clock between two writes.
const EVERY_MS: i64 = 3_600_000;

/// Looks at everything that was left, and draws the consequences.
pub(super) fn turn(world: &Arc<World>, now: Timestamp) {
    let _looking = lock(&world.trials.looking);
    let left = std::mem::take(&mut *lock(&world.trials.left));
    let trials = life::trials(world);
    // Where nothing is on trial any more, cycles leave nothing; what was known goes all the same.
    {
        let is_on = |id: &BindingId| trials.iter().any(|t| t.binding == *id);
        lock(&world.trials.known).retain(|id, _| is_on(id));
    }
    if left.is_empty() {
        return;
    }
    let catalog = world.catalog.load_full();
    let mut ended = false;
    for of in &trials {
        // A panic is a bug, of this trial alone.
        let one = AssertUnwindSafe(|| one(world, &catalog, of, &left, now));
        match catch_unwind(one) {
            Ok(Ok(conclusion)) => ended |= conclusion.ends(),
            Ok(Err(error)) => {
                tracing::error!(binding = %of.binding, error = %error, "a version on trial could not be looked at");
            }
            Err(_) => {
                tracing::error!(binding = %of.binding, "a trial panicked; the log says where. It begins anew");
                lock(&world.trials.known).remove(&of.binding);
            }
        }
    }
    let written = *lock(&world.trials.written);
    if ended || written.is_none_or(|at| !(0..EVERY_MS).contains(&now.since_ms(at))) {
        *lock(&world.trials.written) = Some(now);
        stored::write(world);
    }
}

pub(super) fn member<P: ?Sized>(
    binding: &BindingId,
    version: &Version,
    policy: &Arc<P>,
) -> Member<P> {
    Member {
        module: version.module.clone(),
        binding: Some(binding.clone()),
        retreat: Retreat::Active,
        config: version.config.as_str().into(),
        policy: policy.clone(),
    }
}

/// The forecaster that is silent in a trial.
pub(super) fn forecaster(of: &life::Trial) -> Option<Member<dyn Forecaster>> {
    match &of.silent.policy {
        Policy::Forecaster(policy) => Some(member(&of.binding, of.silent_version(), policy)),
        _ => None,
    }
}

fn one(
    world: &World,
    catalog: &Catalog,
    of: &life::Trial,
    left: &BTreeMap<PoolId, Left>,
    now: Timestamp,
) -> Result<Conclusion, StoreError> {
    let nothing = Conclusion::Continue {
        why: "nothing was compared yet".into(),
        starved: false,
    };
    let (step, horizon) = (world.settings.step, world.settings.horizon);
    // A copy: whoever asks meanwhile how it stands hears what is known. The same two again, later, are
    // another trial.
    let known = lock(&world.trials.known)
        .get(&of.binding)
        .filter(|known| about(of) == known.trial.about)
        .map(|known| known.trial.clone());
    let is_new = known.is_none();
    let Some(trial) = known.or_else(|| Trial::new(about(of), step, horizon)) else {
        return Ok(nothing);
    };
    if is_new && let Some(why) = past::objects(world, catalog, of, &trial, now)? {
        let refused = Conclusion::Refused(why);
        conclude::draw(world, of, &trial, &refused, left.keys().next(), now);
        lock(&world.trials.known).remove(&of.binding);
        return Ok(refused);
    }
    let output = match ask(world, catalog, of, &trial, left, now) {
        Ok(Some(output)) => output,
        asked => {
            let known = Known {
                trial,
                conclusion: nothing.clone(),
            };
            lock(&world.trials.known).insert(of.binding.clone(), known);
            return asked.map(|_| nothing);
        }
    };
    for fault in &output.faults {
        world.metrics.challenger_faulted(&fault.module.name);
        tracing::warn!(module = %fault.module, subject = %fault.subject, error = %fault.error, "on trial: no usable answer");
    }
    for state in output.states {
        if let Some(api) = catalog.apis.get(&state.key.api) {
            lock(&world.pool(&api.value.pool)).bank.put(state);
        }
    }
    let (trial, conclusion) = (output.trial, output.conclusion);
    let pool = left.keys().next();
    // What could not be done is tried again with the next cycle.
    if !conclusion.ends() || !conclude::draw(world, of, &trial, &conclusion, pool, now) {
        let known = Known {
            trial,
            conclusion: conclusion.clone(),
        };
        lock(&world.trials.known).insert(of.binding.clone(), known);
    } else {
        lock(&world.trials.known).remove(&of.binding);
    }
    Ok(conclusion)
}

/// Puts the questions.
fn ask(
    world: &World,
    catalog: &Catalog,
    of: &life::Trial,
    trial: &Trial,
    left: &BTreeMap<PoolId, Left>,
    now: Timestamp,
) -> Result<Option<Output>, StoreError> {
    let pins = world.policies.pin();
    let mine: Vec<Mine<'_>> = left
        .iter()
        .filter_map(|left| Mine::of(world, catalog, of, &pins, left))
        .collect();
    let scenes: Vec<Scene<'_>> = mine.iter().map(Mine::scene).collect();
    let tenant = catalog.bindings.get(&of.binding);
    let tenant = tenant.and_then(|b| b.value.selector.tenant.as_ref());
    let judge = world
        .policies
        .judge_under(&pins, tenant, &of.gate, trial.questions.len());
    let run = |silent: Silent<'_>| {
        shadow::run(&shadow::Input {
            now,
            seed: world.settings.seed,
            step: world.settings.step,
            horizon: world.settings.horizon,
            trial,
            gate: &of.gate,
            silent,
            scenes: &scenes,
            judge: &judge,
            history: &*world.store,
            catalog,
        })
    };
    let silent = trial.about.silent();
    let output = match &of.silent.policy {
        Policy::Allocator(policy) => {
            let silent = member(&of.binding, silent, policy);
            run(Silent::Allocator(&silent))
        }
        Policy::Forecaster(policy) => {
            let silent = member(&of.binding, silent, policy);
            run(Silent::Forecaster(&silent))
        }
        Policy::Tierer(policy) => {
            let serving = trial.about.serving();
            let held = world.policies.held(serving.module.digest);
            let Some(Policy::Tierer(other)) = held.map(|c| c.policy) else {
                return Ok(None);
            };
            let silent = member(&of.binding, silent, policy);
            let serving = member(&of.binding, serving, &other);
            run(Silent::Tierer {
                silent: &silent,
                serving: &serving,
            })
        }
        Policy::Judge(_) => return Ok(None),
    };
    output.map(Some)
}

/// What of a pool's cycle is a binding's.
struct Mine<'a> {
    pool: &'a PoolId,
    left: &'a Left,
    tiers: Vec<&'a TierRecord>,
    forecasts: Vec<&'a Forecast>,
    bank: Bank,
    tracks: Tracks,
}

impl<'a> Mine<'a> {
    fn of(
        world: &World,
        catalog: &Catalog,
        of: &life::Trial,
        pins: &PinnedPolicies,
        (pool, left): (&'a PoolId, &'a Left),
    ) -> Option<Self> {
        let id = &of.binding;
        let mut mine = Self {
            pool,
            left,
            tiers: vec![],
            forecasts: vec![],
            bank: Bank::default(),
            tracks: Tracks::default(),
        };
        match of.kind {
            ModuleKind::Allocator => {
                return (pins.binding_of_pool(pool)? == *id).then_some(mine);
            }
            ModuleKind::Tierer => {
                let all = left.record.tiers.iter();
                let is_mine =
                    |t: &&TierRecord| pins.binding_of_tenant(&t.tenant).as_ref() == Some(id);
                mine.tiers = all.filter(is_mine).collect();
                let tenants: BTreeSet<&TenantId> = mine.tiers.iter().map(|t| &t.tenant).collect();
                let all = left.forecasts.values();
                let of = |f: &&Forecast| {
                    f.key.signal == Signal::Requests && tenants.contains(&f.key.api.tenant)
                };
                mine.forecasts = all.filter(of).collect();
            }
            ModuleKind::Forecaster => {
                let is_mine = |f: &&Forecast| {
                    let api = catalog.apis.get(&f.key.api).map(|a| &a.value);
                    api.is_some_and(|api| pins.binding_of(api).as_ref() == Some(id))
                };
                mine.forecasts = left.forecasts.values().filter(is_mine).collect();
                shadow::forecasters::sample(&mut mine.forecasts);
                mine.copy(world, of.silent_version());
            }
            ModuleKind::Judge => return None,
        }
        Some(mine)
    }

    /// What the pool keeps of the silent one, copied, so that no cycle waits for a candidate.
    fn copy(&mut self, world: &World, silent: &Version) {
        let module = silent.module.digest;
        let config = fitted_with(&silent.config, world.settings.step);
        let shared = world.pool(self.pool);
        let state = lock(&shared);
        for forecast in &self.forecasts {
            let key = &forecast.key;
            if let Some(fitted) = state.bank.get(key, module, config) {
                self.bank.put(fitted.clone());
            }
            if let Some(track) = state.tracks.get(key, module, config) {
                self.tracks.put(track.clone());
            }
        }
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            pool: self.pool,
            record: &self.left.record,
            tiers: &self.tiers,
            forecasts: &self.forecasts,
            bank: &self.bank,
            tracks: &self.tracks,
        }
    }
}
