//! Versions on trial: a shadow beside what serves, and after a swap the version before beside the new one.
//!
//! As in the daemon, they are asked after the plans of a step were published, by `flow::shadow`, and what
//! is concluded is done here: a promotion fits first and swaps after, harm in shadow ends the shadow and
//! quarantines the digest for the binding, harm under watch rolls the binding back. Where no judge is
//! bound there is nobody to conclude anything, and nobody is asked.

use crate::bind::{Slotted, named, text};
use crate::native::Native;
use crate::world::{HarnessError, World};
use std::collections::BTreeMap;
use tidegate_core::catalog::{Api, Object};
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{BindingId, PoolId};
use tidegate_core::life::{Gate, Side, Version};
use tidegate_core::module::{Binding, ModuleKind, ShadowModule};
use tidegate_core::policy::{Forecaster, Judge};
use tidegate_core::ports::storage::Ledger;
use tidegate_core::record::TierRecord;
use tidegate_core::roster::{Member, Retreat, Roster};
use tidegate_engine::{By, Policy, SwapError, gated_config};
use tidegate_flow::cycle::{Left, PoolState};
use tidegate_flow::shadow::{self, About, Conclusion, Scene, Silent, Standing, Trial};

/// Trials by binding, and by whose answers count.
pub(crate) type Trials = BTreeMap<(BindingId, Side), Trial>;

impl World {
    /// Puts a module in shadow of a binding, under a gate.
    ///
    /// # Errors
    /// When there is no such binding, when the catalog refuses it, and when the module is quarantined for
    /// the binding (RB1).
    pub fn shadow(
        &mut self,
        id: &BindingId,
        module: &str,
        config: &str,
        gate: Gate,
    ) -> Result<(), HarnessError> {
        let native = self.module(module)?;
        let stands = self.binding(id)?;
        if !self.slots.admits(id, native.module.digest) {
            return Err(SwapError::Quarantined(native.module).into());
        }
        let shadow = ShadowModule {
            module: text(&native),
            config: config.into(),
        };
        self.apply([Object::Binding(Binding {
            shadow: Some(shadow),
            gate,
            ..stands
        })])?;
        self.note(format!(
            "binding {id}: {} is in shadow",
            named(&native.module)
        ));
        Ok(())
    }

    /// How the trials stand, by binding.
    #[must_use]
    pub fn trials(&self) -> Vec<Standing> {
        self.trials.values().map(Trial::standing).collect()
    }

    /// What the trials concluded last.
    #[must_use]
    pub fn conclusion(&self, id: &BindingId) -> Option<&Conclusion> {
        self.concluded.get(id)
    }

    fn binding(&self, id: &BindingId) -> Result<Binding, HarnessError> {
        let found = self.catalog.bindings.get(id).map(|b| b.value.clone());
        found.ok_or_else(|| HarnessError::Unknown(format!("binding `{id}`")))
    }

    /// Notes that a swap is watched from now on.
    pub(crate) fn watch(&mut self, id: &BindingId) {
        self.watched.insert(id.clone(), self.now);
        self.trials.remove(&(id.clone(), Side::Candidate));
    }

    /// Asks who is silent and draws the consequences. The plans of this step are published.
    pub(crate) fn follow_trials(&mut self) {
        let bindings = self.catalog.bindings.values();
        let ids: Vec<BindingId> = bindings.map(|b| b.value.id.clone()).collect();
        let bound = |kind| {
            let mut bindings = self.catalog.bindings.values();
            bindings.any(|b| b.value.kind == kind)
        };
        if !bound(ModuleKind::Judge) {
            return;
        }
        for id in ids {
            for side in [Side::Incumbent, Side::Candidate] {
                if let Err(error) = self.follow_trial(&id, side) {
                    self.note(format!("binding {id}: the trial cannot go on: {error}"));
                }
            }
        }
    }

    /// Who is compared with whom at a binding, if anybody is.
    fn about(&self, binding: &Binding, side: Side) -> Option<About> {
        let (module, config) = self.slots.serving(&binding.id)?;
        let serving = Version { module, config };
        let (candidate, incumbent, since) = match side {
            Side::Incumbent => {
                let shadow = binding.shadow.as_ref()?;
                let native = self.natives.iter().find(|n| text(n) == shadow.module)?;
                let candidate = Version {
                    module: native.module.clone(),
                    config: shadow.config.clone(),
                };
                (candidate, serving, self.now)
            }
            Side::Candidate => {
                let since = *self.watched.get(&binding.id)?;
                let (module, config) = self.slots.last_good(&binding.id)?;
                (serving, Version { module, config }, since)
            }
        };
        Some(About {
            binding: binding.id.clone(),
            kind: binding.kind,
            serves: side,
            candidate,
            incumbent,
            since,
        })
    }

