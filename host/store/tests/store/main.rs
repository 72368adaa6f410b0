//! The store from outside: what is acknowledged stays, what is damaged is named.
//!
//! One test binary, since each would link sled and pco again. The helpers here are the fixture that
//! all chapters share.
#![expect(
    clippy::unwrap_used,
    reason = "a test's fixture may unwrap; clippy only knows #[test] functions"
)]

mod backup;
mod compact;
mod cut;
mod damage;
mod full;
mod history;
mod journal;
mod kill;
mod ledger;
mod model;
mod notes;
mod objects;
mod rolled;
mod rollup;
mod room;
mod salvage;
mod sealing;
mod sight;
mod tracks;
mod trials;
mod trim;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use tempfile::TempDir;
use tidegate_core::distribution::Distribution;
use tidegate_core::frame::Column;
use tidegate_core::ports::storage::{History, StoreError};
use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Stored, Values};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;
use tidegate_store::{Options, Stat, Store};

/// A directory and the store in it.
struct Fixture {
    dir: TempDir,
    options: Options,
    store: Option<Arc<Store>>,
}

impl Fixture {
    fn new(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), options.clone()).unwrap();
        Self {
            dir,
            options,
            store: Some(store),
        }
    }

    fn store(&self) -> &Arc<Store> {
        self.store.as_ref().unwrap()
    }

    fn append(&self, batch: SampleBatch) -> Result<Stored, StoreError> {
        append(self.store(), batch)
    }

    fn stop(&mut self) {
        self.store.take().unwrap().close();
    }

    fn restart(&mut self) {
        self.stop();
        self.store = Some(Store::open(self.dir.path(), self.options.clone()).unwrap());
    }

    /// Waits until the figures are as wanted; the writer seals after it has acknowledged.
    fn until(&self, wanted: impl Fn(&Stat) -> bool) -> Stat {
        for _ in 0..2000 {
            let stat = self.store().stat().unwrap();
            if wanted(&stat) {
                return stat;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("never came: {:?}", self.store().stat());
    }

    fn clean(&self) {
        let report = self.store().verify().unwrap();
        assert!(report.is_clean(), "{report:?}");
    }
}

/// Appends and waits for the ack.
fn append(store: &Store, batch: SampleBatch) -> Result<Stored, StoreError> {
    let (send, receive) = sync_channel(1);
    store.append(batch, Box::new(move |outcome| drop(send.send(outcome))));
    receive.recv().unwrap()
}

/// Blocks so small that everything is sealed at once.
fn eager() -> Options {
    Options {
        block_bytes: 1,
        ..Options::default()
    }
}

fn key(api: &str, signal: Signal) -> SeriesKey {
    SeriesKey {
        api: api.parse().unwrap(),
        signal,
    }
}

/// Samples `(minute, value)` of one series at one-minute steps.
fn minutes(key: &SeriesKey, samples: &[(i64, f64)]) -> SampleBatch {
    at_step(
        key,
        60,
        &samples
            .iter()
            .map(|(m, v)| (m * 60, *v))
            .collect::<Vec<_>>(),
    )
}

/// Samples `(second, value)` of one series.
fn at_step(key: &SeriesKey, step: u32, samples: &[(i64, f64)]) -> SampleBatch {
    SampleBatch {
        series: vec![SeriesSamples {
            key: key.clone(),
            step: Step::from_secs(step).unwrap(),
            times: samples
                .iter()
                .map(|(t, _)| Timestamp::from_secs(*t))
                .collect(),
            values: Values::Numbers(samples.iter().map(|(_, v)| *v).collect()),
        }],
    }
}

fn distributions(api: &str, samples: &[(i64, Distribution)]) -> SampleBatch {
    SampleBatch {
        series: vec![SeriesSamples {
            key: key(api, Signal::Latency),
            step: Step::MINUTE,
            times: samples
                .iter()
                .map(|(m, _)| Timestamp::from_secs(m * 60))
                .collect(),
            values: Values::Distributions(samples.iter().map(|(_, d)| d.clone()).collect()),
        }],
    }
}

fn distribution(n: u64) -> Distribution {
    Distribution {
        scale: 3,
        zero_count: 1,
        offset: -20,
        buckets: vec![n, 0, 0, 2 * n, 1],
        sum: n as f64 * 0.125,
        above: vec![(0.2, n.min(1)), (0.5, 0)],
    }
}

fn grid(start_s: i64, step: u32, count: usize) -> Grid {
    Grid {
        start: Timestamp::from_secs(start_s),
        step: Step::from_secs(step).unwrap(),
        count,
    }
}

/// Bits, so that NaN equals NaN and nothing is rounded.
fn bits(column: &Column) -> Vec<u64> {
    column
        .values
        .iter()
        .map(|v| if v.is_nan() { u64::MAX } else { v.to_bits() })
        .collect()
}

fn of_values(values: &[f64]) -> Vec<u64> {
    values
        .iter()
        .map(|v| if v.is_nan() { u64::MAX } else { v.to_bits() })
        .collect()
}
