//! The immutable table of slots, and how a subject finds its slot in it.

use super::meter::{Meter, Metered};
use super::quarantine::Quarantine;
use super::{Baselines, Serving};
use crate::module::Policy;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::ids::{BindingId, PoolId, TenantId};
use tidegate_core::module::{ModuleKind, ModuleRef, Selector};
use tidegate_core::policy::{Allocator, Forecaster, Judge, Tierer};
use tidegate_core::roster::{Member, Retreat, Roster};

/// One moment of all slots.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) slots: BTreeMap<BindingId, Arc<Slot>>,
    pub(crate) quarantine: Quarantine,
    /// Bindings by kind, most specific first, lowest id on a tie.
    order: BTreeMap<ModuleKind, Vec<BindingId>>,
    /// What serves where no binding does, by kind.
    unbound: Arc<BTreeMap<ModuleKind, Chain>>,
}

/// One binding and what serves it.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) kind: ModuleKind,
    pub(crate) selector: Selector,
    pub(crate) active: Option<Serving>,
    pub(crate) last_good: Option<Serving>,
    /// Rises with every change of who serves.
    pub(crate) epoch: u64,
    pub(crate) meter: Arc<Meter>,
    pub(crate) chain: Chain,
}

/// The roster of a slot, by kind.
#[derive(Debug, Clone)]
pub(crate) enum Chain {
    Forecaster(Roster<dyn Forecaster>),
    Tierer(Roster<dyn Tierer>),
    Allocator(Roster<dyn Allocator>),
    Judge(Roster<dyn Judge>),
}

macro_rules! chain {
    ($kind:ident, $id:expr, $baseline:expr, $links:expr, $meter:expr) => {{
        let mut members = Vec::with_capacity(3);
        for (serving, retreat) in $links {
            if let Policy::$kind(policy) = &serving.policy {
                let policy: Arc<dyn $kind> = match retreat {
                    Retreat::Active => Arc::new(Metered::new(policy.clone(), $meter.clone())),
                    _ => policy.clone(),
                };
                members.push(Member {
                    module: serving.module.clone(),
                    binding: $id.cloned(),
                    retreat,
                    config: serving.config.clone(),
                    policy,
                });
            }
        }
        members.push(baseline($id, $baseline));
        Chain::$kind(Roster::of(members))
    }};
}

impl Chain {
    pub(crate) fn of(
        id: Option<&BindingId>,
        kind: ModuleKind,
        active: Option<&Serving>,
        last_good: Option<&Serving>,
        meter: &Arc<Meter>,
        baselines: &Baselines,
    ) -> Self {
        let links = [(active, Retreat::Active), (last_good, Retreat::LastGood)];
        let links = links.into_iter().filter_map(|(s, r)| s.map(|s| (s, r)));
        match kind {
            ModuleKind::Forecaster => chain!(Forecaster, id, &baselines.forecaster, links, meter),
            ModuleKind::Tierer => chain!(Tierer, id, &baselines.tierer, links, meter),
            ModuleKind::Allocator => chain!(Allocator, id, &baselines.allocator, links, meter),
            ModuleKind::Judge => chain!(Judge, id, &baselines.judge, links, meter),
        }
    }

    pub(crate) fn baseline(
        id: Option<&BindingId>,
        kind: ModuleKind,
        baselines: &Baselines,
    ) -> Self {
        Self::of(id, kind, None, None, &Arc::default(), baselines)
    }
}

fn baseline<P: ?Sized>(
    id: Option<&BindingId>,
    (module, policy): &(ModuleRef, Arc<P>),
) -> Member<P> {
    Member {
        module: module.clone(),
        binding: id.cloned(),
        retreat: Retreat::Baseline,
        config: "{}".into(),
        policy: policy.clone(),
    }
}

impl Table {
    pub(crate) fn new(baselines: &Baselines) -> Self {
        let unbound = ModuleKind::ALL
            .into_iter()
            .map(|kind| (kind, Chain::baseline(None, kind, baselines)))
            .collect();
        Self {
            slots: BTreeMap::new(),
            quarantine: Quarantine::default(),
            order: BTreeMap::new(),
            unbound: Arc::new(unbound),
        }
    }

