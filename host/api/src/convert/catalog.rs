//! Declared objects.
//!
//! What is left out takes the default that the proto documents; what is there must be right. Ranges
//! and references are the catalog's to check, here only what could not be written in `core` at all.

use super::apis;
use super::bindings::{binding, binding_out};
use super::told::{Told, usage_out};
use super::words::{id, level, resources, resources_out, tier, tier_out, unknown};
use crate::status::Problems;
use std::collections::BTreeMap;
use tidegate_core::catalog::{
    Change, Effect, Object, ObjectKey, ObjectKind, Pool, Tenant, Versioned,
};
use tidegate_core::event::{Event, Origin, Recurrence};
use tidegate_core::ids::Generation;
use tidegate_core::module::Selector;
use tidegate_core::tier::{Sharing, Tier, TierSpec};
use tidegate_core::time::Timestamp;
use tidegate_proto::v1;

/// A kind of object, or why it is none.
pub(crate) fn kind(value: i32) -> Result<ObjectKind, String> {
    Ok(match v1::ObjectKind::try_from(value) {
        Ok(v1::ObjectKind::Tenant) => ObjectKind::Tenant,
        Ok(v1::ObjectKind::Pool) => ObjectKind::Pool,
        Ok(v1::ObjectKind::Tier) => ObjectKind::Tier,
        Ok(v1::ObjectKind::Api) => ObjectKind::Api,
        Ok(v1::ObjectKind::Slo) => ObjectKind::Slo,
        Ok(v1::ObjectKind::Event) => ObjectKind::Event,
        Ok(v1::ObjectKind::Binding) => ObjectKind::Binding,
        Ok(v1::ObjectKind::Template) => ObjectKind::Template,
        Ok(v1::ObjectKind::Unspecified) | Err(_) => {
            return Err(unknown("kind of object", value, "OBJECT_KIND_API"));
        }
    })
}

fn kind_out(kind: ObjectKind) -> v1::ObjectKind {
    match kind {
        ObjectKind::Tenant => v1::ObjectKind::Tenant,
        ObjectKind::Pool => v1::ObjectKind::Pool,
        ObjectKind::Tier => v1::ObjectKind::Tier,
        ObjectKind::Api => v1::ObjectKind::Api,
        ObjectKind::Slo => v1::ObjectKind::Slo,
        ObjectKind::Event => v1::ObjectKind::Event,
        ObjectKind::Binding => v1::ObjectKind::Binding,
        ObjectKind::Template => v1::ObjectKind::Template,
    }
}

/// The key of an object. Its name must be one that an object of its kind can have.
pub(crate) fn key(
    given: Option<&v1::ObjectKey>,
    field: &str,
    problems: &mut Problems,
) -> Option<ObjectKey> {
    let Some(given) = given else {
        problems.push(field, "it is missing; name an object by kind and name");
        return None;
    };
    let kind = problems.take(&format!("{field}.kind"), kind(given.kind))?;
    let name = &given.name;
    let field = format!("{field}.name");
    let fits = match kind {
        ObjectKind::Tenant => id::<tidegate_core::ids::TenantId>(name, &field, problems).is_some(),
        ObjectKind::Pool => id::<tidegate_core::ids::PoolId>(name, &field, problems).is_some(),
        ObjectKind::Binding => {
            id::<tidegate_core::ids::BindingId>(name, &field, problems).is_some()
        }
        ObjectKind::Template => {
            id::<tidegate_core::ids::TemplateId>(name, &field, problems).is_some()
        }
        ObjectKind::Api | ObjectKind::Slo | ObjectKind::Event => {
            id::<tidegate_core::ids::ScopedId>(name, &field, problems).is_some()
        }
        ObjectKind::Tier => {
            let known = Tier::parse(name).is_some();
            if !known {
                problems.push(
                    field,
                    format!("`{name}` is no tier; write gold, silver or bronze"),
                );
            }
            known
        }
    };
    fits.then(|| ObjectKey {
        kind,
        name: name.clone(),
    })
}

/// A key on the wire.
pub(crate) fn key_out(key: &ObjectKey) -> v1::ObjectKey {
    v1::ObjectKey {
        kind: kind_out(key.kind).into(),
        name: key.name.clone(),
    }
}

/// An effect on the wire.
pub(crate) fn effect_out(effect: Effect) -> v1::Effect {
    match effect {
        Effect::Created => v1::Effect::Created,
        Effect::Updated => v1::Effect::Updated,
        Effect::Unchanged => v1::Effect::Unchanged,
        Effect::Deleted => v1::Effect::Deleted,
    }
}

