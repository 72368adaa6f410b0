//! Who may ask, and what they may not learn.

use crate::fake::alert;
use crate::world::{World, by, counts, key, put, refused, shop_and_bank};
use tidegate_proto::v1;
use tidegate_proto::v1::{
    alerts_client::AlertsClient, catalog_client::CatalogClient, events_client::EventsClient,
    forecasts_client::ForecastsClient, ingest_client::IngestClient, limits_client::LimitsClient,
    plans_client::PlansClient, policies_client::PoliciesClient, shadows_client::ShadowsClient,
};
use tonic::Code::{InvalidArgument, NotFound, PermissionDenied, Unauthenticated};
use tonic::{Request, Status};

#[tokio::test]
async fn every_service_wants_a_known_token() {
    let world = World::guarded();
    let channel = world.channel().await;
    let list = || v1::ListAlertsRequest {};
    let mut alerts = AlertsClient::new(channel.clone());
    refused(
        alerts.list_alerts(list()).await,
        Unauthenticated,
        "wants a token",
    );
    refused(
        alerts.list_alerts(by("wrong", list())).await,
        Unauthenticated,
        "not known",
    );
    let mut basic = Request::new(list());
    basic
        .metadata_mut()
        .insert("authorization", "Basic c2hvcA==".parse().unwrap());
    refused(
        alerts.list_alerts(basic).await,
        Unauthenticated,
        "Bearer TOKEN",
    );
    alerts.list_alerts(by("shop", list())).await.unwrap();

    let nobody = [
        IngestClient::new(channel.clone())
            .push(v1::PushRequest::default())
            .await
            .map(drop),
        IngestClient::new(channel.clone())
            .stream_samples(tokio_stream::empty())
            .await
            .map(drop),
        CatalogClient::new(channel.clone())
            .apply(shop_and_bank())
            .await
            .map(drop),
        EventsClient::new(channel.clone())
            .report(tokio_stream::empty())
            .await
            .map(drop),
        EventsClient::new(channel.clone())
            .watch(v1::WatchEventsRequest::default())
            .await
            .map(drop),
        EventsClient::new(channel.clone())
            .upcoming(v1::UpcomingRequest::default())
            .await
            .map(drop),
        PoliciesClient::new(channel.clone())
            .push(tokio_stream::empty())
            .await
            .map(drop),
        ForecastsClient::new(channel.clone())
            .get_forecast(v1::GetForecastRequest::default())
            .await
            .map(drop),
        ForecastsClient::new(channel.clone())
            .get_standings(v1::GetStandingsRequest::default())
            .await
            .map(drop),
        PlansClient::new(channel.clone())
            .list_pools(v1::ListPoolsRequest {})
            .await
            .map(drop),
        LimitsClient::new(channel.clone())
            .get_grant(v1::GetGrantRequest::default())
            .await
            .map(drop),
        ShadowsClient::new(channel.clone())
            .list(v1::ListShadowsRequest::default())
            .await
            .map(drop),
        v1::clock_client::ClockClient::new(channel)
            .now(v1::NowRequest {})
            .await
            .map(drop),
    ];
    for answer in nobody {
        refused(answer, Unauthenticated, "wants a token");
    }
}

#[tokio::test]
async fn a_reader_may_not_even_begin_an_upload() {
    let world = World::guarded();
    let mut policies = PoliciesClient::new(world.channel().await);
    let answer = policies.push(by("look", tokio_stream::empty())).await;
    refused(answer, PermissionDenied, "a reader may not push");
}

/// Two refusals that a caller could not tell apart, but for the name that it asked for.
#[track_caller]
fn same(foreign: &Status, absent: &Status, names: (&str, &str)) {
    assert_eq!(foreign.code(), NotFound);
    assert_eq!(foreign.code(), absent.code());
    assert_eq!(
        foreign.message().replace(names.0, names.1),
        absent.message()
    );
    assert_eq!(
        String::from_utf8_lossy(foreign.details()).replace(names.0, names.1),
        String::from_utf8_lossy(absent.details())
    );
}

