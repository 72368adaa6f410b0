//! From nothing to a running, hot-swapped forecaster of one's own, by the verbs that an author has.
//!
//! What was compiled for an earlier run is kept under `target/tmp`, as it is on an author's machine; how
//! long the way took is printed, and a benchmark's affair to judge.

use crate::javascript::JavaScript;
use crate::python::Python;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tidegate_e2e::feed::{Feed, Series};
use tidegate_e2e::{Daemon, Gate, bounded, catalog, gate, say};
use tidegate_proto::v1;

/// Compiling what a plugin depends on, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(10);

/// Who makes forecasts now, by the command line.
fn forecaster(daemon: &Daemon) -> Result<String> {
    let told = daemon.cli(&["forecast", "shop/orders", "-o", "json"])?;
    ensure!(told.ok(), "{told:?}");
    let json: serde_json::Value = serde_json::from_str(&told.stdout).context(told.stdout)?;
    let module = &json["served"]["module"]["digest"];
    Ok(module
        .as_str()
        .with_context(|| format!("{json}"))?
        .to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long the way took is printed"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forecaster_of_ones_own_is_begun_tested_and_serves_and_so_does_its_next_version()
-> Result<()> {
    let gate = gate()?;
    let series = [Series::new("shop/orders", v1::Signal::Requests, 300)];
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;
    let mut feed = Feed::open(&channel, &series).await?;
    feed.store(0, 48).await?;
    catalog::advance(&channel, series[0].at(48)).await?;
    let shipped = forecaster(&daemon)?;

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author");
    let verb =
        |arguments: &[&str]| daemon.cli_with(arguments, &[("CARGO_TARGET_DIR", &target)], PATIENCE);
    let directory = gate.home().join("mine").display().to_string();
    let begun = Instant::now();
    let told = verb(&[
        "policy",
        "new",
        "forecaster",
        "mine",
        "--directory",
        &directory,
    ])?;
    ensure!(told.ok(), "{told:?}");
    let told = verb(&["policy", "test", &directory, "--offline"])?;
    ensure!(told.ok(), "{}\n{}", told.stdout, told.stderr);
    ensure!(
        told.stdout.contains("ok    ") && !told.stdout.contains("FAIL"),
        "{}",
        told.stdout
    );
    let tested = begun.elapsed();
    let dev = [
        "policy",
        "dev",
        &directory,
        "--binding",
        "default-forecaster",
        "--once",
        "--offline",
    ];
    let told = verb(&dev)?;
    ensure!(told.ok(), "{}\n{}", told.stdout, told.stderr);
    ensure!(told.stdout.contains("mine 0.1.0"), "{}", told.stdout);
    let serving = begun.elapsed();
    say(&format!(
        "new and tested in {:.0} s, pushed and serving after {:.0} s",
        tested.as_secs_f64(),
        serving.as_secs_f64()
    ));

    feed.store(48, 1).await?;
    catalog::advance(&channel, series[0].at(49)).await?;
    let first = forecaster(&daemon)?;
    ensure!(first != shipped, "the author's module answers");

    // A change, and the next version serves; what is broken is told and changes nothing.
    let source = gate.home().join("mine/src/lib.rs");
    let text = std::fs::read_to_string(&source)?;
    std::fs::write(
        &source,
        text.replace("Self { alpha: 0.3 }", "Self { alpha: 0.9 }"),
    )?;
    let changed = Instant::now();
    let told = verb(&dev)?;
    ensure!(told.ok(), "{}\n{}", told.stdout, told.stderr);
    say(&format!(
        "from a changed line to the next version serving in {:.0} s",
        changed.elapsed().as_secs_f64()
    ));
    feed.store(49, 1).await?;
    catalog::advance(&channel, series[0].at(50)).await?;
    let second = forecaster(&daemon)?;
    ensure!(
        second != first && second != shipped,
        "the next version answers"
    );
    std::fs::write(&source, "this is no Rust")?;
    let told = verb(&dev)?;
    ensure!(told.code == Some(1), "{told:?}");
    ensure!(
        forecaster(&daemon)? == second,
        "what served goes on serving"
    );
    daemon.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forecaster_in_python_keeps_every_promise_and_serves() -> Result<()> {
    let Some(python) = Python::environment("a_forecaster_in_python") else {
        return Ok(());
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let source = root.join("sdk/python/hourly");
    let gate = gate()?;
    let plain = gate.home().join("app.wasm");
    let mut componentize = Command::new(python.tool("componentize-py"));
    componentize.arg("-d").arg(root.join("wit/0.2"));
    componentize.args(["-w", "forecaster", "componentize", "--stub-wasi", "-p"]);
    componentize.arg(&source).args(["app", "-o"]).arg(&plain);
    let told = bounded(&mut componentize, PATIENCE)?;
    ensure!(told.ok(), "{told:?}");

    serves(&gate, &plain, &source, "hourly-python").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forecaster_in_javascript_keeps_every_promise_and_serves() -> Result<()> {
    let Some(javascript) = JavaScript::environment("a_forecaster_in_javascript") else {
        return Ok(());
    };
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk");
    let gate = gate()?;
    let plain = gate.home().join("app.wasm");
    javascript.component(&sdk, "hourly", &plain)?;
    serves(
        &gate,
        &plain,
        &sdk.join("javascript/hourly"),
        "hourly-javascript",
    )
    .await
}

/// Wraps, tests, pushes and binds what another language's tools have made, and sees it forecast.
async fn serves(gate: &Gate, plain: &Path, source: &Path, name: &str) -> Result<()> {
    let wrapped = gate.home().join("hourly.wasm");
    let series = [Series::new("shop/orders", v1::Signal::Requests, 300)];
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;
    Feed::open(&channel, &series).await?.store(0, 48).await?;
    catalog::advance(&channel, series[0].at(48)).await?;
    let before = forecaster(&daemon)?;
    let (plain, wrapped) = (plain.display().to_string(), wrapped.display().to_string());
    let declared = source.join("module.json").display().to_string();
    for arguments in [
        &[
            "policy",
            "wrap",
            &plain,
            "--declare",
            &declared,
            "--out",
            &wrapped,
        ][..],
        &["policy", "test", &wrapped],
        &["policy", "push", &wrapped],
        &["policy", "bind", "default-forecaster", name],
    ] {
        let told = daemon.cli_with(arguments, &[], PATIENCE)?;
        ensure!(told.ok(), "{arguments:?}: {}\n{}", told.stdout, told.stderr);
    }
    Feed::open(&channel, &series).await?.store(48, 1).await?;
    catalog::advance(&channel, series[0].at(49)).await?;
    ensure!(forecaster(&daemon)? != before, "{name} answers");
    daemon.stop().await?;
    Ok(())
}
