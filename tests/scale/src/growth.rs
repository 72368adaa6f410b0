//! That a cycle costs what its pool holds, however much is declared beside it.
//!
//! Told by counting and not by a clock: how often a declared api, SLO or event is looked at, how often
//! history is read, and how many pieces of memory are asked for. The numbers of one world are the same on
//! every machine and in every run, so that those of two worlds can be compared. What neither looks nor
//! reads nor allocates is not seen by it; `cargo run --release -p tidegate-scale` shows that.
//!
//! Every api has an event of its own, and every tenant one, so that whoever looks through all events of a
//! world for each api or each pool is found out. The engine's own rules answer, which need no component.

use crate::memory;
use crate::world;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidegate_core::catalog::{Api, Catalog, Versioned};
use tidegate_core::distribution::Distribution;
use tidegate_core::event::Event;
use tidegate_core::frame::Column;
use tidegate_core::ids::{ApiId, Generation, PoolId, TenantId};
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::{Allocator, Forecaster, Tierer};
use tidegate_core::ports::storage::{Completion, History, StoreError, Watermark};
use tidegate_core::roster::{Member, Retreat, Roster};
use tidegate_core::sample::{SampleBatch, SeriesKey};
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::Signal;
use tidegate_flow::baseline::{BaseTier, FloorsFirst, LastValue};
use tidegate_flow::cycle::{self, Input, Pins, PoolState, Settings};
use tidegate_flow::forecast::Refresh;

/// A past in which every series is measured up to a minute, and has a value that its key draws.
struct Past {
    until: Timestamp,
}

thread_local! {
    static READS: Cell<u64> = const { Cell::new(0) };
}

impl History for Past {
    fn append(&self, _batch: SampleBatch, _done: Completion) {}

    fn column(&self, key: &SeriesKey, grid: Grid) -> Result<Column, StoreError> {
        READS.set(READS.get() + 1);
        let level = key.api.name.as_str().len() as f64 + f64::from(key.signal.is_count());
        let value = |i: usize| match grid.at(i + 1) <= self.until {
            true => level + (i % 7) as f64,
            false => f64::NAN,
        };
        Ok(Column {
            signal: key.signal,
            start: grid.start,
            step: grid.step,
            values: (0..grid.count).map(value).collect(),
        })
    }

    fn distributions(
        &self,
        _api: &ApiId,
        grid: Grid,
    ) -> Result<Vec<Option<Distribution>>, StoreError> {
        READS.set(READS.get() + 1);
        Ok(vec![None; grid.count])
    }

    fn series(&self) -> Vec<SeriesKey> {
        vec![]
    }

    fn newest(&self, _key: &SeriesKey) -> Option<Timestamp> {
        READS.set(READS.get() + 1);
        Some(self.until)
    }

    fn watermark(&self) -> Watermark {
        Watermark::default()
    }
}

/// The engine's own rules for everybody.
struct Rules {
    forecaster: Roster<dyn Forecaster>,
    tierer: Roster<dyn Tierer>,
    allocator: Roster<dyn Allocator>,
}

fn rule<P: ?Sized>(name: &str, policy: Arc<P>) -> Roster<P> {
    Roster::of(vec![Member {
        module: ModuleRef::native(name),
        binding: None,
        retreat: Retreat::Baseline,
        config: "{}".into(),
        policy,
    }])
}

impl Pins for Rules {
    fn forecaster(&self, _api: &Api, _signal: Signal) -> Roster<dyn Forecaster> {
        self.forecaster.clone()
    }

    fn tierer(&self, _tenant: &TenantId) -> Roster<dyn Tierer> {
        self.tierer.clone()
    }

    fn allocator(&self, _pool: &PoolId) -> Roster<dyn Allocator> {
        self.allocator.clone()
    }
}

