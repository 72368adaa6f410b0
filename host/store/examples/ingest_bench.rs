//! How much a point costs: appending, reading, disk. `cargo run --release -p tidegate-store
//! --example ingest_bench [DIRECTORY]`.
//!
//! Points per *CPU second of the process*, from `/proc/self/stat`, since the machine is shared and
//! wall time says more about the others. The directory should be on a real disk: an ack includes a
//! sync. Figures are printed, never asserted.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use anyhow::Context as _;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Instant;
use tidegate_core::ports::storage::{History, StoreError};
use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Values};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;
use tidegate_store::{Options, Store};

/// Batches in flight.
const WINDOW: usize = 8;

/// CPU seconds of this process.
fn cpu() -> anyhow::Result<f64> {
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
fn now() -> Instant {
    Instant::now()
}

fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS"));
    let kb = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
    kb.unwrap_or_default() / 1024.0
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Counters,
    Floats,
}

fn value(kind: Kind, series: usize, minute: usize, noise: &mut u64) -> f64 {
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

fn keys(kind: Kind, series: usize) -> anyhow::Result<Vec<SeriesKey>> {
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

struct Case {
    name: &'static str,
    kind: Kind,
    series: usize,
    minutes: usize,
    /// Timestamps of a series in one batch, series in one batch.
    shape: (usize, usize),
}

fn batches(case: &Case, keys: &[SeriesKey]) -> Vec<SampleBatch> {
    let (depth, width) = case.shape;
    let mut noise = 1;
    let mut batches = vec![];
    for from in (0..case.minutes).step_by(depth) {
        for (chunk, keys) in keys.chunks(width).enumerate() {
            let series = (chunk * width..).zip(keys).map(|(s, key)| {
                let minutes = from..(from + depth).min(case.minutes);
                SeriesSamples {
                    key: key.clone(),
                    step: Step::MINUTE,
                    times: minutes
                        .clone()
                        .map(|m| Timestamp::from_secs(m as i64 * 60))
                        .collect(),
                    values: Values::Numbers(
                        minutes
                            .map(|m| value(case.kind, s, m, &mut noise))
                            .collect(),
                    ),
                }
            });
            batches.push(SampleBatch {
                series: series.collect(),
            });
        }
    }
    batches
}

fn percentile(sorted: &[f64], p: f64) -> f64 {
    let i = (sorted.len() as f64 * p) as usize;
    sorted
        .get(i.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

fn append(store: &Store, batches: Vec<SampleBatch>) -> anyhow::Result<Vec<f64>> {
    let n = batches.len();
    let (send, acks) = sync_channel(n);
    let (give, window) = sync_channel(WINDOW);
    (0..WINDOW).try_for_each(|_| give.send(()))?;
    for batch in batches {
        window.recv()?;
        let (send, give, began) = (send.clone(), give.clone(), now());
        store.append(
            batch,
            Box::new(move |outcome: Result<_, StoreError>| {
                let taken = began.elapsed().as_secs_f64() * 1000.0;
                let _ = send.send(outcome.map(|_| taken));
                let _ = give.try_send(());
            }),
        );
    }
    let mut taken = (0..n)
        .map(|_| Ok(acks.recv()??))
        .collect::<anyhow::Result<Vec<f64>>>()?;
    taken.sort_by(f64::total_cmp);
    Ok(taken)
}

fn read(store: &Store, keys: &[SeriesKey], grid: Grid, name: &str) -> anyhow::Result<()> {
    let before = cpu()?;
    let mut taken = vec![];
    let mut points = 0;
    for key in keys.iter().cycle().step_by(7).take(4000) {
        let began = now();
        points += store.column(key, grid)?.present();
        taken.push(began.elapsed().as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    println!(
        "  read {name}: {:.1} M points/CPU-s, {} points p50 {:.0} us p99 {:.0} us",
        points as f64 / 1e6 / (cpu()? - before).max(0.01),
        grid.count,
        percentile(&taken, 0.5),
        percentile(&taken, 0.99),
    );
    Ok(())
}

fn run(case: &Case, dir: &Path) -> anyhow::Result<()> {
    let keys = keys(case.kind, case.series)?;
    let points = (case.series * case.minutes) as f64;
    let mut store = Store::open(dir, Options::default())?;
    let made = batches(case, &keys);
    let (before, began) = (cpu()?, now());
    let taken = append(&store, made)?;
    let (spent, wall) = (cpu()? - before, began.elapsed().as_secs_f64());
    println!(
        "{}: {:.2} M points/CPU-s, {:.2} M/s; ack p50 {:.1} ms p99 {:.1} ms max {:.1} ms; {:.0} MB resident",
        case.name,
        points / 1e6 / spent,
        points / 1e6 / wall,
        percentile(&taken, 0.5),
        percentile(&taken, 0.99),
        percentile(&taken, 1.0),
        resident_mb(),
    );
    let grid = Grid::ending_at(
        Timestamp::from_secs(case.minutes as i64 * 60),
        Step::MINUTE,
        case.minutes.min(2048),
    );
    let few = &keys[..keys.len().min(64)];
    read(&store, few, grid, "warm")?;
    store.close();
    drop(store);
    let (before, began) = (cpu()?, now());
    store = Store::open(dir, Options::default())?;
    let opened = (cpu()? - before, began.elapsed().as_secs_f64());
    read(&store, &keys, grid, "after reopening, all series")?;
    let stat = store.stat()?;
    println!(
        "  opened in {:.2} s ({:.2} CPU-s); disk {:.2} B/point, blocks {:.2} B/point of {:.0} KB, {:.0} % unsealed, records {:.1} MB",
        opened.1,
        opened.0,
        stat.disk_bytes as f64 / points,
        stat.block_bytes as f64 / (stat.sealed_samples as f64).max(1.0),
        stat.block_bytes as f64 / 1000.0 / (stat.blocks as f64).max(1.0),
        stat.head_samples as f64 / points * 100.0,
        stat.wal_bytes as f64 / 1e6,
    );
    println!(
        "  rolled up: raw {:.1} MB, five minutes {:.1} MB in {} blocks, hours {:.1} MB in {}; {} blocks due",
        stat.raw.bytes as f64 / 1e6,
        stat.five_minutes.bytes as f64 / 1e6,
        stat.five_minutes.blocks,
        stat.hour.bytes as f64 / 1e6,
        stat.hour.blocks,
        stat.unrolled_blocks,
    );
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let cases = [
        Case {
            name: "counters, 10,000 series, one timestamp a series",
            kind: Kind::Counters,
            series: 10_000,
            minutes: 600,
            shape: (1, 10_000),
        },
        Case {
            name: "counters, 10,000 series, 60 timestamps a series",
            kind: Kind::Counters,
            series: 10_000,
            minutes: 1_800,
            shape: (60, 167),
        },
        Case {
            name: "counters, 640 series to 20,000 samples",
            kind: Kind::Counters,
            series: 640,
            minutes: 20_000,
            shape: (60, 167),
        },
        Case {
            name: "floats, 640 series to 20,000 samples",
            kind: Kind::Floats,
            series: 640,
            minutes: 20_000,
            shape: (60, 167),
        },
    ];
    let chosen = std::env::args().nth(1);
    for case in &cases {
        let dir = match &chosen {
            Some(dir) => tempfile::tempdir_in(dir)?,
            None => tempfile::tempdir()?,
        };
        run(case, dir.path())?;
    }
    Ok(())
}
