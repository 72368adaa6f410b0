//! The storage ports over maps in memory, with the semantics that the traits promise.
//!
//! Kept apart from any shortcut that a test might like: the first value of a sample stands, the
//! ledger refuses what breaks PL1, columns are time-weighted means. A test that passes here and
//! fails on the real store has found a difference worth a fix in one of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tidegate_core::catalog::Catalog;
use tidegate_core::distribution::Distribution;
use tidegate_core::frame::Column;
use tidegate_core::ids::{ApiId, Digest, Generation, PoolId};
use tidegate_core::invariant::check_succession;
use tidegate_core::life::Step;
use tidegate_core::ports::storage::{
    Anchor, CatalogStore, Completion, Fit, History, Ledger, Modules, Replays, SeriesState, States,
    StoreError, StoredModule, Watermark,
};
use tidegate_core::record::Record;
use tidegate_core::sample::{SampleBatch, SeriesKey, Stored, Values};
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::Signal;

#[derive(Debug, Clone)]
enum Datum {
    Number(f64),
    Distribution(Distribution),
}

/// A sample: its length in milliseconds, the arrival sequence of its batch, its value.
#[derive(Debug, Clone)]
struct Sample {
    step: i64,
    came: u64,
    datum: Datum,
}

/// By the start of a step in milliseconds.
type Samples = BTreeMap<i64, Sample>;

#[derive(Debug, Default)]
struct Inner {
    samples: BTreeMap<SeriesKey, Samples>,
    watermark: Watermark,
    records: BTreeMap<PoolId, Vec<Record>>,
    modules: Vec<(StoredModule, Vec<u8>)>,
    states: BTreeMap<(SeriesKey, Digest, Digest), SeriesState>,
    catalog: Catalog,
    anchors: BTreeMap<(PoolId, Generation), Vec<Anchor>>,
    declared: BTreeMap<Digest, Catalog>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

/// A step may be a day at most, so no sample that starts earlier reaches into a grid.
const LONGEST_STEP_MS: i64 = 86_400_000;

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every writer replaces whole values, so what a panic left is whole too.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every record of a pool, oldest first.
    #[must_use]
    pub fn records(&self, pool: &PoolId) -> Vec<Record> {
        self.lock().records.get(pool).cloned().unwrap_or_default()
    }

    /// Changes one byte of a stored number, as no store may: for tests that it is found. Whether there was one.
    pub fn flip(&self, key: &SeriesKey, start: Timestamp) -> bool {
        let inner = &mut *self.lock();
        let sample = inner
            .samples
            .get_mut(key)
            .and_then(|all| all.get_mut(&start.0));
        match sample.map(|s| &mut s.datum) {
            Some(Datum::Number(value)) => {
                *value = f64::from_bits(value.to_bits() ^ 1 << 24);
                true
            }
            Some(Datum::Distribution(_)) | None => false,
        }
    }

    /// Calls `each` with every sample of batches up to a sequence that touches the grid, oldest first.
    fn touching(
        &self,
        key: &SeriesKey,
        grid: Grid,
        sequence: u64,
        mut each: impl FnMut(i64, i64, &Datum),
    ) {
        let inner = self.lock();
        let Some(samples) = inner.samples.get(key) else {
            return;
        };
        let (from, to) = (grid.start.0, grid.end().0);
        let near = samples.range(from.saturating_sub(LONGEST_STEP_MS)..to);
        for (&start, sample) in near.filter(|(_, sample)| sample.came <= sequence) {
            if start + sample.step > from {
                each(start, sample.step, &sample.datum);
            }
        }
    }

    fn column_at(&self, key: &SeriesKey, grid: Grid, sequence: u64) -> Column {
        let mut values = vec![f64::NAN; grid.count];
        if key.signal == Signal::Latency {
            let steps = self.distributions_at(&key.api, grid, sequence);
            for (value, d) in values.iter_mut().zip(steps) {
                *value = d.as_ref().and_then(Distribution::mean).unwrap_or(f64::NAN);
            }
        } else {
            let mut weights = vec![0.0; grid.count];
            let per_second = key.signal.is_count();
            self.touching(key, grid, sequence, |start, step, datum| {
                let Datum::Number(number) = datum else { return };
                let value = if per_second {
                    number / (step as f64 / 1000.0)
                } else {
                    *number
                };
                for i in covered(grid, start, start + step) {
                    let from = grid.at(i).0.max(start);
                    let to = grid.at(i + 1).0.min(start + step);
                    let weight = (to - from) as f64;
                    let before = if weights[i] > 0.0 { values[i] } else { 0.0 };
                    weights[i] += weight;
                    values[i] = before + (value - before) * (weight / weights[i]);
                }
            });
        }
        Column {
            signal: key.signal,
            start: grid.start,
            step: grid.step,
            values,
        }
    }

