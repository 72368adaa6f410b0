//! The shipped models as native policies: the thinking of each plugin without its component.
//!
//! The pure crate is the same one that the component links, so what a story shows of `waterfill`
//! is what the daemon does. Forecasters run with their glue and the SDK's envelope around states
//! (`tidegate_native`); of tierers and allocators, whose states are plain bytes, the model alone
//! is called; `learned` writes and reads its own.

mod judges;
mod pools;
mod tiers;

pub use pools::fit_columns;

use crate::broken::{Breakable, Switch};
use std::sync::Arc;
use tidegate_core::ids::Digest;
use tidegate_core::module::{ModuleKind, ModuleRef};
use tidegate_core::policy::{Allocator, CallError, Forecaster, PolicyError, Tierer};
use tidegate_engine::{Candidate, Policy};
use tidegate_model_kit::ModelError;

/// A native module that a slot can hold, and the switch that breaks it.
#[derive(Debug, Clone)]
pub struct Native {
    /// Its name, with a digest of its name and version, so that it can be quarantined.
    pub module: ModuleRef,
    /// JSON Schema of its config.
    pub config_schema: String,
    /// The policy.
    pub policy: Policy,
    /// Breaks it.
    pub switch: Switch,
}

impl Native {
    /// A native policy of one's own. Its config may be anything.
    #[must_use]
    pub fn new(name: &str, version: &str, policy: Policy) -> Self {
        let module = ModuleRef {
            name: name.into(),
            version: version.into(),
            digest: Digest::of(format!("{name} {version}").as_bytes()),
        };
        let switch = Switch::default();
        Self {
            module,
            config_schema: "{}".into(),
            policy: breakable(policy, &switch),
            switch,
        }
    }

    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> ModuleKind {
        self.policy.kind()
    }

    /// As a slot takes it.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        Candidate {
            module: self.module.clone(),
            config_schema: self.config_schema.clone(),
            policy: self.policy.clone(),
        }
    }

    fn schema(mut self, schema: &str) -> Self {
        self.config_schema = schema.into();
        self
    }
}

fn breakable(policy: Policy, switch: &Switch) -> Policy {
    match policy {
        Policy::Forecaster(p) => forecaster(p, switch.clone()),
        Policy::Tierer(p) => tierer(p, switch.clone()),
        Policy::Allocator(p) => allocator(p, switch.clone()),
        judge @ Policy::Judge(_) => judge,
    }
}

fn forecaster(policy: Arc<dyn Forecaster>, switch: Switch) -> Policy {
    Policy::Forecaster(Arc::new(Breakable::new(policy, switch)))
}

fn tierer(policy: Arc<dyn Tierer>, switch: Switch) -> Policy {
    Policy::Tierer(Arc::new(Breakable::new(policy, switch)))
}

fn allocator(policy: Arc<dyn Allocator>, switch: Switch) -> Policy {
    Policy::Allocator(Arc::new(Breakable::new(policy, switch)))
}

/// A shipped model by its name, and by `NAME@VERSION` as another version with the same thinking.
#[must_use]
pub fn native(text: &str) -> Option<Native> {
    let (name, version) = text.split_once('@').unwrap_or((text, "0.1.0"));
    if let Some(linked) = tidegate_native::forecaster(name) {
        let policy = Policy::Forecaster(linked.forecaster);
        return Some(Native::new(name, version, policy).schema(&linked.config_schema));
    }
    let (policy, schema) = match name {
        "slo-tiers" => (
            Policy::Tierer(Arc::new(tiers::SloTiers)),
            tidegate_model_slo_tiers::CONFIG_SCHEMA,
        ),
        "proportional" => (
            Policy::Allocator(Arc::new(pools::Proportional)),
            tidegate_model_proportional::CONFIG_SCHEMA,
        ),
        "waterfill" => (
            Policy::Allocator(Arc::new(pools::Waterfill)),
            tidegate_model_waterfill::CONFIG_SCHEMA,
        ),
        "learned" => (
            Policy::Allocator(Arc::new(pools::Learned)),
            tidegate_model_learned::CONFIG_SCHEMA,
        ),
        "sequential-judge" => (
            Policy::Judge(Arc::new(judges::Sequential)),
            tidegate_model_sequential_judge::CONFIG_SCHEMA,
        ),
        _ => return None,
    };
    Some(Native::new(name, version, policy).schema(schema))
}

/// A model's error in the interface's words.
fn said(error: &ModelError) -> PolicyError {
    let text = error.to_string();
    match error {
        ModelError::InvalidInput(_) => PolicyError::InvalidInput(text),
        ModelError::NotFitted => PolicyError::NotFitted(text),
        ModelError::InsufficientData { have, need } => PolicyError::InsufficientData {
            have: u32::try_from(*have).unwrap_or(u32::MAX),
            need: u32::try_from(*need).unwrap_or(u32::MAX),
        },
        ModelError::Numeric(_) => PolicyError::Numeric(text),
        ModelError::Unsupported(_) => PolicyError::Unsupported(text),
        _ => PolicyError::Internal(text),
    }
}

fn config<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, CallError> {
    serde_json::from_str(text)
        .map_err(|e| CallError::Policy(PolicyError::InvalidInput(format!("config: {e}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::policy::Blob;

    #[test]
    fn learned_goes_on_from_nothing_and_from_no_state_but_its_own() {
        let policy = native("learned").map(|learned| learned.policy);
        let Some(Policy::Allocator(learned)) = policy else {
            panic!("it is shipped as an allocator");
        };
        let state = |bytes: &[u8]| Blob {
            format: 1,
            bytes: bytes.to_vec(),
        };
        assert!(learned.migrate(&state(&[])).is_ok());
        assert!(learned.migrate(&state(&[255; 9])).is_err());
    }
}
