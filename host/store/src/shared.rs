//! What the store's handle and its two threads share.

use crate::columns::Cache;
use crate::disk::Disk;
use crate::keeper::Desk;
use crate::ledger::Index;
use crate::options::Options;
use crate::queue::Queue;
use crate::registry::Registry;
use crate::sight::Lates;
use crate::states::Models;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tidegate_core::ids::Digest;

/// The parts of an open store.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) disk: Disk,
    pub(crate) registry: RwLock<Registry>,
    pub(crate) cache: Cache,
    pub(crate) queue: Queue,
    pub(crate) desk: Desk,
    /// The newest instant that somebody told of who asked for old samples to be dropped.
    pub(crate) told: AtomicI64,
    pub(crate) ledger: Mutex<Index>,
    /// Late samples, once somebody has asked what was seen then.
    pub(crate) late: Mutex<Option<Arc<Lates>>>,
    /// Copies that are being made: nothing may be dropped meanwhile.
    pub(crate) copying: AtomicUsize,
    /// Held by whoever keeps a value by digest, or lets one go.
    pub(crate) keeping: Mutex<()>,
    /// What was last kept of what is declared.
    pub(crate) declared: Mutex<Option<Digest>>,
    pub(crate) models: Mutex<Option<Models>>,
    /// Numbers of the first entry of notes and of the next one; unknown until somebody asks.
    pub(crate) notes: Mutex<Option<(u64, u64)>>,
    /// One change of the catalog, one of a module at a time.
    pub(crate) catalog: Mutex<()>,
    pub(crate) modules: Mutex<()>,
    /// Held shared by whoever writes, alone by whoever checks the whole store.
    pub(crate) writing: RwLock<()>,
    /// Held alone by the writer from the removal of a block until nobody is told of it any more; so a reader
    /// who finds none waits for it, and then knows whether the block is missing or gone.
    pub(crate) replacing: RwLock<()>,
    /// The newest sequence at the last look for records that are not to be kept.
    pub(crate) looked: AtomicU64,
    pub(crate) wal_records: AtomicU64,
    pub(crate) wal_bytes: AtomicU64,
}

/// Locks; what a panicked holder left is whole, since every holder changes it at its end.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks shared.
pub(crate) fn reading<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Locks alone.
pub(crate) fn writing<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
