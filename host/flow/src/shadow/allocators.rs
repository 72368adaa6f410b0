//! Two plans for one pool, priced by what was needed.
//!
//! The price of a plan in a step, in parts of what the pool's apis needed of a dimension, averaged over
//! its dimensions:
//!
//! ```text
//! price = 10 * sum_i w_i max(0, need_i - limit_i) / sum_i w_i need_i      shortage, by tier
//!       + max(0, wanted - need) / need * unit cost                         slack, where the pool is moved
//!       + 10 * max(0, need - wanted) / need                                and what is not even wanted
//!       + sum_i |limit_i - limit_i before| / (20 * capacity)               churn
//! ```
//!
//! `w_i` are the question's weights, so that a core that Gold lacks costs four times one that Bronze
//! lacks; `unit cost` is the dimension's share of what the pool's declared unit costs add up to, times the
//! number of dimensions (1 where none are declared). A core short costs as much as ten that idle: what
//! backtests hold against each other, violations and resource-hours, at the exchange that operators make
//! who buy p99. In a pool that nobody moves there is no slack to be saved, since what one api does not
//! hold another does. Needs are those of [`super::needs`].
//!
//! Priced is the step in which a plan is made, and no later one: a plan is replaced before those come.
//! The least unit of a difference is [`FLOOR`], a hundredth of the need short: beside an incumbent that
//! never was short, less than that is nothing.
//!
//! A shadow must not be dear: in pools of many apis the silent one is asked each few steps ([`every`]), and
//! of more than [`PRICED`] apis each few are priced, evenly over their order. What the pool as a whole
//! needed is then reckoned from those, by the part that was foreseen of them. So who is starved alone among
//! thousands may not be seen; a tier that is, or a tenant, is.

use super::evidence::{Name, read_kept, write_kept};
use super::needs::{Asked, Look, Measured, has_come};
use super::trial::Waiting as Kind;
use super::{Input, Output, Scene, counts, objectives};
use crate::allocate::is_moved;
use crate::cycle::Left;
use crate::demand::Learned;
use crate::demand::codec::{Reader, Writer};
use std::collections::BTreeMap;
use tidegate_core::ids::{ApiId, PoolId};
use tidegate_core::invariant;
use tidegate_core::policy::{Allocation, AllocationInput, Allocator, CallError, Kept};
use tidegate_core::ports::storage::StoreError;
use tidegate_core::roster::Member;
use tidegate_core::time::Timestamp;
use tidegate_core::units::Dimension;

/// Price of a unit that was short, in units that idle.
const SHORT: f64 = 10.0;

/// Price of moving the whole pool from some apis to others.
const CHURN: f64 = 0.1;

/// Least unit of a difference.
pub const FLOOR: f64 = 0.1;

/// Cells of a question, apis by steps by dimensions, that are asked in each step.
const CELLS: usize = 30_000;

/// Apis of a pool that are priced at most.
pub const PRICED: usize = 1_000;

/// Plans of a pool that wait for their step at most.
const WAITING: usize = 8;

/// Steps from one silent question of a pool to the next.
#[must_use]
pub fn every(cells: usize) -> i64 {
    i64::try_from(cells.div_ceil(CELLS)).unwrap_or(1).max(1)
}

/// One plan's side of a step.
#[derive(Debug, Clone, PartialEq)]
struct Face {
    /// `[api][dimension]`.
    limit: Vec<f64>,
    /// `[dimension]`.
    wanted: Vec<f64>,
    /// Price of its churn.
    churn: f64,
}

/// Two plans for a step.
#[derive(Debug, Clone, PartialEq)]
struct Pair {
    start: Timestamp,
    dimensions: Vec<Dimension>,
    /// `[dimension]`: what was foreseen of all apis over what was of those that are priced.
    whole: Vec<f64>,
    apis: Vec<ApiId>,
    weights: Vec<f64>,
    /// `[api][dimension]`: what was foreseen.
    median: Vec<f64>,
    demand: Vec<f64>,
    silent: Face,
    serving: Face,
}