/// A change.
pub(crate) fn change(given: v1::Change, field: &str, problems: &mut Problems) -> Option<Change> {
    match given.change {
        Some(v1::change::Change::Put(put)) => Some(Change::Put {
            object: Box::new(object(
                put.object,
                &format!("{field}.put.object"),
                problems,
            )?),
            expect: put.expect_generation.map(Generation),
        }),
        Some(v1::change::Change::Delete(delete)) => Some(Change::Delete {
            key: key(
                delete.key.as_ref(),
                &format!("{field}.delete.key"),
                problems,
            )?,
            expect: delete.expect_generation.map(Generation),
        }),
        None => {
            problems.push(field, "it is empty; put an object or delete one");
            None
        }
    }
}

fn object(given: Option<v1::Object>, field: &str, problems: &mut Problems) -> Option<Object> {
    use v1::object::Object as Wire;
    let Some(given) = given.and_then(|o| o.object) else {
        problems.push(field, "it is empty; fill in one kind of object");
        return None;
    };
    Some(match given {
        Wire::Tenant(t) => Object::Tenant(Tenant {
            id: id(&t.name, &format!("{field}.tenant.name"), problems)?,
            max_series: t.max_series,
            max_samples_per_s: t.max_samples_per_s,
            max_modules: t.max_modules,
        }),
        Wire::Pool(p) => Object::Pool(pool(p, &format!("{field}.pool"), problems)?),
        Wire::Tier(t) => Object::Tier(tier_spec(t, &format!("{field}.tier"), problems)?),
        Wire::Api(a) => Object::Api(apis::api(a, &format!("{field}.api"), problems)?),
        Wire::Slo(s) => Object::Slo(apis::slo(&s, &format!("{field}.slo"), problems)?),
        Wire::Event(e) => Object::Event(event(e, &format!("{field}.event"), problems)?),
        Wire::Binding(b) => Object::Binding(binding(b, &format!("{field}.binding"), problems)?),
        Wire::Template(t) => {
            Object::Template(apis::template(t, &format!("{field}.template"), problems)?)
        }
    })
}

fn pool(p: v1::Pool, field: &str, problems: &mut Problems) -> Option<Pool> {
    let mut quotas = BTreeMap::new();
    for (tenant, quota) in p.quotas {
        let path = format!("{field}.quotas[{tenant}]");
        if let Some(tenant) = id(&tenant, &path, problems) {
            quotas.insert(tenant, resources(Some(&quota), &path, problems));
        }
    }
    let mut amounts = |given: Option<&v1::Resources>, name: &str| {
        resources(given, &format!("{field}.{name}"), problems)
    };
    let ready = amounts(p.ready.as_ref(), "ready");
    let max = p
        .max
        .as_ref()
        .map_or(ready, |max| amounts(Some(max), "max"));
    let min = amounts(p.min.as_ref(), "min");
    let unit_cost = amounts(p.unit_cost.as_ref(), "unit_cost");
    Some(Pool {
        id: id(&p.name, &format!("{field}.name"), problems)?,
        ready,
        max,
        min,
        lead_time_s: p.lead_time_s,
        unit_cost,
        quotas,
    })
}

fn tier_spec(t: v1::TierSpec, field: &str, problems: &mut Problems) -> Option<TierSpec> {
    let which = problems.take(&format!("{field}.tier"), tier(t.tier))?;
    if which.is_none() {
        problems.push(format!("{field}.tier"), unknown("tier", 0, "TIER_GOLD"));
    }
    let demand_level = problems.take(&format!("{field}.demand_level"), level(t.demand_level));
    let buy_level = match t.buy_level {
        0 => demand_level.map(TierSpec::default_buy),
        given => problems.take(&format!("{field}.buy_level"), level(given)),
    };
    let free = Sharing::default();
    Some(TierSpec {
        tier: which?,
        demand_level: demand_level?,
        buy_level: buy_level?,
        weight: t.weight,
        floor_of_expected: t.floor_of_expected,
        step_up: t.step_up,
        step_down: t.step_down,
        dwell_s: t.dwell_s,
        sharing: Sharing {
            lends: t.lends.unwrap_or(free.lends),
            borrows: t.borrows.unwrap_or(free.borrows),
            max_share: t.max_share.unwrap_or(free.max_share),
        },
    })
}

