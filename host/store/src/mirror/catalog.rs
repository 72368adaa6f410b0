//! The desired state as it is stored, object by object: `core`'s types derive no serde, so that a
//! change there cannot change bytes on disk unnoticed.

use super::binding::{
    StoredBinding, StoredChallenger, StoredGate, StoredShadowModule, binding, restored,
};
use super::{Mirror, mirror_enum, mirror_struct};
use crate::codec::Malformed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tidegate_core::catalog::template::{Field, GroupSlo, Template};
use tidegate_core::catalog::{Api, Catalog, Mode, Object, ObjectKind, Pool, Tenant};
use tidegate_core::event::{Event, Origin, Recurrence};
use tidegate_core::ids::{Generation, Name, PoolId, ScopedId, TemplateId, TenantId};
use tidegate_core::life::Gate;
use tidegate_core::module::{ModuleKind, Selector};
use tidegate_core::slo::{Indicator, Judged, Slo};
use tidegate_core::tier::{Pin, Sharing, Tier, TierSpec};
use tidegate_core::time::Timestamp;
use tidegate_core::units::{Level, Resources};

mirror_enum!(Mode { 0 => Observe, 1 => Recommend, 2 => Enforce });
mirror_enum!(Tier { 0 => Bronze, 1 => Silver, 2 => Gold });
mirror_enum!(ModuleKind { 0 => Forecaster, 1 => Tierer, 2 => Allocator, 3 => Judge });

mirror_struct!(Tenant as StoredTenant {
    id: TenantId,
    max_series: u64,
    max_samples_per_s: u64,
    max_modules: u64,
});

mirror_struct!(Pool as StoredPool {
    id: PoolId,
    ready: Resources,
    max: Resources,
    min: Resources,
    lead_time_s: u32,
    unit_cost: Resources,
    quotas: BTreeMap<TenantId, Resources>,
});

/// The part of a tier that every version has written.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredTierSpec {
    tier: <Tier as Mirror>::Stored,
    demand_level: <Level as Mirror>::Stored,
    weight: f64,
    floor_of_expected: f64,
    step_up: f64,
    step_down: f64,
    dwell_s: u32,
}

fn tier_spec(t: &TierSpec) -> StoredTierSpec {
    StoredTierSpec {
        tier: t.tier.store(),
        demand_level: t.demand_level.store(),
        weight: t.weight,
        floor_of_expected: t.floor_of_expected,
        step_up: t.step_up,
        step_down: t.step_down,
        dwell_s: t.dwell_s,
    }
}

mirror_struct!(Sharing as StoredSharing { lends: bool, borrows: bool, max_share: f64 });

/// Without a level that is bought, or without how it shares: as it was when neither could be said.
fn restored_tier(
    t: &StoredTierSpec,
    buy_level: Option<<Level as Mirror>::Stored>,
    sharing: Option<StoredSharing>,
) -> Result<Object, Malformed> {
    let demand_level = Mirror::restore(t.demand_level)?;
    let buy_level = buy_level.map(Mirror::restore).transpose()?;
    let sharing: Option<Sharing> = sharing.map(Mirror::restore).transpose()?;
    Ok(Object::Tier(TierSpec {
        tier: Mirror::restore(t.tier)?,
        demand_level,
        buy_level: buy_level.unwrap_or_else(|| TierSpec::default_buy(demand_level)),
        weight: t.weight,
        floor_of_expected: t.floor_of_expected,
        step_up: t.step_up,
        step_down: t.step_down,
        dwell_s: t.dwell_s,
        sharing: sharing.unwrap_or_default(),
    }))
}

/// The part of an api that every version has written: what is declared, and the default of what is not.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredApi {
    id: <ScopedId as Mirror>::Stored,
    pool: <PoolId as Mirror>::Stored,
    labels: <BTreeMap<String, String> as Mirror>::Stored,
    category: <String as Mirror>::Stored,
    mode: <Mode as Mirror>::Stored,
    base_tier: <Tier as Mirror>::Stored,
    lowest_tier: <Tier as Mirror>::Stored,
    highest_tier: <Tier as Mirror>::Stored,
    pinned_tier: <Option<Tier> as Mirror>::Stored,
    weight: <f64 as Mirror>::Stored,
    floor: <Resources as Mirror>::Stored,
    ceiling: <Resources as Mirror>::Stored,
    safe: <Resources as Mirror>::Stored,
    expected: <Option<f64> as Mirror>::Stored,
    time_zone: <String as Mirror>::Stored,
}

