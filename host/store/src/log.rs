//! An append-only log beside the database: what is written often, or what is large.
//!
//! Write-ahead records and notes ([`Kind::Wal`], [`Kind::Note`]) are most of what a busy store writes, and
//! none of what it keeps. In sled they cost half of the processor time of a feed, since each leaf is written
//! once more every ten inserts; they pushed apart what stays, so that the file was ten times what lived in it
//! and never shrank; and the leaves went into files of their own, which sled does not sync. Here a batch is one
//! frame at the end of a file, one `sync_data` makes it durable, and a file whose records are all gone is removed.
//!
//! Blocks of samples and of cells ([`Kind::Block`], [`Kind::Cells`]) are most of what it keeps. They never change,
//! and pages in sled name each of them ([`Life::Named`], `named`); as values of sled they took two to three times
//! their size.
//!
//! A log is a directory of numbered files (`segments`). A frame holds the operations of one batch, so that they
//! are there after a crash together or not at all (`frame`). The last segment may end in what no sync has
//! covered; it is cut off on opening. Anything else that does not read as it was written is damage, and is said
//! (`open`). Keys and where their values lie are in memory. Where removals stand in the log, segments go in order from
//! the oldest, since a removal must not be forgotten before what it removes.

mod entries;
mod frame;
mod index;
mod named;
mod open;

pub(crate) use entries::Entries;
pub(crate) use named::Staged;
pub(crate) use open::Damage;

use crate::disk::io;
use crate::keys::Kind;
use crate::shared::{locked, reading, writing};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use tidegate_core::ports::storage::StoreError;

/// Bytes after which a segment is ended: the room that one record may keep from being given back.
const SEGMENT: u64 = if cfg!(test) { 64 << 10 } else { 8 << 20 };

/// Bytes of a frame and of an index that go with a value, about.
const ASIDE: u64 = 80;

/// When a segment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// With its last value, the oldest first; removals stand in the log.
    InOrder,
    /// A value counts for as long as something in the database names it: removals are not written, and segments
    /// are emptied and let go of in any order.
    Named,
}

/// Operations of a batch: keys with what is to stand there.
pub(crate) type Ops = Vec<(Vec<u8>, Option<Vec<u8>>)>;
/// One of them.
type Op = (Vec<u8>, Option<Vec<u8>>);

/// Where a value lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    segment: u64,
    at: u64,
    len: u32,
}

impl Place {
    /// What it counts for in its segment: rather more with all that goes with it, so that what lives is never
    /// taken for room to give back.
    fn weight(self) -> u64 {
        u64::from(self.len) + ASIDE
    }
}

#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    /// Bytes of whole frames, with the header, and with the index of one that is ended.
    len: u64,
    /// Weight of the values that count.
    live: u64,
    /// Weight of those that nobody names yet.
    staged: u64,
    /// It has an index, and takes nothing more.
    is_ended: bool,
    /// Something in it cannot be read: it stays, for whoever wants to look at it.
    is_stuck: bool,
}

impl Segment {
    /// Without a value.
    fn new(file: File, len: u64) -> Self {
        Self {
            file: Arc::new(file),
            len,
            live: 0,
            staged: 0,
            is_ended: false,
            is_stuck: false,
        }
    }
}

#[derive(Debug)]
struct Inner {
    places: BTreeMap<Vec<u8>, Place>,
    /// By number; the last one takes what comes.
    segments: BTreeMap<u64, Segment>,
    /// What the last one holds, for its index; only where values are named.
    index: Vec<(Vec<u8>, u64, u32)>,
    /// Frames written since it was opened.
    written: u64,
    /// Bytes of the last segment that a sync has covered.
    synced: u64,
}

/// An open log.
#[derive(Debug)]
pub(crate) struct Log {
    dir: PathBuf,
    /// The one kind of keys that it holds.
    kind: Kind,
    life: Life,
    inner: RwLock<Inner>,
    /// Held by whoever appends, so that readers need not wait for a write.
    tail: Mutex<()>,
    /// What is left to move out of a segment that is being emptied; keys, from the last one on.
    moving: Mutex<(u64, Vec<Vec<u8>>)>,
    /// How many frames are synced; held while one syncs, so that others find theirs done.
    synced: Mutex<u64>,
}

fn failed(step: &'static str) -> impl Fn(std::io::Error) -> StoreError {
    move |e| io(step, &e)
}

impl Inner {
    /// Takes note of operations whose values lie at the given places.
    fn apply<'a>(
        &mut self,
        segment: u64,
        ops: impl Iterator<Item = (&'a [u8], Option<(u64, u32)>)>,
    ) {
        for (key, value) in ops {
            let place = value.map(|(at, len)| Place { segment, at, len });
            self.set(key.to_vec(), place);
        }
    }

