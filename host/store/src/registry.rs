//! Who exists: series, their heads, and the groups in which they are sealed.
//!
//! The writer thread is the only one that changes the registry, and it does so after the sync:
//! what a reader sees is on disk. Readers take the lock shared, copy the part of the head that they
//! need and the references of the blocks that overlap, and read those without any lock, since
//! blocks never change.
//!
//! A group's page (its members, its blocks, how far it is sealed) is one stored value; the pages
//! are the index, so that opening reads neither blocks nor their keys.

use crate::codec::Malformed;
use crate::disk::{Batch, Disk};
use crate::keys;
use crate::mirror::{self, Mirror};
use crate::rollup::Level;
use crate::rollup::page::Rolled;
use crate::run::Run;
use crate::seal::Sealing;
use crate::sight::Memory;
use crate::values::FARTHEST;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
#[expect(
    clippy::disallowed_types,
    reason = "one look-up per series of every batch; never iterated"
)]
use std::collections::HashMap;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::Signal;

/// Most series of a group, by which they are numbered; a slot is a byte.
pub(crate) const GROUP_SERIES: usize = 64;
/// Series after which the next group is begun: a day of counters of as many is a block of the size that is
/// wanted, and columns of a few hundred samples compress worse. Older stores have groups of up to 64.
const GROUP_FILL: usize = 20;

/// What a series holds, by its signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shape {
    Numbers,
    Distributions,
}

impl Shape {
    pub(crate) fn of(signal: Signal) -> Self {
        if signal == Signal::Latency {
            Shape::Distributions
        } else {
            Shape::Numbers
        }
    }
}

/// A series.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) key: SeriesKey,
    pub(crate) group: u32,
    pub(crate) slot: u8,
    /// Unsealed samples, one run per step.
    pub(crate) head: Vec<Run>,
    /// Newest time, sealed or not; `i64::MIN` without samples.
    pub(crate) newest: i64,
    /// End of the newest step.
    pub(crate) end: i64,
    /// Newest time in a sealed block.
    pub(crate) sealed: Sealed,
}

/// How far a series is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    pub(crate) newest: i64,
    pub(crate) end: i64,
}

const NEVER: Sealed = Sealed {
    newest: i64::MIN,
    end: i64::MIN,
};

/// Where a sealed block lies and what it spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockRef {
    /// Oldest time: the slice of its key.
    pub(crate) start: i64,
    /// End of its newest step.
    pub(crate) end: i64,
    pub(crate) ordinal: u32,
    pub(crate) samples: u64,
    pub(crate) bytes: u32,
}

/// Up to [`GROUP_SERIES`] series of one shape that are sealed together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) shape: Shape,
    pub(crate) members: Vec<u32>,
    pub(crate) blocks: Vec<BlockRef>,
    pub(crate) next_block: u32,
    /// Write-ahead records below this number hold nothing of this group that is not sealed.
    pub(crate) sealed_through: u64,
    /// Oldest write-ahead record with an unsealed sample of this group.
    pub(crate) first_wal: Option<u64>,
    /// Oldest and newest unsealed times.
    pub(crate) span: Option<(i64, i64)>,
    /// Unsealed samples, and their bytes.
    pub(crate) samples: usize,
    pub(crate) weight: usize,
    /// Encoded bytes per byte of weight, from the last sealing.
    pub(crate) ratio: f64,
    pub(crate) rolled: Rolled,
    /// How often blocks of it were replaced or dropped since the store was opened.
    pub(crate) era: u64,
}

impl Group {
    fn new(shape: Shape) -> Self {
        Self {
            shape,
            members: vec![],
            blocks: vec![],
            next_block: 0,
            sealed_through: 0,
            first_wal: None,
            span: None,
            samples: 0,
            weight: 0,
            ratio: 0.5,
            rolled: Rolled::default(),
            era: 0,
        }
    }

    /// Bytes that sealing now would come to, about.
    pub(crate) fn estimate(&self) -> usize {
        (self.weight as f64 * self.ratio) as usize
    }

    /// Sealed blocks that are not rolled up, oldest ordinal first.
    pub(crate) fn unrolled(&self) -> impl Iterator<Item = &BlockRef> {
        let through = self.rolled.through;
        self.blocks.iter().filter(move |b| b.ordinal >= through)
    }

