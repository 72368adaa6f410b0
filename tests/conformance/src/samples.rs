//! Questions as they come from services: series with a rhythm, gaps, quiet nights, steps, nothing;
//! apis from calm to burning; releases flush by flush.

use crate::pools::Numbers;
use tidegate_core::policy::{
    Blob, Counts, Covariates, Frames, Horizon, JudgeInput, MetricSpec, TierInput,
};
use tidegate_core::tier::Tier;
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::{Level, Signal};

/// Rows that [`series`] has: three weeks of half-hours.
pub const ROWS: usize = 48 * 21;

/// Number of different series.
pub const SERIES: usize = 5;

/// Half-hours.
#[must_use]
pub fn step() -> Step {
    Step::from_secs(1800).unwrap_or(Step::MINUTE)
}

fn start(i: usize) -> Timestamp {
    // Series need not begin together.
    Timestamp::from_secs(1_699_920_000).plus_steps(step(), i64::try_from(i).unwrap_or(0))
}

/// Sample series `i` with its first `rows` rows, NaN where missing.
#[must_use]
pub fn series(i: usize, rows: usize) -> Vec<f64> {
    let mut noise = Numbers::new(i as u64 + 99);
    (0..rows)
        .map(|t| {
            #[expect(clippy::cast_precision_loss, reason = "few rows")]
            let (time, hour) = (t as f64, (t % 48) as f64);
            // A hump by day, without any function whose bits depend on the platform.
            let day = (1.0 - ((hour - 26.0) / 18.0) * ((hour - 26.0) / 18.0)).max(0.05);
            let jitter = 0.9 + 0.2 * noise.unit();
            match i % SERIES {
                0 => 120.0 * day * jitter,
                1 if t % 97 < 3 => f64::NAN,
                1 => 5e8 * (0.5 + day) * jitter,
                2 => (3.0 * day * jitter - 0.5).max(0.0),
                3 if t < rows / 2 => 40.0 * jitter,
                3 => 65.0 * jitter + time * 0.01,
                _ => 7.0,
            }
        })
        .collect()
}

fn signal(i: usize) -> Signal {
    [
        Signal::Requests,
        Signal::Memory,
        Signal::Cpu,
        Signal::Io,
        Signal::Requests,
    ][i % SERIES]
}

/// Rows `from..to` of the named series, as one batch.
#[must_use]
pub fn frames(which: &[usize], from: usize, to: usize) -> Frames {
    let mut frames = Frames::new(step());
    for &i in which {
        let values = series(i, ROWS);
        let at = start(i).plus_steps(step(), i64::try_from(from).unwrap_or(0));
        frames.push(signal(i), at, &values[from..to], seed(i));
    }
    frames.covariates = covariates(which, from, to);
    frames
}

/// What comes after row `seen` of the named series.
#[must_use]
pub fn horizon(which: &[usize], seen: usize, steps: u32, levels: &[Level]) -> Horizon {
    let rows = i64::try_from(seen).unwrap_or(0);
    Horizon {
        step: step(),
        steps,
        levels: levels.to_vec(),
        starts: which
            .iter()
            .map(|&i| start(i).plus_steps(step(), rows))
            .collect(),
        future: covariates(which, seen, seen + steps as usize),
        seeds: which.iter().map(|&i| seed(i)).collect(),
    }
}

/// A sale now and then, each series at its own times: a column belongs to its series, whatever
/// batch that is in.
fn covariates(which: &[usize], from: usize, to: usize) -> Covariates {
    let on = |i: usize, row: usize| f64::from(u8::from((row + 41 * i).is_multiple_of(331)));
    Covariates {
        names: vec!["event:sale".into()],
        values: which
            .iter()
            .flat_map(|&i| (from..to).map(move |row| on(i, row)))
            .collect(),
    }
}

fn seed(i: usize) -> u64 {
    0x5eed ^ ((i as u64) << 32)
}

/// Apis of one tenant, from calm to burning.
#[must_use]
pub fn tiers(n: usize, seed: u64) -> TierInput {
    let mut r = Numbers::new(seed);
    let levels = vec![Level::P50, Level::P90, Level::P99];
    let burn_windows = vec![300, 1800, 3600, 21_600, 259_200];
    let mut peak = vec![];
    for _ in 0..n {
        let median = r.amount();
        peak.extend([median, median * 1.5, median * 2.0]);
    }
    TierInput {
        now: Timestamp(1_700_000_000_000),
        seed,
        state: Blob::default(),
        apis: (0..n as u64).map(|i| i * 11 + 5).collect(),
        current: (0..n).map(|i| Tier::ALL[i % 3]).collect(),
        base: (0..n).map(|i| Tier::ALL[i / 3 % 3]).collect(),
        lowest: vec![Tier::Bronze; n],
        highest: vec![Tier::Gold; n],
        dwell: (0..n)
            .map(|i| u32::try_from(i * 500).unwrap_or(0))
            .collect(),
        expected: (0..n).map(|_| r.amount()).collect(),
        peak,
        levels,
        utilisation: (0..n).map(|_| 1.5 * r.unit()).collect(),
        burn: (0..n * burn_windows.len())
            .map(|_| 20.0 * r.unit() * r.unit())
            .collect(),
        burn_windows,
        budget_left: (0..n).map(|_| r.unit()).collect(),
    }
}

/// Requests of each side per flush.
pub const REQUESTS: u64 = 500;

/// `flushes` flushes from number `from` on, in which so many of [`REQUESTS`] failed.
#[must_use]
pub fn release(from: i64, flushes: usize, shadow: u64, production: u64) -> JudgeInput {
    let metric = |name: &str, critical| MetricSpec {
        name: name.into(),
        group: name.into(),
        rho_warn: 1.1,
        rho_rollback: 1.25,
        rho_promote: 1.25,
        critical,
    };
    let metrics = vec![metric("errors", true), metric("slow", false)];
    let cells = flushes * metrics.len();
    let count = i64::try_from(flushes).unwrap_or(0);
    JudgeInput {
        now: Timestamp::from_secs(1_700_000_000 + 10 * (from + count)),
        seed: 5,
        state: Blob::default(),
        dispersion: vec![1.0; metrics.len()],
        metrics,
        flushes: (from..from + count)
            .map(|i| Timestamp::from_secs(1_700_000_000 + 10 * i))
            .collect(),
        counts: Counts {
            shadow_events: vec![shadow; cells],
            shadow_requests: vec![REQUESTS; cells],
            production_events: vec![production; cells],
            production_requests: vec![REQUESTS; cells],
        },
        paired_losses: vec![],
        paired_horizon: 0,
        remaining_s: 3600,
    }
}
