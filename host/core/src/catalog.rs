//! The desired state: what operators and owners have declared, and whether it makes sense.
//!
//! A [`Catalog`] is an immutable value; a change makes a new one or is refused as a whole, with
//! every problem named at once. Cross references are checked here and not where they are used, so
//! that no room ever meets an api without its pool.

use crate::event::{Event, Occurrences, Touched};
use crate::ids::{ApiId, BindingId, Generation, PoolId, ScopedId, TemplateId, TenantId};
use crate::module::Binding;
use crate::slo::{Indicator, Slo};
use crate::tier::{Tier, TierSpec};
use crate::{units::Resources, zone::Zones};
use std::{collections::BTreeMap, fmt};
use template::{Field, Template};

/// What Tidegate may do with an api.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Mode {
    /// Forecast only.
    Observe,
    /// Make plans that nobody applies.
    Recommend,
    /// Make plans that actuators apply.
    #[default]
    Enforce,
}

/// Owner of apis, with its quotas.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// Most series that it may feed.
    pub max_series: u64,
    /// Most samples that it may feed per second.
    pub max_samples_per_s: u64,
    /// Most modules that it may hold.
    pub max_modules: u64,
}

/// An api.
#[derive(Debug, Clone, PartialEq)]
pub struct Api {
    /// `tenant/name`.
    pub id: ApiId,
    /// The pool that it draws from.
    pub pool: PoolId,
    /// Free labels; bindings select by them.
    pub labels: BTreeMap<String, String>,
    /// Kind of load: `web`, `batch`, …; the prior of a cold start.
    pub category: String,
    /// What Tidegate may do.
    pub mode: Mode,
    /// Tier in quiet times.
    pub base_tier: Tier,
    /// Never below.
    pub lowest_tier: Tier,
    /// Never above.
    pub highest_tier: Tier,
    /// Stays here whatever the tierer says. Declared to be `None` it is not pinned, whatever templates say.
    pub pinned_tier: Option<Tier>,
    /// Share within its tier, times the tier's weight; > 0.
    pub weight: f64,
    /// Replaces the tier's floor, per dimension.
    pub floor: Resources,
    /// Never more than this, per dimension.
    pub ceiling: Resources,
    /// What applies when no valid plan is there; the floor where unset.
    pub safe: Resources,
    /// Ordinary requests/s; the trailing 7-day median where unset.
    pub expected: Option<f64>,
    /// IANA time zone of its calendar covariates.
    pub time_zone: String,
    /// The fields that it leaves open, each with the template that fills it; where there is none,
    /// the field has its default.
    pub open: BTreeMap<Field, Option<TemplateId>>,
}

/// A capacity vector that apis share.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Its name.
    pub id: PoolId,
    /// What is ready now.
    pub ready: Resources,
    /// What it can grow to; `ready` where unset.
    pub max: Resources,
    /// What it never shrinks below.
    pub min: Resources,
    /// Seconds from a wish for more capacity until it is ready.
    pub lead_time_s: u32,
    /// Cost of one unit for one hour, per dimension.
    pub unit_cost: Resources,
    /// Most that each tenant may hold, per dimension, in the dimension's unit.
    pub quotas: BTreeMap<TenantId, Resources>,
}

/// One declared thing.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// A tenant.
    Tenant(Tenant),
    /// A pool.
    Pool(Pool),
    /// What a tier buys.
    Tier(TierSpec),
    /// An api.
    Api(Api),
    /// An SLO.
    Slo(Slo),
    /// An event.
    Event(Event),
    /// A binding.
    Binding(Binding),
    /// What a group of apis is and promises where they do not say it themselves.
    Template(Template),
}

/// Kinds of objects, in the order in which they can be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A tenant.
    Tenant,
    /// A pool.
    Pool,
    /// What a tier buys.
    Tier,
    /// An api.
    Api,
    /// An SLO.
    Slo,
    /// An event.
    Event,
    /// A binding.
    Binding,
    /// A template.
    Template,
}

