//! What the demo declares: one tenant, one pool that is too small for all peaks, six apis.

use super::traces::{Api, Traces};
use super::{POOL, POOL_CORES, TENANT};
use anyhow::Result;
use tidegate_client::sim::Tier as SimTier;
use tidegate_proto::v1::{self, catalog_client::CatalogClient, policies_client::PoliciesClient};
use tonic::transport::Channel;

/// The daemon's configuration.
pub(crate) fn config(target_utilisation: f64) -> String {
    format!(
        "clock: driven\nstep: 5m\nhorizon: 2h\nplan: 1h\nvalidity: 15m\nrefit: 6h\n\
         target_utilisation: {target_utilisation}\n"
    )
}

/// `shop/orders`.
pub(crate) fn id(api: &str) -> String {
    format!("{TENANT}/{api}")
}

pub(crate) fn tier(tier: SimTier) -> v1::Tier {
    match tier {
        SimTier::Gold => v1::Tier::Gold,
        SimTier::Silver => v1::Tier::Silver,
        SimTier::Bronze => v1::Tier::Bronze,
    }
}

fn cores(cpu: f64) -> v1::Resources {
    v1::Resources {
        cpu: Some(cpu),
        ..v1::Resources::default()
    }
}

/// Applies the catalog as one change set.
pub(crate) async fn apply(channel: &Channel, traces: &Traces) -> Result<()> {
    let mut objects = vec![
        v1::object::Object::Tenant(v1::Tenant {
            name: TENANT.into(),
            max_series: 1000,
            max_samples_per_s: 1_000_000,
            max_modules: 20,
            usage: None,
        }),
        v1::object::Object::Pool(v1::Pool {
            name: POOL.into(),
            ready: Some(cores(POOL_CORES)),
            max: Some(cores(2.0 * POOL_CORES)),
            ..v1::Pool::default()
        }),
    ];
    for api in &traces.apis {
        objects.push(v1::object::Object::Api(declared(api)));
        objects.push(v1::object::Object::Slo(v1::Slo {
            name: id(&format!("{}-fast", api.name)),
            api: id(&api.name),
            indicator: Some(v1::slo::Indicator::Latency(v1::LatencyIndicator {
                threshold: api.threshold,
            })),
            objective: api.promise.objective,
            window_s: 7 * 86_400,
            origin: None,
        }));
    }
    let changes = objects
        .into_iter()
        .map(|value| v1::Change {
            change: Some(v1::change::Change::Put(v1::Put {
                object: Some(v1::Object {
                    object: Some(value),
                }),
                ..v1::Put::default()
            })),
        })
        .collect();
    CatalogClient::new(channel.clone())
        .apply(v1::ApplyRequest {
            changes,
            dry_run: false,
        })
        .await?;
    Ok(())
}

/// Gold stays gold; the others may be moved one tier up by the tierer when their objective burns.
fn declared(api: &Api) -> v1::Api {
    let base = tier(api.tier);
    v1::Api {
        name: id(&api.name),
        pool: POOL.into(),
        category: "web".into(),
        mode: v1::Mode::Enforce.into(),
        base_tier: base.into(),
        lowest_tier: base.into(),
        highest_tier: base.into(),
        time_zone: "UTC".into(),
        ..v1::Api::default()
    }
}

/// Binds a module.
pub(crate) async fn bind(channel: &Channel, binding: &str, module: &str) -> Result<v1::Slot> {
    let request = v1::BindRequest {
        binding: binding.into(),
        module: module.into(),
        config: None,
    };
    let response = PoliciesClient::new(channel.clone()).bind(request).await?;
    Ok(response.into_inner().slot.unwrap_or_default())
}