/// What the silent one would have in force.
#[derive(Debug, Clone, PartialEq)]
struct Own {
    /// From when on.
    at: Timestamp,
    /// By api, per dimension: guaranteed, then limit.
    grants: BTreeMap<ApiId, Vec<f64>>,
}

/// One pool.
#[derive(Debug, Clone, PartialEq, Default)]
struct Division {
    kept: Kept,
    own: Option<Own>,
    asked: Option<Timestamp>,
    waiting: Vec<Pair>,
}

/// What is known by pool.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pools(BTreeMap<PoolId, Division>);

/// Prices what has passed, and asks.
pub(super) fn follow(
    input: &Input<'_>,
    member: &Member<dyn Allocator>,
    output: &mut Output,
) -> Result<(), StoreError> {
    for scene in input.scenes {
        let Kind::Pools(pools) = &mut output.trial.waiting else {
            return Ok(());
        };
        let mut division = pools.0.remove(scene.pool).unwrap_or_default();
        let done = settle(input, scene, &mut division, output);
        ask(input, scene, member, &mut division, output);
        if let Kind::Pools(pools) = &mut output.trial.waiting {
            pools.0.insert(scene.pool.clone(), division);
        }
        done?;
    }
    if let Kind::Pools(pools) = &mut output.trial.waiting {
        pools
            .0
            .retain(|pool, _| input.catalog.pools.contains_key(pool));
    }
    Ok(())
}

/// Prices the pairs whose step has passed.
fn settle(
    input: &Input<'_>,
    scene: &Scene<'_>,
    division: &mut Division,
    output: &mut Output,
) -> Result<(), StoreError> {
    let (come, waiting) = std::mem::take(&mut division.waiting)
        .into_iter()
        .partition(|p: &Pair| has_come(p.start, input.step, input.now));
    division.waiting = waiting;
    for pair in come {
        if let Some(prices) = price(input, scene, &pair)? {
            let block = output.trial.block(pair.start);
            let subject = scene.pool.as_str();
            output
                .trial
                .compare(Name::Cost, subject, block, prices, FLOOR);
        }
    }
    Ok(())
}

/// Prices of the silent plan and of the one that served; `None` where too little was measured.
fn price(
    input: &Input<'_>,
    scene: &Scene<'_>,
    pair: &Pair,
) -> Result<Option<(f64, f64)>, StoreError> {
    let Some(pool) = input.catalog.pools.get(scene.pool).map(|p| &p.value) else {
        return Ok(None);
    };
    let objectives = objectives(input.catalog);
    let dims = pair.dimensions.len();
    let mut needs = vec![None; pair.apis.len() * dims];
    for (i, api) in pair.apis.iter().enumerate() {
        let slos = objectives.get(api).map_or(&[][..], Vec::as_slice);
        let look = Look {
            api,
            start: pair.start,
            step: input.step,
            slos,
        };
        let measured = Measured::read(input.history, look)?;
        for (d, &dimension) in pair.dimensions.iter().enumerate() {
            let at = i * dims + d;
            let asked = Asked {
                limit: pair.serving.limit[at],
                median: pair.median[at],
                demand: pair.demand[at],
            };
            needs[at] = measured.need(input.history, dimension, asked, || {
                learned(scene.record, api)
            })?;
        }
    }
    let costs: Vec<f64> = pair
        .dimensions
        .iter()
        .map(|&d| pool.unit_cost.get(d).unwrap_or(0.0))
        .collect();
    let total: f64 = costs.iter().sum();
    let unit = |d: usize| {
        if total > 0.0 {
            costs[d] / total * dims as f64
        } else {
            1.0
        }
    };
    let of = |face: &Face| {
        let (mut price, mut priced) = (0.0, 0.0);
        for d in 0..dims {
            let cells = || (0..pair.apis.len()).map(|i| (i, i * dims + d));
            let known = cells().filter_map(|(i, at)| Some((pair.weights[i], at, needs[at]?)));
            let (mut short, mut weighed, mut need) = (0.0, 0.0, 0.0);
            for (weight, at, needed) in known {
                short += weight * (needed - face.limit[at]).max(0.0);
                weighed += weight * needed;
                need += needed;
            }
            if weighed <= 0.0 || !weighed.is_finite() {
                continue;
            }
            priced += 1.0;
            price += SHORT * short / weighed;
            if is_moved(pool) && cells().all(|(_, at)| needs[at].is_some()) {
                let (wanted, need) = (face.wanted[d], need * pair.whole[d]);
                price += (wanted - need).max(0.0) / need * unit(d);
                price += SHORT * (need - wanted).max(0.0) / need;
            }
        }
        (priced > 0.0).then(|| price / priced + face.churn)
    };
    Ok(of(&pair.silent).zip(of(&pair.serving)))
}

