//! What a store must do. All calls are synchronous; a durable one says so.

use crate::catalog::Catalog;
use crate::distribution::Distribution;
use crate::forecast::{Choice, Prior, Track};
use crate::frame::Column;
use crate::ids::{ApiId, BindingId, Digest, Generation, PoolId, TenantId};
use crate::life::Step;
use crate::module::{Holding, Manifest};
use crate::record::Record;
use crate::sample::{SampleBatch, SeriesKey, Stored};
use crate::time::{Grid, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is full or the file system fails.
    #[error("the store cannot {step}: {cause}; check the disk and the directory's permissions")]
    Io {
        /// What it was doing.
        step: &'static str,
        /// What the system said.
        cause: String,
    },
    /// A stored value fails its checksum or cannot be decoded.
    #[error("stored value {key} is damaged: {cause}; run `tidegate store verify`")]
    Damaged {
        /// Where.
        key: String,
        /// How.
        cause: String,
    },
    /// The directory was written by a version with another layout.
    #[error(
        "the store has layout version {found}, this binary reads {known}; {}",
        remedy(*found, *known)
    )]
    Version {
        /// In the directory.
        found: u32,
        /// In the code.
        known: u32,
    },
    /// More is waiting to be written than may wait.
    #[error("the store is behind: {waiting} bytes wait to be written; retry in {retry_ms} ms")]
    Busy {
        /// Bytes.
        waiting: usize,
        /// Milliseconds.
        retry_ms: u64,
    },
    /// The disk is nearly full; nothing that grows is taken until there is room again.
    #[error(
        "the disk is full: {free} bytes are left where the store lies and {wanted} must be; make room, and it \
         goes on by itself"
    )]
    Full {
        /// Bytes that are free.
        free: u64,
        /// Bytes that must be.
        wanted: u64,
    },
    /// What was given may not be stored: it breaks an invariant or a bound. A retry cannot help.
    #[error("the store refuses {what}: {why}")]
    Refused {
        /// The thing, for example `plan 7 of pool edge`.
        what: String,
        /// The rule that it breaks, and what would be right.
        why: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

fn remedy(found: u32, known: u32) -> &'static str {
    if found > known {
        "a newer tidegate has written it: use that one, or restore a backup from before the update"
    } else {
        "it is too old to be migrated by it: open it with a version in between first"
    }
}

/// Called once with what became of a batch, from any thread; it must not block.
pub type Completion = Box<dyn FnOnce(Result<Stored, StoreError>) + Send>;

/// The newest data that a reader can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watermark {
    /// Arrival sequence of the newest stored batch; 0 is none.
    pub sequence: u64,
    /// End of the newest step of any series.
    pub newest: Timestamp,
}

/// Samples in, columns out.
pub trait History: Send + Sync {
    /// Stores a batch. `done` is called when every sample of it is on disk (or failed): acked means
    /// durable. Duplicates on (series, time) keep the first value.
    fn append(&self, batch: SampleBatch, done: Completion);

    /// A series on a grid, in the signal's unit: counts are divided by their step, gauges averaged,
    /// latency given as the mean. A series sampled at a finer step is aggregated; at a coarser step
    /// each of its samples fills the steps that it covers. NaN where nothing was measured.
    ///
    /// # Errors
    /// When stored data cannot be read.
    fn column(&self, key: &SeriesKey, grid: Grid) -> Result<Column, StoreError>;

    /// Latency distributions per step of the grid, merged where samples are finer.
    ///
    /// # Errors
    /// When stored data cannot be read.
    fn distributions(
        &self,
        api: &ApiId,
        grid: Grid,
    ) -> Result<Vec<Option<Distribution>>, StoreError>;

    /// Series that exist, ascending.
    fn series(&self) -> Vec<SeriesKey>;

    /// End of the newest step of one series, `None` if it has no sample.
    fn newest(&self, key: &SeriesKey) -> Option<Timestamp>;

    /// What a reader sees now.
    fn watermark(&self) -> Watermark;
}

/// What is not samples yet: notes that outlive a crash, in the order in which they were written, until
/// they are dropped. What they mean is the writer's affair.
pub trait Notes: Send + Sync {
    /// Appends an entry durably and returns its number; numbers rise by one.
    ///
    /// # Errors
    /// When it is not on disk.
    fn write(&self, entry: &[u8]) -> Result<u64, StoreError>;

    /// Hands out every entry, oldest first.
    ///
    /// # Errors
    /// When one cannot be read.
    fn entries(&self, each: &mut dyn FnMut(&[u8])) -> Result<(), StoreError>;