fn api(a: &Api) -> StoredApi {
    StoredApi {
        id: a.id.store(),
        pool: a.pool.store(),
        labels: a.labels.store(),
        category: a.category.store(),
        mode: a.mode.store(),
        base_tier: a.base_tier.store(),
        lowest_tier: a.lowest_tier.store(),
        highest_tier: a.highest_tier.store(),
        pinned_tier: a.pinned_tier.store(),
        weight: a.weight.store(),
        floor: a.floor.store(),
        ceiling: a.ceiling.store(),
        safe: a.safe.store(),
        expected: a.expected.store(),
        time_zone: a.time_zone.store(),
    }
}

/// Without the fields that it leaves open: those that have their default, since older versions did not
/// tell one from the other.
fn restored_api(a: StoredApi, open: Option<Vec<u8>>) -> Result<Object, Malformed> {
    let mut api = Api {
        id: Mirror::restore(a.id)?,
        pool: Mirror::restore(a.pool)?,
        labels: Mirror::restore(a.labels)?,
        category: Mirror::restore(a.category)?,
        mode: Mirror::restore(a.mode)?,
        base_tier: Mirror::restore(a.base_tier)?,
        lowest_tier: Mirror::restore(a.lowest_tier)?,
        highest_tier: Mirror::restore(a.highest_tier)?,
        pinned_tier: Mirror::restore(a.pinned_tier)?,
        weight: Mirror::restore(a.weight)?,
        floor: Mirror::restore(a.floor)?,
        ceiling: Mirror::restore(a.ceiling)?,
        safe: Mirror::restore(a.safe)?,
        expected: Mirror::restore(a.expected)?,
        time_zone: Mirror::restore(a.time_zone)?,
        open: BTreeMap::new(),
    };
    let open = match open {
        None => api.defaulted(),
        Some(fields) => Mirror::restore(fields)?,
    };
    api.open = open.into_iter().map(|field| (field, None)).collect();
    Ok(Object::Api(api))
}

mirror_enum!(Field {
    0 => Mode, 1 => BaseTier, 2 => LowestTier, 3 => HighestTier, 4 => PinnedTier,
    5 => Weight, 6 => Floor, 7 => Ceiling, 8 => Safe, 9 => TimeZone,
});

/// An SLO that was declared; those that templates put on apis follow from the templates.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredSlo {
    id: <ScopedId as Mirror>::Stored,
    api: <ScopedId as Mirror>::Stored,
    indicator: Option<f64>,
    objective: f64,
    window_s: u32,
}

fn slo(s: &Slo) -> StoredSlo {
    StoredSlo {
        id: s.id.store(),
        api: s.api.store(),
        indicator: s.indicator.store(),
        objective: s.objective,
        window_s: s.window_s,
    }
}

fn restored_slo(s: StoredSlo) -> Result<Object, Malformed> {
    Ok(Object::Slo(Slo {
        id: Mirror::restore(s.id)?,
        api: Mirror::restore(s.api)?,
        indicator: Mirror::restore(s.indicator)?,
        objective: s.objective,
        window_s: s.window_s,
        template: None,
    }))
}

mirror_enum!(Judged { 0 => Each, 1 => Together });

mirror_struct!(GroupSlo as StoredGroupSlo {
    name: Name,
    indicator: Indicator,
    objective: f64,
    window_s: u32,
    judged: Judged,
});

/// As a tier, so that what older versions wrote is read; of a number of its own where it is none.
impl Mirror for Pin {
    type Stored = u8;

    fn store(&self) -> u8 {
        match self {
            Pin::Free => 3,
            Pin::At(tier) => tier.store(),
        }
    }

    fn restore(stored: u8) -> Result<Self, Malformed> {
        match stored {
            3 => Ok(Pin::Free),
            tier => Tier::restore(tier).map(Pin::At),
        }
    }
}

