//! The short way: samples that lie as they are asked for, one a step of the grid's own length.
//!
//! That is what nearly every read asks for, of a cycle (the last hour, which lies in the head) and of a fit (weeks,
//! which lie in sealed blocks). Then there is nothing to sort, to weigh or to cut: the values are copied to their
//! places. Whatever is not of that form, in any sample that overlaps the grid, makes the whole read go the long way
//! (`sources`, `history`), so that each has one rule. Both give the same, bit for bit; a test holds that.

use crate::registry::{BlockRef, overlap};
use crate::run::Run;
use crate::shared::{Shared, reading};
use crate::sight::Sight;
use crate::values::{Times, Values};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Grid;

/// The values of a grid while they are copied to their places.
struct Places {
    grid: Grid,
    /// By when a sample ends that is seen.
    seen: i64,
    /// What a value is divided by: seconds of a step where it is a count.
    per: f64,
    values: Vec<f64>,
}

impl Places {
    /// Copies what of a run lies in the grid; `None` where a sample has no place of its own.
    fn take(&mut self, run: &Run) -> Option<()> {
        let (from, step) = (self.grid.start.0, self.grid.step.ms());
        // Of every run, whatever its step: one that is not of the grid's must be noticed.
        let last = self.seen.saturating_sub(run.step.ms()).saturating_add(1);
        let range = overlap(run, from, self.grid.end().0.min(last));
        if range.is_empty() {
            return Some(());
        }
        if run.step != self.grid.step {
            return None;
        }
        let place = |i: usize| {
            let offset = run.time(i).checked_sub(from)?;
            let whole = offset.rem_euclid(step) == 0;
            usize::try_from(offset / step).ok().filter(|_| whole)
        };
        if let Times::Regular { .. } = run.times() {
            let first = place(range.start)?;
            let to = self.values.get_mut(first..first + range.len())?;
            return match run.values() {
                Values::Ints(ints) => fill(to, ints[range].iter().map(|v| f64::from(*v)), self.per),
                Values::Floats(floats) => fill(to, floats[range].iter().copied(), self.per),
                Values::Blobs(_) => None,
            };
        }
        for i in range {
            let value = match run.values() {
                Values::Ints(ints) => f64::from(ints[i]),
                Values::Floats(floats) => floats[i],
                Values::Blobs(_) => return None,
            };
            let place = place(i)?;
            let to = self.values.get_mut(place..=place)?;
            fill(to, std::iter::once(value), self.per)?;
        }
        Some(())
    }
}

/// Puts values to their places; `None` where something stands there already.
fn fill(to: &mut [f64], values: impl Iterator<Item = f64>, per: f64) -> Option<()> {
    if to.iter().any(|there| !there.is_nan()) {
        return None;
    }
    for (to, value) in to.iter_mut().zip(values) {
        // A sample that is no number is none; which of the many it was is nobody's.
        *to = if value.is_nan() {
            f64::NAN
        } else {
            value / per
        };
    }
    Some(())
}

