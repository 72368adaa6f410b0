//! Modules and slots. A bind prepares first and swaps after: states are fitted, the catalog is
//! written, and then one atomic pointer moves.

use super::{Gate, not_found, require, stored};
use crate::driver::fit_binding;
use crate::world::lock;
use std::sync::Arc;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::{Change, Object};
use tidegate_core::ids::BindingId;
use tidegate_core::module::Binding;
use tidegate_core::ports::serve::{ModuleInfo, PoliciesPort, ServeError, SlotInfo};
use tidegate_core::ports::storage::CatalogStore;
use tidegate_core::roster::{Member, Retreat};
use tidegate_engine::{By, Candidate, Policy};

impl Gate {
    /// A binding that the caller may change.
    fn binding(&self, caller: &Principal, id: &BindingId) -> Result<Binding, ServeError> {
        let catalog = self.world.catalog.load();
        let missing = || {
            not_found(
                format!("binding `{id}`"),
                "`tidegate get binding` lists them; `tidegate apply` makes one",
            )
        };
        let binding = catalog
            .bindings
            .get(id)
            .map(|b| b.value.clone())
            .ok_or_else(missing)?;
        match &binding.selector.tenant {
            Some(tenant) if !caller.sees(tenant) => return Err(missing()),
            Some(_) => require(caller, Role::Writer, &format!("changing binding `{id}`"))?,
            None if caller.tenants.is_some() => return Err(missing()),
            None => require(caller, Role::Operator, &format!("changing binding `{id}`"))?,
        }
        Ok(binding)
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

impl PoliciesPort for Gate {
    fn push(&self, caller: &Principal, bytes: Vec<u8>) -> Result<ModuleInfo, ServeError> {
        require(caller, Role::Writer, "pushing a module")?;
        self.world
            .policies
            .push(&bytes, &caller.name, self.world.clock.now())
    }

    fn modules(&self, _caller: &Principal) -> Result<Vec<ModuleInfo>, ServeError> {
        Ok(self.world.policies.modules())
    }

    fn slots(&self, caller: &Principal) -> Result<Vec<SlotInfo>, ServeError> {
        let catalog = self.world.catalog.load();
        let mine = |slot: &SlotInfo| match catalog
            .bindings
            .get(&slot.binding)
            .and_then(|b| b.value.selector.tenant.clone())
        {
            Some(tenant) => caller.sees(&tenant),
            None => true,
        };
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
        let stands = self.binding(caller, id)?;
        // A config belongs to its module: another module starts with its defaults.
        let asked = Binding {
            module: module.to_owned(),
            config: String::new(),
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
        let binding = Binding { config, ..pinned };
        let candidate = self.world.policies.candidate(&binding)?;
        self.prepare(id, &candidate, &binding.config);
        {
            let _writer = lock(&self.world.catalog_writer);
            let catalog = self.world.catalog.load_full();
            let change = Change::Put {
                object: Box::new(Object::Binding(binding)),
                expect: None,
            };
            let (next, _) = catalog
                .apply(&[change])
                .map_err(|problems| ServeError::Invalid { problems })?;
            CatalogStore::save(&*self.world.store, &next).map_err(stored)?;
            self.world.catalog.store(Arc::new(next));
        }
        // Who binds by hand was told that a module is quarantined: the explicit word lifts it.
        self.world.follow_bindings(By::Operator);
        self.world.policies.keep_quarantine().map_err(stored)?;
        self.slot(id)
    }

    fn rollback(&self, caller: &Principal, id: &BindingId) -> Result<SlotInfo, ServeError> {
        self.binding(caller, id)?;
        let swapped = self.world.policies.rollback(id)?;
        self.world.settle(&swapped);
        self.world.policies.keep_quarantine().map_err(stored)?;
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