    /// Everything that begins before it is sealed and rolled up.
    pub(crate) fn settled(&self) -> i64 {
        let unrolled = self.unrolled().map(|b| b.start);
        let unsealed = self.span.map(|(oldest, _)| oldest);
        unrolled.chain(unsealed).min().unwrap_or(i64::MAX)
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Page {
    shape: Shape,
    sealed_through: u64,
    next_block: u32,
    series: Vec<(<SeriesKey as Mirror>::Stored, Sealed)>,
    blocks: Vec<BlockRef>,
}

/// Most samples of a block, and most blocks of a group, that anybody may claim.
const SANE: u64 = 1 << 40;
const SANE_BLOCKS: u32 = 1 << 30;

/// Why stored references of blocks cannot be true, whoever wrote them.
pub(crate) fn impossible(blocks: &[BlockRef], next: u32) -> Result<(), Malformed> {
    let far = FARTHEST.abs_diff(0);
    let is_sane = |b: &BlockRef| {
        b.ordinal < next
            && b.start <= b.end
            && b.start.abs_diff(0).max(b.end.abs_diff(0)) <= far
            && b.samples <= SANE
    };
    match next <= SANE_BLOCKS && blocks.iter().all(is_sane) {
        true => Ok(()),
        false => Err(Malformed("it names a block that cannot be")),
    }
}

/// Whether an instant may stand in a page: there is none, or it is one.
pub(crate) fn is_instant(t: i64) -> bool {
    t == i64::MIN || t.abs_diff(0) <= FARTHEST.abs_diff(0)
}

impl Page {
    /// What no store writes.
    fn check(&self) -> Result<(), Malformed> {
        if self.series.len() > GROUP_SERIES {
            return Err(Malformed("a group has too many series"));
        }
        let mut sealed = self.series.iter().map(|(_, sealed)| sealed);
        let has_sealed = sealed.all(|s| is_instant(s.newest) && is_instant(s.end));
        if self.sealed_through > keys::LAST || !has_sealed {
            return Err(Malformed("it is sealed up to where nothing can be"));
        }
        impossible(&self.blocks, self.next_block)
    }
}

/// All series and groups.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) series: Vec<Series>,
    pub(crate) groups: Vec<Group>,
    #[expect(
        clippy::disallowed_types,
        reason = "one look-up per series of every batch; never iterated"
    )]
    ids: HashMap<SeriesKey, u32>,
    /// The group that takes the next series, by shape.
    open: [Option<u32>; 2],
    /// Newest batch that readers see.
    pub(crate) sequence: u64,
    /// Number of the write-ahead record after the last one whose samples are published.
    pub(crate) next_record: u64,
    /// End of the newest step of any series.
    pub(crate) newest: Timestamp,
    /// Unsealed samples, and their bytes.
    pub(crate) samples: usize,
    pub(crate) weight: usize,
    /// What open views need.
    pub(crate) memory: Memory,
}

impl Registry {
    pub(crate) fn id(&self, key: &SeriesKey) -> Option<u32> {
        self.ids.get(key).copied()
    }

    /// A series' number on disk: its place in its group. An id counts series in the order in which
    /// this process met them, which the next process does not know: it meets them group by group.
    pub(crate) fn number(&self, id: u32) -> u32 {
        let series = &self.series[id as usize];
        series.group * GROUP_SERIES as u32 + u32::from(series.slot)
    }

    /// The series that a number on disk means.
    pub(crate) fn numbered(&self, number: u32) -> Option<u32> {
        let group = self.groups.get(number as usize / GROUP_SERIES)?;
        group.members.get(number as usize % GROUP_SERIES).copied()
    }

    /// The series of that key, made if it is new; `true` if it is.
    pub(crate) fn register(&mut self, key: &SeriesKey, shape: Shape) -> (u32, bool) {
        if let Some(id) = self.id(key) {
            return (id, false);
        }
        let room = self.open[shape as usize]
            .filter(|g| self.groups[*g as usize].members.len() < GROUP_FILL);
        let group = room.unwrap_or_else(|| {
            self.groups.push(Group::new(shape));
            (self.groups.len() - 1) as u32
        });
        self.open[shape as usize] = Some(group);
        (self.place(key.clone(), group, NEVER), true)
    }