    /// Says where a value lies from now on.
    fn set(&mut self, key: Vec<u8>, place: Option<Place>) {
        let before = match place {
            Some(place) => self.places.insert(key, place),
            None => self.places.remove(&key),
        };
        if let Some(old) = before
            && let Some(segment) = self.segments.get_mut(&old.segment)
        {
            segment.live -= old.weight();
        }
        if let Some(new) = place
            && let Some(segment) = self.segments.get_mut(&new.segment)
        {
            segment.live += new.weight();
        }
    }

    fn file(&self, place: Place) -> Result<&Arc<File>, StoreError> {
        let segment = self.segments.get(&place.segment);
        let segment = segment.ok_or_else(|| io("read its log", &"a segment is gone"))?;
        Ok(&segment.file)
    }

    fn read(&self, place: Place) -> Result<Vec<u8>, StoreError> {
        read_at(self.file(place)?, place)
    }
}

fn read_at(file: &File, place: Place) -> Result<Vec<u8>, StoreError> {
    let mut value = vec![0; place.len as usize];
    file.read_exact_at(&mut value, place.at)
        .map_err(failed("read its log"))?;
    Ok(value)
}

impl Log {
    /// Appends a batch, as one frame where its parts belong together; it is durable after the next [`Log::sync`]. By
    /// whoever fails nothing more may be written, since the frame may be there in part. Of named values no removal is
    /// written ([`Log::forget`]).
    pub(crate) fn append(&self, ops: &[Op]) -> Result<(), StoreError> {
        #[cfg(test)]
        let _op = crate::crash::op(&self.dir);
        let _tail = locked(&self.tail);
        self.put(ops)?;
        self.end_long()?;
        match self.life {
            Life::InOrder => self.let_go(),
            Life::Named => Ok(()),
        }
    }

    /// Writes a batch and takes note of it. `tail` is held.
    fn put(&self, ops: &[Op]) -> Result<(), StoreError> {
        let (number, places) = self.write(ops)?;
        let keys = ops.iter().map(|(key, _)| key.as_slice());
        writing(&self.inner).apply(number, keys.zip(places));
        Ok(())
    }

    /// Where next to nothing is left of a log with removals in it, writes that once more, durably, so that the rest
    /// can go.
    pub(crate) fn gather(&self) -> Result<(), StoreError> {
        #[cfg(test)]
        let _op = crate::crash::op(&self.dir);
        let _tail = locked(&self.tail);
        let mut left = Ops::new();
        {
            let inner = reading(&self.inner);
            let segments = inner.segments.values();
            let sums = segments.fold((0, 0), |(a, b), s| (a + s.len, b + s.live));
            let (all, live): (u64, u64) = sums;
            if all < SEGMENT / 8 || live > (all / 8).min(SEGMENT) {
                return Ok(());
            }
            for (key, place) in &inner.places {
                left.push((key.clone(), Some(inner.read(*place)?)));
            }
        }
        self.next()?;
        left.chunks(1).try_for_each(|op| self.put(op))?;
        self.sync()?;
        self.let_go()
    }

    /// Writes a batch to the last segment; its number, and where the values lie. `tail` is held.
    fn write(&self, ops: &[Op]) -> Result<(u64, Vec<frame::Value>), StoreError> {
        let (number, file, at, synced) = {
            let inner = reading(&self.inner);
            let Some((number, last)) = inner.segments.last_key_value() else {
                return Err(io("write to its log", &"it has no segment"));
            };
            (*number, last.file.clone(), last.len, inner.synced)
        };
        // What is damaged in a frame damages all of it, and values that are named mean nothing to each other.
        let together = match self.life {
            Life::InOrder => ops.len(),
            Life::Named => 1,
        };
        let (mut bytes, mut places) = frame::write(&ops[..together.min(ops.len())], synced, at)?;
        for ops in ops.chunks(together.max(1)).skip(1) {
            let (more, lie) = frame::write(ops, synced, at + bytes.len() as u64)?;
            bytes.extend_from_slice(&more);
            places.extend(lie);
        }
        file.write_all_at(&bytes, at)
            .map_err(failed("write to its log"))?;
        let inner = &mut *writing(&self.inner);
        if let Some(last) = inner.segments.get_mut(&number) {
            last.len += bytes.len() as u64;
        }
        inner.written += 1;
        if self.life == Life::Named {
            let values = ops.iter().zip(&places);
            let values = values.filter_map(|((key, _), place)| Some((key.clone(), (*place)?)));
            inner
                .index
                .extend(values.map(|(key, (at, len))| (key, at, len)));
        }
        Ok((number, places))
    }