fn learned(record: &Left, api: &ApiId) -> Option<Learned> {
    let need = record.needs.iter().find(|n| n.api == *api)?;
    Some(Learned::of(&need.learned))
}

/// Puts the question of a cycle to the silent one.
fn ask(
    input: &Input<'_>,
    scene: &Scene<'_>,
    member: &Member<dyn Allocator>,
    division: &mut Division,
    output: &mut Output,
) {
    let record = scene.record;
    let start = record.plan.grid.start;
    let question = &record.allocation;
    let (n, s, d) = question.shape();
    let apart = every(n * s * d);
    let since = division.asked.map(|at| start.since_ms(at));
    if record.amends.is_some() || since.is_some_and(|ms| (0..apart * input.step.ms()).contains(&ms))
    {
        return;
    }
    division.asked = Some(start);
    let block = output.trial.block(start);
    let serving = output.trial.about.serving();
    let served =
        record.plan.served.module == serving.module && record.allocator_config == serving.config;
    if !served {
        output.trial.missed(Name::Cost, block);
    }
    let mut asked = AllocationInput {
        state: division
            .kept
            .for_module(&member.module, |blob| member.policy.migrate(blob)),
        ..AllocationInput::clone(question)
    };
    let apis: Vec<ApiId> = record.plan.apis.iter().map(|a| a.api.clone()).collect();
    if apis.len() != n {
        return;
    }
    let patience = 2 * apart * input.step.ms();
    let own = division.own.take();
    // One that was not asked for a while begins where the other is.
    if let Some(own) = own.filter(|own| (0..patience).contains(&start.since_ms(own.at))) {
        for (i, api) in apis.iter().enumerate() {
            if let Some(row) = own.grants.get(api).filter(|row| row.len() == 2 * d) {
                asked.previous_guaranteed[i * d..(i + 1) * d].copy_from_slice(&row[..d]);
                asked.previous_limit[i * d..(i + 1) * d].copy_from_slice(&row[d..]);
            }
        }
    }
    let answer = member
        .policy
        .allocate(&member.config, &asked)
        .and_then(|answer| {
            let checked = invariant::check_allocation(&asked, &answer);
            checked.map(|()| answer).map_err(CallError::Refused)
        });
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            if counts(&error) {
                output.trial.failed(Name::Cost, block);
                let subject = format!("pool {}", scene.pool);
                output.faults.push(member.fault(error, subject));
            }
            return;
        }
    };
    let next = usize::try_from(apart).unwrap_or(1).min(s.saturating_sub(1));
    division.own = Some(Own {
        at: start.plus_steps(input.step, apart),
        grants: rows(&apis, &asked, &answer, next),
    });
    division.kept = Kept::of(member.module.clone(), answer.state.clone());
    if !served {
        return;
    }
    let limits = record.plan.apis.iter();
    let limits: Vec<f64> = limits
        .flat_map(|api| api.limit.iter().take(d).copied())
        .collect();
    if limits.len() != n * d || record.plan.wanted.len() < d {
        return;
    }
    let priced: Vec<usize> = (0..n).step_by(n.div_ceil(PRICED).max(1)).collect();
    // Of the first step, for all or for those that are priced.
    let first = |matrix: &[f64], rows: &[usize]| -> Vec<f64> {
        let cells = rows.iter().flat_map(|&i| (0..d).map(move |k| (i, k)));
        cells.map(|(i, k)| matrix[question.at(i, 0, k)]).collect()
    };
    let all: Vec<usize> = (0..n).collect();
    let silent = first(&answer.limit, &all);
    let (foreseen, median) = (
        first(&question.median, &all),
        first(&question.median, &priced),
    );
    let sum = |of: &[f64], k: usize| of.iter().skip(k).step_by(d).sum::<f64>();
    let whole = (0..d).map(|k| match sum(&median, k) {
        part if part > 0.0 => sum(&foreseen, k) / part,
        _ => n as f64 / priced.len().max(1) as f64,
    });
    let pick = |rows: &[f64]| -> Vec<f64> {
        let cells = priced.iter().flat_map(|&i| (0..d).map(move |k| i * d + k));
        cells.map(|at| rows[at]).collect()
    };
    division.waiting.push(Pair {
        start,
        dimensions: question.dimensions.clone(),
        whole: whole.collect(),
        weights: priced.iter().map(|&i| question.weights[i]).collect(),
        demand: first(&question.demand, &priced),
        median,
        silent: Face {
            churn: churn(&asked, &silent),
            limit: pick(&silent),
            wanted: answer.wanted[..d].to_vec(),
        },
        serving: Face {
            churn: churn(question, &limits),
            limit: pick(&limits),
            wanted: record.plan.wanted[..d].to_vec(),
        },
        apis: priced.iter().map(|&i| apis[i].clone()).collect(),
    });
    let surplus = division.waiting.len().saturating_sub(WAITING);
    division.waiting.drain(..surplus);
}

