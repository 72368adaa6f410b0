//! A history and an api for tests: rates by signal and minute, of whichever api is asked for. Rooms
//! are tested against it and not against the store, which they may not know.

use std::collections::BTreeMap;
use tidegate_core::catalog::Api;
use tidegate_core::distribution::Distribution;
use tidegate_core::frame::Column;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::storage::{Completion, History, StoreError, Watermark};
use tidegate_core::sample::{SampleBatch, SeriesKey};
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::Signal;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Rates(BTreeMap<(Signal, i64), f64>);

impl Rates {
    /// One rate for a range of minutes.
    pub(crate) fn feed(&mut self, signal: Signal, minutes: std::ops::Range<i64>, rate: f64) {
        self.0.extend(minutes.map(|m| ((signal, m), rate)));
    }
}

impl History for Rates {
    fn append(&self, _batch: SampleBatch, _done: Completion) {}

    fn column(&self, key: &SeriesKey, grid: Grid) -> Result<Column, StoreError> {
        let mean = |i: usize| {
            let minutes = grid.at(i).secs() / 60..grid.at(i + 1).secs() / 60;
            let found: Vec<f64> = minutes
                .filter_map(|m| self.0.get(&(key.signal, m)).copied())
                .collect();
            found.iter().sum::<f64>() / found.len() as f64
        };
        Ok(Column {
            signal: key.signal,
            start: grid.start,
            step: grid.step,
            values: (0..grid.count).map(mean).collect(),
        })
    }

    fn distributions(
        &self,
        _api: &ApiId,
        grid: Grid,
    ) -> Result<Vec<Option<Distribution>>, StoreError> {
        Ok(vec![None; grid.count])
    }

    fn series(&self) -> Vec<SeriesKey> {
        vec![]
    }

    fn newest(&self, key: &SeriesKey) -> Option<Timestamp> {
        let of = self.0.keys().filter(|(s, _)| *s == key.signal);
        of.map(|(_, m)| Timestamp((m + 1) * 60_000)).max()
    }

    fn watermark(&self) -> Watermark {
        Watermark::default()
    }
}

/// A bronze api of the pool `edge` that may rise to gold.
pub(crate) fn api(id: &str) -> Api {
    Api {
        category: "web".into(),
        ..Api::free(id.parse().unwrap(), "edge".parse().unwrap())
    }
}
