//! Bad input: the code, the words that a person reads, the field that a program reads.

use crate::world::{World, counts, fields, refused};
use std::sync::atomic::Ordering::SeqCst;
use tidegate_proto::v1;
use tidegate_proto::v1::{
    clock_client::ClockClient, forecasts_client::ForecastsClient, ingest_client::IngestClient,
    limits_client::LimitsClient, plans_client::PlansClient, policies_client::PoliciesClient,
};
use tonic::Code::{FailedPrecondition, Internal, InvalidArgument, NotFound, ResourceExhausted};
use tonic_types::StatusExt as _;

#[tokio::test]
async fn bad_samples_are_told_one_by_one_and_harm_no_others() {
    let world = World::open();
    let mut ingest = IngestClient::new(world.channel().await);
    refused(
        ingest.push(v1::PushRequest::default()).await,
        InvalidArgument,
        "series: it is empty",
    );
    let series = |api: &str, signal: v1::Signal, step_s, columns: v1::Columns| v1::PushSeries {
        api: api.into(),
        signal: signal.into(),
        step_s,
        columns: Some(columns),
    };
    let good = || counts(&[1.0]).unwrap();
    let histogram = |d: v1::Distribution| v1::Columns {
        distributions: vec![d],
        ..Default::default()
    };
    let gaps = v1::Columns {
        delta_ms: vec![60_000],
        values: vec![1.0],
        ..Default::default()
    };
    let far = v1::Columns {
        start_ms: i64::MAX,
        ..counts(&[1.0, 2.0]).unwrap()
    };
    let unpaired = v1::Distribution {
        thresholds: vec![0.2],
        ..Default::default()
    };
    let fine = v1::Distribution {
        scale: 500,
        ..Default::default()
    };
    use v1::Signal::{Cpu, Latency, Requests, Unspecified};
    let cases = [
        (series("shop", Requests, 60, good()), "TENANT/NAME"),
        (series("shop/a", Unspecified, 60, good()), "name a signal"),
        (series("shop/a", Cpu, 0, good()), "0 s is not between"),
        (
            series("shop/a", Cpu, 86_401, good()),
            "86401 s is not between",
        ),
        (
            series("shop/a", Latency, 60, good()),
            "`distributions` alone",
        ),
        (
            series("shop/a", Cpu, 60, histogram(unpaired.clone())),
            "`values` alone",
        ),
        (
            series("shop/a", Latency, 60, histogram(unpaired)),
            "one count per threshold",
        ),
        (
            series("shop/a", Latency, 60, histogram(fine)),
            "distributions[0] has scale 500",
        ),
        (series("shop/a", Cpu, 60, gaps), "1 delta_ms for 1 samples"),
        (series("shop/a", Cpu, 60, far), "64 bits"),
    ];
    let (mut all, reasons): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    all.push(series("shop/a", Cpu, 60, good()));
    let answer = ingest
        .push(v1::PushRequest { series: all })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((answer.stored, answer.rejections.len()), (1, reasons.len()));
    for (i, (rejection, part)) in answer.rejections.iter().zip(reasons).enumerate() {
        assert!(
            rejection.field.starts_with(&format!("series[{i}]")),
            "{rejection:?}"
        );
        assert!(
            rejection.reason.contains(part),
            "{part}: {}",
            rejection.reason
        );
    }
    assert_eq!(answer.rejections[9].samples, 2);
}

