//! What the operator decided about modules: limits, per tenant where they differ, and keys.
//!
//! Read from the configuration once, when the daemon starts; nothing here changes while it runs.

use super::signature::{Key, Keys};
use crate::config::PoliciesConfig;
use anyhow::{Context, Result, anyhow};
use std::collections::BTreeMap;
use tidegate_core::ids::TenantId;
use tidegate_engine::Limits;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    limits: Limits,
    tenants: BTreeMap<TenantId, Limits>,
    pub(super) keys: Keys,
}

impl Rules {
    /// The configured ones.
    pub(crate) fn of(config: &PoliciesConfig) -> Result<Self> {
        let limits = config.limits.over(&Limits::default());
        let mut tenants = BTreeMap::new();
        for (name, own) in &config.tenants {
            let tenant = name.parse().context("policies.tenants")?;
            tenants.insert(tenant, own.over(&limits));
        }
        let keys = config.trusted_keys.iter().map(|key| {
            let at = || format!("policies.trusted_keys: `{}`", key.name);
            let tenants = key.tenants.as_ref();
            let tenants = tenants.map(|all| all.iter().map(|t| t.parse()).collect());
            let tenants = tenants.transpose().with_context(at)?;
            Key::parse(&key.name, &key.key, tenants).map_err(|why| anyhow!("{}: {why}", at()))
        });
        Ok(Self {
            limits,
            tenants,
            keys: Keys::of(keys.collect::<Result<_>>()?),
        })
    }

    /// What a module of an owner may use.
    pub(super) fn limits(&self, owner: Option<&TenantId>) -> &Limits {
        let own = owner.and_then(|tenant| self.tenants.get(tenant));
        own.unwrap_or(&self.limits)
    }
}
