//! Challengers: modules that forecast in shadow beside the active one of a binding.
//!
//! They need no slot. A slot is for what answers for everybody whom a binding selects, with an epoch,
//! a version before it and a way back; a challenger answers only where it has won a series, and there
//! the active module goes on behind it. So they are kept beside the slots, follow the catalog with
//! them, and are pinned with them for a cycle. What was rolled back there (RB1) stands aside at
//! once: winning a series would be a way to come back by itself.

use super::aside::Round;
use super::{Policies, Whose, pinned_name};
use crate::world::lock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::{BindingId, Digest};
use tidegate_core::module::{Binding, Challenger, ModuleKind};
use tidegate_core::policy::{CallError, Forecaster, PolicyError};
use tidegate_core::ports::serve::ServeError;
use tidegate_core::roster::{Fault, Member, Retreat};
use tidegate_core::time::Timestamp;
use tidegate_engine::{Candidate, Loaded, Policy, Swapped};

impl Policies {
    /// The challengers of a binding, each pinned to a version as the module is.
    pub(super) fn pinned_challengers(
        &self,
        binding: &Binding,
    ) -> Result<Vec<Challenger>, ServeError> {
        let all = binding.challengers.iter().enumerate();
        all.map(|(i, challenger)| {
            Ok(Challenger {
                module: pinned_name(&self.challenger(binding, i)?),
                config: challenger.config.clone(),
            })
        })
        .collect()
    }

    /// The module of the `i`th challenger; that it is not there is a problem of its field.
    fn challenger(&self, binding: &Binding, i: usize) -> Result<Loaded, ServeError> {
        let named = &binding.challengers[i].module;
        self.find(named, Whose::of(binding)).map_err(|error| {
            let object = format!("binding {}", binding.id);
            ServeError::field(
                object,
                format!("challengers[{i}].module"),
                error.to_string(),
            )
        })
    }

    /// Refuses challengers whose module or config does not fit, and those that were not there
    /// before and are quarantined.
    pub(super) fn check_challengers(
        &self,
        binding: &Binding,
        before: Option<&Binding>,
    ) -> Result<(), ServeError> {
        for (i, challenger) in binding.challengers.iter().enumerate() {
            let refuse = |field: &str, text: String| {
                let object = format!("binding {}", binding.id);
                ServeError::field(object, format!("challengers[{i}].{field}"), text)
            };
            let loaded = self.challenger(binding, i)?;
            let manifest = loaded.manifest();
            if manifest.kind != ModuleKind::Forecaster {
                let text = format!(
                    "`{}` is of kind {}; only a forecaster can be a challenger",
                    manifest.name, manifest.kind
                );
                return Err(refuse("module", text));
            }
            tidegate_engine::check_config(&manifest.config_schema, &challenger.config)
                .map_err(|error| refuse("config", error.to_string()))?;
            let stood =
                before.is_some_and(|b| b.challengers.iter().any(|c| c.module == challenger.module));
            if !stood && !self.admits(&binding.id, loaded.digest()) {
                let text = format!(
                    "`{}` was rolled back and is quarantined (RB1); push a fixed version, or leave it out",
                    challenger.module
                );
                return Err(refuse("module", text));
            }
        }
        Ok(())
    }