impl Shared {
    /// The values of a series of numbers on a grid, where they lie so; `None`: they have to be gathered, which
    /// also says what is damaged or gone.
    pub(crate) fn plain(&self, sight: &Sight, key: &SeriesKey, grid: Grid) -> Option<Vec<f64>> {
        let (from, step) = (grid.start.0, grid.step.ms());
        let mut places = Places {
            grid,
            seen: i64::MAX,
            per: match key.signal.is_count() {
                true => step as f64 / 1000.0,
                false => 1.0,
            },
            values: vec![f64::NAN; grid.count],
        };
        let (group, slot, blocks) = {
            let registry = reading(&self.registry);
            let Some(id) = registry.id(key) else {
                return Some(places.values);
            };
            if let Some(seen) = sight.of(&registry, id) {
                places.seen = seen.end_of_all()?;
            }
            if registry.floor(id) > from {
                return None;
            }
            let series = &registry.series[id as usize];
            for run in &series.head {
                places.take(run)?;
            }
            if series.sealed.end <= from {
                return Some(places.values);
            }
            let all = registry.groups[series.group as usize].blocks.iter();
            let overlap = all.filter(|b| b.start < grid.end().0.min(places.seen) && b.end > from);
            let blocks: Vec<BlockRef> = overlap.copied().collect();
            (series.group, series.slot, blocks)
        };
        for block in blocks {
            let runs = self.sealed_runs(None, group, block, slot).ok()?;
            for run in runs.iter() {
                places.take(run)?;
            }
        }
        Some(places.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::average;
    use crate::store::Store;
    use crate::values::Datum;
    use crate::{Options, Pinned};
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;
    use tidegate_core::ports::storage::History as _;
    use tidegate_core::sample::{SampleBatch, SeriesSamples, Values};
    use tidegate_core::time::{Step, Timestamp};
    use tidegate_core::units::Signal;

    fn key(signal: Signal) -> SeriesKey {
        SeriesKey {
            api: "shop/orders".parse().unwrap(),
            signal,
        }
    }

    /// Samples at starts in units of ten seconds, and how many of them were taken.
    fn append(store: &Store, signal: Signal, step_s: u32, starts: &[i64]) {
        let (done, wait) = sync_channel(1);
        let samples = SeriesSamples {
            key: key(signal),
            step: Step::from_secs(step_s).unwrap(),
            times: starts.iter().map(|t| Timestamp(t * 10_000)).collect(),
            values: Values::Numbers(starts.iter().map(|t| *t as f64 + 0.1).collect()),
        };
        let batch = SampleBatch {
            series: vec![samples],
        };
        store.append(batch, Box::new(move |r| done.send(r).unwrap()));
        wait.recv().unwrap().unwrap();
    }

    fn grid(step_s: u32, start: i64, count: usize) -> Grid {
        Grid {
            start: Timestamp(start * 10_000),
            step: Step::from_secs(step_s).unwrap(),
            count,
        }
    }

    /// The long way.
    fn gathered(store: &Store, sight: &Sight, signal: Signal, grid: Grid) -> Vec<u64> {
        let read = |step: i64, datum: Datum<'_>| match datum {
            Datum::Number(v) if signal.is_count() => Ok(v / (step as f64 / 1000.0)),
            Datum::Number(v) => Ok(v),
            Datum::Blob(_) => Ok(f64::NAN),
        };
        let samples = store.shared.gather(sight, &key(signal), grid, read);
        bits(average(&samples.unwrap(), grid))
    }

    fn bits(values: Vec<f64>) -> Vec<u64> {
        values.into_iter().map(f64::to_bits).collect()
    }

    #[track_caller]
    fn check(store: &Store, sight: &Sight, signal: Signal, grid: Grid) -> bool {
        let plain = store.shared.plain(sight, &key(signal), grid).map(bits);
        let is_plain = plain.is_some();
        if let Some(plain) = plain {
            assert_eq!(plain, gathered(store, sight, signal, grid), "{grid:?}");
        }
        is_plain
    }

    fn open(dir: &tempfile::TempDir, block_bytes: usize) -> Arc<Store> {
        let options = Options {
            block_bytes,
            ..Options::default()
        };
        Store::open(dir.path(), options).unwrap()
    }

    fn until_sealed(store: &Store) {
        for _ in 0..2000 {
            if store.stat().unwrap().wal_records == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("never sealed: {:?}", store.stat());
    }

    #[test]
    fn samples_of_the_grids_own_step_take_the_short_way_sealed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, 1);
        append(&store, Signal::Requests, 60, &[18, 24, 30, 54]);
        until_sealed(&store);
        append(&store, Signal::Cpu, 60, &[18, 24, 42]);
        store.close();
        drop(store);
        // From here on nothing is sealed any more.
        let store = open(&dir, 64_000);
        append(&store, Signal::Requests, 60, &[60, 72]);
        assert!(store.stat().unwrap().head_samples > 0);
        let sight = &Sight::Now;
        for signal in [Signal::Requests, Signal::Cpu, Signal::Memory] {
            for start in 0..14 {
                assert!(check(&store, sight, signal, grid(60, start * 6, 5)));
            }
        }
        assert!(!check(&store, sight, Signal::Cpu, grid(60, 15, 9)));
        assert!(!check(&store, sight, Signal::Cpu, grid(30, 0, 20)));
        // A finer sample beside them, and only where it is.
        append(&store, Signal::Requests, 10, &[73]);
        assert!(!check(&store, sight, Signal::Requests, grid(60, 0, 13)));
        assert!(check(&store, sight, Signal::Requests, grid(60, 0, 12)));
    }

    #[test]
    fn a_finer_sample_that_is_the_only_one_seen_takes_the_long_way() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, 64_000);
        append(&store, Signal::Cpu, 10, &[0]);
        let view = store.pin();
        append(&store, Signal::Cpu, 60, &[6, 12]);
        assert!(!check(&store, view.sight(), Signal::Cpu, grid(60, 0, 3)));
        assert!(check(&store, view.sight(), Signal::Cpu, grid(60, 6, 3)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn both_ways_give_the_same(
            came in prop::collection::vec(
                (prop::collection::btree_set(0_i64..60, 1..8), 0_usize..4), 1..8),
            sealed in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let store = open(&dir, if sealed { 1 } else { 64_000 });
            let mut views: Vec<Pinned> = vec![];
            for (starts, form) in &came {
                let (step, unit) = [(10, 1), (60, 6), (60, 6), (60, 1)][*form];
                let starts: Vec<i64> = starts.iter().map(|t| t * unit).collect();
                append(&store, Signal::Cpu, step, &starts);
                views.push(store.pin());
            }
            for (step, start, count) in
                [(10, 0, 80), (60, 0, 70), (60, 6, 9), (60, 3, 9), (30, 0, 30)]
            {
                let grid = grid(step, start, count);
                check(&store, &Sight::Now, Signal::Cpu, grid);
                for view in &views {
                    check(&store, view.sight(), Signal::Cpu, grid);
                }
            }
        }
    }
}
