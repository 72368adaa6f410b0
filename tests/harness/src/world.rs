//! The world that the daemon would hold, without its locks: one thread turns it.
//!
//! Declared state, store, slots, what each pool's cycle carries, what stands and what happened. It
//! only keeps and tells; [`crate::drive`] moves it and [`crate::bind`] changes who decides.

use crate::broken::{Breakable, Breakage, Switch};
use crate::load::Load;
use crate::native::Native;
use crate::store::MemoryStore;
use crate::trials::Trials;
use crate::{DAY_ZERO, gate};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tidegate_core::alert::Alert;
use tidegate_core::catalog::{Catalog, Change, FieldProblem, Object, Tenant};
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{ApiId, BindingId, Digest, Generation, PoolId, TenantId};
use tidegate_core::module::ModuleRef;
use tidegate_core::plan::{Grant, Plan};
use tidegate_core::policy::{Allocator, Forecaster, Tierer};
use tidegate_core::ports::serve::SlotInfo;
use tidegate_core::ports::storage::{CatalogStore, StoreError};
use tidegate_core::record::Record;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_core::units::Signal;
use tidegate_engine::{Baselines, FaultLimit, Slots, SwapError};
use tidegate_flow::baseline::{BaseTier, FloorsFirst, LastValue, Wait};
use tidegate_flow::cycle::{PoolState, Settings};
use tidegate_flow::observe::Standing;
use tidegate_flow::shadow::Conclusion;

/// Why a world is not as it was asked to be.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// A text is no name.
    #[error("`{text}`: {problem}")]
    Name {
        /// The text.
        text: String,
        /// Why not.
        problem: String,
    },
    /// The catalog refuses a change.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Catalog(Vec<FieldProblem>),
    /// Something that was named is not there.
    #[error("there is no {0}")]
    Unknown(String),
    /// A slot refuses a module.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Something that happened, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: String,
}

/// A service that is asked for its load.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) load: Load,
    /// Cores per request/s.
    pub(crate) cost: f64,
    /// Start of the first step that was not sampled yet.
    pub(crate) next: Timestamp,
}

/// See the module.
#[derive(Debug)]
pub struct World {
    pub(crate) settings: Settings,
    /// Milliseconds between two fits of a series.
    pub(crate) refit_ms: i64,
    pub(crate) now: Timestamp,
    pub(crate) store: MemoryStore,
    pub(crate) catalog: Catalog,
    pub(crate) slots: Slots,
    pub(crate) natives: Vec<Native>,
    pub(crate) baselines: BTreeMap<String, Switch>,
    pub(crate) pools: BTreeMap<PoolId, PoolState>,
    pub(crate) feeds: BTreeMap<ApiId, Feed>,
    pub(crate) forecasts: BTreeMap<SeriesKey, Forecast>,
    pub(crate) standing: BTreeMap<PoolId, Standing>,
    pub(crate) journal: Vec<Note>,
    pub(crate) refusals: BTreeMap<(String, String), u64>,
    pub(crate) tried: BTreeMap<(SeriesKey, Digest), (Timestamp, Timestamp)>,
    pub(crate) trials: Trials,
    /// Since when the present version of a binding is watched.
    pub(crate) watched: BTreeMap<BindingId, Timestamp>,
    pub(crate) concluded: BTreeMap<BindingId, Conclusion>,
}

/// What a service costs where nothing else is said.
const COST: f64 = 0.01;

impl World {
    /// An empty world, so many days after [`DAY_ZERO`].
    #[must_use]
    pub fn new(settings: Settings, history_days: u32) -> Self {
        let (slots, baselines) = slots();
        Self {
            settings,
            refit_ms: 6 * 3_600_000,
            now: DAY_ZERO.plus_ms(i64::from(history_days) * 86_400_000),
            store: MemoryStore::default(),
            catalog: Catalog::default(),
            slots,
            natives: vec![],
            baselines,
            pools: BTreeMap::new(),
            feeds: BTreeMap::new(),
            forecasts: BTreeMap::new(),
            standing: BTreeMap::new(),
            journal: vec![],
            refusals: BTreeMap::new(),
            tried: BTreeMap::new(),
            trials: Trials::new(),
            watched: BTreeMap::new(),
            concluded: BTreeMap::new(),
        }
    }

