//! What the daemon offers to its servers: one trait per service of `tidegate.v1`.
//!
//! Implementations authorise (the principal is an argument) and are synchronous; a server calls
//! them from where it may block. They never see the wire.

use super::events::EventsPort;
use super::health::StoreHealth;
pub use super::policies::{
    Comparison, ModuleDetail, ModuleInfo, PoliciesPort, ShadowStanding, SlotInfo, TrialsPort,
};
use crate::access::Principal;
use crate::alert::Alert;
use crate::catalog::{
    Change, Effect, FieldProblem, Mode, Object, ObjectKey, ObjectKind, Versioned,
};
use crate::forecast::{Champion, Forecast, Prior, Standing, Standings};
use crate::ids::{ApiId, Digest, Generation, Name, PoolId, TenantId};
use crate::plan::{Grant, Plan};
use crate::quota::{Exceeded, Usage};
use crate::sample::{Rejection, SampleBatch, Stored};
use crate::time::Timestamp;
use crate::units::{Level, Resources, Signal};
use std::sync::Arc;

/// Why a request was refused, in terms that every protocol has a word for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ServeError {
    /// The request is wrong; every problem at once.
    #[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid {
        /// What is wrong where.
        problems: Vec<FieldProblem>,
    },
    /// It does not exist, or the caller may not know that it does.
    #[error("{what} was not found; {remedy}")]
    NotFound {
        /// What.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// The caller may not.
    #[error("{0}")]
    Denied(String),
    /// The state of the world does not allow it now.
    #[error("{0}")]
    Precondition(String),
    /// A quota of a tenant is used up.
    #[error("{0}")]
    Quota(Exceeded),
    /// Too much at once.
    #[error("{what}; retry in {retry_ms} ms")]
    Exhausted {
        /// What ran out.
        what: String,
        /// Milliseconds.
        retry_ms: u64,
    },
    /// Ours, passing.
    #[error("{0}")]
    Unavailable(String),
    /// Not served yet.
    #[error("{0}")]
    Unimplemented(String),
}

impl ServeError {
    /// One problem of one field.
    #[must_use]
    pub fn field(
        object: impl Into<String>,
        field: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        let problem = FieldProblem {
            object: object.into(),
            field: field.into(),
            problem: problem.into(),
        };
        ServeError::Invalid {
            problems: vec![problem],
        }
    }
}

/// Called once with the outcome of a batch, from any thread; it must not block.
pub type Acked = Box<dyn FnOnce(Result<(Stored, Vec<Rejection>), ServeError>) + Send>;

/// Samples in.
pub trait IngestPort: Send + Sync {
    /// Admits a batch and stores what was admitted; `done` hears when it is durable.
    fn ingest(&self, caller: &Principal, batch: SampleBatch, done: Acked);
}

/// The catalog.
pub trait CatalogPort: Send + Sync {
    /// Applies a change set as a whole; a dry run checks and changes nothing.
    ///
    /// # Errors
    /// Every problem at once.
    fn apply(
        &self,
        caller: &Principal,
        changes: Vec<Change>,
        run: Run,
    ) -> Result<Applied, ServeError>;

    /// One object.
    ///
    /// # Errors
    /// When it is not there or not the caller's.
    fn get(&self, caller: &Principal, key: &ObjectKey) -> Result<Versioned<Object>, ServeError>;

    /// Objects that the caller may see, ascending by name.
    ///
    /// # Errors
    /// When the caller may not list this kind.
    fn list(
        &self,
        caller: &Principal,
        kind: ObjectKind,
    ) -> Result<Vec<Versioned<Object>>, ServeError>;

    /// What a tenant uses of its quotas; `None` where the caller may not know of it.
    fn usage(&self, caller: &Principal, tenant: &TenantId) -> Option<Usage>;
}

/// Whether a change is for real.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Do it.
    Real,
    /// Say what would happen.
    Dry,
}

/// What a change set did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The catalog's generation afterwards.
    pub generation: Generation,
    /// Per change.
    pub effects: Vec<(ObjectKey, Effect)>,
}

