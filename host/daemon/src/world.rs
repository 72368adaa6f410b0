//! Everything that the daemon's parts share, and nothing that only one of them needs.
//!
//! Locks are held for moments and never two at a time, except that a pool's state is held through
//! its cycle: that is what makes a pool's decisions sequential. Readers of plans and of the catalog
//! never wait, because both are immutable values behind an atomic pointer.

use crate::alarms::Alarms;
use crate::clock::Clock;
use crate::driver::{Fits, Fitter};
use crate::keeper::{self, Keeper};
use crate::plans::Plans;
use crate::policies::Policies;
use crate::together::{cores, side_by_side};
use crate::trials::OnTrial;
use crate::upkeep::Upkept;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tidegate_core::catalog::{Catalog, Change, Object};
use tidegate_core::ids::{ApiId, BindingId, Digest, PoolId, TenantId};
use tidegate_core::life::Step;
use tidegate_core::module::{ModuleKind, ModuleRef};
use tidegate_core::plan::Plan;
use tidegate_core::ports::serve::AppliedReport;
use tidegate_core::ports::storage::{CatalogStore, Ledger, Replays, StoreError};
use tidegate_core::quota::Exceeded;
use tidegate_core::roster::Fault;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_engine::{By, Swapped};
use tidegate_flow::cycle::{PoolState, Settings};
use tidegate_flow::ingest::Meter;
use tidegate_store::Store;
use tidegate_telemetry::{Metrics, SwapOutcome, TraceHandoff};
use tokio::sync::watch;

/// See the module.
#[derive(Debug)]
pub(crate) struct World {
    /// When it was opened, by the machine's clock.
    pub(crate) started_at: Timestamp,
    /// Whose time counts.
    pub(crate) clock: Clock,
    /// How cycles run.
    pub(crate) settings: Settings,
    /// Milliseconds between two fits of a series.
    pub(crate) refit_ms: i64,
    /// Where everything is kept.
    pub(crate) store: Arc<Store>,
    /// Modules and slots.
    pub(crate) policies: Policies,
    /// What is declared.
    pub(crate) catalog: ArcSwap<Catalog>,
    /// Serialises writers of the catalog.
    pub(crate) catalog_writer: Mutex<()>,
    /// What was last kept for replays of what is declared, and its name.
    declared: Mutex<Option<(Arc<Catalog>, Digest)>>,
    /// Newest plan per pool.
    pub(crate) plans: Plans,
    /// Woken whenever a plan was published, or an alert or the catalog changed; carries nothing that
    /// matters.
    pub(crate) published: watch::Sender<u64>,
    /// What the cycles carry, per pool.
    pools: Mutex<BTreeMap<PoolId, Arc<Mutex<PoolState>>>>,
    /// Held by whoever moves a driven clock: its cycles run one after the other, in time order.
    pub(crate) advancing: Mutex<()>,
    /// Whether the daemon drains: a long advance then ends at the step that it has reached.
    pub(crate) draining: AtomicBool,
    /// What stands, per pool.
    pub(crate) alerts: Mutex<Alarms>,
    /// Rates, per tenant.
    pub(crate) meter: Mutex<Meter>,
    /// What enforcers reported last.
    pub(crate) applied: Mutex<BTreeMap<(ApiId, String), AppliedReport>>,
    /// Number of series per tenant, and which exist.
    pub(crate) known: Mutex<Known>,
    /// What a driven clock's fits have tried.
    pub(crate) fitter: Mutex<Fitter>,
    /// Fits that run, and what they may take.
    pub(crate) fits: Fits,
    /// When unneeded states were looked for.
    pub(crate) keeper: Mutex<Keeper>,
    /// Versions that are compared.
    pub(crate) trials: OnTrial,
    /// What is known of the store's upkeep.
    pub(crate) upkeep: Mutex<Upkept>,
    /// Instruments.
    pub(crate) metrics: Metrics,
    /// Whose samples a cycle answers.
    pub(crate) handoff: TraceHandoff<PoolId>,
}

/// Series that exist.
#[derive(Debug, Default)]
pub(crate) struct Known {
    series: std::collections::BTreeSet<SeriesKey>,
    counts: BTreeMap<TenantId, u64>,
}

impl Known {
    /// Notes a series.
    pub(crate) fn add(&mut self, key: SeriesKey) {
        let tenant = key.api.tenant.clone();
        if self.series.insert(key) {
            *self.counts.entry(tenant).or_default() += 1;
        }
    }
}

