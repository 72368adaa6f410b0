//! Floors first, then demand, then what is left by weight.
//!
//! Four rises, each from where the last one ended: Gold floors, lower step bounds, demand, upper
//! bound. In each, a tenant is stopped by its quota and a tier by its share (but for the first two, which
//! are due whatever the share), and all are stopped in proportion by the pool.
//! So every invariant holds by construction, in the order AL1 > AL4 > AL2 > AL3; nothing is lent.

use tidegate_core::policy::{
    Allocation, AllocationInput, Allocator, Blob, CallError, PolicyError, UNBOUNDED,
};
use tidegate_core::tier::Tier;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct FloorsFirst;

impl Allocator for FloorsFirst {
    fn allocate(&self, _config: &str, input: &AllocationInput) -> Result<Allocation, CallError> {
        let (n, s, d) = input.shape();
        let mut limit = vec![0.0; n * s * d];
        let mut wanted = vec![0.0; s * d];
        for dim in 0..d {
            let mut previous: Vec<f64> =
                (0..n).map(|a| input.previous_limit[a * d + dim]).collect();
            for step in 0..s {
                let total: f64 = (0..n).map(|a| input.demand[input.at(a, step, dim)]).sum();
                wanted[step * d + dim] = total.min(input.capacity_max[dim]);
                let shares = divide(input, dim, step, &previous);
                for (a, share) in shares.iter().enumerate() {
                    limit[input.at(a, step, dim)] = *share;
                }
                previous = shares;
            }
        }
        Ok(Allocation {
            guaranteed: limit.clone(),
            limit,
            loans: vec![],
            wanted,
            reasons: vec![
                "the engine's own rule: floors, then demand, then the rest by weight"
                    .into();
                n
            ],
            state: Blob::default(),
        })
    }

    fn migrate(&self, _state: &Blob) -> Result<Blob, CallError> {
        Err(CallError::Policy(PolicyError::Unsupported(
            "the baseline keeps no state".into(),
        )))
    }
}

fn divide(input: &AllocationInput, dim: usize, step: usize, previous: &[f64]) -> Vec<f64> {
    let (n, _, d) = input.shape();
    let capacity = input.capacity[step * d + dim];
    let ceiling = |a: usize| input.ceiling[a * d + dim];
    let floor: Vec<f64> = (0..n)
        .map(|a| {
            if input.tiers[a] == Tier::Gold {
                input.floor[a * d + dim].min(ceiling(a))
            } else {
                0.0
            }
        })
        .collect();
    let bounded = |a: usize| previous[a] >= 0.0 && !input.emergency[a];
    let lower: Vec<f64> = (0..n)
        .map(|a| {
            if bounded(a) {
                (previous[a] * input.step_down[a]).min(ceiling(a))
            } else {
                0.0
            }
        })
        .map(|x: f64| x.max(0.0))
        .zip(&floor)
        .map(|(x, f)| x.max(*f))
        .collect();
    let upper: Vec<f64> = (0..n)
        .map(|a| {
            let most = if bounded(a) && previous[a] > 0.0 {
                (previous[a] * input.step_up[a]).max(floor[a])
            } else {
                UNBOUNDED
            };
            most.min(ceiling(a)).max(lower[a])
        })
        .collect();
    let demand: Vec<f64> = (0..n)
        .map(|a| input.demand[input.at(a, step, dim)].clamp(lower[a], upper[a]))
        .collect();
    let mut shares = vec![0.0; n];
    for target in [&floor, &lower, &demand] {
        rise(input, dim, capacity, &mut shares, target, &lower);
    }
    // What is left goes out by weight, up to each upper bound.
    let left = capacity - shares.iter().sum::<f64>();
    let weights: f64 = input.weights.iter().sum();
    if left > 0.0 && weights > 0.0 {
        let target: Vec<f64> = (0..n)
            .map(|a| (shares[a] + left * input.weights[a] / weights).min(upper[a]))
            .collect();
        rise(input, dim, capacity, &mut shares, &target, &lower);
    }
    // AL1 is exact: rounding must not carry the sum over the capacity.
    while shares.iter().sum::<f64>() > capacity {
        shares.iter_mut().for_each(|x| *x *= 1.0 - 1e-13);
    }
    shares
}

/// Raises `shares` towards `target`: each tenant as far as its quota allows, each tier as far as its
/// share of the pool allows or as `due` to its apis in any case, then all in proportion as far as the pool
/// allows.
fn rise(
    input: &AllocationInput,
    dim: usize,
    capacity: f64,
    shares: &mut [f64],
    target: &[f64],
    due: &[f64],
) {
    let d = input.dimensions.len();
    let tenants = input.quota.len() / d.max(1);
    let mut gap: Vec<f64> = shares
        .iter()
        .zip(target)
        .map(|(s, t)| (t - s).max(0.0))
        .collect();
    for tenant in 0..tenants {
        let mine = |a: &usize| input.tenants[*a] as usize == tenant;
        let members: Vec<usize> = (0..shares.len()).filter(mine).collect();
        let held: f64 = members.iter().map(|&a| shares[a]).sum();
        let asked: f64 = members.iter().map(|&a| gap[a]).sum();
        let room = (input.quota[tenant * d + dim] - held).max(0.0);
        if asked > room {
            members.iter().for_each(|&a| gap[a] *= room / asked);
        }
    }
    for tier in (Tier::ALL.into_iter()).filter(|t| input.share_of(*t) < 1.0) {
        let members: Vec<usize> = (0..shares.len())
            .filter(|&a| input.tiers[a] == tier)
            .collect();
        let sum = |of: &[f64]| -> f64 { members.iter().map(|&a| of[a]).sum() };
        let most = (input.share_of(tier) * capacity).max(sum(due));
        let (room, asked) = ((most - sum(shares)).max(0.0), sum(&gap));
        if asked > room {
            members.iter().for_each(|&a| gap[a] *= room / asked);
        }
    }
    let held: f64 = shares.iter().sum();
    let asked: f64 = gap.iter().sum();
    let room = (capacity - held).max(0.0);
    let scale = if asked > room { room / asked } else { 1.0 };
    shares
        .iter_mut()
        .zip(&gap)
        .for_each(|(s, g)| *s += g * scale);
}
