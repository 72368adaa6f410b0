//! One turn of the gate for one pool: the rooms, threaded.
//!
//! The cycle is pure but for reads of history: it gets the world and the pool's state, and returns
//! what should be published, kept and raised, and a [`Delta`] to commit once the record is on disk.
//! So the daemon, a backtest and a replay run the same code, and a plan whose record could not be
//! written was never made (LE1).

mod between;
mod carry;
mod gather;
mod needs;
mod state;

pub mod again;

pub use between::{Between, between};
pub use carry::Carried;
pub use state::{Delta, Left, Parting, PoolState, Profile};

use crate::{adjust, allocate, demand, forecast, observe, tier};
use std::collections::BTreeMap;
use tidegate_core::alert::Alert;
use tidegate_core::catalog::{Api, Catalog, Mode};
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{PoolId, TenantId};
use tidegate_core::policy::{Allocator, Forecaster, Tierer};
use tidegate_core::ports::storage::{Anchor, History, StoreError};
use tidegate_core::record::{DemandRecord, Record};
use tidegate_core::roster::{Fault, Roster};
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::{Dimension, Level, Signal};

/// How cycles run; the same for all pools of a daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Resolution of forecasts and plans.
    pub step: Step,
    /// Steps that are forecast.
    pub horizon: u32,
    /// Steps of a plan, at most `horizon`.
    pub plan_steps: u32,
    /// Milliseconds that a plan is valid.
    pub validity_ms: i64,
    /// Steps by which demand is met ahead of time, besides the pool's lead time.
    pub ahead: u32,
    /// Steps of history that a fit sees at most.
    pub fit_window: usize,
    /// Root seed.
    pub seed: u64,
    /// Calls of a forecaster at once, at most; no plan depends on it.
    pub lanes: usize,
    /// How often a series is predicted anew.
    pub refresh: forecast::Refresh,
    /// How demand is derived.
    pub demand: demand::Settings,
    /// How departures from a plan are answered between cycles.
    pub adjust: adjust::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            step: Step::MINUTE,
            horizon: 60,
            plan_steps: 15,
            validity_ms: 15 * 60_000,
            ahead: 0,
            fit_window: 20_160,
            seed: 0,
            lanes: 4,
            refresh: forecast::Refresh::default(),
            demand: demand::Settings::default(),
            adjust: adjust::Settings::default(),
        }
    }
}

/// The policies, pinned at the start of a cycle (MO1).
pub trait Pins {
    /// Who forecasts a series of an api.
    fn forecaster(&self, api: &Api, signal: Signal) -> Roster<dyn Forecaster>;
    /// Who chooses the tiers of a tenant.
    fn tierer(&self, tenant: &TenantId) -> Roster<dyn Tierer>;
    /// Who divides a pool.
    fn allocator(&self, pool: &PoolId) -> Roster<dyn Allocator>;
}

/// The world as a cycle sees it.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The time.
    pub now: Timestamp,
    /// The pool.
    pub pool: &'a PoolId,
    /// What is declared.
    pub catalog: &'a Catalog,
    /// The past.
    pub history: &'a dyn History,
    /// Who decides.
    pub pins: &'a dyn Pins,
    /// How.
    pub settings: &'a Settings,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("now", &self.now)
            .field("pool", self.pool)
            .finish_non_exhaustive()
    }
}

/// What a cycle wants done.
#[derive(Debug)]
pub struct Output {
    /// To be written and published, in this order; `None` keeps the last plan in force.
    pub record: Option<Record>,
    /// What stands now for this pool.
    pub alerts: Vec<Alert>,
    /// Who failed.
    pub faults: Vec<Fault>,
    /// Who failed as a challenger: nobody waited for the answer.
    pub shadow_faults: Vec<Fault>,
    /// What was predicted.
    pub forecasts: BTreeMap<SeriesKey, Forecast>,
    /// To be written with the record, so that the forecasts can be made again.
    pub anchors: Vec<Anchor>,
    /// To be committed after the record is durable.
    pub delta: Delta,
}

/// Why a cycle could not run at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such pool.
    #[error("pool `{0}` is not declared")]
    NoPool(PoolId),
    /// Stored data cannot be read.
    #[error("history cannot be read")]
    Store(#[from] StoreError),
}

