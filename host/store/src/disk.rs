//! sled behind a narrow port: framed values, atomic batches, and a sync that means it.
//!
//! sled 0.34's `flush()` ends in `sync_file_range`, which does not survive a power cut; so
//! [`Disk::sync`] flushes and then calls `sync_data()` on the database file through a handle of
//! our own. When that fails the kernel may already have dropped the dirty pages, and a second try
//! would succeed without having written anything: hence the first failure is remembered and every
//! later write is refused until the store is opened again.
//!
//! Values stay below [`CHUNK`] bytes (blob files, which sled makes beyond 128 KB, leak); what is
//! larger is stored in parts under `key | part`.

use crate::codec::{Malformed, Reader, frame, put_uint, unframe};
use crate::keys;
use crate::options::Options;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use tidegate_core::ports::storage::StoreError;

/// Payload of the largest value.
pub(crate) const CHUNK: usize = 96_000;

/// Name of the database inside the store's directory.
const DATABASE: &str = "sled";

/// The open database.
pub(crate) struct Disk {
    db: sled::Db,
    file: File,
    failed: OnceLock<StoreError>,
    /// Held for as long as the store is open.
    _lock: File,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("failed", &self.failed.get())
            .finish_non_exhaustive()
    }
}

fn io(step: &'static str, cause: impl ToString) -> StoreError {
    StoreError::Io {
        step,
        cause: cause.to_string(),
    }
}

fn sled_error(step: &'static str, error: &sled::Error) -> StoreError {
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
    inner: sled::Batch,
}

impl Batch {
    pub(crate) fn put(&mut self, key: Vec<u8>, payload: &[u8]) {
        let value = frame(&key, payload);
        self.inner.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.inner.remove(key);
    }
}

fn part_key(base: &[u8], part: usize) -> Vec<u8> {
    let mut key = base.to_vec();
    key.extend_from_slice(&u16::try_from(part).unwrap_or(u16::MAX).to_be_bytes());
    key
}

/// What opening found.
pub(crate) struct Opened {
    pub(crate) disk: Disk,
    /// Where a damaged database was moved.
    pub(crate) set_aside: Option<PathBuf>,
}

impl Disk {
    /// Opens or creates the database in `dir`.
    pub(crate) fn open(dir: &Path, options: &Options) -> Result<Opened, StoreError> {
        std::fs::create_dir_all(dir).map_err(|e| io("create its directory", e))?;
        let lock = lock(dir)?;
        let path = dir.join(DATABASE);
        let (db, set_aside) = match open_sled(&path, options) {
            Ok(db) => (db, None),
            Err(Failure::Damaged(cause)) if options.recover => {
                let aside = set_aside(&path)?;
                tracing::error!(
                    %cause, moved_to = %aside.display(),
                    "the database cannot be read: starting with an empty one"
                );
                let db = open_sled(&path, options).map_err(Failure::into_error)?;
                (db, Some(aside))
            }
            Err(failure) => return Err(failure.into_error()),
        };
        let file = File::options()
            .read(true)
            .write(true)
            .open(path.join("db"))
            .map_err(|e| io("open its database file for syncing", e))?;
        let disk = Self {
            db,
            file,
            failed: OnceLock::new(),
            _lock: lock,
        };
        disk.check_layout()?;
        for directory in [dir, path.as_path()] {
            File::open(directory)
                .and_then(|d| d.sync_all())
                .map_err(|e| io("sync its directory", e))?;
        }
        Ok(Opened { disk, set_aside })
    }

    fn check_layout(&self) -> Result<(), StoreError> {
        let known = u32::from(keys::VERSION);
        let stored = self
            .db
            .get(keys::LAYOUT)
            .map_err(|e| sled_error("read its layout version", &e))?;
        let Some(value) = stored else {
            if !self.db.is_empty() {
                return Err(StoreError::Version { found: 0, known });
            }
            let mut batch = Batch::default();
            batch.put(keys::LAYOUT.to_vec(), &known.to_be_bytes());
            return self.commit(batch);
        };
        let found = unframe(keys::LAYOUT, &value)
            .and_then(|v| v.try_into().map_err(|_| Malformed("it is no number")))
            .map(u32::from_be_bytes)
            .map_err(|e| e.at(keys::LAYOUT))?;
        if found == known {
            Ok(())
        } else {
            Err(StoreError::Version { found, known })
        }
    }

    /// A value's payload.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.db.get(key).map_err(|e| sled_error("read", &e))?;
        value
            .map(|v| unframe(key, &v).map(<[u8]>::to_vec).map_err(|e| e.at(key)))
            .transpose()
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

    /// Adds a value of any size to a batch, in parts, replacing what stood there.
    pub(crate) fn put_large(
        &self,
        batch: &mut Batch,
        base: &[u8],
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let parts = bytes.len().div_ceil(CHUNK).max(1);
        if parts > usize::from(u16::MAX) {
            return Err(StoreError::Refused {
                what: format!("a value of {} bytes", bytes.len()),
                why: "it has more than 65,535 parts; make it smaller".into(),
            });
        }
        for part in 0..parts {
            let from = part * CHUNK;
            let slice = &bytes[from..bytes.len().min(from + CHUNK)];
            let mut payload = Vec::with_capacity(slice.len() + 4);
            put_uint(&mut payload, (parts - part - 1) as u64);
            payload.extend_from_slice(slice);
            batch.put(part_key(base, part), &payload);
        }
        self.remove_parts(batch, base, parts)
    }

