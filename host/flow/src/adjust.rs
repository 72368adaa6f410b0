//! Answers a departure from the plan within seconds, between two cycles.
//!
//! A cycle knows whole steps and forecasts; what begins within a step it learns a step too late. This
//! room is asked every few seconds. It holds the freshest measured use against what the plan in force
//! gives, in one term: *need*, which is use over the part of a grant that is meant to be used, the same
//! target utilisation that demand plans with. Where use fills what there is, it says no more than that,
//! and the requests that came times their learned cost say what was needed.
//!
//! **A departure** is a need beyond what the plan gives, by more than a tolerance (a tenth, as
//! Kubernetes' autoscaler has it). From then on the api has a [`Floor`]: the highest need of the last
//! minutes. It is demand that is known better than the forecast knew it, so the bound allocator is asked
//! again with it, over the rest of the plan in force, and its answer is checked as every answer is (AL1
//! to AL5) and published as a new generation (PL1). Loans that the api gave are thereby reclaimed, what
//! others do not need is lent by tier and with expiry, and the capacity that the pool wants rises.
//! Rejected: to move grants by a second rule of the host's own. Two rules that divide one pool fight.
//!
//! **An amendment prolongs nothing.** Its last step and its expiry are its parent's: only a cycle, which
//! forecasts, may say more of the future. It asks no forecaster and no tierer.
//!
//! **Giving back is slow.** The floor is a maximum over a sliding window (five minutes, the
//! stabilisation of Kubernetes' autoscaler), cycles keep to it in the steps before it ends, and it is
//! they who give back. Too little for a minute is an incident, too much for five is a few cents.
//!
//! **What is moved is worth a plan.** Where the allocator gives nobody more, as in a pool that has
//! nothing left, the plan in force stays, and the alert says who lacks how much.

mod amend;
mod floors;

pub use floors::{Floor, Floors, Seen};

use crate::allocate;
use std::collections::BTreeMap;
use tidegate_core::alert::{Alert, AlertKind, Severity};
use tidegate_core::catalog::Pool;
use tidegate_core::ids::ApiId;
use tidegate_core::plan::Plan;
use tidegate_core::policy::{AllocationInput, Allocator, Kept};
use tidegate_core::roster::{Fault, Roster};
use tidegate_core::time::Timestamp;
use tidegate_core::units::Dimension;

/// How departures are seen and answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Part of what is given by which a need must exceed it to be a departure.
    pub tolerance: f64,
    /// Milliseconds over which use is averaged.
    pub window_ms: i64,
    /// Milliseconds after which a measure says nothing of now.
    pub oldest_ms: i64,
    /// Milliseconds for which a measured need is kept to.
    pub hold_ms: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tolerance: 0.1,
            window_ms: 15_000,
            oldest_ms: 60_000,
            hold_ms: 300_000,
        }
    }
}

/// What was measured of an api in a dimension, freshest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Use, on average over the window.
    pub used: f64,
    /// What requests of the same window need at their learned cost, where both are known.
    pub asked: Option<f64>,
    /// End of the window.
    pub at: Timestamp,
    /// Part of a grant that is meant to be used.
    pub aim: f64,
}

/// What the room needs, for one pool.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The time.
    pub now: Timestamp,
    /// Root seed.
    pub seed: u64,
    /// How.
    pub settings: Settings,
    /// The pool.
    pub pool: &'a Pool,
    /// The plan in force.
    pub plan: &'a Plan,
    /// What the allocator was asked for it.
    pub asked: &'a AllocationInput,
    /// The freshest measures; what is not in it was not measured lately.
    pub measured: &'a BTreeMap<(ApiId, Dimension), Measured>,
    /// Floors by now.
    pub floors: &'a Floors,
    /// Who allocates.
    pub roster: &'a Roster<dyn Allocator>,
    /// What the allocator returned last.
    pub state: &'a Kept,
}

/// What is to be kept, published and raised.
#[derive(Debug, Clone)]
pub struct Output {
    /// Floors from now on.
    pub floors: Floors,
    /// The amended plan; `None`: the one in force stays.
    pub amended: Option<allocate::Output>,
    /// Who lacks what for lack of capacity, and what was done.
    pub alerts: Vec<Alert>,
}

/// No allocator gave a usable plan; the one in force stays.
pub type Error = allocate::Error;

