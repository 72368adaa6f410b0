//! A binding's backtest gate: stored history, before a shadow begins.
//!
//! It runs in the task that asks versions on trial, so that nothing waits for it but other trials, and
//! is bounded by [`BLOCKS`]: of a longer window, the newest part is taken. What there is too little
//! history for is not refused: the shadow itself will tell.

use super::look;
use crate::life;
use crate::world::World;
use std::sync::atomic::Ordering;
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::{Generation, PoolId};
use tidegate_core::life::Side;
use tidegate_core::module::ModuleKind;
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::storage::{History, Ledger, StoreError};
use tidegate_core::record::Record;
use tidegate_core::roster::{Member, Roster};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::Timestamp;
use tidegate_core::units::Dimension;
use tidegate_engine::Policy;
use tidegate_flow::cycle::Left;
use tidegate_flow::forecast::calibrate;
use tidegate_flow::shadow::forecasters::SERIES;
use tidegate_flow::shadow::gate::lasting;
use tidegate_flow::shadow::past::{self, Figures, Forecasters};
use tidegate_flow::shadow::{self, Silent, Trial, block_ms};

/// Blocks of history that are walked at most: a week and a bit at five minutes.
const BLOCKS: i64 = 2_500;

/// What stored history says against a candidate; `None`: nothing, or nothing is asked.
pub(super) fn objects(
    world: &World,
    catalog: &Catalog,
    of: &life::Trial,
    trial: &Trial,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let Some(backtest) = of.gate.backtest.filter(|_| of.serving == Side::Incumbent) else {
        return Ok(None);
    };
    let asked_ms = i64::from(backtest.window_s) * 1000;
    let window_ms = asked_ms.min(BLOCKS * block_ms(world.settings.step));
    let from = now.plus_ms(-window_ms);
    let figures = match &of.silent.policy {
        Policy::Forecaster(policy) => {
            let candidate = look::member(&of.binding, of.silent_version(), policy);
            forecasts(world, catalog, (of, trial), &candidate, (from, now))?
        }
        Policy::Allocator(policy) => {
            let member = look::member(&of.binding, of.silent_version(), policy);
            let silent = Silent::Allocator(&member);
            records(world, catalog, (of, trial), silent, from)?
        }
        Policy::Tierer(policy) => {
            let serving = world.policies.held(of.incumbent.module.digest);
            let Some(Policy::Tierer(other)) = serving.map(|c| c.policy) else {
                return Ok(None);
            };
            let member = look::member(&of.binding, of.silent_version(), policy);
            let serving = look::member(&of.binding, &of.incumbent, &other);
            let silent = Silent::Tierer {
                silent: &member,
                serving: &serving,
            };
            records(world, catalog, (of, trial), silent, from)?
        }
        Policy::Judge(_) => return Ok(None),
    };
    if world.draining.load(Ordering::Acquire) {
        // It was not looked at as a whole: the next start asks again.
        return Err(StoreError::Closed);
    }
    let told = format!(
        "over {} of stored history and {} pairs its loss is {:+.1} % of that of {}",
        lasting(window_ms),
        figures.pairs,
        100.0 * figures.mean,
        of.incumbent.module
    );
    if figures.exceeds(backtest.worse_by) {
        return Ok(Some(format!(
            "refused by the backtest: {told}, where at most {:+.1} % is let pass; mend it, or raise gate.backtest.worse_by",
            100.0 * backtest.worse_by
        )));
    }
    let is_enough = figures.pairs >= past::LEAST;
    tracing::info!(binding = %of.binding, candidate = %of.candidate.module, is_enough, "passed the backtest: {told}");
    Ok(None)
}

fn input<'a>(
    world: &'a World,
    catalog: &'a Catalog,
    (of, trial): (&'a life::Trial, &'a Trial),
    silent: Silent<'a>,
    nobody: &'a Roster<dyn tidegate_core::policy::Judge>,
) -> shadow::Input<'a> {
    shadow::Input {
        now: trial.about.since,
        seed: world.settings.seed,
        step: world.settings.step,
        horizon: world.settings.horizon,
        trial,
        gate: &of.gate,
        silent,
        scenes: &[],
        judge: nobody,
        history: &*world.store,
        catalog,
    }
}