    /// Creates or replaces objects, as a whole.
    ///
    /// # Errors
    /// Every problem that the catalog names.
    pub fn apply(&mut self, objects: impl IntoIterator<Item = Object>) -> Result<(), HarnessError> {
        let changes: Vec<Change> = objects
            .into_iter()
            .map(|object| Change::Put {
                object: Box::new(object),
                expect: None,
            })
            .collect();
        self.change(&changes)
    }

    /// Applies a change set, as a whole.
    ///
    /// # Errors
    /// Every problem that the catalog names.
    pub fn change(&mut self, changes: &[Change]) -> Result<(), HarnessError> {
        let (next, _) = self.catalog.apply(changes).map_err(HarnessError::Catalog)?;
        CatalogStore::save(&self.store, &next)?;
        self.catalog = next;
        Ok(())
    }

    /// Declares the tenants that are not there yet, with ample quotas.
    ///
    /// # Errors
    /// As [`World::apply`].
    pub fn declare_tenants(
        &mut self,
        ids: impl IntoIterator<Item = TenantId>,
    ) -> Result<(), HarnessError> {
        let ids: BTreeSet<TenantId> = ids.into_iter().collect();
        let new = ids
            .into_iter()
            .filter(|id| !self.catalog.tenants.contains_key(id));
        let objects: Vec<Object> = new
            .map(|id| {
                Object::Tenant(Tenant {
                    id,
                    max_series: 10_000,
                    max_samples_per_s: 100_000,
                    max_modules: 100,
                })
            })
            .collect();
        self.apply(objects)
    }

    /// Gives a service its load, with its cost in cores per request/s. What has not been sampled
    /// yet, from [`DAY_ZERO`] on, is filled up to now.
    ///
    /// # Errors
    /// When there is no such api.
    pub fn feed(&mut self, api: &ApiId, load: Load, cost: Option<f64>) -> Result<(), HarnessError> {
        if !self.catalog.apis.contains_key(api) {
            return Err(HarnessError::Unknown(format!("api `{api}`")));
        }
        match self.feeds.get_mut(api) {
            Some(feed) => {
                feed.load = load;
                feed.cost = cost.unwrap_or(feed.cost);
            }
            None => {
                let feed = Feed {
                    load,
                    cost: cost.unwrap_or(COST),
                    next: DAY_ZERO,
                };
                self.feeds.insert(api.clone(), feed);
            }
        }
        self.sample_until(self.now);
        Ok(())
    }

    /// The load of an api, to be changed and fed again.
    #[must_use]
    pub fn load(&self, api: &ApiId) -> Option<&Load> {
        self.feeds.get(api).map(|f| &f.load)
    }

    /// Breaks a module or one of the engine's own rules (`native:NAME`), or mends it with `None`.
    ///
    /// # Errors
    /// When there is no such module.
    pub fn set_breakage(
        &mut self,
        name: &str,
        breakage: Option<Breakage>,
    ) -> Result<(), HarnessError> {
        let switch = match self.baselines.get(name) {
            Some(switch) => switch,
            None => &self.module(name)?.switch,
        };
        switch.set(breakage);
        Ok(())
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// How cycles run.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is declared.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Everything that was stored.
    #[must_use]
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// The plan that was last published.
    #[must_use]
    pub fn plan(&self, pool: &str) -> Option<Arc<Plan>> {
        self.pools.get(&pool.parse().ok()?)?.last.clone()
    }

    /// Every record of a pool, oldest first.
    #[must_use]
    pub fn records(&self, pool: &PoolId) -> Vec<Record> {
        self.store.records(pool)
    }

    /// What an api may use now; `None` before its first plan.
    #[must_use]
    pub fn grant(&self, api: &ApiId) -> Option<Grant> {
        let pool = &self.catalog.apis.get(api)?.value.pool;
        self.pools.get(pool)?.last.as_ref()?.grant(api, self.now)
    }

    /// The newest forecast of an api's requests.
    #[must_use]
    pub fn forecast(&self, api: &ApiId) -> Option<&Forecast> {
        self.forecasts.get(&SeriesKey {
            api: api.clone(),
            signal: Signal::Requests,
        })
    }

    /// What stands, worst first.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        let mut all: Vec<Alert> = self.standing.values().flat_map(Standing::alerts).collect();
        all.sort_by(|a, b| {
            (b.severity, a.kind, &a.pool, &a.api).cmp(&(a.severity, b.kind, &b.pool, &b.api))
        });
        all
    }

