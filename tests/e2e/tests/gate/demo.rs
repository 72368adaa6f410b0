//! The demo's figures, checked by somebody who was not there: this test plays the demo, opens the
//! directory that it leaves behind, and computes the summary again from ledger and history.

use crate::aftermath::Aftermath;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::storage::{CatalogStore as _, History as _};
use tidegate_core::record::Record;
use tidegate_core::sample::SeriesKey;
use tidegate_core::slo::Indicator;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;
use tidegate_e2e::{binary, bounded};

/// Seconds of the demo's steps.
const STEP_S: u32 = 300;
/// How far ahead a peak must have been planned for, to be called foreseen.
const FORESIGHT_MS: i64 = 30 * 60 * 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demos_summary_follows_from_its_ledger_and_history() -> Result<()> {
    let home = tempfile::tempdir()?;
    let (plain, mixed) = (home.path().join("plain"), home.path().join("mixed"));
    let (summary, shuffled) = tokio::join!(play(&plain, &[]), play(&mixed, &["--shuffle", "7"]));
    let (summary, shuffled) = (summary?, shuffled?);
    check(&summary, &plain).context("in time order")?;
    check(&shuffled, &mixed).context("shuffled")?;
    for figure in ["violation_minutes", "peaks", "grant_moves"] {
        ensure!(
            summary[figure] != shuffled[figure],
            "`{figure}` does not depend on when load comes: {}",
            summary[figure]
        );
    }
    // The same load at times that nobody can foresee: planning ahead must help less.
    let missed = |summary: &Value| -> Result<f64> {
        let tiers = summary["violation_minutes"]
            .as_object()
            .context("violation_minutes")?;
        tiers.values().map(|tier| number(&tier["shaped"])).sum()
    };
    let (in_order, by_chance) = (missed(&summary)?, missed(&shuffled)?);
    ensure!(
        by_chance > in_order,
        "shuffled, {by_chance} min were missed, in order {in_order}"
    );
    Ok(())
}

/// Plays one day and returns the summary.
async fn play(data: &Path, more: &[&str]) -> Result<Value> {
    let mut command = Command::new(binary()?);
    command
        .args(["demo", "--quiet", "--days", "1", "-o", "json", "--data"])
        .arg(data)
        .args(more);
    let outcome =
        tokio::task::spawn_blocking(move || bounded(&mut command, Duration::from_secs(180)))
            .await??;
    ensure!(outcome.ok(), "the demo failed: {}", outcome.stderr);
    serde_json::from_str(&outcome.stdout).with_context(|| format!("no JSON: {}", outcome.stdout))
}

fn number(value: &Value) -> Result<f64> {
    value
        .as_f64()
        .with_context(|| format!("{value} is no number"))
}

/// The live days as the directory tells them.
struct Told<'a> {
    after: &'a Aftermath,
    catalog: Catalog,
    live: Grid,
    /// Plans made in the live days, oldest first.
    records: Vec<Record>,
}

fn check(summary: &Value, data: &Path) -> Result<()> {
    let after = Aftermath::of(&data.join("store"))?;
    let start = Timestamp(summary["live_start_ms"].as_i64().context("live_start_ms")?);
    let count = usize::try_from(summary["steps"].as_u64().context("steps")?)?;
    ensure!(
        count == 288,
        "a day has 288 steps of five minutes, {count} were played"
    );
    let live = Grid {
        start,
        step: Step::from_secs(STEP_S).context("a step")?,
        count,
    };
    let records = after
        .records("edge")?
        .into_iter()
        .filter(|r| r.plan.made_at >= start)
        .collect();
    let told = Told {
        catalog: after.store.load()?,
        after: &after,
        live,
        records,
    };

    ensure!(
        summary["plans"] == told.records.len(),
        "{} plans are in the ledger, not {}",
        told.records.len(),
        summary["plans"]
    );
    let stat = after.store.stat()?;
    let samples = stat.head_samples + stat.sealed_samples;
    ensure!(
        summary["samples"] == samples,
        "{samples} samples are stored, not {}",
        summary["samples"]
    );
    told.allocators(&summary["allocators"])?;
    told.moves(&summary["grant_moves"])?;
    told.violations(&summary["violation_minutes"])?;
    for peak in summary["peaks"].as_array().context("peaks")? {
        told.peak(peak).with_context(|| format!("{peak}"))?;
    }
    let swaps = summary["swaps"].as_array().context("swaps")?;
    ensure!(swaps.len() == 2, "two policies were swapped: {swaps:?}");
    for swap in swaps {
        ensure!(
            swap["dropped"] == 0 && number(&swap["calls"])? > 10.0,
            "calls during a swap: {swap}"
        );
    }
    Ok(())
}

