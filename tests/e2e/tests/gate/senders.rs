//! Senders that speak HTTP/1.1, with TLS and without: what they send is taken, and who dawdles does not
//! stay.
//!
//! They are made of Python's standard library alone, whose client offers HTTP/1.1 and nothing else in a
//! handshake, as the clients of many senders do.

use crate::feeds::{CONFIG, stored};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tidegate_core::units::Signal;
use tidegate_e2e::{Gate, Outcome, bounded, gate, say};

const BOUND: Duration = Duration::from_secs(120);

/// A certificate of this machine's own, which is its own authority.
fn certificate(gate: &Gate) -> Result<(PathBuf, PathBuf)> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    Ok((
        gate.file("server.pem", made.cert.pem())?,
        gate.file("server.key", made.signing_key.serialize_pem())?,
    ))
}

fn with_tls(gate: Gate) -> Result<(Gate, String)> {
    let (certificate, key) = certificate(&gate)?;
    let (certificate, key) = (certificate.display().to_string(), key.display());
    let gate = gate.also(&format!(
        "tls:\n  certificate: {certificate}\n  key: {key}\n"
    ));
    Ok((gate, certificate))
}

fn run(gate: &Gate, arguments: &[&str]) -> Result<Outcome> {
    let script = gate.file("senders.py", include_str!("senders.py"))?;
    let mut command = Command::new("python3");
    bounded(command.arg(script).args(arguments), BOUND)
}

fn no_python(test: &str) -> bool {
    let missing = Command::new("python3").arg("--version").output().is_err();
    if missing {
        say(&format!("SKIPPED {test}: there is no python3 here"));
    }
    missing
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_by_http_1_1_and_tls_is_what_is_stored() -> Result<()> {
    if no_python("OTLP in JSON and remote write by HTTP/1.1 and TLS") {
        return Ok(());
    }
    let (gate, ca) = with_tls(gate()?.config(CONFIG))?;
    let daemon = gate.start().await?;
    let url = daemon
        .url()
        .replace("http://127.0.0.1", "https://localhost");
    let sent = tokio::task::block_in_place(|| run(&gate, &["feed", &url, &ca]))?;
    ensure!(sent.ok(), "{}\n{}", sent.stderr, gate.log()?);
    let counted: f64 = sent.stdout.trim().parse().context(sent.stdout.clone())?;
    // Nobody speaks any more: what is open is given out after `hold`.
    tokio::time::sleep(Duration::from_secs(8)).await;
    ensure!(daemon.stop().await? == Some(0), "{}", gate.log()?);
    for api in ["default/pay/GET/cards/_id_", "default/edge/GET/a"] {
        let served = stored(&gate, api, Signal::Requests)?;
        ensure!(
            (served - counted).abs() < 1e-6,
            "{served} of {counted} requests of {api} are stored"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dawdles_with_a_head_or_a_body_does_not_stay() -> Result<()> {
    if no_python("slow clients by HTTP/1.1") {
        return Ok(());
    }
    let (plain, (secret, ca)) = (gate()?, with_tls(gate()?)?);
    let (open, closed) = (plain.start().await?, secret.start().await?);
    let tls = closed
        .url()
        .replace("http://127.0.0.1", "https://localhost");
    let told = tokio::task::block_in_place(|| run(&secret, &["slow", &ca, open.url(), &tls]))?;
    ensure!(told.ok(), "{}\n{}", told.stderr, secret.log()?);
    let lines: Vec<&str> = told.stdout.lines().collect();
    ensure!(lines.len() == 6, "{told:?}");
    for line in lines {
        ensure!(!line.contains("it is kept"), "{line}");
        if line.starts_with("body") {
            // The next time it may come through, and is to be sent again.
            ensure!(line.contains("HTTP/1.1 503"), "{line}");
            ensure!(line.contains("retry-after: 1"), "{line}");
        } else {
            ensure!(!line.contains("HTTP/1.1 200"), "{line}");
        }
    }
    open.stop().await?;
    closed.stop().await?;
    Ok(())
}
