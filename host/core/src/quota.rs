//! What a tenant may have at most, and the refusal that says so.
//!
//! A quota is a field of the tenant and has its name, so that whoever is refused and whoever can raise
//! it speak of the same thing. A refusal tells which quota, its limit and the remedy, in every
//! protocol; it takes nothing away from what was there before, nor from other tenants in the same
//! call. The share of a pool is a quota too, and no refusal: the plan keeps it (AL4), and `why` says
//! when it was the bound.

use crate::ids::{PoolId, TenantId};
use crate::units::Resources;
use std::fmt;

/// Quotas that refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quota {
    /// Series that exist.
    Series,
    /// Samples per second.
    Samples,
    /// Modules that it holds.
    Modules,
}

impl Quota {
    /// The field of a tenant that sets it.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Quota::Series => "max_series",
            Quota::Samples => "max_samples_per_s",
            Quota::Modules => "max_modules",
        }
    }

    /// The name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Quota::Series => "series",
            Quota::Samples => "rate",
            Quota::Modules => "modules",
        }
    }
}

/// A quota that is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub quota: Quota,
    /// What it allows.
    pub limit: u64,
    /// When another try makes sense; `None` where only a larger quota helps.
    pub retry_ms: Option<u64>,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, limit, .. } = self;
        let field = self.quota.field();
        match self.quota {
            Quota::Series => write!(f, "tenant `{tenant}` has its {limit} series")?,
            Quota::Samples => write!(f, "tenant `{tenant}` may send {limit} samples/s")?,
            Quota::Modules => write!(f, "tenant `{tenant}` holds its {limit} modules")?,
        }
        match self.retry_ms {
            Some(ms) => write!(
                f,
                "; retry in {ms} ms or have an admin raise `{field}` of the tenant"
            ),
            None => write!(f, "; have an admin raise `{field}` of the tenant"),
        }
    }
}

/// What a tenant uses of its quotas.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Usage {
    /// Series that exist.
    pub series: u64,
    /// Samples per second in the last full minute.
    pub samples_per_s: f64,
    /// Modules that it holds.
    pub modules: u64,
    /// Samples that a quota refused since the daemon started.
    pub refused_samples: u64,
    /// Its share of each pool in which it has apis, ascending.
    pub pools: Vec<PoolShare>,
}

/// What a tenant holds of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolShare {
    /// The pool.
    pub pool: PoolId,
    /// Sum of its apis' limits now.
    pub held: Resources,
    /// Most that it may hold; a dimension that is absent is not bounded.
    pub quota: Resources,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_quota_its_limit_and_the_remedy() {
        let exceeded = |quota, retry_ms| Exceeded {
            tenant: "shop".parse().unwrap(),
            quota,
            limit: 4,
            retry_ms,
        };
        assert_eq!(
            exceeded(Quota::Modules, None).to_string(),
            "tenant `shop` holds its 4 modules; have an admin raise `max_modules` of the tenant"
        );
        assert_eq!(
            exceeded(Quota::Samples, Some(250)).to_string(),
            "tenant `shop` may send 4 samples/s; retry in 250 ms or have an admin raise \
             `max_samples_per_s` of the tenant"
        );
    }
}