    /// RB1: what is quarantined may not become active or last good by itself.
    pub(crate) fn may_serve(&self, id: &BindingId, serving: &Serving) -> bool {
        self.quarantine.admits(id, serving.module.digest)
    }

    /// A quarantined last good would come back by itself at the next fault: it goes.
    pub(crate) fn drop_quarantined_last_good(&mut self, id: &BindingId, baselines: &Baselines) {
        let Some(slot) = self.slots.get(id) else {
            return;
        };
        if slot
            .last_good
            .as_ref()
            .is_none_or(|s| self.may_serve(id, s))
        {
            return;
        }
        let (kind, active) = (slot.kind, slot.active.as_ref());
        let slot = Slot {
            chain: Chain::of(Some(id), kind, active, None, &slot.meter, baselines),
            last_good: None,
            ..Slot::clone(slot)
        };
        self.slots.insert(id.clone(), Arc::new(slot));
    }

    /// Must follow every change of the slots.
    pub(crate) fn sort(&mut self) {
        self.order.clear();
        for (id, slot) in &self.slots {
            self.order.entry(slot.kind).or_default().push(id.clone());
        }
        for ids in self.order.values_mut() {
            // Stable: ids of one specificity stay ascending.
            ids.sort_by_key(|id| Reverse(self.slots.get(id).map(|s| s.selector.specificity())));
        }
    }

    fn resolve(&self, kind: ModuleKind, subject: &Subject<'_>) -> Option<(&BindingId, &Arc<Slot>)> {
        self.order
            .get(&kind)?
            .iter()
            .filter_map(|id| self.slots.get_key_value(id))
            .find(|(_, slot)| subject.is_selected_by(&slot.selector))
    }
}

/// What is to be served: the parts that a selector may ask for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    /// Its tenant; absent for a pool.
    pub tenant: Option<&'a TenantId>,
    /// Its pool.
    pub pool: Option<&'a PoolId>,
    /// The api's category.
    pub category: Option<&'a str>,
    /// The api's labels.
    pub labels: Option<&'a BTreeMap<String, String>>,
}

impl Subject<'_> {
    /// Whether every condition holds. A condition on something that the subject does not have does
    /// not.
    #[must_use]
    pub fn is_selected_by(&self, selector: &Selector) -> bool {
        let tenant = selector.tenant.as_ref();
        let pool = selector.pool.as_ref();
        let category = selector.category.as_deref();
        tenant.is_none_or(|want| self.tenant == Some(want))
            && pool.is_none_or(|want| self.pool == Some(want))
            && category.is_none_or(|want| self.category == Some(want))
            && selector
                .labels
                .iter()
                .all(|(key, want)| self.labels.and_then(|l| l.get(key)) == Some(want))
    }
}

/// All slots at one instant, immutable.
#[derive(Debug, Clone)]
pub struct Pinned(pub(crate) Arc<Table>);

/// Who serves a subject.
#[derive(Debug)]
pub struct Resolved<'a, P: ?Sized> {
    /// Through which binding and at which of its epochs; `None` where nothing is bound.
    pub binding: Option<(&'a BindingId, u64)>,
    /// Active module, last good one, baseline.
    pub roster: &'a Roster<P>,
}

macro_rules! resolve {
    ($(#[$doc:meta])* $name:ident, $kind:ident) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(&self, subject: &Subject<'_>) -> Option<Resolved<'_, dyn $kind>> {
            let found = self.0.resolve(ModuleKind::$kind, subject);
            let chain = match found {
                Some((_, slot)) => &slot.chain,
                None => self.0.unbound.get(&ModuleKind::$kind)?,
            };
            match chain {
                Chain::$kind(roster) => Some(Resolved {
                    binding: found.map(|(id, slot)| (id, slot.epoch)),
                    roster,
                }),
                _ => None,
            }
        }
    };
}

/// `None` cannot happen: every kind has a baseline, and a slot's chain has its slot's kind.
impl Pinned {
    resolve!(
        /// Who forecasts the subject.
        forecaster,
        Forecaster
    );
    resolve!(
        /// Who chooses the subject's tiers.
        tierer,
        Tierer
    );
    resolve!(
        /// Who divides the subject, a pool.
        allocator,
        Allocator
    );
    resolve!(
        /// Who judges the subject.
        judge,
        Judge
    );
}
