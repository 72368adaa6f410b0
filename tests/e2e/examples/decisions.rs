//! Many thousand decisions, through a power cut, a restart and two swaps, and all of them made again.
//!
//! `cargo run --release -p tidegate-e2e --example decisions -- 5000` (plans; each is one tierer's and one
//! allocator's decision, two forecasts and one demand; build the daemon first).
#![expect(clippy::print_stdout, reason = "its result is for a person")]

use anyhow::{Context as _, Result, ensure};
use std::time::Duration;
use tidegate_e2e::{binary, bounded, decisions, gate};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let plans = std::env::args().nth(1).map_or(Ok(5000), |n| n.parse())?;
    let gate = gate()?.also("refit: 2h\n");
    let daemon = decisions::decide(&gate, plans).await?;
    let status = daemon.cli(&["status"])?;
    println!("{}", status.stdout);
    daemon.kill()?;
    let mut replay = std::process::Command::new(binary()?);
    replay
        .arg("replay")
        .arg("--store")
        .arg(gate.data())
        .arg("--strict");
    let told = bounded(&mut replay, Duration::from_hours(1)).context("the replay does not end")?;
    println!("{}", told.stdout);
    ensure!(told.ok(), "{told:?}");
    Ok(())
}