    /// Drops the entries before a number. After a crash, some may be there again.
    ///
    /// # Errors
    /// When the store takes no writes.
    fn drop_before(&self, number: u64) -> Result<(), StoreError>;
}

/// Decisions, appended and never changed.
pub trait Ledger: Send + Sync {
    /// Writes a record durably. Refuses a plan that breaks PL1 for its pool.
    ///
    /// # Errors
    /// When it is not on disk.
    fn append(&self, record: &Record) -> Result<(), StoreError>;

    /// The record of a plan.
    ///
    /// # Errors
    /// When it cannot be read.
    fn record(&self, pool: &PoolId, generation: Generation) -> Result<Option<Record>, StoreError>;

    /// The record of a plan, with what a plan that amends another rests on.
    ///
    /// # Errors
    /// When it, or what it rests on, cannot be read.
    fn whole(&self, pool: &PoolId, generation: Generation) -> Result<Option<Record>, StoreError> {
        let Some(record) = self.record(pool, generation)? else {
            return Ok(None);
        };
        let base = match record.amends {
            Some(base) => self.record(pool, base)?,
            None => None,
        };
        Ok(Some(record.resting_on(base)))
    }

    /// The newest generation of a pool.
    fn last(&self, pool: &PoolId) -> Option<Generation>;

    /// Newest generation made at or before `at`.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    fn at(&self, pool: &PoolId, at: Timestamp) -> Result<Option<Generation>, StoreError>;
}

/// An admitted component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredModule {
    /// Its identity.
    pub digest: Digest,
    /// Its manifest.
    pub manifest: Manifest,
    /// Who holds it, the first to push it first; never empty.
    pub holdings: Vec<Holding>,
    /// Withdrawn everywhere: it may not serve again by itself (RB1).
    pub quarantined: bool,
    /// Bindings for which it may not serve again by itself.
    pub condemned: Vec<Condemned>,
}

impl StoredModule {
    /// When it was admitted first; the epoch where nobody holds it.
    #[must_use]
    pub fn admitted_at(&self) -> Timestamp {
        self.holdings
            .first()
            .map_or(Timestamp(0), |h| h.admitted_at)
    }
}

/// A place from which a module was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condemned {
    /// The binding in which it failed.
    pub binding: BindingId,
    /// The tenant whom that binding selects.
    pub party: Option<TenantId>,
}

/// Components by digest.
pub trait Modules: Send + Sync {
    /// Keeps a component durably; of one that is there already, who holds it and where it may not
    /// serve are replaced, and `bytes` are not looked at.
    ///
    /// # Errors
    /// When it is not on disk.
    fn put(&self, module: &StoredModule, bytes: &[u8]) -> Result<(), StoreError>;

    /// All, oldest admission first.
    ///
    /// # Errors
    /// When they cannot be read.
    fn list(&self) -> Result<Vec<StoredModule>, StoreError>;

    /// A component's bytes.
    ///
    /// # Errors
    /// When they cannot be read or fail their digest.
    fn bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError>;
}

/// What happened to versions: appended, and bounded by whoever appends.
pub trait Journal: Send + Sync {
    /// Writes steps durably, and in the same moment lets go of older ones, by their sequence.
    ///
    /// # Errors
    /// When it is not on disk; then none of it is.
    fn append(&self, steps: &[Step], forget: &[u64]) -> Result<(), StoreError>;

    /// All steps that are kept, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    fn steps(&self) -> Result<Vec<Step>, StoreError>;
}

/// What a module learned of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesState {
    /// Of which series.
    pub key: SeriesKey,
    /// By which module.
    pub module: Digest,
    /// Digest of the config, and of the step at which it was fitted.
    pub config: Digest,
    /// The module's number for the layout.
    pub format: u32,
    /// Shared by the cohort that was fitted together.
    pub model: Arc<[u8]>,
    /// Of this series alone.
    pub state: Vec<u8>,
    /// When it was fitted.
    pub fitted_at: Timestamp,
    /// End of the last step that the state has seen.
    pub seen: Timestamp,
    /// What stood in for a past when it was fitted; `None`: it learned from its own alone.
    pub prior: Option<Prior>,
}

/// Model states by (series, module).
pub trait States: Send + Sync {
    /// Keeps states durably, replacing those of the same (series, module, config).
    ///
    /// # Errors
    /// When they are not on disk.
    fn save(&self, states: &[SeriesState]) -> Result<(), StoreError>;

    /// All states.
    ///
    /// # Errors
    /// When they cannot be read.
    fn load(&self) -> Result<Vec<SeriesState>, StoreError>;

    /// Drops states durably; those that are not there are passed over.
    ///
    /// # Errors
    /// When it is not on disk; then some may be gone.
    fn forget(&self, fits: &[Fit]) -> Result<(), StoreError>;
}

