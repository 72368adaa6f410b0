//! Retention of samples by resolution: raw ones go first, then five minutes, then hours.
//!
//! A call drops a bounded number of whole blocks in one batch, so that whoever works in the background lets
//! writers in between; what was dropped is gone as a whole or not at all. A block of raw samples goes when
//! all of these hold, so that no answer is lost that a coarser resolution could still give, and none that a
//! replay would ask for:
//!
//! 1. it is rolled up, and its roll-ups are synced;
//! 2. nothing of its group that begins before its end is unsealed or not rolled up yet;
//! 3. the hour in which it ends is over by the age that is kept, or the size says so;
//! 4. that hour lies before what the records that the ledger keeps may still be replayed from.
//!
//! A block of cells goes when in addition nothing finer of its group is left from before its end. What is
//! counted against the size are sealed samples of every resolution (the ledger has a size of its own, the
//! write-ahead records a bound): the oldest block of the finest resolution goes first. Where the raw samples
//! that must stay already exceed it, roll-ups are not dropped in vain; the excess is reported.
//!
//! Every series has a floor: the end of the last hour of it that was dropped. Below, reading asks the
//! roll-ups, and nothing is admitted any more.

use crate::block::Block;
use crate::disk::Batch;
use crate::keys;
use crate::queue::Task;
use crate::registry::{BlockRef, GROUP_SERIES, Group, Registry};
use crate::rollup::{Level, hour_after};
use crate::shared::{Shared, reading, writing};
use crate::store::Store;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::time::Timestamp;

/// Blocks dropped in one batch, at most.
const BATCH: usize = 32;

/// What of the samples is to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long samples are kept as they came.
    pub raw: Duration,
    /// How long cells of five minutes are; at least as long as `raw`.
    pub five_minutes: Duration,
    /// How long cells of an hour are; at least as long as `five_minutes`.
    pub hour: Duration,
    /// What sealed samples of all resolutions may take, in bytes; `None`: whatever they take.
    pub size: Option<u64>,
    /// How long the ledger keeps records: an older one is there because it is its pool's last, and holds
    /// nothing back.
    pub records: Duration,
    /// How far before a record its replay may look for raw samples.
    pub reach: Duration,
}

/// Blocks of one resolution that a call has dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gone {
    /// How many.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Gone {
    /// Adds one more of so many bytes.
    fn add(&mut self, bytes: u64) {
        *self += Gone { blocks: 1, bytes };
    }
}

impl std::ops::AddAssign for Gone {
    fn add_assign(&mut self, more: Self) {
        self.blocks += more.blocks;
        self.bytes += more.bytes;
    }
}

/// What a call has dropped, and what it could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retained {
    /// Samples as they came.
    pub raw: Gone,
    /// Cells of five minutes.
    pub five_minutes: Gone,
    /// Cells of an hour.
    pub hour: Gone,
    /// Those of these that were dropped before their age, because of the size.
    pub early: Gone,
    /// Bytes by which the size is exceeded by what may not go.
    pub over: u64,
    /// Whether there is more to drop.
    pub is_more: bool,
}

impl Retained {
    fn of(&mut self, level: Option<Level>) -> &mut Gone {
        match level {
            None => &mut self.raw,
            Some(Level::FiveMinutes) => &mut self.five_minutes,
            Some(Level::Hour) => &mut self.hour,
        }
    }

    /// What was dropped of all resolutions.
    #[must_use]
    pub fn all(&self) -> Gone {
        let mut all = self.raw;
        all += self.five_minutes;
        all += self.hour;
        all
    }

    /// Takes in what the next call has dropped; what is left to drop, and what may not go, is as that call says.
    pub fn then(&mut self, next: &Retained) {
        self.raw += next.raw;
        self.five_minutes += next.five_minutes;
        self.hour += next.hour;
        self.early += next.early;
        self.over = next.over;
        self.is_more = next.is_more;
    }
}

/// What is held of one resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Sealed blocks.
    pub blocks: u64,
    /// Their bytes, compressed.
    pub bytes: u64,
    /// The oldest instant in them.
    pub oldest: Option<Timestamp>,
}

impl Held {
    /// Of a resolution; `None`: of raw samples.
    pub(crate) fn of(registry: &Registry, level: Option<Level>) -> Self {
        let mut held = Self::default();
        for block in registry.groups.iter().flat_map(|g| blocks(g, level)) {
            held.blocks += 1;
            held.bytes += u64::from(block.bytes);
            let start = Timestamp(block.start);
            held.oldest = Some(held.oldest.map_or(start, |oldest| oldest.min(start)));
        }
        held
    }
}