/// Looks, and amends the plan where it must.
///
/// # Errors
/// When somebody departs and nobody gives a usable plan.
pub fn run(input: &Input<'_>, faults: &mut Vec<Fault>) -> Result<Output, Error> {
    let mut floors = input.floors.clone();
    let mut departed = vec![];
    for (row, api) in input.plan.apis.iter().enumerate() {
        for (d, &dimension) in input.plan.dimensions.iter().enumerate() {
            let key = (api.api.clone(), dimension);
            let Some(measured) = input.measured.get(&key) else {
                continue;
            };
            let given = given(input.plan, input.pool, input.now, row, d);
            let need = need(measured, given);
            let seen = Seen {
                at: measured.at,
                need,
                used: measured.used,
                given,
            };
            let is_beyond = need > given * (1.0 + input.settings.tolerance);
            if floors.see(&key, seen, is_beyond, input.now, input.settings.hold_ms) && is_beyond {
                departed.push((row, d, seen));
            }
        }
    }
    floors.expire(input.now, input.settings.hold_ms);
    let mut output = Output {
        floors,
        amended: None,
        alerts: vec![],
    };
    let is_over = input.now >= input.plan.expires_at || input.now >= input.plan.grid.end();
    if departed.is_empty() || is_over || !amend::fits(input) {
        return Ok(output);
    }
    let amended = amend::run(input, &output.floors, &departed, faults)?;
    output.alerts = contention(input, &amended.plan, &departed);
    output.amended = amend::moves(input, &amended.plan).then_some(amended);
    Ok(output)
}

/// What an api can count on now: its limit, and in a pool that an autoscaler shrinks to what was
/// wanted its part of that.
fn given(plan: &Plan, pool: &Pool, now: Timestamp, row: usize, d: usize) -> f64 {
    let (step, width) = (plan.step_at(now), plan.dimensions.len());
    let at = step * width + d;
    let dimension = plan.dimensions[d];
    let limit = plan.apis[row].limit[at];
    let least = pool.min.get(dimension).unwrap_or(f64::INFINITY);
    if least >= pool.ready.get(dimension).unwrap_or(0.0) {
        return limit;
    }
    let granted: f64 = plan.apis.iter().map(|a| a.limit[at]).sum();
    let there = plan.wanted[at].max(least);
    if granted > there {
        limit * (there / granted)
    } else {
        limit
    }
}

/// Above so much of what is given, use is what was given and not what was needed.
const FILLED: f64 = 0.95;

/// The grant of which the measured use would be the part that is meant to be used.
fn need(measured: &Measured, given: f64) -> f64 {
    let used = match measured.asked {
        Some(asked) if measured.used >= FILLED * given => measured.used.max(asked),
        _ => measured.used,
    };
    used / measured.aim
}

/// Who departed and got less than it needs all the same.
fn contention(input: &Input<'_>, plan: &Plan, departed: &[(usize, usize, Seen)]) -> Vec<Alert> {
    let mut short: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut missing: BTreeMap<usize, f64> = BTreeMap::new();
    for &(row, d, seen) in departed {
        let gets = plan.apis[row].limit[d];
        let lacks = seen.need - gets;
        if lacks > 1e-9 * seen.need {
            let unit = plan.dimensions[d].unit();
            short.entry(d).or_default().push(format!(
                "{} ({}) needs {:.1} {unit} and had {:.1}: it gets {gets:.1}",
                plan.apis[row].api,
                plan.apis[row].tier.name(),
                seen.need,
                seen.given,
            ));
            *missing.entry(d).or_default() += lacks;
        }
    }
    let alert = |(d, who): (usize, Vec<String>)| {
        let dimension = plan.dimensions[d];
        let unit = dimension.unit();
        let now = input.plan.step_at(input.now) * plan.dimensions.len() + d;
        let before = |row: usize| input.plan.apis[row].limit[now];
        let cut: Vec<String> = (0..plan.apis.len())
            .filter(|&row| plan.apis[row].limit[d] < before(row) * (1.0 - 1e-9))
            .map(|row| {
                let to = plan.apis[row].limit[d];
                format!("{} from {:.1} to {to:.1}", plan.apis[row].api, before(row))
            })
            .collect();
        let taken = match cut.is_empty() {
            true => "nobody has anything left that it does not need".to_owned(),
            false => format!("taken back: {}", cut.join(", ")),
        };
        Alert {
            kind: AlertKind::Contention,
            severity: Severity::Warning,
            pool: Some(plan.pool.clone()),
            api: None,
            subject: dimension.name().into(),
            at: input.now,
            message: format!(
                "measured use departs from the plan of pool {}: {}; {taken}. The pool is asked for {:.1} \
                 {unit}. Add {:.1} {unit} or shed load",
                plan.pool,
                who.join(", "),
                plan.wanted[d],
                missing[&d],
            ),
        }
    };
    short.into_iter().map(alert).collect()
}

#[cfg(test)]
mod tests;