    fn distributions_at(
        &self,
        api: &ApiId,
        grid: Grid,
        sequence: u64,
    ) -> Vec<Option<Distribution>> {
        let key = SeriesKey {
            api: api.clone(),
            signal: Signal::Latency,
        };
        let mut steps: Vec<Option<Distribution>> = vec![None; grid.count];
        self.touching(&key, grid, sequence, |start, step, datum| {
            let Datum::Distribution(d) = datum else {
                return;
            };
            let end = if step > grid.step.ms() {
                start + step
            } else {
                start + 1
            };
            for i in covered(grid, start, end) {
                match &mut steps[i] {
                    Some(there) => there.merge(d),
                    empty => *empty = Some(d.clone()),
                }
            }
        });
        steps
    }

    fn newest_at(&self, key: &SeriesKey, sequence: u64) -> Option<Timestamp> {
        let inner = self.lock();
        let seen = inner.samples.get(key)?.iter();
        let mut seen = seen.rev().filter(|(_, sample)| sample.came <= sequence);
        let (start, sample) = seen.next()?;
        Some(Timestamp(start + sample.step))
    }
}

/// What had come up to a sequence.
struct Then<'a> {
    store: &'a MemoryStore,
    sequence: u64,
}

impl History for Then<'_> {
    fn append(&self, batch: SampleBatch, done: Completion) {
        History::append(self.store, batch, done);
    }

    fn column(&self, key: &SeriesKey, grid: Grid) -> Result<Column, StoreError> {
        Ok(self.store.column_at(key, grid, self.sequence))
    }

    fn distributions(
        &self,
        api: &ApiId,
        grid: Grid,
    ) -> Result<Vec<Option<Distribution>>, StoreError> {
        Ok(self.store.distributions_at(api, grid, self.sequence))
    }

    fn series(&self) -> Vec<SeriesKey> {
        self.store.series()
    }

    fn newest(&self, key: &SeriesKey) -> Option<Timestamp> {
        self.store.newest_at(key, self.sequence)
    }

    fn watermark(&self) -> Watermark {
        Watermark {
            sequence: self.sequence,
            ..self.store.watermark()
        }
    }
}

impl Replays for MemoryStore {
    fn append_with(&self, record: &Record, anchors: &[Anchor]) -> Result<(), StoreError> {
        Ledger::append(self, record)?;
        let plan = (record.pool.clone(), record.plan.generation);
        self.lock().anchors.insert(plan, anchors.to_vec());
        Ok(())
    }

    fn anchors(&self, pool: &PoolId, generation: Generation) -> Result<Vec<Anchor>, StoreError> {
        let plan = (pool.clone(), generation);
        Ok(self.lock().anchors.get(&plan).cloned().unwrap_or_default())
    }

    fn keep_catalog(&self, catalog: &Catalog) -> Result<Digest, StoreError> {
        // What tells two apart here is what they look like: no test changes what a name does not show.
        let digest = Digest::of(format!("{catalog:?}").as_bytes());
        self.lock().declared.insert(digest, catalog.clone());
        Ok(digest)
    }

    fn kept_catalog(&self, digest: &Digest) -> Result<Option<Catalog>, StoreError> {
        Ok(self.lock().declared.get(digest).cloned())
    }

    fn as_of(&self, sequence: u64, _: BTreeMap<SeriesKey, Timestamp>) -> Box<dyn History + '_> {
        Box::new(Then {
            store: self,
            sequence,
        })
    }
}

/// Steps of the grid that `from <= t < to` touches.
fn covered(grid: Grid, from: i64, to: i64) -> std::ops::Range<usize> {
    let index = |t: i64| t.saturating_sub(grid.start.0).div_euclid(grid.step.ms());
    let clamp = |i: i64| usize::try_from(i).map_or(0, |i| i.min(grid.count));
    clamp(index(from))..clamp(index(to - 1).saturating_add(1))
}

