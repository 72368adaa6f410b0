//! What is in shadow of a binding: one candidate, pinned and checked as the module is.
//!
//! It needs no slot, for the reason that a challenger needs none: nothing that it answers counts. So it
//! cannot fall back, and RB1 is kept where it comes in: what is quarantined for a binding is not put in
//! shadow of it, since from there the gate could promote it.

use super::{PinnedPolicies, Policies, Whose, pinned_name};
use crate::world::lock;
use std::sync::atomic::Ordering;
use tidegate_core::ids::{BindingId, Digest, TenantId};
use tidegate_core::life::{Gate, Version};
use tidegate_core::module::{Binding, ShadowModule};
use tidegate_core::policy::Judge;
use tidegate_core::ports::serve::ServeError;
use tidegate_core::roster::Roster;
use tidegate_engine::{Candidate, Loaded, Swapped, gated_config};

/// A shadow's problem, by its field.
fn refuse(binding: &Binding, field: &str, text: String) -> ServeError {
    let object = format!("binding {}", binding.id);
    ServeError::field(object, format!("shadow.{field}"), text)
}

impl Policies {
    /// The shadow of a binding, pinned to a version.
    pub(super) fn pinned_shadow(
        &self,
        binding: &Binding,
    ) -> Result<Option<ShadowModule>, ServeError> {
        let Some(shadow) = &binding.shadow else {
            return Ok(None);
        };
        let loaded = self.in_shadow(binding, shadow)?;
        Ok(Some(ShadowModule {
            module: pinned_name(&loaded),
            config: shadow.config.clone(),
        }))
    }

    /// The module in shadow of a binding; that it is not there is a problem of its field.
    pub(crate) fn in_shadow(
        &self,
        binding: &Binding,
        shadow: &ShadowModule,
    ) -> Result<Loaded, ServeError> {
        let found = self.find(&shadow.module, Whose::of(binding));
        found.map_err(|error| refuse(binding, "module", error.to_string()))
    }

    /// Refuses a shadow whose kind or config does not fit, and one that was not there before and is
    /// quarantined (RB1).
    pub(crate) fn check_shadow(
        &self,
        binding: &Binding,
        before: Option<&Binding>,
    ) -> Result<(), ServeError> {
        let Some(shadow) = &binding.shadow else {
            return Ok(());
        };
        let loaded = self.in_shadow(binding, shadow)?;
        let manifest = loaded.manifest();
        if manifest.kind != binding.kind {
            let text = format!(
                "`{}` is of kind {}, the binding of kind {}",
                manifest.name, manifest.kind, binding.kind
            );
            return Err(refuse(binding, "module", text));
        }
        tidegate_engine::check_config(&manifest.config_schema, &shadow.config)
            .map_err(|error| refuse(binding, "config", error.to_string()))?;
        let stood = before
            .and_then(|b| b.shadow.as_ref())
            .is_some_and(|s| s.module == shadow.module);
        if !stood && !self.admits(&binding.id, loaded.digest()) {
            let text = format!(
                "`{}` was rolled back and is quarantined (RB1); push a fixed version, or lift it by `tidegate policy quarantine {} --binding {} --lift`",
                shadow.module,
                loaded.digest().short(),
                binding.id
            );
            return Err(refuse(binding, "module", text));
        }
        Ok(())
    }

    /// An admitted module by its digest, as a slot takes it; also one that nobody holds any more.
    pub(crate) fn held(&self, digest: Digest) -> Option<Candidate> {
        let held = lock(&self.held);
        let found = held.iter().find(|h| h.entry.digest == digest);
        found.map(|h| Candidate::from(&h.loaded))
    }

    /// Who judges a binding of a tenant, or of all, under its gate, whose error rate is divided over so
    /// many questions.
    pub(crate) fn judge_under(
        &self,
        pins: &PinnedPolicies,
        tenant: Option<&TenantId>,
        gate: &Gate,
        questions: usize,
    ) -> Roster<dyn Judge> {
        let roster = pins.judge(tenant);
        let mut members = roster.members.to_vec();
        for member in &mut members {
            if let Some(candidate) = self.held(member.module.digest) {
                let (schema, config) = (&candidate.config_schema, &member.config);
                member.config = gated_config(schema, config, gate, questions).into();
            }
        }
        Roster::of(members)
    }

    /// Condemns a digest for one binding, by word or on evidence; where it serves there, the slot goes
    /// back, which is answered.
    pub(crate) fn condemn_at(&self, binding: &BindingId, digest: Digest) -> Option<Swapped> {
        let swapped = self.slots.condemn_at(binding, digest);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        swapped
    }

    /// Withdraws a digest everywhere; every slot that it serves goes back.
    pub(crate) fn withdraw(&self, digest: Digest) -> Vec<Swapped> {
        let swapped = self.slots.withdraw(digest);
        self.epoch.fetch_add(1, Ordering::AcqRel);
        swapped
    }

    /// Lets a digest serve a binding again.
    pub(crate) fn lift_at(&self, binding: &BindingId, digest: Digest) {
        self.slots.lift_at(binding, digest);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Lets a digest serve again, wherever it was condemned.
    pub(crate) fn forgive(&self, digest: Digest) {
        self.slots.forgive(digest);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Makes a version stand behind what serves a binding, as it did before a restart.
    pub(crate) fn stand_behind(&self, binding: &BindingId, before: &Version) {
        let stands = self
            .held(before.module.digest)
            .is_some_and(|c| self.slots.stand_behind(binding, &c, &before.config));
        if stands {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
    }
}
