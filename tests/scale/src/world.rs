//! A world of many apis, built in seconds: declared, fed and fitted.
//!
//! To fit 300,000 series would take the better part of a day on one core, and a cycle does not care
//! whose past a state has seen. So a few series with a daily and a weekly season are fitted by the
//! real component, and every series of the world is one of them: it has that one's samples and that
//! one's state. States are not cheaper for it, since each is moved on and asked by itself; models are
//! shared as a cohort's are. What this hides is the spread of time between series of different
//! difficulty, which a sample of [`KINDS`] shows in part.

use anyhow::{Result, anyhow, bail};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use tidegate_core::catalog::{Api, Catalog, Pool, Tenant, Versioned};
use tidegate_core::ids::{ApiId, Generation, PoolId, TenantId};
use tidegate_core::module::{ModuleKind, ModuleRef, Selector};
use tidegate_core::policy::{Allocator, Covariates, Forecaster, Frames, Tierer};
use tidegate_core::ports::storage::{History, SeriesState};
use tidegate_core::roster::Roster;
use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Values};
use tidegate_core::slo::{Indicator, Slo};
use tidegate_core::tier::Tier;
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::{Dimension, Resources, Signal};
use tidegate_engine::{
    Baselines, By, Candidate, Engine, FaultLimit, Limits, Loaded, Options, Pinned, Policy, Slots,
    Subject,
};
use tidegate_flow::baseline::{BaseTier, FloorsFirst, LastValue, Wait};
use tidegate_flow::cycle::{Pins, PoolState, Settings};
use tidegate_flow::forecast::fitted_with;
use tidegate_store::Store;

/// Different series per signal.
pub(crate) const KINDS: usize = 8;
/// Two weeks of minutes, as the daemon's default fit sees them.
const WINDOW: usize = 20_160;
/// Minutes of history of every series, before the first cycle.
pub(crate) const FED: i64 = 15;
/// Tenants that the apis are dealt out to.
const TENANTS: usize = 4;
const MINUTE_MS: i64 = 60_000;
/// Where the measured minutes begin: a Monday noon.
const BEGIN: i64 = 1_767_614_400_000;

/// What every api is measured by.
pub(crate) const SIGNALS: [Signal; 3] = [Signal::Requests, Signal::Cpu, Signal::Memory];

/// The slots, as the daemon fills them where nothing else is bound.
#[derive(Debug)]
pub(crate) struct Policies {
    slots: Slots,
    pub(crate) forecaster: Loaded,
}

/// The slots of one instant.
#[derive(Debug)]
pub(crate) struct Pin(Pinned);

impl Policies {
    /// Admits the default components from the directory where the build has left them.
    pub(crate) fn open(components: &Path, cache: &Path) -> Result<Self> {
        let engine = Engine::new(Options {
            cache: Some(cache.to_path_buf()),
            ..Options::default()
        })?;
        let slots = Slots::new(
            Baselines {
                forecaster: (ModuleRef::native("last-value"), Arc::new(LastValue)),
                tierer: (ModuleRef::native("base-tier"), Arc::new(BaseTier)),
                allocator: (ModuleRef::native("floors-first"), Arc::new(FloorsFirst)),
                judge: (ModuleRef::native("wait"), Arc::new(Wait)),
            },
            FaultLimit::default(),
        );
        let mut forecaster = None;
        for (kind, name) in [
            (ModuleKind::Forecaster, "ensemble"),
            (ModuleKind::Tierer, "slo-tiers"),
            (ModuleKind::Allocator, "waterfill"),
        ] {
            let file = components.join(format!("{name}.wasm"));
            let bytes = std::fs::read(&file)
                .map_err(|error| anyhow!("{}: {error}; build the daemon first", file.display()))?;
            let loaded = engine.admit(&bytes, &Limits::default())?;
            let id = format!("default-{}", kind.name()).parse()?;
            slots.declare(&id, kind, Selector::default());
            slots.swap(&id, &Candidate::from(&loaded), "{}", By::Itself)?;
            if kind == ModuleKind::Forecaster {
                forecaster = Some(loaded);
            }
        }
        let forecaster = forecaster.ok_or_else(|| anyhow!("no forecaster"))?;
        Ok(Self { slots, forecaster })
    }

    /// The forecaster's functions.
    pub(crate) fn forecasting(&self) -> Result<Arc<dyn Forecaster>> {
        match self.forecaster.policy() {
            Policy::Forecaster(policy) => Ok(policy.clone()),
            _ => bail!("the default forecaster is of another kind"),
        }
    }

    /// The slots as they are now.
    pub(crate) fn pin(&self) -> Pin {
        Pin(self.slots.pin())
    }
}

impl Pins for Pin {
    fn forecaster(&self, api: &Api, _: Signal) -> Roster<dyn Forecaster> {
        let subject = Subject {
            tenant: Some(&api.id.tenant),
            ..Subject::default()
        };
        let found = self.0.forecaster(&subject);
        found.map_or_else(|| Roster::of(vec![]), |r| r.roster.clone())
    }