#[tokio::test]
async fn what_is_a_foreign_tenant_s_is_answered_as_what_is_not_there() {
    let world = World::guarded();
    let channel = world.channel().await;
    let mut catalog = CatalogClient::new(channel.clone());
    catalog.apply(by("root", shop_and_bank())).await.unwrap();
    world.gate.publish();
    let names = ("bank/pay", "bank/non");

    let get = |name: &str| v1::GetObjectRequest {
        key: key(v1::ObjectKind::Api, name),
    };
    let foreign = catalog.get(by("shop", get(names.0))).await.unwrap_err();
    let absent = catalog.get(by("shop", get(names.1))).await.unwrap_err();
    same(&foreign, &absent, names);
    // An absent object of its own reads alike too: the text tells nothing of whose it is.
    let own = catalog.get(by("shop", get("shop/non"))).await.unwrap_err();
    let absent = catalog.get(by("shop", get(names.1))).await.unwrap_err();
    same(&own, &absent, ("shop/non", names.1));

    let delete = |name: &str| v1::DeleteObjectRequest {
        key: key(v1::ObjectKind::Api, name),
        ..Default::default()
    };
    let foreign = catalog
        .delete(by("shop", delete(names.0)))
        .await
        .unwrap_err();
    let absent = catalog
        .delete(by("shop", delete(names.1)))
        .await
        .unwrap_err();
    same(&foreign, &absent, names);

    let mut limits = LimitsClient::new(channel.clone());
    let grant = |api: &str| v1::GetGrantRequest { api: api.into() };
    let foreign = limits
        .get_grant(by("shop", grant(names.0)))
        .await
        .unwrap_err();
    let absent = limits
        .get_grant(by("shop", grant(names.1)))
        .await
        .unwrap_err();
    same(&foreign, &absent, names);

    let mut plans = PlansClient::new(channel.clone());
    let explain = |api: &str| v1::ExplainRequest {
        api: api.into(),
        at_ms: None,
    };
    let foreign = plans
        .explain(by("shop", explain(names.0)))
        .await
        .unwrap_err();
    let absent = plans
        .explain(by("shop", explain(names.1)))
        .await
        .unwrap_err();
    same(&foreign, &absent, names);

    let mut forecasts = ForecastsClient::new(channel);
    let ask = |api: &str| v1::GetForecastRequest {
        api: api.into(),
        signal: v1::Signal::Requests.into(),
        ..Default::default()
    };
    let foreign = forecasts
        .get_forecast(by("shop", ask(names.0)))
        .await
        .unwrap_err();
    let absent = forecasts
        .get_forecast(by("shop", ask(names.1)))
        .await
        .unwrap_err();
    same(&foreign, &absent, names);
    let table = |api: &str| v1::GetStandingsRequest {
        api: api.into(),
        signal: v1::Signal::Requests.into(),
    };
    let foreign = forecasts
        .get_standings(by("shop", table(names.0)))
        .await
        .unwrap_err();
    let absent = forecasts
        .get_standings(by("shop", table(names.1)))
        .await
        .unwrap_err();
    same(&foreign, &absent, names);
}

#[tokio::test]
async fn an_error_about_a_reference_does_not_tell_whether_a_foreign_api_exists() {
    let world = World::guarded();
    let mut catalog = CatalogClient::new(world.channel().await);
    catalog.apply(by("root", shop_and_bank())).await.unwrap();
    let slo = |api: &str| v1::ApplyRequest {
        changes: vec![put(
            v1::object::Object::Slo(v1::Slo {
                name: "shop/fast".into(),
                api: api.into(),
                indicator: Some(v1::slo::Indicator::Availability(
                    v1::AvailabilityIndicator {},
                )),
                objective: 0.99,
                window_s: 3_600,
                origin: None,
            }),
            None,
        )],
        dry_run: true,
    };
    let foreign = catalog.apply(by("shop", slo("bank/pay"))).await;
    let foreign = refused(foreign, InvalidArgument, "no api `bank/pay` among");
    let absent = catalog
        .apply(by("shop", slo("bank/non")))
        .await
        .unwrap_err();
    assert_eq!(
        foreign.message().replace("bank/pay", "bank/non"),
        absent.message()
    );

    let write = |name: &str| v1::ApplyRequest {
        changes: vec![put(
            v1::object::Object::Api(v1::Api {
                name: name.into(),
                pool: "main".into(),
                ..Default::default()
            }),
            None,
        )],
        dry_run: true,
    };
    let foreign = catalog.apply(by("shop", write("bank/pay"))).await;
    let foreign = refused(foreign, PermissionDenied, "does not hold the tenant `bank`");
    let absent = catalog
        .apply(by("shop", write("bank/non")))
        .await
        .unwrap_err();
    assert_eq!(foreign.message(), absent.message());
}

