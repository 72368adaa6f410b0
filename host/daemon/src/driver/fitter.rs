//! Fits series in the background: those that have no state for who serves them, those whose model
//! stopped to fit, and those whose model is old.
//!
//! Every look at the world lists what is due with its reason; who is next is decided by [`queue`]
//! (fair between tenants, most urgent first within one), how much may be spent by [`budget`], and how
//! long one batch may hold up the rest by [`running`]. A fit is not tried again within a tenth of the
//! refit interval, nor, without new data, within the interval: so drift that a fit did not cure and a
//! series that is too short cost little.
//!
//! Under a driven clock everything that is due is fitted before the clock moves on: a replay must
//! give the same plans on a slow machine as on a fast one, so neither time nor budget counts there.

mod budget;
mod due;
mod queue;
mod running;

use super::cycle::note_faults;
use crate::clock::{Clock, stopwatch};
use crate::policies::Round;
use crate::world::{World, lock};
use budget::{Budget, Meter};
use due::{Due, Slot, wanted};
use queue::{Lanes, Part, Rank, Reason};
use running::{Ended, Running};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::{BindingId, Digest, TenantId};
use tidegate_core::policy::{CallError, Forecaster};
use tidegate_core::ports::storage::{SeriesState, States, StoreError};
use tidegate_core::roster::Member;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_flow::forecast::{FitInput, fit, fitted_with, series_name};
use tidegate_runtime::{Stop, Wake};
use tidegate_telemetry::FitOutcome;

/// Series of one call: enough to share a call's cost, few enough that a failure is cheap.
const BATCH: usize = 16;

/// CPU seconds that a batch aims at, so that turns are short also where a fit is slow.
const BATCH_S: f64 = 2.0;

/// How often a tenant's fits are told in the log.
const REPORT_MS: i64 = 3_600_000;

/// What an operator chose, and what runs.
#[derive(Debug)]
pub(crate) struct Fits {
    /// CPU seconds of fitting per hour.
    pub(crate) cpu_per_hour: u32,
    /// What one batch may take.
    pub(crate) deadline: Duration,
    running: Running,
}

impl Fits {
    /// With nothing running yet.
    pub(crate) fn new(cpu_per_hour: u32, deadline: Duration) -> Self {
        Self {
            cpu_per_hour,
            deadline,
            running: Running::default(),
        }
    }

    /// Ends fits that overrun, and all of them when the daemon stops.
    pub(crate) fn watch(world: &World, stop: &Stop) {
        world.fits.running.watch(world, stop);
    }
}

/// One batch to fit.
struct Job {
    tenant: TenantId,
    member: Member<dyn Forecaster>,
    keys: Vec<SeriesKey>,
    reasons: Vec<Reason>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Fitter {
    /// When a series was last tried by a module with a config, and how much history it had then.
    tried: BTreeMap<Slot, (Timestamp, i64)>,
    lanes: Lanes<Due>,
    /// CPU seconds that a module took per series, lately.
    pace: BTreeMap<Digest, f64>,
    /// Fits and CPU seconds per tenant, since they were told last.
    spent: BTreeMap<TenantId, (u64, f64)>,
    told: Timestamp,
}

impl Fitter {
    /// Fits by the machine's clock until it is asked to stop.
    pub(crate) fn run(
        world: &Arc<World>,
        every: Duration,
        stop: &Stop,
    ) -> Result<(), anyhow::Error> {
        let mut fitter = Self::default();
        let mut budget = Budget::per_hour(world.fits.cpu_per_hour);
        loop {
            let pause = if matches!(world.clock, Clock::System) {
                fitter.turn(world, &mut budget, every, stop)
            } else {
                every
            };
            if stop.sleep_blocking(pause) == Wake::Stop {
                return Ok(());
            }
        }
    }

    /// Looks at the world and fits for a while; how long to sleep before the next look.
    fn turn(
        &mut self,
        world: &Arc<World>,
        budget: &mut Budget,
        every: Duration,
        stop: &Stop,
    ) -> Duration {
        if !budget.allows(world.clock.now()) {
            return every;
        }
        let clock = stopwatch();
        self.look(world, world.clock.now());
        // Looking must not become the work: with many series, it is done less often.
        let pause = every.max(clock.elapsed() * 10);
        while clock.elapsed() < pause {
            let now = world.clock.now();
            self.tell(now);
            if halted(world, stop) || !budget.allows(now) {
                return pause;
            }
            let Some(job) = self.next_job() else {
                return pause;
            };
            let cost = fit_job(world, now, &job, Some(world.fits.deadline));
            budget.spend(cost);
            self.note(world, now, &job, cost.as_secs_f64());
            let each = cost.as_secs_f64() / job.keys.len() as f64;
            let pace = self.pace.entry(job.member.module.digest).or_insert(each);
            *pace = f64::midpoint(*pace, each);
        }
        // What is left is looked at anew, so that what has become urgent meanwhile is next.
        Duration::ZERO
    }

