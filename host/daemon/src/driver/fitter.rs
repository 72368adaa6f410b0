//! Fits series in the background: those that have no state for who serves them, and those whose
//! state is old.
//!
//! Tenants take turns, a batch each, so that a tenant with many series cannot keep another's from
//! being fitted. A fit that fails is not tried again before the refit interval or new data of its
//! own weight (a doubling), so that a series that is too short costs little.

use super::cycle::note_faults;
use crate::world::{World, lock};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::{BindingId, Digest, TenantId};
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::storage::{History, States, StoreError};
use tidegate_core::roster::{Member, Retreat};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_core::units::Signal;
use tidegate_flow::cycle::Pins as _;
use tidegate_flow::forecast::{FitInput, fit, fitted_with};
use tidegate_runtime::{Stop, Wake};

/// Series of one call: enough to share a call's cost, few enough that a failure is cheap.
const BATCH: usize = 16;

/// One batch to fit.
struct Job {
    keys: Vec<SeriesKey>,
    member: Member<dyn Forecaster>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Fitter {
    /// When a series was last tried by a module with a config, and how much history it had then.
    tried: BTreeMap<(SeriesKey, Digest, Digest), (Timestamp, i64)>,
}

impl Fitter {
    /// Fits by the machine's clock until it is asked to stop.
    pub(crate) fn run(
        world: &Arc<World>,
        every: Duration,
        stop: &Stop,
    ) -> Result<(), anyhow::Error> {
        let mut fitter = Self::default();
        loop {
            if matches!(world.clock, crate::clock::Clock::System) {
                let now = world.clock.now();
                for job in fitter.due(world, now) {
                    if stop.is_requested() {
                        return Ok(());
                    }
                    fit_job(world, now, &job);
                }
            }
            if stop.sleep_blocking(every) == Wake::Stop {
                return Ok(());
            }
        }
    }

    /// Fits everything that is due at `now`, synchronously: a driven clock waits for its fits, so
    /// that a replay gives the same plans however fast it runs.
    pub(crate) fn catch_up(world: &Arc<World>, now: Timestamp) {
        let mut fitter = lock(&world.fitter);
        for job in fitter.due(world, now) {
            fit_job(world, now, &job);
        }
    }

    /// What is due, tenants in turn.
    fn due(&mut self, world: &World, now: Timestamp) -> Vec<Job> {
        let catalog = world.catalog.load_full();
        let pins = world.policies.pin();
        // What was tried longer ago, or after the clock stepped back "later", keeps nobody waiting.
        self.tried
            .retain(|_, (at, _)| (0..world.refit_ms).contains(&now.since_ms(*at)));
        let mut queues: BTreeMap<TenantId, VecDeque<Job>> = BTreeMap::new();
        for (key, member) in wanted(world, &catalog, |api, signal| {
            pins.forecaster(api, signal).members
        }) {
            let config = fitted_with(&member.config, world.settings.step);
            let pool = &catalog.apis[&key.api].value.pool;
            let fitted = lock(&world.pool(pool))
                .bank
                .get(&key, member.module.digest, config)
                .map(|s| s.fitted_at);
            let fresh = fitted.is_some_and(|at| (0..world.refit_ms).contains(&now.since_ms(at)));
            let length = world.store.newest(&key).map_or(0, |t| t.0);
            let tried = (key.clone(), member.module.digest, config);
            if fresh || self.recently_tried(world, &tried, now, length) {
                continue;
            }
            self.tried.insert(tried, (now, length));
            let queue = queues.entry(key.api.tenant.clone()).or_default();
            match queue.back_mut() {
                Some(job) if same(&job.member, &member) && job.keys.len() < BATCH => {
                    job.keys.push(key)
                }
                _ => queue.push_back(Job {
                    keys: vec![key],
                    member,
                }),
            }
        }
        let mut jobs = vec![];
        while queues.values().any(|q| !q.is_empty()) {
            jobs.extend(queues.values_mut().filter_map(VecDeque::pop_front));
        }
        jobs
    }