#[tokio::test]
async fn lists_plans_and_alerts_hold_the_caller_s_own_part() {
    let world = World::guarded();
    let channel = world.channel().await;
    let mut catalog = CatalogClient::new(channel.clone());
    catalog.apply(by("root", shop_and_bank())).await.unwrap();
    let list = v1::ListObjectsRequest {
        kind: v1::ObjectKind::Api.into(),
        ..Default::default()
    };
    for (token, apis) in [("shop", 1), ("bank", 1), ("root", 2)] {
        let listed = catalog
            .list(by(token, list.clone()))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(listed.objects.len(), apis, "{token}");
    }

    world.gate.publish();
    let mut plans = PlansClient::new(channel.clone());
    let get = || v1::GetPlanRequest {
        pool: "main".into(),
        generation: None,
    };
    let plan = plans
        .get_plan(by("shop", get()))
        .await
        .unwrap()
        .into_inner()
        .plan
        .unwrap();
    let apis: Vec<_> = plan.apis.iter().map(|a| a.api.as_str()).collect();
    assert_eq!(apis, ["shop/orders"]);
    let loans: Vec<_> = plan
        .loans
        .iter()
        .map(|l| (l.lender.as_str(), l.borrower.as_str()))
        .collect();
    assert_eq!(loans, [("others", "shop/orders")]);
    assert!(!format!("{plan:?}").contains("bank"), "{plan:?}");

    let mut limits = LimitsClient::new(channel.clone());
    let request = v1::GetGrantRequest {
        api: "shop/orders".into(),
    };
    let grant = limits
        .get_grant(by("shop", request))
        .await
        .unwrap()
        .into_inner();
    assert!(!format!("{grant:?}").contains("bank"), "{grant:?}");

    *world.gate.alerts.lock().unwrap() = vec![alert("bank/pay"), alert("shop/orders")];
    let mut alerts = AlertsClient::new(channel);
    let seen = alerts
        .list_alerts(by("shop", v1::ListAlertsRequest {}))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(seen.alerts.len(), 1);
    assert_eq!(seen.alerts[0].api.as_deref(), Some("shop/orders"));
}

#[tokio::test]
async fn samples_for_a_foreign_api_are_not_admitted_and_do_not_reach_the_port() {
    let world = World::guarded();
    let mut ingest = IngestClient::new(world.channel().await);
    let series = |api: &str| v1::PushSeries {
        api: api.into(),
        signal: v1::Signal::Requests.into(),
        step_s: 60,
        columns: counts(&[1.0, 2.0]),
    };
    let request = v1::PushRequest {
        series: vec![series("bank/pay"), series("shop/orders")],
    };
    let answer = ingest.push(by("shop", request)).await.unwrap().into_inner();
    assert_eq!((answer.stored, answer.rejections.len()), (2, 1));
    assert_eq!(
        (
            answer.rejections[0].field.as_str(),
            answer.rejections[0].samples
        ),
        ("series[0]", 2)
    );
    let batches = world.gate.batches.lock().unwrap();
    assert!(
        batches
            .iter()
            .flat_map(|b| &b.series)
            .all(|s| s.key.api.tenant.as_str() == "shop")
    );
}
