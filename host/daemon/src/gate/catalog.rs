//! The catalog: change sets are applied as a whole, durably, and take effect with the next cycle.

use super::events::known_rule;
use super::{Gate, not_found, stored, usage};
use crate::life;
use crate::recur;
use crate::world::lock;
use std::collections::BTreeSet;
use std::sync::Arc;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::{Catalog, Change, Effect, Object, ObjectKey, ObjectKind, Versioned};
use tidegate_core::ids::{ScopedId, TenantId};
use tidegate_core::module::Selector;
use tidegate_core::ports::serve::{Applied, CatalogPort, Run, ServeError};
use tidegate_core::quota::Usage;

/// Objects of one change set that are logged one by one: feeds declare thousands at once.
const LOGGED: usize = 50;

impl CatalogPort for Gate {
    fn apply(
        &self,
        caller: &Principal,
        changes: Vec<Change>,
        run: Run,
    ) -> Result<Applied, ServeError> {
        // Both before the lock, since they take a while: nobody is to wait for the catalog meanwhile.
        self.try_bindings(caller, &changes)?;
        if run == Run::Real {
            // What it makes belongs to the module and to no catalog.
            self.take_over(caller, &changes)?;
        }
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
                Object::Api(api) => known_zone(&format!("api {}", api.id), &api.time_zone)?,
                Object::Template(template) => {
                    let zone = template.time_zone.as_deref().unwrap_or_default();
                    known_zone(&format!("template {}", template.id), zone)?;
                }
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
        let steps = life::changes(&self.world, &catalog, &next, &effects, &caller.name);
        let journal = &self.world.policies.journal;
        journal.write_with(&next, steps).map_err(stored)?;
        let generation = next.generation;
        next.zones = crate::zones::zones(&next);
        let next = Arc::new(next);
        self.world.catalog.store(next.clone());
        self.world.follow_bindings(None);
        drop(writer);
        self.world.move_apis(&catalog, &next);
        // Whoever watches a grant hears that its api has another mode, and who watches events of them.
        self.world.wake();
        let mut changed = effects.iter().filter(|(_, e)| *e != Effect::Unchanged);
        for (key, effect) in changed.by_ref().take(LOGGED) {
            tracing::info!(object = %key, effect = ?effect, by = %caller.name, generation = generation.0, "catalog changed");
        }
        let more = changed.count();
        if more > 0 {
            tracing::info!(objects = more, by = %caller.name, generation = generation.0, "catalog changed likewise for more");
        }
        Ok(Applied {
            generation,
            effects,
        })
    }

    fn get(&self, caller: &Principal, key: &ObjectKey) -> Result<Versioned<Object>, ServeError> {
        let catalog = self.world.catalog.load();
        let found = catalog
            .get(key)
            .filter(|o| visible(caller, &catalog, &o.value))
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
        let catalog = self.world.catalog.load();
        let all = catalog.list(kind);
        Ok(all
            .into_iter()
            .filter(|o| visible(caller, &catalog, &o.value))
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
fn known_zone(object: &str, zone: &str) -> Result<(), ServeError> {
    if zone.is_empty() || crate::zones::is_known(zone) {
        return Ok(());
    }
    let text = format!("`{zone}` is no IANA time zone; write for example Europe/Berlin");
    Err(ServeError::field(object, "time_zone", text))
}

/// Whether a caller may know of an object. Tiers and pools are shared ground. A template of the operator's
/// is known to whom it touches: all that it says of them stands in their apis.
fn visible(caller: &Principal, catalog: &Catalog, object: &Object) -> bool {
    match object {
        Object::Pool(_) | Object::Tier(_) => true,
        Object::Binding(b) => b
            .selector
            .tenant
            .as_ref()
            .map_or(caller.tenants.is_none(), |t| caller.sees(t)),
        Object::Template(t) if t.selector.tenant.is_none() && caller.tenants.is_some() => {
            let mut apis = catalog.apis.values().map(|a| &a.value);
            apis.any(|api| caller.sees(&api.id.tenant) && t.selector.selects(api))
        }
        other => other.tenant().is_none_or(|t| caller.sees(t)),
    }
}

/// Bindings share one space of names, and so do templates. A credential of tenants makes new ones under
/// `TENANT/` alone, where nobody else can have any: a name that is taken would tell that somebody has it.
fn own_name(
    key: &ObjectKey,
    selector: &Selector,
    tenants: &BTreeSet<TenantId>,
) -> Result<(), ServeError> {
    let part = key.name.split_once('/').map(|(tenant, _)| tenant);
    let serves = selector.tenant.as_ref();
    if serves.is_some_and(|t| tenants.contains(t) && part == Some(t.as_str())) {
        return Ok(());
    }
    let tenant = serves.filter(|t| tenants.contains(*t)).or(tenants.first());
    let tenant = tenant.map_or("TENANT", |t| t.as_str());
    let kind = key.kind.name();
    let text = format!(
        "a credential of tenants names its {kind}s TENANT/NAME and selects that tenant; write `{tenant}/NAME`"
    );
    Err(ServeError::field(key.to_string(), "name", text))
}

impl Gate {
    pub(super) fn may_change(
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
        let known = |o: &Option<Versioned<Object>>| {
            o.as_ref()
                .is_some_and(|o| visible(caller, catalog, &o.value))
        };
        let selector = match new {
            Some(Object::Binding(binding)) => Some(&binding.selector),
            Some(Object::Template(template)) => Some(&template.selector),
            _ => None,
        };
        if let Some(selector) = selector
            && let Some(tenants) = &caller.tenants
            && !known(&old)
        {
            own_name(&key, selector, tenants)?;
        }
        // What is another's is deleted as what is not there: in the same words.
        if caller.tenants.is_some() && new.is_none() && !known(&old) {
            let remedy = format!("`tidegate get {}` lists what there is", key.kind.name());
            return Err(not_found(key.to_string(), remedy));
        }
        // Both what stands and what shall stand must be the caller's.
        for object in [old.as_ref().map(|o| &o.value), new].into_iter().flatten() {
            let (role, tenant) = match object {
                Object::Api(_) | Object::Slo(_) | Object::Event(_) => {
                    (Role::Writer, object.tenant())
                }
                Object::Binding(_) | Object::Template(_) if object.tenant().is_some() => {
                    (Role::Writer, object.tenant())
                }
                Object::Tenant(_) => (Role::Admin, None),
                Object::Pool(_) | Object::Tier(_) | Object::Binding(_) | Object::Template(_) => {
                    (Role::Operator, None)
                }
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
