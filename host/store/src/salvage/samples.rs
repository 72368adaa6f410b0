//! Samples: pages of groups first, then what they name.

use super::{Loss, Salvage};
use crate::block::Block;
use crate::codec::{Malformed, unframe};
use crate::keys::{self, Kind, PREFIX};
use crate::mirror::{self, Marks};
use crate::registry::{BlockRef, GROUP_SERIES, Registry};
use crate::rollup::Level;
use crate::rollup::cells::Nature;
use crate::rollup::page::Rolled;
use crate::rollup::roll::parts_of;
use crate::run::Run;
use crate::sight;
use crate::wal::{self, Item, Writer};
use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::ports::storage::StoreError;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;

/// A block that a page names, and why it is lost unless it is found.
struct Named {
    group: u32,
    block: BlockRef,
    cause: &'static str,
}

/// From when to when, in milliseconds.
type Span = (i64, i64);

impl Named {
    fn new(group: u32, block: BlockRef) -> Self {
        Self {
            group,
            block,
            cause: "it is missing",
        }
    }
}

/// Blocks of a group that no page names.
#[derive(Default)]
struct Orphans {
    blocks: u64,
    samples: u64,
    span: Option<(i64, i64)>,
}

/// Everything about samples that has been read.
struct Groups {
    registry: Registry,
    /// Of which the page is lost.
    unknown: BTreeSet<u32>,
}

impl Groups {
    fn series(&self, group: u32) -> Vec<SeriesKey> {
        let members = self.registry.groups.get(group as usize);
        let members = members.into_iter().flat_map(|g| &g.members);
        let keys = members.map(|id| self.registry.series[*id as usize].key.clone());
        keys.collect()
    }

    /// Whether a group's page was read.
    fn is_known(&self, group: u32) -> bool {
        (group as usize) < self.registry.groups.len() && !self.unknown.contains(&group)
    }

    fn loss(&self, kind: Kind, group: u32, cause: &str) -> Loss {
        let series = self.series(group);
        let mut loss = Loss::new(kind, format!("group {group}"), cause);
        loss.series = series;
        loss
    }

    /// Whether an item of a write-ahead record is of a series that can be named.
    fn has(&self, item: &Item) -> bool {
        match item {
            Item::Entry(number, _) => self.registry.numbered(*number).is_some(),
            Item::Batch(_) => true,
        }
    }

    /// The loss of a block that a page names.
    fn gone(&self, kind: Kind, lost: &Named) -> Loss {
        let block = lost.block;
        let loss = self.loss(kind, lost.group, lost.cause);
        Loss {
            samples: block.samples,
            ..loss.between(block.start, block.end)
        }
    }

    /// Whether everything that a write-ahead record held is in blocks.
    fn is_sealed(&self, record: u64) -> bool {
        let groups = &self.registry.groups;
        self.unknown.is_empty() && groups.iter().all(|g| g.sealed_through > record)
    }
}

