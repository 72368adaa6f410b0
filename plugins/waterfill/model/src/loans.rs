//! Loans: guarantees that the forecast does not need, moved to unmet demand for one step.
//!
//! Each loan covers one step, so every cycle reclaims all of them by not renewing them, and both
//! ways are kept open (AL5): a lender's lowered limit can climb back to its need of the next step,
//! and a borrower's raised limit can fall back to its own, within their step bounds (AL3). Loans
//! with a longer life were rejected: they need a reclaim protocol, and save nothing but renewals.
//!
//! Lenders give in proportion to what they can spare; borrowers are served as by the waterfill.

use tidegate_fit::{Allocation, PoolColumns, Tier, UNBOUNDED, step_ceiling, step_floor};

use crate::config::Config;
use crate::shares::by_tenant;
use crate::water::pour;

/// Transfers below this part of the capacity are not worth a line in the plan.
const DUST: f64 = 1e-6;

/// Guaranteed but unneeded capacity, given to another api until it expires.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loan {
    /// Index of the api that gives.
    pub lender: u32,
    /// Index of the api that gets.
    pub borrower: u32,
    /// Index into the pool's dimensions.
    pub dimension: u32,
    /// > 0, in the dimension's unit.
    pub amount: f64,
    /// First step of the loan.
    pub from_step: u32,
    /// The step at whose start the loan has expired.
    pub until_step: u32,
}

/// One step and dimension with unmet demand.
#[derive(Debug)]
pub(crate) struct Cell<'a> {
    pub(crate) pool: &'a PoolColumns,
    pub(crate) config: &'a Config,
    pub(crate) needs: &'a [f64],
    pub(crate) step: usize,
    pub(crate) dimension: usize,
}

impl Cell<'_> {
    /// Moves spare guarantees in `row` (`[api][dimension]`) to unmet demand. `before` is the limit
    /// of the step before.
    pub(crate) fn lend(&self, before: &[f64], row: &mut Allocation) -> Vec<Loan> {
        let (n, d, k) = (self.pool.len(), self.pool.width(), self.dimension);
        if !self.config.lend {
            return Vec::new();
        }
        let dust = DUST * self.pool.capacity[self.step * d + k];
        let spare: Vec<f64> = (0..n).map(|api| self.spare(before, row, api)).collect();
        let total: f64 = spare.iter().sum();
        let borrowed = self.borrowed(before, row, total);
        let used: f64 = borrowed.iter().sum();
        if total <= dust || used <= dust {
            return Vec::new();
        }
        let part = (used / total).min(1.0);
        let mut loans = Vec::new();
        let mut lenders = (0..n)
            .filter(|&i| spare[i] > 0.0)
            .map(|i| (i, spare[i] * part));
        let mut open = lenders.next();
        for (borrower, mut due) in borrowed.into_iter().enumerate() {
            while let Some((lender, has)) = open.filter(|_| due > 0.0) {
                let amount = due.min(has);
                due -= amount;
                open = if has > amount {
                    Some((lender, has - amount))
                } else {
                    lenders.next()
                };
                let (from, to) = (lender * d + k, borrower * d + k);
                if amount <= dust || row.limit[from] < amount {
                    continue;
                }
                row.limit[from] -= amount;
                row.limit[to] += amount;
                loans.push(self.loan(lender, borrower, amount));
            }
        }
        loans.sort_by_key(|loan| (loan.lender, loan.borrower));
        loans
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "apis and steps are counted in u32"
    )]
    fn loan(&self, lender: usize, borrower: usize, amount: f64) -> Loan {
        Loan {
            lender: lender as u32,
            borrower: borrower as u32,
            dimension: self.dimension as u32,
            amount,
            from_step: self.step as u32,
            until_step: self.step as u32 + 1,
        }
    }

    /// What an api can lend: its guarantee above its demand and reserve, as far as its limit may
    /// fall now and can be back at its need in the next step.
    fn spare(&self, before: &[f64], row: &Allocation, api: usize) -> f64 {
        let (pool, k) = (self.pool, self.dimension);
        let at = api * pool.width() + k;
        if pool.emergency[api] != 0 || pool.lends[api] == 0 {
            return 0.0;
        }
        let limit = row.limit[at];
        let demand = pool.demand[pool.cell(api, self.step, k)];
        // What runs right now counts as demand of the first step, whatever was forecast.
        let measured = if self.step == 0 { pool.usage[at] } else { 0.0 };
        let keeps = demand.max(measured);
        let unneeded = row.guaranteed[at] - keeps * (1.0 + self.config.loan_reserve);
        let next = (self.step + 1).min(pool.steps - 1);
        let need = self.needs[pool.cell(api, next, k)].max(limit);
        // A Gold floor may be reached at once (AL2): only what is above it has to be climbed to.
        let at_once = pool.tiers[api] == Tier::Gold && need <= pool.floor[at];
        let back = if at_once {
            0.0
        } else {
            need / pool.step_up[api]
        };
        let lowest = step_floor(pool, api, before[at]).max(back);
        unneeded.min(limit - lowest).max(0.0)
    }

    /// What each api borrows of `total`: its unmet demand, as far as its limit may rise now and
    /// can be back at its own in the next step, its ceiling, and its tenant's quota.
    fn borrowed(&self, before: &[f64], row: &Allocation, total: f64) -> Vec<f64> {
        let (pool, k, d) = (self.pool, self.dimension, self.pool.width());
        let mut cups: Vec<(f64, f64, f64)> = (0..pool.len())
            .map(|api| {
                let at = api * d + k;
                let limit = row.limit[at];
                let unmet = pool.demand[pool.cell(api, self.step, k)] - limit;
                let down = pool.step_down[api];
                let undoable = if down > 0.0 {
                    limit * (1.0 / down - 1.0)
                } else {
                    UNBOUNDED
                };
                let most = step_ceiling(pool, api, k, before[at]).min(pool.ceiling[at]) - limit;
                let room = if pool.borrows[api] == 0 {
                    0.0
                } else {
                    unmet.min(undoable).min(most).max(0.0)
                };
                (0.0, room, pool.weights[api])
            })
            .collect();
        for (tenant, own) in by_tenant(pool) {
            let quota = pool.quota[tenant * d + k];
            if quota < UNBOUNDED {
                let holds = own
                    .iter()
                    .fold(0.0, |sum, &api| sum + row.limit[api * d + k]);
                let (held, _) = pour(&cups, &pool.tiers, &own, (quota - holds).max(0.0));
                own.iter()
                    .zip(held)
                    .for_each(|(&api, held)| cups[api].1 = held);
            }
        }
        for (tier, own) in pool.bounded_tiers() {
            let share = pool.share_of(tier) * pool.capacity[self.step * d + k];
            let holds = own
                .iter()
                .fold(0.0, |sum, &api| sum + row.limit[api * d + k]);
            let (held, _) = pour(&cups, &pool.tiers, &own, (share - holds).max(0.0));
            own.iter()
                .zip(held)
                .for_each(|(&api, held)| cups[api].1 = held);
        }
        let everyone: Vec<usize> = (0..pool.len()).collect();
        pour(&cups, &pool.tiers, &everyone, total).0
    }
}
