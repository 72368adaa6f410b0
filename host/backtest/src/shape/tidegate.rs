//! Tidegate under the simulated clock: `flow`'s cycle, fed and obeyed as a daemon is.
//!
//! Every minute's samples go into a history in memory; shortly after each step the cycle runs with the
//! forecasts, tiers and plan of that instant; fits follow the daemon's schedule. A record is never
//! written, so a plan is published as soon as it is made.
//!
//! In an elastic pool an api has a pool of its own and gets what the plan *wants* there: that figure is
//! made for autoscalers. In a scarce pool it gets its limit, in whole replicas.

mod fitter;
mod past;
mod policies;
mod tally;
mod world;

pub use policies::Policies;
pub use tally::{Kept, Tally, Telling};

use super::case::{Case, CaseApi, Supply};
use super::scaler::{Failure, Observed, Scaler};
use super::service::Minute;
use super::simulate;
use fitter::Fitter;
use past::Past;
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::PoolId;
use tidegate_core::plan::Plan;
use tidegate_core::tier::Tier;
use tidegate_core::time::Timestamp;
use tidegate_flow::cycle::{self, PoolState, Settings};

/// Seconds from the end of a step to the cycle that knows it: one scrape, as for every other policy.
pub const LAG_S: usize = super::scaler::SYNC_S;

/// How Tidegate is run.
#[derive(Debug, Clone, PartialEq)]
pub struct GateOptions {
    /// As the daemon would.
    pub settings: Settings,
    /// Milliseconds between two fits of a series.
    pub refit_ms: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Gate<'a> {
    case: &'a Case,
    options: GateOptions,
    policies: &'a Policies,
    pool: PoolId,
    catalog: Catalog,
    past: Past,
    state: PoolState,
    fitter: Fitter,
    tally: Tally,
}

impl<'a> Gate<'a> {
    /// A daemon that has ingested the case's history.
    ///
    /// # Errors
    /// When the case makes no lawful catalog.
    pub fn new(
        case: &'a Case,
        policies: &'a Policies,
        options: GateOptions,
    ) -> Result<Self, Failure> {
        let (pool, catalog) = world::catalog(case)?;
        let mut past = Past::new(case.start);
        for (minute, row) in simulate::history(case).iter().enumerate() {
            feed(&mut past, case, minute * 60, row);
        }
        Ok(Self {
            case,
            fitter: Fitter::new(options.refit_ms),
            options,
            policies,
            pool,
            catalog,
            past,
            state: PoolState::default(),
            tally: Tally::new(case.apis.len()),
        })
    }

    /// What its forecasts and plans were like.
    #[must_use]
    pub fn into_tally(self) -> Tally {
        self.tally
    }

    fn turn(&mut self, now: Timestamp, is_scored: bool) -> Result<(), Failure> {
        let faults = self.fitter.catch_up(
            &fitter::Look {
                now,
                settings: &self.options.settings,
                catalog: &self.catalog,
                history: &self.past,
                pins: self.policies,
            },
            &mut self.state,
        )?;
        self.tally.faults(&faults);
        let output = cycle::run(
            &cycle::Input {
                now,
                pool: &self.pool,
                catalog: &self.catalog,
                history: &self.past,
                pins: self.policies,
                settings: &self.options.settings,
            },
            &self.state,
        )?;
        self.tally.faults(&output.faults);
        let step = self.options.settings.step;
        self.tally
            .foresee(self.case, now.floor(step), &output.forecasts, is_scored);
        self.state.commit(output.delta, output.record);
        Ok(())
    }

    /// Puts the plan into whole replicas.
    fn obey(&self, plan: &Plan, now: Timestamp, wishes: &mut [u32]) {
        match self.case.supply {
            Supply::Elastic => {
                let wanted = plan.wanted.get(plan.step_at(now)).copied().unwrap_or(0.0);
                wishes.fill(replicas(wanted.ceil()));
            }
            Supply::Scarce(all) => {
                let step = plan.step_at(now);
                let limit = |api: &CaseApi| match plan.api(&api.id) {
                    Some(row) => (row.limit.get(step).copied().unwrap_or(0.0), row.tier),
                    None => (0.0, api.tier),
                };
                let rows: Vec<(f64, Tier)> = self.case.apis.iter().map(limit).collect();
                wishes.copy_from_slice(&whole(&rows, all));
            }
        }
    }
}

