//! Policies change hands under load, and nobody who calls meanwhile can tell by a failure.

use crate::aftermath::Aftermath;
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tidegate_core::roster::Retreat;
use tidegate_e2e::feed::{Feed, Series};
use tidegate_e2e::{catalog, gate};
use tidegate_proto::v1::{
    self, forecasts_client::ForecastsClient, limits_client::LimitsClient,
    policies_client::PoliciesClient,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// How often the forecaster changes. A thousand swaps are tested where they are cheap, against the
/// engine alone (tests/hostile); here each one writes the catalog and fits every series anew.
const SWAPS: usize = 110;
/// Steps of history before the first swap.
const HISTORY: usize = 48;

/// What the clients saw.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    grants: AtomicUsize,
    forecasts: AtomicUsize,
    steps: AtomicUsize,
    /// Name, version and digest of who answered, with the states that it answered from.
    versions: std::sync::Mutex<BTreeMap<(String, String, String), BTreeSet<String>>>,
}

impl Seen {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Acquire)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_under_load_fail_no_call_and_mix_no_versions() -> Result<()> {
    let gate = gate()?;
    let series =
        ["shop/orders", "shop/search"].map(|api| Series::new(api, v1::Signal::Requests, 300));
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;
    Feed::open(&channel, &series)
        .await?
        .store(0, HISTORY)
        .await?;
    catalog::advance(&channel, series[0].at(HISTORY)).await?;
    let mut policies = PoliciesClient::new(channel.clone());
    // The first of the two serves before anybody asks: what serves by default is neither.
    policies.bind(bind("ets")).await?;
    let modules = policies
        .list_modules(v1::ListModulesRequest {})
        .await?
        .into_inner()
        .modules;
    let whole: BTreeSet<(String, String, String)> = modules
        .iter()
        .filter_map(|m| {
            m.manifest
                .as_ref()
                .map(|f| (f.name.clone(), f.version.clone(), m.digest.clone()))
        })
        .collect();

    let seen = Arc::new(Seen::default());
    let mut clients: JoinSet<Result<()>> = JoinSet::new();
    clients.spawn(ask_forecasts(daemon.connect().await?, seen.clone()));
    clients.spawn(ask_grants(daemon.connect().await?, seen.clone()));
    clients.spawn(feed_on(
        daemon.connect().await?,
        series.to_vec(),
        seen.clone(),
    ));

    for n in 0..SWAPS {
        let module = ["seasonal-naive", "ets"][n % 2];
        let slot = policies
            .bind(bind(module))
            .await
            .with_context(|| format!("swap {n}"))?
            .into_inner()
            .slot;
        let active = slot
            .and_then(|s| s.active)
            .context("a slot without a module")?;
        ensure!(
            active.name == module,
            "swap {n} bound {} instead of {module}",
            active.name
        );
        // A client that has failed ends its task, and the test with it.
        if let Some(ended) = clients.try_join_next() {
            ended??;
        }
    }
    seen.over.store(true, Ordering::Release);
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    daemon.stop().await?;

    let load = |counter: &AtomicUsize| counter.load(Ordering::Acquire);
    let (grants, forecasts, steps) = (load(&seen.grants), load(&seen.forecasts), load(&seen.steps));
    ensure!(
        grants > SWAPS && forecasts > SWAPS && steps > 3,
        "too little load to mean anything: {grants} grants, {forecasts} forecasts, {steps} steps"
    );
    let versions = seen
        .versions
        .lock()
        .map_err(|_| anyhow::anyhow!("a client panicked"))?;
    ensure!(
        versions.len() == 2,
        "two modules have answered: {:?}",
        versions.keys()
    );
    ensure!(
        versions.keys().all(|v| whole.contains(v)),
        "an answer names parts of versions: {:?}",
        versions.keys()
    );
    // A state belongs to one version: had an answer of one come from a state of the other, the
    // state would be seen under both names.
    let shared: Vec<_> = versions
        .values()
        .next()
        .into_iter()
        .flatten()
        .filter(|s| versions.values().all(|all| all.contains(*s)))
        .collect();
    ensure!(
        shared.is_empty(),
        "states that both versions have answered from: {shared:?}"
    );

    // MO1, from the ledger: a cycle's slots are pinned at its start, so one plan rests on one version.
    let records = Aftermath::of(&gate.store())?.records("edge")?;
    ensure!(
        records.len() >= steps,
        "{} plans for {steps} steps",
        records.len()
    );
    for record in &records {
        let bound: BTreeSet<_> = record
            .forecasts
            .iter()
            .filter(|f| f.served.retreat == Retreat::Active)
            .map(|f| f.served.module.digest)
            .collect();
        ensure!(
            bound.len() <= 1,
            "plan {} rests on {bound:?}",
            record.plan.generation
        );
    }
    let log = gate.log()?;
    ensure!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    println!(
        "{SWAPS} swaps under {forecasts} forecasts, {grants} grants and {steps} fed steps: no call failed"
    );
    Ok(())
}

fn bind(module: &str) -> v1::BindRequest {
    v1::BindRequest {
        binding: "default-forecaster".into(),
        module: module.into(),
        config: None,
    }
}

async fn ask_forecasts(channel: Channel, seen: Arc<Seen>) -> Result<()> {
    let mut client = ForecastsClient::new(channel);
    for api in ["shop/orders", "shop/search"]
        .iter()
        .cycle()
        .take_while(|_| seen.goes_on())
    {
        let request = v1::GetForecastRequest {
            api: (*api).into(),
            signal: v1::Signal::Requests.into(),
            ..Default::default()
        };
        let forecast = client
            .get_forecast(request)
            .await?
            .into_inner()
            .forecast
            .context("an empty answer")?;
        let served = forecast.served.context("nobody answered")?;
        ensure!(
            matches!(
                served.retreat(),
                v1::Retreat::Active | v1::Retreat::LastGood
            ),
            "{api} was answered by {served:?}, not by a module"
        );
        let module = served.module.context("a nameless module answered")?;
        ensure!(
            !forecast.state.is_empty(),
            "{module:?} answered from no state"
        );
        let version = (module.name, module.version, module.digest);
        let mut versions = seen
            .versions
            .lock()
            .map_err(|_| anyhow::anyhow!("poisoned"))?;
        versions.entry(version).or_default().insert(forecast.state);
        seen.forecasts.fetch_add(1, Ordering::AcqRel);
    }
    Ok(())
}

async fn ask_grants(channel: Channel, seen: Arc<Seen>) -> Result<()> {
    let mut client = LimitsClient::new(channel);
    let mut newest = 0;
    for api in ["shop/orders", "shop/search"]
        .iter()
        .cycle()
        .take_while(|_| seen.goes_on())
    {
        let answer = client
            .get_grant(v1::GetGrantRequest { api: (*api).into() })
            .await?
            .into_inner();
        let grant = answer.grant.context("an empty answer")?;
        ensure!(
            grant.generation >= newest,
            "plan {} after {newest}",
            grant.generation
        );
        newest = grant.generation;
        seen.grants.fetch_add(1, Ordering::AcqRel);
    }
    Ok(())
}

async fn feed_on(channel: Channel, series: Vec<Series>, seen: Arc<Seen>) -> Result<()> {
    let mut feed = Feed::open(&channel, &series).await?;
    let mut n = HISTORY;
    while seen.goes_on() {
        feed.store(n, 1).await?;
        n += 1;
        catalog::advance(&channel, series[0].at(n)).await?;
        seen.steps.fetch_add(1, Ordering::AcqRel);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}
