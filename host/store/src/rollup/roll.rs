//! The work of rolling up: which blocks are due, and what becomes of the cells that they touch.
//!
//! A step takes up to eight sealed blocks of one group, oldest ordinal first, and makes the cells of every hour
//! that they touch again from all raw samples of these hours. The hours are walked in spans of a few days, each
//! written in one batch; only the last span's batch says that the blocks are in. A crash between leaves cells
//! that are right and a mark that is old, and the repetition writes the same cells.
//!
//! Blocks of cells are rewritten until they are large: a day of a small group is a few hundred bytes, and
//! small values are what sled is bad at. A new span therefore takes the last block along while that is less
//! than half of what a block should be, and does not yet reach too far: a block is dropped as a whole.

use super::cells::{Nature, Part};
use super::page::{Rolled, Tier};
use super::{HOUR_MS, Level, hour_after, hour_of};
use crate::block::Block;
use crate::codec::Malformed;
use crate::disk::Batch;
use crate::keys;
use crate::options::Options;
use crate::queue::Task;
use crate::registry::{BlockRef, Group};
use crate::run::Run;
use crate::seal::Cutter;
use crate::shared::{Shared, reading, writing};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use tidegate_core::ports::storage::StoreError;

/// Sealed blocks of one step.
const BLOCKS: usize = 8;
/// Blocks that are worth a step.
const TOGETHER: usize = 4;
/// What is made again in one batch, at most.
const SPAN_MS: i64 = 96 * HOUR_MS;
/// Cells that a block reaches over at most, about: a month of five minutes, a year of hours.
const REACH: i64 = 8_640;
/// The least that a block of cells is cut at: one instant of a full group must fit.
const LEAST_BYTES: usize = 6_000;

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its blocks are in, and others are due.
    More,
    /// Nothing more is due.
    Done,
    /// A copy is being made, or the store closes.
    Later,
}

/// Blocks of cells that replace others.
#[derive(Debug, Default, Clone)]
struct Change {
    gone: Vec<BlockRef>,
    made: Vec<BlockRef>,
}

impl Change {
    fn apply(&self, tier: &mut Tier) {
        tier.blocks.retain(|b| !self.gone.contains(b));
        tier.blocks.extend_from_slice(&self.made);
        tier.blocks.sort_by_key(|b| (b.start, b.ordinal));
        if let Some(last) = self.made.last() {
            tier.next_block = last.ordinal + 1;
        }
    }
}

/// A span of a group that was rolled up, for the writer.
#[derive(Debug)]
pub(crate) struct Rolling {
    group: u32,
    /// The group's era from which it was made: in another, blocks that it rests on may be gone.
    era: u64,
    through: u32,
    changes: [Change; 2],
    batch: Batch,
    done: SyncSender<Result<bool, StoreError>>,
}

impl Rolling {
    /// Writes and publishes it, and answers; `false`: it is stale. By the writer alone.
    pub(crate) fn publish(self, shared: &Shared) {
        let done = self.done.clone();
        let _ = done.send(self.put(shared));
    }

    fn put(self, shared: &Shared) -> Result<bool, StoreError> {
        let Self {
            group,
            era,
            through,
            changes,
            mut batch,
            ..
        } = self;
        // A copy names blocks that it has not read yet.
        if shared.copying.load(Ordering::Acquire) > 0 {
            return Ok(false);
        }
        let rolled = {
            let registry = reading(&shared.registry);
            let g = &registry.groups[group as usize];
            if g.era != era {
                return Ok(false);
            }
            let mut rolled = g.rolled.clone();
            rolled.through = through;
            for (level, change) in Level::ALL.into_iter().zip(&changes) {
                change.apply(rolled.tier_mut(level));
            }
            rolled
        };
        rolled.put(&shared.disk, &mut batch, group)?;
        let _replacing = writing(&shared.replacing);
        shared.disk.write(batch)?;
        let registry = &mut *writing(&shared.registry);
        let g = &mut registry.groups[group as usize];
        g.rolled = rolled;
        g.era += 1;
        Ok(true)
    }
}