impl Told<'_> {
    fn apis(&self) -> Vec<ApiId> {
        self.catalog.apis.keys().cloned().collect()
    }

    fn column(&self, api: &ApiId, signal: Signal) -> Result<Vec<f64>> {
        let key = SeriesKey {
            api: api.clone(),
            signal,
        };
        Ok(self.after.store.column(&key, self.live)?.values)
    }

    /// Who allocated how many plans, and how far back it stood.
    fn allocators(&self, told: &Value) -> Result<()> {
        let mut plans: BTreeMap<String, u64> = BTreeMap::new();
        for record in &self.records {
            let served = &record.plan.served;
            *plans
                .entry(format!(
                    "{} ({})",
                    served.module.name,
                    served.retreat.name()
                ))
                .or_default() += 1;
        }
        ensure!(
            *told == serde_json::to_value(&plans)?,
            "the ledger says {plans:?}, the summary {told}"
        );
        ensure!(plans.len() == 2, "both allocators have served: {plans:?}");
        Ok(())
    }

    /// Cores that an api may use in a plan's first step.
    fn limit(record: &Record, api: &ApiId) -> f64 {
        record
            .plan
            .api(api)
            .and_then(|row| row.limit.first().copied())
            .unwrap_or(0.0)
    }

    fn moves(&self, told: &Value) -> Result<()> {
        let moved = |pair: &[Record], api: &ApiId| {
            (Self::limit(&pair[1], api) - Self::limit(&pair[0], api)).abs() > 0.1
        };
        let moves: usize = self
            .records
            .windows(2)
            .map(|pair| self.apis().iter().filter(|api| moved(pair, api)).count())
            .sum();
        ensure!(*told == moves, "grants moved {moves} times, not {told}");
        Ok(())
    }

    /// Minutes of missed objectives under Tidegate, per tier: a step is bad when more requests were
    /// slow or failed than the objective allows.
    fn violations(&self, told: &Value) -> Result<()> {
        let mut minutes: BTreeMap<String, f64> = BTreeMap::new();
        for slo in self.catalog.slos.values().map(|s| &s.value) {
            let Indicator::Latency { threshold } = slo.indicator else {
                anyhow::bail!("{} is not about latency", slo.id)
            };
            let tier = self
                .catalog
                .apis
                .get(&slo.api)
                .context("an SLO of nobody")?
                .value
                .base_tier;
            let errors = self.column(&slo.api, Signal::Errors)?;
            let latency = self.after.store.distributions(&slo.api, self.live)?;
            let bad_steps = errors.iter().zip(&latency).filter(|(rate, latency)| {
                let failed = *rate * f64::from(STEP_S);
                let served = latency.as_ref().map_or(0.0, |d| d.count() as f64);
                let slow = latency.as_ref().map_or(0.0, |d| d.above(threshold));
                slow + failed > (1.0 - slo.objective) * (served + failed)
            });
            *minutes.entry(tier.name().to_owned()).or_default() +=
                bad_steps.count() as f64 * f64::from(STEP_S) / 60.0;
        }
        ensure!(
            minutes.len() == 3,
            "three tiers have objectives: {minutes:?}"
        );
        for (tier, minutes) in minutes {
            let said = number(&told[&tier]["shaped"])?;
            ensure!(
                (said - minutes).abs() < 0.5,
                "{tier}: history says {minutes} min, the summary {said}"
            );
        }
        Ok(())
    }

    /// A peak is the busiest step, with the load, the use and the plan that are on record.
    fn peak(&self, told: &Value) -> Result<()> {
        let api: ApiId = told["api"].as_str().context("api")?.parse()?;
        let at = Timestamp(told["at_ms"].as_i64().context("at_ms")?);
        let step = self
            .live
            .index_of(at)
            .context("it lies outside of the live days")?;
        let (rates, cores) = (
            self.column(&api, Signal::Requests)?,
            self.column(&api, Signal::Cpu)?,
        );
        let highest = rates.iter().copied().fold(0.0, f64::max);
        ensure!(
            (rates[step] - highest).abs() < 1e-9,
            "{} /s is not the highest, {highest} /s is",
            rates[step]
        );
        ensure!(
            (number(&told["rate"])? - rates[step]).abs() < 1e-9,
            "the rate was {}",
            rates[step]
        );
        // The store knows requests and failures, the services what they served: the same number.
        let errors = self.column(&api, Signal::Errors)?;
        let seconds = f64::from(self.live.step.secs());
        let served: f64 = rates
            .iter()
            .zip(&errors)
            .map(|(r, e)| (r - e) * seconds)
            .sum();
        let cost = cores.iter().sum::<f64>() * seconds / served.max(1.0);
        let needed = rates[step] * cost;
        ensure!(
            (number(&told["needed_cores"])? / needed - 1.0).abs() < 0.01,
            "{needed} cores were needed, the summary says {}",
            told["needed_cores"]
        );

        let before = at.plus_ms(-FORESIGHT_MS);
        let record = self.records.iter().rfind(|r| r.plan.grid.start <= before);
        let planned = record
            .and_then(|r| {
                r.plan
                    .api(&api)?
                    .demand
                    .get(r.plan.grid.index_of(at)?)
                    .copied()
            })
            .unwrap_or(0.0);
        ensure!(
            (number(&told["planned_cores"])? - planned).abs() < 1e-9,
            "{planned} cores were planned half an hour before"
        );
        ensure!(
            told["foreseen"]
                == (planned >= number(&told["needed_cores"])?
                    && planned >= 1.2 * number(&told["ordinary_cores"])?),
            "planned {planned}: {told}"
        );
        Ok(())
    }
}
