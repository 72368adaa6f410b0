//! A daemon that does not decide any more must leave a safe world behind.

use anyhow::{Context, Result, ensure};
use tidegate_e2e::feed::{Feed, Series};
use tidegate_e2e::{catalog, gate};
use tidegate_proto::v1::{self, limits_client::LimitsClient};
use tonic::transport::Channel;

async fn grant(channel: &Channel, api: &str) -> Result<v1::Grant> {
    let answer = LimitsClient::new(channel.clone())
        .get_grant(v1::GetGrantRequest { api: api.into() })
        .await?;
    answer.into_inner().grant.context("an empty answer")
}

/// The pool's dimension alone.
fn rate(resources: Option<v1::Resources>) -> Option<f64> {
    resources.and_then(|r| r.requests)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_nobody_renews_falls_back_to_the_safe_capacity() -> Result<()> {
    let gate = gate()?;
    let series =
        ["shop/orders", "shop/search"].map(|api| Series::new(api, v1::Signal::Requests, 300));
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;

    let never = grant(&channel, "shop/orders").await?;
    ensure!(
        never.generation == 0 && rate(never.limit) == Some(6.25),
        "before the first plan: {never:?}"
    );

    Feed::open(&channel, &series).await?.store(0, 24).await?;
    catalog::advance(&channel, series[0].at(24)).await?;
    let planned = grant(&channel, "shop/orders").await?;
    ensure!(
        planned.generation == 1 && rate(planned.limit) != Some(6.25),
        "planned: {planned:?}"
    );
    ensure!(
        planned.expires_at_ms == series[0].at(24) + 900_000,
        "valid for 15 minutes: {planned:?}"
    );
    daemon.kill()?;

    // The daemon comes back late: samples went on meanwhile, decisions did not. Its clock stands
    // where the data ends, and no cycle has run since.
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    Feed::open(&channel, &series).await?.store(24, 12).await?;
    daemon.kill()?;
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    for (api, safe) in [("shop/orders", 6.25), ("shop/search", 2.75)] {
        let expired = grant(&channel, api).await?;
        ensure!(expired.generation == 1, "no cycle has run: {expired:?}");
        ensure!(
            rate(expired.limit) == Some(safe),
            "after its expiry {api} has {expired:?}"
        );
        ensure!(
            rate(expired.guaranteed) == Some(safe),
            "and no more is kept for it: {expired:?}"
        );
        ensure!(
            expired.loans.is_empty(),
            "loans end with their plan: {expired:?}"
        );
    }
    // The next cycle takes over again.
    catalog::advance(&channel, series[0].at(37)).await?;
    let renewed = grant(&channel, "shop/orders").await?;
    ensure!(
        renewed.generation == 2 && renewed.expires_at_ms == series[0].at(37) + 900_000,
        "renewed: {renewed:?}"
    );
    // What was in force meanwhile is the safe capacity, so the way back begins there (AL3).
    ensure!(
        rate(renewed.limit).is_some_and(|limit| (3.0..=13.0).contains(&limit)),
        "a jump from what was in force: {renewed:?}"
    );
    Ok(())
}
