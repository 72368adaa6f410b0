//! Every call once, with what it is for: the list of what a client may rely on, against a fake gate
//! that remembers what it was asked.

use crate::fake::alert;
use crate::world::{World, counts, key, put, shop_and_bank};
use std::sync::atomic::Ordering::SeqCst;
use tidegate_core::ids::Digest;
use tidegate_proto::v1;
use tidegate_proto::v1::{
    alerts_client::AlertsClient, catalog_client::CatalogClient, clock_client::ClockClient,
    ingest_client::IngestClient, limits_client::LimitsClient, plans_client::PlansClient,
    policies_client::PoliciesClient, shadows_client::ShadowsClient,
};
use tonic::Code;

#[tokio::test]
async fn a_catalog_is_applied_read_listed_by_pages_and_deleted() {
    let world = World::open();
    let mut catalog = CatalogClient::new(world.channel().await);
    let dry = v1::ApplyRequest {
        dry_run: true,
        ..shop_and_bank()
    };
    let seen = catalog.apply(dry).await.unwrap().into_inner();
    assert_eq!((seen.generation, seen.effects.len()), (1, 5));
    let empty = v1::ListObjectsRequest {
        kind: v1::ObjectKind::Api.into(),
        ..Default::default()
    };
    assert!(
        catalog
            .list(empty)
            .await
            .unwrap()
            .into_inner()
            .objects
            .is_empty()
    );

    let done = catalog.apply(shop_and_bank()).await.unwrap().into_inner();
    assert!(
        done.effects
            .iter()
            .all(|e| e.effect() == v1::Effect::Created)
    );
    let again = catalog.apply(shop_and_bank()).await.unwrap().into_inner();
    assert!(
        again
            .effects
            .iter()
            .all(|e| e.effect() == v1::Effect::Unchanged)
    );

    let get = v1::GetObjectRequest {
        key: key(v1::ObjectKind::Api, "shop/orders"),
    };
    let got = catalog.get(get).await.unwrap().into_inner().object.unwrap();
    let Some(v1::object::Object::Api(api)) = got.object.unwrap().object else {
        panic!("not an api");
    };
    assert_eq!((got.generation, api.pool.as_str()), (1, "main"));
    // What was left out has become what the proto documents.
    assert_eq!(api.mode(), v1::Mode::Enforce);
    assert_eq!(
        (api.highest_tier(), api.pinned_tier()),
        (v1::Tier::Gold, v1::Tier::Unspecified)
    );
    assert_eq!((api.weight, api.time_zone.as_str()), (Some(1.0), "UTC"));

    let page = |token: &str| v1::ListObjectsRequest {
        kind: v1::ObjectKind::Tenant.into(),
        page_size: 1,
        page_token: token.into(),
    };
    let first = catalog.list(page("")).await.unwrap().into_inner();
    assert_eq!(first.next_page_token, "bank");
    let second = catalog
        .list(page(&first.next_page_token))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (second.objects.len(), second.next_page_token.as_str()),
        (1, "")
    );

    let delete = v1::DeleteObjectRequest {
        key: key(v1::ObjectKind::Api, "bank/pay"),
        expect_generation: Some(1),
        dry_run: false,
    };
    let gone = catalog.delete(delete).await.unwrap().into_inner();
    assert_eq!(gone.effects[0].effect(), v1::Effect::Deleted);
}