fn declared(apis: usize, pools: usize) -> Catalog {
    let mut catalog = world::catalog(apis, pools).unwrap();
    let ids: Vec<ApiId> = catalog.apis.keys().cloned().collect();
    let tenants: Vec<TenantId> = catalog.tenants.keys().cloned().collect();
    let start = world::instant(30);
    let mut put = |id: String, apis: Vec<ApiId>| {
        let once = Event::once(id.parse().unwrap(), "sale", start, 600);
        let event = Event {
            apis,
            minimum_uplift: Some(1.5),
            ..once
        };
        let value = Versioned {
            generation: Generation(1),
            value: event,
        };
        catalog.events.insert(value.value.id.clone(), value);
    };
    for tenant in tenants {
        put(format!("{tenant}/all"), vec![]);
    }
    for id in ids {
        put(id.to_string(), vec![id]);
    }
    catalog
}

/// What one turn over a world took: looks at what is declared, reads of history, pieces of memory.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Work {
    looks: u64,
    reads: u64,
    pieces: u64,
}

impl Work {
    fn each(self, apis: usize) -> [f64; 3] {
        [self.looks, self.reads, self.pieces].map(|n| n as f64 / apis as f64)
    }
}

/// The work of the third turn: the first two read and keep what later ones remember.
fn turn(apis: usize, pools: usize) -> Work {
    let catalog = declared(apis, pools);
    let rules = Rules {
        forecaster: rule("last-value", Arc::new(LastValue)),
        tierer: rule("base-tier", Arc::new(BaseTier)),
        allocator: rule("floors-first", Arc::new(FloorsFirst)),
    };
    let settings = Settings {
        lanes: 1,
        // As seldom in every world, or small ones would forecast more.
        refresh: Refresh {
            series_per_step: 1,
            longest: 10,
        },
        ..Settings::default()
    };
    let mut states: BTreeMap<PoolId, PoolState> = BTreeMap::new();
    let looks = || catalog.apis.looks() + catalog.slos.looks() + catalog.events.looks();
    let mut before = (0, 0, 0);
    for minute in 0..3 {
        let past = Past {
            until: world::instant(minute),
        };
        before = (looks(), READS.get(), memory::pieces());
        for pool in catalog.pools.keys() {
            let state = states.entry(pool.clone()).or_default();
            let output = cycle::run(
                &Input {
                    now: world::instant(minute),
                    pool,
                    catalog: &catalog,
                    history: &past,
                    pins: &rules,
                    settings: &settings,
                },
                state,
            );
            let output = output.unwrap();
            assert!(output.record.is_some());
            state.commit(output.delta, output.record);
        }
    }
    Work {
        looks: looks() - before.0,
        reads: READS.get() - before.1,
        pieces: memory::pieces() - before.2,
    }
}

/// Compares each world with the first: no api costs more than a tenth more. (A tree that is ten times as
/// large is one level deeper, and has its pieces of memory for that.)
fn check(worlds: &[(usize, usize)]) {
    println!("  apis pools |  looks  reads pieces, per api");
    let mut least: Option<[f64; 3]> = None;
    for &(apis, pools) in worlds {
        let each = turn(apis, pools).each(apis);
        let [looks, reads, pieces] = each;
        println!("{apis:>6} {pools:>5} | {looks:>6.2} {reads:>6.2} {pieces:>6.1}");
        let least = least.get_or_insert(each);
        for (now, first) in each.iter().zip(least) {
            assert!(
                *now <= *first * 1.1,
                "{apis} apis in {pools} pools: {each:?}"
            );
        }
    }
}

#[test]
#[cfg_attr(
    not(debug_assertions),
    ignore = "looks are counted with debug assertions"
)]
fn a_cycle_costs_what_its_pool_holds_however_many_pools_there_are() {
    check(&[(30, 1), (300, 10), (3000, 100)]);
}

#[test]
#[cfg_attr(
    not(debug_assertions),
    ignore = "looks are counted with debug assertions"
)]
fn a_pool_of_a_hundred_times_as_many_apis_costs_a_hundred_times_as_much() {
    check(&[(30, 1), (300, 1), (3000, 1)]);
}
