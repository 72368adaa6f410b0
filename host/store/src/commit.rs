//! From batches to write-ahead records: identity, order, duplicates.
//!
//! A sample is compared with what is *stored*, never with what waits: a batch that could repeat
//! something of the commit under construction is put into the next one (the writer sees to that),
//! so there is one place where duplicates are found. The usual sample is newer than everything of
//! its series and costs one comparison; any other is looked up in the head and, where blocks span
//! its time, in their columns.
//!
//! Out-of-order window: a sample may lie up to `Options::out_of_order_ms` behind the newest sample
//! that its series had before the batch. Beyond, it is late: counted, not stored, not looked up.

use crate::distribution;
use crate::registry::{Registry, Shape};
use crate::run::Run;
use crate::shared::{Shared, reading, writing};
use crate::values::Datum;
use crate::wal;
use crate::writer::Writer;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use tidegate_core::ports::storage::{Completion, StoreError};
use tidegate_core::sample::{SampleBatch, SeriesSamples, Stored, Values};

/// Instants beyond this many milliseconds from the epoch (142,000 years) are no measurements.
const FARTHEST: i64 = 1 << 52;

/// Batches that become durable together.
pub(crate) struct Commit {
    pub(crate) wal: wal::Writer,
    /// Series, samples, first record that holds them.
    pub(crate) accepted: Vec<(u32, Run, u64)>,
    /// Sequence, series and time of samples that did not move their series on.
    pub(crate) late: Vec<(u64, u32, i64)>,
    pub(crate) acks: Vec<(Completion, Stored)>,
}

impl Commit {
    /// `first` is the number of its first record.
    pub(crate) fn new(first: u64) -> Self {
        Self {
            wal: wal::Writer::new(first),
            accepted: vec![],
            late: vec![],
            acks: vec![],
        }
    }
}

/// What became of one series of a batch.
#[derive(Debug)]
struct Admitted {
    run: Run,
    duplicates: u64,
    /// Too late to be stored.
    late: u64,
    /// Times of those that were stored and did not move the series on.
    behind: Vec<i64>,
}

impl Writer {
    /// Adds a batch to a commit. `None` if it may repeat a sample of this commit: finish the commit
    /// first.
    ///
    /// # Errors
    /// When the batch is malformed or stored data that it is compared with cannot be read; nothing
    /// of it is then in the commit.
    pub(crate) fn prepare(
        &mut self,
        commit: &mut Commit,
        batch: &SampleBatch,
    ) -> Result<Option<Stored>, StoreError> {
        batch.series.iter().try_for_each(check)?;
        let ids = self.identify(batch)?;
        let repeats = |(s, id): (&SeriesSamples, &u32)| {
            let newest = self.pending[*id as usize];
            newest != i64::MIN && s.times.iter().any(|t| t.0 <= newest)
        };
        if !commit.acks.is_empty() && batch.series.iter().zip(&ids).any(repeats) {
            return Ok(None);
        }
        let shared = self.shared.clone();
        let registry = reading(&shared.registry);
        let mut stored = Stored::default();
        let mut accepted: Vec<(u32, Run)> = Vec::with_capacity(ids.len());
        let mut behind = vec![];
        // A series that a batch names twice must also be compared with its own beginning.
        let mut named = BTreeSet::new();
        let unique = ids.is_sorted_by(|a, b| a < b) || ids.iter().all(|id| named.insert(*id));
        for (samples, &id) in batch.series.iter().zip(&ids) {
            let beside: &[(u32, Run)] = if unique { &[] } else { &accepted };
            let admitted = admit(&shared, &registry, id, samples, beside)?;
            stored.stored += admitted.run.len() as u64;
            stored.duplicates += admitted.duplicates;
            stored.late += admitted.late;
            behind.extend(admitted.behind.iter().map(|t| (id, *t)));
            if !admitted.run.is_empty() {
                accepted.push((id, admitted.run));
            }
        }
        self.sequence += 1;
        stored.sequence = self.sequence;
        commit.wal.batch(self.sequence);
        let sequence = self.sequence;
        commit
            .late
            .extend(behind.into_iter().map(|(id, t)| (sequence, id, t)));
        for (id, run) in accepted {
            let pending = &mut self.pending[id as usize];
            *pending = (*pending).max(run.last().unwrap_or(i64::MIN));
            let record = commit.wal.entry(registry.number(id), &run);
            commit.accepted.push((id, run, record));
        }
        Ok(Some(stored))
    }

    /// The series of a batch, registered where they are new.
    fn identify(&mut self, batch: &SampleBatch) -> Result<Vec<u32>, StoreError> {
        let mut ids = Vec::with_capacity(batch.series.len());
        let mut known = reading(&self.shared.registry);
        for samples in &batch.series {
            let shape = Shape::of(samples.key.signal);
            let id = match known.id(&samples.key) {
                Some(id) => id,
                None => {
                    drop(known);
                    let id = {
                        let mut registry = writing(&self.shared.registry);
                        let (id, _) = registry.register(&samples.key, shape);
                        self.pages.insert(registry.series[id as usize].group);
                        id
                    };
                    known = reading(&self.shared.registry);
                    id
                }
            };
            ids.push(id);
        }
        self.pending.resize(known.series.len(), i64::MIN);
        Ok(ids)
    }
}