    fn tierer(&self, tenant: &TenantId) -> Roster<dyn Tierer> {
        let subject = Subject {
            tenant: Some(tenant),
            ..Subject::default()
        };
        let found = self.0.tierer(&subject);
        found.map_or_else(|| Roster::of(vec![]), |r| r.roster.clone())
    }

    fn allocator(&self, pool: &PoolId) -> Roster<dyn Allocator> {
        let subject = Subject {
            pool: Some(pool),
            ..Subject::default()
        };
        let found = self.0.allocator(&subject);
        found.map_or_else(|| Roster::of(vec![]), |r| r.roster.clone())
    }
}

/// `apis` apis, each with an objective, dealt out to tenants and pools.
pub(crate) fn catalog(apis: usize, pools: usize) -> Result<Catalog> {
    fn first<T>(value: T) -> Versioned<T> {
        Versioned {
            generation: Generation(1),
            value,
        }
    }
    let mut all = Catalog::default();
    for t in 0..TENANTS {
        let id: TenantId = format!("t{t}").parse()?;
        let tenant = Tenant {
            id: id.clone(),
            max_series: u64::MAX,
            max_samples_per_s: u64::MAX,
            max_modules: 1,
        };
        all.tenants.insert(id, first(tenant));
    }
    for p in 0..pools {
        let id: PoolId = format!("p{p}").parse()?;
        let share = apis as f64 / pools as f64;
        let ready = Resources::NONE
            .with(Dimension::Cpu, 2.0 * share)
            .with(Dimension::Memory, 2e9 * share);
        let pool = Pool {
            id: id.clone(),
            ready,
            max: Resources::NONE,
            min: Resources::NONE,
            lead_time_s: 60,
            unit_cost: Resources::NONE,
            quotas: BTreeMap::new(),
        };
        all.pools.insert(id, first(pool));
    }
    for i in 0..apis {
        let id: ApiId = format!("t{}/a{i:06}", i % TENANTS).parse()?;
        let api = Api {
            category: "web".into(),
            base_tier: Tier::ALL[i % 3],
            ..Api::free(id.clone(), format!("p{}", i % pools).parse()?)
        };
        let slo = Slo {
            id: id.clone(),
            api: id.clone(),
            indicator: Indicator::Availability,
            objective: 0.999,
            window_s: 30 * 86_400,
            template: None,
        };
        all.apis.insert(id.clone(), first(api));
        all.slos.insert(id, first(slo));
    }
    all.compact();
    Ok(all)
}

