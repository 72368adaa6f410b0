//! The fit: the nearest lawful allocation to a wish.
//!
//! Per step and dimension, each api's limit climbs a ladder of three rungs: (1) a Gold api's
//! floor, less what it can reclaim from loans (AL2); (2) the smallest limit that its step bounds
//! allow (AL3); (3) the wish, clamped between its step bounds and its ceiling. First each tenant
//! with a quota climbs under the quota (AL4), then each tier with a share of its own climbs from its
//! second rung under that share, then all climb what is left of their rungs under the capacity (AL1).
//! Hence the precedence AL1 > AL4 > AL2 > AL3 holds by construction, and a tier's share gives way to
//! floors and step bounds.
//!
//! Step bounds go from step to step: step 0 against the limit in force, step s against step s - 1
//! of the same plan, so that a plan can be carried out as it stands. Scaling every number of the
//! old allocation by one factor was rejected: it cuts floors before wishes.
//!
//! For each step the result rises with that step's capacity (given the steps before it); fitting
//! twice changes no bit; and scaling all amounts scales the result.

use crate::Error;
use crate::columns::{HUGE, PoolColumns, Tier};
use crate::ladder::{Ladder, Reached};

/// What an allocator wants to give, or after a fit: what it gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Allocation {
    /// `[api][step][dimension]`.
    pub guaranteed: Vec<f64>,
    /// `[api][step][dimension]`; loans already moved. An unbounded wish is read as "all of it".
    pub limit: Vec<f64>,
}

/// Whose total did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The pool's capacity (AL1).
    Pool,
    /// A tenant's quota (AL4), by index.
    Tenant(u32),
    /// A tier's share of the pool (AL4).
    Tier(Tier),
}

/// What had to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Even the Gold floors: raise an alert.
    GoldFloors,
    /// The lowest limits that the step bounds allow; the Gold floors are whole.
    StepBounds,
    /// Only wishes.
    Wishes,
}

/// One place where the wish did not fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// Step of the plan.
    pub step: usize,
    /// Index into the pool's dimensions.
    pub dimension: usize,
    /// Whose total did not fit.
    pub scope: Scope,
    /// What was cut; everything below it is whole, everything above it is gone.
    pub level: Level,
    /// The part of that level that is left, 0 to 1.
    pub fraction: f64,
}

/// Where and how a wish had to give way; empty when it was lawful but for floors and steps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FitReport {
    /// In order of step, dimension, tenant, tier, pool.
    pub cuts: Vec<Cut>,
}

impl FitReport {
    /// Whether a Gold floor could not be kept anywhere.
    #[must_use]
    pub fn gold_floors_cut(&self) -> bool {
        self.cuts.iter().any(|c| c.level == Level::GoldFloors)
    }
}

/// Makes `wish` lawful for `pool`.
///
/// Gold guarantees are raised to their floor; every guarantee is at most the limit.
///
/// # Errors
/// [`Error::InvalidInput`] if a column has the wrong shape or range, or the wish holds NaN or a
/// number below zero.
pub fn fit_to_pool(pool: &PoolColumns, wish: &mut Allocation) -> Result<FitReport, Error> {
    fit_with_loans(pool, wish, &[])
}

/// As [`fit_to_pool`], for a wish whose limits already moved `lent[api][step][dimension]` from
/// lenders to borrowers: that much counts towards a lender's floor and guarantee, because it can
/// be reclaimed. An empty `lent` means no loans.
///
/// # Errors
/// As [`fit_to_pool`].
pub fn fit_with_loans(
    pool: &PoolColumns,
    wish: &mut Allocation,
    lent: &[f64],
) -> Result<FitReport, Error> {
    pool.validate()?;
    let (n, d) = (pool.len(), pool.width());
    let cells = n * pool.steps * d;
    let nonnegative = |v: f64| v >= 0.0;
    crate::columns::column("guaranteed", &wish.guaranteed, cells, ">= 0", nonnegative)?;
    crate::columns::column("limit", &wish.limit, cells, ">= 0", nonnegative)?;
    let lent_len = if lent.is_empty() { 0 } else { cells };
    crate::columns::column("lent", lent, lent_len, "in 0..1e250", |v| {
        (0.0..HUGE).contains(&v)
    })?;

    let mut report = FitReport::default();
    let mut before = pool.previous_limit.clone();
    let mut row = Allocation {
        guaranteed: vec![0.0; n * d],
        limit: vec![0.0; n * d],
    };
    let mut row_lent = vec![0.0; if lent.is_empty() { 0 } else { n * d }];
    for step in 0..pool.steps {
        for api in 0..n {
            let (from, to) = (pool.cell(api, step, 0), api * d);
            row.guaranteed[to..to + d].copy_from_slice(&wish.guaranteed[from..from + d]);
            row.limit[to..to + d].copy_from_slice(&wish.limit[from..from + d]);
            if !lent.is_empty() {
                row_lent[to..to + d].copy_from_slice(&lent[from..from + d]);
            }
        }
        report
            .cuts
            .extend(fit_step(pool, step, &before, &mut row, &row_lent)?.cuts);
        for api in 0..n {
            let (to, from) = (pool.cell(api, step, 0), api * d);
            wish.guaranteed[to..to + d].copy_from_slice(&row.guaranteed[from..from + d]);
            wish.limit[to..to + d].copy_from_slice(&row.limit[from..from + d]);
        }
        before.copy_from_slice(&row.limit);
    }
    Ok(report)
}

