//! Samples in, columns out: the `History` port.
//!
//! Reading gathers the samples that overlap the grid from sealed blocks and the head, sorts them
//! by time, and averages them onto the grid *weighted by how long each covers a step*. One rule
//! serves all cases: a finer step is averaged, a coarser one fills, a step that is measured in part
//! has the mean of what was measured, overlapping samples of two steps are not counted twice. A
//! count becomes a rate by its own step first. The mean is updated incrementally, so that one
//! sample per step comes out bit for bit, and in time order, so that it does not matter what was
//! sealed when.
//!
//! Where raw samples are dropped, cells of roll-ups stand for them (`sources`). Where samples lie as they are
//! asked for, one a step, there is nothing to average and they are copied (`plain`).
//!
//! Distributions are merged into the step in which they begin; one that is coarser than the grid
//! stands in every step that it covers (its counts are those of its whole step: ratios hold, sums
//! over such steps do not).

use crate::distribution::decode;
use crate::queue::{Job, complete};
use crate::shared::{Shared, reading};
use crate::sight::Sight;
use crate::store::Store;
use crate::values::Datum;
use tidegate_core::distribution::Distribution;
use tidegate_core::frame::Column;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::storage::{Completion, History, StoreError, Watermark};
use tidegate_core::sample::{SampleBatch, SeriesKey};
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::Signal;

/// A sample, or a cell of samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<T> {
    /// Where it begins.
    pub(crate) time: i64,
    /// Over how many milliseconds it reaches.
    pub(crate) step: i64,
    /// How many of these were measured.
    pub(crate) covered: i64,
    pub(crate) value: T,
}

impl History for Store {
    fn append(&self, batch: SampleBatch, done: Completion) {
        match self.shared.disk.room() {
            Ok(()) => self.shared.queue.push(Job::new(batch, done)),
            Err(error) => complete(done, Err(error)),
        }
    }

    fn column(&self, key: &SeriesKey, grid: Grid) -> Result<Column, StoreError> {
        self.shared.column(&Sight::Now, key, grid)
    }

    fn distributions(
        &self,
        api: &ApiId,
        grid: Grid,
    ) -> Result<Vec<Option<Distribution>>, StoreError> {
        self.shared.distributions(&Sight::Now, api, grid)
    }

    fn series(&self) -> Vec<SeriesKey> {
        self.shared.series()
    }

    fn newest(&self, key: &SeriesKey) -> Option<Timestamp> {
        self.shared.newest(&Sight::Now, key)
    }

    fn watermark(&self) -> Watermark {
        let registry = reading(&self.shared.registry);
        Watermark {
            sequence: registry.sequence,
            newest: registry.newest,
        }
    }
}

/// Steps of the grid that instants from `first` to `last` touch.
fn covered(grid: Grid, first: i64, last: i64) -> std::ops::Range<usize> {
    let index = |t: i64| t.saturating_sub(grid.start.0).div_euclid(grid.step.ms());
    let clamp = |i: i64| usize::try_from(i).map_or(0, |i| i.min(grid.count));
    clamp(index(first))..clamp(index(last).saturating_add(1))
}

/// The time-weighted mean of every step; NaN without a sample.
pub(crate) fn average(samples: &[Sample<f64>], grid: Grid) -> Vec<f64> {
    let mut means = vec![f64::NAN; grid.count];
    let mut weights = vec![0_i64; grid.count];
    for sample in samples {
        let value = sample.value;
        if value.is_nan() {
            continue;
        }
        let end = sample.time + sample.step;
        for i in covered(grid, sample.time, end - 1) {
            let from = grid.at(i).0.max(sample.time);
            let mut weight = grid.at(i + 1).0.min(end) - from;
            if sample.covered != sample.step {
                weight = (weight * sample.covered / sample.step).max(1);
            }
            weights[i] += weight;
            means[i] = if weights[i] == weight {
                value
            } else {
                means[i] + (value - means[i]) * (weight as f64 / weights[i] as f64)
            };
        }
    }
    means
}

