//! One cell of the plan: needs, the pour, headroom and the hold against churn.
//!
//! Headroom is bounded by what an api could give back in one step (`limit x step_down` is at most
//! what was poured for its demand), or by its ordinary load where that is more: an idle api whose
//! limit fell to nearly nothing would need many steps, each a factor, to come back. Unbounded headroom looks generous and is a trap: the step
//! bounds would then protect idle limits against a Gold api's demand at the next peak.

use tidegate_fit::{PoolColumns, Tier, UNBOUNDED, step_ceiling, step_floor};

use crate::config::Config;
use crate::water::{pour, water_level};

/// What each api should have at each step, `[api][step][dimension]`: demand at its tier's
/// quantile, at least its floor, seen `lead` steps ahead, and climbed to within the step bounds.
pub(crate) fn needs(pool: &PoolColumns, lead: u32) -> Vec<f64> {
    let (steps, lead) = (pool.steps, lead as usize);
    let mut needs = vec![0.0; pool.demand.len()];
    for api in 0..pool.len() {
        for k in 0..pool.width() {
            let floor = pool.floor[api * pool.width() + k];
            let mut next = 0.0;
            for step in (0..steps).rev() {
                let until = (step + lead).min(steps - 1);
                let ahead = (step..=until).map(|s| pool.demand[pool.cell(api, s, k)]);
                let need = ahead.fold(floor, f64::max).max(next / pool.step_up[api]);
                needs[pool.cell(api, step, k)] = need;
                next = need;
            }
        }
    }
    needs
}

/// One step and dimension, poured.
#[derive(Debug)]
pub(crate) struct Shares {
    /// What each api holds for its need.
    pub(crate) filled: Vec<f64>,
    /// `filled` and headroom.
    pub(crate) limit: Vec<f64>,
    /// The most that an api may hold.
    pub(crate) most: Vec<f64>,
    /// What each api holds in any case.
    pub(crate) lows: Vec<f64>,
    /// Whether somebody's need was not met for lack of capacity or quota.
    pub(crate) contended: bool,
}

impl Shares {
    /// Pours the capacity of one cell. `before` is `[api][dimension]`.
    pub(crate) fn of(
        pool: &PoolColumns,
        needs: &[f64],
        step: usize,
        k: usize,
        before: &[f64],
    ) -> Self {
        let (n, d) = (pool.len(), pool.width());
        let capacity = pool.capacity[step * d + k];
        let mut cups = Vec::with_capacity(n);
        let mut most = Vec::with_capacity(n);
        for api in 0..n {
            let at = api * d + k;
            let owed = if pool.tiers[api] == Tier::Gold {
                pool.floor[at]
            } else {
                0.0
            };
            let low = owed
                .max(step_floor(pool, api, before[at]))
                .min(pool.ceiling[at]);
            let high = step_ceiling(pool, api, k, before[at])
                .min(pool.ceiling[at])
                .max(low);
            cups.push((
                low,
                needs[pool.cell(api, step, k)].clamp(low, high),
                pool.weights[api],
            ));
            most.push(high);
        }
        let wanted: Vec<f64> = cups.iter().map(|c| c.1).collect();

        for (tenant, own) in by_tenant(pool) {
            let quota = pool.quota[tenant * d + k];
            if quota >= UNBOUNDED {
                continue;
            }
            let (held, left) = pour(&cups, &pool.tiers, &own, quota);
            let limits = headroom(pool, &own, &held, &most, left, k);
            for ((&api, held), limit) in own.iter().zip(held).zip(limits) {
                cups[api].0 = cups[api].0.min(held);
                cups[api].1 = held;
                most[api] = limit;
            }
        }
        let lows: Vec<f64> = cups.iter().map(|c| c.0).collect();
        for (tier, own) in pool.bounded_tiers() {
            let most_held = cap(pool, tier, capacity, &own, &lows);
            let (held, left) = pour(&cups, &pool.tiers, &own, most_held);
            let limits = headroom(pool, &own, &held, &most, left, k);
            for ((&api, held), limit) in own.iter().zip(held).zip(limits) {
                cups[api].1 = held;
                most[api] = limit;
            }
        }
        let everyone: Vec<usize> = (0..n).collect();
        let (filled, left) = pour(&cups, &pool.tiers, &everyone, capacity);
        let limit = headroom(pool, &everyone, &filled, &most, left, k);
        let short = |(got, want): (&f64, &f64)| *got < want * (1.0 - 1e-12);
        let contended =
            filled.iter().zip(&wanted).any(short) || filled.iter().sum::<f64>() > capacity;
        Self {
            filled,
            limit,
            most,
            lows,
            contended,
        }
    }
}

