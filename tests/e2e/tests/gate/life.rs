//! The life of a version as a person leads it on the command line: in shadow, past the gate, back, and
//! what is told of it afterwards.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidegate_e2e::feed::{Feed, Series};
use tidegate_e2e::{Daemon, catalog, gate};
use tidegate_proto::v1;

const BINDING: &str = "default-forecaster";

fn json(daemon: &Daemon, arguments: &[&str]) -> Result<Value> {
    let told = daemon.cli(&[arguments, &["-o", "json"]].concat())?;
    ensure!(told.ok(), "{arguments:?}: {}", told.stderr);
    Ok(serde_json::from_str(&told.stdout)?)
}

fn slot(daemon: &Daemon) -> Result<Value> {
    let slots = json(daemon, &["policy", "slots"])?;
    let mut all = slots.as_array().context("no list")?.iter();
    let mine = all.find(|slot| slot["binding"] == BINDING);
    Ok(mine.context("no slot")?.clone())
}

/// What happened to the binding, with who did it and whether it was forced.
fn past(daemon: &Daemon) -> Result<Vec<(String, String, bool)>> {
    let steps = json(daemon, &["policy", "history", BINDING])?;
    let text = |step: &Value, field: &str| step[field].as_str().unwrap_or_default().to_owned();
    let all = steps.as_array().context("no list")?.iter();
    let told = |s| (text(s, "event"), text(s, "by"), s["forced"] == true);
    Ok(all.map(told).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_shadowed_forced_taken_back_and_remembered_over_a_restart() -> Result<()> {
    let gate = gate()?;
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    let series = [Series::new("shop/orders", v1::Signal::Requests, 300)];
    catalog::apply(&channel, catalog::shop()).await?;
    Feed::open(&channel, &series).await?.store(0, 24).await?;
    catalog::advance(&channel, series[0].at(24)).await?;

    let put = json(&daemon, &["policy", "shadow", BINDING, "ets"])?;
    ensure!(
        put["trial"]["candidate"]["module"]["name"] == "ets",
        "{put}"
    );
    ensure!(
        put["active"]["name"] == "ensemble",
        "a shadow serves nobody"
    );
    let refused = daemon.cli(&["policy", "promote", BINDING])?;
    ensure!(
        !refused.ok()
            && refused.stderr.contains("--force")
            && refused.stderr.contains("of at least 1d"),
        "{}",
        refused.stderr
    );
    // In use: it cannot be given up, and its binding says so.
    let kept = daemon.cli(&["policy", "remove", "ets"])?;
    ensure!(kept.stderr.contains("in shadow of"), "{}", kept.stderr);

    let promoted = json(&daemon, &["policy", "promote", BINDING, "--force"])?;
    ensure!(promoted["active"]["name"] == "ets", "{promoted}");
    ensure!(promoted["last_good"]["name"] == "ensemble", "{promoted}");
    ensure!(
        promoted["trial"]["serving"] == "candidate",
        "it is watched: {promoted}"
    );
    let between = json(&daemon, &["policy", "diff", "ets", "ensemble"])?;
    ensure!(between["trials"][0]["binding"] == BINDING, "{between}");
    let differs = between["differs"].as_array().context("no list")?;
    ensure!(differs.contains(&Value::from("name")) && !differs.contains(&Value::from("kind")));

    // The version before stands behind it after a restart as well, and the watch goes on.
    let before = past(&daemon)?;
    drop(channel);
    daemon.stop().await?;
    let daemon = gate.start().await?;
    ensure!(past(&daemon)? == before, "{before:?}");
    let again = slot(&daemon)?;
    ensure!(again["last_good"] == promoted["last_good"], "{again}");
    ensure!(
        again["trial"]["since"] == promoted["trial"]["since"],
        "{again}"
    );

    let back = json(&daemon, &["policy", "rollback", BINDING])?;
    ensure!(back["active"]["name"] == "ensemble", "{back}");
    let refused = daemon.cli(&["policy", "shadow", BINDING, "ets"])?;
    ensure!(
        refused.stderr.contains("RB1") && refused.stderr.contains("--lift"),
        "{}",
        refused.stderr
    );
    let lifted = [
        "policy",
        "quarantine",
        "ets",
        "--binding",
        BINDING,
        "--lift",
    ];
    ensure!(daemon.cli(&lifted)?.ok());
    json(&daemon, &["policy", "shadow", BINDING, "ets"])?;
    // A word takes it out at once, and its shadow ends.
    let gone = json(&daemon, &["policy", "quarantine", "ets", "--everywhere"])?;
    ensure!(gone["quarantined"] == true, "{gone}");
    ensure!(slot(&daemon)?["trial"] == Value::Null);
    json(&daemon, &["policy", "bind", BINDING, "theta"])?;

    let past = past(&daemon)?;
    let seen: Vec<(&str, bool)> = past.iter().map(|(e, _, f)| (e.as_str(), *f)).collect();
    ensure!(
        seen == [
            ("bound", false),
            ("shadow", false),
            ("promoted", true),
            ("rolled-back", false),
            ("quarantined", false),
            ("lifted", false),
            ("shadow", false),
            ("shadow-ended", false),
            ("bound", true),
        ],
        "{past:?}"
    );
    // The daemon itself has bound what is there by default; all else a person did.
    ensure!(past[0].1 == "tidegate", "{past:?}");
    ensure!(past[1..].iter().all(|(_, by, _)| by == "local"), "{past:?}");
    let of_module = daemon.cli(&["policy", "history", "ets"])?;
    for word in ["uploaded", "admitted", "promoted (forced)", "quarantined"] {
        ensure!(
            of_module.stdout.contains(word),
            "{word}: {}",
            of_module.stdout
        );
    }
    daemon.stop().await?;
    Ok(())
}