    fn follow_trial(&mut self, id: &BindingId, side: Side) -> Result<(), HarnessError> {
        let binding = self.binding(id)?;
        let key = (id.clone(), side);
        let (step, horizon) = (self.settings.step, self.settings.horizon);
        let Some(about) = self.about(&binding, side) else {
            self.trials.remove(&key);
            return Ok(());
        };
        let known = self.trials.remove(&key).filter(|t| about.is_of(&t.about));
        let Some(trial) = known.or_else(|| Trial::new(about, step, horizon)) else {
            return Ok(());
        };
        let silent = self.native_of(trial.about.silent());
        let serving = self.native_of(trial.about.serving());
        let Some((silent, serving)) = silent.zip(serving) else {
            return Ok(());
        };
        let output = {
            let seen = self.seen(&binding)?;
            let tiers: Vec<Vec<&TierRecord>> = seen.iter().map(Sight::tiers).collect();
            let scenes = seen.iter().zip(&tiers);
            let scenes: Vec<Scene<'_>> = scenes.map(|(s, tiers)| s.scene(tiers)).collect();
            let judge = self.judge(&binding, trial.questions.len());
            let of = |version: &Version| version.config.as_str().into();
            let config = (of(trial.about.silent()), of(trial.about.serving()));
            macro_rules! member {
                ($native:expr, $policy:expr, $config:expr) => {
                    Member {
                        module: $native.module.clone(),
                        binding: Some(id.clone()),
                        retreat: Retreat::Active,
                        config: $config,
                        policy: $policy.clone(),
                    }
                };
            }
            let run = |silent: Silent<'_>| {
                shadow::run(&shadow::Input {
                    now: self.now,
                    seed: self.settings.seed,
                    step,
                    horizon,
                    trial: &trial,
                    gate: &binding.gate,
                    silent,
                    scenes: &scenes,
                    judge: &judge,
                    history: &self.store,
                    catalog: &self.catalog,
                })
            };
            let asked = match (&silent.policy, &serving.policy) {
                (Policy::Allocator(policy), _) => {
                    let member = member!(silent, policy, config.0);
                    run(Silent::Allocator(&member))
                }
                (Policy::Forecaster(policy), _) => {
                    let member = member!(silent, policy, config.0);
                    run(Silent::Forecaster(&member))
                }
                (Policy::Tierer(one), Policy::Tierer(other)) => {
                    let silent = member!(silent, one, config.0);
                    let serving = member!(serving, other, config.1);
                    run(Silent::Tierer {
                        silent: &silent,
                        serving: &serving,
                    })
                }
                _ => return Ok(()),
            };
            asked?
        };
        for state in output.states {
            if let Some(api) = self.catalog.apis.get(&state.key.api) {
                let pool = self.pools.entry(api.value.pool.clone()).or_default();
                pool.bank.put(state);
            }
        }
        let about = output.trial.about.clone();
        if !output.conclusion.ends() {
            self.trials.insert(key, output.trial);
        }
        self.concluded.insert(id.clone(), output.conclusion.clone());
        self.draw(&binding, &about, output.conclusion)
    }

    /// Does what was concluded.
    fn draw(
        &mut self,
        binding: &Binding,
        about: &About,
        conclusion: Conclusion,
    ) -> Result<(), HarnessError> {
        let (id, candidate) = (&binding.id, named(&about.candidate.module));
        match (conclusion, about.serves) {
            (Conclusion::Continue { .. } | Conclusion::Ready(_), _) => Ok(()),
            (Conclusion::Watched(why), _) => {
                self.watched.remove(id);
                self.note(format!("binding {id}: {candidate} stays: {why}"));
                Ok(())
            }
            (Conclusion::Promote(why), _) => {
                self.note(format!("binding {id}: {candidate} is promoted: {why}"));
                self.promote(binding, about)
            }
            (Conclusion::Inconclusive(why) | Conclusion::Refused(why), _) => {
                self.note(format!("binding {id}: shadow {candidate} ends: {why}"));
                self.end_shadow(binding)
            }
            (Conclusion::RollBack(why), Side::Incumbent) => {
                self.slots
                    .quarantine_at([(about.candidate.module.digest, id, None)]);
                self.note(format!(
                    "binding {id}: shadow {candidate} ends and is quarantined: {why}"
                ));
                self.end_shadow(binding)
            }
            (Conclusion::RollBack(why), Side::Candidate) => {
                self.watched.remove(id);
                self.note(format!("binding {id}: {candidate} does harm: {why}"));
                self.rollback(id)
            }
        }
    }

    fn end_shadow(&mut self, binding: &Binding) -> Result<(), HarnessError> {
        self.apply([Object::Binding(Binding {
            shadow: None,
            ..binding.clone()
        })])
    }

    fn promote(&mut self, binding: &Binding, about: &About) -> Result<(), HarnessError> {
        let Version { config, .. } = &about.candidate;
        let Some(native) = self.native_of(&about.candidate) else {
            return Ok(());
        };
        self.prepare(&binding.id, &native, config);
        let candidate = native.candidate();
        self.slots
            .swap(&binding.id, &candidate, config, By::Itself)?;
        self.watch(&binding.id);
        let next = binding.served_by(text(&native), config.clone());
        self.apply([Object::Binding(next)])
    }

    fn native_of(&self, version: &Version) -> Option<Native> {
        let mut all = self.natives.iter();
        all.find(|n| n.module == version.module).cloned()
    }

    /// Who judges a binding, under its gate.
    fn judge(&self, binding: &Binding, questions: usize) -> Roster<dyn Judge> {
        let pinned = self.slots.pin();
        let found = pinned.judge(&tidegate_engine::Subject {
            tenant: binding.selector.tenant.as_ref(),
            ..tidegate_engine::Subject::default()
        });
        let mut members = found.map_or_else(Vec::new, |r| r.roster.members.to_vec());
        for member in &mut members {
            let native = self.natives.iter().find(|n| n.module == member.module);
            if let Some(native) = native {
                let (schema, config) = (&native.config_schema, &member.config);
                member.config = gated_config(schema, config, &binding.gate, questions).into();
            }
        }
        Roster::of(members)
    }

    /// The series' forecaster in shadow, where there is one: it has to be fitted.
    pub(crate) fn shadow_of(&self, id: &BindingId) -> Option<Member<dyn Forecaster>> {
        let binding = &self.catalog.bindings.get(id)?.value;
        let shadow = binding.shadow.as_ref()?;
        let native = self.natives.iter().find(|n| text(n) == shadow.module)?;
        let Policy::Forecaster(policy) = &native.policy else {
            return None;
        };
        Some(Member {
            module: native.module.clone(),
            binding: Some(id.clone()),
            retreat: Retreat::Active,
            config: shadow.config.as_str().into(),
            policy: policy.clone(),
        })
    }

    /// What the cycles of this step have left of a binding.
    fn seen(&self, binding: &Binding) -> Result<Vec<Sight<'_>>, HarnessError> {
        let pins = Slotted::of(self);
        let mut all = vec![];
        for (pool, state) in &self.pools {
            let Some(generation) = self.store.last(pool) else {
                continue;
            };
            let record = self.store.record(pool, generation)?;
            let Some(record) = record.filter(|r| r.at == self.now).map(Left::from) else {
                continue;
            };
            let is_mine = match binding.kind {
                ModuleKind::Allocator => pins.pool_binding(pool).as_ref() == Some(&binding.id),
                _ => true,
            };
            if !is_mine {
                continue;
            }
            let forecasts = self.forecasts.values().filter(|f| {
                let api = self.catalog.apis.get(&f.key.api).map(|a| &a.value);
                let is_here = |api: &&Api| api.pool == *pool;
                api.filter(is_here).is_some_and(|api| match binding.kind {
                    ModuleKind::Forecaster => pins.binding_of(api).as_ref() == Some(&binding.id),
                    ModuleKind::Tierer => {
                        pins.tenant_binding(&api.id.tenant).as_ref() == Some(&binding.id)
                    }
                    ModuleKind::Allocator | ModuleKind::Judge => false,
                })
            });
            let tenants: Vec<bool> = record
                .tiers
                .iter()
                .map(|t| pins.tenant_binding(&t.tenant).as_ref() == Some(&binding.id))
                .collect();
            all.push(Sight {
                pool,
                forecasts: forecasts.collect(),
                record,
                tenants,
                state,
            });
        }
        Ok(all)
    }

    /// Trials go on after a restart from their bytes.
    pub(crate) fn restore_trials(&mut self) {
        let (step, horizon) = (self.settings.step, self.settings.horizon);
        let stored: Vec<Vec<u8>> = self.trials.values().map(Trial::bytes).collect();
        self.trials = stored
            .iter()
            .filter_map(|bytes| Trial::of(bytes, step, horizon))
            .map(|trial| ((trial.about.binding.clone(), trial.about.serves), trial))
            .collect();
    }
}

/// What the cycle of one pool has left of a binding.
struct Sight<'a> {
    pool: &'a PoolId,
    forecasts: Vec<&'a Forecast>,
    record: Left,
    /// Whether each tierer call of the record is the binding's.
    tenants: Vec<bool>,
    state: &'a PoolState,
}

impl Sight<'_> {
    fn tiers(&self) -> Vec<&TierRecord> {
        let all = self.record.tiers.iter().zip(&self.tenants);
        all.filter(|(_, mine)| **mine).map(|(t, _)| t).collect()
    }

    fn scene<'b>(&'b self, tiers: &'b [&'b TierRecord]) -> Scene<'b> {
        Scene {
            pool: self.pool,
            record: &self.record,
            tiers,
            forecasts: &self.forecasts,
            bank: &self.state.bank,
            tracks: &self.state.tracks,
        }
    }
}