/// How many of a group's blocks are to be rolled up, from the oldest ordinal on: those that late samples
/// have had their time to reach, once a few have come together or the oldest has waited as long again. Each
/// step rewrites the last block of cells, which is worth it for a few blocks and not for one.
pub(crate) fn due(group: &Group, now: i64, options: &Options) -> usize {
    let window = options.out_of_order_ms;
    let waited = |block: &BlockRef| now.saturating_sub(block.end);
    let ripe = || group.unrolled().take_while(|b| waited(b) >= window);
    let count = ripe().count();
    let is_due = count >= TOGETHER || ripe().any(|b| waited(b) / 2 >= window);
    if is_due { count } else { 0 }
}

/// A group as it was when a step began.
struct Plan {
    due: Vec<BlockRef>,
    natures: Vec<Nature>,
}

/// Rolls up the next blocks of a group.
///
/// # Errors
/// When stored data cannot be read, or the store takes no writes.
pub(crate) fn step(shared: &Shared, group: u32) -> Result<Outcome, StoreError> {
    let is_copied = shared.copying.load(Ordering::Acquire) > 0;
    if is_copied {
        return Ok(Outcome::Later);
    }
    let now = shared.now();
    let plan = {
        let registry = reading(&shared.registry);
        let g = &registry.groups[group as usize];
        let due = g.unrolled().take(due(g, now, &shared.options));
        let series = g.members.iter().map(|id| &registry.series[*id as usize]);
        Plan {
            due: due.take(BLOCKS).copied().collect(),
            natures: series.map(|s| Nature::of(s.key.signal)).collect(),
        }
    };
    let Some(through) = plan.due.last().map(|b| b.ordinal + 1) else {
        return Ok(Outcome::Done);
    };
    let mut fresh = vec![];
    for block in &plan.due {
        let all = read(shared, None, group, *block).and_then(|(key, bytes)| {
            let all = Block::read(&bytes).and_then(|b| b.all());
            all.map_err(|e| e.at(&key))
        });
        let all = unless_damaged(all, group, *block)?.unwrap_or_default();
        fresh.extend(all.into_iter().map(|(_, run)| run));
    }
    let mut at = i64::MIN;
    while let Some((from, to)) = span(&fresh, at) {
        let is_last = span(&fresh, to).is_none();
        if !walk(shared, group, &plan, (from, to), is_last.then_some(through))? {
            return Ok(Outcome::Later);
        }
        at = to;
    }
    if at == i64::MIN && !walk(shared, group, &plan, (0, 0), Some(through))? {
        return Ok(Outcome::Later);
    }
    Ok(Outcome::More)
}

/// The next hours at or after an instant that samples touch.
fn span(fresh: &[Run], at: i64) -> Option<(i64, i64)> {
    let first = |run: &Run| {
        let i = run.lower_bound(at.saturating_sub(run.step.ms()).saturating_add(1));
        (i < run.len()).then(|| run.time(i).max(at))
    };
    let from = hour_of(fresh.iter().filter_map(first).min()?).max(at);
    let ends = fresh
        .iter()
        .filter_map(|run| Some(run.last()?.saturating_add(run.step.ms())));
    let to = ends.max()?.min(from.saturating_add(SPAN_MS));
    Some((from, hour_after(to)))
}

/// Key and payload of a block.
fn read(
    shared: &Shared,
    level: Option<Level>,
    group: u32,
    block: BlockRef,
) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let key = match level {
        None => keys::block(block.start, group, block.ordinal),
        Some(level) => keys::cells(level, block.start, group, block.ordinal),
    };
    let bytes = shared.disk.get(&key)?;
    let bytes = bytes.ok_or_else(|| Malformed("the block is missing").at(&key))?;
    Ok((key, bytes))
}