/// How a series is doing, for `forecast --why`.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastView {
    /// The forecast.
    pub forecast: Forecast,
    /// Recent history on the same step: `(start of the first, values)`, NaN where missing.
    pub recent: (Timestamp, Vec<f64>),
    /// When the state was fitted; the epoch for a native baseline.
    pub fitted_at: Timestamp,
    /// What stood in for a past when the state was fitted.
    pub prior: Option<Prior>,
    /// How its maker's forecasts have fared so far, nearest band first.
    pub measured: Vec<Standing>,
}

/// Forecasts.
pub trait ForecastsPort: Send + Sync {
    /// Forecasts a series now. `steps` of 0 takes the configured horizon, no levels the standard
    /// ones.
    ///
    /// # Errors
    /// When there is no such api, no data, or too long a horizon.
    fn forecast(
        &self,
        caller: &Principal,
        api: &ApiId,
        signal: Signal,
        steps: u32,
        levels: &[Level],
    ) -> Result<ForecastView, ServeError>;

    /// Who forecasts a series, how well by what came, and who was chosen to answer.
    ///
    /// # Errors
    /// When there is no such api.
    fn standings(
        &self,
        caller: &Principal,
        api: &ApiId,
        signal: Signal,
    ) -> Result<Standings, ServeError>;

    /// Who answers for the series of these apis, beside seasonal-naive, ascending by series; without
    /// those of which no forecast was held against what came, and without what is not the caller's.
    fn champions(&self, caller: &Principal, apis: &[ApiId]) -> Vec<Champion>;
}

/// A grant, and whether it binds anybody.
#[derive(Debug, Clone, PartialEq)]
pub struct Allowance {
    /// The grant as it was planned.
    pub grant: Grant,
    /// What Tidegate may do with the api: only in [`Mode::Enforce`] is the grant in force. In any
    /// other mode it is advice, and the api may use what it needs.
    pub mode: Mode,
}

/// Why an api has the grant that it has.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The grant.
    pub grant: Grant,
    /// What Tidegate may do with the api now.
    pub mode: Mode,
    /// Sentences from load to number.
    pub sentences: Vec<String>,
    /// The plan's inputs, for the record.
    pub inputs: Digest,
}

/// What an enforcer says it did.
#[derive(Debug, Clone, PartialEq)]
pub struct AppliedReport {
    /// For which api.
    pub api: ApiId,
    /// Which plan.
    pub generation: Generation,
    /// When, on the data's clock.
    pub at: Timestamp,
    /// By whom: `envoy-1`, `demo`.
    pub actuator: String,
    /// What is in force there now.
    pub limit: Resources,
    /// Whether it fell back to safe capacity.
    pub safe: bool,
}

/// Plans.
pub trait PlansPort: Send + Sync {
    /// A plan by generation, or the newest.
    ///
    /// # Errors
    /// When there is none, or the caller may see none of its apis.
    fn plan(
        &self,
        caller: &Principal,
        pool: &PoolId,
        generation: Option<Generation>,
    ) -> Result<Arc<Plan>, ServeError>;

    /// Pools that the caller may see, with their newest generation.
    fn pools(&self, caller: &Principal) -> Vec<(PoolId, Generation)>;

    /// The newest generation of a pool, 0 before its first plan; `None` of one that the caller may not
    /// see. Every watcher asks at every plan of any pool, so that an answer should not look at all pools.
    fn newest(&self, caller: &Principal, pool: &PoolId) -> Option<Generation> {
        let mut pools = self.pools(caller).into_iter();
        pools.find_map(|(id, newest)| (id == *pool).then_some(newest))
    }

    /// What an api may use now.
    ///
    /// # Errors
    /// When there is no such api; an api without a plan gets its safe capacity.
    fn grant(&self, caller: &Principal, api: &ApiId) -> Result<Allowance, ServeError>;

    /// What Tidegate may do with an api now, as declared; [`Mode::Observe`] where it is not declared
    /// any more.
    fn mode(&self, api: &ApiId) -> Mode;

    /// Why, now or at an instant.
    ///
    /// # Errors
    /// When there is no such api or no plan at that time.
    fn explain(
        &self,
        caller: &Principal,
        api: &ApiId,
        at: Option<Timestamp>,
    ) -> Result<Explanation, ServeError>;

    /// Notes what an enforcer applied.
    ///
    /// # Errors
    /// When there is no such api, or the generation was never published.
    fn report_applied(&self, caller: &Principal, report: AppliedReport) -> Result<(), ServeError>;

