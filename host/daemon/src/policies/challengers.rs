//! Challengers: modules that forecast in shadow beside the active one of a binding.
//!
//! They need no slot. A slot is for what answers for everybody whom a binding selects, with an epoch,
//! a version before it and a way back; a challenger answers only where it has won a series, and there
//! the active module goes on behind it. So they are kept beside the slots, follow the catalog with
//! them, and are pinned with them for a cycle. What was rolled back there (RB1) stands aside at
//! once: winning a series would be a way to come back by itself.

use super::{Policies, Whose, pinned_name};
use crate::world::lock;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::BindingId;
use tidegate_core::module::{Binding, Challenger, ModuleKind};
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::serve::ServeError;
use tidegate_core::roster::{Member, Retreat};
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
            *stands = next;
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        problems
    }

    /// The challengers that may serve.
    pub(crate) fn challengers(&self) -> BTreeMap<BindingId, Vec<Member<dyn Forecaster>>> {
        let mut all = lock(&self.challengers).clone();
        for (binding, members) in &mut all {
            members.retain(|m| self.admits(binding, m.module.digest));
        }
        all
    }
}
