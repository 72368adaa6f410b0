//! Cuts what came over a stretch at the edges of steps.
//!
//! Within the stretch nothing is known, so it is spread evenly; counts stay integers: a step gets the
//! integer part of what has come by its end, less what it had at its beginning, so that the parts add
//! up to the whole whatever the edges.

use super::Books;
use super::account::Sum;
use super::stream::{Added, Amount};
use crate::histogram::share;
use crate::mapping::How;

/// The part of `amount` between `from` and `to` of `whole`.
fn part(amount: f64, from: i64, to: i64, whole: i64) -> f64 {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if from == 0 && to == whole {
        return amount;
    }
    if amount <= EXACT && libm::floor(amount).to_bits() == amount.to_bits() {
        let n = amount as u64;
        return (share(n, to, whole) - share(n, from, whole)) as f64;
    }
    let until = |at: i64| amount * (at.clamp(0, whole) as f64 / whole as f64);
    until(to) - until(from)
}

impl Books {
    /// Adds an amount over a stretch to an account; whether any of it could be added.
    pub(super) fn spread(
        &mut self,
        account: u32,
        how: How,
        factor: f64,
        added: &Added<'_>,
        now: i64,
    ) -> bool {
        let step = self.terms.step.ms();
        let of = &mut self.accounts[account as usize];
        if of.begun == i64::MIN {
            of.begun = now;
        }
        let given = of.given;
        // What belongs into a step that was given out goes into the next one, but no more than a
        // step's length of it: an hour that arrives at once is no burst.
        let reach = given.saturating_sub(step);
        let (mut from, mut to) = (added.from, added.to);
        let mut kept = None;
        let mut amount = added.amount;
        if to <= reach {
            return amount.is_nothing();
        }
        if from < given && !amount.is_nothing() {
            self.tally.moved += 1;
        }
        if from < reach {
            let whole = to - from;
            amount = match amount {
                Amount::Number(n) => Amount::Number(part(n, reach - from, whole, whole)),
                Amount::Histogram(h) => {
                    Amount::Histogram(kept.insert(h.part(reach - from, whole, whole)))
                }
            };
            self.tally.cut += 1;
        }
        from = from.max(given);
        to = to.max(from + 1);
        let whole = to - from;
        let mut start = from - from.rem_euclid(step);
        while start < to {
            let (a, b) = (start.max(from) - from, (start + step).min(to) - from);
            let open = self.step_of(account, start, now);
            let before = open.weight();
            match (amount, &mut open.sum) {
                // Requests have no unit.
                (Amount::Number(n), Sum::Amount(sum)) if how == How::Count => {
                    *sum += part(n, a, b, whole);
                }
                (Amount::Number(n), Sum::Amount(sum)) => *sum += part(n * factor, a, b, whole),
                (Amount::Histogram(h), Sum::Amount(sum)) => {
                    *sum += h.part(a, b, whole).count() as f64;
                }
                (Amount::Histogram(h), Sum::Latency(there)) if h.has_bounds() => {
                    there.merge(&h.part(a, b, whole).distribution(factor));
                }
                _ => {}
            }
            let after = open.weight();
            self.open = self.open + after - before;
            start += step;
        }
        true
    }
}