impl tidegate_flow::ingest::Known for Known {
    fn has(&self, key: &SeriesKey) -> bool {
        self.series.contains(key)
    }

    fn count(&self, tenant: &TenantId) -> u64 {
        self.counts.get(tenant).copied().unwrap_or(0)
    }
}

/// A lock whose holder panicked holds data that is still whole: every writer below replaces whole
/// values. So poison is passed over rather than spread to every later caller.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a pool's cycle carries after its last record.
fn resumed(store: &Store, pool: &PoolId) -> Result<PoolState, StoreError> {
    let record = match store.last(pool) {
        Some(generation) => store.whole(pool, generation)?,
        None => None,
    };
    Ok(PoolState::resume(record))
}

/// Of every pool: records are large, so that the cores share them.
fn all_resumed(
    store: &Store,
    catalog: &Catalog,
) -> Result<BTreeMap<PoolId, PoolState>, StoreError> {
    let done = Mutex::new(vec![]);
    let pools: Vec<&PoolId> = catalog.pools.keys().collect();
    side_by_side(cores(), &pools, |&pool| {
        let state = resumed(store, pool);
        lock(&done).push(state.map(|state| (pool.clone(), state)));
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_iter().collect()
}

impl World {
    /// Opens the world as the store left it.
    pub(crate) fn open(
        clock: Clock,
        settings: Settings,
        refit_ms: i64,
        store: Arc<Store>,
        policies: Policies,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        let mut catalog = CatalogStore::load(&*store)?;
        catalog.zones = crate::zones::zones(&catalog);
        catalog.recurring = crate::recur::occurrences(&catalog, &Catalog::default(), clock.now());
        catalog.compact();
        let pools = all_resumed(&store, &catalog)?;
        let plans: Plans = pools.values().filter_map(|s| s.last.clone()).collect();
        let pools = pools.into_iter();
        let pools = pools.map(|(pool, state)| (pool, Arc::new(Mutex::new(state))));
        let mut known = Known::default();
        tidegate_core::ports::storage::History::series(&*store)
            .into_iter()
            .for_each(|k| known.add(k));
        let world = Self {
            started_at: crate::clock::wall(),
            clock,
            settings,
            refit_ms,
            store,
            policies,
            catalog: ArcSwap::from_pointee(catalog),
            catalog_writer: Mutex::new(()),
            declared: Mutex::default(),
            plans,
            published: watch::channel(0).0,
            pools: Mutex::new(pools.collect()),
            advancing: Mutex::default(),
            draining: AtomicBool::new(false),
            alerts: Mutex::default(),
            meter: Mutex::default(),
            applied: Mutex::default(),
            known: Mutex::new(known),
            fitter: Mutex::default(),
            fits: crate::config::Config::default().fits(),
            keeper: Mutex::default(),
            trials: OnTrial::default(),
            upkeep: Mutex::default(),
            metrics,
            handoff: TraceHandoff::new(),
        };
        keeper::restore(&world)?;
        Ok(world)
    }

    /// What a pool's cycle carries. One that was declared before, and deleted, goes on after its
    /// last plan (PL1).
    pub(crate) fn pool(&self, pool: &PoolId) -> Arc<Mutex<PoolState>> {
        let fresh = || {
            let state = resumed(&self.store, pool).unwrap_or_else(|error| {
                tracing::error!(pool = %pool, error = %error, "the pool's last record cannot be read");
                PoolState::default()
            });
            Arc::new(Mutex::new(state))
        };
        let mut pools = lock(&self.pools);
        pools.entry(pool.clone()).or_insert_with(fresh).clone()
    }

    /// Lets go of what belongs to pools that are no longer declared: an alert about one would stand
    /// for ever. Their records stay.
    pub(crate) fn forget_pools(&self) {
        let mut pools = lock(&self.pools);
        let catalog = self.catalog.load();
        if pools.keys().all(|pool| catalog.pools.contains_key(pool)) {
            return;
        }
        pools.retain(|pool, _| catalog.pools.contains_key(pool));
        drop(pools);
        let stays = |pool: &PoolId| catalog.pools.contains_key(pool);
        lock(&self.alerts).retain(stays);
        self.plans.retain(stays);
        self.wake();
    }

    /// Takes what is known of apis that were moved to another pool along: their tiers (TI1) and
    /// their fitted states. Must not be called with the catalog's lock held: a cycle, which holds
    /// its pool, may wait for that.
    pub(crate) fn move_apis(&self, before: &Catalog, after: &Catalog) {
        for (id, api) in &after.apis {
            let Some(old) = before.apis.get(id).map(|a| &a.value.pool) else {
                continue;
            };
            if *old != api.value.pool {
                let parting = lock(&self.pool(old)).release(id);
                lock(&self.pool(&api.value.pool)).receive(parting);
            }
        }
    }

    /// The clock against which samples may not lie ahead. A replay's feed is what drives the clock,
    /// so it is always ahead of it.
    pub(crate) fn clock_for_feed(&self) -> Timestamp {
        match self.clock {
            Clock::System => self.clock.now(),
            Clock::Driven(_) => Timestamp(i64::MAX / 2),
        }
    }

    /// Keeps what is declared where replays find it, and names it; `None` where the disk does not take it: then
    /// plans go on, and a replay says that it is missing.
    pub(crate) fn declared(&self, catalog: &Arc<Catalog>) -> Option<Digest> {
        let mut declared = lock(&self.declared);
        if let Some((kept, digest)) = &*declared
            && Arc::ptr_eq(kept, catalog)
        {
            return Some(*digest);
        }
        match self.store.keep_catalog(catalog) {
            Ok(digest) => {
                *declared = Some((catalog.clone(), digest));
                Some(digest)
            }
            Err(error) => {
                tracing::error!(error = %error, "what is declared could not be kept for replays");
                None
            }
        }
    }

    /// Makes the slots serve what the catalog says, and says what was swapped.
    /// For the binding that a person named, a quarantine is lifted as far as its word reaches (RB1).
    pub(crate) fn follow_bindings(&self, named: Option<(&BindingId, By)>) {
        for change in self.policies.follow(&self.catalog.load(), named) {
            match change {
                Ok((kind, swapped)) => self.note_swap(kind, &swapped, SwapOutcome::Promoted),
                Err(problem) => tracing::error!("{problem}; the slot stays as it is"),
            }
        }
    }

    pub(crate) fn note_swap(&self, kind: ModuleKind, swapped: &Swapped, outcome: SwapOutcome) {
        self.metrics.swapped(kind.name(), outcome);
        if let Some(from) = &swapped.from {
            lock(&self.keeper).leave(from.digest, self.clock.now());
        }
        let name = |m: &Option<ModuleRef>| {
            m.as_ref()
                .map_or_else(|| "the baseline".to_owned(), ToString::to_string)
        };
        tracing::info!(
            binding = %swapped.binding, epoch = swapped.epoch,
            "{} now serves, before it {}", name(&swapped.to), name(&swapped.from)
        );
    }

    /// Draws the consequences of faults: a module that failed too often is rolled back and
    /// quarantined, and the catalog says so from then on.
    pub(crate) fn report_faults(&self, faults: &[Fault]) {
        let done = self.policies.report_faults(faults);
        if done.is_empty() {
            return;
        }
        // The flag before the catalog: after a crash between the two, nothing may bring it back.
        if let Err(error) = self.keep_quarantine() {
            tracing::error!(error = %error, "the quarantine could not be written; it holds until the next start");
        }
        for rolled in &done {
            let steps = crate::life::after_faults(self, rolled);
            tracing::error!(
                binding = %rolled.swap.binding, quarantined = %rolled.quarantined, reach = ?rolled.reach, faults = rolled.faults,
                "rolled back after repeated faults: {}", rolled.cause
            );
            self.settle(&rolled.swap, steps);
        }
    }

    /// Writes down which modules may not serve, and where.
    pub(crate) fn keep_quarantine(&self) -> Result<(), StoreError> {
        let catalog = self.catalog.load();
        self.policies.keep_quarantine(|id| {
            let binding = catalog.bindings.get(id)?;
            binding.value.selector.tenant.clone()
        })
    }

    /// After a slot went back by itself: the catalog follows, durably, with the steps that tell of it.
    pub(crate) fn settle(&self, swap: &Swapped, steps: Vec<Step>) {
        let journal = &self.policies.journal;
        let Some(to) = &swap.to else {
            // The baseline serves, which no binding can name. Who binds the module again by word
            // must find the slot open, not think that it serves already.
            self.policies.forget(&swap.binding);
            return journal.write(steps);
        };
        let _writer = lock(&self.catalog_writer);
        let catalog = self.catalog.load_full();
        let Some(stands) = catalog.bindings.get(&swap.binding) else {
            return journal.write(steps);
        };
        self.note_swap(stands.value.kind, swap, SwapOutcome::RolledBack);
        let (module, config) = self
            .policies
            .serving(&swap.binding)
            .unwrap_or_else(|| (to.clone(), stands.value.config.clone()));
        let module_text = format!("{}@{}", module.name, module.digest.short());
        // What stood beside it as this very version does so no more.
        let binding = stands.value.served_by(module_text, config.clone());
        let change = Change::Put {
            object: Box::new(Object::Binding(binding)),
            expect: None,
        };
        match catalog.apply(&[change]) {
            Ok((next, _)) => {
                if let Err(error) = journal.write_with(&next, steps.clone()) {
                    tracing::error!(error = %error, "the rollback could not be written to the catalog");
                    journal.write(steps);
                }
                self.policies
                    .note_served(&swap.binding, module.digest, &config);
                self.catalog.store(Arc::new(next));
            }
            Err(problems) => {
                tracing::error!(?problems, "the rollback does not fit the catalog");
                journal.write(steps);
            }
        }
    }

    /// Makes a plan the newest of its pool and wakes the watchers.
    pub(crate) fn publish(&self, plan: &Arc<Plan>) {
        self.metrics
            .published(plan.pool.as_str(), plan.generation.0);
        self.plans.put(plan);
        self.wake();
    }

    /// Wakes everybody who watches plans or alerts.
    pub(crate) fn wake(&self) {
        self.published.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Counts what a quota refused: `count` samples or pushes.
    pub(crate) fn exceeded(&self, exceeded: &Exceeded, count: u64) {
        let Exceeded { tenant, quota, .. } = exceeded;
        self.metrics
            .over_quota(tenant.as_str(), quota.name(), count);
        tracing::warn!(tenant = %tenant, quota = quota.field(), refused = count, "{exceeded}");
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{api, gate, pool, tenant};
    use tidegate_core::ids::{Generation, PoolId};
    use tidegate_core::ports::storage::Ledger;
    use tidegate_core::tier::{Tier, TierState};
    use tidegate_core::time::Timestamp;

    #[test]
    fn a_pool_that_is_declared_again_goes_on_after_its_last_plan() {
        let dir = tempfile::tempdir().unwrap();
        let (edge, objects) = ("edge".parse::<PoolId>().unwrap(), || {
            vec![pool("edge"), api("shop/orders", "edge")]
        });
        let first = gate(dir.path());
        first.put(vec![tenant("shop")]);
        first.put(objects());
        first.to(1);
        assert_eq!(first.world.store.last(&edge), Some(Generation(1)));
        first.delete(&objects());
        first.world.store.close();
        drop(first);

        let second = gate(dir.path());
        second.put(objects());
        second.to(1);
        assert_eq!(second.world.store.last(&edge), Some(Generation(2)));
    }

    #[test]
    fn an_alert_about_a_deleted_pool_does_not_stand_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        let objects = [pool("edge"), api("shop/orders", "edge")];
        gate.put(vec![tenant("shop")]);
        gate.put(objects.to_vec());
        gate.to(1);
        assert_eq!(gate.world.alerts().len(), 1, "nobody feeds the api");
        gate.delete(&objects);
        gate.to(2);
        assert!(gate.world.alerts().is_empty());
        assert_eq!(gate.world.plans.len(), 0);
    }

    #[test]
    fn an_api_that_moves_to_another_pool_keeps_its_tier() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        gate.put(vec![tenant("shop"), pool("a"), pool("b")]);
        gate.put(vec![api("shop/orders", "a")]);
        let gold = TierState {
            tier: Tier::Gold,
            since: Timestamp(0),
        };
        let (from, to) = ("a".parse().unwrap(), "b".parse().unwrap());
        let orders = "shop/orders".parse().unwrap();
        super::lock(&gate.world.pool(&from))
            .tiers
            .insert(orders, gold);
        gate.put(vec![api("shop/orders", "b")]);
        let orders = "shop/orders".parse().unwrap();
        assert!(super::lock(&gate.world.pool(&from)).tiers.is_empty());
        let there = gate.world.pool(&to);
        assert_eq!(super::lock(&there).tiers.get(&orders), Some(&gold));
    }
}