    /// The last report per api and actuator.
    fn applied(&self, caller: &Principal) -> Vec<AppliedReport>;
}

/// Alerts.
pub trait AlertsPort: Send + Sync {
    /// Alerts that stand now, worst first.
    fn alerts(&self, caller: &Principal) -> Vec<Alert>;
}

/// What is kept of a pool's decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRecords {
    /// Whose.
    pub pool: PoolId,
    /// Oldest and newest plan whose record is there.
    pub plans: (Generation, Generation),
    /// When the oldest was made.
    pub since: Timestamp,
    /// Bytes that they take, with what replays set out from; of records from before sizes were kept, none.
    pub bytes: u64,
}

/// How the daemon fares, as far as the caller may see.
#[derive(Debug, Clone, PartialEq)]
pub struct Fares {
    /// The daemon's version.
    pub version: String,
    /// When it started, by the machine's clock.
    pub started_at: Timestamp,
    /// How the store fares; everybody's, so told to callers of no tenant alone.
    pub store: Option<StoreHealth>,
    /// What is kept of every pool's decisions; told likewise.
    pub ledger: Vec<KeptRecords>,
    /// Apis that are declared.
    pub apis: u64,
    /// Series that exist.
    pub series: u64,
    /// Modules that may be bound.
    pub modules: u64,
    /// Who answers for each series ([`ForecastsPort::champions`]).
    pub champions: Vec<Champion>,
}

/// The daemon itself.
pub trait StatusPort: Send + Sync {
    /// How it fares.
    ///
    /// # Errors
    /// When the store cannot be measured.
    fn fares(&self, caller: &Principal) -> Result<Fares, ServeError>;

    /// Copies the store to a new place of that name, as it is at one instant: where that is, and its bytes. It
    /// takes as long as the disk does; where nobody waits by then, the copy is removed.
    ///
    /// # Errors
    /// When the caller may not, there is such a copy, or the disk does not take it.
    fn copy_store(
        &self,
        caller: &Principal,
        name: &Name,
        extent: Extent,
        waits: &dyn Fn() -> bool,
    ) -> Result<(String, u64), ServeError>;

    /// What the store holds. It reads all of it once.
    ///
    /// # Errors
    /// When the caller may not, or it cannot be read.
    fn survey_store(&self, caller: &Principal) -> Result<Holds, ServeError>;
}

/// How much of the store is copied, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What a replay needs, as a store in a directory.
    Replay,
    /// All of it, as one file.
    Whole,
}

/// What the store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holds {
    /// Bytes of its files.
    pub disk_bytes: u64,
    /// Series with samples.
    pub series: u64,
    /// Samples that are not in blocks yet.
    pub head_samples: u64,
    /// Samples in sealed blocks.
    pub sealed_samples: u64,
    /// Sealed blocks, and their bytes.
    pub blocks: (u64, u64),
    /// Write-ahead records, and their bytes.
    pub wal: (u64, u64),
    /// Records of the ledger, and their bytes.
    pub ledger: (u64, u64),
    /// Begin of the oldest sample and end of the newest.
    pub span: Option<(Timestamp, Timestamp)>,
    /// What is at hand.
    pub health: StoreHealth,
    /// By kind of value: its name, values, their bytes.
    pub kinds: Vec<(String, u64, u64)>,
}

/// The data's clock.
pub trait ClockPort: Send + Sync {
    /// The time of the data now.
    fn now(&self) -> Timestamp;

    /// Moves a driven clock forward, runs every cycle that became due, and tells the time then.
    ///
    /// # Errors
    /// A precondition, when the clock is the machine's own, or would go back.
    fn advance(&self, caller: &Principal, now: Timestamp) -> Result<Timestamp, ServeError>;
}

/// Everything that the daemon serves.
pub trait Gate:
    IngestPort
    + CatalogPort
    + EventsPort
    + PoliciesPort
    + ForecastsPort
    + PlansPort
    + AlertsPort
    + StatusPort
    + ClockPort
{
}

impl<T> Gate for T where
    T: IngestPort
        + CatalogPort
        + EventsPort
        + PoliciesPort
        + ForecastsPort
        + PlansPort
        + AlertsPort
        + StatusPort
        + ClockPort
{
}
