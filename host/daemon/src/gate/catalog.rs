//! The catalog: change sets are applied as a whole, durably, and take effect with the next cycle.

use super::events::known_rule;
use super::{Gate, not_found, stored, usage};
use crate::recur;
use crate::world::lock;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::{
    Api, Catalog, Change, Effect, Object, ObjectKey, ObjectKind, Versioned,
};
use tidegate_core::ids::{ScopedId, TenantId};
use tidegate_core::module::Binding;
use tidegate_core::ports::serve::{Applied, CatalogPort, Run, ServeError};
use tidegate_core::ports::storage::CatalogStore;
use tidegate_core::quota::Usage;

impl CatalogPort for Gate {
    fn apply(
        &self,
        caller: &Principal,
        changes: Vec<Change>,
        run: Run,
    ) -> Result<Applied, ServeError> {
        let writer = lock(&self.world.catalog_writer);
        let catalog = self.world.catalog.load_full();
        let mut changes = changes;
        for change in &mut changes {
            self.may_change(caller, &catalog, change)?;
            let Change::Put { object, .. } = change else {
                continue;
            };
            match &mut **object {
                // A module that is bound by name is pinned to its newest version.
                Object::Binding(binding) => *binding = self.world.policies.pinned(binding)?,
                Object::Api(api) => known_zone(api)?,
                Object::Event(event) => known_rule(event, self.world.clock.now())?,
                _ => {}
            }
        }
        let (mut next, effects) = catalog
            .apply(&changes)
            .map_err(|problems| ServeError::Invalid { problems })?;
        self.world
            .policies
            .check_bindings(&catalog, &next, &effects)?;
        next.recurring = recur::occurrences(&next, &catalog, self.world.clock.now());
        recur::check_total(&next.recurring, &next, &tenants_of(&effects))?;
        if run == Run::Dry || next.generation == catalog.generation {
            return Ok(Applied {
                generation: catalog.generation,
                effects,
            });
        }
        CatalogStore::save(&*self.world.store, &next).map_err(stored)?;
        let generation = next.generation;
        next.zones = crate::zones::zones(&next);
        let next = Arc::new(next);
        self.world.catalog.store(next.clone());
        self.world.follow_bindings(None);
        drop(writer);
        self.world.move_apis(&catalog, &next);
        // Whoever watches a grant hears that its api has another mode, and who watches events of them.
        self.world.wake();
        for (key, effect) in effects.iter().filter(|(_, e)| *e != Effect::Unchanged) {
            tracing::info!(object = %key, effect = ?effect, by = %caller.name, generation = generation.0, "catalog changed");
        }
        Ok(Applied {
            generation,
            effects,
        })
    }

    fn get(&self, caller: &Principal, key: &ObjectKey) -> Result<Versioned<Object>, ServeError> {
        let found = self
            .world
            .catalog
            .load()
            .get(key)
            .filter(|o| visible(caller, &o.value))
            .map(|o| cut(caller, o));
        found.ok_or_else(|| {
            not_found(
                key.to_string(),
                format!("`tidegate get {}` lists what there is", key.kind.name()),
            )
        })
    }

    fn usage(&self, caller: &Principal, tenant: &TenantId) -> Option<Usage> {
        let catalog = self.world.catalog.load();
        let known = caller.sees(tenant) && catalog.tenants.contains_key(tenant);
        known.then(|| usage::of(&self.world, &catalog, tenant))
    }

    fn list(
        &self,
        caller: &Principal,
        kind: ObjectKind,
    ) -> Result<Vec<Versioned<Object>>, ServeError> {
        let all = self.world.catalog.load().list(kind);
        Ok(all
            .into_iter()
            .filter(|o| visible(caller, &o.value))
            .map(|o| cut(caller, o))
            .collect())
    }
}

/// Of a pool, a caller sees its own tenants' quotas alone.
fn cut(caller: &Principal, mut object: Versioned<Object>) -> Versioned<Object> {
    if let Object::Pool(pool) = &mut object.value {
        pool.quotas.retain(|tenant, _| caller.sees(tenant));
    }
    object
}

/// Tenants whose events a change set touched.
fn tenants_of(effects: &[(ObjectKey, Effect)]) -> BTreeSet<TenantId> {
    let events = effects
        .iter()
        .filter(|(key, effect)| key.kind == ObjectKind::Event && *effect != Effect::Unchanged);
    let ids = events.filter_map(|(key, _)| key.name.parse::<ScopedId>().ok());
    ids.map(|id| id.tenant).collect()
}

