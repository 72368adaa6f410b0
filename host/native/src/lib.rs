//! The shipped forecasters without their sandbox, for `evaluate --native`, examples and tests.
//!
//! What runs is the plugin's own glue over its own model, through the functions that its component
//! exports: only WebAssembly is left out. So a difference between the two is a difference of the
//! sandbox (its price in time, a bit that changed), never of the code. It is a crate of its own
//! because it alone sees both `core` and the guest SDK; nothing that serves depends on it.
//!
//! Rejected: an adapter over the model crates' `fit`, `update` and `predict`. It would skip the
//! envelope that the SDK puts around states, and so measure something that never runs.

mod convert;
mod forecaster;

pub use forecaster::Native;

use std::sync::Arc;
use tidegate_core::policy::Forecaster;
use tidegate_guest::forecaster::Component;
use tidegate_guest::wit::forecaster::exports::tidegate::policy::forecasting::Guest;

/// A forecaster that is linked in.
#[derive(Debug, Clone)]
pub struct Linked {
    /// The module's name, as a binding names it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// JSON Schema of its config.
    pub config_schema: String,
    /// What it does.
    pub forecaster: Arc<dyn Forecaster>,
}

impl Linked {
    fn of<G: Guest + 'static>() -> Self {
        let said = G::describe();
        Self {
            name: said.name,
            version: said.version,
            config_schema: said.config_schema,
            forecaster: Arc::new(Native::<G>::new()),
        }
    }
}

/// Every shipped forecaster. A new plugin adds its line here and in `Cargo.toml`; one that learns a
/// cohort together is a `tidegate_guest::joint::Component`.
#[must_use]
pub fn forecasters() -> Vec<Linked> {
    vec![
        Linked::of::<Component<tidegate_plugin_seasonal_naive::SeasonalNaive>>(),
        Linked::of::<Component<tidegate_plugin_ets::Ets>>(),
        Linked::of::<Component<tidegate_plugin_theta::Theta>>(),
        Linked::of::<Component<tidegate_plugin_arima::Arima>>(),
        Linked::of::<Component<tidegate_plugin_prophet::Prophet>>(),
        Linked::of::<tidegate_guest::joint::Component<tidegate_plugin_lstm::Lstm>>(),
        Linked::of::<Component<tidegate_plugin_ensemble::Ensemble>>(),
    ]
}

/// The shipped forecaster of that name.
#[must_use]
pub fn forecaster(name: &str) -> Option<Linked> {
    forecasters().into_iter().find(|linked| linked.name == name)
}
