//! What tests declare, in the words of the protocol.

use tidegate_proto::v1::{self, catalog_client::CatalogClient, clock_client::ClockClient};
use tonic::Status;
use tonic::transport::Channel;

/// Requests/s of a pool or an api.
#[must_use]
pub fn requests(rate: f64) -> v1::Resources {
    v1::Resources {
        requests: Some(rate),
        ..v1::Resources::default()
    }
}

/// A tenant with ample quotas.
#[must_use]
pub fn tenant(name: &str) -> v1::object::Object {
    v1::object::Object::Tenant(v1::Tenant {
        name: name.into(),
        max_series: 1000,
        max_samples_per_s: 1_000_000,
        max_modules: 20,
        usage: None,
    })
}

/// A pool of so many requests/s.
#[must_use]
pub fn pool(name: &str, rate: f64) -> v1::object::Object {
    v1::object::Object::Pool(v1::Pool {
        name: name.into(),
        ready: Some(requests(rate)),
        ..v1::Pool::default()
    })
}

/// An api of a tier that keeps it.
#[must_use]
pub fn api(name: &str, pool: &str, tier: v1::Tier) -> v1::Api {
    v1::Api {
        name: name.into(),
        pool: pool.into(),
        category: "web".into(),
        mode: v1::Mode::Enforce.into(),
        base_tier: tier.into(),
        ..v1::Api::default()
    }
}

/// The small world of most tests: `shop` with a gold and a bronze api in pool `edge`, each with a
/// declared safe capacity.
#[must_use]
pub fn shop() -> Vec<v1::object::Object> {
    let declared = |name: &str, tier, safe| {
        v1::object::Object::Api(v1::Api {
            safe: Some(requests(safe)),
            ..api(name, "edge", tier)
        })
    };
    vec![
        tenant("shop"),
        pool("edge", 100.0),
        declared("shop/orders", v1::Tier::Gold, 6.25),
        declared("shop/search", v1::Tier::Bronze, 2.75),
    ]
}

/// Creates or replaces objects, as one change set.
///
/// # Errors
/// The daemon's refusal.
pub async fn apply(
    channel: &Channel,
    objects: Vec<v1::object::Object>,
) -> Result<v1::ApplyResponse, Status> {
    let changes = objects.into_iter().map(put).collect();
    let answer = CatalogClient::new(channel.clone())
        .apply(v1::ApplyRequest {
            changes,
            dry_run: false,
        })
        .await?;
    Ok(answer.into_inner())
}

/// The change that creates or replaces an object.
#[must_use]
pub fn put(object: v1::object::Object) -> v1::Change {
    let put = v1::Put {
        object: Some(v1::Object {
            object: Some(object),
        }),
        expect_generation: None,
    };
    v1::Change {
        change: Some(v1::change::Change::Put(put)),
    }
}

/// Moves a driven clock; what is due has run when this returns.
///
/// # Errors
/// The daemon's refusal.
pub async fn advance(channel: &Channel, now_ms: i64) -> Result<(), Status> {
    ClockClient::new(channel.clone())
        .advance(v1::AdvanceRequest { now_ms })
        .await
        .map(drop)
}
