//! Gathers what the rooms ask for: targets, facts, what was learned of needs.

use super::carry::Waiting;
use super::{Delta, Error, Input, PoolState, Profile};
use crate::adjust::Floors;
use crate::demand::{self, Learned, Look};
use crate::forecast::Target;
use crate::tier::{Apart, Facts, Groups, LEVELS, Seen, Tracker};
use std::collections::BTreeMap;
use tidegate_core::catalog::{Api, Catalog, Pool};
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::ApiId;
use tidegate_core::plan::Plan;
use tidegate_core::sample::SeriesKey;
use tidegate_core::slo::{BURN_RULES, Burn, Slo};
use tidegate_core::tier::TierState;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::{Dimension, Signal};

/// Requests of every api, and the resources of the pool that are measured.
pub(super) fn targets(
    input: &Input<'_>,
    apis: &[&Api],
    dimensions: &[Dimension],
    waiting: &Waiting<'_>,
) -> Vec<Target> {
    let mut targets = vec![];
    for api in apis.iter().filter(|a| waiting.told(&a.id).is_none()) {
        for signal in Dimension::signals(dimensions) {
            let key = SeriesKey {
                api: api.id.clone(),
                signal,
            };
            // A resource that nobody measures is no target; requests without data are an alert.
            if signal == Signal::Requests || input.history.newest(&key).is_some() {
                targets.push(Target {
                    key,
                    roster: input.pins.forecaster(api, signal),
                });
            }
        }
    }
    targets
}

/// Tier of an api that was never planned.
pub(super) fn initial(api: &Api, now: Timestamp) -> TierState {
    TierState {
        tier: api.pinned_tier.unwrap_or(api.base_tier),
        since: now,
    }
}

/// Requests/s that the calendar promises at least, per step of the horizon: the greatest uplift of
/// the events that last in a part of it or begin at its end, times ordinary load. Who declares a
/// minimum wants it there when the event begins, and a grant takes its time to be followed.
pub(super) fn promised(input: &Input<'_>, api: &Api, expected: f64) -> Vec<f64> {
    let settings = input.settings;
    let grid = Grid {
        start: input.now.floor(settings.step),
        step: settings.step,
        count: settings.horizon as usize,
    };
    let mut promised = vec![0.0; grid.count];
    for event in input.catalog.events_of(&api.id) {
        let Some(uplift) = event.minimum_uplift else {
            continue;
        };
        for (from, to) in input.catalog.occurrences(event, grid.start, grid.end()) {
            let (from, to) = (from.max(grid.start), to.min(grid.end()));
            let first = grid.index_of(from).unwrap_or(grid.count);
            let last = grid.index_of(to.plus_ms(-1)).unwrap_or(first);
            for step in promised
                .iter_mut()
                .take(last + 1)
                .skip(first.saturating_sub(1))
            {
                *step = f64::max(*step, uplift * expected);
            }
        }
    }
    promised
}

const HOUR_MS: i64 = 3_600_000;
const WEEK_S: usize = 7 * 86_400;

/// SLOs of every api of the pool, each ascending.
pub(super) type Objectives<'a> = Vec<Vec<&'a Slo>>;

/// All of them, looked up once a cycle.
pub(super) fn objectives<'a>(catalog: &'a Catalog, apis: &[&Api]) -> Objectives<'a> {
    let of = |api: &&Api| catalog.slos_of(&api.id).collect();
    apis.iter().map(of).collect()
}

