//! The one thread that changes history: commits, publishes, and drops old records.
//!
//! One writer makes arrival order a fact instead of a lock order, and lets one sync acknowledge
//! every batch that waited for it (group commit). It also keeps the rule simple that readers see
//! only what is on disk: the thread publishes to the registry after the sync.
//!
//! Between commits it writes what others have prepared: sealed blocks and roll-ups of the keeper, blocks
//! to be dropped. That is a write without a sync, so that no ack waits for a thousand groups that became
//! ripe in the same minute. Write-ahead records are dropped only after a sync that came after the sealing
//! that made them unnecessary.
//!
//! Where memory or records go far beyond their bounds because the keeper does not follow, it takes no batch
//! until the keeper has: the queue fills, and senders are told to wait.

use crate::commit::Commit;
use crate::disk::Batch;
use crate::keys;
use crate::mirror::{Marks, pack};
use crate::options::Options;
use crate::queue::{Idle, Job, Taken, Task, complete};
use crate::registry::Group;
use crate::shared::{Shared, locked, reading, writing};
use crate::sight;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::time::Timestamp;

/// Groups that are sealed early at a time, when memory or the write-ahead records exceed their bounds.
const EARLY: usize = 8;
/// Bytes of needless records that are dropped although batches wait.
const TRUNCATE_BYTES: u64 = 16 << 20;
/// Data time between two looks for groups that grew old without growing.
const LOOK_EVERY_MS: i64 = 900_000;

/// The writer's own state.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    /// Newest sequence given.
    pub(crate) sequence: u64,
    /// Number of the next write-ahead record.
    pub(crate) next_record: u64,
    /// Number and size of the records on disk, ascending.
    records: VecDeque<(u64, usize)>,
    record_bytes: u64,
    /// By series: newest time in the commit that is being prepared.
    pub(crate) pending: Vec<i64>,
    /// Groups whose page must be written with the next commit.
    pub(crate) pages: BTreeSet<u32>,
    /// Groups to hand to the keeper.
    ripe: BTreeSet<u32>,
    /// Groups to hand to it once more when it has sealed them.
    again: BTreeSet<u32>,
    /// Something was sealed since the last sync.
    unsynced: bool,
    looked_at: Timestamp,
}

impl Writer {
    /// Goes on after `records` (number, size), which are on disk.
    pub(crate) fn new(shared: Arc<Shared>, marks: Marks, records: VecDeque<(u64, usize)>) -> Self {
        let mut writer = Self {
            shared,
            sequence: marks.sequence,
            next_record: marks.next_record,
            record_bytes: records.iter().map(|(_, n)| *n as u64).sum(),
            records,
            pending: vec![],
            pages: BTreeSet::new(),
            ripe: BTreeSet::new(),
            again: BTreeSet::new(),
            unsynced: true,
            looked_at: Timestamp(i64::MIN),
        };
        writer.look();
        writer.show();
        writer
    }

