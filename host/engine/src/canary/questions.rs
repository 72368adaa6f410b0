//! The synthetic data of canary calls. Fixed numbers and the integers' own mixing: what a module
//! was admitted on can be repeated anywhere, and no random source is read.

use super::past::{FRESH, Line};
use tidegate_core::policy::{AllocationInput, Blob, Counts, JudgeInput, MetricSpec, TierInput};
use tidegate_core::tier::Tier;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::{Dimension, Level, Signal};

/// Steps of history: two weeks by the hour, and those that are withheld.
const STEPS: usize = 336 + FRESH;

/// A Monday, 00:00 UTC.
const START: Timestamp = Timestamp(1_700_438_400_000);

const HOUR: i64 = 3_600_000;

/// A wave without a sine: a parabola over the day, which has the same look on every machine.
fn wave(hour: usize) -> f64 {
    let part = (hour % 24) as f64 / 24.0;
    let weekend = if hour / 24 % 7 >= 5 { 0.6 } else { 1.0 };
    let noise = (hour as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    weekend * (40.0 + 400.0 * part * (1.0 - part)) + noise as f64 / f64::from(1 << 24)
}

/// Value of a series at an hour; NaN where missing.
fn value(series: usize, hour: usize) -> f64 {
    match series {
        0 => wave(hour),
        // Single gaps, and a day that is missing whole.
        1 if hour % 17 == 3 || (100..124).contains(&hour) => f64::NAN,
        1 => 3.0 * wave(hour),
        2 => 0.0,
        _ if hour < 200 => 10.0,
        _ => 1000.0,
    }
}

const SERIES: usize = 4;

/// All series.
pub(super) fn lines() -> Vec<Line> {
    let line = |series| Line {
        signal: Signal::Requests,
        start: START,
        values: (0..STEPS).map(|hour| value(series, hour)).collect(),
    };
    (0..SERIES).map(line).collect()
}

/// Their step.
pub(super) fn hourly() -> Step {
    Step::from_secs(3600).unwrap_or(Step::MINUTE)
}

fn at(hour: usize) -> Timestamp {
    Timestamp(START.0 + hour as i64 * HOUR)
}

/// Three apis, one of which burns its budget.
pub(super) fn tiers(state: Blob) -> TierInput {
    TierInput {
        now: at(0),
        seed: 7,
        state,
        apis: vec![11, 12, 13],
        current: vec![Tier::Gold, Tier::Silver, Tier::Bronze],
        base: vec![Tier::Gold, Tier::Silver, Tier::Bronze],
        lowest: vec![Tier::Bronze; 3],
        highest: vec![Tier::Gold; 3],
        dwell: vec![0, 600, 86_400],
        expected: vec![100.0, 10.0, 0.0],
        levels: vec![Level::P50, Level::P90, Level::P99],
        peak: vec![110.0, 140.0, 190.0, 10.0, 12.0, 15.0, 0.0, 0.0, 0.0],
        utilisation: vec![0.95, 0.5, 0.0],
        burn_windows: vec![300, 3600],
        burn: vec![20.0, 15.0, 0.5, 0.4, 0.0, 0.0],
        budget_left: vec![0.1, 0.9, 1.0],
    }
}

/// Three apis of two tenants in a pool of two dimensions over four steps. `ready` is the capacity
/// of each dimension; 1000 is plenty.
pub(super) fn pool(ready: f64, state: Blob) -> AllocationInput {
    let (apis, steps, dimensions) = (3, 4_u32, 2);
    let cells = apis * steps as usize * dimensions;
    let demand = |scale: f64| {
        (0..cells)
            .map(|i| scale * (10.0 + (i % 5) as f64))
            .collect()
    };
    AllocationInput {
        now: at(0),
        seed: 7,
        state,
        grid: Grid {
            start: at(0),
            step: Step::MINUTE,
            count: steps as usize,
        },
        dimensions: vec![Dimension::Cpu, Dimension::Requests],
        capacity: vec![ready; steps as usize * dimensions],
        capacity_max: vec![ready * 2.0; dimensions],
        apis: vec![11, 12, 13],
        tiers: vec![Tier::Gold, Tier::Silver, Tier::Bronze],
        weights: vec![1.0, 2.0, 1.0],
        tenants: vec![0, 0, 1],
        floor: vec![4.0, 4.0, 1.0, 1.0, 0.0, 0.0],
        ceiling: vec![500.0; apis * dimensions],
        demand: demand(1.0),
        median: demand(0.75),
        expected: vec![8.0; apis * dimensions],
        usage: vec![7.5; apis * dimensions],
        previous_guaranteed: vec![-1.0; apis * dimensions],
        previous_limit: vec![-1.0; apis * dimensions],
        step_up: vec![2.0; apis],
        step_down: vec![0.5; apis],
        emergency: vec![false; apis],
        quota: vec![tidegate_core::policy::UNBOUNDED; 2 * dimensions],
        lends: vec![true; apis],
        borrows: vec![true; apis],
        max_share: vec![1.0; 3],
    }
}

/// Two metrics over three flushes, the shadow somewhat worse in one.
pub(super) fn shadow(state: Blob) -> JudgeInput {
    let metric = |name: &str, critical| MetricSpec {
        name: name.into(),
        group: name.into(),
        rho_warn: 1.1,
        rho_rollback: 1.5,
        rho_promote: 1.25,
        critical,
    };
    JudgeInput {
        now: at(0),
        seed: 7,
        state,
        metrics: vec![metric("errors", true), metric("slow", false)],
        flushes: vec![at(0), at(1), at(2)],
        counts: Counts {
            shadow_events: vec![3, 10, 2, 12, 4, 9],
            shadow_requests: vec![1000; 6],
            production_events: vec![10, 50, 12, 60, 9, 55],
            production_requests: vec![9000; 6],
        },
        dispersion: vec![1.0, 0.0],
        paired_losses: vec![0.1, -0.2, 0.0],
        paired_horizon: 1,
        remaining_s: 3600,
    }
}
