//! Versions that keep every rule and do harm, as components in the real daemon: the gate ends them by itself,
//! in shadow before they serve anybody, or after they were forced to serve; and what stored history says
//! against a version, it says before its shadow begins.
//!
//! The clock is driven, so that a day passes in some hundred cycles, and the same comes out on any machine.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tidegate_e2e::feed::{Feed, Series};
use tidegate_e2e::{Daemon, Gate, catalog, gate, say};
use tidegate_generations::Guest;
use tidegate_proto::v1;
use tonic::transport::Channel;

/// Steps of five minutes.
const HOUR: usize = 12;

const FORECASTS: &str = "shop-forecasts";
const SHARES: &str = "edge-shares";

/// A tenant's forecasts, and a pool's shares, under a gate.
fn binding(name: &str, module: &str, gate: v1::Gate) -> v1::Binding {
    let (kind, selector) = match name {
        FORECASTS => (
            v1::ModuleKind::Forecaster,
            v1::Selector {
                tenant: "shop".into(),
                ..v1::Selector::default()
            },
        ),
        _ => (
            v1::ModuleKind::Allocator,
            v1::Selector {
                pool: "edge".into(),
                ..v1::Selector::default()
            },
        ),
    };
    v1::Binding {
        name: name.into(),
        kind: kind.into(),
        selector: Some(selector),
        module: module.into(),
        gate: Some(gate),
        ..v1::Binding::default()
    }
}

/// A world that was fed and cycled until an hour of its first day.
struct Shop {
    gate: Gate,
    daemon: Daemon,
    channel: Channel,
    feed: Feed,
    series: [Series; 2],
    /// Steps that were fed.
    now: usize,
}

impl Shop {
    /// `steady` forecasts and `waterfill` divides; the other modules are there.
    async fn open(rules: v1::Gate, pushed: &[(&str, Guest)]) -> Result<Self> {
        let gate = gate()?;
        let daemon = gate.start().await?;
        let channel = daemon.connect().await?;
        let api = |name, tier| v1::object::Object::Api(catalog::api(name, "edge", tier));
        let objects = vec![
            catalog::tenant("shop"),
            catalog::pool("edge", 8_000.0),
            api("shop/orders", v1::Tier::Gold),
            api("shop/search", v1::Tier::Silver),
        ];
        catalog::apply(&channel, objects).await?;
        for (name, guest) in [("steady", Guest::FirstForecaster)].iter().chain(pushed) {
            push(&gate, &daemon, name, *guest)?;
        }
        let bindings = [(FORECASTS, "steady"), (SHARES, "waterfill")];
        let bindings = bindings.map(|(name, module)| binding(name, module, rules));
        let bindings = bindings.map(v1::object::Object::Binding);
        catalog::apply(&channel, bindings.to_vec()).await?;
        let series =
            ["shop/orders", "shop/search"].map(|api| Series::new(api, v1::Signal::Requests, 300));
        let mut feed = Feed::open(&channel, &series).await?;
        feed.store(0, 1).await?;
        catalog::advance(&channel, series[0].at(1)).await?;
        Ok(Self {
            gate,
            daemon,
            channel,
            feed,
            series,
            now: 1,
        })
    }

    /// Feeds a step, and cycles.
    async fn step(&mut self) -> Result<()> {
        self.feed.store(self.now, 1).await?;
        self.now += 1;
        let at = self.series[0].at(self.now);
        Ok(catalog::advance(&self.channel, at).await?)
    }

    /// The same until an hour.
    async fn until(&mut self, hour: usize) -> Result<()> {
        while self.now < hour * HOUR {
            self.step().await?;
        }
        Ok(())
    }

    /// The same until the gate has done so many things to a binding, before an hour; `meanwhile` serves it.
    async fn acted(
        &mut self,
        name: &str,
        acts: usize,
        (hour, meanwhile): (usize, &str),
    ) -> Result<()> {
        while self.acts(name)?.len() < acts {
            let past = self.past(name)?;
            ensure!(self.now < hour * HOUR, "the gate did nothing: {past:#?}");
            serves(&self.daemon, name, meanwhile)?;
            self.step().await?;
        }
        Ok(())
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        json(&self.daemon, arguments)
    }

