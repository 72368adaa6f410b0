//! Which stream a point is of, by the bytes that name it.
//!
//! Three tables, since the parts of a name repeat at different rates: caller and resource, then
//! scope and metric, then the attributes of a point. A hash finds a candidate, and the bytes decide:
//! a number that is added to the wrong series would never be noticed. Hashes are seeded per process.
//! For points, the one that followed last time is tried first, by its bytes alone: most are found so, and
//! no hash of theirs is made.
//!
//! Bounded by bytes; when full, everything is forgotten and learned again, which is simple and whose
//! cost is spread over as many points as the bound allows.

mod replicas;
mod starts;

pub(super) use replicas::REPLICA;
pub(super) use starts::{MOVES, Worth};

use crate::books::{Key, Slice};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use replicas::Leaders;
use starts::Starts;
use std::hash::{BuildHasher as _, Hasher as _};
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
    /// Likewise, of a classic histogram, of which it is one series.
    Slice(u32, Cut),
    /// It does not concern anybody.
    PassedOver,
    /// It cannot be used.
    Refused(Arc<Refused>),
}

const _: () = assert!(size_of::<Slot>() <= 16);

/// Why a stream cannot be used.
#[derive(Debug)]
pub(super) struct Refused {
    /// Until when (machine's clock, ms).
    pub(super) until: i64,
    /// A word for metrics.
    pub(super) reason: &'static str,
    /// What the sender is told.
    pub(super) text: Arc<str>,
    /// Of which metric it is, whose streams grow unseen meanwhile.
    pub(super) family: Key,
}

/// Which series of a classic histogram: its bound, or none for the sum. One number, so that a [`Slot`] is as
/// small with it as without.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut(f64);

impl Cut {
    pub(super) const SUM: Self = Self(f64::NAN);

    /// The observations up to a bound; `None` where it is no number.
    pub(super) fn until(bound: f64) -> Option<Self> {
        (!bound.is_nan()).then_some(Self(bound))
    }

    pub(super) fn slice(self, value: f64) -> Slice {
        if self.0.is_nan() {
            Slice::Sum(value)
        } else {
            Slice::Until(self.0, value)
        }
    }
}

/// What names something: two stretches of bytes, so that nobody copies them to compare them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'n> {
    pub(super) head: &'n [u8],
    pub(super) tail: &'n [u8],
}

impl<'n> From<&'n [u8]> for Name<'n> {
    fn from(head: &'n [u8]) -> Self {
        Self { head, tail: &[] }
    }
}

impl Name<'_> {
    fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    pub(super) fn to_vec(self) -> Vec<u8> {
        [self.head, self.tail].concat()
    }
}

#[derive(Debug)]
struct Entry<T> {
    hash: u64,
    /// Where its name stands in the texts.
    at: usize,
    len: usize,
    /// The entry that was asked for after this one, the last time.
    next: u32,
    value: T,
}

/// Entries in the order in which they were learned, with their names side by side: senders name streams in
/// the same order each time, so the next one is mostly the one that came next before, and lies beside
/// it in memory.
#[derive(Debug)]
struct Table<T> {
    index: HashTable<u32>,
    entries: Vec<Entry<T>>,
    texts: Vec<u8>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            entries: vec![],
            texts: vec![],
        }
    }
}

impl<T> Table<T> {
    fn is(&self, entry: u32, name: Name<'_>) -> bool {
        let entry = self.entries.get(entry as usize);
        let text = entry.and_then(|e| self.texts.get(e.at..e.at + e.len));
        text.is_some_and(|text| {
            let split = text.split_at_checked(name.head.len());
            split == Some((name.head, name.tail))
        })
    }

    /// The entry of a name.
    fn find(&self, hash: u64, name: Name<'_>) -> Option<u32> {
        let same = |e: &u32| self.entries[*e as usize].hash == hash && self.is(*e, name);
        self.index.find(hash, same).copied()
    }

    /// Puts a value, replacing what stands there; returns the bytes that it takes more.
    fn put(&mut self, hash: u64, name: Name<'_>, value: T) -> usize {
        if let Some(entry) = self.find(hash, name) {
            self.entries[entry as usize].value = value;
            return 0;
        }
        let entry = self.entries.len() as u32;
        self.entries.push(Entry {
            hash,
            at: self.texts.len(),
            len: name.len(),
            next: entry.saturating_add(1),
            value,
        });
        self.texts.extend_from_slice(name.head);
        self.texts.extend_from_slice(name.tail);
        let entries = &self.entries;
        let hash_of = |e: &u32| entries[*e as usize].hash;
        self.index.insert_unique(hash, entry, hash_of);
        name.len() + OVERHEAD + size_of::<T>()
    }

    fn value(&self, entry: u32) -> &T {
        &self.entries[entry as usize].value
    }
}

/// A resource, as one caller sent it.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    pub(super) id: u32,
    pub(super) labels: Arc<[(String, String)]>,
    pub(super) key: Key,
    /// Whether several senders may look like this one, which only their starts tell apart: see `starts`.
    pub(super) nameless: bool,
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
    /// Of streams that only their starts tell apart, by the name that they have in common.
    starts: Table<Starts>,
    /// Whether any of those moves.
    moving: bool,
    /// Whether some server that sends is one of a pair.
    pub(super) paired: bool,
    /// Of streams that several servers send, who is listened to.
    leaders: Leaders,
    next: u32,
    bytes: usize,
    /// Of those, of points.
    of_points: usize,
    /// Of the books, when this was learned.
    epoch: u64,
}

