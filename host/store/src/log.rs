//! An append-only log beside the database: what is written often, read once, and gone soon.
//!
//! Write-ahead records and notes ([`Kind::Wal`], [`Kind::Note`]) are most of what a busy store writes, and
//! none of what it keeps. In sled they cost half of the processor time of a feed, since each leaf is written
//! once more every ten inserts; they pushed apart what stays, so that the file was ten times what lived in it
//! and never shrank; and the leaves went into files of their own, which sled does not sync. Here a batch is one
//! frame at the end of a file, one `sync_data` makes it durable, and a file whose records are all gone is removed.
//!
//! A log is a directory of numbered files (`segments`). A frame holds the operations of one batch, so that they
//! are there after a crash together or not at all (`frame`). The last segment may end in what no sync has
//! covered; it is cut off on opening. Anything else that does not read as it was written is damage, and is said
//! (`open`). Keys and where their values lie are in memory; segments go in order from the oldest, since a removal
//! must not be forgotten before what it removes.

mod frame;
mod open;

pub(crate) use open::Damage;

use crate::disk::io;
use crate::keys::Kind;
use crate::shared::{locked, reading, writing};
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use tidegate_core::ports::storage::StoreError;

/// Bytes after which a segment is ended: the room that one record may keep from being given back.
const SEGMENT: u64 = 8 << 20;

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

#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    /// Bytes of whole frames, with the header.
    len: u64,
    /// Keys whose value lies in it.
    live: usize,
}

#[derive(Debug)]
struct Inner {
    places: BTreeMap<Vec<u8>, Place>,
    /// By number, without a gap; the last one takes what comes.
    segments: BTreeMap<u64, Segment>,
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
    inner: RwLock<Inner>,
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
            let before = match place {
                Some(place) => self.places.insert(key.to_vec(), place),
                None => self.places.remove(key),
            };
            if let Some(old) = before.and_then(|p| self.segments.get_mut(&p.segment)) {
                old.live -= 1;
            }
            if place.is_some()
                && let Some(own) = self.segments.get_mut(&segment)
            {
                own.live += 1;
            }
        }
    }

    fn read(&self, place: Place) -> Result<Vec<u8>, StoreError> {
        let segment = self.segments.get(&place.segment);
        let file = segment.ok_or_else(|| io("read its log", &"a segment is gone"))?;
        let mut value = vec![0; place.len as usize];
        file.file
            .read_exact_at(&mut value, place.at)
            .map_err(failed("read its log"))?;
        Ok(value)
    }
}

impl Log {
    /// Appends a batch as one frame; it is durable after the next [`Log::sync`]. By whoever fails nothing more
    /// may be written, since the frame may be there in part.
    pub(crate) fn append(&self, ops: &[Op]) -> Result<(), StoreError> {
        #[cfg(test)]
        let _op = crate::crash::op(&self.dir);
        let mut inner = writing(&self.inner);
        let synced = inner.synced;
        let inner = &mut *inner;
        let Some((&number, segment)) = inner.segments.iter_mut().next_back() else {
            return Err(io("write to its log", &"it has no segment"));
        };
        let (bytes, places) = frame::write(ops, synced, segment.len)?;
        segment
            .file
            .write_all_at(&bytes, segment.len)
            .map_err(failed("write to its log"))?;
        segment.len += bytes.len() as u64;
        inner.written += 1;
        let keys = ops.iter().map(|(key, _)| key.as_slice());
        inner.apply(number, keys.zip(places));
        let is_long = inner.segments[&number].len >= SEGMENT;
        if is_long || self.is_idle(inner, number) {
            self.next(inner)?;
        }
        self.let_go(inner)
    }

    /// Whether all that was written is gone again, and more of it than a new segment costs.
    fn is_idle(&self, inner: &Inner, number: u64) -> bool {
        inner.places.is_empty() && inner.segments[&number].len >= SEGMENT / 8
    }