    /// Who serves what.
    #[must_use]
    pub fn slots(&self) -> Vec<SlotInfo> {
        self.slots.info()
    }

    /// Modules that may not come back by themselves, everywhere or to a binding.
    #[must_use]
    pub fn quarantined(&self) -> Vec<ModuleRef> {
        let everywhere = self.slots.quarantined();
        let condemned = |m: &ModuleRef| {
            everywhere.contains(&m.digest) || !self.slots.condemned_at(m.digest).is_empty()
        };
        let mine = self.natives.iter().map(|n| n.module.clone());
        mine.filter(condemned).collect()
    }

    /// Answers that were not used, by module and by invariant or kind of error.
    #[must_use]
    pub fn refusals(&self) -> &BTreeMap<(String, String), u64> {
        &self.refusals
    }

    /// What happened, oldest first.
    #[must_use]
    pub fn journal(&self) -> &[Note] {
        &self.journal
    }

    /// The allocator that a plan names, be it a module or the engine's own rule.
    #[must_use]
    pub fn allocator(&self, module: &ModuleRef) -> Option<Arc<dyn Allocator>> {
        if *module == ModuleRef::native("floors-first") {
            return Some(Arc::new(FloorsFirst));
        }
        let native = self.natives.iter().find(|n| n.module == *module)?;
        match &native.policy {
            tidegate_engine::Policy::Allocator(policy) => Some(policy.clone()),
            _ => None,
        }
    }

    /// The tierer that a record names, be it a module or the engine's own rule.
    #[must_use]
    pub fn tierer(&self, module: &ModuleRef) -> Option<Arc<dyn Tierer>> {
        if *module == ModuleRef::native("base-tier") {
            return Some(Arc::new(BaseTier));
        }
        let native = self.natives.iter().find(|n| n.module == *module)?;
        match &native.policy {
            tidegate_engine::Policy::Tierer(policy) => Some(policy.clone()),
            _ => None,
        }
    }

    /// The forecaster that a record names, be it a module or the engine's own rule.
    #[must_use]
    pub fn forecaster(&self, module: &ModuleRef) -> Option<Arc<dyn Forecaster>> {
        if *module == ModuleRef::native("last-value") {
            return Some(Arc::new(LastValue));
        }
        let native = self.natives.iter().find(|n| n.module == *module)?;
        match &native.policy {
            tidegate_engine::Policy::Forecaster(policy) => Some(policy.clone()),
            _ => None,
        }
    }

    pub(crate) fn note(&mut self, text: String) {
        let at = self.now;
        self.journal.push(Note { at, text });
    }

    /// The newest generation of a pool.
    #[must_use]
    pub fn generation(&self, pool: &str) -> Generation {
        self.plan(pool).map(|p| p.generation).unwrap_or_default()
    }
}

/// Empty slots over breakable baselines.
pub(crate) fn slots() -> (Slots, BTreeMap<String, Switch>) {
    let mut switches = BTreeMap::new();
    let mut named = |name: &str| {
        let switch = Switch::default();
        let module = ModuleRef::native(name);
        switches.insert(module.name.clone(), switch.clone());
        (module, switch)
    };
    let (forecaster, f) = named("last-value");
    let (tierer, t) = named("base-tier");
    let (allocator, a) = named("floors-first");
    let f: Arc<dyn Forecaster> = Arc::new(Breakable::<dyn Forecaster>::new(Arc::new(LastValue), f));
    let t: Arc<dyn Tierer> = Arc::new(Breakable::<dyn Tierer>::new(Arc::new(BaseTier), t));
    let a: Arc<dyn Allocator> = Arc::new(Breakable::<dyn Allocator>::new(Arc::new(FloorsFirst), a));
    let baselines = Baselines {
        forecaster: (forecaster, f),
        tierer: (tierer, t),
        allocator: (allocator, a),
        judge: (ModuleRef::native("wait"), Arc::new(Wait)),
    };
    (Slots::new(baselines, FaultLimit::default()), switches)
}

impl Default for World {
    fn default() -> Self {
        Self::new(gate::settings(), 2)
    }
}
