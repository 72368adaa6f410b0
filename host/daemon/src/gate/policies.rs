//! Modules and slots. A bind prepares first and swaps after: states are fitted, the catalog is
//! written, and then one atomic pointer moves.

use super::{Gate, not_found, require, stored};
use crate::driver::fit_binding;
use crate::policies::Names;
use crate::world::lock;
use std::sync::Arc;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::{Catalog, Change, Object, Versioned};
use tidegate_core::ids::BindingId;
use tidegate_core::module::Binding;
use tidegate_core::ports::serve::{ModuleInfo, PoliciesPort, ServeError, SlotInfo};
use tidegate_core::ports::storage::CatalogStore;
use tidegate_core::roster::{Member, Retreat};
use tidegate_engine::{Candidate, Policy};

impl Gate {
    /// A binding that the caller may change.
    fn binding(
        &self,
        caller: &Principal,
        id: &BindingId,
    ) -> Result<Versioned<Binding>, ServeError> {
        let catalog = self.world.catalog.load();
        let missing = || {
            not_found(
                format!("binding `{id}`"),
                "`tidegate get binding` lists them; `tidegate apply` makes one",
            )
        };
        let binding = catalog.bindings.get(id).cloned().ok_or_else(missing)?;
        match &binding.value.selector.tenant {
            Some(tenant) if !caller.sees(tenant) => return Err(missing()),
            Some(_) => require(caller, Role::Writer, &format!("changing binding `{id}`"))?,
            None if caller.tenants.is_some() => return Err(missing()),
            None => require(caller, Role::Operator, &format!("changing binding `{id}`"))?,
        }
        Ok(binding)
    }

    /// Rolling back quarantines a digest everywhere, and after a restart what is quarantined serves
    /// nobody: a tenant may do that only to what serves nobody else.
    fn may_condemn(&self, caller: &Principal, id: &BindingId) -> Result<(), ServeError> {
        let catalog = self.world.catalog.load();
        let Some((module, _)) = self.world.policies.serving(id) else {
            return Ok(());
        };
        let foreign = |slot: &SlotInfo| {
            let bound = catalog.bindings.get(&slot.binding);
            let tenant = bound.and_then(|b| b.value.selector.tenant.as_ref());
            slot.active.digest == module.digest && !tenant.is_some_and(|t| caller.sees(t))
        };
        if caller.tenants.is_some() && self.world.policies.slots().iter().any(foreign) {
            return Err(ServeError::Precondition(format!(
                "{module} also serves others, and a rollback would quarantine it for them; bind another version with `tidegate policy bind`"
            )));
        }
        Ok(())
    }

    fn slot(&self, id: &BindingId) -> Result<SlotInfo, ServeError> {
        let slot = self
            .world
            .policies
            .slots()
            .into_iter()
            .find(|s| s.binding == *id);
        slot.ok_or_else(|| ServeError::Unavailable(format!("binding `{id}` has no slot")))
    }
}

/// Whether a caller may know of a slot: its own tenants', and the operator's, which serve it.
fn sees(catalog: &Catalog, caller: &Principal, binding: &BindingId) -> bool {
    let bound = catalog.bindings.get(binding);
    bound
        .and_then(|b| b.value.selector.tenant.as_ref())
        .is_none_or(|tenant| caller.sees(tenant))
}

/// A module without the names of others: their bindings that it serves, and who of them pushed it.
fn cut(catalog: &Catalog, caller: &Principal, mut info: ModuleInfo) -> ModuleInfo {
    info.serving.retain(|id| sees(catalog, caller, id));
    if caller.tenants.is_some() && ![caller.name.as_str(), "tidegate"].contains(&&*info.pushed_by) {
        info.pushed_by = "others".into();
    }
    info
}

impl PoliciesPort for Gate {
    fn push(&self, caller: &Principal, bytes: Vec<u8>) -> Result<ModuleInfo, ServeError> {
        require(caller, Role::Writer, "pushing a module")?;
        let names = if caller.tenants.is_none() {
            Names::Any
        } else {
            Names::Own
        };
        let now = self.world.clock.now();
        let info = self.world.policies.push(&bytes, &caller.name, names, now)?;
        Ok(cut(&self.world.catalog.load(), caller, info))
    }

