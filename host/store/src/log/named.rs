//! Values that something in the database names ([`Life::Named`]).
//!
//! What counts is what is named: pages of groups name each block that they have. So a removal costs nothing on
//! disk, a value is written once, and what opening finds and no page names is what a crash has left over: it is
//! let go of ([`Log::keep`]). Two rules make that hold.
//!
//! 1. A value is durable before it is named. It is *staged* by whoever made it, beside the writer, and becomes
//!    visible with the batch that names it ([`Staged`]).
//! 2. A segment is removed only once the database has been synced since the last value of it was let go of: an
//!    older page, that a power cut brings back, would name it ([`Log::empty`], [`Log::remove`]).
//!
//! Room is given back by segments. Blocks of samples go in the order of time as they came, so most segments empty
//! themselves. Where more than a fifth of all bytes is of values that are gone, the segment with the least in it is
//! emptied: what counts is written once more, at the end ([`Log::clean`]). That is a log-structured file system's
//! cleaner (Rosenblum and Ousterhout 1992) with the greedy choice, in the form that WiscKey (Lu et al. 2016) gave it
//! for values beside an index.

use super::{Inner, Life, Log, Op, Place, open};
use crate::codec::unframe;
use crate::shared::{locked, reading, writing};
use std::sync::Arc;
use tidegate_core::ports::storage::StoreError;

/// Bytes after which a segment is ended: a sixteenth of all of them within these bounds, so that there is always one
/// that is worth emptying; and more than that in a very large log, since a file is open for each.
const LEAST: u64 = if cfg!(test) { 4 << 10 } else { 4 << 20 };
const MOST: u64 = 64 << 20;
/// Segments of which the last one of a very large log has the size.
const FILES: u64 = 256;
/// Bytes of what is gone that are not worth any work.
const SLACK: u64 = if cfg!(test) { 1 << 10 } else { 256 << 10 };
/// Bytes that are written once more at a time.
const PIECE: usize = if cfg!(test) { 1 << 10 } else { 512 << 10 };

/// Bytes after which a segment is ended.
pub(super) fn segment_bytes(inner: &Inner) -> u64 {
    let all: u64 = inner.segments.values().map(|s| s.len).sum();
    (all / 16).clamp(LEAST, MOST).max(all / FILES)
}

/// Values that are on disk and that nobody sees yet.
#[derive(Debug)]
pub(crate) struct Staged {
    log: Arc<Log>,
    values: Vec<(Vec<u8>, Place)>,
}

impl Staged {
    /// Their keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.values.iter().map(|(key, _)| key.as_slice())
    }

    /// Makes them visible.
    pub(crate) fn show(mut self) {
        let inner = &mut *writing(&self.log.inner);
        for (key, place) in std::mem::take(&mut self.values) {
            inner.unstage(place);
            inner.set(key, Some(place));
        }
    }
}

impl Drop for Staged {
    /// What was not shown is nobody's.
    fn drop(&mut self) {
        if !self.values.is_empty() {
            let inner = &mut *writing(&self.log.inner);
            for (_, place) in &self.values {
                inner.unstage(*place);
            }
        }
    }
}

impl Inner {
    fn unstage(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.staged -= place.weight();
        }
    }

    /// Bytes of the segments that are not empty, and of what counts in them.
    fn bytes(&self) -> (u64, u64) {
        let used = self.segments.values().filter(|s| !s.is_stuck);
        let used = used.map(|s| (s.len, s.live + s.staged));
        let used = used.filter(|(_, live)| *live > 0);
        used.fold((0, 0), |(a, b), (all, live)| (a + all, b + live))
    }

    /// The segment of which the least lives, if emptying it is worth it.
    fn victim(&self) -> Option<u64> {
        let (all, live) = self.bytes();
        if all.saturating_sub(live) <= (all / 5).max(SLACK) {
            return None;
        }
        // One that holds what nobody names yet cannot be emptied, and of one that is full nothing comes.
        let able = self.segments.iter();
        let able = able
            .filter(|(_, s)| !s.is_stuck && s.staged == 0 && s.live > 0 && s.live < s.len / 10 * 9);
        // In thousandths; of those with as much the oldest.
        let least = able.min_by_key(|(_, s)| s.live.saturating_mul(1000) / s.len.max(1));
        least.map(|(number, _)| *number)
    }
}

impl Log {
    /// Whether its values are named.
    pub(crate) fn is_named(&self) -> bool {
        self.life == Life::Named
    }

    /// Writes values for somebody to name once they are synced.
    pub(crate) fn stage(self: &Arc<Self>, ops: &[Op]) -> Result<Staged, StoreError> {
        #[cfg(test)]
        let _op = crate::crash::op(&self.dir);
        let _tail = locked(&self.tail);
        let (segment, places) = self.write(ops)?;
        let values = ops.iter().zip(places);
        let values = values.filter_map(|((key, _), place)| {
            let (at, len) = place?;
            Some((key.clone(), Place { segment, at, len }))
        });
        let values: Vec<_> = values.collect();
        if let Some(own) = writing(&self.inner).segments.get_mut(&segment) {
            own.staged += values.iter().map(|(_, place)| place.weight()).sum::<u64>();
        }
        self.end_long()?;
        Ok(Staged {
            log: self.clone(),
            values,
        })
    }

