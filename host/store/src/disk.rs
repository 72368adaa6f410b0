//! sled behind a narrow port: framed values, atomic batches, and a sync that means it.
//!
//! sled 0.34's `flush()` ends in `sync_file_range`, which does not survive a power cut; so
//! [`Disk::sync`] flushes and then calls `sync_data()` on the database file through a handle of
//! our own. When that fails the kernel may already have dropped the dirty pages, and a second try
//! would succeed without having written anything: hence the first failure is remembered and every
//! later write is refused until the store is opened again.
//!
//! Opening stands in `opening`, values of any size in `parts`, what a full disk is met with in `space`.
//! Every write goes through [`Disk::write`], so that a snapshot that is being taken sees each before it
//! is made (`snapshot`).

use crate::codec::{frame, unframe};
use crate::shared::{locked, reading};
use crate::snapshot::Watch;
use crate::space::Space;
use std::fs::File;
use std::ops::Bound;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use tidegate_core::ports::storage::StoreError;

/// Payload of the largest value: sled makes blob files beyond 128 KB, and they leak.
pub(crate) const CHUNK: usize = 96_000;

/// The open database.
pub(crate) struct Disk {
    pub(crate) db: sled::Db,
    file: File,
    failed: OnceLock<StoreError>,
    /// The snapshot that is being taken; it must see every write before it is made.
    pub(crate) watch: RwLock<Option<Arc<Mutex<Watch>>>>,
    space: Space,
    /// Held for as long as the store is open.
    lock: File,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("failed", &self.failed.get())
            .finish_non_exhaustive()
    }
}

pub(crate) fn io(step: &'static str, cause: &dyn std::fmt::Display) -> StoreError {
    StoreError::Io {
        step,
        cause: cause.to_string(),
    }
}

pub(crate) fn sled_error(step: &'static str, error: &sled::Error) -> StoreError {
    match error {
        sled::Error::Corruption { .. } => StoreError::Damaged {
            key: "the database file".into(),
            cause: error.to_string(),
        },
        other => io(step, other),
    }
}

/// Writes that become visible and durable together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Keys with what is to stand there; of those of one key the last counts.
    ops: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    pub(crate) fn put(&mut self, key: Vec<u8>, payload: &[u8]) {
        let value = frame(&key, payload);
        self.ops.push((key, Some(value)));
    }

    /// A value that was framed for this key elsewhere.
    pub(crate) fn put_framed(&mut self, key: Vec<u8>, value: &[u8]) {
        self.ops.push((key, Some(value.to_vec())));
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.ops.push((key, None));
    }

    /// The keys that it changes.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.ops.iter().map(|(key, _)| key.as_slice())
    }

    fn into_sled(self) -> sled::Batch {
        let mut batch = sled::Batch::default();
        for (key, value) in self.ops {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch
    }
}

impl Disk {
    /// An open database: its file for syncing, and the lock to hold.
    pub(crate) fn new(db: sled::Db, file: File, lock: File) -> Self {
        Self {
            db,
            file,
            failed: OnceLock::new(),
            watch: RwLock::default(),
            space: Space::default(),
            lock,
        }
    }

    /// The lock that it holds, for another database in the same directory.
    pub(crate) fn same_lock(&self) -> Result<File, StoreError> {
        let lock = self.lock.try_clone();
        lock.map_err(|e| io("share its lock file", &e))
    }

    /// A value's payload.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.db.get(key).map_err(|e| sled_error("read", &e))?;
        value
            .map(|v| unframe(key, &v).map(<[u8]>::to_vec).map_err(|e| e.at(key)))
            .transpose()
    }

    /// A value as it is framed.
    pub(crate) fn raw(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        self.db.get(key).map_err(|e| sled_error("read", &e))
    }

    /// Keys and raw values under a prefix, ascending.
    pub(crate) fn scan_raw(
        &self,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + use<> {
        self.db
            .scan_prefix(prefix)
            .map(|item| item.map_err(|e| sled_error("read", &e)))
    }

    /// Keys and raw values after a key, ascending; all of them without one.
    pub(crate) fn scan_after(
        &self,
        key: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + use<> {
        let from = key.map_or(Bound::Unbounded, |key| Bound::Excluded(key.to_vec()));
        self.db
            .range::<Vec<u8>, _>((from, Bound::Unbounded))
            .map(|item| item.map_err(|e| sled_error("read", &e)))
    }

    /// Keys and payloads under a prefix, ascending.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
        self.scan_raw(prefix).map(|item| {
            let (key, value) = item?;
            let payload = unframe(&key, &value).map_err(|e| e.at(&key))?.to_vec();
            Ok((key.to_vec(), payload))
        })
    }

    /// Writes a batch; it is durable after the next [`Disk::sync`].
    pub(crate) fn write(&self, batch: Batch) -> Result<(), StoreError> {
        self.check()?;
        let watch = reading(&self.watch);
        // Held until the batch is there: the snapshot's instant lies before all of it.
        let mut watch = watch.as_ref().map(|watch| locked(watch));
        if let Some(watch) = watch.as_mut() {
            watch.before(self, batch.keys());
        }
        self.db
            .apply_batch(batch.into_sled())
            .map_err(|e| self.fail(sled_error("write", &e)))
    }

    /// Makes everything that was written durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.check()?;
        self.db
            .flush()
            .map_err(|e| self.fail(sled_error("flush", &e)))?;
        self.file
            .sync_data()
            .map_err(|e| self.fail(io("sync its database file", &e)))
    }

    /// Writes and syncs.
    pub(crate) fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.write(batch)?;
        self.sync()
    }

    /// Bytes of the database files.
    pub(crate) fn size(&self) -> Result<u64, StoreError> {
        self.db
            .size_on_disk()
            .map_err(|e| sled_error("measure itself", &e))
    }

    /// Why nothing can be written any more, if so.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.failed.get().cloned().map_or(Ok(()), Err)
    }

    /// Whether there is room for what grows. What frees room is written without asking.
    ///
    /// # Errors
    /// [`StoreError::Full`] as long as the disk is nearly full, or why nothing can be written any more.
    pub(crate) fn room(&self) -> Result<(), StoreError> {
        self.check()?;
        self.space.check(&self.file)
    }

    /// Takes no more writes.
    pub(crate) fn close(&self) {
        self.failed.get_or_init(|| StoreError::Closed);
    }

    fn fail(&self, error: StoreError) -> StoreError {
        tracing::error!(%error, "the store takes no more writes until it is opened again");
        self.failed.get_or_init(|| error).clone()
    }
}
