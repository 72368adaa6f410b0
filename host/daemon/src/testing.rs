//! A world in a directory of its own, under a driven clock, for the tests beside the code. No module
//! is admitted unless a test asks for it: the baselines answer, and opening takes milliseconds.

use crate::clock::Clock;
use crate::driver;
use crate::gate::Gate;
use crate::policies::{Policies, Rules, Trials};
use crate::world::World;
use std::path::Path;
use std::sync::Arc;
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::{Api, Change, Object, ObjectKey, Pool, Tenant};
use tidegate_core::ports::serve::{CatalogPort, Run};
use tidegate_core::time::Timestamp;
use tidegate_core::units::{Dimension, Resources};
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

    /// Moves the clock to a minute.
    pub(crate) fn to(&self, minute: i64) {
        driver::advance(&self.world, Timestamp(minute * 60_000));
    }
}