    /// Removes a value that [`Disk::put_large`] wrote, from a part on.
    pub(crate) fn remove_parts(
        &self,
        batch: &mut Batch,
        base: &[u8],
        from: usize,
    ) -> Result<(), StoreError> {
        for part in from.. {
            let key = part_key(base, part);
            let there = self
                .db
                .contains_key(&key)
                .map_err(|e| sled_error("read", &e))?;
            if !there {
                break;
            }
            batch.remove(key);
        }
        Ok(())
    }

    /// A value that [`Disk::put_large`] wrote.
    pub(crate) fn get_large(&self, base: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bytes = vec![];
        for part in 0.. {
            let key = part_key(base, part);
            let Some(payload) = self.get(&key)? else {
                if part == 0 {
                    return Ok(None);
                }
                return Err(Malformed("a part of it is missing").at(&key));
            };
            let mut reader = Reader::new(&payload);
            let left = reader.uint().map_err(|e| e.at(&key))?;
            let rest = reader.take(reader.remaining()).map_err(|e| e.at(&key))?;
            bytes.extend_from_slice(rest);
            if left == 0 {
                break;
            }
        }
        Ok(Some(bytes))
    }

    /// Calls `each` with the base and bytes of every value under a prefix that
    /// [`Disk::put_large`] wrote.
    pub(crate) fn scan_large(
        &self,
        prefix: &[u8],
        mut each: impl FnMut(&[u8], Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut bytes = vec![];
        let mut expected = 0;
        for item in self.scan(prefix) {
            let (key, payload) = item?;
            let (base, part) = key.split_at(key.len().saturating_sub(2));
            if part_key(base, expected) != key {
                return Err(Malformed("its parts do not follow each other").at(&key));
            }
            debug_assert_eq!(part.len(), 2);
            let mut reader = Reader::new(&payload);
            let left = reader.uint().map_err(|e| e.at(&key))?;
            let rest = reader.take(reader.remaining()).map_err(|e| e.at(&key))?;
            bytes.extend_from_slice(rest);
            expected += 1;
            if left == 0 {
                each(base, std::mem::take(&mut bytes))?;
                expected = 0;
            }
        }
        if expected > 0 {
            return Err(Malformed("the last part of a value is missing").at(prefix));
        }
        Ok(())
    }

    /// Writes a batch; it is durable after the next [`Disk::sync`].
    pub(crate) fn write(&self, batch: Batch) -> Result<(), StoreError> {
        self.check()?;
        self.db
            .apply_batch(batch.inner)
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
            .map_err(|e| self.fail(io("sync its database file", e)))
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

    /// Takes no more writes.
    pub(crate) fn close(&self) {
        self.failed.get_or_init(|| StoreError::Closed);
    }

    fn fail(&self, error: StoreError) -> StoreError {
        tracing::error!(%error, "the store takes no more writes until it is opened again");
        self.failed.get_or_init(|| error).clone()
    }
}

/// One store per directory: the second opener is told so.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("LOCK"))
        .map_err(|e| io("open its lock file", e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io(
            "be opened",
            format!(
                "{} is already open in this or another process; stop that one first, or choose another directory",
                dir.display()
            ),
        )),
        Err(TryLockError::Error(e)) => Err(io("lock its directory", e)),
    }
}

enum Failure {
    Damaged(String),
    Other(StoreError),
}

impl Failure {
    fn into_error(self) -> StoreError {
        match self {
            Failure::Damaged(cause) => StoreError::Damaged {
                key: "the database file".into(),
                cause: format!("{cause} (opening with `recover` sets it aside)"),
            },
            Failure::Other(error) => error,
        }
    }
}

fn open_sled(path: &Path, options: &Options) -> Result<sled::Db, Failure> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(options.page_cache_bytes)
        // Every write that matters is synced by us, before it is acknowledged.
        .flush_every_ms(None);
    // A store that was just dropped may still hold sled's lock for a moment: its threads end late.
    for _ in 0..100 {
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(sled::Error::Io(e))) if e.to_string().contains("acquire lock") => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(Err(sled::Error::Io(e)))
                if !matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) =>
            {
                return Err(Failure::Other(io("open its database", e)));
            }
            Ok(Err(e)) => return Err(Failure::Damaged(e.to_string())),
            Err(_) => return Err(Failure::Damaged("sled panicked while opening it".into())),
        }
    }
    Err(Failure::Other(io(
        "open its database",
        "another process holds sled's lock on it",
    )))
}

fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    for n in 1..10_000 {
        let aside = path.with_extension(format!("damaged-{n}"));
        if !aside.exists() {
            std::fs::rename(path, &aside).map_err(|e| io("set its damaged database aside", e))?;
            return Ok(aside);
        }
    }
    Err(io(
        "set its damaged database aside",
        "10,000 others are there already",
    ))
}