/// Divides what is left by weight, up to what each api could give back in one step or its ordinary
/// load.
fn headroom(
    pool: &PoolColumns,
    members: &[usize],
    held: &[f64],
    most: &[f64],
    left: f64,
    k: usize,
) -> Vec<f64> {
    let room = |(&api, &held): (&usize, &f64)| {
        let down = pool.step_down[api];
        let undoable = if down > 0.0 {
            held * (1.0 / down - 1.0)
        } else {
            f64::MAX
        };
        let ordinary = pool.expected[api * pool.width() + k] - held;
        let room = (most[api] - held)
            .min(undoable.max(ordinary))
            .clamp(0.0, left);
        (0.0, room, pool.weights[api])
    };
    let cups: Vec<_> = members.iter().zip(held).map(room).collect();
    let level = water_level(&cups, left);
    held.iter()
        .zip(&cups)
        .map(|(held, &(_, room, w))| held + (level * w).clamp(0.0, room))
        .collect()
}

/// The part of an api's share that is guaranteed: all of it for Gold, the median demand or the
/// floor for Silver, the floor for Bronze. Headroom is never guaranteed.
pub(crate) fn guaranteed(
    pool: &PoolColumns,
    filled: f64,
    api: usize,
    step: usize,
    k: usize,
) -> f64 {
    let floor = pool.floor[api * pool.width() + k];
    let sure = match pool.tiers[api] {
        Tier::Gold => f64::MAX,
        Tier::Silver => floor.max(pool.median[pool.cell(api, step, k)]),
        Tier::Bronze => floor,
    };
    filled.min(sure)
}

/// Keeps limits that are within the hysteresis band, if together with the new ones they fit; else
/// takes all new ones. (All or none, so that a second solve meets the same choice.)
pub(crate) fn hold(
    pool: &PoolColumns,
    config: &Config,
    shares: &Shares,
    step: usize,
    k: usize,
    before: &[f64],
    limits: &mut [f64],
) {
    let d = pool.width();
    let mixed: Vec<f64> = (0..pool.len())
        .map(|api| {
            let (was, new) = (before[api * d + k], shares.limit[api]);
            let near = (was - new).abs() <= config.hysteresis * new;
            if near && was >= shares.filled[api] && was <= shares.most[api] {
                was
            } else {
                new
            }
        })
        .collect();
    let fits =
        |own: &[usize], most: f64| own.iter().fold(0.0, |total, &api| total + mixed[api]) <= most;
    let everyone: Vec<usize> = (0..pool.len()).collect();
    let lawful = fits(&everyone, pool.capacity[step * d + k])
        && by_tenant(pool)
            .iter()
            .all(|(t, own)| fits(own, pool.quota[t * d + k]))
        && pool.bounded_tiers().iter().all(|(tier, own)| {
            let capacity = pool.capacity[step * d + k];
            fits(own, cap(pool, *tier, capacity, own, &shares.lows))
        });
    if lawful {
        for (api, limit) in mixed.into_iter().enumerate() {
            limits[api * d + k] = limit;
        }
    }
}

/// Most that the apis of a tier hold together: their share of the capacity, or what each holds in any
/// case where that is more.
pub(crate) fn cap(
    pool: &PoolColumns,
    tier: Tier,
    capacity: f64,
    own: &[usize],
    lows: &[f64],
) -> f64 {
    let due = own.iter().fold(0.0, |sum, &api| sum + lows[api]);
    (pool.share_of(tier) * capacity).max(due)
}

/// The tenants that have apis here, with their apis in input order.
pub(crate) fn by_tenant(pool: &PoolColumns) -> Vec<(usize, Vec<usize>)> {
    let mut members = vec![Vec::new(); pool.quota.len() / pool.width()];
    for (api, &tenant) in pool.tenants.iter().enumerate() {
        members[tenant as usize].push(api);
    }
    members
        .into_iter()
        .enumerate()
        .filter(|(_, own)| !own.is_empty())
        .collect()
}
