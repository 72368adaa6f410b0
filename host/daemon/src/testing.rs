//! A world in a directory of its own, under a driven clock, for the tests beside the code. No module
//! is admitted unless a test asks for it: the baselines answer, and opening takes milliseconds.

use crate::clock::Clock;
use crate::driver;
use crate::gate::Gate;
use crate::policies::{Policies, Rules, Trials};
use crate::world::World;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, mpsc};
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::{Api, Change, Object, ObjectKey, Pool, Tenant};
use tidegate_core::ports::serve::{CatalogPort, IngestPort, Run};
use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Values};
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::{Dimension, Resources, Signal};
use tidegate_flow::cycle::Settings;
use tidegate_store::Store;
use tidegate_telemetry::Metrics;

/// Opens a world; what was kept in `dir` before is there again.
pub(crate) fn gate(dir: &Path) -> Gate {
    let store = Store::open(dir.join("store"), tidegate_store::Options::default()).unwrap();
    let policies = Policies::open(
        &dir.join("modules"),
        &store,
        Trials::Inside,
        Rules::default(),
    )
    .unwrap();
    let clock = Clock::driven(Timestamp(0));
    let settings = Settings::default();
    let world = World::open(
        clock,
        settings,
        3_600_000,
        store,
        policies,
        Metrics::nowhere(),
    );
    Gate {
        world: Arc::new(world.unwrap()),
    }
}

/// A credential of some tenants.
pub(crate) fn of(role: Role, tenants: &[&str]) -> Principal {
    Principal {
        name: format!("{}-{}", role.name(), tenants.join("-")),
        role,
        tenants: Some(tenants.iter().map(|t| t.parse().unwrap()).collect()),
    }
}

pub(crate) fn tenant(name: &str) -> Object {
    Object::Tenant(Tenant {
        id: name.parse().unwrap(),
        max_series: 100,
        max_samples_per_s: 1000,
        max_modules: 4,
    })
}

pub(crate) fn pool(name: &str) -> Object {
    Object::Pool(Pool {
        id: name.parse().unwrap(),
        ready: Resources::NONE.with(Dimension::Cpu, 8.0),
        max: Resources::NONE,
        min: Resources::NONE,
        lead_time_s: 0,
        unit_cost: Resources::NONE,
        quotas: std::collections::BTreeMap::new(),
    })
}

pub(crate) fn api(name: &str, pool: &str) -> Object {
    Object::Api(Api {
        category: "web".into(),
        ..Api::free(name.parse().unwrap(), pool.parse().unwrap())
    })
}

impl Gate {
    /// Applies objects as the local administrator.
    pub(crate) fn put(&self, objects: Vec<Object>) {
        let change = |object| Change::Put {
            object: Box::new(object),
            expect: None,
        };
        let changes = objects.into_iter().map(change).collect();
        self.apply(&Principal::local(), changes, Run::Real).unwrap();
    }

    /// Deletes what stands under the keys of objects.
    pub(crate) fn delete(&self, objects: &[Object]) {
        let change = |key: ObjectKey| Change::Delete { key, expect: None };
        let changes = objects.iter().map(|o| change(o.key())).collect();
        self.apply(&Principal::local(), changes, Run::Real).unwrap();
    }

    /// Feeds minutes of a load that swings to an api, and waits until they are durable.
    pub(crate) fn feed(&self, api: &str, minutes: Range<i64>) {
        let series = |(signal, cost): (Signal, f64)| SeriesSamples {
            key: SeriesKey {
                api: api.parse().unwrap(),
                signal,
            },
            step: Step::MINUTE,
            times: minutes.clone().map(|m| Timestamp(m * 60_000)).collect(),
            values: Values::Numbers(
                minutes
                    .clone()
                    .map(|m| cost * (100 + m % 17) as f64)
                    .collect(),
            ),
        };
        let series = [(Signal::Requests, 60.0), (Signal::Cpu, 0.01)].map(series);
        let batch = SampleBatch {
            series: series.into(),
        };
        let (done, heard) = mpsc::sync_channel(1);
        let acked = Box::new(move |outcome| done.send(outcome).unwrap());
        self.ingest(&Principal::local(), batch, acked);
        let (_, rejections) = heard.recv().unwrap().unwrap();
        assert_eq!(rejections, []);
    }

    /// Moves the clock to a minute.
    pub(crate) fn to(&self, minute: i64) {
        driver::advance(&self.world, Timestamp(minute * 60_000));
    }
}
