//! Who decides: the same roster for every api, pinned for the whole run.

use std::sync::Arc;
use tidegate_core::catalog::Api;
use tidegate_core::ids::{PoolId, TenantId};
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::{Allocator, Forecaster, Tierer};
use tidegate_core::roster::{Member, Retreat, Roster};
use tidegate_core::units::Signal;
use tidegate_flow::baseline::{BaseTier, FloorsFirst, LastValue};
use tidegate_flow::cycle::Pins;

/// See the module.
#[derive(Debug, Clone)]
pub struct Policies {
    forecaster: Roster<dyn Forecaster>,
    tierer: Roster<dyn Tierer>,
    allocator: Roster<dyn Allocator>,
}

impl Policies {
    /// These modules, and behind each the engine's own rule, as in the daemon.
    #[must_use]
    pub fn new(
        forecaster: Member<dyn Forecaster>,
        tierer: Member<dyn Tierer>,
        allocator: Member<dyn Allocator>,
    ) -> Self {
        Self {
            forecaster: Roster::of(vec![
                forecaster,
                baseline("last-value", Arc::new(LastValue)),
            ]),
            tierer: Roster::of(vec![tierer, baseline("base-tier", Arc::new(BaseTier))]),
            allocator: Roster::of(vec![
                allocator,
                baseline("floors-first", Arc::new(FloorsFirst)),
            ]),
        }
    }

    /// The engine's own rules alone.
    #[must_use]
    pub fn baselines() -> Self {
        Self {
            forecaster: Roster::of(vec![baseline("last-value", Arc::new(LastValue))]),
            tierer: Roster::of(vec![baseline("base-tier", Arc::new(BaseTier))]),
            allocator: Roster::of(vec![baseline("floors-first", Arc::new(FloorsFirst))]),
        }
    }
}

fn baseline<P: ?Sized>(name: &str, policy: Arc<P>) -> Member<P> {
    Member {
        module: ModuleRef::native(name),
        binding: None,
        retreat: Retreat::Baseline,
        config: "{}".into(),
        policy,
    }
}

impl Pins for Policies {
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