fn blocks(group: &Group, level: Option<Level>) -> &[BlockRef] {
    match level {
        None => &group.blocks,
        Some(level) => &group.rolled.tier(level).blocks,
    }
}

/// Finest first.
const RESOLUTIONS: [Option<Level>; 3] = [None, Some(Level::FiveMinutes), Some(Level::Hour)];

/// A block that may go.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// The hour at whose begin nothing of it is left.
    end: i64,
    group: u32,
    level: Option<Level>,
    block: BlockRef,
    /// Not by age: by size.
    is_early: bool,
}

/// Where the oldest of what is finer than a resolution begins.
fn finer(group: &Group, level: Option<Level>) -> i64 {
    let older = RESOLUTIONS.into_iter().take_while(|l| *l != level);
    let starts = older.flat_map(|l| blocks(group, l)).map(|b| b.start);
    starts.min().unwrap_or(i64::MAX).min(group.settled())
}

/// All blocks of a resolution that nothing but age or size keeps, oldest end first.
fn candidates(registry: &Registry, level: Option<Level>, needed: i64) -> Vec<Candidate> {
    let mut all = vec![];
    for (number, group) in (0_u32..).zip(&registry.groups) {
        let bound = finer(group, level).min(needed);
        let through = group.rolled.through;
        for block in blocks(group, level) {
            let end = hour_after(block.end);
            if end <= bound && (level.is_some() || block.ordinal < through) {
                all.push(Candidate {
                    end,
                    group: number,
                    level,
                    block: *block,
                    is_early: false,
                });
            }
        }
    }
    all.sort_by_key(|c| (c.end, c.group, c.block.ordinal));
    all
}

impl Retention {
    fn age(&self, level: Option<Level>) -> Duration {
        match level {
            None => self.raw,
            Some(Level::FiveMinutes) => self.five_minutes,
            Some(Level::Hour) => self.hour,
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.raw <= self.five_minutes && self.five_minutes <= self.hour {
            return Ok(());
        }
        Err(StoreError::Refused {
            what: "a retention that keeps a finer resolution for longer than a coarser one".into(),
            why: "keep raw samples no longer than five minutes, and these no longer than hours"
                .into(),
        })
    }

    /// What to drop, and what that call can say.
    fn plan(&self, registry: &Registry, now: i64, needed: i64) -> (Vec<Candidate>, Retained) {
        let mut told = Retained::default();
        let mut chosen: Vec<Candidate> = vec![];
        let held = RESOLUTIONS.map(|level| Held::of(registry, level).bytes);
        let mut total: u64 = held.iter().sum();
        let mut rest = vec![];
        for level in RESOLUTIONS {
            let before = now.saturating_sub(millis(self.age(level)));
            let all = candidates(registry, level, needed);
            let old = all.partition_point(|c| c.end <= before);
            chosen.extend_from_slice(&all[..old]);
            total -= sum(&all[..old]);
            rest.push(all[old..].to_vec());
        }
        if let Some(size) = self.size {
            for (level, candidates) in rest.into_iter().enumerate() {
                for mut candidate in candidates {
                    if total <= size {
                        break;
                    }
                    total -= u64::from(candidate.block.bytes);
                    candidate.is_early = true;
                    chosen.push(candidate);
                }
                let gone = chosen.iter().filter(|c| c.level.is_none());
                let raw = held[0] - gone.map(|c| u64::from(c.block.bytes)).sum::<u64>();
                if level == 0 && raw > size {
                    // No roll-up that goes would make room for it.
                    break;
                }
            }
            told.over = total.saturating_sub(size);
        }
        told.is_more = chosen.len() > BATCH;
        chosen.truncate(BATCH);
        (chosen, told)
    }
}

fn sum(of: &[Candidate]) -> u64 {
    of.iter().map(|c| u64::from(c.block.bytes)).sum()
}

fn millis(of: Duration) -> i64 {
    i64::try_from(of.as_millis()).unwrap_or(i64::MAX)
}

impl Store {
    /// Drops some of the samples that are not to be kept, at an instant of their own clock, and has rolled
    /// up in the background what must be before it can go.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where a finer resolution is to stay for longer than a coarser one; else when
    /// it is not written, and then nothing of this call is gone.
    pub fn retain(&self, keep: &Retention, now: Timestamp) -> Result<Retained, StoreError> {
        keep.check()?;
        let shared = &self.shared;
        shared.disk.check()?;
        shared.told.fetch_max(now.0, Ordering::AcqRel);
        shared.desk.look();
        if shared.copying.load(Ordering::Acquire) > 0 {
            return Ok(Retained::default());
        }
        let needed = self.needed(keep, now.0);
        let (chosen, mut told) = keep.plan(&reading(&shared.registry), now.0, needed);
        if chosen.is_empty() {
            return Ok(told);
        }
        let mut drops = vec![];
        for candidate in chosen {
            drops.push((candidate, self.slots(&candidate)));
        }
        // What is rolled up by now is on disk before what it was made from goes.
        shared.disk.sync()?;
        let (done, answer) = sync_channel(1);
        let dropping = Dropping { drops, done };
        shared.queue.hand_in(Task::Drop(Box::new(dropping)));
        let gone = answer.recv().unwrap_or(Err(StoreError::Closed))?;
        for candidate in gone {
            let bytes = u64::from(candidate.block.bytes);
            told.of(candidate.level).add(bytes);
            if candidate.is_early {
                told.early.add(bytes);
            }
        }
        Ok(told)
    }

