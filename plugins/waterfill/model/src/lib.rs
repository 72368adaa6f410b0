//! Waterfill: capacity is poured over the apis, tier by tier, and rises where peaks will be.
//!
//! Per step and dimension, in this order: Gold floors; what step bounds forbid to take away; then
//! demand at each tier's quantile, Gold before Silver before Bronze, within a tier by *weighted
//! max-min* (Bertsekas & Gallager, Data Networks, 2nd ed. 1992, section 6.5.2: all levels rise in
//! proportion to weight, whoever is satisfied drops out); what is left becomes headroom by weight.
//! A tenant's quota is filled by the same rule first, and its result caps the tenant's apis.
//!
//! **Each dimension is filled by itself.** Dominant resource fairness (Ghodsi et al., NSDI 2011)
//! couples them, but is not resource-monotone, as its authors show: more capacity may *lower* an
//! api's share, which nobody can explain at 09:05. The price is that an api short of cores may
//! hold memory that it cannot use; loans and the measured cost per request bound that price.
//!
//! **Time.** Needs are looked at from the end of the plan to its start: a grant is up `lead_steps`
//! before the demand, and earlier where the step bounds would make the climb too slow.
//!
//! **Churn.** While everybody's demand is met, a limit within the `hysteresis` band stays.
//! **Loans.** Where demand is unmet, guarantees that the forecast does not need are lent for one
//! step, never more than lender and borrower can undo within the step after (AL5).
//!
//! **Sharing.** Whether the apis of a tier lend, whether they borrow, and what part of the pool they hold
//! at most together is the tier's: it comes in the question, and the host refuses a plan that passes it
//! over.
//!
//! What is absent: state, prices, learning.

mod config;
mod loans;
mod reasons;
mod shares;
mod water;

pub use config::{CONFIG_SCHEMA, Config};
pub use loans::Loan;
pub use tidegate_fit::{Allocation, Dimension, Error, FitReport, PoolColumns, Tier};
pub use water::water_level;

use shares::Shares;
use tidegate_fit::{Cut, Level};

/// The plan for one pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Lawful grants, `[api][step][dimension]`; the limits have the loans already moved.
    pub allocation: Allocation,
    /// In order of step, dimension, lender.
    pub loans: Vec<Loan>,
    /// `[step][dimension]`: capacity that the pool should have.
    pub wanted: Vec<f64>,
    /// One sentence per api, for people.
    pub reasons: Vec<String>,
    /// Where wishes had to give way.
    pub report: FitReport,
}

/// Divides the pool over the coming steps.
///
/// Where no step bound binds, feeding the plan's first step back as the plan in force returns the
/// same plan. With `hysteresis` 0, an api's limit rises with capacity and with its own weight.
///
/// # Errors
/// [`Error::InvalidInput`] for wrong columns or configuration.
pub fn allocate(config: &Config, pool: &PoolColumns) -> Result<Output, Error> {
    config.validate()?;
    pool.validate()?;
    let (n, d) = (pool.len(), pool.width());
    let cells = n * pool.steps * d;
    let needs = shares::needs(pool, config.lead_steps);
    let mut plan = Allocation {
        guaranteed: vec![0.0; cells],
        limit: vec![0.0; cells],
    };
    let (mut lent, mut loans, mut cuts) = (vec![0.0; cells], Vec::new(), Vec::new());
    let mut before = pool.previous_limit.clone();

    for step in 0..pool.steps {
        let mut row = Allocation {
            guaranteed: vec![0.0; n * d],
            limit: vec![0.0; n * d],
        };
        let mut contended = vec![false; d];
        for (k, short) in contended.iter_mut().enumerate() {
            let shares = Shares::of(pool, &needs, step, k, &before);
            *short = shares.contended;
            for api in 0..n {
                row.guaranteed[api * d + k] =
                    shares::guaranteed(pool, shares.filled[api], api, step, k);
                row.limit[api * d + k] = shares.limit[api];
            }
            if !shares.contended {
                shares::hold(pool, config, &shares, step, k, &before, &mut row.limit);
            }
        }
        let report = tidegate_fit::fit_step(pool, step, &before, &mut row, &[])?;
        for (k, _) in contended.iter().enumerate().filter(|(_, short)| **short) {
            // Where even floors or step bounds are cut, nothing is unneeded enough to lend.
            let scarce = |cut: &Cut| cut.dimension == k && cut.level <= Level::StepBounds;
            if report.cuts.iter().any(scarce) {
                continue;
            }
            let cell = loans::Cell {
                pool,
                config,
                needs: &needs,
                step,
                dimension: k,
            };
            let made = cell.lend(&before, &mut row);
            for loan in &made {
                lent[pool.cell(loan.lender as usize, step, k)] += loan.amount;
            }
            loans.extend(made);
        }
        cuts.extend(report.cuts);
        for api in 0..n {
            let (from, to) = (api * d, pool.cell(api, step, 0));
            plan.guaranteed[to..to + d].copy_from_slice(&row.guaranteed[from..from + d]);
            plan.limit[to..to + d].copy_from_slice(&row.limit[from..from + d]);
        }
        before = row.limit;
    }
    // Moves nothing but the last bits that the transfers may have rounded up.
    tidegate_fit::fit_with_loans(pool, &mut plan, &lent)?;
    let total = reasons::total_demand(pool);
    let trades = reasons::Trades::of(&loans, n);
    let reasons = (0..n)
        .map(|api| reasons::reason(pool, &total, &plan, &trades, api))
        .collect();
    let report = FitReport { cuts };
    Ok(Output {
        wanted: pool.wanted(config.margin),
        allocation: plan,
        loans,
        reasons,
        report,
    })
}