/// What a kind of series measures in a minute: a day, a week, and noise from a hash, so that the same
/// minute has the same value wherever it is asked for.
fn value(kind: usize, signal: Signal, minute: i64) -> f64 {
    let turn = |period: f64, phase: f64| {
        libm::sin(2.0 * std::f64::consts::PI * (minute as f64 / period + phase))
    };
    let k = kind as f64;
    let season = 1.0 + 0.5 * turn(1440.0, k / 8.0) + 0.1 * turn(10_080.0, k / 5.0);
    let mut hash = (minute as u64 ^ (kind as u64) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 29;
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let noise = 1.0 + 0.1 * ((hash >> 40) as f64 / (1_u64 << 24) as f64 - 0.5);
    let load = season * noise * (20.0 + 10.0 * k);
    match signal {
        Signal::Cpu => load * 0.01 + 0.05,
        Signal::Memory => 5e8 + load * 1e5,
        _ => load,
    }
}

/// Minute 0 of what is measured.
pub(crate) fn instant(minute: i64) -> Timestamp {
    Timestamp(BEGIN + minute * MINUTE_MS)
}

/// The states of the fitted kinds, in the order of [`SIGNALS`], and milliseconds per series.
pub(crate) fn fitted(policies: &Policies) -> Result<(Vec<Vec<SeriesState>>, f64)> {
    let policy = policies.forecasting()?;
    let (mut all, mut spent) = (vec![], 0.0);
    for signal in SIGNALS {
        let mut kinds = vec![];
        for kind in 0..KINDS {
            let start = instant(FED - WINDOW as i64);
            let first = start.0 / MINUTE_MS;
            let rows = (0..WINDOW as i64).map(|i| value(kind, signal, first + i));
            let mut frames = Frames::new(Step::MINUTE);
            frames.push(signal, start, &rows.collect::<Vec<_>>(), 1);
            frames.covariates = calendar(start, WINDOW);
            let (ms, fitted) = crate::timed(|| policy.fit("{}", &frames));
            let fitted = fitted?;
            spent += ms;
            fitted.status[0].clone()?;
            kinds.push(SeriesState {
                key: SeriesKey {
                    api: "t0/x".parse()?,
                    signal,
                },
                module: policies.forecaster.digest(),
                config: fitted_with("{}", Step::MINUTE),
                format: fitted.states.format,
                model: fitted.model.into(),
                state: fitted.states.get(0).to_vec(),
                fitted_at: instant(FED),
                seen: instant(FED),
                prior: None,
            });
        }
        // What series share is shared: one cohort per signal and kind at most.
        all.push(kinds);
    }
    Ok((all, spent / (SIGNALS.len() * KINDS) as f64))
}

fn calendar(start: Timestamp, rows: usize) -> Covariates {
    let minute = |i: usize| start.0 / MINUTE_MS + i as i64;
    let of_day = (0..rows).map(|i| minute(i).rem_euclid(1440) as f64);
    let of_week = (0..rows).map(|i| (minute(i).div_euclid(1440) + 3).rem_euclid(7) as f64);
    Covariates {
        names: vec!["minute-of-day".into(), "day-of-week".into()],
        values: of_day.chain(of_week).collect(),
    }
}

/// Gives every series of the catalog its kind's state.
pub(crate) fn states(catalog: &Catalog, kinds: &[Vec<SeriesState>]) -> BTreeMap<PoolId, PoolState> {
    let mut pools: BTreeMap<PoolId, PoolState> = BTreeMap::new();
    for (i, api) in catalog.apis.values().map(|a| &a.value).enumerate() {
        let pool = pools.entry(api.pool.clone()).or_default();
        for (signal, kinds) in SIGNALS.into_iter().zip(kinds) {
            pool.bank.put(SeriesState {
                key: SeriesKey {
                    api: api.id.clone(),
                    signal,
                },
                ..kinds[i % KINDS].clone()
            });
        }
    }
    pools
}

/// Feeds minutes to every series, as a collector does, and waits until they are durable.
pub(crate) fn feed(store: &Store, catalog: &Catalog, minutes: std::ops::Range<i64>) -> Result<()> {
    let apis: Vec<&ApiId> = catalog.apis.keys().collect();
    for (chunk, ids) in apis.chunks(2000).enumerate() {
        let mut batch = SampleBatch::default();
        for (i, id) in ids.iter().enumerate() {
            for signal in SIGNALS {
                let scale = if signal.is_count() { 60.0 } else { 1.0 };
                let kind = (chunk * 2000 + i) % KINDS;
                let of = |m: i64| scale * value(kind, signal, instant(m).0 / MINUTE_MS);
                batch.series.push(SeriesSamples {
                    key: SeriesKey {
                        api: (*id).clone(),
                        signal,
                    },
                    step: Step::MINUTE,
                    times: minutes.clone().map(instant).collect(),
                    values: Values::Numbers(minutes.clone().map(of).collect()),
                });
            }
        }
        let (done, wait) = mpsc::sync_channel(1);
        let ack = Box::new(move |outcome| drop(done.send(outcome)));
        History::append(store, batch, ack);
        wait.recv()??;
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// How many of so many pools go side by side, as in the daemon.
pub(crate) fn side_by_side(pools: usize) -> usize {
    pools.clamp(1, cores())
}

/// How the cycles of so many pools run: the daemon's defaults.
pub(crate) fn settings(pools: usize) -> Settings {
    Settings {
        lanes: cores().div_ceil(side_by_side(pools)),
        ..Settings::default()
    }
}

/// The calendar of steps to come, the same for each of so many series.
pub(crate) fn future(series: usize, steps: usize) -> Covariates {
    let one = calendar(instant(FED), steps);
    let columns = one.values.chunks(steps);
    Covariates {
        values: columns.flat_map(|c| c.repeat(series)).collect(),
        names: one.names,
    }
}

/// Opens the store anew, takes up the last record of each pool, and makes the next plan; milliseconds
/// until the last plans can be served again. The banks are given, not read: what reading them costs is
/// the store's figure (`ingest_bench`).
pub(crate) fn again(
    path: &Path,
    policies: &Policies,
    catalog: &Catalog,
    banks: BTreeMap<PoolId, tidegate_flow::forecast::Bank>,
    minute: i64,
) -> Result<f64> {
    use tidegate_core::ports::storage::Ledger as _;
    let (opened, outcome) = crate::timed(|| -> Result<_> {
        let store = Store::open(path, tidegate_store::Options::default())?;
        let queue = Mutex::new(banks.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let lane = || -> Result<Vec<_>> {
            let mut states = vec![];
            while let Some((pool, bank)) = next() {
                let record = match store.last(&pool) {
                    Some(generation) => store.whole(&pool, generation)?,
                    None => None,
                };
                let mut state = PoolState::resume(record);
                state.bank = bank;
                states.push((pool, state));
            }
            Ok(states)
        };
        let states = std::thread::scope(|scope| {
            let others: Vec<_> = (1..cores()).map(|_| scope.spawn(lane)).collect();
            let mut states = lane()?;
            for other in others {
                states.extend(other.join().map_err(|_| anyhow!("a lane panicked"))??);
            }
            anyhow::Ok(states)
        })?;
        Ok((store, states.into_iter().collect()))
    });
    let (store, mut states): (_, BTreeMap<PoolId, PoolState>) = outcome?;
    let settings = settings(states.len());
    let world = crate::turn::World {
        policies,
        catalog,
        store: &store,
        settings: &settings,
    };
    world.turn(&mut states, &mut BTreeMap::new(), minute)?;
    Ok(opened)
}
