//! Observe, recommend, enforce: only the last puts anything in force, and every answer says so.

use anyhow::{Context, Result, ensure};
use tidegate_e2e::feed::{Feed, Series};
use tidegate_e2e::{catalog, gate};
use tidegate_proto::v1::limits_client::LimitsClient;
use tidegate_proto::v1::object::Object;
use tidegate_proto::v1::plans_client::PlansClient;
use tidegate_proto::v1::{self, Mode};
use tonic::transport::Channel;

fn api(name: &str, mode: Mode) -> Object {
    Object::Api(v1::Api {
        mode: mode.into(),
        safe: Some(catalog::requests(6.25)),
        ..catalog::api(name, "edge", v1::Tier::Gold)
    })
}

async fn grant(channel: &Channel, api: &str) -> Result<v1::Grant> {
    let request = v1::GetGrantRequest { api: api.into() };
    let answer = LimitsClient::new(channel.clone())
        .get_grant(request)
        .await?;
    answer.into_inner().grant.context("no grant")
}

/// Requests/s that an enforcer would hold the api to; `None` where to nothing.
fn held_to(grant: &v1::Grant) -> Option<f64> {
    let of = |r: &Option<v1::Resources>| r.as_ref().and_then(|r| r.requests);
    of(&grant.limit)
        .or(of(&grant.safe))
        .or(of(&grant.guaranteed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_enforced_apis_are_limited_and_the_others_are_told_what_they_would_get() -> Result<()>
{
    let gate = gate()?;
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(
        &channel,
        vec![
            catalog::tenant("shop"),
            catalog::pool("edge", 10_000.0),
            api("shop/acts", Mode::Enforce),
            api("shop/tells", Mode::Recommend),
            api("shop/looks", Mode::Observe),
        ],
    )
    .await?;
    // Before any plan, a declared safe capacity is in force for nobody who is only looked at.
    ensure!(held_to(&grant(&channel, "shop/looks").await?).is_none());
    ensure!(held_to(&grant(&channel, "shop/tells").await?).is_none());
    ensure!(held_to(&grant(&channel, "shop/acts").await?) == Some(6.25));

    let series = ["shop/acts", "shop/tells", "shop/looks"]
        .map(|api| Series::new(api, v1::Signal::Requests, 300));
    Feed::open(&channel, &series).await?.store(0, 24).await?;
    catalog::advance(&channel, series[0].at(24)).await?;

    let acts = grant(&channel, "shop/acts").await?;
    ensure!(acts.mode() == Mode::Enforce && acts.recommended.is_none());
    ensure!(held_to(&acts).is_some_and(|limit| limit > 0.0));
    let tells = grant(&channel, "shop/tells").await?;
    ensure!(tells.mode() == Mode::Recommend && held_to(&tells).is_none());
    ensure!(
        tells
            .recommended
            .and_then(|r| r.requests)
            .is_some_and(|r| r > 0.0),
        "{tells:?}"
    );
    let looks = grant(&channel, "shop/looks").await?;
    ensure!(looks.mode() == Mode::Observe && held_to(&looks).is_none());
    ensure!(looks.recommended.is_none(), "{looks:?}");

    let mut plans = PlansClient::new(channel.clone());
    let request = super::world::plan_of("edge");
    let plan = plans.get_plan(request).await?.into_inner().plan;
    let rows = plan.context("no plan")?.apis;
    let modes: Vec<_> = rows.iter().map(|r| (r.api.as_str(), r.mode())).collect();
    ensure!(
        modes
            == [
                ("shop/acts", Mode::Enforce),
                ("shop/tells", Mode::Recommend)
            ],
        "{modes:?}"
    );

    let mut said = async |api: &str| -> Result<v1::ExplainResponse> {
        let request = v1::ExplainRequest {
            api: api.into(),
            at_ms: None,
        };
        Ok(plans.explain(request).await?.into_inner())
    };
    let why = said("shop/tells").await?;
    let told = why.sentences.join("\n");
    ensure!(told.contains("None of this is in force"), "{told}");
    ensure!(held_to(&why.grant.context("no grant")?).is_none());
    let why = said("shop/acts").await?;
    ensure!(!why.sentences.join("\n").contains("in force:"));

    let shown = daemon.cli(&["grant", "shop/tells"])?.stdout;
    ensure!(shown.contains("not limited (mode recommend)"), "{shown}");
    let shown = daemon.cli(&["why", "shop/tells"])?.stdout;
    ensure!(shown.contains("would give it"), "{shown}");
    let shown = daemon.cli(&["plan", "edge"])?.stdout;
    ensure!(shown.contains("shop/tells (recommend)"), "{shown}");
    daemon.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_a_grant_hears_at_once_that_it_binds_no_more() -> Result<()> {
    let gate = gate()?;
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    let declared = vec![
        catalog::tenant("shop"),
        catalog::pool("edge", 100.0),
        api("shop/orders", Mode::Enforce),
    ];
    catalog::apply(&channel, declared).await?;
    let request = v1::WatchGrantRequest {
        api: "shop/orders".into(),
    };
    let mut watch = LimitsClient::new(channel.clone())
        .watch_grant(request)
        .await?
        .into_inner();
    let mut next = async || -> Result<v1::Grant> {
        let message = watch.message().await?.context("the watch ended")?;
        message.grant.context("no grant")
    };
    ensure!(held_to(&next().await?) == Some(6.25));
    for (mode, limit) in [(Mode::Recommend, None), (Mode::Enforce, Some(6.25))] {
        catalog::apply(&channel, vec![api("shop/orders", mode)]).await?;
        let heard = next().await?;
        ensure!(
            heard.mode() == mode && held_to(&heard) == limit,
            "{heard:?}"
        );
    }
    daemon.stop().await?;
    Ok(())
}