impl Names {
    /// Forgets everything when it is too much, and points when their numbers have become invalid. Must be called
    /// between requests: within one, numbers of resources are in use.
    pub(super) fn tidy(&mut self, epoch: u64) {
        if self.bytes > MAX_BYTES || self.next > u32::MAX / 2 {
            self.forget();
        } else if self.epoch != epoch {
            // Who is who has not changed by it.
            self.points = Table::default();
            self.bytes -= std::mem::take(&mut self.of_points);
        }
        self.epoch = epoch;
    }

    /// Forgets everything. Must be called between requests.
    pub(super) fn forget(&mut self) {
        *self = Self {
            epoch: self.epoch,
            ..Self::default()
        };
    }

    /// One name is always divided in the same way.
    fn hash(&self, name: Name<'_>) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write(name.head);
        hasher.write(name.tail);
        hasher.finish()
    }

    pub(super) fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    pub(super) fn resource(&self, name: &[u8]) -> Option<Arc<Resource>> {
        let name = Name::from(name);
        let entry = self.resources.find(self.hash(name), name)?;
        Some(self.resources.value(entry).clone())
    }

    pub(super) fn keep_resource(&mut self, name: &[u8], resource: Arc<Resource>) {
        let name = Name::from(name);
        let hash = self.hash(name);
        self.bytes += self.resources.put(hash, name, resource);
    }

    pub(super) fn metric(&self, name: &[u8]) -> Option<Arc<Metric>> {
        let name = Name::from(name);
        let entry = self.metrics.find(self.hash(name), name)?;
        Some(self.metrics.value(entry).clone())
    }

    pub(super) fn keep_metric(&mut self, name: &[u8], metric: Arc<Metric>) {
        let name = Name::from(name);
        let hash = self.hash(name);
        self.bytes += self.metrics.put(hash, name, metric);
    }

    /// What is known of a point's stream, and the entry where that stands; `after` is the entry of the
    /// point before.
    #[inline]
    pub(super) fn point(&mut self, after: Option<u32>, name: Name<'_>) -> Option<(u32, &Slot)> {
        let before = after.and_then(|e| self.points.entries.get(e as usize));
        let likely = before.map_or(0, |e| e.next);
        if self.points.is(likely, name) {
            return Some((likely, self.points.value(likely)));
        }
        let entry = self.points.find(self.hash(name), name)?;
        if let Some(before) = after.and_then(|e| self.points.entries.get_mut(e as usize)) {
            before.next = entry;
        }
        Some((entry, self.points.value(entry)))
    }

    pub(super) fn keep_point(&mut self, name: Name<'_>, slot: Slot) {
        let hash = self.hash(name);
        let more = self.points.put(hash, name, slot);
        self.bytes += more;
        self.of_points += more;
    }

    /// Which start tells the sender of a point apart from those that share its name; `None` where it tells none.
    pub(super) fn sender(&mut self, name: Name<'_>, start: u64, time: u64) -> Option<u64> {
        if start == 0 || start > time {
            return None;
        }
        if start == time {
            self.note_start(name, start, time, Worth::Untold);
            let is_apart = self.starts_mut(name).is_apart(time);
            return is_apart.then_some(start);
        }
        let moves = self.moving && self.starts_of(name).is_some_and(|s| s.moves);
        if moves && !self.starts_mut(name).stands(start, time) {
            self.note_start(name, start, time, Worth::Moves);
            return Some(MOVES);
        }
        Some(start)
    }

    /// What the start of a new stream is worth, at its first point. `is_known` says whether the books know one that
    /// moves.
    pub(super) fn worth(
        &self,
        name: Name<'_>,
        (start, time): (u64, u64),
        is_known: impl FnOnce() -> bool,
    ) -> Worth {
        match self.starts_of(name) {
            Some(starts) => starts.worth(start, time, is_known),
            None => Starts::default().worth(start, time, is_known),
        }
    }

    /// Takes note of the first point of a stream.
    pub(super) fn note_start(&mut self, name: Name<'_>, start: u64, time: u64, worth: Worth) {
        let starts = self.starts_mut(name);
        let more = starts.note(start, time);
        if worth == Worth::Moves {
            starts.begin_to_move();
            self.moving = true;
        }
        self.bytes += more * Starts::POINT;
    }

    fn starts_of(&self, name: Name<'_>) -> Option<&Starts> {
        let entry = self.starts.find(self.hash(name), name)?;
        Some(self.starts.value(entry))
    }

    fn starts_mut(&mut self, name: Name<'_>) -> &mut Starts {
        let hash = self.hash(name);
        let entry = self.starts.find(hash, name).unwrap_or_else(|| {
            self.bytes += self.starts.put(hash, name, Starts::default());
            self.starts.entries.len() as u32 - 1
        });
        &mut self.starts.entries[entry as usize].value
    }
    /// Whether a point of a stream counts, by the server that sends it; see `replicas`.
    pub(super) fn admit(&mut self, stream: &Key, replica: &[u8], time: i64, spoken: i64) -> bool {
        let replica = self.hash(Name::from(replica));
        let before = self.leaders.len();
        let admitted = self.leaders.admit(stream, replica, time, spoken);
        self.bytes += (self.leaders.len() - before) * Leaders::EACH;
        admitted
    }
}