#[tokio::test]
async fn a_bad_upload_is_refused_before_the_policy_engine_sees_it() {
    use v1::push_module_request::Part;
    let world = World::with(|options| options.limits.module = 100);
    let mut policies = PoliciesClient::new(world.channel().await);
    let header = |size, digest: &str| {
        Part::Header(v1::PushModuleHeader {
            size,
            digest: digest.into(),
            tenant: String::new(),
            signature: vec![],
        })
    };
    let chunk = |n| Part::Chunk(vec![0; n]);
    let wrong = "0".repeat(64);
    let cases = [
        (vec![], InvalidArgument, "send it first"),
        (vec![chunk(3)], InvalidArgument, "send it first"),
        (
            vec![header(0, "")],
            InvalidArgument,
            "0 bytes are no component",
        ),
        (vec![header(101, "")], ResourceExhausted, "the limit is 100"),
        (
            vec![header(u64::MAX, "")],
            ResourceExhausted,
            "the limit is 100",
        ),
        (
            vec![header(4, ""), chunk(5)],
            InvalidArgument,
            "more bytes came than the 4",
        ),
        (
            vec![header(4, ""), header(4, "")],
            InvalidArgument,
            "send the bytes alone",
        ),
        (
            vec![header(4, ""), chunk(3)],
            InvalidArgument,
            "only 3 of 4 bytes",
        ),
        (
            vec![header(4, &wrong), chunk(4)],
            InvalidArgument,
            "another SHA-256",
        ),
        (
            vec![header(4, ""), chunk(4)],
            InvalidArgument,
            "it is no component",
        ),
    ];
    for (parts, code, part) in cases {
        let parts = parts
            .into_iter()
            .map(|part| v1::PushModuleRequest { part: Some(part) });
        let parts: Vec<_> = parts.collect();
        refused(policies.push(tokio_stream::iter(parts)).await, code, part);
    }
    let bind = |binding: &str, module: &str, config: Option<String>| v1::BindRequest {
        binding: binding.into(),
        module: module.into(),
        config,
    };
    refused(
        policies.bind(bind("a b", "ets", None)).await,
        InvalidArgument,
        "binding",
    );
    refused(
        policies.bind(bind("a", "", None)).await,
        InvalidArgument,
        "name a module",
    );
    let long = Some(" ".repeat(70_000));
    refused(
        policies.bind(bind("a", "ets", long)).await,
        InvalidArgument,
        "longer than",
    );
    refused(
        policies.bind(bind("a", "ets", None)).await,
        NotFound,
        "push it first",
    );
    let back = v1::RollbackRequest {
        binding: "a".into(),
    };
    let status = refused(
        policies.rollback(back).await,
        FailedPrecondition,
        "never had another",
    );
    assert_eq!(
        status
            .get_details_precondition_failure()
            .unwrap()
            .violations
            .len(),
        1
    );
}

#[tokio::test]
async fn a_bad_question_about_the_future_says_what_to_ask() {
    let world = World::open();
    let mut forecasts = ForecastsClient::new(world.channel().await);
    let ask = |api: &str, signal: v1::Signal, steps, levels: &[u32]| v1::GetForecastRequest {
        api: api.into(),
        signal: signal.into(),
        steps,
        levels: levels.to_vec(),
    };
    use v1::Signal::{Cpu, Unspecified};
    let many: Vec<u32> = (1..=100).collect();
    let cases = [
        (ask("shop/", Cpu, 1, &[]), "empty"),
        (ask("shop/a", Unspecified, 1, &[]), "name a signal"),
        (ask("shop/a", Cpu, 4_097, &[]), "more than 4096"),
        (ask("shop/a", Cpu, 1, &[0]), "levels[0]"),
        (ask("shop/a", Cpu, 1, &[9_000, 5_000]), "do not rise"),
        (ask("shop/a", Cpu, 1, &many), "more than 99"),
    ];
    for (request, part) in cases {
        refused(forecasts.get_forecast(request).await, InvalidArgument, part);
    }
    let nameless = forecasts.get_standings(v1::GetStandingsRequest::default());
    let status = refused(nameless.await, InvalidArgument, "name a signal");
    assert_eq!(fields(&status), ["api", "signal"]);
}

