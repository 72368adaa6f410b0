//! Where values lie, behind a narrow port: framed values, atomic batches, and a sync that means it.
//!
//! What changes is in sled ([`Database`]), what is written often and gone soon in two logs, what is large and never
//! changes in two others ([`Log`]); who reads or writes need not know. A batch that concerns sled and a log with
//! removals in it is written and synced in sled before the log is told, since what it removes is gone at once and
//! rests on what the database says. Values that the database names come first, durably ([`Disk::stage`]).
//!
//! When a write or a sync fails the kernel may already have dropped the dirty pages, and a second try would
//! succeed without having written anything: hence the first failure is remembered and every later write is
//! refused until the store is opened again.
//!
//! Opening stands in `opening`, values of any size in `parts`, what a full disk is met with in `space`.
//! Every change of what is seen goes through [`Disk::write`] or [`Disk::commit`], so that a snapshot that is being taken
//! sees each before it is made (`snapshot`); what moves within a log stays the same for whoever reads.

use crate::codec::{FRAME, frame, unframe};
use crate::database::Database;
use crate::keys::Kind;
use crate::log::{Entries, Log, Ops, Staged};
use crate::shared::reading;
use crate::snapshot::Watched;
use crate::space::Space;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Bound;
use std::sync::{Arc, OnceLock, RwLock};
use tidegate_core::ports::storage::StoreError;

/// Payload of the largest value in sled: with more, it puts leaves into files that nobody syncs (`database`).
pub(crate) const CHUNK: usize = 7_000;

/// The open store's values.
pub(crate) struct Disk {
    pub(crate) main: Database,
    /// Write-ahead records, notes, blocks and cells.
    logs: Vec<Arc<Log>>,
    failed: OnceLock<StoreError>,
    /// The snapshot that is being taken; it must see every write before it is made.
    pub(crate) watch: RwLock<Option<Arc<Watched>>>,
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
    ops: Ops,
    /// What is on disk already, to be seen from then on.
    staged: Vec<Staged>,
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
        let ops = self.ops.iter().map(|(key, _)| key.as_slice());
        ops.chain(self.staged.iter().flat_map(Staged::keys))
    }
}

/// The operations of a batch, by where they go.
struct Parted {
    main: Option<sled::Batch>,
    /// By log.
    logs: Vec<Ops>,
    staged: Vec<Staged>,
}

impl Disk {
    /// An open database with its logs, and the lock to hold.
    pub(crate) fn new(main: Database, logs: Vec<Arc<Log>>, lock: File) -> Self {
        Self {
            main,
            logs,
            failed: OnceLock::new(),
            watch: RwLock::default(),
            space: Space::default(),
            lock,
        }
    }

    /// The lock that it holds: for another database in the same directory, or to know where that lies.
    pub(crate) fn same_lock(&self) -> Result<File, StoreError> {
        let lock = self.lock.try_clone();
        lock.map_err(|e| io("share its lock file", &e))
    }

    /// The log where keys of this form lie.
    fn log(&self, key: &[u8]) -> Option<&Arc<Log>> {
        self.logs.iter().find(|log| log.holds(key))
    }

