//! The slots of one instant as the cycle asks for them: by api, tenant or pool.

use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::catalog::Api;
use tidegate_core::ids::{BindingId, PoolId, TenantId};
use tidegate_core::policy::{Allocator, Forecaster, Judge, Tierer};
use tidegate_core::roster::{Member, Roster};
use tidegate_core::units::Signal;
use tidegate_engine::{Pinned, Subject};
use tidegate_flow::cycle::Pins;

/// See the module.
#[derive(Debug)]
pub(crate) struct PinnedPolicies {
    pinned: Pinned,
    challengers: BTreeMap<BindingId, Arc<[Member<dyn Forecaster>]>>,
}

impl PinnedPolicies {
    /// The slots as they were pinned.
    pub(super) fn new(
        pinned: Pinned,
        challengers: BTreeMap<BindingId, Vec<Member<dyn Forecaster>>>,
    ) -> Self {
        let challengers = challengers.into_iter();
        Self {
            pinned,
            challengers: challengers.map(|(id, all)| (id, all.into())).collect(),
        }
    }

    /// The binding through which a pool is divided.
    pub(crate) fn binding_of_pool(&self, pool: &PoolId) -> Option<BindingId> {
        let subject = Subject {
            pool: Some(pool),
            ..Subject::default()
        };
        let resolved = self.pinned.allocator(&subject)?;
        resolved.binding.map(|(id, _)| id.clone())
    }

    /// The binding through which a tenant's tiers are chosen.
    pub(crate) fn binding_of_tenant(&self, tenant: &TenantId) -> Option<BindingId> {
        let subject = Subject {
            tenant: Some(tenant),
            ..Subject::default()
        };
        let resolved = self.pinned.tierer(&subject)?;
        resolved.binding.map(|(id, _)| id.clone())
    }

    /// Who judges for a tenant, or for all.
    pub(super) fn judge(&self, tenant: Option<&TenantId>) -> Roster<dyn Judge> {
        let subject = Subject {
            tenant,
            ..Subject::default()
        };
        or_empty(self.pinned.judge(&subject).map(|r| r.roster))
    }

    /// The binding through which an api's series are forecast.
    pub(crate) fn binding_of(&self, api: &Api) -> Option<BindingId> {
        self.pinned
            .forecaster(&subject(api))
            .and_then(|r| r.binding.map(|(id, _)| id.clone()))
    }
}

fn subject(api: &Api) -> Subject<'_> {
    Subject {
        tenant: Some(&api.id.tenant),
        pool: Some(&api.pool),
        category: Some(&api.category),
        labels: Some(&api.labels),
    }
}

/// An empty roster cannot happen (the engine appends a baseline to every chain); if it did, the
/// rooms' own answer to "nobody answered" would apply.
fn or_empty<P: ?Sized>(roster: Option<&Roster<P>>) -> Roster<P> {
    roster.cloned().unwrap_or(Roster::of(vec![]))
}

impl Pins for PinnedPolicies {
    fn forecaster(&self, api: &Api, _signal: Signal) -> Roster<dyn Forecaster> {
        let resolved = self.pinned.forecaster(&subject(api));
        let bound = resolved.as_ref().and_then(|r| r.binding);
        let challengers = bound.and_then(|(id, _)| self.challengers.get(id));
        Roster {
            challengers: challengers.cloned().unwrap_or_default(),
            ..or_empty(resolved.map(|r| r.roster))
        }
    }

    fn tierer(&self, tenant: &TenantId) -> Roster<dyn Tierer> {
        let subject = Subject {
            tenant: Some(tenant),
            ..Subject::default()
        };
        or_empty(self.pinned.tierer(&subject).map(|r| r.roster))
    }

    fn allocator(&self, pool: &PoolId) -> Roster<dyn Allocator> {
        let subject = Subject {
            pool: Some(pool),
            ..Subject::default()
        };
        or_empty(self.pinned.allocator(&subject).map(|r| r.roster))
    }
}