/// What was read; nothing of a block that is damaged or missing. All that comes after it must be rolled up and let go
/// of nonetheless.
fn unless_damaged<T>(
    read: Result<T, StoreError>,
    group: u32,
    block: BlockRef,
) -> Result<Option<T>, StoreError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error @ StoreError::Damaged { .. }) => {
            let (from, to) = (block.start, block.end);
            tracing::error!(%error, group, from, to, "roll-ups are made without a block that is damaged");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Makes one span again and hands it to the writer; `false`: it was not taken.
fn walk(
    shared: &Shared,
    group: u32,
    plan: &Plan,
    (from, to): (i64, i64),
    through: Option<u32>,
) -> Result<bool, StoreError> {
    let (raw, rolled, era) = {
        let registry = reading(&shared.registry);
        let g = &registry.groups[group as usize];
        let raw = g.blocks.iter().filter(|b| b.start < to && b.end > from);
        let raw: Vec<BlockRef> = raw.copied().collect();
        (raw, g.rolled.clone(), g.era)
    };
    let (mut there, mut kept) = (vec![], vec![]);
    for block in raw {
        match unless_damaged(read(shared, None, group, block), group, block)? {
            Some(block) => there.push(block),
            // What it held is in the cells, and nowhere else.
            None if block.ordinal < rolled.through => {
                kept.push((hour_of(block.start), hour_after(block.end)));
            }
            None => {}
        }
    }
    let raw = there;
    // What a block's checksum vouches for is read as one.
    let raw = raw
        .iter()
        .map(|(key, bytes)| Block::read(bytes).map_err(|e| e.at(key)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut work = Span {
        shared,
        group,
        natures: &plan.natures,
        raw: &raw,
        rolled: &rolled,
        hours: (from, to),
        made: without((from, to), &kept),
        batch: Batch::default(),
    };
    let mut changes = <[Change; 2]>::default();
    if from < to {
        for (level, change) in Level::ALL.into_iter().zip(&mut changes) {
            *change = work.remake(level)?;
        }
    }
    let batch = work.batch;
    if shared.copying.load(Ordering::Acquire) > 0
        || reading(&shared.registry).groups[group as usize].era != era
    {
        // It would not be taken.
        return Ok(false);
    }
    let batch = shared.disk.stage(vec![batch])?.pop().unwrap_or_default();
    let (done, answer) = sync_channel(1);
    let rolling = Rolling {
        group,
        era,
        through: through.unwrap_or(rolled.through),
        changes,
        batch,
        done,
    };
    shared.queue.hand_in(Task::Rolled(Box::new(rolling)));
    // The writer has ended: what is not rolled up is so when the store is opened again.
    answer.recv().unwrap_or(Ok(false))
}

/// What of a span lies in none of some others.
fn without((from, to): (i64, i64), others: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut left = vec![(from, to)];
    for (a, b) in others.iter().copied() {
        let cut = |(from, to): (i64, i64)| [(from, to.min(a)), (from.max(b), to)];
        left = left.into_iter().flat_map(cut).collect();
        left.retain(|(from, to)| from < to);
    }
    left
}

/// One span of a group on its way.
struct Span<'a> {
    shared: &'a Shared,
    group: u32,
    natures: &'a [Nature],
    /// Sealed blocks that overlap it.
    raw: &'a [Block<'a>],
    rolled: &'a Rolled,
    hours: (i64, i64),
    /// Of these, the stretches of which cells are made again.
    made: Vec<(i64, i64)>,
    batch: Batch,
}

impl Span<'_> {
    fn nature(&self, slot: u8) -> Nature {
        let nature = self.natures.get(usize::from(slot));
        nature.copied().unwrap_or(Nature::Level)
    }

    /// The blocks that hold its cells, and the one that they are to be put with.
    fn base(&self, level: Level) -> Vec<BlockRef> {
        let (from, to) = self.hours;
        let tier = self.rolled.tier(level);
        let overlaps = tier.blocks.iter().filter(|b| b.start < to && b.end > from);
        let mut base: Vec<BlockRef> = overlaps.copied().collect();
        let target = self.target();
        let reach = level.step().ms() * REACH;
        if let Some(last) = tier.blocks.last()
            && !base.contains(last)
            && last.end <= from
            && (last.bytes as usize) < target / 2
            && to.saturating_sub(last.start) <= reach
        {
            base.push(*last);
        }
        base
    }

    fn target(&self) -> usize {
        self.shared.options.block_bytes.max(LEAST_BYTES)
    }

    fn remake(&mut self, level: Level) -> Result<Change, StoreError> {
        let gone = self.base(level);
        let mut parts: BTreeMap<u8, Part> = BTreeMap::new();
        for block in &gone {
            let there = read(self.shared, Some(level), self.group, *block);
            let there = there.and_then(|(key, bytes)| {
                parts_of(&bytes, level, |s| self.nature(s)).map_err(|e| e.at(&key))
            });
            let there = unless_damaged(there, self.group, *block)?;
            for (slot, part) in there.into_iter().flatten() {
                parts.entry(slot).or_default().absorb(part);
            }
            let key = keys::cells(level, block.start, self.group, block.ordinal);
            self.batch.remove(key);
        }
        for slot in 0..self.natures.len() as u8 {
            let damaged = |e: Malformed| e.at(&keys::rolled(self.group));
            let mut runs = vec![];
            for block in self.raw {
                runs.extend(block.runs(slot).map_err(damaged)?);
            }
            for (from, to) in self.made.iter().copied() {
                // What stands before a floor was made from raw samples that are gone.
                let from = from.max(self.rolled.floor(slot));
                if from >= to {
                    continue;
                }
                let part = Part::of(&runs, (from, to), level, self.nature(slot));
                let part = part.map_err(damaged)?;
                let there = parts.entry(slot).or_default();
                there.forget(from, to);
                there.absorb(part);
            }
        }
        let runs = parts.iter().flat_map(|(slot, part)| {
            let runs = part.runs(level, self.nature(*slot)).into_iter();
            runs.map(|run| (*slot, run))
        });
        let runs: Vec<(u8, Run)> = runs.collect();
        let made = self.put(level, &runs)?;
        Ok(Change { gone, made })
    }

    fn put(&mut self, level: Level, runs: &[(u8, Run)]) -> Result<Vec<BlockRef>, StoreError> {
        if runs.is_empty() {
            return Ok(vec![]);
        }
        let next = self.rolled.tier(level).next_block;
        // Columns that hardly change take next to nothing.
        let mut cutter = Cutter::new(self.group, 0.3, self.target(), next);
        let reach = level.step().ms().saturating_mul(REACH);
        for runs in within(runs, reach) {
            cutter.cut(&runs)?;
        }
        let mut made = vec![];
        for (block, bytes) in &cutter.blocks {
            let key = keys::cells(level, block.start, self.group, block.ordinal);
            self.batch.put(key, bytes);
            made.push(*block);
        }
        Ok(made)
    }
}

