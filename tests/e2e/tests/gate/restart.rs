//! Starting again, starting twice, and starting where one should not.

use crate::aftermath::Aftermath;
use anyhow::{Context, Result, ensure};
use tidegate_e2e::feed::{Feed, Series};
use tidegate_e2e::{Daemon, catalog, gate};
use tidegate_proto::v1::{
    self, catalog_client::CatalogClient, limits_client::LimitsClient, plans_client::PlansClient,
};
use tonic::transport::Channel;
use tonic::{Code, Request};

fn load() -> Vec<Series> {
    ["shop/orders", "shop/search"]
        .map(|api| Series::new(api, v1::Signal::Requests, 300))
        .into()
}

async fn plan(channel: &Channel) -> Result<v1::Plan> {
    let request = v1::GetPlanRequest {
        pool: "edge".into(),
        generation: None,
    };
    let answer = PlansClient::new(channel.clone()).get_plan(request).await?;
    answer.into_inner().plan.context("an empty answer")
}

/// Generation and content of every object that is declared.
async fn declared(channel: &Channel) -> Result<Vec<v1::VersionedObject>> {
    let mut all = vec![];
    let mut client = CatalogClient::new(channel.clone());
    for kind in 1..=7 {
        let request = v1::ListObjectsRequest {
            kind,
            ..v1::ListObjectsRequest::default()
        };
        all.extend(client.list(request).await?.into_inner().objects);
    }
    // How its forecasts have fared is told with an api, not declared; of that a crash forgets an hour.
    let objects = all.iter_mut().filter_map(|o| o.object.as_mut());
    for object in objects {
        if let Some(v1::object::Object::Api(api)) = &mut object.object {
            api.forecasts.clear();
        }
    }
    Ok(all)
}

