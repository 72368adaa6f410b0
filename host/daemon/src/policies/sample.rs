//! Stored series for canary calls: few, and the end of each, so that a trial costs no more than a fit does.
//!
//! They are whoever's question it is: a tenant's module is tried on that tenant's series, a binding's config
//! on those that the binding selects. Spread over all there are, in their order, so that the same world gives
//! the same sample; what is chosen by chance would refuse today what it let pass yesterday.

use crate::world::World;
use tidegate_core::catalog::Api;
use tidegate_core::ports::storage::History as _;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Grid;
use tidegate_core::units::Dimension;
use tidegate_engine::Sample;

/// Series at most.
const SERIES: usize = 3;

/// Steps of each at most.
const STEPS: usize = 1000;

const _: () = assert!(SERIES * STEPS <= Sample::MOST);

/// The ends of some series that are forecast, of the apis that are asked for. One that cannot be read is
/// left out: whether the store is well is not asked here.
pub(crate) fn sample(world: &World, wants: impl Fn(&Api) -> bool) -> Vec<Sample> {
    let catalog = world.catalog.load();
    let apis = catalog.apis.values().map(|a| &a.value);
    let keys: Vec<SeriesKey> = apis
        .filter(|api| wants(api))
        .filter_map(|api| Some((api, catalog.pools.get(&api.pool)?)))
        .flat_map(|(api, pool)| {
            let signals = Dimension::signals(&pool.value.ready.dimensions());
            signals.into_iter().map(move |signal| SeriesKey {
                api: api.id.clone(),
                signal,
            })
        })
        .filter(|key| world.store.newest(key).is_some())
        .collect();
    let (step, now) = (world.settings.step, world.clock.now());
    let apart = keys.len().div_ceil(SERIES).max(1);
    let end = |key: &SeriesKey| Some(world.store.newest(key)?.min(now).floor(step));
    let taken = keys.iter().step_by(apart).filter_map(|key| {
        let grid = Grid::ending_at(end(key)?, step, STEPS);
        let column = world.store.column(key, grid).ok()?.trimmed();
        Some(Sample::of(&key.api, &column, STEPS))
    });
    taken.collect()
}
