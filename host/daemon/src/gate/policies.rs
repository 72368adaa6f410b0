//! Modules and slots. A bind prepares first and swaps after: states are fitted, the catalog is
//! written, and then one atomic pointer moves.

use super::{Gate, not_found, require, stored};
use crate::driver::fit_binding;
use crate::world::lock;
use std::sync::Arc;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::{Catalog, Change, Object, Versioned};
use tidegate_core::ids::{BindingId, TenantId};
use tidegate_core::module::Binding;
use tidegate_core::ports::serve::{ModuleInfo, PoliciesPort, ServeError, SlotInfo};
use tidegate_core::ports::storage::CatalogStore;
use tidegate_core::roster::{Member, Retreat};
use tidegate_engine::{By, Candidate, Policy};

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
    let tenant = bound.map(|b| b.value.selector.tenant.as_ref());
    tenant.is_some_and(|tenant| tenant.is_none_or(|t| caller.sees(t)))
}

/// A module without the names of others: their bindings, and who of them pushed it.
fn cut(catalog: &Catalog, caller: &Principal, mut info: ModuleInfo) -> ModuleInfo {
    info.serving.retain(|id| sees(catalog, caller, id));
    info.quarantined_for.retain(|id| sees(catalog, caller, id));
    let known = [caller.name.as_str(), crate::shipped::PUSHED_BY];
    if caller.tenants.is_some() && info.owner.is_none() && !known.contains(&&*info.pushed_by) {
        info.pushed_by = "others".into();
    }
    info
}

/// Whose module it is that a caller pushes or removes: the tenant's that it names, that of the only one of
/// its credential, or everybody's.
fn holder(
    caller: &Principal,
    tenant: Option<TenantId>,
    what: &str,
    of_all: &str,
) -> Result<Option<TenantId>, ServeError> {
    require(caller, Role::Writer, what)?;
    match (tenant, &caller.tenants) {
        (Some(tenant), _) if caller.sees(&tenant) => Ok(Some(tenant)),
        (Some(tenant), _) => Err(not_found(
            format!("tenant `{tenant}`"),
            "name a tenant of your credential",
        )),
        (None, None) => {
            require(caller, Role::Operator, of_all)?;
            Ok(None)
        }
        (None, Some(tenants)) => match tenants.first() {
            Some(only) if tenants.len() == 1 => Ok(Some(only.clone())),
            _ => Err(ServeError::field(
                "component",
                "tenant",
                "your credential holds several tenants: say for which of them the module is",
            )),
        },
    }
}

impl PoliciesPort for Gate {
    fn pusher(
        &self,
        caller: &Principal,
        tenant: Option<TenantId>,
    ) -> Result<Option<TenantId>, ServeError> {
        let all = "pushing a module for everybody (name a tenant to push for it alone)";
        holder(caller, tenant, "pushing a module", all)
    }

    fn remove(
        &self,
        caller: &Principal,
        owner: Option<TenantId>,
        module: &str,
    ) -> Result<ModuleInfo, ServeError> {
        let all = "removing a module of everybody's (name a tenant to remove one of its own)";
        let owner = holder(caller, owner, "removing a module", all)?;
        // With the catalog's lock held, so that no binding comes to use it meanwhile.
        let _writer = lock(&self.world.catalog_writer);
        let catalog = self.world.catalog.load_full();
        let removed = self
            .world
            .policies
            .remove(module, owner.as_ref(), &catalog)?;
        tracing::info!(module = %removed.manifest.name, digest = %removed.digest, by = %caller.name, "module removed");
        Ok(cut(&catalog, caller, removed))
    }

    fn push(
        &self,
        caller: &Principal,
        owner: Option<TenantId>,
        bytes: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<ModuleInfo, ServeError> {
        let owner = self.pusher(caller, owner)?;
        let now = self.world.clock.now();
        let catalog = self.world.catalog.load_full();
        let owner = match &owner {
            None => None,
            Some(id) => Some(catalog.tenants.get(id).map(|t| &t.value).ok_or_else(|| {
                not_found(
                    format!("tenant `{id}`"),
                    "have an admin declare it with `tidegate apply`",
                )
            })?),
        };
        let policies = &self.world.policies;
        let signed_by = policies.verify(&bytes, &signature, owner.map(|t| &t.id))?;
        if let Some(key) = &signed_by {
            tracing::info!(%key, by = %caller.name, "a signed module was pushed");
        }
        let pushed = policies.push(&bytes, &caller.name, signed_by, owner, now);
        if let Err(ServeError::Quota(exceeded)) = &pushed {
            self.world.exceeded(exceeded, 1);
        }
        Ok(cut(&catalog, caller, pushed?))
    }

    fn modules(&self, caller: &Principal) -> Result<Vec<ModuleInfo>, ServeError> {
        let catalog = self.world.catalog.load();
        let sees = |owner: Option<&TenantId>| owner.is_none_or(|t| caller.sees(t));
        let seen = self.world.policies.modules(sees).into_iter();
        Ok(seen.map(|info| cut(&catalog, caller, info)).collect())
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
            shadow: None,
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
        // Whose binding it is may try again what failed in it; what failed for several parties is
        // withdrawn from all, and only who answers for all brings it back.
        let by = if caller.tenants.is_none() && caller.role >= Role::Operator {
            By::Operator
        } else {
            By::Owner
        };
        let digest = candidate.module.digest;
        if by == By::Owner && self.world.policies.is_withdrawn(digest) {
            return Err(ServeError::Precondition(format!(
                "{} failed for several parties and is withdrawn everywhere (RB1); push a fixed version, or ask an operator to bind it",
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
            // told that a module is quarantined: the explicit word lifts it there.
            self.world.follow_bindings(Some((id, by)));
        }
        self.world.keep_quarantine().map_err(stored)?;
        self.slot(id)
    }

    fn rollback(&self, caller: &Principal, id: &BindingId) -> Result<SlotInfo, ServeError> {
        self.binding(caller, id)?;
        let swapped = self.world.policies.rollback(id)?;
        // The flag before the catalog, as after faults; the catalog follows in any case.
        let kept = self.world.keep_quarantine();
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
                binding: Some(id.clone()),
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
