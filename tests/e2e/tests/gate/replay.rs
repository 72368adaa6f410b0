//! What a killed daemon has decided comes out again, to the bit, in another process.

use anyhow::{Context, Result, ensure};
use tidegate_e2e::feed::{Feed, Series};
use tidegate_e2e::{catalog, gate};
use tidegate_proto::v1;

/// Plans on each side of the swap.
const PLANS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decisions_of_a_killed_daemon_are_made_again_to_the_bit() -> Result<()> {
    let gate = gate()?;
    let series =
        ["shop/orders", "shop/search"].map(|api| Series::new(api, v1::Signal::Requests, 300));
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;
    let mut feed = Feed::open(&channel, &series).await?;
    feed.store(0, 24).await?;
    for n in 0..2 * PLANS {
        if n == PLANS {
            // From here on another allocator divides the pool, which keeps a state.
            let bound = daemon.cli(&["policy", "bind", "default-allocator", "learned"])?;
            ensure!(bound.ok(), "{bound:?}");
        }
        feed.store(24 + n, 1).await?;
        catalog::advance(&channel, series[0].at(25 + n)).await?;
    }
    daemon.kill()?;

    let replay = |more: &[&str]| gate.offline("replay", more);
    let told = replay(&["-o", "json"])?;
    ensure!(told.ok(), "{told:?}");
    let json: serde_json::Value = serde_json::from_str(&told.stdout).context(told.stdout)?;
    ensure!(json["plans"].as_u64() >= Some(2 * PLANS as u64), "{json}");
    ensure!(json["same"] == json["plans"], "{json}");
    // One tenant's tiers and one pool's shares each.
    let decisions = json["plans"].as_u64().map(|n| 2 * n);
    ensure!(json["decisions"].as_u64() == decisions, "{json}");

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