    /// Begins the next segment where the last one is long enough. `tail` is held.
    fn end_long(&self) -> Result<(), StoreError> {
        let is_long = {
            let inner = reading(&self.inner);
            let last = inner.segments.values().next_back().map_or(0, |s| s.len);
            match self.life {
                // All that was written is gone again, and more of it than a new segment costs.
                Life::InOrder if inner.places.is_empty() => last >= SEGMENT / 8,
                Life::InOrder => last >= SEGMENT,
                Life::Named => last >= named::segment_bytes(&inner),
            }
        };
        if is_long { self.next() } else { Ok(()) }
    }

    /// Ends the last segment and begins the next one. `tail` is held; readers go on.
    fn next(&self) -> Result<(), StoreError> {
        let last = reading(&self.inner).segments.keys().next_back().copied();
        if let Some(last) = last {
            self.end(last)?;
        }
        let number = last.map_or(1, |last| last + 1);
        let segment = open::create(&self.dir, number)?;
        let inner = &mut *writing(&self.inner);
        inner.synced = segment.len;
        inner.segments.insert(number, segment);
        Ok(())
    }

    /// Ends a segment, with its index where values are named, durably: what an index names is on disk before it.
    fn end(&self, number: u64) -> Result<(), StoreError> {
        let (file, len, index) = {
            let inner = &mut *writing(&self.inner);
            let Some(last) = inner.segments.get(&number) else {
                return Ok(());
            };
            let is_due = self.life == Life::Named && !last.is_ended;
            let index = is_due.then(|| std::mem::take(&mut inner.index));
            (last.file.clone(), last.len, index)
        };
        let sync = |len: u64| {
            #[cfg(test)]
            let _op = crate::crash::op(&self.dir);
            file.sync_data().map_err(failed("sync its log"))?;
            #[cfg(test)]
            crate::crash::synced(&open::path(&self.dir, number), Some(len));
            // It is read by tests alone.
            let _ = len;
            Ok::<_, StoreError>(())
        };
        sync(len)?;
        let Some(index) = index else {
            return Ok(());
        };
        let bytes = index::write(&index);
        file.write_all_at(&bytes, len)
            .map_err(failed("write to its log"))?;
        let len = len + bytes.len() as u64;
        sync(len)?;
        if let Some(last) = writing(&self.inner).segments.get_mut(&number) {
            last.len = len;
            last.is_ended = true;
        }
        Ok(())
    }

    /// Removes the oldest segments as long as nothing in them lives. `tail` is held.
    fn let_go(&self) -> Result<(), StoreError> {
        loop {
            let first = {
                let inner = reading(&self.inner);
                let first = inner.segments.first_key_value();
                let first = first.filter(|(_, s)| inner.segments.len() > 1 && s.live == 0);
                first.map(|(number, _)| *number)
            };
            let Some(first) = first else {
                return Ok(());
            };
            open::remove(&self.dir, first)?;
            writing(&self.inner).segments.remove(&first);
        }
    }

    /// Makes everything that was appended durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let wanted = reading(&self.inner).written;
        let mut synced = locked(&self.synced);
        if *synced >= wanted {
            return Ok(());
        }
        #[cfg(test)]
        let _op = crate::crash::op(&self.dir);
        let (number, file, len, written) = {
            let inner = reading(&self.inner);
            let Some((number, last)) = inner.segments.last_key_value() else {
                return Ok(());
            };
            (*number, last.file.clone(), last.len, inner.written)
        };
        file.sync_data().map_err(failed("sync its log"))?;
        #[cfg(test)]
        crate::crash::synced(&open::path(&self.dir, number), Some(len));
        *synced = written;
        let mut inner = writing(&self.inner);
        if inner
            .segments
            .last_key_value()
            .is_some_and(|(n, _)| *n == number)
        {
            inner.synced = inner.synced.max(len);
        }
        Ok(())
    }

    /// Says in the log itself that all of it is synced, so that whatever is found otherwise later is damage.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        self.sync()?;
        self.append(&[])?;
        self.sync()
    }

    /// A value.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let (file, place) = {
            let inner = reading(&self.inner);
            let Some(place) = inner.places.get(key).copied() else {
                return Ok(None);
            };
            (inner.file(place)?.clone(), place)
        };
        // A segment that is removed meanwhile stays readable for whoever has it open.
        read_at(&file, place).map(Some)
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        reading(&self.inner).places.contains_key(key)
    }

    /// Whether there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        reading(&self.inner).places.is_empty()
    }

    /// Whether keys of this form belong here.
    pub(crate) fn holds(&self, key: &[u8]) -> bool {
        self.kind.is_of(key)
    }

    /// Bytes of its files.
    pub(crate) fn size(&self) -> u64 {
        reading(&self.inner).segments.values().map(|s| s.len).sum()
    }
}

#[cfg(test)]
mod tests;