    /// Steps of a binding's life: what happened, by whom, and why.
    fn past(&self, name: &str) -> Result<Vec<(String, String, String)>> {
        let steps = self.json(&["policy", "history", name])?;
        let text = |step: &Value, field: &str| step[field].as_str().unwrap_or_default().to_owned();
        let all = steps.as_array().context("no list")?.iter();
        let told = |s| (text(s, "event"), text(s, "by"), text(s, "reason"));
        Ok(all.map(told).collect())
    }

    /// What the gate did to a binding, with its reasons.
    fn acts(&self, name: &str) -> Result<Vec<(String, String)>> {
        let past = self.past(name)?.into_iter();
        let acts = past.filter(|(_, by, _)| by == "the gate");
        Ok(acts.map(|(event, _, reason)| (event, reason)).collect())
    }

    /// Holds the alert about a module that stands to what it says.
    fn alarmed(&self, module: &str, part: &str, severity: &str) -> Result<()> {
        let alerts = self.json(&["alerts"])?;
        let mut all = alerts.as_array().context("no list")?.iter();
        let of = |a: &&Value| a["subject"] == module;
        let alert = all.find(of).with_context(|| format!("{alerts:#}"))?;
        let text = alert["message"].as_str().unwrap_or_default();
        ensure!(
            text.contains(part) && text.contains("tidegate policy history"),
            "{alert:#}"
        );
        ensure!(alert["severity"] == severity, "{alert:#}");
        Ok(())
    }

    /// Who has made the plan in force.
    fn divides(&self) -> Result<String> {
        let plan = self.json(&["plan", "edge"])?;
        let name = plan["served"]["module"]["name"].as_str();
        Ok(name.with_context(|| format!("{plan:#}"))?.to_owned())
    }
}

fn push(gate: &Gate, daemon: &Daemon, name: &str, guest: Guest) -> Result<()> {
    let file = gate.file(&format!("{name}.wasm"), guest.component()?)?;
    let told = daemon.cli(&["policy", "push", &file.display().to_string()])?;
    ensure!(told.ok(), "{told:?}");
    Ok(())
}

fn json(daemon: &Daemon, arguments: &[&str]) -> Result<Value> {
    let told = daemon.cli(&[arguments, &["-o", "json"]].concat())?;
    ensure!(told.ok(), "{arguments:?}: {}", told.stderr);
    Ok(serde_json::from_str(&told.stdout)?)
}

fn slot(daemon: &Daemon, name: &str) -> Result<Value> {
    let slots = json(daemon, &["policy", "slots"])?;
    let mut all = slots.as_array().context("no list")?.iter();
    let mine = all.find(|slot| slot["binding"] == name);
    Ok(mine.context("no slot")?.clone())
}