    /// Fits everything that is due at `now`, synchronously and whatever it costs.
    pub(crate) fn catch_up(world: &Arc<World>, now: Timestamp) {
        let mut fitter = lock(&world.fitter);
        fitter.look(world, now);
        while let Some(job) = fitter.next_job() {
            if world.draining.load(Ordering::Acquire) {
                return;
            }
            fit_job(world, now, &job, None);
            // The order does not depend on how fast the machine is: every series costs the same.
            let cost = job.keys.len() as f64;
            fitter.note(world, now, &job, cost);
        }
        fitter.spent.clear();
    }

    /// Lists what is due.
    fn look(&mut self, world: &World, now: Timestamp) {
        // What was tried longer ago, or after the clock stepped back "later", keeps nobody waiting.
        self.tried
            .retain(|_, (at, _)| (0..world.refit_ms).contains(&now.since_ms(*at)));
        let mut due = due::due(world, now);
        due.retain(|due| !self.recently_tried(world, due, now));
        due::sort(&mut due, world.refit_ms);
        self.lanes.replace(due.into_iter().map(|due| {
            let rank = Rank::of(due.part, due.reason);
            (due.key.api.tenant.clone(), rank, due)
        }));
        tracing::trace!(waiting = self.lanes.waiting(), "looked for what is due");
    }

    /// The next batch: series of one tenant, module, config and urgency.
    fn next_job(&mut self) -> Option<Job> {
        let pace = &self.pace;
        let size = |member: &Member<dyn Forecaster>| match pace.get(&member.module.digest) {
            Some(each) => (BATCH_S / each).clamp(1.0, BATCH as f64) as usize,
            None => BATCH,
        };
        let (tenant, taken) = self.lanes.next(|taken, next| {
            taken.first().is_some_and(|first| {
                first.0 == next.0
                    && same(&first.1.member, &next.1.member)
                    && taken.len() < size(&first.1.member)
            })
        })?;
        let member = taken.first()?.1.member.clone();
        Some(Job {
            tenant,
            member,
            reasons: taken.iter().map(|(_, due)| due.reason).collect(),
            keys: taken.into_iter().map(|(_, due)| due.key).collect(),
        })
    }

    /// Takes down that a batch was tried, and at what cost.
    fn note(&mut self, world: &World, now: Timestamp, job: &Job, seconds: f64) {
        let config = fitted_with(&job.member.config, world.settings.step);
        for key in &job.keys {
            let slot = (key.clone(), job.member.module.digest, config);
            self.tried.insert(slot, (now, due::length(world, key)));
        }
        self.lanes.charge(&job.tenant, seconds);
        let spent = self.spent.entry(job.tenant.clone()).or_default();
        spent.0 += job.keys.len() as u64;
        spent.1 += seconds;
    }

    /// Tells the log, every hour, what each tenant's fits cost.
    fn tell(&mut self, now: Timestamp) {
        if (0..REPORT_MS).contains(&now.since_ms(self.told)) {
            return;
        }
        self.told = now;
        for (tenant, (fits, seconds)) in std::mem::take(&mut self.spent) {
            tracing::info!(tenant = %tenant, fits, cpu_s = seconds, "fitted since this was last told");
        }
    }

