//! The documents, kind by kind, and what they are on the wire.

use super::amounts::{Quantity, Share};
use crate::config::Seconds;
use serde::Deserialize;
use std::collections::BTreeMap;
use tidegate_client::v1;

/// Which kind a document declares; read before, by [`super::Head`].
pub(super) type Kind = serde::de::IgnoredAny;

/// Amounts per dimension.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Resources {
    cpu: Option<Quantity>,
    memory: Option<Quantity>,
    network: Option<Quantity>,
    io: Option<Quantity>,
    requests: Option<Quantity>,
}

impl From<Resources> for v1::Resources {
    fn from(r: Resources) -> Self {
        let number = |q: Option<Quantity>| q.map(|q| q.0);
        v1::Resources {
            cpu: number(r.cpu),
            memory: number(r.memory),
            network: number(r.network),
            io: number(r.io),
            requests: number(r.requests),
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tier {
    Bronze,
    Silver,
    Gold,
}

/// A tier that it stays in, or `none`: not pinned, whatever a template says.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Pin {
    None,
    Bronze,
    Silver,
    Gold,
}

impl Pin {
    /// On the wire: the tier, and whether there is none.
    pub(super) fn out(pin: Option<Pin>) -> (i32, bool) {
        let at = match pin {
            None | Some(Pin::None) => None,
            Some(Pin::Bronze) => Some(Tier::Bronze),
            Some(Pin::Silver) => Some(Tier::Silver),
            Some(Pin::Gold) => Some(Tier::Gold),
        };
        (tier(at), matches!(pin, Some(Pin::None)))
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Observe,
    Recommend,
    Enforce,
}

pub(super) fn tier(tier: Option<Tier>) -> i32 {
    let tier = match tier {
        None => v1::Tier::Unspecified,
        Some(Tier::Bronze) => v1::Tier::Bronze,
        Some(Tier::Silver) => v1::Tier::Silver,
        Some(Tier::Gold) => v1::Tier::Gold,
    };
    tier.into()
}

pub(super) fn mode(mode: Option<Mode>) -> i32 {
    let mode = match mode {
        None => v1::Mode::Unspecified,
        Some(Mode::Observe) => v1::Mode::Observe,
        Some(Mode::Recommend) => v1::Mode::Recommend,
        Some(Mode::Enforce) => v1::Mode::Enforce,
    };
    mode.into()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    #[serde(rename = "kind")]
    _kind: Kind,
    name: String,
    #[serde(default = "default_series")]
    max_series: u64,
    #[serde(default = "default_samples")]
    max_samples_per_s: u64,
    #[serde(default = "default_modules")]
    max_modules: u64,
}

fn default_series() -> u64 {
    10_000
}

fn default_samples() -> u64 {
    100_000
}

fn default_modules() -> u64 {
    20
}

impl From<Tenant> for v1::Tenant {
    fn from(t: Tenant) -> Self {
        v1::Tenant {
            name: t.name,
            max_series: t.max_series,
            max_samples_per_s: t.max_samples_per_s,
            max_modules: t.max_modules,
            usage: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pool {
    #[serde(rename = "kind")]
    _kind: Kind,
    name: String,
    ready: Resources,
    max: Option<Resources>,
    min: Option<Resources>,
    #[serde(alias = "lead_time_s")]
    lead_time: Option<Seconds>,
    unit_cost: Option<Resources>,
    #[serde(default)]
    quotas: BTreeMap<String, Resources>,
}

impl From<Pool> for v1::Pool {
    fn from(p: Pool) -> Self {
        v1::Pool {
            name: p.name,
            ready: Some(p.ready.into()),
            max: p.max.map(Into::into),
            min: p.min.map(Into::into),
            lead_time_s: p.lead_time.map_or(0, |s| s.0),
            unit_cost: p.unit_cost.map(Into::into),
            quotas: p.quotas.into_iter().map(|(t, r)| (t, r.into())).collect(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TierSpec {
    #[serde(rename = "kind")]
    _kind: Kind,
    tier: Tier,
    demand_level: u32,
    /// 0, as left out: what the daemon takes for it.
    #[serde(default)]
    buy_level: u32,
    weight: f64,
    floor_of_expected: f64,
    step_up: f64,
    step_down: f64,
    #[serde(alias = "dwell_s")]
    dwell: Seconds,
    /// How it shares; left out: freely.
    lends: Option<bool>,
    borrows: Option<bool>,
    max_share: Option<Share>,
}

impl From<TierSpec> for v1::TierSpec {
    fn from(t: TierSpec) -> Self {
        v1::TierSpec {
            tier: tier(Some(t.tier)),
            demand_level: t.demand_level,
            buy_level: t.buy_level,
            weight: t.weight,
            floor_of_expected: t.floor_of_expected,
            step_up: t.step_up,
            step_down: t.step_down,
            dwell_s: t.dwell.0,
            lends: t.lends,
            borrows: t.borrows,
            max_share: t.max_share.map(|s| s.0),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Api {
    #[serde(rename = "kind")]
    _kind: Kind,
    name: String,
    pool: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    category: String,
    mode: Option<Mode>,
    base_tier: Option<Tier>,
    lowest_tier: Option<Tier>,
    highest_tier: Option<Tier>,
    pinned_tier: Option<Pin>,
    weight: Option<f64>,
    floor: Option<Resources>,
    ceiling: Option<Resources>,
    safe: Option<Resources>,
    expected: Option<f64>,
    #[serde(default)]
    time_zone: String,
    /// What `get` tells beside what was declared; it may come back, and declares nothing.
    #[serde(rename = "forecasts", default)]
    _forecasts: serde::de::IgnoredAny,
    /// The fields that `get` told without that anybody declared them: left open where they stand as
    /// they were told.
    #[serde(default)]
    filled: BTreeMap<String, String>,
}

impl From<Api> for v1::Api {
    fn from(a: Api) -> Self {
        let (pinned_tier, unpinned) = Pin::out(a.pinned_tier);
        v1::Api {
            name: a.name,
            pool: a.pool,
            labels: a.labels,
            category: a.category,
            mode: mode(a.mode),
            base_tier: tier(a.base_tier),
            lowest_tier: tier(a.lowest_tier),
            highest_tier: tier(a.highest_tier),
            pinned_tier,
            weight: a.weight,
            floor: a.floor.map(Into::into),
            ceiling: a.ceiling.map(Into::into),
            safe: a.safe.map(Into::into),
            expected: a.expected,
            time_zone: a.time_zone,
            forecasts: vec![],
            filled: a.filled,
            unpinned,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Selector {
    tenant: String,
    pool: String,
    category: String,
    labels: BTreeMap<String, String>,
}

impl From<Selector> for v1::Selector {
    fn from(s: Selector) -> Self {
        v1::Selector {
            tenant: s.tenant,
            pool: s.pool,
            category: s.category,
            labels: s.labels,
        }
    }
}
