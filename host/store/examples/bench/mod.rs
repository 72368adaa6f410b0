//! What both benches of the store share: made-up series, appending them, and the figures of this process.

use anyhow::Context as _;
use std::sync::mpsc::sync_channel;
use std::time::Instant;
use tidegate_core::ports::storage::{History as _, StoreError};
use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Values};
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::Signal;
use tidegate_store::Store;

/// Batches in flight.
const WINDOW: usize = 8;

/// CPU seconds of this process.
pub(crate) fn cpu() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Fields 14 and 15, counted after the name, which may hold spaces; 100 ticks a second.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok());
    let sum = ticks(11).zip(ticks(12)).map(|(user, system)| user + system);
    sum.map(|t| t / 100.0)
        .context("/proc/self/stat has another form")
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS"));
    let kb = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
    kb.unwrap_or_default() / 1024.0
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Counters,
    Floats,
}

pub(crate) fn value(kind: Kind, series: usize, minute: usize, noise: &mut u64) -> f64 {
    *noise = noise
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    let wave = (minute + series * 37) % 1440;
    let wave = wave.min(1440 - wave) as f64;
    let jitter = (*noise >> 59) as f64;
    match kind {
        Kind::Counters => (wave + jitter).trunc(),
        // Three digits, as a gauge usually has.
        Kind::Floats => ((wave + jitter * 0.371) * 1000.0).trunc() / 1000.0,
    }
}

pub(crate) fn keys(kind: Kind, series: usize) -> anyhow::Result<Vec<SeriesKey>> {
    let signal = match kind {
        Kind::Counters => Signal::Requests,
        Kind::Floats => Signal::Cpu,
    };
    (0..series)
        .map(|i| {
            let api = format!("tenant-{}/v1/service-{i}", i % 16).parse()?;
            Ok(SeriesKey { api, signal })
        })
        .collect()
}

/// Samples of some minutes of every series, in batches of so many timestamps of so many series.
pub(crate) fn batches(
    kind: Kind,
    keys: &[SeriesKey],
    minutes: std::ops::Range<usize>,
    (depth, width): (usize, usize),
) -> impl Iterator<Item = SampleBatch> {
    let mut noise = 1;
    let starts = minutes.clone().step_by(depth);
    let pieces =
        starts.flat_map(move |from| (0..keys.len().div_ceil(width)).map(move |w| (from, w)));
    pieces.map(move |(from, chunk)| {
        let some = keys.iter().enumerate().skip(chunk * width).take(width);
        let series = some.map(|(s, key)| {
            let minutes = from..(from + depth).min(minutes.end);
            SeriesSamples {
                key: key.clone(),
                step: Step::MINUTE,
                times: minutes
                    .clone()
                    .map(|m| Timestamp::from_secs(m as i64 * 60))
                    .collect(),
                values: Values::Numbers(minutes.map(|m| value(kind, s, m, &mut noise)).collect()),
            }
        });
        SampleBatch {
            series: series.collect(),
        }
    })
}

pub(crate) fn percentile(sorted: &[f64], p: f64) -> f64 {
    let i = (sorted.len() as f64 * p) as usize;
    sorted
        .get(i.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

/// Appends, a few batches in flight; how long each waited for its ack, in milliseconds, ascending.
pub(crate) fn append(
    store: &Store,
    batches: impl IntoIterator<Item = SampleBatch>,
) -> anyhow::Result<Vec<f64>> {
    let (send, acks) = sync_channel::<Result<f64, StoreError>>(WINDOW);
    let (mut taken, mut waiting) = (vec![], 0);
    for batch in batches {
        if waiting == WINDOW {
            taken.push(acks.recv()??);
            waiting -= 1;
        }
        waiting += 1;
        let (send, began) = (send.clone(), now());
        store.append(
            batch,
            Box::new(move |outcome| {
                let took = began.elapsed().as_secs_f64() * 1000.0;
                let _ = send.send(outcome.map(|_| took));
            }),
        );
    }
    for _ in 0..waiting {
        taken.push(acks.recv()??);
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken)
}