    /// Whether a fit was tried a short while ago: within the refit interval, or within a tenth of
    /// it where there is no state yet (history grows, and with it the chance).
    fn recently_tried(
        &self,
        world: &World,
        tried: &(SeriesKey, Digest, Digest),
        now: Timestamp,
        length: i64,
    ) -> bool {
        self.tried.get(tried).is_some_and(|(at, then)| {
            let waited = now.since_ms(*at);
            waited < world.refit_ms / 10 || (*then == length && waited < world.refit_ms)
        })
    }
}

fn same(a: &Member<dyn Forecaster>, b: &Member<dyn Forecaster>) -> bool {
    a.module.digest == b.module.digest && a.config == b.config
}

/// Every measured series that is forecast, with the active module that should serve it.
fn wanted(
    world: &World,
    catalog: &Catalog,
    members: impl Fn(&tidegate_core::catalog::Api, Signal) -> Vec<Member<dyn Forecaster>>,
) -> Vec<(SeriesKey, Member<dyn Forecaster>)> {
    let mut all = vec![];
    for api in catalog.apis.values().map(|a| &a.value) {
        let Some(pool) = catalog.pools.get(&api.pool) else {
            continue;
        };
        let mut signals = vec![Signal::Requests];
        signals.extend(
            pool.value
                .ready
                .dimensions()
                .into_iter()
                .map(|d| d.signal())
                .filter(|s| *s != Signal::Requests),
        );
        for signal in signals {
            let key = SeriesKey {
                api: api.id.clone(),
                signal,
            };
            if world.store.newest(&key).is_none() {
                continue;
            }
            if let Some(member) = members(api, signal)
                .into_iter()
                .find(|m| m.retreat == Retreat::Active)
            {
                all.push((key, member));
            }
        }
    }
    // Series of one module side by side, so that batches fill.
    all.sort_by(|a, b| {
        (&a.0.api.tenant, a.1.module.digest, &a.1.config, &a.0).cmp(&(
            &b.0.api.tenant,
            b.1.module.digest,
            &b.1.config,
            &b.0,
        ))
    });
    all
}

/// Fits one batch and keeps what was learned, durably first.
fn fit_job(world: &World, now: Timestamp, job: &Job) {
    let span = tracing::info_span!("fit", module = %job.member.module, series = job.keys.len());
    let _entered = span.enter();
    let catalog = world.catalog.load_full();
    let settings = &world.settings;
    let outcome = fit(&FitInput {
        now,
        seed: settings.seed,
        step: settings.step,
        window: settings.fit_window,
        keys: &job.keys,
        member: &job.member,
        history: &*world.store,
        catalog: &catalog,
    });
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(error = %error, "history cannot be read, so nothing was fitted");
            return;
        }
    };
    note_faults(world, &outcome.faults);
    if let Err(error) = keep(world, &catalog, outcome.states) {
        tracing::error!(error = %error, "fitted states could not be kept");
    }
}

fn keep(
    world: &World,
    catalog: &Catalog,
    states: Vec<tidegate_core::ports::storage::SeriesState>,
) -> Result<(), StoreError> {
    if states.is_empty() {
        return Ok(());
    }
    States::save(&*world.store, &states)?;
    for state in states {
        if let Some(api) = catalog.apis.get(&state.key.api) {
            lock(&world.pool(&api.value.pool)).bank.put(state);
        }
    }
    Ok(())
}

/// Fits, with a candidate, every series that a binding serves, so that a swap finds its states.
/// Returns how many series could be fitted and how many there are.
pub(crate) fn fit_binding(
    world: &World,
    binding: &BindingId,
    candidate: &Member<dyn Forecaster>,
) -> (usize, usize) {
    let now = world.clock.now();
    let catalog = world.catalog.load_full();
    let pins = world.policies.pin();
    let mine = wanted(world, &catalog, |api, _| {
        if pins.binding_of(api).as_ref() == Some(binding) {
            vec![candidate.clone()]
        } else {
            vec![]
        }
    });
    let keys: Vec<SeriesKey> = mine.into_iter().map(|(key, _)| key).collect();
    let mut start = 0;
    while start < keys.len() {
        let tenant = &keys[start].api.tenant;
        let same = keys[start..]
            .iter()
            .take(BATCH)
            .take_while(|k| k.api.tenant == *tenant)
            .count();
        fit_job(
            world,
            now,
            &Job {
                keys: keys[start..start + same].to_vec(),
                member: candidate.clone(),
            },
        );
        start += same;
    }
    let config = fitted_with(&candidate.config, world.settings.step);
    let fitted = keys
        .iter()
        .filter(|k| {
            catalog.apis.get(&k.api).is_some_and(|api| {
                lock(&world.pool(&api.value.pool))
                    .bank
                    .get(k, candidate.module.digest, config)
                    .is_some()
            })
        })
        .count();
    (fitted, keys.len())
}
