//! The part of the configuration that is about modules: how they are tried, what they may use, and
//! whose signature they must bear.
//!
//! Limits are a ceiling on what a manifest may ask for; a tenant's replace the daemon's key by key,
//! so that one plan can be narrower or wider than another. Keys of a tenant are demanded beside those
//! of the daemon: whoever runs the daemon and demands signatures demands them of everybody.

use super::Seconds;
use serde::Deserialize;
use std::collections::BTreeMap;
use tidegate_core::ids::TenantId;
use tidegate_engine::Limits;
use tidegate_engine::wire::Bounds;

/// See the module.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PoliciesConfig {
    /// What the process that tries a component may use.
    pub(crate) trial: Trial,
    /// What a module may use.
    pub(crate) limits: LimitsConfig,
    /// What the modules of a tenant may use, where it is something else.
    pub(crate) tenants: BTreeMap<String, LimitsConfig>,
    /// Keys of which one must have signed a module; empty demands no signature.
    pub(crate) trusted_keys: Vec<TrustedKey>,
}

/// Bounds of the process that tries a component.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Trial {
    /// Memory, in MiB.
    pub(crate) memory: u64,
    /// CPU time.
    pub(crate) cpu: Seconds,
    /// The wall's time.
    pub(crate) wall: Seconds,
}

impl Default for Trial {
    fn default() -> Self {
        let bounds = Bounds::default();
        let seconds = |s| Seconds(u32::try_from(s).unwrap_or(u32::MAX));
        Self {
            memory: bounds.memory_bytes >> 20,
            cpu: seconds(bounds.cpu_s),
            wall: seconds(bounds.wall_s),
        }
    }
}

/// Ceilings; what is absent stays as it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsConfig {
    /// Size of a component, in KiB.
    pub(crate) component: Option<u64>,
    /// Memory of one call, in MiB.
    pub(crate) memory: Option<u64>,
    /// Milliseconds of a call other than `fit`.
    pub(crate) deadline_ms: Option<u64>,
    /// Time of a fit.
    pub(crate) fit_deadline: Option<Seconds>,
    /// Calls of one module at the same time.
    pub(crate) concurrency: Option<u32>,
    /// Of those, calls through one binding.
    pub(crate) concurrency_per_binding: Option<u32>,
    /// Memory of all calls of one module together, in MiB.
    pub(crate) memory_together: Option<u64>,
    /// Size of one answer, in MiB.
    pub(crate) answer: Option<u64>,
    /// Log of one call, in KiB.
    pub(crate) log: Option<u64>,
}

/// A key that is trusted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrustedKey {
    /// For logs and refusals.
    pub(crate) name: String,
    /// Ed25519 public key: PEM, or 64 hexadecimal digits; `tidegate policy key` makes one.
    pub(crate) key: String,
    /// For whose modules it is trusted and a signature demanded; absent means everybody's.
    pub(crate) tenants: Option<Vec<String>>,
}

impl PoliciesConfig {
    /// Checks what the types cannot.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Trial { memory, cpu, wall } = &self.trial;
        if *memory < 128 {
            return Err(format!(
                "policies.trial.memory: {memory} MiB do not suffice to compile anything; write at least 128"
            ));
        }
        if cpu.0 == 0 || wall.0 == 0 {
            return Err("policies.trial: `cpu` and `wall` must be at least 1s".into());
        }
        for (name, limits) in self.every() {
            let zero = [
                ("component", limits.component == Some(0)),
                ("memory", limits.memory == Some(0)),
                ("deadline_ms", limits.deadline_ms == Some(0)),
                (
                    "fit_deadline",
                    limits.fit_deadline.is_some_and(|s| s.0 == 0),
                ),
                ("concurrency", limits.concurrency == Some(0)),
                (
                    "concurrency_per_binding",
                    limits.concurrency_per_binding == Some(0),
                ),
                ("memory_together", limits.memory_together == Some(0)),
                ("answer", limits.answer == Some(0)),
            ];
            if let Some((key, _)) = zero.iter().find(|(_, zero)| *zero) {
                return Err(format!(
                    "{name}.{key}: 0 admits nothing; leave it out for the default"
                ));
            }
        }
        for tenant in self.tenants.keys() {
            let parsed: Result<TenantId, _> = tenant.parse();
            parsed.map_err(|e| format!("policies.tenants: `{tenant}`: {e}"))?;
        }
        Ok(())
    }

    fn every(&self) -> impl Iterator<Item = (String, &LimitsConfig)> {
        let own = self.tenants.iter();
        let own = own.map(|(tenant, limits)| (format!("policies.tenants.{tenant}"), limits));
        std::iter::once(("policies.limits".to_owned(), &self.limits)).chain(own)
    }

    /// Bounds of a trial.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            memory_bytes: self.trial.memory.saturating_mul(1 << 20),
            cpu_s: u64::from(self.trial.cpu.0),
            wall_s: u64::from(self.trial.wall.0),
            ..Bounds::default()
        }
    }
}

impl LimitsConfig {
    /// These limits over others.
    pub(crate) fn over(&self, below: &Limits) -> Limits {
        let mib = |n: u64| n.saturating_mul(1 << 20);
        let kib = |n: u64| usize::try_from(n.saturating_mul(1024)).unwrap_or(usize::MAX);
        Limits {
            component_bytes: self.component.map_or(below.component_bytes, kib),
            memory_max: self.memory.map_or(below.memory_max, mib),
            memory_of_module: self.memory_together.map_or(below.memory_of_module, mib),
            deadline_ms_max: self.deadline_ms.unwrap_or(below.deadline_ms_max),
            fit_deadline_ms_max: self
                .fit_deadline
                .map_or(below.fit_deadline_ms_max, |s| u64::from(s.0) * 1000),
            concurrency: self.concurrency.unwrap_or(below.concurrency),
            concurrency_of_binding: self
                .concurrency_per_binding
                .unwrap_or(below.concurrency_of_binding),
            returned_bytes: self
                .answer
                .map_or(below.returned_bytes, |n| kib(n.saturating_mul(1024))),
            log_bytes: self.log.map_or(below.log_bytes, kib),
            ..below.clone()
        }
    }
}