impl ObjectKind {
    /// All, in the order in which they can be created.
    pub const ALL: [ObjectKind; 8] = [
        ObjectKind::Tenant,
        ObjectKind::Pool,
        ObjectKind::Tier,
        ObjectKind::Api,
        ObjectKind::Slo,
        ObjectKind::Event,
        ObjectKind::Binding,
        ObjectKind::Template,
    ];

    /// The name in APIs and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ObjectKind::Tenant => "tenant",
            ObjectKind::Pool => "pool",
            ObjectKind::Tier => "tier",
            ObjectKind::Api => "api",
            ObjectKind::Slo => "slo",
            ObjectKind::Event => "event",
            ObjectKind::Binding => "binding",
            ObjectKind::Template => "template",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
}

/// Key of an object: its kind and its name (`tenant/name` where it is scoped).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.name)
    }
}

impl Object {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        let (kind, name) = match self {
            Object::Tenant(t) => (ObjectKind::Tenant, t.id.to_string()),
            Object::Pool(p) => (ObjectKind::Pool, p.id.to_string()),
            Object::Tier(t) => (ObjectKind::Tier, t.tier.name().to_owned()),
            Object::Api(a) => (ObjectKind::Api, a.id.to_string()),
            Object::Slo(s) => (ObjectKind::Slo, s.id.to_string()),
            Object::Event(e) => (ObjectKind::Event, e.id.to_string()),
            Object::Binding(b) => (ObjectKind::Binding, b.id.to_string()),
            Object::Template(t) => (ObjectKind::Template, t.id.to_string()),
        };
        ObjectKey { kind, name }
    }

    /// The tenant that owns it; pools, tiers and pool bindings belong to the operator.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Object::Tenant(t) => Some(&t.id),
            Object::Api(a) => Some(&a.id.tenant),
            Object::Slo(s) => Some(&s.id.tenant),
            Object::Event(e) => Some(&e.id.tenant),
            Object::Binding(b) => b.selector.tenant.as_ref(),
            Object::Template(t) => t.selector.tenant.as_ref(),
            Object::Pool(_) | Object::Tier(_) => None,
        }
    }
}

/// An object and how often it was changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<T> {
    /// Rises by one with each change of this object.
    pub generation: Generation,
    /// The object.
    pub value: T,
}

/// A change to the catalog.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Create or replace. With `expect`, only if the object stands at that generation (0: is new).
    Put {
        /// The object.
        object: Box<Object>,
        /// Optimistic lock.
        expect: Option<Generation>,
    },
    /// Delete.
    Delete {
        /// Which.
        key: ObjectKey,
        /// Optimistic lock.
        expect: Option<Generation>,
    },
}

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The object is new.
    Created,
    /// It replaced another.
    Updated,
    /// It was already so.
    Unchanged,
    /// It is gone.
    Deleted,
}

/// What each change of a set did.
pub type Effects = Vec<(ObjectKey, Effect)>;

/// A problem of one field, for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {field}: {problem}")]
pub struct FieldProblem {
    /// The object, `api shop/orders`.
    pub object: String,
    /// The field, `pool`.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

/// The whole desired state.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalog {
    /// Rises by one with every accepted change set.
    pub generation: Generation,
    /// By id.
    pub tenants: BTreeMap<TenantId, Versioned<Tenant>>,
    /// By id.
    pub pools: BTreeMap<PoolId, Versioned<Pool>>,
    /// By tier; a tier that is not declared has [`TierSpec::default_of`].
    pub tiers: BTreeMap<Tier, Versioned<TierSpec>>,
    /// By id, as they are in force: with what templates fill.
    pub apis: Shelf<ApiId, Api>,
    /// By id: the declared ones, and those that templates put on apis.
    pub slos: Shelf<ScopedId, Slo>,
    /// By id.
    pub events: Shelf<ScopedId, Event>,
    /// By id.
    pub bindings: BTreeMap<BindingId, Versioned<Binding>>,
    /// By id; what they fill stands in `apis` and `slos`.
    pub templates: BTreeMap<TemplateId, Versioned<Template>>,
    /// Offsets of the time zones in use; not declared, but filled in by whoever knows zones.
    pub zones: Zones,
    /// Occurrences of the events that come back by a rule, filled in likewise.
    pub recurring: Occurrences,
}

