//! AL1 to AL5 on an allocator's answer, in the order in which they precede each other. Each check
//! excuses only what a stronger invariant forces, so that no breach hides behind another.

use super::{Breach, Invariant, TOLERANCE, holding};
use crate::policy::{Allocation, AllocationInput};
use crate::tier::Tier;

/// Checks an answer against its question.
///
/// # Errors
/// The first breach in the order AL1 (with shape and sanity), AL4, AL5, AL2, AL3, and last the share of
/// a tier, which gives way to them.
pub fn check_allocation(input: &AllocationInput, answer: &Allocation) -> Result<(), Breach> {
    shape(input, answer)?;
    al1_capacity(input, answer)?;
    al4_quota(input, answer)?;
    holding::al4_ceilings(input, answer)?;
    al5_loans(input, answer)?;
    al2_floors(input, answer)?;
    al3_steps(input, answer)?;
    holding::al4_shares(input, answer)
}

fn shape(input: &AllocationInput, answer: &Allocation) -> Result<(), Breach> {
    let (n, s, d) = input.shape();
    let breach = |detail| Err(Breach::new(Invariant::AL1, detail));
    let lengths = [
        ("guaranteed", answer.guaranteed.len(), n * s * d),
        ("limit", answer.limit.len(), n * s * d),
        ("wanted", answer.wanted.len(), s * d),
        ("reasons", answer.reasons.len(), n),
    ];
    for (what, have, want) in lengths {
        if have != want {
            return breach(format!("{what} has {have} entries, {want} were asked for"));
        }
    }
    let columns = [
        ("guaranteed", &answer.guaranteed),
        ("limit", &answer.limit),
        ("wanted", &answer.wanted),
    ];
    for (what, values) in columns {
        if let Some(i) = values.iter().position(|v| !(v.is_finite() && *v >= 0.0)) {
            return breach(format!("{what}[{i}] is {}, not finite and >= 0", values[i]));
        }
    }
    Ok(())
}

/// The sum of limits never exceeds what is ready; exact, summed in the order of the apis.
fn al1_capacity(input: &AllocationInput, answer: &Allocation) -> Result<(), Breach> {
    let (n, s, d) = input.shape();
    for step in 0..s {
        for dim in 0..d {
            let sum: f64 = (0..n)
                .map(|api| answer.limit[input.at(api, step, dim)])
                .sum();
            let ready = input.capacity[step * d + dim];
            if sum > ready {
                return Err(Breach::new(
                    Invariant::AL1,
                    format!(
                        "limits of {} sum to {sum} at step {step}, only {ready} is ready",
                        input.dimensions[dim].name()
                    ),
                ));
            }
        }
    }
    Ok(())
}

