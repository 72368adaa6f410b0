//! Bad change sets and bad questions to the catalog: every problem at once, each under its field.

use crate::world::{World, fields, key, put, refused, shop_and_bank};
use tidegate_proto::v1;
use tidegate_proto::v1::catalog_client::CatalogClient;
use tidegate_proto::v1::object::Object;
use tonic::Code::{Aborted, InvalidArgument, NotFound};
use tonic_types::StatusExt as _;

fn set(changes: Vec<v1::Change>) -> v1::ApplyRequest {
    v1::ApplyRequest {
        changes,
        dry_run: false,
    }
}

#[tokio::test]
async fn a_bad_change_set_is_refused_with_every_field_at_once() {
    let world = World::open();
    let mut catalog = CatalogClient::new(world.channel().await);
    catalog.apply(shop_and_bank()).await.unwrap();

    refused(
        catalog.apply(set(vec![])).await,
        InvalidArgument,
        "0 changes are not a set",
    );
    refused(
        catalog
            .apply(set(vec![v1::Change::default(); 10_001]))
            .await,
        InvalidArgument,
        "10001 changes",
    );
    refused(
        catalog.apply(set(vec![v1::Change::default()])).await,
        InvalidArgument,
        "changes[0]: it is empty",
    );

    let api = Object::Api(v1::Api {
        name: "orders".into(),
        pool: "ma in".into(),
        mode: 9,
        base_tier: 7,
        floor: Some(v1::Resources {
            cpu: Some(-2.0),
            ..Default::default()
        }),
        ..Default::default()
    });
    let status = refused(
        catalog.apply(set(vec![put(api, None)])).await,
        InvalidArgument,
        "TENANT/NAME",
    );
    let path = |field: &str| format!("changes[0].put.object.api.{field}");
    let mut named = fields(&status);
    named.sort();
    let wanted = ["base_tier", "floor.cpu", "mode", "name", "pool"].map(path);
    assert_eq!(named, wanted);

    let torn = Object::Api(v1::Api {
        name: "shop/torn".into(),
        pool: "main".into(),
        pinned_tier: v1::Tier::Gold.into(),
        unpinned: true,
        ..Default::default()
    });
    let status = refused(
        catalog.apply(set(vec![put(torn, None)])).await,
        InvalidArgument,
        "it is pinned to gold as well; leave out one of the two",
    );
    assert_eq!(fields(&status), [path("unpinned")]);

    let nothing = put(Object::Slo(v1::Slo::default()), None);
    let status = refused(
        catalog.apply(set(vec![nothing])).await,
        InvalidArgument,
        "fill in `latency`",
    );
    assert_eq!(fields(&status).len(), 3);
    let tier = Object::Tier(v1::TierSpec {
        demand_level: 10_000,
        ..Default::default()
    });
    let status = refused(
        catalog.apply(set(vec![put(tier, None)])).await,
        InvalidArgument,
        "per 10,000",
    );
    assert_eq!(fields(&status).len(), 2);
    let binding = Object::Binding(v1::Binding {
        name: "x".into(),
        ..Default::default()
    });
    refused(
        catalog.apply(set(vec![put(binding, None)])).await,
        InvalidArgument,
        "binding.kind: it is missing",
    );
    let gated = |gate| {
        Object::Binding(v1::Binding {
            name: "x".into(),
            kind: v1::ModuleKind::Forecaster.into(),
            module: "ets".into(),
            gate: Some(gate),
            ..Default::default()
        })
    };
    let gate = v1::Gate::default;
    for (gate, words) in [
        (
            v1::Gate {
                promote: 9,
                ..gate()
            },
            "gate.promote: 9 is no way to promote",
        ),
        (
            v1::Gate {
                alpha: Some(0),
                ..gate()
            },
            "gate.alpha: 0 is no rate",
        ),
        (
            v1::Gate {
                max_duration_s: Some(0),
                ..gate()
            },
            "sees nothing",
        ),
    ] {
        let set = set(vec![put(gated(gate), None)]);
        refused(catalog.apply(set).await, InvalidArgument, words);
    }
    let homeless = Object::Api(v1::Api {
        name: "shop/new".into(),
        pool: "nowhere".into(),
        ..Default::default()
    });
    let status = refused(
        catalog.apply(set(vec![put(homeless, None)])).await,
        InvalidArgument,
        "api shop/new",
    );
    assert_eq!(fields(&status), ["pool"]);

    let stale = Object::Tenant(v1::Tenant {
        name: "shop".into(),
        max_series: 1,
        ..Default::default()
    });
    refused(
        catalog.apply(set(vec![put(stale, Some(7))])).await,
        Aborted,
        "stands at generation 1",
    );
}

#[tokio::test]
async fn a_bad_question_to_the_catalog_says_what_to_ask() {
    use v1::ObjectKind::{Api, Tier};
    let world = World::open();
    let mut catalog = CatalogClient::new(world.channel().await);
    let get = |key| v1::GetObjectRequest { key };
    refused(
        catalog.get(get(None)).await,
        InvalidArgument,
        "key: it is missing",
    );
    let odd = Some(v1::ObjectKey {
        kind: 99,
        name: "x".into(),
    });
    refused(
        catalog.get(get(odd)).await,
        InvalidArgument,
        "99 is not a kind of object",
    );
    refused(
        catalog.get(get(key(Api, "x"))).await,
        InvalidArgument,
        "TENANT/NAME",
    );
    refused(
        catalog.get(get(key(Tier, "platinum"))).await,
        InvalidArgument,
        "gold, silver or bronze",
    );
    let status = refused(
        catalog.get(get(key(Api, "shop/none"))).await,
        NotFound,
        "api shop/none was not found",
    );
    let resource = status.get_details_resource_info().unwrap();
    assert_eq!(
        (
            resource.resource_type.as_str(),
            resource.resource_name.as_str()
        ),
        ("api", "shop/none")
    );
    let delete = v1::DeleteObjectRequest {
        key: key(Api, "shop/none"),
        ..Default::default()
    };
    refused(
        catalog.delete(delete).await,
        NotFound,
        "api shop/none was not found",
    );
    let list = |kind: i32, page_size| v1::ListObjectsRequest {
        kind,
        page_size,
        page_token: String::new(),
    };
    refused(
        catalog.list(list(0, 0)).await,
        InvalidArgument,
        "kind: it is missing",
    );
    refused(
        catalog.list(list(1, 1_001)).await,
        InvalidArgument,
        "more than 1000",
    );
}
