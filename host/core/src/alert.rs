//! Alerts: what an operator must know now, as data.

use crate::ids::{ApiId, PoolId};
use crate::time::Timestamp;

/// What kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// A pool cannot meet the demand that tiers have bought.
    Contention,
    /// Gold floors do not fit the pool: all were cut in proportion.
    GoldFloorsCut,
    /// An error budget burns too fast.
    SloBurn,
    /// A policy module failed and another answered.
    ModuleFault,
    /// No fresh data for a feed.
    StaleFeed,
    /// A plan was held because no new one could be made.
    PlanHeld,
    /// The store has less room than what is to be kept takes.
    StoreRoom,
}

impl AlertKind {
    /// The name in APIs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AlertKind::Contention => "contention",
            AlertKind::GoldFloorsCut => "gold-floors-cut",
            AlertKind::SloBurn => "slo-burn",
            AlertKind::ModuleFault => "module-fault",
            AlertKind::StaleFeed => "stale-feed",
            AlertKind::PlanHeld => "plan-held",
            AlertKind::StoreRoom => "store-room",
        }
    }
}

/// How urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

/// One alert. The same `(kind, pool, api, subject)` raised again is the same alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// What.
    pub kind: AlertKind,
    /// How urgent.
    pub severity: Severity,
    /// Where, if it is about a pool.
    pub pool: Option<PoolId>,
    /// Where, if it is about an api; of a group of apis its first.
    pub api: Option<ApiId>,
    /// A dimension, module, feed or group (`TEMPLATE/SLO`) that tells alerts of one kind apart.
    pub subject: String,
    /// When it was seen (on the cycle's clock).
    pub at: Timestamp,
    /// For a person: what happened, what was done about it, what to do.
    pub message: String,
}
