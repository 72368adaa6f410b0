//! What has been measured, in memory: the port that the store implements in the daemon.
//!
//! Minutes by their place, since the simulated world has no gaps of its own. Coarser steps are means of
//! the minutes in them, and their latencies the minutes' merged, as the store gives them out.

use crate::shape::service::Minute;
use std::collections::BTreeMap;
use tidegate_core::distribution::Distribution;
use tidegate_core::frame::Column;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::storage::{Completion, History, StoreError, Watermark};
use tidegate_core::sample::{SampleBatch, SeriesKey};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;

/// See the module.
#[derive(Debug)]
pub(super) struct Past {
    start: Timestamp,
    series: BTreeMap<SeriesKey, Vec<f64>>,
    latencies: BTreeMap<ApiId, Vec<Option<Distribution>>>,
    watermark: Watermark,
}

impl Past {
    /// Nothing yet; minutes are counted from the one of this instant.
    pub(super) fn new(start: Timestamp) -> Self {
        Self {
            start: start.floor(Step::MINUTE),
            series: BTreeMap::new(),
            latencies: BTreeMap::new(),
            watermark: Watermark::default(),
        }
    }

    /// Adds the minute that began at an instant.
    pub(super) fn add(&mut self, api: &ApiId, at: Timestamp, minute: &Minute) {
        let Some(place) = self.place(at) else { return };
        let rows = [
            (Signal::Requests, minute.requests.round() / 60.0),
            (Signal::Errors, minute.errors.round() / 60.0),
            (Signal::Cpu, minute.cpu / 60.0),
        ];
        for (signal, value) in rows {
            let key = SeriesKey {
                api: api.clone(),
                signal,
            };
            put(self.series.entry(key).or_default(), place, f64::NAN, value);
        }
        let latencies = Some(minute.latencies());
        put(
            self.latencies.entry(api.clone()).or_default(),
            place,
            None,
            latencies,
        );
        self.watermark.sequence += 1;
        self.watermark.newest = at.plus_ms(Step::MINUTE.ms());
    }

    /// The place of the minute in which an instant lies; `None` before the first.
    fn place(&self, at: Timestamp) -> Option<usize> {
        usize::try_from(at.since_ms(self.start).div_euclid(Step::MINUTE.ms())).ok()
    }

    /// The places of the minutes of a step, cut to what there is of `length` minutes.
    fn places(&self, grid: Grid, step: usize, length: usize) -> std::ops::Range<usize> {
        let from = self.place(grid.at(step)).unwrap_or(0).min(length);
        let to = self.place(grid.at(step + 1)).unwrap_or(0).min(length);
        from..to.max(from)
    }
}

fn put<T: Clone>(values: &mut Vec<T>, place: usize, nothing: T, value: T) {
    if values.len() <= place {
        values.resize(place + 1, nothing);
    }
    values[place] = value;
}

impl History for Past {
    fn append(&self, _batch: SampleBatch, done: Completion) {
        done(Err(StoreError::Refused {
            what: "samples".into(),
            why: "a backtest's history is what its simulated services did".into(),
        }));
    }

    fn column(&self, key: &SeriesKey, grid: Grid) -> Result<Column, StoreError> {
        let known = self.series.get(key).map_or(&[][..], Vec::as_slice);
        let mean = |step: usize| {
            let part = &known[self.places(grid, step, known.len())];
            let (sum, n) = part
                .iter()
                .filter(|v| v.is_finite())
                .fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
            if n > 0.0 { sum / n } else { f64::NAN }
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
        api: &ApiId,
        grid: Grid,
    ) -> Result<Vec<Option<Distribution>>, StoreError> {
        let known = self.latencies.get(api).map_or(&[][..], Vec::as_slice);
        let merged = |step: usize| {
            let mut part = known[self.places(grid, step, known.len())].iter().flatten();
            let mut first = part.next()?.clone();
            part.for_each(|d| first.merge(d));
            Some(first)
        };
        Ok((0..grid.count).map(merged).collect())
    }

    fn series(&self) -> Vec<SeriesKey> {
        self.series.keys().cloned().collect()
    }

    fn newest(&self, key: &SeriesKey) -> Option<Timestamp> {
        let count = i64::try_from(self.series.get(key)?.len()).unwrap_or(i64::MAX);
        Some(self.start.plus_steps(Step::MINUTE, count))
    }

    fn watermark(&self) -> Watermark {
        self.watermark
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::service::Service;

    #[test]
    fn coarse_steps_are_means_of_their_minutes_and_latencies_are_merged() {
        let api: ApiId = "backtest/a".parse().unwrap();
        let start = Timestamp::from_secs(600);
        let mut past = Past::new(start);
        for minute in 0..6 {
            let (mut service, mut measured) = (Service::default(), Minute::default());
            for _ in 0..60 {
                measured.add(&service.tick(100.0 * f64::from(minute + 1), 1.0, 20));
            }
            past.add(
                &api,
                start.plus_steps(Step::MINUTE, i64::from(minute)),
                &measured,
            );
        }
        let key = |signal| SeriesKey {
            api: api.clone(),
            signal,
        };
        let step = Step::from_secs(180).unwrap();
        let grid = Grid {
            start: start.plus_ms(-step.ms()),
            step,
            count: 4,
        };
        let column = past.column(&key(Signal::Requests), grid).unwrap();
        assert!(column.values[0].is_nan() && column.values[3].is_nan());
        assert_eq!(column.values[1..3], [200.0, 500.0]);
        let merged = past.distributions(&api, grid).unwrap();
        let counts: Vec<_> = merged
            .iter()
            .map(|d| d.as_ref().map(Distribution::count))
            .collect();
        assert_eq!(counts, [None, Some(36_000), Some(90_000), None]);
        assert_eq!(past.newest(&key(Signal::Cpu)), Some(start.plus_ms(360_000)));
        assert_eq!(past.newest(&key(Signal::Memory)), None);
    }
}