    /// Takes note that values are named no more.
    pub(crate) fn forget<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) {
        let inner = &mut *writing(&self.inner);
        keys.for_each(|key| inner.set(key.to_vec(), None));
    }

    /// Lets go of every value but those of these keys and lengths; how many.
    pub(crate) fn keep(&self, is_named: impl Fn(&[u8], usize) -> bool) -> usize {
        let inner = &mut *writing(&self.inner);
        let other = inner.places.iter();
        let other = other.filter(|(key, place)| !is_named(key, place.len as usize));
        let other: Vec<Vec<u8>> = other.map(|(key, _)| key.clone()).collect();
        let count = other.len();
        other.into_iter().for_each(|key| inner.set(key, None));
        count
    }

    /// Whether there is a segment that is worth emptying.
    pub(crate) fn is_to_clean(&self) -> bool {
        reading(&self.inner).victim().is_some()
    }

    /// Empties the segment of which the least lives by some more, if that is worth it; whether something moved. It is
    /// durable after the next [`Log::sync`], and stays where it was until that segment is removed; `room` is what it may
    /// take until then.
    pub(crate) fn clean(&self, room: u64) -> Result<bool, StoreError> {
        #[cfg(test)]
        let _op = crate::crash::op(&self.dir);
        // Nobody writes a value of one of these keys meanwhile.
        let _tail = locked(&self.tail);
        let mut left = locked(&self.moving);
        let Some((victim, goes_on)) = self.emptying(&mut left, room) else {
            return Ok(false);
        };
        let (mut moving, mut bytes) = (vec![], 0);
        {
            let inner = reading(&self.inner);
            while bytes < PIECE
                && let Some(key) = left.1.pop()
            {
                let place = inner.places.get(&key).copied();
                if let Some(place) = place.filter(|p| p.segment == victim) {
                    bytes += place.len as usize;
                    moving.push((key, place));
                }
            }
        }
        if reading(&self.inner).segments.keys().next_back() == Some(&victim) {
            self.next()?;
        }
        let mut ops = Vec::with_capacity(moving.len());
        for (key, place) in &moving {
            // A copy of what was read wrongly must not take the place of what lies there.
            let value = reading(&self.inner).read(*place);
            let value = value.and_then(|v| match unframe(key, &v) {
                Ok(_) => Ok(v),
                Err(malformed) => Err(malformed.at(key)),
            });
            match value {
                Ok(value) => ops.push((key.clone(), Some(value))),
                Err(error) => {
                    tracing::error!(%error, segment = victim, "a segment is not emptied; what is gone in it keeps its room");
                    if let Some(segment) = writing(&self.inner).segments.get_mut(&victim) {
                        segment.is_stuck = true;
                    }
                    left.1.clear();
                    return Ok(false);
                }
            }
        }
        if ops.is_empty() {
            // What was left of it went by itself; there may be another one.
            return Ok(goes_on);
        }
        let (segment, places) = self.write(&ops)?;
        {
            let inner = &mut *writing(&self.inner);
            for ((key, old), place) in moving.into_iter().zip(places) {
                // It may have been let go of while it was written.
                let is_there = inner
                    .places
                    .get(&key)
                    .is_some_and(|p| (p.segment, p.at) == (old.segment, old.at));
                if let Some((at, len)) = place.filter(|_| is_there) {
                    inner.set(key, Some(Place { segment, at, len }));
                }
            }
        }
        self.end_long()?;
        Ok(true)
    }

    /// The segment to empty, and whether that was begun before: the keys that lie in it are looked for once, since there
    /// may be many others.
    fn emptying(&self, left: &mut (u64, Vec<Vec<u8>>), room: u64) -> Option<(u64, bool)> {
        let inner = reading(&self.inner);
        let victim = inner.victim()?;
        let goes_on = !left.1.is_empty() && inner.segments.contains_key(&left.0);
        if !goes_on {
            let lies = inner.places.iter().filter(|(_, p)| p.segment == victim);
            *left = (victim, lies.map(|(key, _)| key.clone()).collect());
        }
        let takes = inner.segments.get(&left.0).map_or(0, |s| s.live);
        (takes <= room).then_some((left.0, goes_on))
    }

    /// Segments that hold nothing that is named.
    pub(crate) fn empty(&self) -> Vec<u64> {
        let inner = reading(&self.inner);
        let last = inner.segments.keys().next_back().copied();
        let segments = inner.segments.iter();
        let segments = segments.filter(|(n, s)| !s.is_stuck && Some(**n) != last);
        let empty = segments.filter(|(_, s)| s.live == 0 && s.staged == 0);
        empty.map(|(number, _)| *number).collect()
    }

    /// Removes segments that were empty before the last syncs of the database and of this log.
    pub(crate) fn remove(&self, empty: &[u64]) -> Result<(), StoreError> {
        #[cfg(test)]
        let _op = crate::crash::op(&self.dir);
        let _tail = locked(&self.tail);
        for number in empty {
            open::remove(&self.dir, *number)?;
            writing(&self.inner).segments.remove(number);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