    /// Makes the challengers those of the catalog. One whose module is not there is told of, and
    /// left out.
    pub(super) fn follow_challengers(
        &self,
        catalog: &Catalog,
    ) -> Vec<Result<(ModuleKind, Swapped), String>> {
        let mut problems = vec![];
        let mut next: BTreeMap<BindingId, Vec<Member<dyn Forecaster>>> = BTreeMap::new();
        for binding in catalog.bindings.values().map(|b| &b.value) {
            for (i, challenger) in binding.challengers.iter().enumerate() {
                match self.challenger(binding, i).map(|l| Candidate::from(&l)) {
                    Ok(candidate) => {
                        if let Policy::Forecaster(policy) = candidate.policy {
                            next.entry(binding.id.clone()).or_default().push(Member {
                                module: candidate.module,
                                binding: Some(binding.id.clone()),
                                retreat: Retreat::Active,
                                config: challenger.config.as_str().into(),
                                policy,
                            });
                        }
                    }
                    Err(error) => problems.push(Err(error.to_string())),
                }
            }
        }
        let mut stands = lock(&self.challengers);
        let identity = |all: &BTreeMap<BindingId, Vec<Member<dyn Forecaster>>>| {
            all.iter()
                .flat_map(|(id, all)| {
                    all.iter()
                        .map(move |m| (id.clone(), m.module.digest, m.config.clone()))
                })
                .collect::<Vec<_>>()
        };
        if identity(&stands) != identity(&next) {
            let named: BTreeSet<_> = identity(&next).into_iter().collect();
            *stands = next;
            drop(stands);
            lock(&self.aside).retain(|who| named.contains(who));
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        problems
    }

    /// The challengers that may serve.
    pub(crate) fn challengers(&self) -> BTreeMap<BindingId, Vec<Member<dyn Forecaster>>> {
        let mut all = lock(&self.challengers).clone();
        for (binding, members) in &mut all {
            members.retain(|m| {
                let who = (binding.clone(), m.module.digest, m.config.clone());
                self.admits(binding, m.module.digest) && !lock(&self.aside).stands(&who)
            });
        }
        all
    }

    /// Draws the consequences of a round: challengers that failed and of which nothing is in `answered`
    /// may be asked no more for a while. Passed over are faults of others, and those that say nothing
    /// against a module: too little data, and a call that the daemon gave up.
    pub(crate) fn note_round(
        &self,
        now: Timestamp,
        round: Round,
        faults: &[Fault],
        answered: &BTreeSet<Digest>,
    ) {
        let named = lock(&self.challengers).clone();
        let failed: BTreeSet<(&BindingId, Digest)> = faults
            .iter()
            .filter(|f| {
                !matches!(
                    f.error,
                    CallError::Unavailable(_)
                        | CallError::Policy(PolicyError::InsufficientData { .. })
                )
            })
            .filter_map(|f| Some((f.binding.as_ref()?, f.module.digest)))
            .collect();
        for (binding, member) in named
            .iter()
            .flat_map(|(b, all)| all.iter().map(move |m| (b, m)))
        {
            let digest = member.module.digest;
            let who = (binding.clone(), digest, member.config.clone());
            if answered.contains(&digest) {
                match round {
                    Round::Cycle => lock(&self.aside).good(&who),
                    Round::Fit => lock(&self.aside).fitted(&who),
                }
            } else if failed.contains(&(binding, digest)) {
                let ms = lock(&self.aside).bad(who, now);
                if let Some(ms) = ms {
                    tracing::warn!(
                        binding = %binding, module = %member.module, minutes = ms / 60_000,
                        "a challenger gave no answer at all, again and again: it stands aside; another digest or config is tried at once"
                    );
                }
            }
        }
    }

    /// Lets challengers back whose time aside is over.
    pub(crate) fn let_back(&self, now: Timestamp) {
        for (binding, digest, _) in lock(&self.aside).let_back(now) {
            tracing::info!(binding = %binding, module = %digest.short(), "a challenger that stood aside is asked again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tidegate_core::module::ModuleRef;
    use tidegate_flow::baseline::LastValue;

    #[test]
    fn a_challenger_that_always_traps_stands_aside_and_one_that_answers_somewhere_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let gate = crate::testing::gate(dir.path());
        let policies = &gate.world.policies;
        let binding: BindingId = "shop/own".parse().unwrap();
        let member = |digest: u8| Member::<dyn Forecaster> {
            module: ModuleRef {
                digest: Digest([digest; 32]),
                ..ModuleRef::native("last-value")
            },
            binding: Some(binding.clone()),
            retreat: Retreat::Active,
            config: "{}".into(),
            policy: Arc::new(LastValue),
        };
        let (traps, works) = (member(1), member(2));
        lock(&policies.challengers).insert(binding.clone(), vec![traps.clone(), works.clone()]);
        let asked = || -> Vec<Digest> {
            let all = policies.challengers();
            all.into_values()
                .flatten()
                .map(|m| m.module.digest)
                .collect()
        };
        let fault = |of: &Member<dyn Forecaster>, error| of.fault(error, "shop/a requests".into());
        let trap = || CallError::Trap("unreachable".into());
        let answered = BTreeSet::from([works.module.digest]);
        let young = PolicyError::InsufficientData { have: 1, need: 10 };
        for minute in 0..5 {
            let at = Timestamp(minute * 60_000);
            // Too little data says nothing against a module, however often.
            let honest = [fault(&traps, CallError::Policy(young.clone()))];
            policies.note_round(at, Round::Cycle, &honest, &BTreeSet::new());
        }
        assert_eq!(asked().len(), 2);
        for minute in 5..8 {
            let faults = [fault(&traps, trap()), fault(&works, trap())];
            let at = Timestamp(minute * 60_000);
            policies.note_round(at, Round::Cycle, &faults, &answered);
        }
        assert_eq!(asked(), [works.module.digest]);
        policies.let_back(Timestamp(60 * 60_000));
        assert_eq!(asked().len(), 1);
        policies.let_back(Timestamp(67 * 60_000));
        assert_eq!(asked().len(), 2);
    }
}