fn records(
    world: &World,
    catalog: &Catalog,
    pair: (&life::Trial, &Trial),
    silent: Silent<'_>,
    from: Timestamp,
) -> Result<Figures, StoreError> {
    let (pins, id) = (world.policies.pin(), &pair.0.binding);
    let nobody = Roster::of(vec![]);
    let input = input(world, catalog, pair, silent, &nobody);
    let mut figures = Figures::default();
    for pool in catalog.pools.keys() {
        let divides = pins.binding_of_pool(pool).as_ref() == Some(id);
        if pair.0.kind == ModuleKind::Allocator && !divides {
            continue;
        }
        let all = Records::since(world, pool, from)?;
        let mine = |tenant: &_| pins.binding_of_tenant(tenant).as_ref() == Some(id);
        figures = figures.and(past::records(&input, pool, all, mine)?);
    }
    Ok(figures)
}

/// A pool's records from an instant on, read one by one.
struct Records<'a> {
    world: &'a World,
    pool: &'a PoolId,
    next: Generation,
    last: Generation,
}

impl<'a> Records<'a> {
    fn since(world: &'a World, pool: &'a PoolId, from: Timestamp) -> Result<Self, StoreError> {
        let before = Ledger::at(&*world.store, pool, from)?.unwrap_or_default();
        Ok(Self {
            world,
            pool,
            next: before.next(),
            last: world.store.last(pool).unwrap_or_default(),
        })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next <= self.last && !self.world.draining.load(Ordering::Acquire) {
            let read = self.world.store.record(self.pool, self.next);
            self.next = self.next.next();
            // What the ledger has let go of is passed over.
            if let Some(found) = read.transpose() {
                return Some(found);
            }
        }
        None
    }
}

fn forecasts(
    world: &World,
    catalog: &Catalog,
    pair: (&life::Trial, &Trial),
    candidate: &Member<dyn Forecaster>,
    window: (Timestamp, Timestamp),
) -> Result<Figures, StoreError> {
    let of = pair.0;
    let held = world.policies.held(of.incumbent.module.digest);
    let Some(Policy::Forecaster(policy)) = held.map(|c| c.policy) else {
        return Ok(Figures::default());
    };
    let incumbent = look::member(&of.binding, &of.incumbent, &policy);
    let pins = world.policies.pin();
    let mut keys: Vec<SeriesKey> = vec![];
    let mut record = None;
    for api in catalog.apis.values().map(|a| &a.value) {
        let Some(pool) = catalog.pools.get(&api.pool) else {
            continue;
        };
        if pins.binding_of(api).as_ref() != Some(&of.binding) {
            continue;
        }
        if record.is_none() {
            let last = world.store.last(&api.pool).unwrap_or_default();
            record = world.store.record(&api.pool, last)?.map(Left::from);
        }
        let signals = Dimension::signals(&pool.value.ready.dimensions());
        let all = signals.into_iter().map(|signal| SeriesKey {
            api: api.id.clone(),
            signal,
        });
        keys.extend(all.filter(|key| world.store.newest(key).is_some()));
    }
    let Some(record) = record else {
        return Ok(Figures::default());
    };
    keys.sort_by_cached_key(calibrate::salt);
    keys.truncate(SERIES);
    keys.sort();
    let nobody = Roster::of(vec![]);
    let input = input(world, catalog, pair, Silent::Forecaster(candidate), &nobody);
    let both = Forecasters {
        candidate,
        incumbent: &incumbent,
        keys: &keys,
        window: world.settings.fit_window,
        record: &record,
    };
    let stops = || world.draining.load(Ordering::Acquire);
    past::forecasts(&input, &both, window, stops)
}
