//! The table of hostile cases: what each did, what became of it, and how soon all was well again.
//! `cargo run -p tidegate-hostile --example table`, after `cargo build -p tidegate`.
//!
//! Calls run on an engine of this process, uploads on a daemon of the real binary. While a case is
//! under way a neighbour is asked again and again: `slowest` is the longest that it waited. `well` is
//! the time from the end of the case to the next good answer. Figures are printed, never asserted:
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
        "\n{what:34} | {:72} | {:>9} | {:>9} | {:>9}",
        "what happened", "took", "slowest", "well"
    );
    println!(
        "{:-<34}-+-{:-<72}-+-{:-<9}-+-{:-<9}-+-{:-<9}",
        "", "", "", "", ""
    );
}

fn print(row: &Row) {
    let outcome: String = row.outcome.chars().take(72).collect();
    let [took, slowest, well] =
        [row.took, row.slowest, row.well].map(|d| format!("{:.2} ms", d.as_secs_f64() * 1e3));
    println!(
        "{:34} | {outcome:72} | {took:>9} | {slowest:>9} | {well:>9}",
        row.case
    );
}

/// Runs a case while a neighbour is asked, then asks the neighbour once more.
fn observe(
    case: &str,
    neighbour: &(dyn Fn() -> Result<()> + Sync),
    bad: impl FnOnce() -> String,
) -> Result<Row> {
    let over = AtomicBool::new(false);
    let (outcome, took, slowest) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| -> Result<Duration> {
            let mut slowest = Duration::ZERO;
            while !over.load(Ordering::Acquire) {
                let begun = Instant::now();
                neighbour()?;
                slowest = slowest.max(begun.elapsed());
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(slowest)
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
    Ok(Row {
        case: case.into(),
        outcome,
        took,
        slowest,
        well: begun.elapsed(),
    })
}
