//! One turn over all pools of a world: the cycle, its record and its commit, as the daemon's driver
//! performs them, each timed by itself.
//!
//! It is written here again and not borrowed from the driver, because a figure per stage needs a seam
//! between any two of them, and the driver is none the better for seams that nobody else looks through.

use crate::world::{self, Policies, SIGNALS};
use crate::{say, timed};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::PoolId;
use tidegate_core::plan::Plan;
use tidegate_core::ports::storage::Replays;
use tidegate_core::sample::SeriesKey;
use tidegate_core::units::Level;
use tidegate_flow::cycle::{self, Input, PoolState, Settings};
use tidegate_flow::forecast;
use tidegate_store::Store;

/// One turn over all pools: milliseconds of each stage, summed over pools, and of the whole.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Turn {
    pub(crate) cycle: f64,
    pub(crate) record: f64,
    pub(crate) publish: f64,
    pub(crate) total: f64,
    /// CPU milliseconds of the whole, over all threads.
    pub(crate) cpu: f64,
    /// Series that were predicted anew.
    pub(crate) made: usize,
}

/// CPU milliseconds that the process has used, as Linux tells it in hundredths of a second.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name is in brackets and may hold anything; of what follows, the 12th and 13th are ticks.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after.split_whitespace().skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// What a turn needs beside the pools' states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) policies: &'a Policies,
    pub(crate) catalog: &'a Catalog,
    pub(crate) store: &'a Store,
    pub(crate) settings: &'a Settings,
}

impl World<'_> {
    /// One cycle of every pool, as the daemon's driver performs it: pools side by side.
    pub(crate) fn turn(
        &self,
        states: &mut BTreeMap<PoolId, PoolState>,
        plans: &mut BTreeMap<PoolId, Arc<Plan>>,
        minute: i64,
    ) -> Result<Turn> {
        let lanes = world::side_by_side(states.len());
        let queue = Mutex::new(states.iter_mut());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let lane = || -> Result<Vec<Turn>> {
            let mut turns = vec![];
            while let Some((pool, state)) = next() {
                turns.push(self.pool(pool, state, minute)?);
            }
            Ok(turns)
        };
        let before = cpu_ms();
        let (total, turns) = timed(|| {
            std::thread::scope(|scope| {
                let others: Vec<_> = (1..lanes).map(|_| scope.spawn(lane)).collect();
                let mut all = lane()?;
                for other in others {
                    let turns = other
                        .join()
                        .map_err(|_| anyhow::anyhow!("a lane panicked"))?;
                    all.extend(turns?);
                }
                anyhow::Ok(all)
            })
        });
        let mut sum = Turn {
            total,
            cpu: cpu_ms() - before,
            ..Turn::default()
        };
        for turn in turns? {
            sum.cycle += turn.cycle;
            sum.record += turn.record;
            sum.publish += turn.publish;
            sum.made += turn.made;
        }
        for (pool, state) in states {
            plans.extend(state.last.clone().map(|plan| (pool.clone(), plan)));
        }
        Ok(sum)
    }

    fn pool(&self, pool: &PoolId, state: &mut PoolState, minute: i64) -> Result<Turn> {
        let pins = self.policies.pin();
        let (cycle, output) = timed(|| cycle::run(&self.input(pool, minute, &pins), state));
        let output = output?;
        // On a machine that others use as well, a deadline may pass; the chain of retreat then answers.
        for fault in &output.faults {
            let (module, subject, error) = (&fault.module, &fault.subject, &fault.error);
            say(&format!(
                "       {module} gave no answer on {subject:.40}: {error}"
            ));
        }
        let record = output.record.context("no plan was made")?;
        let made = output.delta.made.len();
        let (record_ms, written) = timed(|| self.store.append_with(&record, &output.anchors));
        written?;
        let (publish, _) = timed(|| state.commit(output.delta, Some(record)));
        Ok(Turn {
            cycle,
            record: record_ms,
            publish,
            made,
            ..Turn::default()
        })
    }

    fn input<'a>(&'a self, pool: &'a PoolId, minute: i64, pins: &'a world::Pin) -> Input<'a> {
        Input {
            now: world::instant(minute),
            pool,
            catalog: self.catalog,
            history: self.store,
            pins,
            settings: self.settings,
        }
    }

    /// Milliseconds of the room of forecasts by itself, summed over pools, in a minute that is to come.
    pub(crate) fn predict(&self, states: &BTreeMap<PoolId, PoolState>, minute: i64) -> Result<f64> {
        let mut sum = 0.0;
        for (pool, state) in states {
            let pins = self.policies.pin();
            sum += self.room(&self.input(pool, minute, &pins), state)?;
        }
        Ok(sum)
    }

    fn room(&self, input: &Input<'_>, state: &PoolState) -> Result<f64> {
        let mut targets = vec![];
        for api in self.catalog.apis_of(input.pool) {
            for signal in SIGNALS {
                let key = SeriesKey {
                    api: api.id.clone(),
                    signal,
                };
                let roster = input.pins.forecaster(api, signal);
                targets.push(forecast::Target { key, roster });
            }
        }
        let series = self.catalog.apis.len() * SIGNALS.len();
        let cadence = self.settings.refresh.cadence(series, self.settings.step);
        let (ms, output) = timed(|| {
            forecast::run(&forecast::Input {
                now: input.now,
                seed: self.settings.seed,
                step: self.settings.step,
                steps: self.settings.horizon,
                levels: &Level::STANDARD,
                targets: &targets,
                bank: &state.bank,
                tracks: &state.tracks,
                choices: &state.choices,
                lanes: self.settings.lanes,
                reuse: Some(forecast::Reuse {
                    held: &state.held,
                    cadence,
                }),
                history: input.history,
                catalog: input.catalog,
            })
        });
        anyhow::ensure!(
            output?.forecasts.len() == targets.len(),
            "series without forecast"
        );
        Ok(ms)
    }
}