/// Runs one cycle.
///
/// # Errors
/// When the pool is not declared or history cannot be read; the last plan stays in force.
pub fn run(input: &Input<'_>, state: &PoolState) -> Result<Output, Error> {
    let Settings { step, seed, .. } = *input.settings;
    let pool = &input
        .catalog
        .pools
        .get(input.pool)
        .ok_or_else(|| Error::NoPool(input.pool.clone()))?
        .value;
    let apis: Vec<&Api> = input
        .catalog
        .apis_of(input.pool)
        .filter(|a| a.mode != Mode::Observe)
        .collect();
    let dimensions = pool.ready.dimensions();
    let mut delta = Delta::default();

    // By what is declared and not by what is fed: a feed that comes or goes is not to move all turns.
    let series = input.catalog.apis.len() * Dimension::signals(&dimensions).len();
    let cadence = input.settings.refresh.cadence(series, step);
    let last = state.last.as_deref().zip(state.asked.as_deref());
    let waiting = state
        .carried
        .waiting(input, &apis, &dimensions, last, cadence);
    delta.carried = Carried::after(&waiting);
    let targets = gather::targets(input, &apis, &dimensions, &waiting);
    let predicted = forecast::run(&forecast::Input {
        now: input.now,
        seed,
        step,
        steps: input.settings.horizon,
        levels: &Level::STANDARD,
        targets: &targets,
        bank: &state.bank,
        tracks: &state.tracks,
        choices: &state.choices,
        lanes: input.settings.lanes,
        reuse: Some(forecast::Reuse {
            held: &state.held,
            cadence,
        }),
        history: input.history,
        catalog: input.catalog,
    })?;
    let mut faults = predicted.faults;
    delta.drifts = state.drifts.follow(
        input.history,
        input.now,
        &predicted.forecasts,
        &predicted.fits,
    )?;
    delta.made = predicted.made;
    let anchors = needs::anchors(input.now, state, &mut delta.made);
    let fits = (predicted.fits.as_slice(), predicted.configs.as_slice());
    let origins = needs::origins(input, state, fits, &delta.made);
    delta.unserved = predicted.unserved;
    delta.told = predicted.forecasts.len();
    delta.states = predicted.updates;
    delta.tracks = predicted.tracks;
    delta.choices = predicted.choices;

    let objectives = gather::objectives(input.catalog, &apis);
    let forecasts = &predicted.forecasts;
    let facts = gather::facts(
        input,
        state,
        &apis,
        &objectives,
        forecasts,
        &waiting,
        &mut delta,
    )?;
    let rosters = apis
        .iter()
        .map(|a| (a.id.tenant.clone(), input.pins.tierer(&a.id.tenant)))
        .collect();
    let Ok(tiers) = tier::run(&tier::Input {
        now: input.now,
        seed,
        catalog: input.catalog,
        apis: &apis,
        facts: &facts,
        current: &state.tiers,
        rosters: &rosters,
        states: &state.tier_states,
    });
    faults.extend(tiers.faults);

    let grid = Grid {
        start: input.now.floor(step),
        step,
        count: input.settings.plan_steps as usize,
    };
    let ask = needs::Ask {
        pool,
        apis: apis.len(),
        dimensions: &dimensions,
        grid,
        forecasts: &predicted.forecasts,
    };
    delta.floors = state.floors.clone();
    delta
        .floors
        .expire(input.now, input.settings.adjust.hold_ms);
    let granted = demand::granted(state.last.as_deref());
    let (mut rows, mut needs) = (vec![], vec![]);
    for ((api, facts), slos) in apis.iter().zip(&facts).zip(&objectives) {
        let tier = tiers
            .tiers
            .get(&api.id)
            .cloned()
            .unwrap_or_else(|| (gather::initial(api, input.now), String::new()));
        let mut learned = gather::learned(input, state, pool, api, slos, &granted, &delta)?;
        let carried = waiting.demand(&api.id, grid, last);
        let fresh = || needs::demand(input, &ask, api, tier.0.tier, facts.expected, &learned);
        let mut demand = carried.unwrap_or_else(fresh);
        demand.promise(&mut learned);
        gather::keep(
            input,
            &delta.floors,
            &api.id,
            &dimensions,
            grid,
            &mut demand,
        );
        needs.push(DemandRecord {
            api: api.id.clone(),
            reasons: std::mem::take(&mut demand.reasons),
            learned: learned.blob(),
        });
        delta.learned.insert(api.id.clone(), learned);
        let emergency = gather::emergency(pool, state.last.as_deref(), facts);
        rows.push(allocate::Row {
            api,
            tier,
            demand,
            emergency,
        });
    }
    let allocation = allocate::run(
        &allocate::Input {
            now: input.now,
            seed,
            grid,
            validity_ms: input.settings.validity_ms,
            pool,
            catalog: input.catalog,
            rows: &rows,
            previous: state.last.as_deref(),
            roster: &input.pins.allocator(input.pool),
            state: &state.allocator_state,
        },
        &mut faults,
    );
    delta.tiers = tiers
        .tiers
        .into_iter()
        .map(|(api, (state, _))| (api, state))
        .collect();
    delta.tier_states = tiers.records.iter().map(state::kept_by_tierer).collect();
    let Ok(observed) = observe::run(observe::Input {
        now: input.now,
        step,
        pool: input.pool,
        apis: &apis,
        facts: &facts,
        watermark: input.history.watermark(),
        forecasts: &predicted.forecasts,
        silent: &predicted.silent,
        lagging: &predicted.lagging,
        tiers: tiers.records,
        holds: tiers.holds,
        needs,
        floors: delta.floors.records(),
        origins,
        basis: needs::basis(input.settings, cadence, &apis, &waiting),
        allocation,
        faults: &faults,
    });
    Ok(Output {
        record: observed.record,
        alerts: observed.alerts,
        faults,
        shadow_faults: predicted.shadow_faults,
        forecasts: predicted.forecasts,
        anchors,
        delta,
    })
}