/// What no series may contain.
fn check(samples: &SeriesSamples) -> Result<(), StoreError> {
    let refuse = |why: String| {
        Err(StoreError::Refused {
            what: format!(
                "samples of {} {}",
                samples.key.api,
                samples.key.signal.name()
            ),
            why,
        })
    };
    if samples.times.len() != samples.values.len() {
        return refuse(format!(
            "there are {} times and {} values; send one value per time",
            samples.times.len(),
            samples.values.len()
        ));
    }
    let shape = match samples.values {
        Values::Numbers(_) => Shape::Numbers,
        Values::Distributions(_) => Shape::Distributions,
    };
    if shape != Shape::of(samples.key.signal) {
        return refuse("latency is sent as distributions, everything else as numbers".into());
    }
    if let Some(t) = samples.times.iter().find(|t| t.0.abs() > FARTHEST) {
        return refuse(format!("{} ms is no time of a measurement", t.0));
    }
    Ok(())
}

fn admit(
    shared: &Shared,
    registry: &Registry,
    id: u32,
    samples: &SeriesSamples,
    beside: &[(u32, Run)],
) -> Result<Admitted, StoreError> {
    let newest = registry.series[id as usize].newest;
    // What was there before is dropped: nobody could tell a repetition from news.
    let floor = registry.floor(id);
    let mut end = registry.series[id as usize].end;
    let step = samples.step.ms();
    let mut admitted = Admitted {
        run: Run::new(samples.step),
        duplicates: 0,
        late: 0,
        behind: vec![],
    };
    let times = &samples.times;
    let ascending = times.windows(2).all(|w| w[0] < w[1]);
    let fresh = times
        .first()
        .is_none_or(|t| t.0 > newest && t.0 + step > end && t.0 >= floor);
    let mut scratch = vec![];
    if ascending && fresh && beside.is_empty() {
        for (i, t) in times.iter().enumerate() {
            push(&mut admitted.run, t.0, samples, i, &mut scratch)?;
        }
        return Ok(admitted);
    }
    let front = shared.front(newest);
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|i| times[*i]);
    let mut is_told = false;
    for i in order {
        let t = times[i].0;
        let repeated = admitted.run.last() == Some(t)
            || beside
                .iter()
                .any(|(other, run)| *other == id && run.contains(t));
        if repeated {
            admitted.duplicates += 1;
            continue;
        }
        if t < floor {
            admitted.late += 1;
            continue;
        }
        if t <= newest {
            if front.saturating_sub(t) > shared.options.out_of_order_ms {
                admitted.late += 1;
                continue;
            }
            match shared.holds(registry, id, t) {
                Ok(false) => {}
                Ok(true) => {
                    admitted.duplicates += 1;
                    continue;
                }
                // Nobody can tell any more whether it is a repetition; what else is in the batch is not concerned.
                Err(error @ StoreError::Damaged { .. }) => {
                    if !std::mem::replace(&mut is_told, true) {
                        let key = &samples.key;
                        tracing::error!(%error, api = %key.api, signal = key.signal.name(), "samples are refused that would lie in a damaged block");
                    }
                    admitted.late += 1;
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        push(&mut admitted.run, t, samples, i, &mut scratch)?;
        if t + step <= end {
            admitted.behind.push(t);
        }
        end = end.max(t + step);
    }
    Ok(admitted)
}

fn push(
    run: &mut Run,
    t: i64,
    samples: &SeriesSamples,
    i: usize,
    scratch: &mut Vec<u8>,
) -> Result<(), StoreError> {
    match &samples.values {
        Values::Numbers(v) => run.push(t, Datum::Number(v[i])),
        Values::Distributions(v) => {
            scratch.clear();
            distribution::encode(&v[i], scratch);
            if scratch.len() > wal::MAX_BLOB {
                return Err(StoreError::Refused {
                    what: format!("a distribution of {}", samples.key.api),
                    why: format!(
                        "it takes {} bytes and may take {}; send fewer buckets or thresholds",
                        scratch.len(),
                        wal::MAX_BLOB
                    ),
                });
            }
            run.push(t, Datum::Blob(scratch));
        }
    }
    Ok(())
}

impl Shared {
    /// From where on it is counted how late a sample is, of a series with samples up to `newest`: not from what a
    /// clock has left there that was far ahead, or the series would take nothing until that time has come.
    fn front(&self, newest: i64) -> i64 {
        match self.told.load(Ordering::Acquire) {
            // Nobody has told the time.
            ..=0 => newest,
            told => newest.min(told),
        }
    }

    /// Whether a series has a sample at `t`.
    fn holds(&self, registry: &Registry, id: u32, t: i64) -> Result<bool, StoreError> {
        let series = &registry.series[id as usize];
        if series.head.iter().any(|run| run.contains(t)) {
            return Ok(true);
        }
        if t > series.sealed.newest {
            return Ok(false);
        }
        let group = &registry.groups[series.group as usize];
        for block in group.blocks.iter().rev() {
            if block.start <= t && t < block.end {
                let runs = self.sealed_runs(None, series.group, *block, series.slot)?;
                if runs.iter().any(|run| run.contains(t)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