/// What is known of every api, for the tierer.
pub(super) fn facts(
    input: &Input<'_>,
    state: &PoolState,
    apis: &[&Api],
    objectives: &[Vec<&Slo>],
    forecasts: &BTreeMap<SeriesKey, Forecast>,
    waiting: &Waiting<'_>,
    delta: &mut Delta,
) -> Result<Vec<Facts>, Error> {
    let step = input.settings.step;
    let none = Tracker::default();
    let mut groups = Groups::default();
    for slo in apis
        .iter()
        .zip(objectives)
        .filter(|(api, _)| waiting.told(&api.id).is_none())
        .flat_map(|(_, slos)| slos)
    {
        let kept = state.trackers.get(&slo.id).unwrap_or(&none);
        let found = kept.look(input.history, slo, step, input.now)?;
        groups.add(slo, Seen::of(kept, found.as_ref()));
        delta.budgets.insert(slo.id.clone(), found);
    }
    let mut all = vec![];
    for (api, slos) in apis.iter().zip(objectives) {
        let key = SeriesKey {
            api: api.id.clone(),
            signal: Signal::Requests,
        };
        let forecast = forecasts.get(&key);
        let peak = |level| forecast.map_or(0.0, |f| f.peak(level));
        let (mut burn, mut budget_left) = (Burn::default(), 1.0_f64);
        let mut apart = Apart::default();
        for slo in slos {
            let kept = state.trackers.get(&slo.id).unwrap_or(&none);
            let found = delta.budgets.get(&slo.id).and_then(Option::as_ref);
            let (burns, left) = groups.judge(slo, Seen::of(kept, found));
            apart.add(slo, &burns, left);
            for (worst, new) in burn.iter_mut().zip(burns) {
                *worst = f64::max(*worst, new);
            }
            budget_left = budget_left.min(left);
        }
        let told = waiting.told(&api.id);
        if let Some(told) = told {
            (burn, budget_left) = (told.burn, told.budget_left);
        }
        all.push(Facts {
            expected: match told {
                Some(told) => told.expected,
                None => expected(input, state, api, delta)?,
            },
            peak: told.map_or_else(|| LEVELS.map(peak), |told| told.peak),
            utilisation: utilisation(input, state.last.as_deref(), api)?,
            burn,
            budget_left,
            apart: apart.told(),
        });
    }
    Ok(all)
}

/// Ordinary requests/s: configured, or the trailing 7-day median, refreshed hourly.
fn expected(
    input: &Input<'_>,
    state: &PoolState,
    api: &Api,
    delta: &mut Delta,
) -> Result<f64, Error> {
    if let Some(expected) = api.expected {
        return Ok(expected);
    }
    if let Some(profile) = state.profiles.get(&api.id)
        && (0..lasting(profile)).contains(&input.now.since_ms(profile.at))
    {
        return Ok(profile.expected);
    }
    // Five minutes are fine enough for a week's median.
    let step = Step::from_secs(input.settings.step.secs().max(300)).unwrap_or(input.settings.step);
    let grid = Grid::ending_at(input.now, step, WEEK_S / step.secs() as usize);
    let key = SeriesKey {
        api: api.id.clone(),
        signal: Signal::Requests,
    };
    let Some(expected) = input.history.column(&key, grid)?.median() else {
        return Ok(0.0);
    };
    delta.profiles.insert(
        api.id.clone(),
        Profile {
            expected,
            at: input.now,
        },
    );
    Ok(expected)
}

/// How long an ordinary load is taken for true, in milliseconds. One of nothing may be that of an api
/// that has just begun, so it is looked at again with each new row of the median's grid; sooner would
/// read a week of every idle api in every cycle, for the same answer.
fn lasting(profile: &Profile) -> i64 {
    if profile.expected > 0.0 {
        HOUR_MS
    } else {
        300_000
    }
}

/// Used over granted in the scarcest dimension, in the newest measured step.
fn utilisation(input: &Input<'_>, last: Option<&Plan>, api: &Api) -> Result<f64, Error> {
    let Some(granted) = last.and_then(|plan| plan.limit(&api.id, input.now)) else {
        return Ok(0.0);
    };
    let grid = Grid::ending_at(input.now, input.settings.step, 3);
    let mut worst = 0.0_f64;
    for (dimension, limit) in granted.iter().filter(|(_, limit)| *limit > 0.0) {
        let key = SeriesKey {
            api: api.id.clone(),
            signal: dimension.signal(),
        };
        if let Some(used) = input.history.column(&key, grid)?.last() {
            worst = worst.max(used / limit);
        }
    }
    Ok(worst)
}

