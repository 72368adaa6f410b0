//! What senders that we did not write count is what is stored: to the last request.
//!
//! Instances of one service are measured by OpenTelemetry's SDK for Python, which sends by gRPC and by
//! HTTP with gzip, one of them through a collector (rotel), and others in zstd and in JSON. The sums are
//! read from the store once the daemon has stopped.

use crate::python::Python;
use crate::telemetry::rotel;
use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::time::Duration;
use tidegate_core::ports::storage::History;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step};
use tidegate_core::units::Signal;
use tidegate_e2e::{Gate, bounded, gate, say};
use tidegate_store::{Options, Store};

const BOUND: Duration = Duration::from_secs(120);

pub(crate) const CONFIG: &str = "step: 5s\nhorizon: 1m\nplan: 30s\nvalidity: 30s\ncycle: 5s\nhistory: 1h\n\
                      feeds:\n  step: 1s\n  hold: 4s\n";

/// Everything that was stored of a signal: its sum over all steps.
pub(crate) fn stored(gate: &Gate, api: &str, signal: Signal) -> Result<f64> {
    let store = Store::open(gate.store(), Options::default())?;
    let key = SeriesKey {
        api: api.parse()?,
        signal,
    };
    let newest = store
        .newest(&key)
        .with_context(|| format!("{api} {} was never stored", signal.name()))?;
    let step = Step::from_secs(1).context("a step")?;
    let grid = Grid::ending_at(newest, step, 600);
    let sum = if signal == Signal::Latency {
        let steps = store.distributions(&key.api, grid)?;
        steps.iter().flatten().map(|d| d.count() as f64).sum()
    } else {
        store
            .column(&key, grid)?
            .values
            .iter()
            .filter(|v| v.is_finite())
            .sum()
    };
    store.close();
    Ok(sum)
}

/// Runs the senders to their end; requests and errors that they counted.
fn send(python: &Python, gate: &Gate, to: &[(&str, &str)]) -> Result<(f64, f64)> {
    let script = gate.file("feeds.py", include_str!("feeds.py"))?;
    let mut command = Command::new(python.program());
    command.arg(script);
    for (protocol, endpoint) in to {
        command.args([protocol, endpoint]);
    }
    let outcome = bounded(&mut command, BOUND)?;
    ensure!(outcome.ok(), "the senders failed: {}", outcome.stderr);
    ensure!(
        outcome.stdout.lines().count() == to.len(),
        "{}",
        outcome.stdout
    );
    let mut sums = (0.0, 0.0);
    for line in outcome.stdout.lines() {
        let (requests, errors) = line
            .split_once(' ')
            .context("a sender says something else")?;
        sums.0 += requests.parse::<f64>()?;
        sums.1 += errors.parse::<f64>()?;
    }
    Ok(sums)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_count_by_otlp_is_what_is_stored() -> Result<()> {
    let Some(python) = Python::environment("OTLP from OpenTelemetry's SDK") else {
        return Ok(());
    };
    let gate = gate()?.config(CONFIG);
    let daemon = gate.start().await?;
    let url = daemon.url().to_owned();
    let forms = ["grpc", "http", "zstd", "json"];
    let mut to: Vec<_> = forms.iter().map(|form| (*form, url.as_str())).collect();
    let between = match rotel(&python, &gate, &url).await {
        Ok(collector) => Some(collector),
        Err(why) => {
            say(&format!("SKIPPED OTLP through a collector: {why:#}"));
            None
        }
    };
    let through = between.as_ref().map(|(_, url)| url.clone());
    if let Some(through) = &through {
        to.push(("grpc", through.as_str()));
    }
    let (requests, errors) = tokio::task::block_in_place(|| send(&python, &gate, &to))?;
    // Nobody speaks any more: what is open is given out after `hold`.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let told = daemon.cli(&["get", "api", "-o", "json"])?;
    ensure!(
        told.ok() && told.stdout.contains("pay/GET/cards/_id_"),
        "{told:?}"
    );
    let forecast = daemon.cli(&["forecast", "default/pay/GET/cards/_id_"])?;
    ensure!(forecast.ok(), "{forecast:?}");
    drop(between);
    ensure!(daemon.stop().await? == Some(0), "{}", gate.log()?);

    let api = "default/pay/GET/cards/_id_";
    let (served, failed) = (
        stored(&gate, api, Signal::Requests)?,
        stored(&gate, api, Signal::Errors)?,
    );
    let slack = to.len() as f64;
    // Each instance's first request may lie in the step in which counting began.
    ensure!(
        (requests..=requests + slack).contains(&served.round()),
        "{served} of {requests} requests are stored\n{}",
        gate.log()?
    );
    ensure!(
        (failed - errors).abs() < 1e-6,
        "{failed} of {errors} errors are stored"
    );
    let observed = stored(&gate, api, Signal::Latency)?;
    ensure!(
        (observed - served).abs() < 1e-6,
        "{observed} latencies of {served} requests"
    );
    Ok(())
}
