//! One sentence per api: where its share is tightest, and what it lends or borrows.

use std::fmt::Write as _;

use tidegate_fit::{Allocation, PoolColumns};

use crate::loans::Loan;

/// Why this api got what it got, in the words of an operator.
/// `total` is the demand of all, `[step][dimension]`.
pub(crate) fn reason(
    pool: &PoolColumns,
    total: &[f64],
    plan: &Allocation,
    trades: &Trades,
    api: usize,
) -> String {
    let tier = pool.tiers[api].name();
    let (mut tightest, mut at) = (f64::INFINITY, (0, 0));
    for step in 0..pool.steps {
        for k in 0..pool.width() {
            let cell = pool.cell(api, step, k);
            let demand = pool.demand[cell];
            let covered = if demand > 0.0 {
                plan.limit[cell] / demand
            } else {
                f64::INFINITY
            };
            if covered < tightest {
                (tightest, at) = (covered, (step, k));
            }
        }
    }
    let (step, k) = at;
    let cell = pool.cell(api, step, k);
    let (limit, demand, name) = (
        plan.limit[cell],
        pool.demand[cell],
        pool.dimensions[k].name(),
    );
    let mut text = if tightest.is_infinite() {
        format!("{tier}: no demand foreseen")
    } else if tightest < 1.0 - 1e-9 {
        let capacity = pool.capacity[step * pool.width() + k];
        let total = total[step * pool.width() + k];
        let why = if total > capacity {
            format!("the pool has {capacity:.4} for a demand of {total:.4}")
        } else {
            "its ceiling, quota or step bounds allow no more".to_owned()
        };
        let percent = 100.0 * tightest;
        format!("{tier}: {percent:.0} % of its {name} demand of {demand:.4} at step {step}; {why}")
    } else {
        format!(
            "{tier}: demand covered; tightest is {name} at step {step}, {limit:.4} for {demand:.4}"
        )
    };
    if let Some(step) = trades.borrows[api] {
        let _ = write!(text, "; borrows from step {step} on");
    }
    if let Some(step) = trades.lends[api] {
        let _ = write!(text, "; lends unused guarantee from step {step} on");
    }
    text
}

/// Per api the first step at which it borrows, and at which it lends.
#[derive(Debug)]
pub(crate) struct Trades {
    borrows: Vec<Option<u32>>,
    lends: Vec<Option<u32>>,
}

impl Trades {
    /// Of `loans`, which are in order of step.
    pub(crate) fn of(loans: &[Loan], apis: usize) -> Self {
        let mut trades = Self {
            borrows: vec![None; apis],
            lends: vec![None; apis],
        };
        for loan in loans {
            trades.borrows[loan.borrower as usize].get_or_insert(loan.from_step);
            trades.lends[loan.lender as usize].get_or_insert(loan.from_step);
        }
        trades
    }
}

/// The demand of all apis at their tiers' quantiles, `[step][dimension]`.
pub(crate) fn total_demand(pool: &PoolColumns) -> Vec<f64> {
    let cells = pool.steps * pool.width();
    let mut total = vec![0.0; cells];
    for (at, demand) in pool.demand.iter().enumerate() {
        total[at % cells] += demand;
    }
    total
}
