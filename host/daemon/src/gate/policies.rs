//! Modules and slots. A bind tries and prepares first and swaps after: the module is asked under its config,
//! states are taken over from the version before or fitted, the catalog is written, and then one atomic
//! pointer moves.

mod trying;
mod versions;

use super::{Gate, not_found, require, stored};
use crate::driver;
use crate::life::{self, End, Word};
use crate::policies::{Whose, sample};
use crate::world::lock;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::{Catalog, Change, Object, Versioned};
use tidegate_core::ids::{BindingId, TenantId};
use tidegate_core::life::{Ground, Step};
use tidegate_core::module::Binding;
use tidegate_core::ports::serve::{
    Comparison, ModuleInfo, PoliciesPort, ServeError, ShadowStanding, SlotInfo,
};
use tidegate_engine::By;

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
        let slots = self.world.policies.slots().into_iter();
        let slot = slots.map(|s| self.told(s)).find(|s| s.binding == *id);
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
        let now = self.world.clock.now();
        let removed =
            self.world
                .policies
                .remove(module, owner.as_ref(), &catalog, &caller.name, now)?;
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
        let of = owner.map(|t| &t.id);
        let stored = || sample(&self.world, |api| of.is_none_or(|t| api.id.tenant == *t));
        let pushed = policies.push(&bytes, &caller.name, signed_by, owner, now, &stored);
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
        let slots = self.world.policies.slots().into_iter().filter(mine);
        Ok(slots.map(|slot| self.told(slot)).collect())
    }

    fn bind(
        &self,
        caller: &Principal,
        id: &BindingId,
        module: &str,
        config: Option<String>,
    ) -> Result<SlotInfo, ServeError> {
        let versioned = self.binding(caller, id)?;
        let stands = &versioned.value;
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
        self.try_binding(&binding)?;
        let condemned = !self.world.policies.admits(id, digest);
        let word = Word::of(&caller.name, "bound by word").forced();
        life::bind(&self.world, &versioned, &binding, by, &word)?;
        if condemned {
            life::note_lifted(&self.world, id, &word);
        }
        self.world.keep_quarantine().map_err(stored)?;
        self.slot(id)
    }

    fn rollback(&self, caller: &Principal, id: &BindingId) -> Result<SlotInfo, ServeError> {
        self.binding(caller, id)?;
        let word = Word::of(&caller.name, "rolled back by word");
        life::roll_back(&self.world, id, &word)?;
        self.slot(id)
    }

    fn put_in_shadow(
        &self,
        caller: &Principal,
        id: &BindingId,
        module: &str,
        config: Option<String>,
    ) -> Result<SlotInfo, ServeError> {
        let stands = self.binding(caller, id)?;
        let shadow = self.shadow_of(&stands.value, module, config)?;
        self.try_beside(&Binding {
            shadow: Some(shadow.clone()),
            ..stands.value.clone()
        })?;
        let word = Word::of(&caller.name, "put in shadow by word");
        life::shadow(&self.world, &stands, shadow, &word)?;
        self.slot(id)
    }

    fn end_shadow(&self, caller: &Principal, id: &BindingId) -> Result<SlotInfo, ServeError> {
        self.binding(caller, id)?;
        let word = Word::of(&caller.name, "ended by word");
        life::end_shadow(&self.world, id, End::Harmless, &word)?;
        self.slot(id)
    }

    fn promote(
        &self,
        caller: &Principal,
        id: &BindingId,
        ground: Ground,
    ) -> Result<SlotInfo, ServeError> {
        self.binding(caller, id)?;
        let word = self.promotion(caller, id, ground)?;
        life::promote(&self.world, id, &word)?;
        self.slot(id)
    }

    fn quarantine(
        &self,
        caller: &Principal,
        module: &str,
        binding: Option<&BindingId>,
    ) -> Result<ModuleInfo, ServeError> {
        let (module, place) = self.condemned(caller, module, binding, "withdrawing a module")?;
        let word = Word::of(&caller.name, "quarantined by word");
        life::quarantine(&self.world, &module, place, &word)?;
        self.module(caller, module.digest)
    }

    fn lift(
        &self,
        caller: &Principal,
        module: &str,
        binding: Option<&BindingId>,
    ) -> Result<ModuleInfo, ServeError> {
        let (module, place) = self.condemned(caller, module, binding, "lifting a withdrawal")?;
        if binding.is_some() && self.world.policies.is_withdrawn(module.digest) {
            return Err(ServeError::Precondition(format!(
                "{module} is withdrawn everywhere (RB1), not for one binding; an operator lifts that by `tidegate policy quarantine {} --everywhere --lift`",
                module.digest.short()
            )));
        }
        let word = Word::of(&caller.name, "lifted by word");
        life::lift(&self.world, &module, place, &word)?;
        self.module(caller, module.digest)
    }

    fn history(&self, caller: &Principal, of: &str) -> Result<Vec<Step>, ServeError> {
        self.steps(caller, of)
    }

    fn compare(&self, caller: &Principal, a: &str, b: &str) -> Result<Comparison, ServeError> {
        let (a, b) = (self.detail(caller, a)?, self.detail(caller, b)?);
        let pair = [a.info.digest, b.info.digest];
        let slots = PoliciesPort::slots(self, caller)?;
        let trials = slots.into_iter().filter_map(|slot| slot.trial);
        let between = |t: &ShadowStanding| {
            let both = [&t.candidate, &t.incumbent];
            both.iter().all(|v| pair.contains(&v.module.digest))
        };
        let trials = trials.map(|trial| *trial).filter(between).collect();
        Ok(Comparison { a, b, trials })
    }
}

impl Gate {
    /// Has the modules of a change set take over the states of the versions before them, where a binding is
    /// to be served by another version of the same module.
    ///
    /// # Errors
    /// When a state did not pass its rehearsal.
    pub(super) fn take_over(
        &self,
        caller: &Principal,
        changes: &[Change],
    ) -> Result<(), ServeError> {
        for change in changes {
            let Change::Put { object, .. } = change else {
                continue;
            };
            let Object::Binding(binding) = &**object else {
                continue;
            };
            // Whose it is not, hears so when the change itself is tried.
            if self.binding(caller, &binding.id).is_err() {
                continue;
            }
            let pinned = self.world.policies.pinned(binding)?;
            let loaded = self
                .world
                .policies
                .find(&pinned.module, Whose::of(&pinned))?;
            if loaded.manifest().kind == pinned.kind {
                driver::take_over(&self.world, &pinned, &loaded)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
