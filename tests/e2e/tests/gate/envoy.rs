//! What a real Envoy counts is what is stored, by each of its two sinks.
//!
//! Two of them (from PyPI) pass requests on and tell both ways at once, into a tenant each: one counts
//! from its start and tells tags as labels, the other counts from flush to flush and has tags in its
//! names. Neither names its instance by OTLP, as no Envoy does by itself.

use crate::feeds::{CONFIG, stored};
use crate::python::Python;
use anyhow::{Context, Result, ensure};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tidegate_core::units::Signal;
use tidegate_e2e::{Daemon, Gate, gate};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The traffic of the sinks themselves is nobody's load.
const RULES: &str = r#"  mapping:
    - {match: '{"envoy.cluster_name"="tidegate"}', drop: true}
    - {match: '{__name__=~"cluster[.]tidegate[.].*"}', drop: true}
"#;

/// Requests that say whether everything is heard; their step may not be given out.
const WARM: u32 = 3;

/// Ended when it is dropped.
struct Envoy {
    process: Child,
    front: u16,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

async fn port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

async fn envoy(
    python: &Python,
    gate: &Gate,
    daemon: &Daemon,
    node: &str,
    deltas: bool,
) -> Result<Envoy> {
    let at = daemon.url().rsplit(':').next().context("no port")?;
    let (front, back) = (port().await?, port().await?);
    let text = include_str!("envoy.yaml")
        .replace("NODE", node)
        .replace("LABELS", if deltas { "false" } else { "true" })
        .replace("DELTAS", if deltas { "true" } else { "false" })
        .replace("COUNTERS", if deltas { "delta" } else { "cumulative" })
        .replace("FRONT", &front.to_string())
        .replace("BACK", &back.to_string())
        .replace("GATE", at);
    let config = gate.file(&format!("{node}.yaml"), text)?;
    let log = std::fs::File::create(gate.home().join(format!("{node}.log")))?;
    let process = Command::new(python.tool("envoy"))
        .arg("-c")
        .arg(config)
        .args(["--use-dynamic-base-id", "--concurrency", "1"])
        .args(["--log-level", "warning"])
        .env("OTEL_RESOURCE_ATTRIBUTES", "tidegate.tenant=otlp")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(Envoy { process, front })
}

/// One request; the status of its answer.
async fn ask(envoy: &Envoy, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", envoy.front)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1);
    Ok(status.context("no answer")?.to_owned())
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_envoys_count_is_what_is_stored_by_either_sink() -> Result<()> {
    let Some(python) = Python::with_envoy("Envoy's metrics by both of its sinks") else {
        return Ok(());
    };
    let gate = gate()?.config(format!("{CONFIG}{RULES}"));
    let daemon = gate.start().await?;
    let envoys = [
        envoy(&python, &gate, &daemon, "counting", false).await?,
        envoy(&python, &gate, &daemon, "telling", true).await?,
    ];
    // Both are up when they answer, and heard before their first request when two flushes have passed.
    for envoy in &envoys {
        let mut tries = 0;
        while TcpStream::connect(("127.0.0.1", envoy.front))
            .await
            .is_err()
        {
            tries += 1;
            ensure!(tries < 100, "an Envoy does not listen");
            pause(200).await;
        }
    }
    pause(3_000).await;
    for envoy in &envoys {
        for _ in 0..WARM {
            ensure!(ask(envoy, "/warm").await? == "200");
        }
    }
    let mut tries = 0;
    loop {
        let told = daemon.cli(&["get", "api", "-o", "json"])?;
        let there = |api: &str| told.stdout.contains(api);
        if there("otlp/pay") && there("stream/pay") && there("stream/shop/cards") {
            ensure!(
                !there("tidegate\""),
                "a rule does not drop: {}",
                told.stdout
            );
            break;
        }
        tries += 1;
        ensure!(tries < 60, "{}\n{}", told.stdout, gate.log()?);
        pause(500).await;
    }
    // Longer than `hold`, so that what appears now is new and not unheard.
    pause(6_000).await;
    let (mut served, mut failed) = (0, 0);
    for round in 0..8 {
        for (i, envoy) in envoys.iter().enumerate() {
            for _ in 0..=(round + 2 * i) {
                ensure!(ask(envoy, "/cards/1").await? == "200");
                served += 1;
            }
            if round % 3 == 1 {
                ensure!(ask(envoy, "/fail").await? == "503");
                served += 1;
                failed += 1;
            }
        }
        pause(400).await;
    }
    // What is open is given out after `hold`; the Envoys stream on while the daemon stops.
    pause(9_000).await;
    ensure!(daemon.stop().await? == Some(0), "{}", gate.log()?);
    drop(envoys);

    let warm = f64::from(2 * WARM);
    for tenant in ["stream", "otlp"] {
        for api in ["pay", "shop/cards"] {
            let api = format!("{tenant}/{api}");
            let of = |signal| stored(&gate, &api, signal).map(f64::round);
            let all = f64::from(served)..=f64::from(served) + warm;
            let (requests, errors) = (of(Signal::Requests)?, of(Signal::Errors)?);
            let latencies = of(Signal::Latency)?;
            let told = format!(
                "{api}: {requests} requests, {errors} errors, {latencies} latencies; {served} were sent, {failed} failed, {warm} before\n{}",
                gate.log()?
            );
            ensure!(
                all.contains(&requests) && all.contains(&latencies),
                "{told}"
            );
            ensure!(errors.to_bits() == f64::from(failed).to_bits(), "{told}");
        }
    }
    Ok(())
}