mirror_struct!(Template as StoredTemplate {
    id: TemplateId,
    selector: Selector,
    mode: Option<Mode>,
    base_tier: Option<Tier>,
    lowest_tier: Option<Tier>,
    highest_tier: Option<Tier>,
    pinned_tier: Option<Pin>,
    weight: Option<f64>,
    floor: Option<Resources>,
    ceiling: Option<Resources>,
    safe: Option<Resources>,
    time_zone: Option<String>,
    slos: Vec<GroupSlo>,
});

/// The part of an event that every version has written.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredEvent {
    id: <ScopedId as Mirror>::Stored,
    apis: Vec<<ScopedId as Mirror>::Stored>,
    kind: String,
    start: <Timestamp as Mirror>::Stored,
    duration_s: u32,
    every_s: Option<u32>,
    until: Option<<Timestamp as Mirror>::Stored>,
    minimum_uplift: Option<f64>,
}

/// What an event has beside, if it has any of it.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct StoredOccasion {
    title: String,
    recurrence: Option<StoredRecurrence>,
    origin: Option<StoredOrigin>,
}

mirror_struct!(Recurrence as StoredRecurrence {
    rule: String,
    time_zone: String,
    except: Vec<Timestamp>,
    extra: Vec<Timestamp>,
});

mirror_struct!(Origin as StoredOrigin { calendar: String, uid: String });

fn event(e: &Event) -> StoredEvent {
    StoredEvent {
        id: e.id.store(),
        apis: e.apis.store(),
        kind: e.kind.clone(),
        start: e.start.store(),
        duration_s: e.duration_s,
        every_s: e.every_s,
        until: e.until.store(),
        minimum_uplift: e.minimum_uplift,
    }
}

/// `None` for what older versions could say.
fn occasion(e: &Event) -> Option<StoredOccasion> {
    let more = e.recurrence.is_some() || e.origin.is_some() || !e.title.is_empty();
    more.then(|| StoredOccasion {
        title: e.title.clone(),
        recurrence: e.recurrence.store(),
        origin: e.origin.store(),
    })
}

fn restored_event(e: StoredEvent, more: StoredOccasion) -> Result<Object, Malformed> {
    Ok(Object::Event(Event {
        id: Mirror::restore(e.id)?,
        apis: Mirror::restore(e.apis)?,
        kind: e.kind,
        start: Mirror::restore(e.start)?,
        duration_s: e.duration_s,
        every_s: e.every_s,
        until: Mirror::restore(e.until)?,
        minimum_uplift: e.minimum_uplift,
        title: more.title,
        recurrence: Mirror::restore(more.recurrence)?,
        origin: Mirror::restore(more.origin)?,
    }))
}

mirror_struct!(Selector as StoredSelector {
    tenant: Option<TenantId>,
    pool: Option<PoolId>,
    category: Option<String>,
    labels: BTreeMap<String, String>,
});

impl Mirror for Indicator {
    type Stored = Option<f64>;

    fn store(&self) -> Option<f64> {
        match self {
            Indicator::Latency { threshold } => Some(*threshold),
            Indicator::Availability => None,
        }
    }

    fn restore(stored: Option<f64>) -> Result<Self, Malformed> {
        Ok(
            stored.map_or(Indicator::Availability, |threshold| Indicator::Latency {
                threshold,
            }),
        )
    }
}

/// A declared thing. Variants are numbered by their order, which is part of the layout. A binding
/// without challengers is written as it was before there were any, one that has some under a number
/// of its own, and so is an event that has a title, a rule or an origin, a tier that buys another
/// quantile than by default, one that shares otherwise than freely, an api that declares what is the
/// default, and a binding with a shadow or a gate of its own: what older versions wrote is read as it is, and they read what uses nothing new.
#[derive(Serialize, Deserialize)]
pub(crate) enum StoredObject {
    Tenant(StoredTenant),
    Pool(StoredPool),
    Tier(StoredTierSpec),
    Api(StoredApi),
    Slo(StoredSlo),
    Event(StoredEvent),
    Binding(StoredBinding),
    Contested(StoredBinding, Vec<StoredChallenger>),
    Occasion(StoredEvent, StoredOccasion),
    Buying(StoredTierSpec, <Level as Mirror>::Stored),
    Explicit(StoredApi, Vec<u8>),
    Template(StoredTemplate),
    Sharing(StoredTierSpec, <Level as Mirror>::Stored, StoredSharing),
    Gated(
        StoredBinding,
        Vec<StoredChallenger>,
        Option<StoredShadowModule>,
        StoredGate,
    ),
}