#[tokio::test]
async fn every_kind_of_object_comes_back_as_it_was_written() {
    use v1::object::Object;
    let world = World::open();
    let mut catalog = CatalogClient::new(world.channel().await);
    catalog.apply(shop_and_bank()).await.unwrap();
    let some = |requests: f64| {
        Some(v1::Resources {
            requests: Some(requests),
            ..Default::default()
        })
    };
    let objects = [
        (
            v1::ObjectKind::Pool,
            "wide",
            Object::Pool(v1::Pool {
                name: "wide".into(),
                ready: some(10.0),
                max: some(20.0),
                min: some(5.0),
                lead_time_s: 90,
                unit_cost: some(0.5),
                quotas: [("shop".to_owned(), some(8.0).unwrap())].into(),
            }),
        ),
        (
            v1::ObjectKind::Tier,
            "gold",
            Object::Tier(v1::TierSpec {
                tier: v1::Tier::Gold.into(),
                demand_level: 9900,
                buy_level: 9950,
                weight: 4.0,
                floor_of_expected: 1.0,
                step_up: 4.0,
                step_down: 0.5,
                dwell_s: 600,
                lends: Some(false),
                borrows: Some(true),
                max_share: Some(0.75),
            }),
        ),
        (
            v1::ObjectKind::Slo,
            "shop/fast",
            Object::Slo(v1::Slo {
                name: "shop/fast".into(),
                api: "shop/orders".into(),
                indicator: Some(v1::slo::Indicator::Latency(v1::LatencyIndicator {
                    threshold: 0.2,
                })),
                objective: 0.999,
                window_s: 86_400,
                origin: None,
            }),
        ),
        (
            v1::ObjectKind::Event,
            "shop/sale",
            Object::Event(v1::Event {
                name: "shop/sale".into(),
                apis: vec!["shop/orders".into()],
                kind: "campaign".into(),
                start_ms: 1_000,
                duration_s: 60,
                every_s: Some(3_600),
                until_ms: Some(9_000_000),
                minimum_uplift: Some(2.0),
                ..Default::default()
            }),
        ),
        (
            v1::ObjectKind::Event,
            "shop/monday",
            Object::Event(crate::events::monday()),
        ),
        (
            v1::ObjectKind::Binding,
            "smooth",
            Object::Binding(v1::Binding {
                name: "smooth".into(),
                kind: v1::ModuleKind::Forecaster.into(),
                selector: Some(v1::Selector {
                    tenant: "shop".into(),
                    category: "web".into(),
                    labels: [("team".to_owned(), "a".to_owned())].into(),
                    ..Default::default()
                }),
                module: "ets".into(),
                config: r#"{"seasons":[60]}"#.into(),
                challengers: vec![v1::Challenger {
                    module: "theta".into(),
                    config: "{}".into(),
                }],
                shadow: Some(v1::ShadowModule {
                    module: "arima".into(),
                    config: r#"{"lags":3}"#.into(),
                }),
                gate: Some(v1::Gate {
                    promote: v1::Promotion::Manual.into(),
                    alpha: Some(50),
                    margin: Some(0.0),
                    min_duration_s: Some(0),
                    max_duration_s: Some(3600),
                    watch_s: Some(0),
                    backtest: Some(v1::BacktestGate {
                        window_s: 7200,
                        worse_by: 0.1,
                    }),
                }),
            }),
        ),
    ];
    for (kind, name, object) in objects {
        let request = v1::ApplyRequest {
            changes: vec![put(object.clone(), Some(0))],
            dry_run: false,
        };
        catalog.apply(request).await.unwrap();
        let get = v1::GetObjectRequest {
            key: key(kind, name),
        };
        let got = catalog.get(get).await.unwrap().into_inner().object.unwrap();
        assert_eq!(got.object.unwrap().object, Some(object));
    }
}

#[tokio::test]
async fn samples_are_pushed_and_what_was_not_admitted_is_told_in_the_sender_s_fields() {
    let world = World::open();
    let mut ingest = IngestClient::new(world.channel().await);
    let series = |api: &str, signal: v1::Signal, columns| v1::PushSeries {
        api: api.into(),
        signal: signal.into(),
        step_s: 60,
        columns,
    };
    let latency = v1::Columns {
        distributions: vec![v1::Distribution {
            scale: 3,
            buckets: vec![4, 1],
            sum: 0.5,
            thresholds: vec![0.2],
            above: vec![1],
            ..Default::default()
        }],
        ..Default::default()
    };
    let request = v1::PushRequest {
        series: vec![
            series("no-tenant", v1::Signal::Requests, counts(&[1.0])),
            series(
                "shop/orders",
                v1::Signal::Requests,
                counts(&[5.0, -1.0, 7.0]),
            ),
            series("shop/orders", v1::Signal::Latency, Some(latency)),
        ],
    };
    let answer = ingest.push(request.clone()).await.unwrap().into_inner();
    assert_eq!(
        (answer.stored, answer.duplicates, answer.arrival),
        (3, 0, 1)
    );
    let fields: Vec<_> = answer.rejections.iter().map(|r| r.field.as_str()).collect();
    assert_eq!(fields, ["series[0]", "series[1].columns.values[1]"]);
    let again = ingest.push(request).await.unwrap().into_inner();
    assert_eq!((again.stored, again.duplicates), (0, 3));
    let batch = world.gate.batches.lock().unwrap()[0].clone();
    assert_eq!(batch.series[0].times[2].0, 120_000);
}

#[tokio::test]
async fn a_module_is_pushed_listed_bound_and_rolled_back() {
    let world = World::open();
    let mut policies = PoliciesClient::new(world.channel().await);
    let component = [b"\0asm".as_slice(), &[7; 3000]].concat();
    let digest = Digest::of(&component).to_string();
    let part = |part| v1::PushModuleRequest { part: Some(part) };
    let header = v1::PushModuleHeader {
        size: component.len() as u64,
        digest: digest.clone(),
        tenant: String::new(),
        signature: vec![],
    };
    let mut parts = vec![part(v1::push_module_request::Part::Header(header))];
    let chunks = component.chunks(1000).map(<[u8]>::to_vec);
    parts.extend(chunks.map(|c| part(v1::push_module_request::Part::Chunk(c))));
    let pushed = policies
        .push(tokio_stream::iter(parts))
        .await
        .unwrap()
        .into_inner();
    let module = pushed.module.unwrap();
    assert_eq!(
        (module.digest, module.size),
        (digest, component.len() as u64)
    );
    assert_eq!(module.pushed_by, "local");
    assert_eq!(module.signed_by.unwrap().name, "release");

    let listed = policies
        .list_modules(v1::ListModulesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        listed.modules[0].manifest.as_ref().unwrap().memory_bytes,
        Some(1 << 20)
    );
    let slots = policies
        .list_slots(v1::ListSlotsRequest {})
        .await
        .unwrap()
        .into_inner()
        .slots;
    assert_eq!(
        slots.iter().map(|s| s.binding.as_str()).collect::<Vec<_>>(),
        ["a", "b"]
    );
    let bind = v1::BindRequest {
        binding: "a".into(),
        module: "ets".into(),
        config: Some("{}".into()),
    };
    let slot = policies
        .bind(bind)
        .await
        .unwrap()
        .into_inner()
        .slot
        .unwrap();
    assert_eq!(slot.active.unwrap().name, "ets");
    let back = v1::RollbackRequest {
        binding: "a".into(),
    };
    let slot = policies
        .rollback(back)
        .await
        .unwrap()
        .into_inner()
        .slot
        .unwrap();
    assert_eq!(slot.active.unwrap().name, "before");
}