    fn modules(&self, caller: &Principal) -> Result<Vec<ModuleInfo>, ServeError> {
        let catalog = self.world.catalog.load();
        let all = self.world.policies.modules().into_iter();
        Ok(all.map(|info| cut(&catalog, caller, info)).collect())
    }

    fn slots(&self, caller: &Principal) -> Result<Vec<SlotInfo>, ServeError> {
        let catalog = self.world.catalog.load();
        let mine = |slot: &SlotInfo| sees(&catalog, caller, &slot.binding);
        Ok(self
            .world
            .policies
            .slots()
            .into_iter()
            .filter(mine)
            .collect())
    }

    fn bind(
        &self,
        caller: &Principal,
        id: &BindingId,
        module: &str,
        config: Option<String>,
    ) -> Result<SlotInfo, ServeError> {
        let Versioned {
            generation,
            value: stands,
        } = self.binding(caller, id)?;
        // A config belongs to its module: another module starts with its defaults.
        let asked = Binding {
            module: module.to_owned(),
            config: String::new(),
            challengers: vec![],
            ..stands.clone()
        };
        let pinned = self.world.policies.pinned(&asked)?;
        let same_name = pinned.module.split('@').next() == stands.module.split('@').next();
        let config = config.unwrap_or_else(|| {
            if same_name {
                stands.config.clone()
            } else {
                "{}".into()
            }
        });
        let binding = stands.served_by(pinned.module, config);
        let candidate = self.world.policies.candidate(&binding)?;
        // A quarantine holds for every binding of the digest, so only who answers for all lifts it.
        if self.world.policies.is_quarantined(candidate.module.digest)
            && (caller.tenants.is_some() || caller.role < Role::Operator)
        {
            return Err(ServeError::Precondition(format!(
                "{} was rolled back and is quarantined (RB1); push a fixed version, or ask an operator to bind it",
                candidate.module
            )));
        }
        self.prepare(id, &candidate, &binding.config);
        {
            let _writer = lock(&self.world.catalog_writer);
            let catalog = self.world.catalog.load_full();
            let change = Change::Put {
                object: Box::new(Object::Binding(binding)),
                // Preparing takes a while: what was changed meanwhile is not overwritten, and the
                // caller's right to change it was checked for this generation alone.
                expect: Some(generation),
            };
            let (next, _) = catalog
                .apply(&[change])
                .map_err(|problems| ServeError::Invalid { problems })?;
            CatalogStore::save(&*self.world.store, &next).map_err(stored)?;
            self.world.catalog.store(Arc::new(next));
            // Within the lock: of two binds, the later must be followed last. Who binds by hand was
            // told that a module is quarantined: the explicit word lifts it.
            self.world.follow_bindings(Some(id));
        }
        self.world.policies.keep_quarantine().map_err(stored)?;
        self.slot(id)
    }

    fn rollback(&self, caller: &Principal, id: &BindingId) -> Result<SlotInfo, ServeError> {
        self.binding(caller, id)?;
        self.may_condemn(caller, id)?;
        let swapped = self.world.policies.rollback(id)?;
        // The flag before the catalog, as after faults; the catalog follows in any case.
        let kept = self.world.policies.keep_quarantine();
        self.world.settle(&swapped);
        kept.map_err(stored)?;
        self.slot(id)
    }
}

impl Gate {
    /// Fits every series of the binding with a candidate forecaster, so that the swap finds states.
    fn prepare(&self, id: &BindingId, candidate: &Candidate, config: &str) {
        if let Policy::Forecaster(policy) = &candidate.policy {
            let member = Member {
                module: candidate.module.clone(),
                retreat: Retreat::Active,
                config: config.into(),
                policy: policy.clone(),
            };
            let (fitted, all) = fit_binding(&self.world, id, &member);
            tracing::info!(binding = %id, module = %member.module, fitted, series = all, "states prepared for the swap");
        }
    }
}

#[cfg(test)]
mod tests;