/// Grants of one step, by api: guaranteed, then limit.
fn rows(
    apis: &[ApiId],
    question: &AllocationInput,
    answer: &Allocation,
    step: usize,
) -> BTreeMap<ApiId, Vec<f64>> {
    let d = question.dimensions.len();
    let row = |i: usize| -> Vec<f64> {
        let cells = || (0..d).map(|k| question.at(i, step, k));
        let guaranteed = cells().map(|at| answer.guaranteed[at]);
        guaranteed
            .chain(cells().map(|at| answer.limit[at]))
            .collect()
    };
    let all = apis.iter().enumerate();
    all.map(|(i, api)| (api.clone(), row(i))).collect()
}

/// Price of the way from the limits before to these.
fn churn(question: &AllocationInput, limit: &[f64]) -> f64 {
    let d = question.dimensions.len();
    let moved = |k: usize| {
        let pairs = limit
            .iter()
            .zip(&question.previous_limit)
            .skip(k)
            .step_by(d);
        let moved: f64 = pairs
            .filter(|(_, before)| **before >= 0.0)
            .map(|(now, before)| (now - before).abs())
            .sum();
        moved / (2.0 * question.capacity[k]).max(f64::MIN_POSITIVE)
    };
    let all: f64 = (0..d).map(|k| moved(k).min(1.0)).sum();
    CHURN * all / d.max(1) as f64
}

impl Pools {
    /// What each pool's silent one keeps. Plans that wait, and what it would have in force, begin anew after
    /// a restart: a step's pair is lost, and the silent one goes on from the plan in force.
    pub(super) fn write(&self, to: &mut Writer) {
        to.count(self.0.len());
        for (pool, division) in &self.0 {
            to.text(pool.as_str());
            write_kept(&division.kept, to);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut all = BTreeMap::new();
        for _ in 0..from.count(16)? {
            let pool = from.text()?.parse().ok()?;
            let division = Division {
                kept: read_kept(from)?,
                ..Division::default()
            };
            all.insert(pool, division);
        }
        Some(Self(all))
    }
}