impl Catalog {
    /// What a tier buys.
    #[must_use]
    pub fn tier(&self, tier: Tier) -> TierSpec {
        self.tiers
            .get(&tier)
            .map_or_else(|| TierSpec::default_of(tier), |t| t.value.clone())
    }

    /// Apis of a pool, ascending.
    pub fn apis_of(&self, pool: &PoolId) -> impl Iterator<Item = &Api> {
        self.apis.of(pool)
    }

    /// SLOs of an api, ascending.
    pub fn slos_of(&self, api: &ApiId) -> impl Iterator<Item = &Slo> {
        self.slos.of(api)
    }

    /// Events that touch an api, ascending.
    #[must_use]
    pub fn events_of(&self, api: &ApiId) -> Vec<&Event> {
        if self.events.is_empty() {
            return vec![];
        }
        let named = Touched::Api(api.clone());
        let owned = Touched::Tenant(api.tenant.clone());
        let of = |whom: &Touched| self.events.of(whom).collect::<Vec<_>>();
        let mut all = [of(&named), of(&owned)].concat();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// Lets go of the room that many puts have left; to be called where a catalog is kept.
    pub fn compact(&mut self) {
        self.apis.compact();
        self.slos.compact();
        self.events.compact();
    }

    /// Applies a change set as a whole.
    ///
    /// # Errors
    /// Every problem at once; the catalog is then unchanged.
    pub fn apply(&self, changes: &[Change]) -> Result<(Catalog, Effects), Vec<FieldProblem>> {
        let mut next = self.clone();
        next.unfill();
        let mut effects = Vec::with_capacity(changes.len());
        let mut problems = vec![];
        for change in changes {
            let (key, expect) = match change {
                Change::Put { object, expect } => (object.key(), *expect),
                Change::Delete { key, expect } => (key.clone(), *expect),
            };
            let before = next.get(&key);
            let stands = before.as_ref().map_or(Generation(0), |v| v.generation);
            if expect.is_some_and(|e| e != stands) {
                problems.push(FieldProblem {
                    object: key.to_string(),
                    field: "generation".into(),
                    problem: format!(
                        "it stands at generation {stands}; read it again and repeat the change"
                    ),
                });
                continue;
            }
            let effect = match change {
                Change::Put { object, .. } => {
                    let object = self.settled(object);
                    let effect = match &before {
                        None => Effect::Created,
                        Some(v) if v.value == object => Effect::Unchanged,
                        Some(_) => Effect::Updated,
                    };
                    if effect != Effect::Unchanged {
                        next.insert(object, stands.next());
                    }
                    effect
                }
                Change::Delete { .. } if before.is_none() => {
                    problems.push(FieldProblem {
                        object: key.to_string(),
                        field: "name".into(),
                        problem: self.why_absent(&key),
                    });
                    continue;
                }
                Change::Delete { .. } => {
                    next.remove(&key);
                    Effect::Deleted
                }
            };
            effects.push((key, effect));
        }
        next.fill_open(&mut problems);
        check::catalog(&next, &effects, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        if effects.iter().any(|(_, e)| *e != Effect::Unchanged) {
            next.generation = self.generation.next();
        }
        next.compact();
        Ok((next, effects))
    }
}

mod api;
mod check;
mod objects;
mod shelf;
pub mod template;

pub use shelf::{Filed, Iter, Shelf};

impl Filed for Api {
    type Under = PoolId;

    fn under(&self) -> Vec<PoolId> {
        vec![self.pool.clone()]
    }
}

impl Filed for Slo {
    type Under = ApiId;

    fn under(&self) -> Vec<ApiId> {
        vec![self.api.clone()]
    }
}

/// Threshold of an SLO in seconds, if it has one.
#[must_use]
pub fn threshold(slo: &Slo) -> Option<f64> {
    match slo.indicator {
        Indicator::Latency { threshold } => Some(threshold),
        Indicator::Availability => None,
    }
}