fn tiers(plan: &v1::Plan) -> Vec<(String, i32, i64)> {
    plan.apis
        .iter()
        .map(|a| (a.api.clone(), a.tier, a.tier_since_ms))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_stop_or_a_kill_the_next_plan_follows_the_last_one() -> Result<()> {
    let gate = gate()?;
    let series = load();
    let mut daemon = gate.start().await?;
    let mut channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;
    Feed::open(&channel, &series).await?.store(0, 24).await?;
    catalog::advance(&channel, series[0].at(24)).await?;

    for (n, gently) in [(25, true), (26, false), (27, true)] {
        let (last, before) = (plan(&channel).await?, declared(&channel).await?);
        drop(channel);
        if gently {
            ensure!(daemon.stop().await? == Some(0), "a stop is no failure");
        } else {
            daemon.kill()?;
        }
        daemon = gate.start().await?;
        channel = daemon.connect().await?;
        ensure!(
            plan(&channel).await? == last,
            "the plan in force is the one from before, to the bit"
        );
        ensure!(
            declared(&channel).await? == before,
            "the catalog is as it was"
        );

        Feed::open(&channel, &series).await?.store(n - 1, 1).await?;
        catalog::advance(&channel, series[0].at(n)).await?;
        let next = plan(&channel).await?;
        ensure!(
            (next.generation, next.parent) == (last.generation + 1, last.generation),
            "plan {} after {} follows {} (PL1)",
            next.generation,
            next.parent,
            last.generation
        );
        ensure!(
            tiers(&next) == tiers(&last),
            "tiers and their ages outlive the process: {:?}",
            tiers(&next)
        );
    }
    daemon.stop().await?;
    ensure!(Aftermath::of(&gate.store())?.records("edge")?.len() == 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_daemon_on_the_same_directory_says_who_is_in_the_way() -> Result<()> {
    let gate = gate()?;
    let mut daemon = gate.start().await?;
    let second = gate.refused()?;
    ensure!(second.code == Some(1), "{second:?}");
    let told = second.stderr.lines().last().unwrap_or_default();
    ensure!(
        told.contains("store") && !told.contains("panicked"),
        "{told}"
    );
    ensure!(
        ["in use", "another", "locked", "other"]
            .iter()
            .any(|w| told.contains(w)),
        "the message does not say that another daemon has the directory: {told}"
    );
    ensure!(daemon.lives()?, "the first goes on");
    catalog::apply(&daemon.connect().await?, catalog::shop()).await?;
    Ok(())
}

#[tokio::test]
async fn off_loopback_without_tokens_the_daemon_names_the_remedy_instead_of_starting() -> Result<()>
{
    let outcome = gate()?.listen("0.0.0.0:0").refused()?;
    for part in ["0.0.0.0", "token", "allow"] {
        ensure!(
            outcome.stderr.contains(part),
            "`{part}` is missing: {}",
            outcome.stderr
        );
    }
    Ok(())
}

/// SHA-256 of `reader-token`, `writer-token` and so on, as `sha256sum` gives them.
fn tokens() -> String {
    let token = |name: &str, role: &str, tenants: &str| {
        let digest = tidegate_core::ids::Digest::of(format!("{name}-token").as_bytes());
        format!("    - {{ name: {name}, sha256: \"{digest}\", role: {role}{tenants} }}\n")
    };
    format!(
        "auth:\n  tokens:\n{}{}{}{}",
        token("root", "admin", ""),
        token("reader", "reader", ", tenants: [shop]"),
        token("writer", "writer", ", tenants: [shop]"),
        token("stranger", "writer", ", tenants: [bank]"),
    )
}

fn by<T>(name: &str, message: T) -> Result<Request<T>> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {name}-token").parse()?);
    Ok(request)
}

async fn push(daemon: &Daemon, name: &str) -> Result<Result<v1::PushResponse, tonic::Status>> {
    let series = &load()[0];
    let series = v1::PushSeries {
        api: series.api.clone(),
        signal: series.signal.into(),
        step_s: series.step_s,
        columns: Some(series.columns(0, 1)),
    };
    let mut client = v1::ingest_client::IngestClient::new(daemon.connect().await?);
    let answer = client
        .push(by(
            name,
            v1::PushRequest {
                series: vec![series],
            },
        )?)
        .await;
    Ok(answer.map(tonic::Response::into_inner))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_cannot_write_and_a_stranger_sees_nothing() -> Result<()> {
    let gate = gate()?.also(&tokens());
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    let mut client = CatalogClient::new(channel.clone());
    let mut objects = catalog::shop();
    objects.push(catalog::tenant("bank"));
    let shop = || v1::ApplyRequest {
        changes: objects.iter().cloned().map(catalog::put).collect(),
        dry_run: false,
    };

    let nobody = client
        .apply(shop())
        .await
        .err()
        .context("a call without a token was served")?;
    ensure!(nobody.code() == Code::Unauthenticated, "{nobody:?}");
    let forged = client
        .apply(by("forged", shop())?)
        .await
        .err()
        .context("a forged token was taken")?;
    ensure!(forged.code() == Code::Unauthenticated, "{forged:?}");
    client.apply(by("root", shop())?).await?;

    let api = v1::Change {
        ..catalog::put(catalog::shop().remove(2))
    };
    let change = v1::ApplyRequest {
        changes: vec![api],
        dry_run: false,
    };
    let reader = client
        .apply(by("reader", change)?)
        .await
        .err()
        .context("a reader changed the catalog")?;
    ensure!(
        reader.code() == Code::PermissionDenied && reader.message().contains("writer"),
        "{reader:?}"
    );
    let fed = push(&daemon, "reader").await?.err();
    let fed = fed.context("a reader fed a series")?;
    ensure!(
        fed.code() == Code::PermissionDenied && fed.message().contains("writer"),
        "{fed:?}"
    );
    ensure!(push(&daemon, "writer").await??.stored == 1);

    // What is another's is answered exactly as what does not exist.
    let mut limits = LimitsClient::new(channel);
    limits
        .get_grant(by(
            "reader",
            v1::GetGrantRequest {
                api: "shop/orders".into(),
            },
        )?)
        .await?;
    let mut told = std::collections::BTreeSet::new();
    for api in ["shop/orders", "shop/nothing"] {
        let status = limits
            .get_grant(by("stranger", v1::GetGrantRequest { api: api.into() })?)
            .await;
        let status = status
            .err()
            .with_context(|| format!("a stranger reads the grant of {api}"))?;
        ensure!(status.code() == Code::NotFound, "{status:?}");
        told.insert(status.message().replace(api, "API"));
    }
    ensure!(
        told.len() == 1,
        "what is another's can be told from what does not exist: {told:?}"
    );
    let foreign = push(&daemon, "stranger").await??;
    ensure!(
        foreign.stored == 0 && foreign.rejections[0].reason.contains("not found"),
        "{foreign:?}"
    );
    Ok(())
}