/// What names a state, and a track: series, module, digest of the config and of the step.
pub type Fit = (SeriesKey, Digest, Digest);

/// What forecasts are judged by: a track per fit, and per series who answers. It is apart from
/// [`States`], because a state is written when it was fitted and a track when it has learned.
pub trait Tracks: Send + Sync {
    /// Keeps tracks and choices durably, replacing those of the same fit or series.
    ///
    /// # Errors
    /// When they are not on disk.
    fn save(&self, tracks: &[Track], choices: &[(SeriesKey, Choice)]) -> Result<(), StoreError>;

    /// All tracks and all choices, by series.
    ///
    /// # Errors
    /// When they cannot be read.
    fn load(&self) -> Result<Tracked, StoreError>;

    /// Drops tracks and choices durably; those that are not there are passed over.
    ///
    /// # Errors
    /// When it is not on disk; then some may be gone.
    fn forget(&self, fits: &[Fit], series: &[SeriesKey]) -> Result<(), StoreError>;
}

/// What a forecast was made from, written down before it was: from here on a replay moves the state and the
/// track on by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Anchor {
    /// Of which series.
    pub key: SeriesKey,
    /// Of which module.
    pub module: Digest,
    /// Digest of its config and of the step.
    pub config: Digest,
    /// The state, as it was before the cycle; the baseline has none.
    pub state: Option<SeriesState>,
    /// What its promises were worth by then; `None`: nothing is known of them.
    pub track: Option<Track>,
}

/// What a replay needs beside records and samples. It is kept for as long as the records that need it.
pub trait Replays: Send + Sync {
    /// Writes a record durably, with the anchors of forecasts that it names.
    ///
    /// # Errors
    /// As [`Ledger::append`].
    fn append_with(&self, record: &Record, anchors: &[Anchor]) -> Result<(), StoreError>;

    /// The anchors that were written with the record of a plan.
    ///
    /// # Errors
    /// When they cannot be read.
    fn anchors(&self, pool: &PoolId, generation: Generation) -> Result<Vec<Anchor>, StoreError>;

    /// Keeps what is declared, with its tables of zones and occurrences, and names it.
    ///
    /// # Errors
    /// When it is not on disk.
    fn keep_catalog(&self, catalog: &Catalog) -> Result<Digest, StoreError>;

    /// What was declared.
    ///
    /// # Errors
    /// When it cannot be read.
    fn kept_catalog(&self, digest: &Digest) -> Result<Option<Catalog>, StoreError>;

    /// The past as it was seen then: of each series what had moved it on until its `newest`, and of late
    /// samples those of batches up to `sequence`. Of a series that `newest` does not name, what is known
    /// now.
    fn as_of(&self, sequence: u64, newest: BTreeMap<SeriesKey, Timestamp>)
    -> Box<dyn History + '_>;
}

/// Everything that [`Tracks`] keeps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tracked {
    /// By series, module and config.
    pub tracks: Vec<Track>,
    /// By series.
    pub choices: Vec<(SeriesKey, Choice)>,
}

/// What is known of comparisons of versions while they go on, by name, in the layout of whoever compares.
pub trait Trials: Send + Sync {
    /// Keeps comparisons durably, replacing those of the same names, and drops others in the same moment;
    /// those that are not there are passed over. A name holds no NUL.
    ///
    /// # Errors
    /// When it is not on disk; then none of it is.
    fn keep(&self, trials: &[(String, Vec<u8>)], forget: &[String]) -> Result<(), StoreError>;

    /// All comparisons, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    fn kept(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;
}

/// The desired state.
pub trait CatalogStore: Send + Sync {
    /// The stored catalog; an empty one at first.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&self) -> Result<Catalog, StoreError>;

    /// Replaces it durably.
    ///
    /// # Errors
    /// When it is not on disk.
    fn save(&self, catalog: &Catalog) -> Result<(), StoreError> {
        self.save_with(catalog, &[], &[])
    }

    /// Replaces it durably, and in the same moment appends to the [`Journal`] and lets go of older steps of
    /// it, by their sequence: what is declared and who declared it are there both or not at all.
    ///
    /// # Errors
    /// When it is not on disk; then none of it is.
    fn save_with(
        &self,
        catalog: &Catalog,
        steps: &[Step],
        forget: &[u64],
    ) -> Result<(), StoreError>;
}

/// One directory with everything; what the daemon opens.
pub trait Storage:
    History + Ledger + Modules + Journal + States + Tracks + Trials + CatalogStore
{
}

impl<T: History + Ledger + Modules + Journal + States + Tracks + Trials + CatalogStore> Storage
    for T
{
}