    /// From where on replays of kept records may look for raw samples.
    fn needed(&self, keep: &Retention, now: i64) -> i64 {
        let kept = now.saturating_sub(millis(keep.records));
        let records = self.kept_records().into_iter();
        let oldest = records.map(|of| of.since.0.max(kept)).min();
        oldest.map_or(i64::MAX, |oldest| oldest.saturating_sub(millis(keep.reach)))
    }

    /// The slots of a raw block; all of them where it cannot be read, since it goes anyway.
    fn slots(&self, of: &Candidate) -> Vec<u8> {
        if of.level.is_some() {
            return vec![];
        }
        let key = keys::block(of.block.start, of.group, of.block.ordinal);
        let bytes = self.shared.disk.get(&key).ok().flatten();
        let slots = bytes.and_then(|bytes| Some(Block::read(&bytes).ok()?.slots()));
        slots.unwrap_or_else(|| (0..GROUP_SERIES as u8).collect())
    }
}

/// Blocks to drop, for the writer.
#[derive(Debug)]
pub(crate) struct Dropping {
    /// With the slots of raw ones.
    drops: Vec<(Candidate, Vec<u8>)>,
    done: SyncSender<Result<Vec<Candidate>, StoreError>>,
}

impl Dropping {
    /// Drops what may still go, and answers. By the writer alone.
    pub(crate) fn publish(self, shared: &Shared) {
        let _ = self.done.send(self.put(shared));
        // A span that was being rolled up meanwhile is stale now.
        shared.desk.look();
    }

    fn put(&self, shared: &Shared) -> Result<Vec<Candidate>, StoreError> {
        if shared.copying.load(Ordering::Acquire) > 0 {
            return Ok(vec![]);
        }
        let mut gone = vec![];
        let mut batch = Batch::default();
        let mut changed = BTreeMap::new();
        {
            let registry = reading(&shared.registry);
            for (c, slots) in &self.drops {
                let g = &registry.groups[c.group as usize];
                // Something may have come since that begins before its end, or a span was rolled up again.
                if c.end > g.settled() || !blocks(g, c.level).contains(&c.block) {
                    continue;
                }
                let (raw, rolled) = changed
                    .entry(c.group)
                    .or_insert_with(|| (g.blocks.clone(), g.rolled.clone()));
                match c.level {
                    None => {
                        batch.remove(keys::block(c.block.start, c.group, c.block.ordinal));
                        raw.retain(|b| *b != c.block);
                        slots.iter().for_each(|slot| rolled.raise(*slot, c.end));
                    }
                    Some(level) => {
                        let (start, ordinal) = (c.block.start, c.block.ordinal);
                        batch.remove(keys::cells(level, start, c.group, ordinal));
                        let tier = rolled.tier_mut(level);
                        tier.blocks.retain(|b| *b != c.block);
                        tier.floor = tier.floor.max(c.end);
                    }
                }
                gone.push(*c);
            }
            for (group, (raw, rolled)) in &changed {
                registry.put_blocks(&shared.disk, &mut batch, *group, None, raw.clone())?;
                rolled.put(&shared.disk, &mut batch, *group)?;
            }
        }
        if gone.is_empty() {
            return Ok(gone);
        }
        let _replacing = writing(&shared.replacing);
        shared.disk.write(batch)?;
        let registry = &mut *writing(&shared.registry);
        for (group, (raw, rolled)) in changed {
            let g = &mut registry.groups[group as usize];
            g.blocks = raw;
            g.rolled = rolled;
            g.era += 1;
        }
        Ok(gone)
    }
}