/// A calendar that nobody knows would silently be another one. Core has no time zones: this is
/// where they are known.
fn known_zone(api: &Api) -> Result<(), ServeError> {
    if api.time_zone.is_empty() || crate::zones::is_known(&api.time_zone) {
        return Ok(());
    }
    let text = format!(
        "`{}` is no IANA time zone; write for example Europe/Berlin",
        api.time_zone
    );
    Err(ServeError::field(
        format!("api {}", api.id),
        "time_zone",
        text,
    ))
}

/// Whether a caller may know of an object. Tiers and pools are shared ground.
fn visible(caller: &Principal, object: &Object) -> bool {
    match object {
        Object::Pool(_) | Object::Tier(_) => true,
        Object::Binding(b) => b
            .selector
            .tenant
            .as_ref()
            .map_or(caller.tenants.is_none(), |t| caller.sees(t)),
        other => other.tenant().is_none_or(|t| caller.sees(t)),
    }
}

/// Bindings share one space of names. A credential of tenants makes new ones under `TENANT/` alone,
/// where nobody else can have any: a name that is taken would tell that somebody has it.
fn own_name(binding: &Binding, tenants: &BTreeSet<TenantId>) -> Result<(), ServeError> {
    let part = binding
        .id
        .as_str()
        .split_once('/')
        .map(|(tenant, _)| tenant);
    let serves = binding.selector.tenant.as_ref();
    if serves.is_some_and(|t| tenants.contains(t) && part == Some(t.as_str())) {
        return Ok(());
    }
    let tenant = serves.filter(|t| tenants.contains(*t)).or(tenants.first());
    let tenant = tenant.map_or("TENANT", |t| t.as_str());
    let text = format!(
        "a credential of tenants names its bindings TENANT/NAME and selects that tenant; write `{tenant}/NAME`"
    );
    let object = format!("binding {}", binding.id);
    Err(ServeError::field(object, "name", text))
}

impl Gate {
    fn may_change(
        &self,
        caller: &Principal,
        catalog: &Catalog,
        change: &Change,
    ) -> Result<(), ServeError> {
        let (key, old, new) = match change {
            Change::Put { object, .. } => {
                (object.key(), catalog.get(&object.key()), Some(&**object))
            }
            Change::Delete { key, .. } => (key.clone(), catalog.get(key), None),
        };
        if let Some(Object::Binding(binding)) = new
            && let Some(tenants) = &caller.tenants
            && !old.as_ref().is_some_and(|o| visible(caller, &o.value))
        {
            own_name(binding, tenants)?;
        }
        // What is another's is deleted as what is not there: in the same words.
        if caller.tenants.is_some()
            && new.is_none()
            && !old.as_ref().is_some_and(|o| visible(caller, &o.value))
        {
            let remedy = format!("`tidegate get {}` lists what there is", key.kind.name());
            return Err(not_found(key.to_string(), remedy));
        }
        // Both what stands and what shall stand must be the caller's.
        for object in [old.as_ref().map(|o| &o.value), new].into_iter().flatten() {
            let (role, tenant) = match object {
                Object::Api(_) | Object::Slo(_) | Object::Event(_) => {
                    (Role::Writer, object.tenant())
                }
                Object::Binding(b) if b.selector.tenant.is_some() => {
                    (Role::Writer, object.tenant())
                }
                Object::Tenant(_) => (Role::Admin, None),
                Object::Pool(_) | Object::Tier(_) | Object::Binding(_) => (Role::Operator, None),
            };
            if let Some(tenant) = tenant
                && !caller.sees(tenant)
            {
                // Not by the tenant's name: what stands there may be of one that the caller does not
                // know (bindings share one space of names).
                return Err(not_found(
                    key.to_string(),
                    "use a credential of its tenant, or another name",
                ));
            }
            // Not even an administrator of tenants raises its own quotas.
            if tenant.is_none() && caller.tenants.is_some() {
                return Err(ServeError::Denied(format!(
                    "{key} belongs to the operator; credential `{}` is bound to tenants",
                    caller.name
                )));
            }
            super::require(caller, role, &format!("changing {key}"))?;
        }
        Ok(())
    }
}
