//! What a read costs, and a start: `cargo run --release -p tidegate-store --example read_bench [DIRECTORY]`.
//!
//! *Cold* is the first read of a series after the store was opened again (its file may still be in the system's
//! cache, as after a restart of the daemon alone); *warm* is the second. Starts are measured after a kill -9, in a
//! process of their own, so that memory is that of the store alone. Figures are printed, never asserted.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod bench;

use anyhow::Context as _;
use bench::{Kind, append, batches, cpu, keys, now, percentile, resident_mb};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tidegate_core::ports::storage::History;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_store::{Options, Store};

/// Timestamps of a series in one batch, series in one batch.
const SHAPE: (usize, usize) = (60, 167);

/// The last `count` minutes.
fn latest(minutes: usize, count: usize) -> Grid {
    Grid::ending_at(
        Timestamp::from_secs(minutes as i64 * 60),
        Step::MINUTE,
        count.min(minutes),
    )
}

fn open(dir: &Path) -> anyhow::Result<Arc<Store>> {
    Ok(Store::open(dir, Options::default())?)
}

/// Reads each series once, in an order in which neighbours do not follow each other.
fn read(history: &dyn History, keys: &[SeriesKey], grid: Grid, name: &str) -> anyhow::Result<()> {
    let (before, began) = (cpu()?, now());
    let mut taken = vec![];
    let mut points = 0;
    for i in 0..keys.len() {
        let key = &keys[(i * 7919) % keys.len()];
        let began = now();
        points += history.column(key, grid)?.present();
        taken.push(began.elapsed().as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    println!(
        "  {} points {name}: p50 {:.1} us, p99 {:.1} us, max {:.0} us; all {} series in {:.0} ms ({:.2} CPU-s), {:.0} % present",
        grid.count,
        percentile(&taken, 0.5),
        percentile(&taken, 0.99),
        percentile(&taken, 1.0),
        keys.len(),
        began.elapsed().as_secs_f64() * 1000.0,
        cpu()? - before,
        points as f64 / (keys.len() * grid.count) as f64 * 100.0,
    );
    Ok(())
}

/// Long series: what a fit reads.
fn long(kind: Kind, name: &str, dir: &Path) -> anyhow::Result<()> {
    let (minutes, keys) = (20_160, keys(kind, 640)?);
    let store = open(dir)?;
    append(&store, batches(kind, &keys, 0..minutes, SHAPE))?;
    println!("{name}: {} series of {minutes} samples", keys.len());
    store.close();
    drop(store);
    for count in [2048, 20_160] {
        let store = open(dir)?;
        for how in ["cold", "warm", "warm again"] {
            read(&*store, &keys, latest(minutes, count), how)?;
        }
        store.close();
    }
    Ok(())
}

/// Many series: what a cycle reads, through what it reads through.
fn many(minutes: usize, dir: &Path) -> anyhow::Result<()> {
    let keys = keys(Kind::Counters, 10_000)?;
    let store = open(dir)?;
    append(&store, batches(Kind::Counters, &keys, 0..minutes, SHAPE))?;
    let stat = store.stat()?;
    println!(
        "a cycle: {} series of {minutes} samples, {:.0} % unsealed",
        keys.len(),
        stat.head_samples as f64 / (minutes * keys.len()) as f64 * 100.0
    );
    for how in ["first", "again"] {
        read(&store.pin(), &keys, latest(minutes, 60), how)?;
    }
    store.close();
    drop(store);
    let store = open(dir)?;
    let view = store.pin();
    // What comes meanwhile is left out of what the view sees.
    append(
        &store,
        batches(Kind::Counters, &keys, minutes..minutes + 1, (1, 10_000)),
    )?;
    read(
        &view,
        &keys,
        latest(minutes, 60),
        "after reopening, while others come",
    )?;
    store.close();
    Ok(())
}

/// Fills a store and waits to be killed.
fn fill(dir: &Path, series: usize, minutes: usize) -> anyhow::Result<()> {
    let keys = keys(Kind::Counters, series)?;
    let store = open(dir)?;
    append(&store, batches(Kind::Counters, &keys, 0..minutes, SHAPE))?;
    println!("{:.0} MB resident", resident_mb());
    std::thread::park();
    Ok(())
}

/// Opens it as a start does.
fn start(dir: &Path, series: usize, minutes: usize) -> anyhow::Result<()> {
    let (before, began) = (cpu()?, now());
    let store = open(dir)?;
    let (opened, spent, memory) = (
        began.elapsed().as_secs_f64(),
        cpu()? - before,
        resident_mb(),
    );
    let stat = store.stat()?;
    println!(
        "  ready after {opened:.2} s ({spent:.2} CPU-s), {memory:.0} MB resident; {:.0} % unsealed, {:.0} MB of records, {:.0} MB on disk",
        stat.head_samples as f64 / (series * minutes) as f64 * 100.0,
        stat.wal_bytes as f64 / 1e6,
        stat.disk_bytes as f64 / 1e6
    );
    let keys = keys(Kind::Counters, series)?;
    read(&store.pin(), &keys, latest(minutes, 60), "after it")?;
    println!("  {:.0} MB resident by then", resident_mb());
    store.close();
    Ok(())
}

/// This program in a process of its own; what it prints first.
fn apart(verb: &str, dir: &Path, series: usize, minutes: usize) -> anyhow::Result<(Child, String)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(verb)
        .arg(dir)
        .args([series.to_string(), minutes.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let output = child.stdout.take().context("it has no output")?;
    let mut lines = BufReader::new(output);
    while lines.read_line(&mut line)? > 0 && verb != "fill" {}
    Ok((child, line))
}

fn killed(series: usize, minutes: usize, dir: &Path) -> anyhow::Result<()> {
    let (mut child, told) = apart("fill", dir, series, minutes)?;
    child.kill()?;
    child.wait()?;
    println!(
        "killed: {series} series of {minutes} samples, {}",
        told.trim()
    );
    let (mut child, told) = apart("start", dir, series, minutes)?;
    child.wait()?;
    print!("{told}");
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, dir, series, minutes] = args.as_slice() {
        let (dir, series, minutes) = (Path::new(dir), series.parse()?, minutes.parse()?);
        return match verb.as_str() {
            "fill" => fill(dir, series, minutes),
            _ => start(dir, series, minutes),
        };
    }
    let place = || match args.first() {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    long(Kind::Counters, "counters", place()?.path())?;
    long(Kind::Floats, "floats", place()?.path())?;
    many(300, place()?.path())?;
    many(2_880, place()?.path())?;
    killed(100_000, 150, place()?.path())?;
    killed(100_000, 1_440, place()?.path())
}