fn al4_quota(input: &AllocationInput, answer: &Allocation) -> Result<(), Breach> {
    let (n, s, d) = input.shape();
    let tenants = input.quota.len() / d.max(1);
    for step in 0..s {
        for dim in 0..d {
            let mut used = vec![0.0; tenants];
            for api in 0..n {
                used[input.tenants[api] as usize] += answer.limit[input.at(api, step, dim)];
            }
            for (tenant, &sum) in used.iter().enumerate() {
                let quota = input.quota[tenant * d + dim];
                if sum > quota * (1.0 + TOLERANCE) {
                    return Err(Breach::new(
                        Invariant::AL4,
                        format!("tenant {tenant} gets {sum} at step {step}, its quota is {quota}"),
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Limit plus what can be reclaimed covers a Gold floor whenever the Gold floors fit: the pool, and
/// the tenant's quota (AL4 precedes AL2). A floor above the api's own ceiling counts as the
/// ceiling.
fn al2_floors(input: &AllocationInput, answer: &Allocation) -> Result<(), Breach> {
    let (n, s, d) = input.shape();
    let tenants = input.quota.len() / d.max(1);
    let gold = |api: usize| input.tiers[api] == Tier::Gold;
    for step in 0..s {
        for dim in 0..d {
            let floor = |api: usize| input.floor[api * d + dim].min(input.ceiling[api * d + dim]);
            let mut per_tenant = vec![0.0; tenants];
            (0..n)
                .filter(|&a| gold(a))
                .for_each(|a| per_tenant[input.tenants[a] as usize] += floor(a));
            let fits_quota = |a: usize| {
                per_tenant[input.tenants[a] as usize]
                    <= input.quota[input.tenants[a] as usize * d + dim]
            };
            // What quotas leave of the floors is what the pool has to fit.
            let needed: f64 = (0..tenants)
                .map(|t| per_tenant[t].min(input.quota[t * d + dim]))
                .sum();
            if needed > input.capacity[step * d + dim] * (1.0 - TOLERANCE) {
                continue; // they do not fit: all are cut in proportion, and the host raises an alert
            }
            for api in (0..n).filter(|&a| gold(a) && fits_quota(a)) {
                let lent: f64 = answer
                    .loans
                    .iter()
                    .filter(|l| l.lender as usize == api && l.dimension as usize == dim)
                    .filter(|l| (l.from_step as usize..l.until_step as usize).contains(&step))
                    .map(|l| l.amount)
                    .sum();
                let covered = answer.limit[input.at(api, step, dim)] + lent;
                if covered < floor(api) * (1.0 - TOLERANCE) - f64::MIN_POSITIVE {
                    return Err(Breach::new(
                        Invariant::AL2,
                        format!(
                            "gold api {api} is covered for {covered} at step {step}, its floor is {}",
                            floor(api)
                        ),
                    ));
                }
            }
        }
    }
    Ok(())
}

/// The first step's limit against the plan in force. It may fall below its bound only where a
/// stronger invariant takes it there: AL1 or AL4 in this dimension, or Gold floors (AL2) that the
/// cut pays for. It may rise above its bound only up to its floor (Gold, AL2).
fn al3_steps(input: &AllocationInput, answer: &Allocation) -> Result<(), Breach> {
    let (n, _, d) = input.shape();
    for dim in 0..d {
        // Whether keeping every lower bound and every Gold floor fits at all.
        let bound = |api: usize| {
            let previous = input.previous_limit[api * d + dim];
            if previous < 0.0 || input.emergency[api] {
                0.0
            } else {
                previous * input.step_down[api]
            }
        };
        let gold_floor = |api: usize| {
            let floor = input.floor[api * d + dim].min(input.ceiling[api * d + dim]);
            if input.tiers[api] == Tier::Gold {
                floor
            } else {
                0.0
            }
        };
        let least = |api: usize| {
            bound(api)
                .max(gold_floor(api))
                .min(input.ceiling[api * d + dim])
        };
        let tenants = input.quota.len() / d.max(1);
        let mut per_tenant = vec![0.0; tenants];
        (0..n).for_each(|a| per_tenant[input.tenants[a] as usize] += least(a));
        let pool_fits = per_tenant.iter().sum::<f64>() <= input.capacity[dim] * (1.0 - TOLERANCE);
        for api in (0..n).filter(|&a| !input.emergency[a]) {
            let previous = input.previous_limit[api * d + dim];
            if previous < 0.0 {
                continue;
            }
            let limit = answer.limit[input.at(api, 0, dim)];
            let most = (previous * input.step_up[api]).max(gold_floor(api));
            // From nothing, a factor leads nowhere: the first grant may be anything.
            if previous > 0.0 && limit > most * (1.0 + TOLERANCE) {
                return Err(Breach::new(
                    Invariant::AL3,
                    format!(
                        "api {api} rises from {previous} to {limit}, at most {most} is allowed"
                    ),
                ));
            }
            let tenant = input.tenants[api] as usize;
            let fits = pool_fits
                && per_tenant[tenant] <= input.quota[tenant * d + dim] * (1.0 - TOLERANCE);
            let lent: f64 = answer
                .loans
                .iter()
                .filter(|l| {
                    l.lender as usize == api && l.dimension as usize == dim && l.from_step == 0
                })
                .map(|l| l.amount)
                .sum();
            let fewest = (previous * input.step_down[api]).min(input.ceiling[api * d + dim]);
            if fits && limit + lent < fewest * (1.0 - TOLERANCE) {
                return Err(Breach::new(
                    Invariant::AL3,
                    format!("api {api} falls from {previous} to {limit}, at least {fewest} is due"),
                ));
            }
        }
    }
    Ok(())
}

fn al5_loans(input: &AllocationInput, answer: &Allocation) -> Result<(), Breach> {
    let (n, s, d) = input.shape();
    for (i, loan) in answer.loans.iter().enumerate() {
        let breach = |what: &str| Err(Breach::new(Invariant::AL5, format!("loan {i} {what}")));
        if loan.lender as usize >= n || loan.borrower as usize >= n || loan.dimension as usize >= d
        {
            return breach("names an api or dimension that is not there");
        }
        if loan.lender == loan.borrower {
            return breach("is from an api to itself");
        }
        if !(loan.amount.is_finite() && loan.amount > 0.0) {
            return breach("has no positive amount");
        }
        if loan.from_step >= loan.until_step || loan.until_step as usize > s {
            return breach("has no end within the plan");
        }
        let (lender, borrower) = (loan.lender as usize, loan.borrower as usize);
        let of = |api: usize| input.tiers[api].name();
        if !input.lends[lender] {
            return breach(&format!(
                "is from api {lender} of tier {}, which does not lend",
                of(lender)
            ));
        }
        if !input.borrows[borrower] {
            return breach(&format!(
                "is to api {borrower} of tier {}, which does not borrow",
                of(borrower)
            ));
        }
    }
    // What is lent is guaranteed and unused: limit + lent <= guaranteed + borrowed headroom.
    for step in 0..s {
        for dim in 0..d {
            let mut lent = vec![0.0; n];
            for l in &answer.loans {
                if l.dimension as usize == dim
                    && (l.from_step as usize..l.until_step as usize).contains(&step)
                {
                    lent[l.lender as usize] += l.amount;
                }
            }
            for (api, &amount) in lent.iter().enumerate() {
                let guaranteed = answer.guaranteed[input.at(api, step, dim)];
                if amount > guaranteed * (1.0 + TOLERANCE) {
                    return Err(Breach::new(
                        Invariant::AL5,
                        format!(
                            "api {api} lends {amount} at step {step}, only {guaranteed} is guaranteed"
                        ),
                    ));
                }
            }
        }
    }
    Ok(())
}