    /// A value's payload.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(log) = self.log(key) else {
            let value = self.raw(key)?;
            let payload = value.map(|v| unframe(key, &v).map(<[u8]>::to_vec));
            return payload.transpose().map_err(|e| e.at(key));
        };
        let Some(mut value) = log.get(key)? else {
            return Ok(None);
        };
        let payload = unframe(key, &value).map_err(|e| e.at(key))?.len();
        value.drain(..value.len() - payload);
        Ok(Some(value))
    }

    /// A value as it is framed.
    pub(crate) fn raw(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        match self.log(key) {
            Some(log) => Ok(log.get(key)?.map(Into::into)),
            None => self.main.db.get(key).map_err(|e| sled_error("read", &e)),
        }
    }

    /// Whether there is a value.
    pub(crate) fn contains(&self, key: &[u8]) -> Result<bool, StoreError> {
        match self.log(key) {
            Some(log) => Ok(log.contains(key)),
            None => {
                let there = self.main.db.contains_key(key);
                there.map_err(|e| sled_error("read", &e))
            }
        }
    }

    /// Keys and raw values under a prefix that is of one kind, ascending.
    pub(crate) fn scan_raw(&self, prefix: &[u8]) -> Scan {
        match self.log(prefix) {
            Some(log) => {
                let from = Bound::Included(prefix.to_vec());
                Scan::Log(Entries::new(log, from, end_of(prefix)))
            }
            None => Scan::Main(self.main.db.scan_prefix(prefix)),
        }
    }

    /// Everything after a key, ascending; everything without one.
    pub(crate) fn scan_after(
        &self,
        key: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + use<> {
        let from = || key.map_or(Bound::Unbounded, |key| Bound::Excluded(key.to_vec()));
        let main = self.main.db.range::<Vec<u8>, _>((from(), Bound::Unbounded));
        let log = |log| Scan::Log(Entries::new(log, from(), Bound::Unbounded)).peekable();
        let mut sources = vec![Scan::Main(main).peekable()];
        sources.extend(self.logs.iter().map(log));
        std::iter::from_fn(move || {
            let mut least: Option<(usize, sled::IVec)> = None;
            for (i, source) in sources.iter_mut().enumerate() {
                match source.peek() {
                    Some(Ok((key, _))) if least.as_ref().is_none_or(|(_, k)| key < k) => {
                        least = Some((i, key.clone()));
                    }
                    Some(Err(_)) => return source.next(),
                    _ => {}
                }
            }
            sources[least?.0].next()
        })
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

    fn parted(&self, batch: Batch) -> Parted {
        let mut parted = Parted {
            main: None,
            logs: vec![Ops::new(); self.logs.len()],
            staged: batch.staged,
        };
        for (key, value) in batch.ops {
            if let Some(i) = self.logs.iter().position(|log| log.holds(&key)) {
                parted.logs[i].push((key, value));
                continue;
            }
            let main = parted.main.get_or_insert_default();
            match value {
                Some(value) => main.insert(key, value),
                None => main.remove(key),
            }
        }
        parted
    }

    fn write_parted(&self, batch: Batch, until: Until) -> Result<(), StoreError> {
        self.check()?;
        let (has_main, ops) = {
            let watch = reading(&self.watch);
            // Held until the batch is there: the snapshot's instant lies before all of it.
            let mut watch = watch.as_ref().map(|watch| watch.enter());
            if let Some(watch) = watch.as_mut() {
                watch.before(self, batch.keys());
            }
            let parted = self.parted(batch);
            let has_main = parted.main.is_some();
            let logs = self.write_to(parted).map_err(|e| self.fail(e))?;
            (has_main, logs)
        };
        if until == Until::Durable {
            let sync = || {
                if has_main {
                    self.main.sync()?;
                }
                self.concerned(&ops).try_for_each(|(log, _)| log.sync())
            };
            sync().map_err(|e| self.fail(e))?;
        }
        Ok(())
    }

    /// Writes to each place in the order that a crash in between asks for; what the logs were given.
    fn write_to(&self, parted: Parted) -> Result<Vec<Ops>, StoreError> {
        let Parted {
            main,
            mut logs,
            staged,
        } = parted;
        let mut gone = vec![];
        for (log, ops) in self
            .logs
            .iter()
            .zip(&mut logs)
            .filter(|(log, _)| log.is_named())
        {
            let (put, removed) = ops.drain(..).partition(|(_, value)| value.is_some());
            *ops = put;
            gone.push((log, removed));
            if ops.is_empty() {
                continue;
            }
            log.append(ops)?;
            log.sync()?;
        }
        let in_order = |logs| self.concerned(logs).filter(|(log, _)| !log.is_named());
        if let Some(main) = main {
            let written = self.main.write(main).and_then(|()| {
                let has_more = in_order(&logs).next().is_some();
                if has_more { self.main.sync() } else { Ok(()) }
            });
            if let Err(error) = written {
                // The page that names them may be there all the same: their segments stay.
                std::mem::forget(staged);
                return Err(error);
            }
        }
        staged.into_iter().for_each(Staged::show);
        for (log, removed) in gone {
            let removed: Ops = removed;
            log.forget(removed.iter().map(|(key, _)| key.as_slice()));
        }
        in_order(&logs).try_for_each(|(log, ops)| log.append(ops))?;
        Ok(logs)
    }

    /// Writes values that the database is to name, durably and unseen, beside whoever writes; the batches that name
    /// them show them. What is of another kind stays in a batch as it is. All of them cost one sync.
    pub(crate) fn stage(&self, batches: Vec<Batch>) -> Result<Vec<Batch>, StoreError> {
        self.check()?;
        let staged = batches.into_iter().map(|batch| self.unsynced(batch));
        let staged = staged.collect::<Result<Vec<_>, _>>();
        let synced = staged.and_then(|staged| {
            let mut logs = self.logs.iter().filter(|log| log.is_named());
            logs.try_for_each(|log| log.sync())?;
            Ok(staged)
        });
        synced.map_err(|e| self.fail(e))
    }

    fn unsynced(&self, batch: Batch) -> Result<Batch, StoreError> {
        let mut left = Batch {
            ops: Ops::new(),
            staged: batch.staged,
        };
        let mut logs = vec![Ops::new(); self.logs.len()];
        for (key, value) in batch.ops {
            let log = self
                .logs
                .iter()
                .position(|log| log.is_named() && log.holds(&key));
            match log.filter(|_| value.is_some()) {
                Some(i) => logs[i].push((key, value)),
                None => left.ops.push((key, value)),
            }
        }
        for (log, ops) in self.concerned(&logs) {
            left.staged.push(log.stage(ops)?);
        }
        Ok(left)
    }

    /// Lets go of values that no page names; of how many, and which are named and not there.
    pub(crate) fn keep_named(&self, names: &BTreeMap<Vec<u8>, u32>) -> (usize, Vec<Vec<u8>>) {
        let named = || self.logs.iter().filter(|log| log.is_named());
        // One of another length is left over under the same name, from a page that a power cut took.
        let is_named = |key: &[u8], len: usize| {
            let bytes = names.get(key);
            bytes.is_some_and(|bytes| len == *bytes as usize + FRAME)
        };
        let gone = named().map(|log| log.keep(is_named)).sum();
        let is_missing = |key: &&Vec<u8>| named().any(|log| log.holds(key) && !log.contains(key));
        (gone, names.keys().filter(is_missing).cloned().collect())
    }

    /// Whether there is a value that the database is to name.
    pub(crate) fn has_named(&self) -> bool {
        let mut named = self.logs.iter().filter(|log| log.is_named());
        named.any(|log| !log.is_empty())
    }

    /// Gives back the room of what was let go of in the log of a kind, where little is left.
    pub(crate) fn gather(&self, kind: Kind) -> Result<(), StoreError> {
        self.check()?;
        let log = self.log(&kind.prefix()).filter(|log| !log.is_named());
        log.map_or(Ok(()), |log| log.gather())
            .map_err(|e| self.fail(e))
    }

    /// Gives back some room of values that are gone; whether there is more to give back.
    pub(crate) fn clean(&self) -> Result<bool, StoreError> {
        self.check()?;
        // What moves takes its room twice until its segment is removed; the reserve is not for that.
        let room = self.space.spare(self.main.file());
        let clean = || {
            let mut is_more = false;
            for log in self.logs.iter().filter(|log| log.is_named()) {
                let has_moved = log.clean(room)?;
                let empty = log.empty();
                if !empty.is_empty() {
                    log.sync()?;
                    self.main.sync()?;
                    log.remove(&empty)?;
                }
                is_more |= has_moved && log.is_to_clean();
            }
            Ok(is_more)
        };
        clean().map_err(|e| self.fail(e))
    }

    /// The logs for which there is something.
    fn concerned<'a>(&'a self, ops: &'a [Ops]) -> impl Iterator<Item = (&'a Arc<Log>, &'a Ops)> {
        self.logs.iter().zip(ops).filter(|(_, ops)| !ops.is_empty())
    }

    /// Writes a batch; it is durable after the next [`Disk::sync`].
    pub(crate) fn write(&self, batch: Batch) -> Result<(), StoreError> {
        self.write_parted(batch, Until::Written)
    }

    /// Writes a batch and makes it durable, with what was written before to the same places.
    pub(crate) fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.write_parted(batch, Until::Durable)
    }

    /// Makes everything that was written durable. Values that the database names are so from the beginning.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.check()?;
        self.main.sync().map_err(|e| self.fail(e))?;
        let mut logs = self.logs.iter().filter(|log| !log.is_named());
        logs.try_for_each(|log| log.sync())
            .map_err(|e| self.fail(e))
    }

    /// Bytes of all files.
    pub(crate) fn size(&self) -> Result<u64, StoreError> {
        let logs: u64 = self.logs.iter().map(|log| log.size()).sum();
        Ok(self.main.size()? + logs)
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
        self.space.check(self.main.file())
    }

    /// Takes no more writes.
    pub(crate) fn close(&self) {
        let mut is_first = false;
        self.failed.get_or_init(|| {
            is_first = true;
            StoreError::Closed
        });
        if is_first && let Err(error) = self.logs.iter().try_for_each(|log| log.close()) {
            tracing::error!(%error, "the logs are not closed; they are read to their last whole frame");
        }
    }

    pub(crate) fn fail(&self, error: StoreError) -> StoreError {
        tracing::error!(%error, "the store takes no more writes until it is opened again");
        self.failed.get_or_init(|| error).clone()
    }
}

/// How far a write goes before it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Written,
    Durable,
}

/// Where the keys under a prefix end.
fn end_of(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

/// Keys with their raw values, from wherever they lie.
pub(crate) enum Scan {
    Main(sled::Iter),
    Log(Entries),
}

impl Iterator for Scan {
    type Item = Result<(sled::IVec, sled::IVec), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Scan::Main(items) => Some(items.next()?.map_err(|e| sled_error("read", &e))),
            Scan::Log(items) => items.next(),
        }
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Scan::Main(items) => Some(items.next_back()?.map_err(|e| sled_error("read", &e))),
            Scan::Log(items) => items.next_back(),
        }
    }
}