/// What is known of an api's needs, with what has ended since the last cycle.
pub(super) fn learned(
    input: &Input<'_>,
    state: &PoolState,
    pool: &Pool,
    api: &Api,
    slos: &[&Slo],
    granted: &[f64],
    delta: &Delta,
) -> Result<Learned, Error> {
    let mut learned = state.learned.get(&api.id).cloned().unwrap_or_default();
    let none = Tracker::default();
    let slos: Vec<_> = slos
        .iter()
        .map(|slo| {
            let kept = state.trackers.get(&slo.id).unwrap_or(&none);
            let found = delta.budgets.get(&slo.id).and_then(Option::as_ref);
            (*slo, Seen::of(kept, found))
        })
        .collect();
    let tier = state.tiers.get(&api.id).copied();
    let tier = tier.unwrap_or_else(|| initial(api, input.now)).tier;
    let look = Look {
        now: input.now,
        step: input.settings.step,
        api,
        pool,
        last: state.last.as_deref(),
        granted,
        target: input.settings.demand.target_utilisation,
        tolerance: input
            .settings
            .demand
            .tolerance(pool, input.catalog.tier(tier).demand_level),
    };
    learned.advance(input.history, &look, &slos)?;
    Ok(learned)
}

/// Why an api's step bounds are lifted: its SLO burns, or the pool has shrunk under the plan.
pub(super) fn emergency(pool: &Pool, last: Option<&Plan>, facts: &Facts) -> Option<String> {
    if BURN_RULES[0].fires(&facts.burn) {
        return Some(format!(
            "its error budget burns {:.0} times too fast",
            facts.burn[0]
        ));
    }
    let plan = last?;
    plan.row(&plan.capacity, 0)
        .iter()
        .find(|(d, before)| pool.ready.get(*d).is_some_and(|now| now < *before))
        .map(|(d, before)| {
            format!(
                "the pool has shrunk from {before:.1} {} of {}",
                d.unit(),
                d.name()
            )
        })
}

/// What an api asks for in a dimension of which nothing is known: its declared safe capacity, else
/// its floor, else an equal share of the pool.
pub(super) fn unknown(pool: &Pool, api: &Api, dimensions: &[Dimension], apis: usize) -> Vec<f64> {
    dimensions
        .iter()
        .map(|&d| {
            let equal = pool.ready.get(d).unwrap_or(0.0) / apis.max(1) as f64;
            api.safe.get(d).or(api.floor.get(d)).unwrap_or(equal)
        })
        .collect()
}

/// Raises an api's demand to the measured needs that departed from the plan, in the steps before they
/// are over.
pub(super) fn keep(
    input: &Input<'_>,
    floors: &Floors,
    api: &ApiId,
    dimensions: &[Dimension],
    grid: Grid,
    demand: &mut demand::Output,
) {
    for (d, &dimension) in dimensions.iter().enumerate() {
        let floor = floors.of(api, dimension, input.settings.adjust.hold_ms);
        let Some(floor) = floor.filter(|f| input.now < f.until) else {
            continue;
        };
        let need = floor.seen.need;
        let unit = dimension.unit();
        if demand.demand[d] < need {
            demand.reasons.push(format!(
                "{} departed from the plan: {:.2} {unit} were used until {} where {:.2} were given, so {need:.2} \
                 {unit} are kept until {}",
                dimension.name(),
                floor.seen.used,
                floor.seen.at,
                floor.seen.given,
                floor.until
            ));
        }
        for step in (0..grid.count).filter(|&s| grid.at(s) < floor.until) {
            let at = step * dimensions.len() + d;
            demand.demand[at] = demand.demand[at].max(need);
            demand.median[at] = demand.median[at].max(need);
        }
    }
}
