//! What a tenant uses of its quotas, read from where each of them is enforced: the same count that
//! refuses is the one that is shown.

use crate::world::{World, lock};
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::{PoolId, TenantId};
use tidegate_core::quota::{PoolShare, Usage};
use tidegate_core::units::Resources;
use tidegate_flow::ingest::Known as _;

/// What a tenant uses.
pub(super) fn of(world: &World, catalog: &Catalog, tenant: &TenantId) -> Usage {
    let series = lock(&world.known).count(tenant);
    let wall = crate::clock::wall();
    let (samples_per_s, refused_samples) = {
        let meter = lock(&world.meter);
        (meter.rate(tenant, wall), meter.refused(tenant))
    };
    let mut pools: Vec<&PoolId> = catalog
        .apis
        .values()
        .filter(|a| a.value.id.tenant == *tenant)
        .map(|a| &a.value.pool)
        .collect();
    pools.sort_unstable();
    pools.dedup();
    Usage {
        series,
        samples_per_s,
        modules: world.policies.held_by(tenant),
        refused_samples,
        pools: pools
            .into_iter()
            .map(|pool| PoolShare {
                pool: pool.clone(),
                held: held(world, pool, tenant),
                quota: catalog
                    .pools
                    .get(pool)
                    .and_then(|p| p.value.quotas.get(tenant).copied())
                    .unwrap_or(Resources::NONE),
            })
            .collect(),
    }
}

/// Sum of what the plan in force gives to the apis of a tenant now.
fn held(world: &World, pool: &PoolId, tenant: &TenantId) -> Resources {
    let now = world.clock.now();
    let Some(plan) = world.plans.get(pool) else {
        return Resources::NONE;
    };
    let mine = plan.apis.iter().filter(|a| a.api.tenant == *tenant);
    mine.filter_map(|row| plan.limit(&row.api, now))
        .flat_map(|limit| limit.iter().collect::<Vec<_>>())
        .fold(Resources::NONE, |sum, (dimension, amount)| {
            sum.with(dimension, sum.get(dimension).unwrap_or(0.0) + amount)
        })
}