fn serves(daemon: &Daemon, name: &str, module: &str) -> Result<()> {
    let slot = slot(daemon, name)?;
    ensure!(slot["active"]["name"] == module, "{slot:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_harm_is_ended_in_shadow_and_taken_back_where_it_was_forced() -> Result<()> {
    let pushed = [("evenings", Guest::Evenings), ("starving", Guest::Starving)];
    let rules = v1::Gate {
        margin: Some(0.1),
        min_duration_s: Some(6 * 3600),
        ..v1::Gate::default()
    };
    let mut shop = Shop::open(rules, &pushed).await?;
    shop.until(15).await?;
    for (binding, module) in [(FORECASTS, "evenings"), (SHARES, "starving")] {
        let put = shop.json(&["policy", "shadow", binding, module])?;
        let candidate = &put["trial"]["candidate"]["module"]["name"];
        ensure!(candidate == module, "{put:#}");
    }
    // Neither ever serves, and by itself neither comes back.
    for (binding, module, serving, hour) in [
        (SHARES, "starving", "waterfill", 20),
        (FORECASTS, "evenings", "steady", 24),
    ] {
        shop.acted(binding, 2, (hour, serving)).await?;
        let acts = shop.acts(binding)?;
        let events: Vec<&str> = acts.iter().map(|(event, _)| event.as_str()).collect();
        ensure!(events == ["shadow-ended", "quarantined"], "{acts:#?}");
        let why = &acts[0].1;
        ensure!(
            why.contains(&format!("worse than {serving}")) && why.contains("evidence of harm"),
            "{why}"
        );
        say(&format!("{binding}, after {} steps: {why}", shop.now));
        shop.alarmed(module, "its shadow has ended", "warning")?;
        let refused = shop.daemon.cli(&["policy", "shadow", binding, module])?;
        ensure!(refused.stderr.contains("RB1"), "{}", refused.stderr);
        let slot = slot(&shop.daemon, binding)?;
        ensure!(
            slot["trial"] == Value::Null && slot["active"]["name"] == serving,
            "{slot:#}"
        );
    }

    // Who insists may have it. It serves, is watched, and is taken back.
    let lift = [
        "policy",
        "quarantine",
        "starving",
        "--binding",
        SHARES,
        "--lift",
    ];
    ensure!(shop.daemon.cli(&lift)?.ok());
    shop.json(&["policy", "shadow", SHARES, "starving"])?;
    let forced = shop.json(&["policy", "promote", SHARES, "--force"])?;
    ensure!(forced["trial"]["serving"] == "candidate", "{forced:#}");
    shop.step().await?;
    ensure!(shop.divides()? == "starving");
    shop.acted(SHARES, 4, (36, "starving")).await?;
    serves(&shop.daemon, SHARES, "waterfill")?;
    let acts = shop.acts(SHARES)?;
    let events: Vec<&str> = acts[2..].iter().map(|(event, _)| event.as_str()).collect();
    ensure!(events == ["rolled-back", "quarantined"], "{acts:#?}");
    say(&format!(
        "{SHARES}, after {} steps: {}",
        shop.now, acts[2].1
    ));
    shop.alarmed("starving", "it was rolled back", "critical")?;
    shop.step().await?;
    ensure!(shop.divides()? == "waterfill");

    // All of it is there after a restart, and stays so.
    let before = (shop.past(FORECASTS)?, shop.past(SHARES)?);
    shop.daemon.stop().await?;
    let daemon = shop.gate.start().await?;
    serves(&daemon, FORECASTS, "steady")?;
    serves(&daemon, SHARES, "waterfill")?;
    shop.daemon = daemon;
    ensure!((shop.past(FORECASTS)?, shop.past(SHARES)?) == before);
    shop.daemon.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_history_refuses_what_would_have_done_harm_before_it_is_in_shadow() -> Result<()> {
    let pushed = [("evenings", Guest::Evenings), ("starving", Guest::Starving)];
    let rules = v1::Gate {
        backtest: Some(v1::BacktestGate {
            window_s: 6 * 3600,
            worse_by: 0.1,
        }),
        ..v1::Gate::default()
    };
    let mut shop = Shop::open(rules, &pushed).await?;
    shop.until(23).await?;
    for (binding, module) in [(FORECASTS, "evenings"), (SHARES, "starving")] {
        shop.json(&["policy", "shadow", binding, module])?;
    }
    // With the first cycle.
    shop.step().await?;
    for (binding, module) in [(FORECASTS, "steady"), (SHARES, "waterfill")] {
        let acts = shop.acts(binding)?;
        let [(event, why)] = acts.as_slice() else {
            anyhow::bail!("{binding}: {:#?}", shop.past(binding)?);
        };
        ensure!(event == "shadow-ended", "{event}");
        for part in [
            "refused by the backtest",
            "over 6 h of stored history",
            "pairs",
            "% of that of",
            "let pass",
        ] {
            ensure!(why.contains(part), "no `{part}` in: {why}");
        }
        say(&format!("{binding}: {why}"));
        serves(&shop.daemon, binding, module)?;
        ensure!(slot(&shop.daemon, binding)?["trial"] == Value::Null);
    }
    // It was refused and not condemned: by day it may try again. The next version of what serves is as good.
    push(
        &shop.gate,
        &shop.daemon,
        "steady-2",
        Guest::SecondForecaster,
    )?;
    shop.json(&["policy", "shadow", FORECASTS, "steady"])?;
    shop.until(25).await?;
    let trial = &slot(&shop.daemon, FORECASTS)?["trial"];
    ensure!(
        trial["candidate"]["module"]["version"] == "2.0.0",
        "{trial:#}"
    );
    ensure!(
        trial["pairs"].as_u64().is_some_and(|pairs| pairs > 0),
        "{trial:#}"
    );
    let log = shop.gate.log()?;
    let passed = log.lines().filter(|l| l.contains("passed the backtest"));
    let passed: Vec<&str> = passed.collect();
    ensure!(
        passed.len() == 1 && passed[0].contains("of that of steady"),
        "{passed:?}"
    );
    shop.daemon.stop().await?;
    Ok(())
}
