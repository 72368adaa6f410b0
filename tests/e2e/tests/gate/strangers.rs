//! A client that nobody of us wrote: Python's grpcio, with stubs made from `proto/` on the spot.

use crate::python::Python;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tidegate_e2e::{bounded, gate};

/// What the script must have done, in its order and in its words.
const STORY: [&str; 8] = [
    "health: SERVING",
    "reflection: all services of tidegate.v1",
    "applied: tenant, pool, api, slo",
    "pushed: 48 samples over the stream",
    "watched: plan 1 of pool edge",
    "module: seasonal-naive was there already",
    "module: fixture is new",
    "bound: seasonal-naive forecasts, plan 2 rests on it",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_client_feeds_watches_and_swaps_with_nothing_but_the_protos() -> Result<()> {
    let Some(python) = Python::environment("the Python client") else {
        return Ok(());
    };
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let components = guests()?;
    let gate = gate()?;
    let daemon = gate.start().await?;
    let mut script = Command::new(python.program());
    script.arg(repository.join("tests/e2e/python/client.py"));
    script
        .arg("--server")
        .arg(daemon.url().trim_start_matches("http://"));
    script
        .arg("--protos")
        .arg(repository.join("proto"))
        .arg("--stubs")
        .arg(gate.home().join("stubs"));
    script
        .arg("--known")
        .arg(components.join("seasonal-naive.wasm"));
    script.arg("--new").arg(components.join("fixture.wasm"));
    let outcome =
        tokio::task::spawn_blocking(move || bounded(&mut script, Duration::from_secs(120)))
            .await??;
    ensure!(
        outcome.ok(),
        "the client failed:\n{}\n{}\nthe daemon:\n{}",
        outcome.stdout,
        outcome.stderr,
        gate.log()?
    );
    let told: Vec<&str> = outcome.stdout.lines().collect();
    ensure!(told == STORY, "the client tells another story: {told:#?}");
    ensure!(!gate.log()?.contains("panicked"));
    Ok(())
}

/// Where the shipped policies lie as components; the build of the daemon has put them there.
fn guests() -> Result<std::path::PathBuf> {
    let binary = tidegate_e2e::binary()?;
    let target = binary
        .parent()
        .and_then(Path::parent)
        .context("the binary lies at the root")?;
    Ok(target.join("guests").join("components"))
}
