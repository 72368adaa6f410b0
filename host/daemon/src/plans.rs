//! The newest plan of every pool, for whoever reads while cycles publish.
//!
//! Each pool has a place of its own: a plan that is published changes that place alone, so that a turn over
//! many pools does not copy a table of all of them for each, and readers still never wait. The table of
//! places changes when a pool has its first plan or is gone.

use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::ids::PoolId;
use tidegate_core::plan::Plan;

type Places = BTreeMap<PoolId, Arc<ArcSwap<Plan>>>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Plans(ArcSwap<Places>);

impl Plans {
    /// The newest plan of a pool.
    pub(crate) fn get(&self, pool: &PoolId) -> Option<Arc<Plan>> {
        let places = self.0.load();
        places.get(pool).map(|place| place.load_full())
    }

    /// Makes a plan the newest of its pool.
    pub(crate) fn put(&self, plan: &Arc<Plan>) {
        if let Some(place) = self.0.load().get(&plan.pool) {
            place.store(plan.clone());
            return;
        }
        self.0.rcu(|old| {
            let mut next = Places::clone(old);
            let place = Arc::new(ArcSwap::new(plan.clone()));
            next.insert(plan.pool.clone(), place);
            next
        });
    }

    /// Lets go of the plans of pools for which `keep` does not hold.
    pub(crate) fn retain(&self, keep: impl Fn(&PoolId) -> bool) {
        self.0.rcu(|old| {
            let mut next = Places::clone(old);
            next.retain(|pool, _| keep(pool));
            next
        });
    }

    /// How many pools have one.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.load().len()
    }
}

impl FromIterator<Arc<Plan>> for Plans {
    fn from_iter<I: IntoIterator<Item = Arc<Plan>>>(plans: I) -> Self {
        let places = plans.into_iter().map(|plan| {
            let pool = plan.pool.clone();
            (pool, Arc::new(ArcSwap::new(plan)))
        });
        Self(ArcSwap::from_pointee(places.collect()))
    }
}