/// One step of the fit, for allocators that build their plan step by step: `before`, `wish` and
/// `lent` are `[api][dimension]`; `before` is the limit of the step before (below zero for a new
/// api); `lent` may be empty. The pool must have been validated.
///
/// # Errors
/// [`Error::InvalidInput`] if a shape is wrong.
pub fn fit_step(
    pool: &PoolColumns,
    step: usize,
    before: &[f64],
    wish: &mut Allocation,
    lent: &[f64],
) -> Result<FitReport, Error> {
    let (n, d) = (pool.len(), pool.width());
    let rows = [before.len(), wish.guaranteed.len(), wish.limit.len()];
    if step >= pool.steps || rows != [n * d; 3] || !(lent.is_empty() || lent.len() == n * d) {
        return Err(Error::InvalidInput(format!(
            "step {step} of {} with rows of {rows:?} and {} values, expected {}",
            pool.steps,
            lent.len(),
            n * d
        )));
    }
    let everyone: Vec<usize> = (0..n).collect();
    let bounded = pool.bounded_tiers();
    let mut report = FitReport::default();
    let mut ladder = Ladder {
        first: vec![0.0; n],
        second: vec![0.0; n],
        top: vec![0.0; n],
    };
    for k in 0..d {
        let capacity = pool.capacity[step * d + k];
        for api in 0..n {
            let at = api * d + k;
            let back = lent.get(at).copied().unwrap_or(0.0);
            let ceiling = pool.ceiling[at];
            let owed = if pool.tiers[api] == Tier::Gold {
                (pool.floor[at] - back).max(0.0).min(ceiling)
            } else {
                0.0
            };
            let lowest = owed.max(step_floor(pool, api, before[at])).min(ceiling);
            let highest = step_ceiling(pool, api, k, before[at])
                .min(ceiling)
                .max(lowest);
            let mut top = wish.limit[at].clamp(lowest, highest);
            if top >= HUGE {
                let quota = pool.quota_of(api, k);
                top = lowest.max(if quota < HUGE { quota } else { capacity });
            }
            (ladder.first[api], ladder.second[api], ladder.top[api]) = (owed, lowest, top);
        }
        let mut note = |scope, reached: Reached| {
            let level = match reached.rung {
                0 => Level::GoldFloors,
                1 => Level::StepBounds,
                2 => Level::Wishes,
                _ => return,
            };
            let fraction = reached.fraction;
            report.cuts.push(Cut {
                step,
                dimension: k,
                scope,
                level,
                fraction,
            });
        };
        for (tenant, members) in limited_tenants(pool, k) {
            let quota = pool.quota[tenant as usize * d + k];
            note(Scope::Tenant(tenant), ladder.climb(&members, quota));
        }
        for (tier, members) in &bounded {
            let share = pool.share_of(*tier) * capacity;
            let most = share.max(ladder.due(members));
            note(Scope::Tier(*tier), ladder.climb(members, most));
        }
        note(Scope::Pool, ladder.climb(&everyone, capacity));

        for api in 0..n {
            let at = api * d + k;
            let back = lent.get(at).copied().unwrap_or(0.0);
            let least = if pool.tiers[api] == Tier::Gold {
                pool.floor[at]
            } else {
                0.0
            };
            wish.limit[at] = ladder.top[api];
            wish.guaranteed[at] = wish.guaranteed[at].max(least).min(ladder.top[api] + back);
        }
    }
    Ok(report)
}

/// The smallest lawful limit (AL3) after a step with limit `before`: `before * step_down`, 0 for
/// a new api or in an emergency.
#[must_use]
pub fn step_floor(pool: &PoolColumns, api: usize, before: f64) -> f64 {
    if before >= 0.0 && pool.emergency[api] == 0 {
        before * pool.step_down[api]
    } else {
        0.0
    }
}

/// The largest lawful limit (AL3) after a step with limit `before`: `before * step_up`, but a Gold
/// api's floor may be reached at once (AL2). No bound for a new api, in an emergency, or from
/// nothing (a factor of zero is no way up).
#[must_use]
pub fn step_ceiling(pool: &PoolColumns, api: usize, dimension: usize, before: f64) -> f64 {
    let starts = before.is_nan() || before <= 0.0;
    if starts || pool.step_up[api] >= HUGE || pool.emergency[api] != 0 {
        return crate::UNBOUNDED;
    }
    let gold = pool.tiers[api] == Tier::Gold;
    let floor = if gold {
        pool.floor[api * pool.width() + dimension]
    } else {
        0.0
    };
    (before * pool.step_up[api]).max(floor)
}

/// The tenants with a quota in this dimension and their apis, in input order.
fn limited_tenants(pool: &PoolColumns, dimension: usize) -> Vec<(u32, Vec<usize>)> {
    let d = pool.width();
    let mut members = vec![Vec::new(); pool.quota.len() / d];
    for (api, &tenant) in pool.tenants.iter().enumerate() {
        if pool.quota[tenant as usize * d + dimension] < HUGE {
            members[tenant as usize].push(api);
        }
    }
    let numbered = (0u32..).zip(members);
    numbered.filter(|(_, apis)| !apis.is_empty()).collect()
}
