//! A challenger that is better comes to answer, and everybody can see why.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidegate_e2e::feed::{Feed, Series};
use tidegate_e2e::{Daemon, catalog, gate};
use tidegate_proto::v1;

const API: &str = "shop/orders";
/// Ten minutes, so that days pass in hundreds of cycles.
const STEP_S: u32 = 600;
/// Steps of a day.
const DAY: usize = 144;
/// Days until the challenger must have won: two until there is something to be compared with, one of
/// outcomes, half a day of being better without a break, and one more.
const DAYS: usize = 5;

/// Everything of `shop` is forecast by what was a day ago; `ets` tries to do better.
fn contest() -> v1::object::Object {
    v1::object::Object::Binding(v1::Binding {
        name: "shop-forecaster".into(),
        kind: v1::ModuleKind::Forecaster.into(),
        selector: Some(v1::Selector {
            tenant: "shop".into(),
            ..v1::Selector::default()
        }),
        module: "seasonal-naive".into(),
        config: String::new(),
        challengers: vec![v1::Challenger {
            module: "ets".into(),
            config: String::new(),
        }],
        ..v1::Binding::default()
    })
}

fn table(daemon: &Daemon) -> Result<Value> {
    let told = daemon.cli(&["forecast", API, "--why", "-o", "json"])?;
    ensure!(told.ok(), "{}", told.stderr);
    let mut all: Value = serde_json::from_str(&told.stdout)?;
    Ok(all["standings"].take())
}

/// The names of the candidates and the outcomes of each over all bands, in the order of the table.
fn rows(table: &Value) -> Result<Vec<(String, u64)>> {
    let candidates = table["candidates"].as_array().context("no candidates")?;
    let row = |c: &Value| {
        let name = c["module"]["name"].as_str()?.to_owned();
        let bands = c["bands"].as_array()?;
        Some((
            name,
            bands.iter().filter_map(|b| b["outcomes"].as_u64()).sum(),
        ))
    };
    candidates
        .iter()
        .map(|c| row(c).context("an odd row"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenger_that_is_better_wins_the_series_and_the_table_says_why() -> Result<()> {
    let gate = gate()?.config(
        "clock: driven\nstep: 10m\nhorizon: 2h\nplan: 1h\nvalidity: 20m\nhistory: 4d\nrefit: 1d\n",
    );
    let daemon = gate.start().await?;
    let channel = daemon.connect().await?;
    catalog::apply(&channel, catalog::shop()).await?;
    catalog::apply(&channel, vec![contest()]).await?;
    let shown = daemon.cli(&["get", "binding", "shop-forecaster"])?;
    ensure!(
        shown.stdout.contains("ets@"),
        "not pinned: {}",
        shown.stdout
    );

    let series = Series::new(API, v1::Signal::Requests, STEP_S);
    let mut feed = Feed::open(&channel, std::slice::from_ref(&series)).await?;
    feed.store(0, DAY).await?;
    catalog::advance(&channel, series.at(DAY)).await?;
    let first = table(&daemon)?;
    ensure!(
        first["candidates"].as_array().map(Vec::len) == Some(2),
        "{first}"
    );
    for half in 2..2 * DAYS {
        feed.store(half * DAY / 2, DAY / 2).await?;
        catalog::advance(&channel, series.at((half + 1) * DAY / 2)).await?;
    }

    let before = table(&daemon)?;
    let told = rows(&before)?;
    let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names == ["ets", "seasonal-naive"], "{before:#}");
    ensure!(before["candidates"][0]["champion"] == true, "{before:#}");
    ensure!(before["choice"]["ground"] == "series", "{before:#}");
    ensure!(
        told.iter().all(|(_, outcomes)| *outcomes >= 100),
        "{told:?}"
    );
    let text = daemon.cli(&["forecast", API, "--why"])?.stdout;
    for part in ["ets", "seasonal-naive", "answers since", "outcomes"] {
        ensure!(text.contains(part), "no `{part}` in:\n{text}");
    }

    // The same verdict stands in the listing, and in the summary of the status.
    let shown = daemon.cli(&["get", "apis", "-o", "json"])?.stdout;
    let listed: Value = serde_json::from_str(&shown)?;
    let mine = listed
        .as_array()
        .and_then(|all| all.iter().find(|api| api["name"] == API))
        .context("the api is not listed")?;
    let line = &mine["forecasts"][0];
    ensure!(
        line["signal"] == "requests" && line["verdict"] == before["candidates"][0]["verdict"],
        "{mine:#}"
    );
    let shown = daemon.cli(&["status", "-o", "json"])?.stdout;
    let status: Value = serde_json::from_str(&shown)?;
    let counts = ["better", "not_better", "too_early"];
    let counts = counts.map(|c| status["forecasts"][c].as_u64().unwrap_or(0));
    ensure!(
        counts.iter().sum::<u64>() >= 1 && status["version"] == status["client_version"],
        "{status:#}"
    );

    drop((feed, channel));
    daemon.kill()?;
    let daemon = gate.start().await?;
    let after = table(&daemon)?;
    ensure!(after["choice"] == before["choice"], "{after:#}");
    for ((name, now), (_, then)) in rows(&after)?.into_iter().zip(&told) {
        // What was learned within the last hour may have to be learned again.
        ensure!(
            now + 12 >= *then,
            "{name}: {now} outcomes, there were {then}"
        );
    }
    Ok(())
}
