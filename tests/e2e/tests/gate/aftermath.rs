//! What a directory holds when no daemon runs in it: the tests' own look at the store, past every
//! cache that a daemon could answer from.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::sync::Arc;
use tidegate_core::ids::{Generation, PoolId};
use tidegate_core::ports::storage::{History as _, Ledger as _, Modules as _};
use tidegate_core::record::Record;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;
use tidegate_e2e::feed::Series;
use tidegate_proto::v1;
use tidegate_store::{Options, Store};

/// An opened directory; closed when dropped.
pub(crate) struct Aftermath {
    pub(crate) store: Arc<Store>,
}

impl Drop for Aftermath {
    fn drop(&mut self) {
        self.store.close();
    }
}

impl Aftermath {
    /// Opens the store and reads all of it: nothing may be damaged, missing or left over.
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        let store = Store::open(dir, Options::default())?;
        let aftermath = Self { store };
        let report = aftermath.store.verify()?;
        ensure!(
            report.is_clean(),
            "the store is damaged: {:?}",
            report.problems
        );
        Ok(aftermath)
    }

    /// Holds that the first `steps` steps of a series are there, with the values that were sent.
    pub(crate) fn holds(&self, series: &Series, steps: usize) -> Result<()> {
        let key = SeriesKey {
            api: series.api.parse()?,
            signal: signal(series.signal),
        };
        let step = Step::from_secs(series.step_s).context("a step")?;
        let grid = Grid {
            start: Timestamp(series.at(0)),
            step,
            count: steps,
        };
        let seconds = f64::from(series.step_s);
        if key.signal == Signal::Latency {
            let found = self.store.distributions(&key.api, grid)?;
            for (n, cell) in found.iter().enumerate() {
                let cell = cell
                    .as_ref()
                    .with_context(|| format!("{series:?}: step {n} of {steps} is lost"))?;
                ensure!(
                    cell.count() == series.load(n),
                    "{series:?}: step {n} holds {} observations",
                    cell.count()
                );
            }
            return Ok(());
        }
        let per = if matches!(key.signal, Signal::Requests | Signal::Errors) {
            seconds
        } else {
            1.0
        };
        let found = self.store.column(&key, grid)?;
        for (n, value) in found.values.iter().enumerate() {
            ensure!(!value.is_nan(), "{series:?}: step {n} of {steps} is lost");
            let sent = series.load(n) as f64 / per;
            ensure!(
                (value - sent).abs() < 1e-9,
                "{series:?}: step {n} holds {value}, {sent} was sent"
            );
        }
        Ok(())
    }

    /// Every record of a pool, oldest first; generations and parents must make one chain (PL1).
    pub(crate) fn records(&self, pool: &str) -> Result<Vec<Record>> {
        let pool: PoolId = pool.parse()?;
        let last = self.store.last(&pool).unwrap_or_default();
        let mut records = vec![];
        for number in 1..=last.0 {
            let record = self.store.record(&pool, Generation(number))?;
            let record =
                record.with_context(|| format!("plan {number} of {pool} is not in the ledger"))?;
            let (generation, parent) = (record.plan.generation.0, record.plan.parent.0);
            ensure!(
                (generation, parent) == (number, number - 1),
                "plan {number} calls itself {generation} after {parent}"
            );
            records.push(record);
        }
        Ok(records)
    }

    /// Names of the modules, each with its bytes (which the store checks against the digest).
    pub(crate) fn modules(&self) -> Result<Vec<String>> {
        let mut names = vec![];
        for module in self.store.list()? {
            let bytes = self.store.bytes(&module.digest)?;
            ensure!(
                bytes.is_some_and(|b| !b.is_empty()),
                "{} has lost its bytes",
                module.manifest.name
            );
            names.push(module.manifest.name);
        }
        names.sort();
        Ok(names)
    }
}

fn signal(signal: v1::Signal) -> Signal {
    match signal {
        v1::Signal::Requests | v1::Signal::Unspecified => Signal::Requests,
        v1::Signal::Errors => Signal::Errors,
        v1::Signal::Latency => Signal::Latency,
        v1::Signal::Cpu => Signal::Cpu,
        v1::Signal::Memory => Signal::Memory,
        v1::Signal::Network => Signal::Network,
        v1::Signal::Io => Signal::Io,
    }
}
