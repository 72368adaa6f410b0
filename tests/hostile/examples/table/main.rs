//! The table of hostile cases: what each did, what became of it, and how soon all was well again.
//! `cargo run -p tidegate-hostile --example table`, after `cargo build -p tidegate`.
//!
//! Calls run on an engine of this process, uploads on a daemon of the real binary. While a case is
//! under way a neighbour is asked again and again: `slowest` is the longest that it waited. `well` is
//! the time from the end of the case to the next good answer, `kept` what the host's memory grew by. Figures are printed, never asserted:
//! a shared machine drifts.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a table with times"
)]

mod calls;
mod uploads;

use anyhow::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One line.
struct Row {
    case: String,
    outcome: String,
    took: Duration,
    slowest: Duration,
    well: Duration,
    /// Resident memory of the host after it, less that before, in KiB.
    kept: i64,
}

#[tokio::main]
async fn main() -> Result<()> {
    head("call into a guest");
    calls::run(&mut |row| print(&row))?;
    head("uploaded component");
    uploads::run(&mut |row| print(&row)).await
}

fn head(what: &str) {
    println!(
        "\n{what:35} | {:90} | {:>10} | {:>8} | {:>8} | {:>8}",
        "what happened", "took", "slowest", "well", "kept"
    );
    println!(
        "{:-<35}-+-{:-<90}-+-{:-<10}-+-{:-<8}-+-{:-<8}-+-{:-<8}",
        "", "", "", "", "", ""
    );
}

fn print(row: &Row) {
    let outcome: String = row.outcome.chars().take(90).collect();
    let [took, slowest, well] =
        [row.took, row.slowest, row.well].map(|d| format!("{:.2} ms", d.as_secs_f64() * 1e3));
    println!(
        "{:35} | {outcome:90} | {took:>10} | {slowest:>8} | {well:>8} | {:>+5} KB",
        row.case, row.kept
    );
}

/// Runs a case while a neighbour is asked, then asks the neighbour once more.
fn observe(
    case: &str,
    host: u32,
    neighbour: &(dyn Fn() -> Result<()> + Sync),
    bad: impl FnOnce() -> String,
) -> Result<Row> {
    let over = AtomicBool::new(false);
    let before = resident(host)?;
    let (outcome, took, slowest) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| -> Result<Duration> {
            let mut slowest = Duration::ZERO;
            loop {
                let begun = Instant::now();
                neighbour()?;
                slowest = slowest.max(begun.elapsed());
                if over.load(Ordering::Acquire) {
                    return Ok(slowest);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let begun = Instant::now();
        let outcome = bad();
        let took = begun.elapsed();
        over.store(true, Ordering::Release);
        let slowest = asking
            .join()
            .map_err(|_| anyhow::anyhow!("the neighbour's thread panicked"))??;
        Ok::<_, anyhow::Error>((outcome, took, slowest))
    })?;
    let begun = Instant::now();
    neighbour()?;
    let well = begun.elapsed();
    Ok(Row {
        case: case.into(),
        outcome,
        took,
        slowest,
        well,
        kept: resident(host)? - before,
    })
}

/// Resident memory of a process, in KiB.
fn resident(process: u32) -> Result<i64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| anyhow::anyhow!("the system does not tell the memory of {process}"))
}
