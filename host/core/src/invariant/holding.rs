//! What may be held at most besides a tenant's quota: by one api, its ceiling; by the apis of a tier
//! together, the tier's share of the pool. Both are AL4's, which is about what somebody may hold of a pool.
//!
//! A ceiling is as hard as a quota. A tier's share is not: it is nobody's claim, so it gives way to the
//! Gold floors (AL2) and to what step bounds forbid to take away at once (AL3), and a tier whose share was
//! lowered comes down to it step by step. Rejected: a share that precedes them, since a number that an
//! operator lowers for the sake of others would then break what was promised.

use super::{Breach, Invariant, TOLERANCE};
use crate::policy::{Allocation, AllocationInput};
use crate::tier::Tier;

/// No api's limit exceeds its ceiling.
pub(super) fn al4_ceilings(input: &AllocationInput, answer: &Allocation) -> Result<(), Breach> {
    let (n, s, d) = input.shape();
    for (api, step, dim) in cells(n, s, d) {
        let limit = answer.limit[input.at(api, step, dim)];
        let ceiling = input.ceiling[api * d + dim];
        if limit > ceiling * (1.0 + TOLERANCE) {
            return Err(Breach::new(
                Invariant::AL4,
                format!(
                    "api {api} gets {limit} of {} at step {step}, its ceiling is {ceiling}",
                    input.dimensions[dim].name()
                ),
            ));
        }
    }
    Ok(())
}

fn cells(n: usize, s: usize, d: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..n).flat_map(move |api| (0..s).flat_map(move |step| (0..d).map(move |dim| (api, step, dim))))
}

/// The apis of a tier hold at most its share of what is ready together, or what is due to them in any case.
pub(super) fn al4_shares(input: &AllocationInput, answer: &Allocation) -> Result<(), Breach> {
    let (n, s, d) = input.shape();
    for tier in Tier::ALL {
        let share = input.share_of(tier);
        if share >= 1.0 {
            continue;
        }
        let members: Vec<usize> = (0..n).filter(|&a| input.tiers[a] == tier).collect();
        for (step, dim) in (0..s).flat_map(|step| (0..d).map(move |dim| (step, dim))) {
            let held: f64 = (members.iter())
                .map(|&a| answer.limit[input.at(a, step, dim)])
                .sum();
            let allowed = share * input.capacity[step * d + dim];
            let due = || -> f64 {
                let each = members.iter().map(|&a| due(input, answer, a, step, dim));
                each.sum()
            };
            if held > allowed * (1.0 + TOLERANCE) && held > due() * (1.0 + TOLERANCE) {
                return Err(Breach::new(
                    Invariant::AL4,
                    format!(
                        "{} apis hold {held} of {} together at step {step}, their tier's max_share of \
                         {share} allows {allowed}",
                        tier.name(),
                        input.dimensions[dim].name()
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// What an api holds whatever its tier's share: a Gold floor, and what its lower step bound keeps of the
/// limit of the step before.
fn due(input: &AllocationInput, answer: &Allocation, api: usize, step: usize, dim: usize) -> f64 {
    let at = api * input.dimensions.len() + dim;
    let before = match step {
        0 => input.previous_limit[at],
        _ => answer.limit[input.at(api, step - 1, dim)],
    };
    let kept = if before < 0.0 || input.emergency[api] {
        0.0
    } else {
        before * input.step_down[api]
    };
    let floor = match input.tiers[api] {
        Tier::Gold => input.floor[at],
        Tier::Silver | Tier::Bronze => 0.0,
    };
    kept.max(floor).min(input.ceiling[at])
}
