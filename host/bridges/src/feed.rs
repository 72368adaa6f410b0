//! One feed: what arrives by any protocol, until it is acknowledged, and the sums that come of it.
//!
//! A request is read as a whole before anything of it counts, so that a body that turns out to be
//! damaged at its end has done nothing. Then, under one lock: streams are found (or introduced),
//! points are taken into the [`Books`], and what that moved is handed to the journal. The sender is
//! answered when the journal is on disk; requests that wait at the same time share one write.
//!
//! [`Feed::turn`], called about once a second, hands complete sums to the ingest port, the same that
//! serves Tidegate's own protocol: roles, quotas and the catalog hold there for every sample (`hand_out`).
//! What the store cannot take now is kept and tried again, and stands in a checkpoint until it has arrived.
//!
//! Streams are looked up by the bytes that named them: a resource once per resource, a metric once
//! per metric, a point's attributes per point; the whole text is compared, not only its hash
//! (`names`). What was found is remembered up to a bound and then forgotten all at once; that costs
//! time, never a number.

mod adopt;
mod allowance;
mod commit;
mod hand_out;
mod names;
mod request;

pub use adopt::Adoption;
use allowance::Allowance;
pub use request::{Counters, Peer, Reasons, Took, Written};

use crate::books::{Books, Damaged, LeftOut, Observed, Terms};
use crate::mapping::Mapping;
use crate::wire::Malformed;
use commit::Committer;
use hand_out::{Unsent, weight};
use names::Names;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidegate_core::ids::{ApiId, TenantId};
use tidegate_core::ports::serve::{CatalogPort, ClockPort, IngestPort};
use tidegate_core::ports::storage::{History, Notes, StoreError};
use tidegate_core::sample::SeriesSamples;
use tidegate_core::time::Timestamp;
use tokio::sync::Notify;

/// What the feed needs of the daemon's servers.
pub trait Door: IngestPort + CatalogPort + ClockPort {}

impl<T: IngestPort + CatalogPort + ClockPort> Door for T {}

/// What the feed needs of the store.
pub trait Keep: History + Notes {}

impl<T: History + Notes> Keep for T {}

/// How a feed reads and adds up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What streams are.
    pub mapping: Mapping,
    /// How they are added up.
    pub terms: Terms,
    /// What happens to apis that are not declared.
    pub adoption: Adoption,
    /// Whether the data's clock is the machine's.
    pub clock: Clock,
    /// Points a second that one tenant may send; `None`: any.
    pub max_points_per_s: Option<u64>,
    /// How long a request waits for room where the open steps fill what they may, before it is told to come
    /// back; nothing: it is told so at once.
    pub patience: Duration,
}

/// A step settles, and a turn hands it out; shorter than any sender's patience.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Whose time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    Machine,
    /// The data's own: a replay, whose points lie anywhere.
    Data,
}

/// Why a request was not taken as a whole.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// It is no such message.
    #[error("the body is no such message: {0}")]
    Malformed(#[from] Malformed),
    /// The caller may not feed.
    #[error("{0}")]
    Denied(String),
    /// Too much at once; later it will be taken.
    #[error("{what}; retry in {retry_ms} ms")]
    Busy {
        /// What there is too much of.
        what: &'static str,
        /// Milliseconds.
        retry_ms: u64,
    },
    /// Steps that wait to be complete, or for the store, fill what they may; later it will be taken.
    #[error(
        "steps that are not complete yet take {} MiB, which is all that they may (`feeds.memory`); retry in {retry_ms} ms, send the past more slowly, or raise it",
        bytes >> 20
    )]
    Full {
        /// What they take.
        bytes: usize,
        /// Milliseconds.
        retry_ms: u64,
    },
    /// A tenant has sent more than it may; later it will be taken.
    #[error("{what}; retry in {retry_ms} ms, send less often, or raise the limit")]
    Over {
        /// Whose, which limit.
        what: String,
        /// Milliseconds.
        retry_ms: u64,
    },
    /// Somebody else sends under the same name.
    #[error("{0}")]
    Taken(String),
    /// It could not be made durable.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Why a feed could not be opened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The journal.
    #[error("{0}")]
    Damaged(#[from] Damaged),
}

/// What a turn did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Turned {
    /// Sums that were stored.
    pub stored: u64,
    /// Sums that were refused, with the first reason.
    pub refused: Option<(u64, String)>,
    /// Apis that were to be declared and cannot be, with the first reason.
    pub undeclared: Option<(u64, String)>,
    /// Sums that wait because the store takes none now, with why.
    pub waiting: Option<(usize, String)>,
    /// Steps that are complete and not stored, as not everybody was heard in them.
    pub left_out: BTreeMap<ApiId, LeftOut>,
}

/// Bytes of journal after which the state is written as a whole, at the least.
const CHECKPOINT_BYTES: usize = 16 << 20;

struct Inner {
    books: Books,
    names: Names,
    allowance: Allowance,
    /// Series of tenants, as they were asked for since the last turn.
    used: BTreeMap<TenantId, u64>,
    /// Apis that could not be declared when they were to be.
    undeclared: BTreeSet<ApiId>,
    /// Tenants of which nothing is taken now, as their sums wait for their quota: why, and for how long in ms.
    behind: BTreeMap<TenantId, (String, u64)>,
    /// Room for the points of a request: memory that is asked for anew each time is cleared anew, too.
    points: Vec<(request::Id, Observed)>,
    /// The newest instant of any point, for a clock that is the data's.
    newest: i64,
}