/// The parts of a block of cells, by slot.
pub(crate) fn parts_of(
    bytes: &[u8],
    level: Level,
    nature: impl Fn(u8) -> Nature,
) -> Result<BTreeMap<u8, Part>, Malformed> {
    let mut runs: BTreeMap<u8, Vec<Run>> = BTreeMap::new();
    for (slot, run) in Block::read(bytes)?.all()? {
        runs.entry(slot).or_default().push(run);
    }
    let parts = runs.into_iter();
    parts
        .map(|(slot, runs)| Ok((slot, Part::read(&runs, level, nature(slot))?)))
        .collect()
}

/// Runs in pieces that begin less than so many milliseconds apart: blocks that were made far apart in time
/// and lie between two spans must not become one that is never old enough to be dropped.
fn within(runs: &[(u8, Run)], reach: i64) -> Vec<Vec<(u8, Run)>> {
    let mut pieces = vec![];
    let mut at = i64::MIN;
    loop {
        let next = |run: &Run| {
            let i = run.lower_bound(at);
            (i < run.len()).then(|| run.time(i))
        };
        let Some(from) = runs.iter().filter_map(|(_, run)| next(run)).min() else {
            return pieces;
        };
        at = from.saturating_add(reach);
        let piece = runs.iter().map(|(slot, run)| {
            let (a, b) = (run.lower_bound(from), run.lower_bound(at));
            (*slot, run.slice(a, b))
        });
        pieces.push(piece.filter(|(_, run)| !run.is_empty()).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_without_others_is_what_they_leave() {
        assert_eq!(without((0, 10), &[]), [(0, 10)]);
        assert_eq!(without((0, 10), &[(3, 4)]), [(0, 3), (4, 10)]);
        assert_eq!(without((0, 10), &[(8, 12), (-5, 2)]), [(2, 8)]);
        assert_eq!(
            without((0, 10), &[(20, 30), (5, 7), (6, 8)]),
            [(0, 5), (8, 10)]
        );
        assert_eq!(without((0, 10), &[(0, 10)]), []);
    }
}
