//! How much a point costs: appending, reading, disk. `cargo run --release -p tidegate-store
//! --example ingest_bench [DIRECTORY]`.
//!
//! Points per *CPU second of the process*, from `/proc/self/stat`, since the machine is shared and
//! wall time says more about the others. The directory should be on a real disk: an ack includes a
//! sync. Figures are printed, never asserted.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod bench;

use bench::{Kind, append, batches, cpu, keys, now, percentile, resident_mb};
use std::path::Path;
use tidegate_core::ports::storage::History as _;
use tidegate_core::sample::{SampleBatch, SeriesKey};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_store::{Options, Store};

struct Case {
    name: &'static str,
    kind: Kind,
    series: usize,
    minutes: usize,
    /// Timestamps of a series in one batch, series in one batch.
    shape: (usize, usize),
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
    let made: Vec<SampleBatch> = batches(case.kind, &keys, 0..case.minutes, case.shape).collect();
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