    fn place(&mut self, key: SeriesKey, group: u32, sealed: Sealed) -> u32 {
        let id = self.series.len() as u32;
        let members = &mut self.groups[group as usize].members;
        let slot = members.len() as u8;
        members.push(id);
        self.ids.insert(key.clone(), id);
        self.series.push(Series {
            key,
            group,
            slot,
            head: vec![],
            newest: sealed.newest,
            end: sealed.end,
            sealed,
        });
        id
    }

    /// Adds samples to a head; `record` is the first write-ahead record that holds them.
    pub(crate) fn publish(&mut self, id: u32, run: Run, record: u64) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return;
        };
        let (weight, count) = (run.weight(), run.len());
        let end = last.saturating_add(run.step.ms());
        let series = &mut self.series[id as usize];
        match series.head.iter_mut().find(|r| r.step == run.step) {
            Some(head) => head.absorb(&run),
            None => series.head.push(run),
        }
        series.newest = series.newest.max(last);
        series.end = series.end.max(end);
        self.newest = self.newest.max(Timestamp(end));
        self.samples += count;
        self.weight += weight;
        let group = &mut self.groups[series.group as usize];
        group.samples += count;
        group.weight += weight;
        group.first_wal.get_or_insert(record);
        let (a, b) = group.span.unwrap_or((first, last));
        group.span = Some((a.min(first), b.max(last)));
    }

    /// The oldest time that is still admitted of a series.
    pub(crate) fn floor(&self, id: u32) -> i64 {
        let series = &self.series[id as usize];
        let group = &self.groups[series.group as usize];
        group.rolled.floor(series.slot)
    }

    /// Forgets what was sealed of a group's heads, and keeps what came while it was.
    pub(crate) fn sealed(&mut self, sealing: &Sealing) {
        let g = &mut self.groups[sealing.group as usize];
        g.next_block = sealing.next_block();
        g.blocks.extend_from_slice(&sealing.blocks);
        g.sealed_through = sealing.through;
        let encoded: f64 = sealing.blocks.iter().map(|b| f64::from(b.bytes)).sum();
        if sealing.weight > 0 {
            g.ratio = (encoded / sealing.weight as f64).clamp(0.05, 2.0);
        }
        let (mut samples, mut weight, mut span) = (0, 0, None);
        for id in &g.members {
            let series = &mut self.series[*id as usize];
            let slot = usize::from(series.slot);
            if let Some(Some(sealed)) = sealing.sealed.get(slot) {
                series.sealed = *sealed;
            }
            let head = std::mem::take(&mut series.head);
            series.head = sealing.left_of(series.slot, head);
            for run in &series.head {
                samples += run.len();
                weight += run.weight();
                let (a, b) = span.unwrap_or((i64::MAX, i64::MIN));
                let first = run.first().unwrap_or(a);
                span = Some((first.min(a), run.last().unwrap_or(b).max(b)));
            }
        }
        // What came since stands in records from there on; which is the first of them does not matter.
        g.first_wal = (samples > 0).then_some(sealing.through);
        g.span = span;
        self.samples = self.samples + samples - std::mem::replace(&mut g.samples, samples);
        self.weight = self.weight + weight - std::mem::replace(&mut g.weight, weight);
    }

    /// Adds a group's page to a batch: as it is, or as it will be once what is sealed is published.
    pub(crate) fn put_page(
        &self,
        disk: &Disk,
        batch: &mut Batch,
        group: u32,
        sealing: Option<&Sealing>,
    ) -> Result<(), StoreError> {
        let g = &self.groups[group as usize];
        let fresh = sealing.map_or(&[][..], |s| &s.blocks);
        let blocks = g.blocks.iter().chain(fresh).copied().collect();
        self.put_blocks(disk, batch, group, sealing, blocks)
    }

    /// Adds a group's page to a batch, with these blocks.
    pub(crate) fn put_blocks(
        &self,
        disk: &Disk,
        batch: &mut Batch,
        group: u32,
        sealing: Option<&Sealing>,
        blocks: Vec<BlockRef>,
    ) -> Result<(), StoreError> {
        let page = self.page(group, sealing, blocks)?;
        disk.put_large(batch, &keys::group(group), &page)
    }

    /// A group's page, with these blocks.
    pub(crate) fn page(
        &self,
        group: u32,
        sealing: Option<&Sealing>,
        blocks: Vec<BlockRef>,
    ) -> Result<Vec<u8>, StoreError> {
        let g = &self.groups[group as usize];
        let series = g.members.iter().map(|id| {
            let s = &self.series[*id as usize];
            let fresh = sealing.and_then(|of| *of.sealed.get(usize::from(s.slot))?);
            (s.key.store(), fresh.unwrap_or(s.sealed))
        });
        let page = Page {
            shape: g.shape,
            sealed_through: sealing.map_or(g.sealed_through, |s| s.through),
            next_block: sealing.map_or(g.next_block, Sealing::next_block),
            series: series.collect(),
            blocks,
        };
        mirror::pack(&page)
    }

    /// Adds the next group, by its page.
    pub(crate) fn add(&mut self, page: &[u8]) -> Result<(), Malformed> {
        let page: Page = mirror::unpack(page)?;
        page.check()?;
        let series = page.series.into_iter();
        let series = series.map(|(key, sealed)| Ok((SeriesKey::restore(key)?, sealed)));
        let series = series.collect::<Result<Vec<_>, Malformed>>()?;
        let mut group = Group::new(page.shape);
        group.blocks = page.blocks;
        group.next_block = page.next_block;
        group.sealed_through = page.sealed_through;
        let number = self.groups.len() as u32;
        self.groups.push(group);
        self.open[page.shape as usize] = Some(number);
        for (key, sealed) in series {
            self.place(key, number, sealed);
            self.newest = self.newest.max(Timestamp(sealed.end));
        }
        Ok(())
    }

    /// Adds a group without series, in the place of one of which nothing is known any more.
    pub(crate) fn add_empty(&mut self) {
        self.groups.push(Group::new(Shape::Numbers));
    }

    /// Reads all pages.
    pub(crate) fn load(disk: &Disk) -> Result<Self, StoreError> {
        let mut registry = Self::default();
        disk.scan_large(&keys::Kind::Group.prefix(), |base, bytes| {
            let number = registry.groups.len() as u32;
            if base != keys::group(number) {
                return Err(Malformed("a group before it is missing").at(base));
            }
            registry.add(&bytes).map_err(|e| e.at(base))
        })?;
        Rolled::load(disk, &mut registry.groups)?;
        Ok(registry)
    }
}

