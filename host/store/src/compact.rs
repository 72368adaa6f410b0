//! Giving space back: everything that lives, written once more.
//!
//! sled reuses the room of what was removed and never returns it, so a database that was once large stays so; the
//! logs of blocks, most of a store, give theirs back while it runs (`log::named`).
//! Every value is copied as it is, whatever its kind, into a database of its own, which takes the old one's
//! place once it is whole (`swap`). While that goes on both are there: it takes the room of what lives once
//! more, and no daemon, since two owners of one database would harm it.

use crate::codec::unframe;
use crate::database::LARGE_SEGMENT;
use crate::disk::Disk;
use crate::opening::{self, DATABASE, Opened};
use crate::options::Options;
use crate::store::Store;
use crate::swap::{self, Incoming};
use std::path::Path;
use tidegate_core::ports::storage::StoreError;

/// What a compaction came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Values that live.
    pub values: u64,
    /// Their bytes, with their keys.
    pub bytes: u64,
    /// Bytes of the database's files before.
    pub before: u64,
    /// And after; the same where a fresh copy would have taken no less, and the store is as it was.
    pub after: u64,
}

impl Store {
    /// Writes the store in `dir` once more, without the room of what was removed. `tell` hears how many bytes
    /// were read so far.
    ///
    /// # Errors
    /// [`StoreError::Io`] when somebody has it open or there is no room for both, [`StoreError::Damaged`] where
    /// a value is; the store is then as it was.
    pub fn compact(dir: &Path, tell: &mut dyn FnMut(u64)) -> Result<Compacted, StoreError> {
        let Opened { disk, .. } = Disk::open(dir, &Options::default())?;
        let before = swap::size(dir)?;
        let segment = opening::segment_of(&dir.join(DATABASE)).unwrap_or(LARGE_SEGMENT);
        let mut incoming = Incoming::create(dir, disk.same_lock()?, segment)?;
        let mut read = 0;
        for item in disk.scan_after(None) {
            let (key, value) = item?;
            unframe(&key, &value).map_err(|e| e.at(&key))?;
            read += (key.len() + value.len()) as u64;
            incoming.put(key.to_vec(), &value)?;
            tell(read);
        }
        let whole = incoming.finish(dir)?;
        let tally = whole.tally;
        // The lock is held until the end, sled's own files are let go of before they are removed.
        let _lock = disk.same_lock()?;
        drop(disk);
        // sled's room comes in large pieces: of a small store a fresh copy may take more.
        if whole.size(dir)? < before {
            whole.put_in_place(dir)?;
        } else {
            whole.discard(dir)?;
        }
        Ok(Compacted {
            values: tally.values,
            bytes: tally.bytes,
            before,
            after: swap::size(dir)?,
        })
    }
}
