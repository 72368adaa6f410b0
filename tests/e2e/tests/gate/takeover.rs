//! Two versions of one module, of two interface versions, with power cut while one takes over from the
//! other: whichever serves afterwards, it has its states, and answers from them.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tidegate_e2e::feed::{Feed, Series};
use tidegate_e2e::{catalog, gate};
use tidegate_generations::Guest;
use tidegate_proto::v1::{
    self, forecasts_client::ForecastsClient, policies_client::PoliciesClient,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// How often the power fails.
const KILLS: u64 = 12;

/// Steps of history before the first swap.
const HISTORY: usize = 48;

const BINDING: &str = "default-forecaster";

fn bind(module: &str) -> v1::BindRequest {
    v1::BindRequest {
        binding: BINDING.into(),
        module: module.into(),
        config: None,
    }
}

/// Version of the module that serves.
async fn serving(channel: &Channel) -> Result<String> {
    let mut policies = PoliciesClient::new(channel.clone());
    let slots = policies.list_slots(v1::ListSlotsRequest {}).await?;
    let mut slots = slots.into_inner().slots.into_iter();
    let slot = slots.find(|s| s.binding == BINDING).context("no slot")?;
    let active = slot.active.context("a slot without a module")?;
    ensure!(active.name == "steady", "{active:?} serves");
    Ok(active.version)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cuts_while_a_version_takes_over_leave_one_that_serves_with_its_states() -> Result<()>
{
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
    for guest in [Guest::FirstForecaster, Guest::SecondForecaster] {
        let file = gate.file("steady.wasm", guest.component()?)?;
        let told = daemon.cli(&["policy", "push", &file.display().to_string()])?;
        ensure!(told.ok(), "{told:?}");
    }
    let mut policies = PoliciesClient::new(channel.clone());
    let modules = policies.list_modules(v1::ListModulesRequest {}).await?;
    let modules = modules.into_inner().modules;
    let digest = |version: &str| {
        let of = |m: &&v1::Module| {
            let manifest = m.manifest.as_ref();
            manifest.is_some_and(|f| f.name == "steady" && f.version == version)
        };
        let module = modules.iter().find(of).context("it was pushed")?;
        Ok::<_, anyhow::Error>(format!("steady@{}", module.digest))
    };
    let digests = [digest("1.0.0")?, digest("2.0.0")?];
    policies.bind(bind(&digests[0])).await?;
    ensure!(serving(&channel).await? == "1.0.0");
    daemon.stop().await?;

    let mut swapped = 0;
    for round in 0..KILLS {
        let daemon = gate.start().await?;
        let channel = daemon.connect().await?;
        let version = serving(&channel).await?;
        let n = HISTORY + usize::try_from(round)? + 1;
        Feed::open(&channel, &series).await?.store(n - 1, 1).await?;
        catalog::advance(&channel, series[0].at(n)).await?;
        for one in &series {
            let request = v1::GetForecastRequest {
                api: one.api.clone(),
                signal: v1::Signal::Requests.into(),
                ..Default::default()
            };
            let mut forecasts = ForecastsClient::new(channel.clone());
            let forecast = forecasts.get_forecast(request).await?.into_inner().forecast;
            let served = forecast.and_then(|f| f.served).context("nobody answered")?;
            ensure!(
                served.retreat() == v1::Retreat::Active,
                "round {round}: {version} serves, and {served:?} answered"
            );
        }
        // The other one takes over, and the power fails at a moment that nobody chose.
        let next = &digests[usize::from(version == "1.0.0")];
        let mut policies = PoliciesClient::new(channel);
        let asked = bind(next);
        let mut swap = JoinSet::new();
        swap.spawn(async move { policies.bind(asked).await.is_ok() });
        let draw = tidegate_core::canonical::seed(12, "kill", "", round as i64);
        tokio::time::sleep(Duration::from_millis(draw % 25)).await;
        daemon.kill()?;
        swapped += u64::from(swap.join_all().await == [true]);
    }
    let log = gate.log()?;
    ensure!(
        !log.contains("panicked") && !log.contains("rolled back"),
        "{log}"
    );
    println!("{KILLS} kills, {swapped} of them after the swap was told");
    Ok(())
}
