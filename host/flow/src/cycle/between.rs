//! A look between two cycles: gathers the freshest measures for the room `adjust`, and writes down what
//! it decided.
//!
//! The store gives out a series on any grid, whatever its samples' steps are. So the freshest view is
//! the same series that the cycle forecasts, on a grid of a few seconds: samples of ten seconds are seen
//! as they are, and one of a minute fills its minute. No second path for fresh data exists, and what a
//! look saw can be read again.

use super::{Error, Input, PoolState};
use crate::adjust::{self, Floors, Measured};
use std::collections::BTreeMap;
use tidegate_core::alert::Alert;
use tidegate_core::catalog::Api;
use tidegate_core::record::{FaultRecord, Record};
use tidegate_core::roster::Fault;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::{Dimension, Signal};

/// Seconds of the grid on which fresh samples are read: what divides the usual scrape intervals.
const FINE_S: u32 = 5;

/// What a look wants done.
#[derive(Debug)]
pub struct Between {
    /// To be written and published, in this order; `None` keeps the plan in force.
    pub record: Option<Record>,
    /// What it found, beside what stands.
    pub alerts: Vec<Alert>,
    /// Who failed.
    pub faults: Vec<Fault>,
    /// To be kept, after the record is durable.
    pub floors: Floors,
}

/// Looks at a pool between two cycles. A pool without a plan, and one whose allocator gives no usable
/// answer, is left to the next cycle.
///
/// # Errors
/// When the pool is not declared or history cannot be read; the plan in force stays.
pub fn between(input: &Input<'_>, state: &PoolState) -> Result<Between, Error> {
    let pool = input.catalog.pools.get(input.pool);
    let pool = &pool.ok_or_else(|| Error::NoPool(input.pool.clone()))?.value;
    let mut faults = vec![];
    let nothing = |floors: &Floors, faults| Between {
        record: None,
        alerts: vec![],
        faults,
        floors: floors.clone(),
    };
    let (Some(plan), Some(asked)) = (state.last.as_deref(), state.asked.as_deref()) else {
        return Ok(nothing(&state.floors, faults));
    };
    let measured = measured(input, state, &plan.dimensions)?;
    let looked = adjust::run(
        &adjust::Input {
            now: input.now,
            seed: input.settings.seed,
            settings: input.settings.adjust,
            pool,
            plan,
            asked,
            measured: &measured,
            floors: &state.floors,
            roster: &input.pins.allocator(input.pool),
            state: &state.allocator_state,
        },
        &mut faults,
    );
    // Nobody answered: the faults say so, and the cycle raises that a plan is held.
    let Ok(looked) = looked else {
        return Ok(nothing(&state.floors, faults));
    };
    let watermark = input.history.watermark();
    let record = looked.amended.map(|amended| Record {
        at: input.now,
        pool: input.pool.clone(),
        as_of: watermark.sequence,
        newest: watermark.newest,
        allocation: amended.question,
        allocator_config: amended.config,
        allocator_state: amended.state,
        tiers: vec![],
        holds: vec![],
        forecasts: vec![],
        needs: vec![],
        faults: faults
            .iter()
            .map(|f| FaultRecord {
                module: f.module.clone(),
                subject: f.subject.clone(),
                error: f.error.to_string(),
            })
            .collect(),
        alerts: looked.alerts.clone(),
        floors: looked.floors.records(),
        amends: Some(state.base.unwrap_or(plan.generation)),
        basis: None,
        plan: amended.plan,
    });
    Ok(Between {
        record,
        alerts: looked.alerts,
        faults,
        floors: looked.floors,
    })
}

/// The freshest measures of every api of the plan in force.
fn measured(
    input: &Input<'_>,
    state: &PoolState,
    dimensions: &[Dimension],
) -> Result<BTreeMap<(tidegate_core::ids::ApiId, Dimension), Measured>, Error> {
    let mut all = BTreeMap::new();
    let apis = state.last.iter().flat_map(|plan| &plan.apis);
    for api in apis.filter_map(|row| input.catalog.apis.get(&row.api)) {
        let api = &api.value;
        let load = fresh(input, api, Signal::Requests)?;
        let learned = state.learned.get(&api.id);
        for &dimension in dimensions {
            let is_requests = dimension == Dimension::Requests;
            let fresh = match is_requests {
                true => load,
                false => fresh(input, api, dimension.signal())?,
            };
            let Some((at, used)) = fresh else { continue };
            let target = input.settings.demand.target_utilisation;
            let aim = learned
                .and_then(|l| l.strictest(dimension))
                .map_or(target, |(_, curve)| curve.aim());
            let cost = learned.and_then(|l| l.cost(dimension));
            let asked = load.zip(cost).map(|((_, load), cost)| cost.at(load));
            let measure = Measured {
                used,
                asked: asked.filter(|_| !is_requests),
                at,
                // A granted request rate is a limit: no headroom on top.
                aim: if is_requests { 1.0 } else { aim },
            };
            all.insert((api.id.clone(), dimension), measure);
        }
    }
    Ok(all)
}

/// End and mean of the newest measured window of a signal, if it says something of now.
fn fresh(input: &Input<'_>, api: &Api, signal: Signal) -> Result<Option<(Timestamp, f64)>, Error> {
    let settings = input.settings.adjust;
    let Some(step) = Step::from_secs(FINE_S) else {
        return Ok(None);
    };
    let cells = |ms: i64| usize::try_from(ms / step.ms()).unwrap_or(0).max(1);
    let window = cells(settings.window_ms);
    let grid = Grid::ending_at(input.now, step, cells(settings.oldest_ms) + window);
    let key = SeriesKey {
        api: api.id.clone(),
        signal,
    };
    let column = input.history.column(&key, grid)?;
    let sound = |v: &f64| v.is_finite() && *v >= 0.0;
    let Some(last) = column.values.iter().rposition(sound) else {
        return Ok(None);
    };
    let at = grid.at(last + 1);
    if input.now.since_ms(at) > settings.oldest_ms {
        return Ok(None);
    }
    let part = column.values[(last + 1).saturating_sub(window)..=last].iter();
    let (sum, count) = part
        .filter(|v| sound(v))
        .fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
    Ok(Some((at, sum / count)))
}