#[tokio::test]
async fn plans_and_grants_are_read_explained_and_reported_as_applied() {
    let world = World::open();
    world.gate.publish();
    world.gate.publish();
    let mut plans = PlansClient::new(world.channel().await);
    let pools = plans
        .list_pools(v1::ListPoolsRequest {})
        .await
        .unwrap()
        .into_inner()
        .pools;
    assert_eq!((pools[0].pool.as_str(), pools[0].generation), ("main", 2));
    for (asked, given) in [(Some(1), 1), (None, 2)] {
        let request = v1::GetPlanRequest {
            pool: "main".into(),
            generation: asked,
        };
        let plan = plans
            .get_plan(request)
            .await
            .unwrap()
            .into_inner()
            .plan
            .unwrap();
        assert_eq!(
            (plan.generation, plan.parent, plan.step_count),
            (given, given - 1, 2)
        );
        assert_eq!(plan.apis.len(), 2);
        assert_eq!(plan.loans.len(), 2);
    }

    let mut limits = LimitsClient::new(world.channel().await);
    let request = v1::GetGrantRequest {
        api: "shop/orders".into(),
    };
    let answer = limits.get_grant(request).await.unwrap().into_inner();
    let grant = answer.grant.unwrap();
    assert_eq!(grant.limit.unwrap().requests, Some(52.0));
    assert_eq!(grant.safe.unwrap().requests, Some(1.0));
    assert_eq!((grant.expires_at_ms, answer.now_ms), (120_000, 0));

    let request = v1::ExplainRequest {
        api: "shop/orders".into(),
        at_ms: Some(5),
    };
    let why = plans.explain(request).await.unwrap().into_inner();
    assert!(why.sentences[0].contains("Timestamp(5)"));

    let report = v1::AppliedReport {
        api: "shop/orders".into(),
        generation: 2,
        at_ms: 9,
        actuator: "envoy-1".into(),
        limit: grant.guaranteed,
        safe: false,
    };
    let request = v1::ReportAppliedRequest {
        report: Some(report.clone()),
    };
    plans.report_applied(request).await.unwrap();
    let reports = plans
        .list_applied(v1::ListAppliedRequest {})
        .await
        .unwrap()
        .into_inner()
        .reports;
    assert_eq!(reports, [report]);
}

#[tokio::test]
async fn alerts_are_listed_and_a_driven_clock_is_told_and_moved() {
    let world = World::open();
    world.gate.alerts.lock().unwrap().push(alert("shop/orders"));
    let mut alerts = AlertsClient::new(world.channel().await);
    let listed = alerts
        .list_alerts(v1::ListAlertsRequest {})
        .await
        .unwrap()
        .into_inner()
        .alerts;
    assert_eq!(listed[0].severity(), v1::Severity::Critical);
    assert_eq!(listed[0].api.as_deref(), Some("shop/orders"));

    world.gate.driven.store(true, SeqCst);
    let mut clock = ClockClient::new(world.channel().await);
    let moved = clock
        .advance(v1::AdvanceRequest { now_ms: 77 })
        .await
        .unwrap()
        .into_inner();
    let now = clock.now(v1::NowRequest {}).await.unwrap().into_inner();
    assert_eq!((moved.now_ms, now.now_ms), (77, 77));
}

#[tokio::test]
async fn shadows_say_that_they_are_not_served_yet() {
    let world = World::open();
    let mut shadows = ShadowsClient::new(world.channel().await);
    let answers = [
        shadows
            .start(v1::StartShadowRequest::default())
            .await
            .map(drop),
        shadows.get(v1::GetShadowRequest::default()).await.map(drop),
        shadows
            .list(v1::ListShadowsRequest::default())
            .await
            .map(drop),
        shadows
            .stop(v1::StopShadowRequest::default())
            .await
            .map(drop),
    ];
    for answer in answers {
        crate::world::refused(answer, Code::Unimplemented, "not served yet");
    }
}