/// See the module.
pub struct Feed {
    options: Options,
    door: Arc<dyn Door>,
    keep: Arc<dyn Keep>,
    /// Passed by whoever wants what is inside, so that who has just had it does not get it again before those
    /// who have waited.
    turnstile: Mutex<()>,
    inner: Mutex<Inner>,
    committer: Committer,
    unsent: Mutex<Unsent>,
    /// Bytes of those.
    weight: AtomicUsize,
    /// Something was stored, so that there may be room.
    room: Condvar,
    /// Half of what open steps may take is taken.
    filling: Notify,
    /// Envoys that stream, and the number of the last stream.
    live: request::Live,
    streams: Mutex<u64>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// Opens a feed where its journal ends. `now` is the machine's clock.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn open(
        options: Options,
        door: Arc<dyn Door>,
        keep: Arc<dyn Keep>,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let mut books = Books::new(options.terms);
        let (mut bytes, mut damaged) = (0, None);
        keep.entries(&mut |entry| {
            bytes += entry.len();
            if damaged.is_none() {
                damaged = commit::entries(entry)
                    .try_for_each(|entry| books.replay(entry?))
                    .err();
            }
        })?;
        if let Some(damaged) = damaged {
            return Err(damaged.into());
        }
        let now = match options.clock {
            Clock::Machine => now.0,
            Clock::Data => keep.watermark().newest.0,
        };
        let unsent = books.recovered(&|key| keep.newest(key), now);
        let log = books.drain();
        let feed = Self {
            options,
            door,
            committer: Committer::new(keep.clone(), bytes),
            keep,
            turnstile: Mutex::default(),
            inner: Mutex::new(Inner {
                books,
                names: Names::default(),
                allowance: Allowance::default(),
                used: BTreeMap::new(),
                undeclared: BTreeSet::new(),
                behind: BTreeMap::new(),
                points: vec![],
                newest: now,
            }),
            weight: AtomicUsize::new(weight(&unsent)),
            unsent: Mutex::new(Unsent::of(unsent)),
            room: Condvar::new(),
            filling: Notify::new(),
            live: request::Live::default(),
            streams: Mutex::default(),
        };
        let ticket = feed.committer.add(&log);
        match feed.committer.wait(ticket) {
            // It is written before anything else is, when there is room.
            Err(error) if !commit::passes(&error) => Err(error.into()),
            _ => Ok(feed),
        }
    }

    /// The books and names.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        let _next = lock(&self.turnstile);
        lock(&self.inner)
    }

    /// The data's clock and the time of arrival, at which `now` is the machine's.
    fn times(&self, inner: &Inner, now: Timestamp) -> (i64, i64) {
        match self.options.clock {
            Clock::Machine => (now.0, now.0),
            Clock::Data => (inner.newest, inner.newest),
        }
    }

    /// Hands out what is complete; blocks until it is stored. A journal that finds no room now is no error: sums
    /// wait for it, and [`Turned::waiting`] says why.
    ///
    /// # Errors
    /// When the journal cannot be written any more.
    pub fn turn(&self, now: Timestamp) -> Result<Turned, Error> {
        // One turn at a time: sums of a series are stored in their order.
        let mut unsent = lock(&self.unsent);
        let mut turned = Turned::default();
        let done = self.hand_out(&mut unsent, now, &mut turned);
        self.weigh(weight(&unsent.sums));
        match done {
            Err(Error::Store(error)) if commit::passes(&error) => {
                turned.waiting = Some((unsent.sums.len(), error.to_string()));
                Ok(turned)
            }
            done => done.map(|()| turned),
        }
    }

    /// Returns when the next turn should not be waited for: a second of a backfill is more than there is room for.
    pub async fn filling(&self) {
        self.filling.notified().await;
    }

    /// Takes note of what sums that wait for the store weigh.
    fn weigh(&self, bytes: usize) {
        self.weight.store(bytes, Ordering::Relaxed);
        // Whoever has found no room waits by now.
        drop(self.inner());
        self.room.notify_all();
    }

    /// Writes the state as a whole, with the sums that wait, and drops what it replaces.
    fn checkpoint(&self, unsent: &[SeriesSamples]) -> Result<(), Error> {
        let ticket = {
            let mut inner = self.inner();
            let log = inner.books.drain();
            self.committer.add(&log);
            let entries = inner.books.checkpoint_with(unsent);
            self.committer.add_checkpoint(&entries)
        };
        self.committer.wait(ticket)?;
        Ok(())
    }

    /// Hands out what is complete and writes the state, so that the next start is quick. Where there is no room
    /// for it, the next start is slow.
    ///
    /// # Errors
    /// When the journal cannot be written any more.
    pub fn close(&self, now: Timestamp) -> Result<(), Error> {
        self.turn(now)?;
        if self.committer.bytes() == 0 {
            return Ok(());
        }
        match self.checkpoint(&lock(&self.unsent).sums) {
            Err(Error::Store(error)) if commit::passes(&error) => Ok(()),
            done => done,
        }
    }

    /// What was done since the start, streams that are known, sums that wait for the store.
    #[must_use]
    pub fn standing(&self) -> (crate::books::Tally, usize, usize) {
        let inner = self.inner();
        let (tally, streams) = (inner.books.tally(), inner.books.streams());
        drop(inner);
        (tally, streams, lock(&self.unsent).sums.len())
    }

    /// Memory of steps that are open or wait for the store, in bytes.
    fn open_bytes(&self, inner: &Inner) -> usize {
        inner.books.open() + self.weight.load(Ordering::Relaxed)
    }
}
