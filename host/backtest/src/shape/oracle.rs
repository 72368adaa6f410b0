//! The limit: whoever knows every second of the future, and the service itself.
//!
//! Minute by minute, the smallest number of replicas with which the minute keeps its objective, found
//! by running the service model; capacity that starts is asked for as much earlier as it takes. In a
//! scarce pool Gold is served before Silver before Bronze. It is greedy (a minute is not made dearer so
//! that the next is cheaper), so it is a limit for policies that act by the minute, not a proof of
//! optimality.

use super::case::{Case, CaseApi, Supply};
use super::service::{Minute, Service};

/// More replicas than this are not searched for.
const MOST: u32 = 1 << 20;

/// Replicas per api and minute, from where policies begin to the end.
#[must_use]
pub fn replicas(case: &Case) -> Vec<Vec<u32>> {
    let mut order: Vec<usize> = (0..case.apis.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(case.apis[i].tier));
    let mut services = vec![Service::default(); case.apis.len()];
    let mut plan: Vec<Vec<u32>> = vec![vec![]; case.apis.len()];
    for minute in case.begin / 60..case.end / 60 {
        let mut left = match case.supply {
            Supply::Elastic => u32::MAX,
            // Everybody keeps one.
            Supply::Scarce(all) => all.saturating_sub(u32::try_from(order.len()).unwrap_or(0)),
        };
        for &i in &order {
            let guess = plan[i].last().copied().unwrap_or(case.apis[i].first);
            let need = least(&services[i], &case.apis[i], minute, guess);
            let count = (need - 1).min(left) + 1;
            left -= count - 1;
            plan[i].push(count);
            run(&mut services[i], &case.apis[i], minute, count);
        }
    }
    plan
}

/// The most replicas that each api ever needs.
#[must_use]
pub fn peaks(plan: &[Vec<u32>]) -> Vec<u32> {
    let most = |row: &Vec<u32>| row.iter().copied().max().unwrap_or(1);
    plan.iter().map(most).collect()
}

/// The smallest number of replicas with which a minute keeps its objective.
fn least(service: &Service, api: &CaseApi, minute: usize, guess: u32) -> u32 {
    let is_enough = |count: u32| !run(&mut service.clone(), api, minute, count).is_bad();
    let (mut short, mut enough) = (0, guess.max(1));
    while !is_enough(enough) && enough < MOST {
        short = enough;
        enough *= 2;
    }
    // Loads seldom move far in a minute: look close by first.
    if short == 0 && enough > 2 && !is_enough(enough - 2) {
        short = enough - 2;
    }
    while enough - short > 1 {
        let middle = short + (enough - short) / 2;
        if is_enough(middle) {
            enough = middle;
        } else {
            short = middle;
        }
    }
    enough
}

fn run(service: &mut Service, api: &CaseApi, minute: usize, replicas: u32) -> Minute {
    let mut measured = Minute::default();
    for requests in &api.requests[minute * 60..(minute + 1) * 60] {
        let cost = f64::from(api.costs[minute]);
        measured.add(&service.tick(f64::from(*requests), cost, replicas));
    }
    measured
}
