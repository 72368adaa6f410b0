//! What a killed daemon has decided comes out again, to the bit, in another process: forecasts from samples,
//! demand from forecasts, tiers and shares from demand.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidegate_e2e::{decisions, gate};

/// Plans of the story; `cargo run -p tidegate-e2e --example decisions` tells it at length.
const PLANS: usize = 48;

/// Everything of every plan was made again and is the same.
fn all_the_same(stdout: &str) -> Result<Value> {
    let json: Value = serde_json::from_str(stdout).with_context(|| stdout.to_owned())?;
    let plans = json["plans"].as_u64().context("no count of plans")?;
    ensure!(plans >= PLANS as u64, "{json}");
    ensure!(json["same"] == json["plans"], "{json}");
    ensure!(json["not_made_again"] == serde_json::json!([]), "{json}");
    // One tenant's tiers and one pool's shares each; two series; one demand.
    ensure!(json["decisions"].as_u64() == Some(2 * plans), "{json}");
    ensure!(json["forecasts"].as_u64() == Some(2 * plans), "{json}");
    ensure!(json["demands"].as_u64() == Some(plans), "{json}");
    Ok(json)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decisions_of_a_killed_daemon_are_made_again_to_the_bit() -> Result<()> {
    let gate = gate()?;
    let daemon = decisions::decide(&gate, PLANS).await?;

    // While it runs, by a copy that it makes, and that is gone afterwards.
    let live = daemon.cli(&["replay", "--strict", "-o", "json"])?;
    ensure!(live.ok(), "{live:?}");
    let live = all_the_same(&live.stdout)?;
    let copies = gate.data().join("copies");
    ensure!(
        copies.read_dir()?.next().is_none(),
        "a copy was left behind"
    );
    daemon.kill()?;

    let replay = |more: &[&str]| gate.offline("replay", more);
    let told = replay(&["--strict", "-o", "json"])?;
    ensure!(told.ok(), "{told:?}");
    ensure!(all_the_same(&told.stdout)? == live, "{told:?}");

    // A part of it is walked up to from the snapshots before.
    let part = replay(&["edge:40..44", "--strict"])?;
    ensure!(
        part.ok()
            && part
                .stdout
                .contains("10 forecasts and 5 demands of 5 plans"),
        "{part:?}"
    );

    let other = replay(&["edge:3..5", "--allocator", "proportional"])?;
    ensure!(other.code == Some(1), "{other:?}");
    ensure!(
        other
            .stdout
            .contains("pool edge plan 4: who answered: recorded"),
        "{}",
        other.stdout
    );
    ensure!(
        other.stderr.contains("3 of 3 plans came out otherwise"),
        "{}",
        other.stderr
    );

    for (plans, code, says) in [
        ("edge:9999", 2, "no plan 9999; its newest is"),
        ("nowhere", 2, "no plan of a pool `nowhere`"),
        ("edge:5..2", 2, "POOL:17..40"),
    ] {
        let told = replay(&[plans])?;
        ensure!(told.code == Some(code), "{told:?}");
        ensure!(told.stderr.contains(says), "{}", told.stderr);
    }
    Ok(())
}
