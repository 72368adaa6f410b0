//! Which stream a point is of, by the bytes that name it.
//!
//! Three tables, since the parts of a name repeat at different rates: caller and resource, then
//! scope and metric, then the attributes of a point. A hash finds a candidate, and the bytes decide:
//! a number that is added to the wrong series would never be noticed. Hashes are seeded per process.
//!
//! Bounded by bytes; when full, everything is forgotten and learned again, which is simple and whose
//! cost is spread over as many points as the bound allows.

use crate::books::Key;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher as _;
use std::sync::Arc;

/// Memory of the tables, in bytes.
const MAX_BYTES: usize = 256 << 20;

/// What an entry costs beside its bytes.
const OVERHEAD: usize = 64;

/// What is known of a point's stream.
#[derive(Debug, Clone)]
pub(super) enum Slot {
    /// It has this number in the books.
    Stream(u32),
    /// It does not concern anybody.
    PassedOver,
    /// It cannot be used, until when (machine's clock, ms) and why; and of which metric it is, whose
    /// streams grow unseen meanwhile.
    Refused(i64, Arc<str>, Key),
}

#[derive(Debug)]
struct Entry<T> {
    hash: u64,
    name: Box<[u8]>,
    value: T,
}

#[derive(Debug)]
struct Table<T> {
    entries: HashTable<Entry<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            entries: HashTable::new(),
        }
    }
}

impl<T> Table<T> {
    fn find(&self, hash: u64, name: &[u8]) -> Option<&T> {
        let entry = self
            .entries
            .find(hash, |e| e.hash == hash && *e.name == *name);
        entry.map(|e| &e.value)
    }

    /// Puts a value, replacing what stands there; returns the bytes that it takes more.
    fn put(&mut self, hash: u64, name: &[u8], value: T) -> usize {
        let same = |e: &Entry<T>| e.hash == hash && *e.name == *name;
        if let Some(entry) = self.entries.find_mut(hash, same) {
            entry.value = value;
            return 0;
        }
        let name: Box<[u8]> = name.into();
        let size = name.len() + OVERHEAD + size_of::<T>();
        self.entries
            .insert_unique(hash, Entry { hash, name, value }, |e| e.hash);
        size
    }
}

/// A resource, as one caller sent it.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    pub(super) id: u32,
    pub(super) labels: Arc<[(String, String)]>,
    pub(super) key: Key,
}

/// A metric of a resource.
#[derive(Debug, Clone)]
pub(super) struct Metric {
    pub(super) id: u32,
    pub(super) family: Key,
    pub(super) wanted: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Names {
    state: RandomState,
    resources: Table<Arc<Resource>>,
    metrics: Table<Arc<Metric>>,
    points: Table<Slot>,
    next: u32,
    bytes: usize,
    /// Of the books, when this was learned.
    epoch: u64,
}

impl Names {
    /// Forgets everything when it is too much, or when numbers have become invalid. Must be called
    /// between requests: within one, numbers of resources are in use.
    pub(super) fn tidy(&mut self, epoch: u64) {
        if self.bytes > MAX_BYTES || self.epoch != epoch || self.next > u32::MAX / 2 {
            *self = Self {
                epoch,
                ..Self::default()
            };
        }
    }

    pub(super) fn hash(&self, name: &[u8]) -> u64 {
        self.state.hash_one(name)
    }

    pub(super) fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    pub(super) fn resource(&self, name: &[u8]) -> Option<Arc<Resource>> {
        self.resources.find(self.hash(name), name).cloned()
    }

    pub(super) fn keep_resource(&mut self, name: &[u8], resource: Arc<Resource>) {
        let hash = self.hash(name);
        self.bytes += self.resources.put(hash, name, resource);
    }

    pub(super) fn metric(&self, name: &[u8]) -> Option<Arc<Metric>> {
        self.metrics.find(self.hash(name), name).cloned()
    }

    pub(super) fn keep_metric(&mut self, name: &[u8], metric: Arc<Metric>) {
        let hash = self.hash(name);
        self.bytes += self.metrics.put(hash, name, metric);
    }

    pub(super) fn point(&self, hash: u64, name: &[u8]) -> Option<&Slot> {
        self.points.find(hash, name)
    }

    pub(super) fn keep_point(&mut self, name: &[u8], slot: Slot) {
        let hash = self.hash(name);
        self.bytes += self.points.put(hash, name, slot);
    }
}