    /// Until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        /// However the thread ends, nobody waits for it in vain.
        struct Farewell(Arc<Shared>);
        impl Drop for Farewell {
            fn drop(&mut self) {
                self.0.queue.abandon();
                self.0.desk.close();
            }
        }
        let _farewell = Farewell(self.shared.clone());
        self.ask();
        loop {
            let is_sealing = self.shared.desk.sealing() > 0;
            let idle = match (is_sealing, self.unsynced) {
                (true, _) if self.is_far_behind() => Idle::Tasks,
                (false, true) => Idle::Return,
                _ => Idle::Wait,
            };
            let Some(Taken { jobs, tasks }) = self.shared.queue.take(idle) else {
                break;
            };
            let nothing = jobs.is_empty();
            let shared = self.shared.clone();
            let _writing = reading(&shared.writing);
            tasks.into_iter().for_each(|task| self.perform(task));
            self.commit(jobs);
            self.ask();
            if nothing && self.shared.desk.sealing() == 0 {
                self.settle();
            }
        }
        self.settle();
    }

    /// Writes and publishes what was prepared.
    fn perform(&mut self, task: Task) {
        match task {
            Task::Unsealed(group) => self.shared.desk.done(group),
            Task::Sealed(sealing) => {
                let group = sealing.group;
                match crate::seal::publish(&self.shared, *sealing) {
                    Ok(()) => self.unsynced = true,
                    Err(error) => {
                        tracing::error!(%error, group, "a group was not sealed; its samples stay in memory and in the write-ahead records");
                    }
                }
                self.shared.desk.done(group);
                self.shared.desk.look();
                // What came while it was being sealed may be ripe by itself, and nobody else asks.
                let registry = reading(&self.shared.registry);
                let of = &registry.groups[group as usize];
                if self.again.remove(&group) || is_ripe(of, &self.shared.options) {
                    self.ripe.insert(group);
                }
            }
            Task::Rolled(rolling) => rolling.publish(&self.shared),
            Task::Drop(dropping) => dropping.publish(&self.shared),
        }
    }

    /// Syncs what was sealed, and drops the records that it replaces.
    fn settle(&mut self) {
        if !self.unsynced {
            return;
        }
        if let Err(error) = self.truncate(self.needed()) {
            tracing::error!(%error, "sealed blocks are not synced; their write-ahead records stay");
            self.unsynced = false;
        }
    }

    fn commit(&mut self, jobs: Vec<Job>) {
        let mut commit = Commit::new(self.next_record);
        for job in jobs {
            let outcome = match self.prepare(&mut commit, &job.batch) {
                Ok(None) => {
                    // It repeats something of this very commit: decide after that is stored.
                    let full = std::mem::replace(&mut commit, Commit::new(self.next_record));
                    let began = self.finish(full);
                    commit = Commit::new(began);
                    self.prepare(&mut commit, &job.batch)
                }
                outcome => outcome,
            };
            match outcome {
                Ok(Some(stored)) => commit.acks.push((job.done, stored)),
                Ok(None) => complete(
                    job.done,
                    Err(StoreError::Io {
                        step: "order a batch",
                        cause: "it repeats an empty commit".into(),
                    }),
                ),
                Err(error) => complete(job.done, Err(error)),
            }
        }
        self.finish(commit);
    }

    /// Writes, syncs, publishes and acknowledges; returns the number of the next record.
    fn finish(&mut self, commit: Commit) -> u64 {
        for (id, run, _) in &commit.accepted {
            debug_assert!(!run.is_empty());
            self.pending[*id as usize] = i64::MIN;
        }
        if commit.acks.is_empty() {
            return self.next_record;
        }
        let Commit {
            wal,
            accepted,
            late,
            acks,
        } = commit;
        let outcome = self.store(wal, &late);
        if let Err(error) = outcome {
            for (done, _) in acks {
                complete(done, Err(error.clone()));
            }
            return self.next_record;
        }
        self.publish(accepted, &late);
        // Who was acknowledged finds its records in the figures.
        self.show();
        for (done, stored) in acks {
            complete(done, Ok(stored));
        }
        if self.unsynced {
            // Seldom, since it takes a sync; what is left is dropped when nobody waits.
            let needed = self.needed();
            if self.needless(needed) >= TRUNCATE_BYTES
                && let Err(error) = self.truncate(needed)
            {
                tracing::error!(%error, "old write-ahead records stay");
            }
        }
        self.show();
        self.next_record
    }

    fn store(
        &mut self,
        wal: crate::wal::Writer,
        late: &[(u64, u32, i64)],
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let mut records = vec![];
        for (number, payload) in wal.finish() {
            records.push((number, payload.len()));
            batch.put(keys::wal(number), &payload);
        }
        {
            let registry = reading(&self.shared.registry);
            for group in &self.pages {
                registry.put_page(&self.shared.disk, &mut batch, *group, None)?;
            }
            for of in late.chunk_by(|a, b| a.0 == b.0) {
                let times = of.iter().map(|(_, id, t)| (registry.number(*id), *t));
                let bytes = sight::write(&times.collect::<Vec<_>>());
                self.shared
                    .disk
                    .put_large(&mut batch, &keys::late(of[0].0), &bytes)?;
            }
        }
        self.shared.disk.commit(batch)?;
        // Not before: a number that no record has is a gap, which the next opening takes for damage.
        for (number, bytes) in records {
            self.next_record = number + 1;
            self.records.push_back((number, bytes));
            self.record_bytes += bytes as u64;
        }
        if !late.is_empty() {
            *locked(&self.shared.late) = None;
        }
        self.pages.clear();
        Ok(())
    }

    fn publish(&mut self, accepted: Vec<(u32, crate::run::Run, u64)>, late: &[(u64, u32, i64)]) {
        let mut touched = BTreeSet::new();
        let newest = {
            let registry = &mut *writing(&self.shared.registry);
            let is_watched = registry.memory.is_open();
            for (id, run, record) in accepted {
                let series = &registry.series[id as usize];
                touched.insert(series.group);
                if is_watched {
                    registry.memory.note(id, self.sequence, series.end);
                }
                registry.publish(id, run, record);
            }
            for (sequence, id, time) in late.iter().filter(|_| is_watched) {
                registry.memory.note_late(*id, *sequence, *time);
            }
            registry.sequence = self.sequence;
            registry.next_record = self.next_record;
            registry.newest
        };
        if newest.since_ms(self.looked_at) >= LOOK_EVERY_MS {
            self.look();
        } else {
            let registry = reading(&self.shared.registry);
            let options = &self.shared.options;
            let is_ripe = |g: &u32| is_ripe(&registry.groups[*g as usize], options);
            self.ripe.extend(touched.into_iter().filter(is_ripe));
        }
    }

    /// Looks through all groups for what is large, long or old enough to be sealed.
    fn look(&mut self) {
        let registry = reading(&self.shared.registry);
        let options = &self.shared.options;
        self.looked_at = registry.newest;
        self.shared.desk.look();
        for (number, group) in (0_u32..).zip(&registry.groups) {
            let old = group.span.is_some_and(|(oldest, newest)| {
                registry.newest.0.max(newest).saturating_sub(oldest) >= options.seal_after_ms
            });
            if !old && group.estimate() < options.block_bytes {
                continue;
            }
            // What came behind what is being sealed is old too, and has its turn then.
            if self.shared.desk.is_sealing(number) {
                self.again.insert(number);
            } else {
                self.ripe.insert(number);
            }
        }
    }

    /// How far memory and records are used, in hundredths of their bounds.
    fn used(&self) -> u64 {
        let options = &self.shared.options;
        let head = reading(&self.shared.registry).weight as u64;
        let share = |of: u64, bound: u64| of.saturating_mul(100) / bound.max(1);
        // While a copy is made no record goes, whatever is sealed.
        let records = match self.shared.copying.load(Ordering::Acquire) {
            0 => self.record_bytes,
            _ => 0,
        };
        share(records, options.max_wal_bytes).max(share(head, options.max_head_bytes as u64))
    }

    fn is_far_behind(&self) -> bool {
        self.used() > 150
    }

    /// Hands ripe groups to the keeper; and those that hold the oldest records, when space runs out.
    fn ask(&mut self) {
        let desk = &self.shared.desk;
        // Where nothing can be written, sealing fails at once, and asking for it again would never end.
        if self.used() > 100
            && self.ripe.len() + desk.sealing() < EARLY
            && self.shared.disk.room().is_ok()
        {
            let registry = reading(&self.shared.registry);
            let mut oldest: Vec<(u64, u32)> = (0_u32..)
                .zip(&registry.groups)
                .filter_map(|(n, g)| Some((g.first_wal?, n)))
                .filter(|(_, n)| !desk.has(*n))
                .collect();
            oldest.sort_unstable();
            let early = oldest.into_iter().take(EARLY).map(|(_, n)| n);
            self.ripe.extend(early);
        }
        if !self.ripe.is_empty() {
            desk.seal(std::mem::take(&mut self.ripe));
        }
    }

    /// The first record that a group needs.
    fn needed(&self) -> u64 {
        let registry = reading(&self.shared.registry);
        let needed = registry.groups.iter().filter_map(|g| g.first_wal).min();
        needed.unwrap_or(self.next_record)
    }

    /// Syncs what was sealed so far, and drops the records that no group needs any more.
    fn truncate(&mut self, needed: u64) -> Result<(), StoreError> {
        let disk = &self.shared.disk;
        let marks = Marks {
            sequence: self.sequence,
            next_record: self.next_record,
        };
        let mut batch = Batch::default();
        batch.put(keys::marks(), &pack(&marks)?);
        disk.write(batch)?;
        disk.sync()?;
        self.unsynced = false;
        // A copy that is being made may need them; the next sealing drops them as well.
        if self.shared.copying.load(Ordering::Acquire) > 0 {
            return Ok(());
        }
        let mut batch = Batch::default();
        while let Some((number, size)) = self.records.front().copied()
            && number < needed
        {
            batch.remove(keys::wal(number));
            self.records.pop_front();
            self.record_bytes -= size as u64;
        }
        let done = disk.write(batch);
        self.show();
        done
    }

    /// Bytes of records that no group needs.
    fn needless(&self, needed: u64) -> u64 {
        let old = self.records.iter().take_while(|(n, _)| *n < needed);
        old.map(|(_, size)| *size as u64).sum()
    }

    /// Publishes the writer's figures for `Store::stat`.
    fn show(&self) {
        let shared = &self.shared;
        shared
            .wal_records
            .store(self.records.len() as u64, Ordering::Relaxed);
        shared.wal_bytes.store(self.record_bytes, Ordering::Relaxed);
    }
}

/// Whether a group's unsealed samples are many or reach far enough to be sealed.
fn is_ripe(group: &Group, options: &Options) -> bool {
    let reaches = |(a, b): (i64, i64)| b.saturating_sub(a) >= options.seal_after_ms;
    group.estimate() >= options.block_bytes || group.span.is_some_and(reaches)
}