impl History for MemoryStore {
    fn append(&self, batch: SampleBatch, done: Completion) {
        let mut stored = Stored::default();
        {
            let inner = &mut *self.lock();
            inner.watermark.sequence += 1;
            stored.sequence = inner.watermark.sequence;
            for series in batch.series {
                let step = series.step.ms();
                let data: Vec<Datum> = match series.values {
                    Values::Numbers(values) => values.into_iter().map(Datum::Number).collect(),
                    Values::Distributions(values) => {
                        values.into_iter().map(Datum::Distribution).collect()
                    }
                };
                let samples = inner.samples.entry(series.key).or_default();
                for (t, datum) in series.times.into_iter().zip(data) {
                    if samples.contains_key(&t.0) {
                        stored.duplicates += 1;
                        continue;
                    }
                    let came = stored.sequence;
                    samples.insert(t.0, Sample { step, came, datum });
                    stored.stored += 1;
                    let end = Timestamp(t.0 + step);
                    inner.watermark.newest = inner.watermark.newest.max(end);
                }
            }
        }
        done(Ok(stored));
    }

    fn column(&self, key: &SeriesKey, grid: Grid) -> Result<Column, StoreError> {
        Ok(self.column_at(key, grid, u64::MAX))
    }

    fn distributions(
        &self,
        api: &ApiId,
        grid: Grid,
    ) -> Result<Vec<Option<Distribution>>, StoreError> {
        Ok(self.distributions_at(api, grid, u64::MAX))
    }

    fn series(&self) -> Vec<SeriesKey> {
        self.lock().samples.keys().cloned().collect()
    }

    fn newest(&self, key: &SeriesKey) -> Option<Timestamp> {
        self.newest_at(key, u64::MAX)
    }

    fn watermark(&self) -> Watermark {
        self.lock().watermark
    }
}

impl Ledger for MemoryStore {
    fn append(&self, record: &Record) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let records = inner.records.entry(record.pool.clone()).or_default();
        let last = records.last().map(|r| r.plan.generation);
        check_succession(&record.plan, last).map_err(|breach| StoreError::Refused {
            what: format!("plan {} of pool {}", record.plan.generation, record.pool),
            why: breach.to_string(),
        })?;
        records.push(record.clone());
        Ok(())
    }

    fn record(&self, pool: &PoolId, generation: Generation) -> Result<Option<Record>, StoreError> {
        let inner = self.lock();
        let found = inner.records.get(pool).and_then(|records| {
            records
                .iter()
                .find(|r| r.plan.generation == generation)
                .cloned()
        });
        Ok(found)
    }

    fn last(&self, pool: &PoolId) -> Option<Generation> {
        let inner = self.lock();
        inner.records.get(pool)?.last().map(|r| r.plan.generation)
    }

    fn at(&self, pool: &PoolId, at: Timestamp) -> Result<Option<Generation>, StoreError> {
        let inner = self.lock();
        let records = inner.records.get(pool).map_or(&[][..], Vec::as_slice);
        let made = records.iter().rev().find(|r| r.plan.made_at <= at);
        Ok(made.map(|r| r.plan.generation))
    }
}

impl Modules for MemoryStore {
    fn put(&self, module: &StoredModule, bytes: &[u8]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        match inner
            .modules
            .iter_mut()
            .find(|(m, _)| m.digest == module.digest)
        {
            Some((there, _)) => there.clone_from(module),
            None => inner.modules.push((module.clone(), bytes.to_vec())),
        }
        Ok(())
    }

    fn list(&self) -> Result<Vec<StoredModule>, StoreError> {
        Ok(self.lock().modules.iter().map(|(m, _)| m.clone()).collect())
    }

    fn bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let inner = self.lock();
        let found = inner.modules.iter().find(|(m, _)| m.digest == *digest);
        Ok(found.map(|(_, bytes)| bytes.clone()))
    }
}

impl States for MemoryStore {
    fn save(&self, states: &[SeriesState]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        for state in states {
            let key = (state.key.clone(), state.module, state.config);
            inner.states.insert(key, state.clone());
        }
        Ok(())
    }

    fn load(&self) -> Result<Vec<SeriesState>, StoreError> {
        Ok(self.lock().states.values().cloned().collect())
    }

    fn forget(&self, fits: &[Fit]) -> Result<(), StoreError> {
        self.lock().states.retain(|fit, _| !fits.contains(fit));
        Ok(())
    }
}

impl CatalogStore for MemoryStore {
    fn load(&self) -> Result<Catalog, StoreError> {
        Ok(self.lock().catalog.clone())
    }

    /// Steps of a journal are passed over: a world's are its notes.
    fn save_with(&self, catalog: &Catalog, _: &[Step], _: &[u64]) -> Result<(), StoreError> {
        self.lock().catalog = catalog.clone();
        Ok(())
    }
}