impl Mirror for Object {
    type Stored = StoredObject;

    fn store(&self) -> StoredObject {
        match self {
            Object::Tenant(v) => StoredObject::Tenant(v.store()),
            Object::Pool(v) => StoredObject::Pool(v.store()),
            Object::Tier(v) if v.sharing != Sharing::default() => {
                StoredObject::Sharing(tier_spec(v), v.buy_level.store(), v.sharing.store())
            }
            Object::Tier(v) if v.buy_level == TierSpec::default_buy(v.demand_level) => {
                StoredObject::Tier(tier_spec(v))
            }
            Object::Tier(v) => StoredObject::Buying(tier_spec(v), v.buy_level.store()),
            Object::Api(v) => {
                let plain = v.declared();
                let open: Vec<Field> = plain.open.keys().copied().collect();
                if open == plain.defaulted() {
                    StoredObject::Api(api(&plain))
                } else {
                    StoredObject::Explicit(api(&plain), open.store())
                }
            }
            Object::Slo(v) => StoredObject::Slo(slo(v)),
            Object::Template(v) => StoredObject::Template(v.store()),
            Object::Event(v) => match occasion(v) {
                None => StoredObject::Event(event(v)),
                Some(more) => StoredObject::Occasion(event(v), more),
            },
            Object::Binding(v) if v.shadow.is_some() || v.gate != Gate::default() => {
                let (shadow, gate) = (v.shadow.store(), v.gate.store());
                StoredObject::Gated(binding(v), v.challengers.store(), shadow, gate)
            }
            Object::Binding(v) if v.challengers.is_empty() => StoredObject::Binding(binding(v)),
            Object::Binding(v) => StoredObject::Contested(binding(v), v.challengers.store()),
        }
    }

    fn restore(stored: StoredObject) -> Result<Self, Malformed> {
        Ok(match stored {
            StoredObject::Tenant(v) => Object::Tenant(Mirror::restore(v)?),
            StoredObject::Pool(v) => Object::Pool(Mirror::restore(v)?),
            StoredObject::Tier(v) => restored_tier(&v, None, None)?,
            StoredObject::Buying(v, level) => restored_tier(&v, Some(level), None)?,
            StoredObject::Sharing(v, level, sharing) => {
                restored_tier(&v, Some(level), Some(sharing))?
            }
            StoredObject::Api(v) => restored_api(v, None)?,
            StoredObject::Explicit(v, open) => restored_api(v, Some(open))?,
            StoredObject::Slo(v) => restored_slo(v)?,
            StoredObject::Template(v) => Object::Template(Mirror::restore(v)?),
            StoredObject::Event(v) => restored_event(v, StoredOccasion::default())?,
            StoredObject::Binding(v) => restored(v, vec![], None)?,
            StoredObject::Contested(v, challengers) => restored(v, challengers, None)?,
            StoredObject::Gated(v, challengers, shadow, gate) => {
                restored(v, challengers, Some((shadow, gate)))?
            }
            StoredObject::Occasion(v, more) => restored_event(v, more)?,
        })
    }
}

/// The whole catalog: its generation, and each object with its own.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredCatalog {
    generation: u64,
    objects: Vec<(u64, StoredObject)>,
}

impl Mirror for Catalog {
    type Stored = StoredCatalog;

    fn store(&self) -> StoredCatalog {
        let objects = ObjectKind::ALL
            .into_iter()
            .flat_map(|kind| self.list(kind))
            // What a template puts on an api follows from the template.
            .filter(|v| !matches!(&v.value, Object::Slo(slo) if slo.template.is_some()))
            .map(|v| (v.generation.0, v.value.store()));
        StoredCatalog {
            generation: self.generation.0,
            objects: objects.collect(),
        }
    }

    fn restore(stored: StoredCatalog) -> Result<Self, Malformed> {
        let mut catalog = Catalog {
            generation: Generation(stored.generation),
            ..Catalog::default()
        };
        for (generation, object) in stored.objects {
            catalog.insert(Object::restore(object)?, Generation(generation));
        }
        catalog.fill();
        Ok(catalog)
    }
}