fn replicas(cores: f64) -> u32 {
    cores.clamp(1.0, 1e6) as u32
}

/// Limits in whole replicas, by largest remainders (Hamilton's method; Balinski & Young, Fair
/// Representation, 2nd ed. 2001): each gets what fits wholly, and what is left goes to those who lack least
/// of one more, of alike ones to the higher tier. The sum stays within `all`, and nobody is left without one.
/// Tiers are in the limits already: to round the higher ones up first took a replica of a Bronze api that
/// was short for the tenth of one that a Gold api held beyond its p99, and a quarter more of Bronze's
/// minutes were missed for it.
fn whole(limits: &[(f64, Tier)], all: u32) -> Vec<u32> {
    let mut counts: Vec<u32> = limits
        .iter()
        .map(|(limit, _)| replicas(limit.floor()))
        .collect();
    let mut order: Vec<usize> = (0..limits.len()).collect();
    let part = |i: usize| limits[i].0 - limits[i].0.floor();
    order.sort_by(|&a, &b| {
        let by_part = part(b).total_cmp(&part(a));
        by_part.then(limits[b].1.cmp(&limits[a].1)).then(a.cmp(&b))
    });
    let mut left = i64::from(all) - counts.iter().map(|n| i64::from(*n)).sum::<i64>();
    for &i in order.iter().filter(|&&i| part(i) > 1e-6) {
        if left > 0 {
            counts[i] += 1;
            left -= 1;
        }
    }
    // Whoever had less than one whole replica was given it: the largest of the lowest tier pay.
    while left < 0 {
        let richest = order.iter().rev().copied().filter(|&i| counts[i] > 1);
        let Some(i) = richest.max_by_key(|&i| (std::cmp::Reverse(limits[i].1), counts[i])) else {
            break;
        };
        counts[i] -= 1;
        left += 1;
    }
    counts
}

fn feed(past: &mut Past, case: &Case, second: usize, minutes: &[Minute]) {
    for (api, minute) in case.apis.iter().zip(minutes) {
        past.add(&api.id, case.at(second), minute);
    }
}

impl Scaler for Gate<'_> {
    fn sync(&mut self, second: usize, _: &[Observed], wishes: &mut [u32]) -> Result<(), Failure> {
        let now = self.case.at(second);
        let into = now.since_ms(now.floor(self.options.settings.step)) / 1000;
        if into != i64::try_from(LAG_S).unwrap_or(0) {
            return Ok(());
        }
        self.turn(now, second >= self.case.score)?;
        if let Some(plan) = self.state.last.clone() {
            self.obey(&plan, now, wishes);
        }
        Ok(())
    }

    fn minute(&mut self, second: usize, minutes: &[Minute]) {
        feed(&mut self.past, self.case, second, minutes);
        self.tally.outcome(self.case.at(second), minutes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_become_whole_replicas_by_largest_remainders_and_the_higher_of_alike_tiers_first() {
        let gold = (3.5, Tier::Gold);
        assert_eq!(
            whole(&[gold, (2.9, Tier::Bronze), (1.6, Tier::Silver)], 8),
            [3, 3, 2]
        );
        assert_eq!(
            whole(&[gold, (2.9, Tier::Bronze), (1.6, Tier::Silver)], 7),
            [3, 3, 1]
        );
        assert_eq!(whole(&[(2.5, Tier::Bronze), gold], 6), [2, 4]);
        assert_eq!(whole(&[(3.0, Tier::Gold), (5.0, Tier::Bronze)], 8), [3, 5]);
    }

    #[test]
    fn nobody_is_left_without_a_replica_and_the_sum_stays_within_the_pool() {
        assert_eq!(
            whole(
                &[(5.0, Tier::Bronze), (3.0, Tier::Gold), (0.0, Tier::Bronze)],
                8
            ),
            [4, 3, 1]
        );
    }
}