    /// Whether a fit was tried a short while ago: within the refit interval, or within a tenth of
    /// it where data has come (history grows, and with it the chance).
    fn recently_tried(&self, world: &World, due: &Due, now: Timestamp) -> bool {
        let config = fitted_with(&due.member.config, world.settings.step);
        let slot = (due.key.clone(), due.member.module.digest, config);
        self.tried.get(&slot).is_some_and(|(at, then)| {
            let waited = now.since_ms(*at);
            let same_data = *then == due::length(world, &due.key);
            waited < world.refit_ms / 10 || (same_data && waited < world.refit_ms)
        })
    }
}

fn halted(world: &World, stop: &Stop) -> bool {
    stop.is_requested() || world.draining.load(Ordering::Acquire)
}

fn same(a: &Member<dyn Forecaster>, b: &Member<dyn Forecaster>) -> bool {
    a.module.digest == b.module.digest && a.config == b.config
}

/// Fits one batch and keeps what was learned, durably first; tells what it cost.
fn fit_job(world: &World, now: Timestamp, job: &Job, limit: Option<Duration>) -> Duration {
    let module = &job.member.module;
    let span =
        tracing::info_span!("fit", tenant = %job.tenant, module = %module, series = job.keys.len());
    let _entered = span.enter();
    let catalog = world.catalog.load_full();
    let settings = &world.settings;
    let base = base(world, &catalog, job);
    let meter = Meter::start();
    let (outcome, ended) = world.fits.running.with(module.digest, limit, || {
        fit(&FitInput {
            now,
            seed: settings.seed,
            step: settings.step,
            window: settings.fit_window,
            keys: &job.keys,
            member: &job.member,
            base: &base,
            reach: settings.horizon,
            history: &*world.store,
            catalog: &catalog,
        })
    });
    let cost = meter.cost();
    for reason in &job.reasons {
        world.metrics.fitted(&module.name, reason.name());
    }
    let tenant = job.tenant.as_str();
    world.metrics.fit_cost(tenant, &module.name, cost);
    let mut outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(error = %error, "history cannot be read, so nothing was fitted");
            let lost = job.keys.len() as u64;
            world
                .metrics
                .fit_ended(&module.name, FitOutcome::Failed, lost);
            return cost;
        }
    };
    match ended {
        // The engine says "cancelled", which is nobody's fault; that it had to be is the module's.
        Some(Ended::Overran { limit_ms }) => {
            for fault in &mut outcome.faults {
                if matches!(fault.error, CallError::Unavailable(_)) {
                    fault.error = CallError::Deadline { limit_ms };
                }
            }
        }
        Some(Ended::Drained) => outcome.faults.clear(),
        None => {}
    }
    for state in &outcome.states {
        if let Some(prior) = &state.prior {
            tracing::info!(series = %series_name(&state.key), "{prior}");
        }
    }
    let fitted = outcome.states.len();
    let without = if ended.is_some() {
        FitOutcome::Cancelled
    } else {
        FitOutcome::Failed
    };
    let left = job.keys.len().saturating_sub(fitted) as u64;
    for (outcome, count) in [(FitOutcome::Done, fitted as u64), (without, left)] {
        world.metrics.fit_ended(&module.name, outcome, count);
    }
    let reason = job.reasons.first().map_or("", |r| r.name());
    tracing::debug!(reason, fitted, cpu_ms = cost.as_millis() as u64, "fitted");
    note_faults(world, &outcome.faults);
    let answered = outcome.states.iter().map(|s| s.module).collect();
    world
        .policies
        .note_round(now, Round::Fit, &outcome.faults, &answered);
    if let Err(error) = keep(world, &catalog, outcome.states) {
        tracing::error!(error = %error, "fitted states could not be kept");
    }
    cost
}

/// The model that the job's series had before, wherever their pools keep it.
fn base(world: &World, catalog: &Catalog, job: &Job) -> Arc<[u8]> {
    let config = fitted_with(&job.member.config, world.settings.step);
    let apis = job.keys.iter().filter_map(|key| catalog.apis.get(&key.api));
    let pools: BTreeSet<_> = apis.map(|api| &api.value.pool).collect();
    let mut bases = pools.into_iter().map(|pool| {
        let pool = world.pool(pool);
        lock(&pool)
            .bank
            .base(&job.keys, job.member.module.digest, config)
    });
    bases.find(|base| !base.is_empty()).unwrap_or_default()
}

pub(super) fn keep(
    world: &World,
    catalog: &Catalog,
    states: Vec<SeriesState>,
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

/// Which series a candidate is to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All.
    All,
    /// Those that it does not know.
    Unknown,
}

/// Fits, with a candidate, the series that a binding serves, so that a swap finds its states.
/// Returns how many of them it knows then, and how many there are.
pub(crate) fn fit_binding(
    world: &World,
    binding: &BindingId,
    candidate: &Member<dyn Forecaster>,
    which: Which,
) -> (usize, usize) {
    let now = world.clock.now();
    let limit = matches!(world.clock, Clock::System).then_some(world.fits.deadline);
    let catalog = world.catalog.load_full();
    let pins = world.policies.pin();
    let mine = wanted(world, &catalog, |api, _| {
        if pins.binding_of(api).as_ref() == Some(binding) {
            vec![(Part::Serving, candidate.clone())]
        } else {
            vec![]
        }
    });
    let all: Vec<SeriesKey> = mine.into_iter().map(|(key, ..)| key).collect();
    let config = fitted_with(&candidate.config, world.settings.step);
    let known = |key: &SeriesKey| {
        catalog.apis.get(&key.api).is_some_and(|api| {
            let pool = world.pool(&api.value.pool);
            let pool = lock(&pool);
            pool.bank
                .get(key, candidate.module.digest, config)
                .is_some()
        })
    };
    let unknown = |key: &&SeriesKey| which == Which::All || !known(key);
    let keys: Vec<SeriesKey> = all.iter().filter(unknown).cloned().collect();
    let mut start = 0;
    while start < keys.len() && !world.draining.load(Ordering::Acquire) {
        let tenant = keys[start].api.tenant.clone();
        let same = keys[start..]
            .iter()
            .take(BATCH)
            .take_while(|k| k.api.tenant == tenant)
            .count();
        let job = Job {
            tenant,
            keys: keys[start..start + same].to_vec(),
            reasons: vec![Reason::Module; same],
            member: candidate.clone(),
        };
        fit_job(world, now, &job, limit);
        start += same;
    }
    let fitted = all.iter().filter(|key| known(key)).count();
    (fitted, all.len())
}