/// An event.
pub(crate) fn event(e: v1::Event, field: &str, problems: &mut Problems) -> Option<Event> {
    let named = (0..)
        .zip(&e.apis)
        .map(|(i, api): (usize, _)| id(api, &format!("{field}.apis[{i}]"), problems));
    // Collected as a whole first: a short-cut would hide the problems of the later ones.
    let apis: Vec<Option<_>> = named.collect();
    let stamps = |all: Vec<i64>| all.into_iter().map(Timestamp).collect();
    Some(Event {
        id: id(&e.name, &format!("{field}.name"), problems)?,
        apis: apis.into_iter().collect::<Option<_>>()?,
        kind: e.kind,
        start: Timestamp(e.start_ms),
        duration_s: e.duration_s,
        every_s: e.every_s,
        until: e.until_ms.map(Timestamp),
        minimum_uplift: e.minimum_uplift,
        title: e.title,
        recurrence: e.recurrence.map(|r| Recurrence {
            rule: r.rrule,
            time_zone: r.time_zone,
            except: stamps(r.exdate_ms),
            extra: stamps(r.rdate_ms),
        }),
        origin: e.origin.map(|o| Origin {
            calendar: o.calendar,
            uid: o.uid,
        }),
    })
}

/// A selector; an empty text is no condition.
pub(super) fn selector(
    given: Option<v1::Selector>,
    field: &str,
    problems: &mut Problems,
) -> Selector {
    let given = given.unwrap_or_default();
    Selector {
        tenant: (!given.tenant.is_empty())
            .then(|| id(&given.tenant, &format!("{field}.tenant"), problems))
            .flatten(),
        pool: (!given.pool.is_empty())
            .then(|| id(&given.pool, &format!("{field}.pool"), problems))
            .flatten(),
        category: (!given.category.is_empty()).then_some(given.category),
        labels: given.labels,
    }
}

/// A selector on the wire.
pub(super) fn selector_out(selector: Selector) -> v1::Selector {
    v1::Selector {
        tenant: selector.tenant.map(|t| t.to_string()).unwrap_or_default(),
        pool: selector.pool.map(|p| p.to_string()).unwrap_or_default(),
        category: selector.category.unwrap_or_default(),
        labels: selector.labels,
    }
}

/// An object on the wire.
pub(crate) fn object_out(versioned: Versioned<Object>, told: &Told) -> v1::VersionedObject {
    use v1::object::Object as Wire;
    let object = match versioned.value {
        Object::Tenant(t) => Wire::Tenant(v1::Tenant {
            name: t.id.to_string(),
            max_series: t.max_series,
            max_samples_per_s: t.max_samples_per_s,
            max_modules: t.max_modules,
            usage: told.usage.as_ref().map(usage_out),
        }),
        Object::Pool(p) => Wire::Pool(v1::Pool {
            name: p.id.to_string(),
            ready: apis::amounts(&p.ready),
            max: apis::amounts(&p.max),
            min: apis::amounts(&p.min),
            lead_time_s: p.lead_time_s,
            unit_cost: apis::amounts(&p.unit_cost),
            quotas: p
                .quotas
                .iter()
                .map(|(tenant, quota)| (tenant.to_string(), resources_out(quota)))
                .collect(),
        }),
        Object::Tier(t) => Wire::Tier(v1::TierSpec {
            tier: tier_out(t.tier).into(),
            demand_level: t.demand_level.get().into(),
            buy_level: t.buy_level.get().into(),
            weight: t.weight,
            floor_of_expected: t.floor_of_expected,
            step_up: t.step_up,
            step_down: t.step_down,
            dwell_s: t.dwell_s,
            lends: Some(t.sharing.lends),
            borrows: Some(t.sharing.borrows),
            max_share: Some(t.sharing.max_share),
        }),
        Object::Api(a) => Wire::Api(apis::api_out(a, told)),
        Object::Slo(s) => Wire::Slo(apis::slo_out(s)),
        Object::Template(t) => Wire::Template(apis::template_out(t, told)),
        Object::Event(e) => Wire::Event(event_out(e)),
        Object::Binding(b) => Wire::Binding(binding_out(b)),
    };
    v1::VersionedObject {
        generation: versioned.generation.0,
        object: Some(v1::Object {
            object: Some(object),
        }),
    }
}

/// An event on the wire.
pub(crate) fn event_out(e: Event) -> v1::Event {
    let stamps = |all: Vec<Timestamp>| all.into_iter().map(|t| t.0).collect();
    v1::Event {
        name: e.id.to_string(),
        apis: e.apis.iter().map(ToString::to_string).collect(),
        kind: e.kind,
        start_ms: e.start.0,
        duration_s: e.duration_s,
        every_s: e.every_s,
        until_ms: e.until.map(|t| t.0),
        minimum_uplift: e.minimum_uplift,
        title: e.title,
        recurrence: e.recurrence.map(|r| v1::Recurrence {
            rrule: r.rule,
            time_zone: r.time_zone,
            exdate_ms: stamps(r.except),
            rdate_ms: stamps(r.extra),
        }),
        origin: e.origin.map(|o| v1::EventOrigin {
            calendar: o.calendar,
            uid: o.uid,
        }),
    }
}