impl Salvage<'_> {
    pub(super) fn samples(&mut self) -> Result<(), StoreError> {
        let mut groups = self.pages()?;
        let (sequence, next_record) = self.wal(&groups)?;
        self.marks(&groups, sequence, next_record)?;
        self.blocks(&mut groups)?;
        self.rolled(&mut groups)?;
        self.cells(&mut groups)?;
        for (number, group) in (0_u32..).zip(&groups.registry.groups) {
            let page = groups.registry.page(number, None, group.blocks.clone())?;
            self.put_large(&keys::group(number), &page)?;
            if group.rolled != Rolled::default() {
                self.put_large(&keys::rolled(number), &mirror::pack(&group.rolled)?)?;
            }
        }
        self.late()
    }

    /// Reads the pages; one that is lost leaves an empty group, since series are numbered by groups.
    fn pages(&mut self) -> Result<Groups, StoreError> {
        let mut groups = Groups {
            registry: Registry::default(),
            unknown: BTreeSet::new(),
        };
        self.each_large(Kind::Group, |s, page| {
            let number = keys::trailing_u32(&page.base).unwrap_or(u32::MAX);
            let registry = &mut groups.registry;
            // A number far beyond the others is no gap but a key that is not what it seems.
            if (number as usize).saturating_sub(registry.groups.len()) > GROUP_SERIES * 1024 {
                let of = keys::show(&page.base);
                s.losses
                    .push(Loss::new(Kind::Group, of, "its key names no group"));
                return Ok(());
            }
            while registry.groups.len() < number as usize {
                let missing = registry.groups.len() as u32;
                registry.add_empty();
                groups.unknown.insert(missing);
                s.losses.push(unnamed(missing, "its page is missing"));
            }
            let added = page.bytes.and_then(|bytes| registry.add(&bytes));
            if let Err(malformed) = added {
                registry.add_empty();
                groups.unknown.insert(number);
                s.losses.push(unnamed(number, malformed.0));
            }
            Ok(())
        })?;
        Ok(groups)
    }

    /// Brings write-ahead records along; the newest sequence, and the number of the next record. In the place of
    /// one that is lost stands an empty one: numbers follow each other, and so do sequences.
    fn wal(&mut self, groups: &Groups) -> Result<(u64, u64), StoreError> {
        let (mut sequence, mut next) = (0, None);
        let mut around: Option<(i64, i64)> = None;
        let mut gap: Option<(u64, u64, &'static str)> = None;
        self.each(Kind::Wal, |s, (key, framed)| {
            let Some(number) = keys::trailing_u64(&key) else {
                return Ok(());
            };
            if let Some(expected) = next.filter(|n| *n < number) {
                let (first, count, cause) = gap.unwrap_or((expected, 0, "it is missing"));
                gap = Some((first, count + number - expected, cause));
            }
            next = Some(number + 1);
            let items = match unframe(&key, &framed).and_then(wal::read) {
                Ok(items) => items,
                Err(malformed) => {
                    let (first, count, _) = gap.unwrap_or((number, 0, ""));
                    gap = Some((first, count + 1, malformed.0));
                    return Ok(());
                }
            };
            let begins = items.iter().find_map(|item| match item {
                Item::Batch(sequence) => Some(*sequence),
                Item::Entry(..) => None,
            });
            let span = span(items.iter());
            if let Some(lost) = gap.take() {
                let seen = (sequence, begins.unwrap_or(sequence));
                s.lost_records(groups, lost, seen, (around, span))?;
            }
            around = span.or(around);
            for item in &items {
                if let Item::Batch(n) = item {
                    sequence = sequence.max(*n);
                }
            }
            match items.iter().all(|item| groups.has(item)) {
                true => s.copy(vec![(key, framed)]),
                false => s.without_strangers(groups, number, &items),
            }
        })?;
        if let Some(lost) = gap {
            self.lost_records(groups, lost, (sequence, sequence), (around, None))?;
        }
        Ok((sequence, next.unwrap_or(0)))
    }

    /// Writes empty records in the place of lost ones, with the sequences of the batches that they held.
    fn lost_records(
        &mut self,
        groups: &Groups,
        (first, count, cause): (u64, u64, &str),
        (before, after): (u64, u64),
        (earlier, later): (Option<Span>, Option<Span>),
    ) -> Result<(), StoreError> {
        for number in first..first + count {
            // Before the first that is left none is needed.
            if before > 0 {
                let mut record = Writer::new(number);
                record.batch(before);
                if number + 1 == first + count {
                    (before + 1..after).for_each(|sequence| record.batch(sequence));
                }
                for (number, payload) in record.finish() {
                    self.put(&keys::wal(number), &payload)?;
                }
            }
            if groups.is_sealed(number) {
                continue;
            }
            let of = format!("record {number}: samples of any series that are in no block yet");
            let mut loss = Loss::new(Kind::Wal, of, cause);
            // They came after those of the record before, and before those of the one after.
            let (from, to) = (earlier.or(later), later.or(earlier));
            if let Some(((from, _), (_, to))) = from.zip(to) {
                loss = loss.between(from, to);
            }
            self.losses.push(loss);
        }
        Ok(())
    }

    /// Writes a record once more without the entries of series that nobody can name any more.
    fn without_strangers(
        &mut self,
        groups: &Groups,
        number: u64,
        items: &[Item],
    ) -> Result<(), StoreError> {
        let strangers: Vec<&Item> = items.iter().filter(|item| !groups.has(item)).collect();
        let mut loss = Loss::new(
            Kind::Wal,
            format!("record {number}: samples of series of a group whose page is lost"),
            "what names their series is lost",
        );
        loss.samples = strangers.iter().map(|item| samples(item)).sum();
        loss.span = span(strangers.iter().copied()).map(|(a, b)| (Timestamp(a), Timestamp(b)));
        let mut record = Writer::new(number);
        for item in items.iter().filter(|item| groups.has(item)) {
            match item {
                Item::Batch(sequence) => record.batch(*sequence),
                Item::Entry(of, run) => drop(record.entry(*of, run)),
            }
        }
        for (n, payload) in record.finish() {
            if n == number {
                self.put(&keys::wal(n), &payload)?;
            } else {
                // Without its strangers it takes no more than before, or a few bytes where differences grow.
                loss.cause += "; and the last samples of known series in it do not fit any more";
            }
        }
        self.losses.push(loss);
        Ok(())
    }

    fn marks(
        &mut self,
        groups: &Groups,
        sequence: u64,
        next_record: u64,
    ) -> Result<(), StoreError> {
        let key = keys::marks();
        let stored = self.old.raw(&key)?;
        let found = match &stored {
            None => Err(Malformed("they are missing")),
            Some(framed) => unframe(&key, framed).and_then(mirror::unpack::<Marks>),
        };
        if let (Ok(_), Some(framed)) = (&found, stored) {
            return self.copy(vec![(key, framed.to_vec())]);
        }
        let is_empty = groups.registry.groups.is_empty();
        let mut late = 0;
        self.each(Kind::Late, |_, (key, _)| {
            let base = &key[..key.len().saturating_sub(2)];
            late = late.max(keys::trailing_u64(base).unwrap_or(0));
            Ok(())
        })?;
        let through = groups.registry.groups.iter().map(|g| g.sealed_through);
        let marks = Marks {
            sequence: sequence.max(late),
            next_record: through.max().unwrap_or(0).max(next_record),
        };
        if let Err(malformed) = found
            && !is_empty
        {
            let of = "counts of batches and of records, made anew from what is there";
            self.losses.push(Loss::new(Kind::Marks, of, malformed.0));
        }
        let packed = mirror::pack(&marks)?;
        self.put(&key, &packed)
    }

    /// Brings blocks along, and takes those that are lost out of their pages.
    fn blocks(&mut self, groups: &mut Groups) -> Result<(), StoreError> {
        let mut named = BTreeMap::new();
        for (number, group) in (0_u32..).zip(&groups.registry.groups) {
            for block in &group.blocks {
                let key = keys::block(block.start, number, block.ordinal);
                named.insert(key, Named::new(number, *block));
            }
        }
        let read = |_: &[u8], payload: &[u8]| all(payload);
        self.named(Kind::Block, groups, &mut named, read)?;
        for lost in named.into_values() {
            self.losses.push(groups.gone(Kind::Block, &lost));
            let blocks = &mut groups.registry.groups[lost.group as usize].blocks;
            blocks.retain(|b| *b != lost.block);
        }
        Ok(())
    }

    /// Reads what is known of roll-ups; where that is lost, they are made again from what there is of samples.
    fn rolled(&mut self, groups: &mut Groups) -> Result<(), StoreError> {
        self.each_large(Kind::Rolled, |s, value| {
            let number = keys::trailing_u32(&value.base).unwrap_or(u32::MAX);
            let is_unknown = groups.unknown.contains(&number);
            let group = groups.registry.groups.get_mut(number as usize);
            let outcome = match (group, value.bytes) {
                (None, _) => Err(Malformed("it is of a group that is not there")),
                // What its group was is told already.
                (Some(_), _) if is_unknown => Ok(()),
                (Some(_), Err(malformed)) => Err(malformed),
                (Some(group), Ok(bytes)) => {
                    Rolled::read(&bytes, group).map(|rolled| group.rolled = rolled)
                }
            };
            if let Err(malformed) = outcome {
                let mut loss = groups.loss(Kind::Rolled, number, malformed.0);
                loss.of += ": roll-ups, which are made again as far as samples reach back";
                s.losses.push(loss);
            }
            Ok(())
        })
    }

    /// Brings cells along, and takes those that are lost out of their pages.
    fn cells(&mut self, groups: &mut Groups) -> Result<(), StoreError> {
        let mut named = BTreeMap::new();
        for (number, group) in (0_u32..).zip(&groups.registry.groups) {
            for level in Level::ALL {
                for block in &group.rolled.tier(level).blocks {
                    let key = keys::cells(level, block.start, number, block.ordinal);
                    named.insert(key, Named::new(number, *block));
                }
            }
        }
        let read = |key: &[u8], payload: &[u8]| {
            let level = Level::ALL
                .into_iter()
                .find(|l| key.get(PREFIX) == Some(&(*l as u8)))
                .ok_or(Malformed("its key names no resolution"))?;
            parts_of(payload, level, |_| Nature::Level)?;
            all(payload)
        };
        self.named(Kind::Cells, groups, &mut named, read)?;
        for (key, lost) in named {
            self.losses.push(groups.gone(Kind::Cells, &lost));
            for level in Level::ALL.into_iter().filter(|l| key[PREFIX] == *l as u8) {
                let rolled = &mut groups.registry.groups[lost.group as usize].rolled;
                rolled.tier_mut(level).blocks.retain(|b| *b != lost.block);
            }
        }
        Ok(())
    }

    /// Copies the blocks of a kind that are named and whole; what is left of `named` is lost.
    fn named(
        &mut self,
        kind: Kind,
        groups: &Groups,
        named: &mut BTreeMap<Vec<u8>, Named>,
        read: impl Fn(&[u8], &[u8]) -> Result<Vec<(u8, Run)>, Malformed>,
    ) -> Result<(), StoreError> {
        let mut orphans: BTreeMap<u32, Orphans> = BTreeMap::new();
        self.each(kind, |s, (key, framed)| {
            let runs = unframe(&key, &framed).and_then(|payload| read(&key, payload));
            let count =
                |runs: &[(u8, Run)]| runs.iter().map(|(_, run)| run.len() as u64).sum::<u64>();
            match (named.get_mut(&key), runs) {
                (Some(of), Ok(runs)) if of.block.samples == count(&runs) => {
                    named.remove(&key);
                    return s.copy(vec![(key, framed)]);
                }
                (Some(of), Ok(_)) => of.cause = "it has not the samples that its group says",
                (Some(of), Err(malformed)) => of.cause = malformed.0,
                // Where its page is known, it is a block that was dropped, or not named yet.
                (None, _) if keys::group_of(&key).is_some_and(|g| groups.is_known(g)) => {}
                (None, Err(malformed)) => {
                    s.losses
                        .push(Loss::new(kind, keys::show(&key), malformed.0));
                }
                (None, Ok(runs)) => {
                    let group = keys::group_of(&key).unwrap_or(u32::MAX);
                    let of = orphans.entry(group).or_default();
                    of.blocks += 1;
                    of.samples += count(&runs);
                    for (_, run) in &runs {
                        of.span = join(of.span, reach(run));
                    }
                }
            }
            Ok(())
        })?;
        for (group, of) in orphans {
            let cause = format!(
                "{} whole blocks are there, and no page names them",
                of.blocks
            );
            let mut loss = groups.loss(kind, group, &cause);
            loss.samples = of.samples;
            self.losses.push(match of.span {
                Some((from, to)) => loss.between(from, to),
                None => loss,
            });
        }
        Ok(())
    }

    /// Brings along which samples came late.
    fn late(&mut self) -> Result<(), StoreError> {
        self.each_large(Kind::Late, |s, value| {
            match value.bytes.and_then(|bytes| sight::read(&bytes)) {
                Ok(_) => s.copy(value.parts),
                Err(malformed) => {
                    let batch = keys::trailing_u64(&value.base).unwrap_or(0);
                    let of = format!(
                        "which samples of batch {batch} came late: a replay may see them too early"
                    );
                    s.losses.push(Loss::new(Kind::Late, of, malformed.0));
                    Ok(())
                }
            }
        })
    }
}

fn all(payload: &[u8]) -> Result<Vec<(u8, Run)>, Malformed> {
    Block::read(payload)?.all()
}

/// A group of which nobody knows any more which series were in it.
fn unnamed(group: u32, cause: &str) -> Loss {
    let of = format!(
        "group {group}: the names of up to {GROUP_SERIES} series, and which blocks are theirs"
    );
    Loss::new(Kind::Group, of, cause)
}

/// Where a run begins and ends.
fn reach(run: &Run) -> Option<(i64, i64)> {
    Some((run.first()?, run.last()?.saturating_add(run.step.ms())))
}

fn join(a: Option<(i64, i64)>, b: Option<(i64, i64)>) -> Option<(i64, i64)> {
    let both = a.zip(b).map(|((a, b), (c, d))| (a.min(c), b.max(d)));
    both.or(a).or(b)
}

fn span<'a>(items: impl Iterator<Item = &'a Item>) -> Option<(i64, i64)> {
    items.fold(None, |span, item| match item {
        Item::Entry(_, run) => join(span, reach(run)),
        Item::Batch(_) => span,
    })
}

fn samples(item: &Item) -> u64 {
    match item {
        Item::Entry(_, run) => run.len() as u64,
        Item::Batch(_) => 0,
    }
}
