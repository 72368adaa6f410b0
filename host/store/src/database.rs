//! One sled database, and a sync of it that means it.
//!
//! sled 0.34's `flush()` ends in `sync_file_range`, which does not survive a power cut; so [`Database::sync`]
//! flushes and then calls `sync_data()` on the database file through a handle of our own.
//!
//! sled puts what is larger than a quarter of a segment into a file of its own, which nobody syncs: the log would
//! name after a power cut what is not there, and a leaf holds many values besides the one that was written. A leaf
//! has up to 17 entries before it is divided, so values stay below [`crate::disk::CHUNK`], and [`SEGMENT`] is
//! large enough for 17 of them. What was written by older versions has values of 30 KB, and wherever it is written
//! anew [`LARGE_SEGMENT`].

use crate::disk::{io, sled_error};
use crate::shared::locked;
use std::fs::File;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_core::ports::storage::StoreError;

/// Bytes of a new database's segments: it has a few of them however little is in it, and keeps their size.
pub(crate) const SEGMENT: usize = 512 << 10;
/// Bytes of segments for values of older versions.
pub(crate) const LARGE_SEGMENT: usize = 2 << 20;

/// An open database.
pub(crate) struct Database {
    pub(crate) db: sled::Db,
    file: File,
    /// Batches written since it was opened.
    written: AtomicU64,
    /// How many of them are synced, `None` before the first time; held while one syncs, so that others find
    /// theirs done.
    synced: Mutex<Option<u64>>,
    #[cfg(test)]
    path: std::path::PathBuf,
}

impl Database {
    /// A database whose files are in `path`.
    pub(crate) fn new(db: sled::Db, path: &Path) -> Result<Self, StoreError> {
        // What sled has written while it opened is there by now.
        #[cfg(test)]
        let _op = crate::crash::op(path);
        let file = File::options()
            .read(true)
            .write(true)
            .open(path.join("db"))
            .map_err(|e| io("open its database file for syncing", &e))?;
        Ok(Self {
            db,
            file,
            written: AtomicU64::default(),
            synced: Mutex::new(None),
            #[cfg(test)]
            path: path.join("db"),
        })
    }

    /// Its file, to ask about the disk it is on.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn write(&self, batch: sled::Batch) -> Result<(), StoreError> {
        #[cfg(test)]
        let _op = crate::crash::op(&self.path);
        let done = self.db.apply_batch(batch);
        self.written.fetch_add(1, Ordering::Release);
        done.map_err(|e| sled_error("write", &e))
    }

    /// Makes everything that was written durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let wanted = self.written.load(Ordering::Acquire);
        let mut synced = locked(&self.synced);
        if synced.is_some_and(|n| n >= wanted) {
            return Ok(());
        }
        #[cfg(test)]
        let _op = crate::crash::op(&self.path);
        let written = self.written.load(Ordering::Acquire);
        self.db.flush().map_err(|e| sled_error("flush", &e))?;
        self.file
            .sync_data()
            .map_err(|e| io("sync its database file", &e))?;
        #[cfg(test)]
        crate::crash::synced(&self.path, None);
        *synced = Some(written);
        Ok(())
    }

    pub(crate) fn size(&self) -> Result<u64, StoreError> {
        self.db
            .size_on_disk()
            .map_err(|e| sled_error("measure itself", &e))
    }
}