#[tokio::test]
async fn a_bad_question_about_plans_says_what_to_ask() {
    let world = World::open();
    let mut plans = PlansClient::new(world.channel().await);
    let mut limits = LimitsClient::new(world.channel().await);
    let plan = |pool: &str, generation| v1::GetPlanRequest {
        pool: pool.into(),
        generation,
    };
    refused(
        plans.get_plan(plan("", None)).await,
        InvalidArgument,
        "it is empty",
    );
    refused(
        plans.get_plan(plan("none", None)).await,
        NotFound,
        "pool none was not found",
    );
    refused(
        plans.get_plan(plan("main", Some(4))).await,
        NotFound,
        "in the ledger",
    );
    let watch = |after| v1::WatchPlansRequest {
        pool: "main".into(),
        after_generation: after,
    };
    refused(
        plans.watch_plans(watch(Some(9))).await,
        FailedPrecondition,
        "stands at generation 0",
    );
    let grant = v1::GetGrantRequest {
        api: "shop/none".into(),
    };
    refused(limits.get_grant(grant).await, NotFound, "api shop/none");
    let grant = v1::WatchGrantRequest {
        api: "shop/none".into(),
    };
    refused(limits.watch_grant(grant).await, NotFound, "api shop/none");
    let report = |report| v1::ReportAppliedRequest { report };
    refused(
        plans.report_applied(report(None)).await,
        InvalidArgument,
        "report: it is missing",
    );
    let status = refused(
        plans
            .report_applied(report(Some(v1::AppliedReport::default())))
            .await,
        InvalidArgument,
        "name who applied it",
    );
    assert_eq!(fields(&status), ["report.actuator", "report.api"]);
    let explain = v1::ExplainRequest {
        api: "x".into(),
        at_ms: None,
    };
    refused(plans.explain(explain).await, InvalidArgument, "TENANT/NAME");
    let mut clock = ClockClient::new(world.channel().await);
    refused(
        clock.advance(v1::AdvanceRequest { now_ms: 1 }).await,
        FailedPrecondition,
        "start it with a driven one",
    );
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_and_the_connection_lives_on() {
    let world = World::with(|options| {
        options.limits.message = 1_000;
        options.limits.ingest_message = 20_000;
    });
    let channel = world.channel().await;
    let mut plans = PlansClient::new(channel.clone());
    let large = v1::GetPlanRequest {
        pool: "x".repeat(2_000),
        generation: None,
    };
    refused(
        plans.get_plan(large.clone()).await,
        tonic::Code::OutOfRange,
        "limit is: 1000 bytes",
    );
    let mut squeezed =
        PlansClient::new(channel.clone()).send_compressed(tonic::codec::CompressionEncoding::Gzip);
    refused(
        squeezed.get_plan(large).await,
        ResourceExhausted,
        "limit, of 1000 bytes",
    );
    let push = |n| v1::PushRequest {
        series: vec![v1::PushSeries {
            api: "shop/a".into(),
            signal: v1::Signal::Cpu.into(),
            step_s: 60,
            columns: counts(&vec![1.0; n]),
        }],
    };
    let mut ingest = IngestClient::new(channel);
    refused(
        ingest.push(push(3_000)).await,
        tonic::Code::OutOfRange,
        "limit is: 20000 bytes",
    );
    assert_eq!(
        ingest.push(push(2_000)).await.unwrap().into_inner().stored,
        2_000
    );
}

#[tokio::test]
async fn a_port_that_breaks_is_our_failure_and_no_other_call_s() {
    use v1::push_module_request::Part;
    let world = World::open();
    world.gate.broken.store(true, SeqCst);
    let mut policies = PoliciesClient::new(world.channel().await);
    let parts = [
        Part::Header(v1::PushModuleHeader {
            size: 4,
            digest: String::new(),
            tenant: String::new(),
            signature: vec![],
        }),
        Part::Chunk(vec![0; 4]),
    ];
    let parts = parts.map(|part| v1::PushModuleRequest { part: Some(part) });
    let status = refused(
        policies.push(tokio_stream::iter(parts)).await,
        Internal,
        "its log says more",
    );
    assert!(!status.message().contains("as the test asked"));
    policies
        .list_modules(v1::ListModulesRequest {})
        .await
        .unwrap();
}