    /// Ends the last segment and begins the next one.
    fn next(&self, inner: &mut Inner) -> Result<(), StoreError> {
        let number = match inner.segments.last_key_value() {
            Some((number, last)) => {
                last.file.sync_data().map_err(failed("sync its log"))?;
                #[cfg(test)]
                crate::crash::synced(&open::path(&self.dir, *number), Some(last.len));
                number + 1
            }
            None => 1,
        };
        let segment = open::create(&self.dir, number)?;
        inner.synced = segment.len;
        inner.segments.insert(number, segment);
        Ok(())
    }

    /// Removes the oldest segments as long as nothing in them lives.
    fn let_go(&self, inner: &mut Inner) -> Result<(), StoreError> {
        while inner.segments.len() > 1
            && let Some(first) = inner.segments.first_entry()
            && first.get().live == 0
        {
            open::remove(&self.dir, *first.key())?;
            first.remove();
        }
        Ok(())
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
        let inner = reading(&self.inner);
        let place = inner.places.get(key).copied();
        place.map(|place| inner.read(place)).transpose()
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        reading(&self.inner).places.contains_key(key)
    }

    /// Whether keys of this form belong here.
    pub(crate) fn holds(&self, key: &[u8]) -> bool {
        self.kind.is_of(key)
    }

    /// Bytes of its files.
    pub(crate) fn size(&self) -> u64 {
        reading(&self.inner).segments.values().map(|s| s.len).sum()
    }

    /// The entry that follows a bound, or comes before one.
    fn beside(&self, range: Range, end: End) -> Result<Option<Entry>, StoreError> {
        let inner = reading(&self.inner);
        let mut found = inner.places.range(range);
        let next = match end {
            End::Front => found.next(),
            End::Back => found.next_back(),
        };
        let read = |(key, place): (&Vec<u8>, &Place)| Ok((key.clone(), inner.read(*place)?));
        next.map(read).transpose()
    }
}

type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);
/// A key with its value.
type Entry = (Vec<u8>, Vec<u8>);

#[derive(Debug, Clone, Copy)]
enum End {
    Front,
    Back,
}

/// Entries in the order of their keys, as they are when each is asked for.
#[derive(Debug)]
pub(crate) struct Entries {
    log: Arc<Log>,
    from: Bound<Vec<u8>>,
    to: Bound<Vec<u8>>,
    /// Nothing follows, or reading has failed.
    is_over: bool,
}

impl Entries {
    /// All entries in a range.
    pub(crate) fn new(log: &Arc<Log>, from: Bound<Vec<u8>>, to: Bound<Vec<u8>>) -> Self {
        Self {
            log: log.clone(),
            from,
            to,
            is_over: false,
        }
    }

    fn take(&mut self, end: End) -> Option<Result<(sled::IVec, sled::IVec), StoreError>> {
        let is_empty = match (&self.from, &self.to) {
            (Bound::Excluded(a), Bound::Excluded(b) | Bound::Included(b))
            | (Bound::Included(a), Bound::Excluded(b)) => a >= b,
            (Bound::Included(a), Bound::Included(b)) => a > b,
            _ => false,
        };
        if self.is_over || is_empty {
            return None;
        }
        match self.log.beside((self.from.clone(), self.to.clone()), end) {
            Ok(Some((key, value))) => {
                let bound = Bound::Excluded(key.clone());
                match end {
                    End::Front => self.from = bound,
                    End::Back => self.to = bound,
                }
                Some(Ok((key.into(), value.into())))
            }
            Ok(None) => {
                self.is_over = true;
                None
            }
            Err(error) => {
                self.is_over = true;
                Some(Err(error))
            }
        }
    }
}

impl Iterator for Entries {
    type Item = Result<(sled::IVec, sled::IVec), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take(End::Front)
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.take(End::Back)
    }
}

#[cfg(test)]
mod tests;
