//! What is told of an object beside what was declared: never read back, so that what a caller gets can
//! be changed and applied again as it stands.

use super::words::resources_out;
use tidegate_core::forecast::Champion;
use tidegate_core::ids::ApiId;
use tidegate_core::quota::Usage;
use tidegate_proto::v1;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// What a tenant uses.
    pub(crate) usage: Option<Usage>,
    /// How the forecasts of an api fare.
    pub(crate) champions: Vec<Champion>,
    /// The apis that a template selects.
    pub(crate) group: Vec<ApiId>,
}

pub(super) fn usage_out(usage: &Usage) -> v1::TenantUsage {
    v1::TenantUsage {
        series: usage.series,
        samples_per_s: usage.samples_per_s,
        modules: usage.modules,
        refused_samples: usage.refused_samples,
        pools: usage
            .pools
            .iter()
            .map(|share| v1::PoolShare {
                pool: share.pool.to_string(),
                held: Some(resources_out(&share.held)),
                quota: Some(resources_out(&share.quota)),
            })
            .collect(),
    }
}