/// Keys of all blocks, of samples and of cells, that pages name, with the bytes that they have.
pub(crate) fn names(disk: &Disk) -> Result<BTreeMap<Vec<u8>, u32>, StoreError> {
    let mut names = BTreeMap::new();
    let number = |base: &[u8]| {
        let number = keys::trailing_u32(base).ok_or(Malformed("its key has no number"));
        number.map_err(|e| e.at(base))
    };
    disk.scan_large(&keys::Kind::Group.prefix(), |base, bytes| {
        let page: Page = mirror::unpack(&bytes).map_err(|e| e.at(base))?;
        let group = number(base)?;
        let keys = page.blocks.iter();
        names.extend(keys.map(|b| (keys::block(b.start, group, b.ordinal), b.bytes)));
        Ok(())
    })?;
    disk.scan_large(&keys::Kind::Rolled.prefix(), |base, bytes| {
        let rolled: Rolled = mirror::unpack(&bytes).map_err(|e| e.at(base))?;
        let group = number(base)?;
        for level in Level::ALL {
            let keys = rolled.tier(level).blocks.iter();
            names.extend(keys.map(|b| (keys::cells(level, b.start, group, b.ordinal), b.bytes)));
        }
        Ok(())
    })?;
    Ok(names)
}

/// The part of a run that a reader of `from <= t < to` needs, samples that begin before `from` and
/// reach into it included.
pub(crate) fn overlap(run: &Run, from: i64, to: i64) -> std::ops::Range<usize> {
    let reach = from.saturating_sub(Step::ms(run.step)).saturating_add(1);
    run.lower_bound(reach)..run.lower_bound(to)
}