impl Shared {
    /// A series on a grid, as it is seen.
    pub(crate) fn column(
        &self,
        sight: &Sight,
        key: &SeriesKey,
        grid: Grid,
    ) -> Result<Column, StoreError> {
        let values = if key.signal == Signal::Latency {
            let steps = self.distributions(sight, &key.api, grid)?;
            steps
                .iter()
                .map(|d| d.as_ref().and_then(Distribution::mean).unwrap_or(f64::NAN))
                .collect()
        } else if let Some(values) = self.plain(sight, key, grid) {
            values
        } else {
            let per_second = key.signal.is_count();
            let samples = self.gather(sight, key, grid, |step, datum| match datum {
                Datum::Number(v) if per_second => Ok(v / (step as f64 / 1000.0)),
                Datum::Number(v) => Ok(v),
                Datum::Blob(_) => Ok(f64::NAN),
            })?;
            average(&samples, grid)
        };
        Ok(Column {
            signal: key.signal,
            start: grid.start,
            step: grid.step,
            values,
        })
    }

    /// Latency distributions on a grid, as they are seen.
    pub(crate) fn distributions(
        &self,
        sight: &Sight,
        api: &ApiId,
        grid: Grid,
    ) -> Result<Vec<Option<Distribution>>, StoreError> {
        let key = SeriesKey {
            api: api.clone(),
            signal: Signal::Latency,
        };
        let samples = self.gather(sight, &key, grid, |_, datum| match datum {
            Datum::Blob(bytes) => decode(bytes).map(Some).map_err(|e| StoreError::Damaged {
                key: format!("a distribution of {api}"),
                cause: e.0.into(),
            }),
            Datum::Number(_) => Ok(None),
        })?;
        let mut steps: Vec<Option<Distribution>> = vec![None; grid.count];
        for sample in samples {
            let Some(distribution) = sample.value else {
                continue;
            };
            let last = if sample.step > grid.step.ms() {
                sample.time + sample.step - 1
            } else {
                sample.time
            };
            for i in covered(grid, sample.time, last) {
                match &mut steps[i] {
                    Some(there) => there.merge(&distribution),
                    empty => *empty = Some(distribution.clone()),
                }
            }
        }
        Ok(steps)
    }

    /// Series with samples, ascending.
    pub(crate) fn series(&self) -> Vec<SeriesKey> {
        let registry = reading(&self.registry);
        let filled = registry.series.iter().filter(|s| s.newest != i64::MIN);
        let mut keys: Vec<_> = filled.map(|s| s.key.clone()).collect();
        keys.sort_unstable();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::time::Step;

    fn grid(step_s: u32, count: usize) -> Grid {
        Grid {
            start: Timestamp(0),
            step: Step::from_secs(step_s).unwrap(),
            count,
        }
    }

    fn sample((time, step, value): (i64, i64, f64)) -> Sample<f64> {
        Sample {
            time,
            step,
            covered: step,
            value,
        }
    }

    #[test]
    fn a_cell_weighs_as_much_as_was_measured_in_it() {
        let cell = |time, covered, value| Sample {
            covered,
            ..sample((time, 300_000, value))
        };
        let cells = [cell(0, 300_000, 1.0), cell(300_000, 60_000, 7.0)];
        assert_eq!(average(&cells, grid(600, 1)), [2.0]);
    }

    #[test]
    fn finer_samples_are_averaged_and_coarser_ones_fill() {
        let fine = [
            (0, 10_000, 1.0),
            (10_000, 10_000, 3.0),
            (40_000, 10_000, 8.0),
        ]
        .map(sample);
        let at_20s = average(&fine, grid(20, 4));
        assert_eq!(at_20s[0].to_bits(), 2.0_f64.to_bits());
        assert!(at_20s[1].is_nan() && at_20s[3].is_nan());
        assert_eq!(at_20s[2].to_bits(), 8.0_f64.to_bits());
        let coarse = [(-60_000, 120_000, 5.0), (60_000, 60_000, 7.0)].map(sample);
        assert_eq!(average(&coarse, grid(30, 4)), [5.0, 5.0, 7.0, 7.0]);
    }

    #[test]
    fn a_step_that_straddles_counts_by_its_share() {
        let samples = [(0, 60_000, 1.0), (60_000, 60_000, 4.0)].map(sample);
        // The second step of 90 s holds 30 s of the second sample and nothing else.
        let means = average(&samples, grid(90, 2));
        assert!((means[0] - 2.0).abs() < 1e-12);
        assert_eq!(means[1].to_bits(), 4.0_f64.to_bits());
    }

    #[test]
    fn a_single_sample_comes_out_bit_for_bit() {
        let value = 0.1 + 0.2;
        let means = average(&[sample((0, 60_000, value))], grid(60, 1));
        assert_eq!(means[0].to_bits(), value.to_bits());
    }
}
