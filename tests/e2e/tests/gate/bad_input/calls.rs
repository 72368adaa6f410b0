//! Raw gRPC: what a program sends that does not read the documentation.

use super::Table;
use anyhow::{Result, ensure};
use tidegate_e2e::feed::START_MS;
use tidegate_proto::v1::{
    self, catalog_client::CatalogClient, clock_client::ClockClient,
    forecasts_client::ForecastsClient, ingest_client::IngestClient, limits_client::LimitsClient,
    plans_client::PlansClient, shadows_client::ShadowsClient,
};
use tonic::transport::Channel;

/// Mistakes in messages.
pub(super) async fn all(table: &mut Table, channel: &Channel) -> Result<()> {
    samples(table, channel).await?;
    streams(table, channel).await?;
    questions(table, channel).await
}

/// Samples are refused one by one; what is told stands in the rejection.
async fn samples(table: &mut Table, channel: &Channel) -> Result<()> {
    let values = |start_ms, values: &[f64]| v1::Columns {
        start_ms,
        values: values.to_vec(),
        ..v1::Columns::default()
    };
    let good = || values(START_MS, &[1.0]);
    let push = |api: &str, signal: v1::Signal, step_s, columns| v1::PushSeries {
        api: api.into(),
        signal: signal.into(),
        step_s,
        columns: Some(columns),
    };
    use v1::Signal::{Cpu, Latency, Requests, Unspecified};
    let crooked = v1::Distribution {
        buckets: vec![1, 2],
        sum: f64::INFINITY,
        ..v1::Distribution::default()
    };
    let latency = v1::Columns {
        start_ms: START_MS,
        distributions: vec![crooked],
        ..v1::Columns::default()
    };
    let cases = [
        (
            "samples of an unknown api",
            "api: shop/none",
            push("shop/none", Requests, 300, good()),
        ),
        (
            "samples of no signal",
            "signal: SIGNAL_UNSPECIFIED",
            push("shop/orders", Unspecified, 300, good()),
        ),
        (
            "a step of no length",
            "step_s: 0",
            push("shop/orders", Requests, 0, good()),
        ),
        (
            "a sample between two steps",
            "start_ms: + 1",
            push("shop/orders", Requests, 300, values(START_MS + 1, &[1.0])),
        ),
        (
            "a load below zero",
            "values: [-1]",
            push("shop/orders", Requests, 300, values(START_MS, &[-1.0])),
        ),
        (
            "a load that is no number",
            "values: [NaN]",
            push("shop/orders", Cpu, 300, values(START_MS, &[f64::NAN])),
        ),
        (
            "a time beyond all calendars",
            "start_ms: 2^63 - 1",
            push("shop/orders", Cpu, 300, values(i64::MAX, &[1.0, 2.0])),
        ),
        (
            "latency as plain numbers",
            "signal: SIGNAL_LATENCY, values: [1]",
            push("shop/orders", Latency, 300, good()),
        ),
        (
            "latencies whose sum is infinite",
            "sum: inf",
            push("shop/orders", Latency, 300, latency),
        ),
        (
            "no columns",
            "columns: absent",
            v1::PushSeries {
                columns: None,
                ..push("shop/orders", Requests, 300, good())
            },
        ),
    ];
    let mut client = IngestClient::new(channel.clone());
    for (mistake, given, series) in cases {
        let answer = client
            .push(v1::PushRequest {
                series: vec![series],
            })
            .await;
        match answer {
            Err(status) => table.call::<()>(mistake, given, Err(status))?,
            Ok(answer) => {
                let answer = answer.into_inner();
                let Some(first) = answer.rejections.first() else {
                    table.taken.push(format!("{mistake}: {answer:?}"));
                    continue;
                };
                ensure!(answer.stored == 0, "{mistake}: {answer:?}");
                table.case(
                    mistake,
                    given,
                    &format!("rejected {}: {}", first.field, first.reason),
                )?;
            }
        }
    }
    table.call(
        "a push of nothing",
        "series: []",
        client.push(v1::PushRequest::default()).await,
    )
}

/// What breaks a stream, and what only a frame of it.
async fn streams(table: &mut Table, channel: &Channel) -> Result<()> {
    let declare = |step_s| v1::SeriesDeclaration {
        series_ref: 1,
        api: "shop/orders".into(),
        signal: v1::Signal::Requests.into(),
        step_s,
    };
    let samples = |series_ref| v1::SeriesSamples {
        series_ref,
        columns: Some(v1::Columns {
            start_ms: START_MS,
            values: vec![1.0],
            ..v1::Columns::default()
        }),
    };
    let frame = |sequence, declare: Vec<_>, series: Vec<_>| v1::SampleFrame {
        sequence,
        declare,
        series,
        ..Default::default()
    };
    let cases = [
        (
            "a frame without a number",
            "sequence: 0",
            vec![frame(0, vec![declare(300)], vec![])],
        ),
        (
            "a number that does not rise",
            "sequence: 2, 2",
            vec![
                frame(2, vec![declare(300)], vec![]),
                frame(2, vec![], vec![samples(1)]),
            ],
        ),
        (
            "samples under a reference that was never declared",
            "series_ref: 9",
            vec![frame(1, vec![declare(300)], vec![samples(9)])],
        ),
        (
            "a declaration with a step of two days",
            "step_s: 172800",
            vec![frame(1, vec![declare(172_800)], vec![samples(1)])],
        ),
    ];
    for (mistake, given, frames) in cases.into_iter().chain(grids(&declare(300))) {
        let mut client = IngestClient::new(channel.clone());
        let mut acks = client
            .stream_samples(tokio_stream::iter(frames))
            .await?
            .into_inner();
        let told = loop {
            match acks.message().await {
                Err(status) => {
                    break format!(
                        "the stream ends with {:?}: {}",
                        status.code(),
                        status.message()
                    );
                }
                Ok(None) => {
                    table.taken.push(mistake.into());
                    break String::new();
                }
                Ok(Some(ack)) => match (&ack.error, ack.rejections.first()) {
                    (Some(error), _) => {
                        break format!("frame {} refused: {}", ack.sequence, error.message);
                    }
                    (None, Some(r)) => break format!("rejected {}: {}", r.field, r.reason),
                    (None, None) => {}
                },
            }
        };
        if !told.is_empty() {
            table.case(mistake, given, &told)?;
        }
    }
    Ok(())
}

/// Grids that are not what they say, and sessions that are none.
fn grids(
    declared: &v1::SeriesDeclaration,
) -> Vec<(&'static str, &'static str, Vec<v1::SampleFrame>)> {
    let good = v1::SampleGrid {
        start_ms: START_MS,
        steps: 2,
        series_ref: vec![1],
        counts: vec![1, 2],
        ..v1::SampleGrid::default()
    };
    let with = |change: fn(&mut v1::SampleGrid)| {
        let mut grid = good.clone();
        change(&mut grid);
        vec![v1::SampleFrame {
            sequence: 1,
            declare: vec![declared.clone()],
            grids: vec![grid],
            ..v1::SampleFrame::default()
        }]
    };
    let open = |sequence, session: &str| {
        vec![v1::SampleFrame {
            sequence,
            open: Some(v1::StreamOpening {
                session: session.into(),
                heard: 0,
            }),
            ..v1::SampleFrame::default()
        }]
    };
    vec![
        (
            "a grid with a count too few",
            "grids: [{series_ref: [1], steps: 3, counts: [1, 2]}]",
            with(|g| g.steps = 3),
        ),
        (
            "a grid of counts and values",
            "grids: [{counts: [1, 2], values: [1, 2]}]",
            with(|g| g.values = vec![1.0, 2.0]),
        ),
        (
            "a grid of four billion steps of as many rows",
            "grids: [{series_ref: [1], rows: 4294967295, steps: 4294967295}]",
            with(|g| (g.rows, g.steps) = (u32::MAX, u32::MAX)),
        ),
        (
            "a grid with more missing than it holds",
            "grids: [{steps: 2, missing: 0xff}]",
            with(|g| g.missing = vec![0xff]),
        ),
        (
            "a grid that begins between two steps",
            "grids: [{start_ms: 1767744000001}]",
            with(|g| g.start_ms += 1),
        ),
        (
            "a grid of a series that was never declared",
            "grids: [{series_ref: [9]}]",
            with(|g| g.series_ref = vec![9]),
        ),
        (
            "requests as distributions",
            "grids: [{distributions: {sum: [0.5]}}] of requests",
            with(|g| {
                g.counts.clear();
                g.distributions = Some(v1::DistributionColumns {
                    scale: vec![0],
                    offset: vec![0],
                    bucket_count: vec![1],
                    buckets: vec![1, 1],
                    sum: vec![0.5, 0.5],
                    ..v1::DistributionColumns::default()
                });
            }),
        ),
        (
            "a session without a name",
            "open: {session: \"\"}",
            open(0, ""),
        ),
        (
            "an opening in a frame with a number",
            "sequence: 1, open: {session: mine}",
            open(1, "mine"),
        ),
    ]
}

async fn questions(table: &mut Table, channel: &Channel) -> Result<()> {
    let mut catalog = CatalogClient::new(channel.clone());
    let empty = v1::Change::default();
    let changes = v1::ApplyRequest {
        changes: vec![empty],
        dry_run: false,
    };
    table.call(
        "a change that changes nothing",
        "changes: [{}]",
        catalog.apply(changes).await,
    )?;
    let stale = v1::Put {
        object: Some(v1::Object {
            object: Some(tidegate_e2e::catalog::tenant("shop")),
        }),
        expect_generation: Some(7),
    };
    let stale = v1::Change {
        change: Some(v1::change::Change::Put(stale)),
    };
    let changes = v1::ApplyRequest {
        changes: vec![stale],
        dry_run: false,
    };
    table.call(
        "a change of what somebody else has changed",
        "expect_generation: 7",
        catalog.apply(changes).await,
    )?;
    let page = v1::ListObjectsRequest {
        kind: 4,
        page_size: 5000,
        page_token: String::new(),
    };
    table.call(
        "a page of 5,000",
        "page_size: 5000",
        catalog.list(page).await,
    )?;
    let page = v1::ListObjectsRequest {
        kind: 99,
        ..v1::ListObjectsRequest::default()
    };
    table.call(
        "a kind that has no name",
        "kind: 99",
        catalog.list(page).await,
    )?;

    let mut forecasts = ForecastsClient::new(channel.clone());
    let ask = |steps, levels: &[u32]| v1::GetForecastRequest {
        api: "shop/orders".into(),
        signal: v1::Signal::Requests.into(),
        steps,
        levels: levels.to_vec(),
    };
    table.call(
        "a forecast of four billion steps",
        "steps: 4294967295",
        forecasts.get_forecast(ask(u32::MAX, &[])).await,
    )?;
    table.call(
        "a quantile above one",
        "levels: [5000, 10000]",
        forecasts.get_forecast(ask(1, &[5000, 10_000])).await,
    )?;
    table.call(
        "quantiles that fall",
        "levels: [9000, 1000]",
        forecasts.get_forecast(ask(1, &[9000, 1000])).await,
    )?;

    let mut limits = LimitsClient::new(channel.clone());
    let name = "x".repeat(100_000);
    table.call(
        "a name of 100,000 letters",
        &name,
        limits
            .get_grant(v1::GetGrantRequest { api: name.clone() })
            .await,
    )?;
    let up = "shop/../../etc/passwd\u{0}";
    table.call(
        "a name that climbs",
        "shop/../../etc/passwd\\0",
        limits
            .get_grant(v1::GetGrantRequest { api: up.into() })
            .await,
    )?;

    let mut plans = PlansClient::new(channel.clone());
    let report = v1::AppliedReport {
        api: "shop/orders".into(),
        generation: 1000,
        actuator: "envoy".into(),
        ..v1::AppliedReport::default()
    };
    let report = v1::ReportAppliedRequest {
        report: Some(report),
    };
    table.call(
        "a report of a plan that was never made",
        "generation: 1000",
        plans.report_applied(report).await,
    )?;
    table.call(
        "a report of nothing",
        "report: absent",
        plans
            .report_applied(v1::ReportAppliedRequest::default())
            .await,
    )?;
    let watch = v1::WatchPlansRequest {
        pool: "no such pool".into(),
        after_generation: None,
    };
    table.call(
        "a watch of no pool",
        "pool: no such pool",
        plans.watch_plans(watch).await,
    )?;

    let mut clock = ClockClient::new(channel.clone());
    table.call(
        "a clock that should go back",
        "now_ms: 5",
        clock.advance(v1::AdvanceRequest { now_ms: 5 }).await,
    )?;
    let mut shadows = ShadowsClient::new(channel.clone());
    table.call(
        "a service that is not served yet",
        "Shadows.List",
        shadows.list(v1::ListShadowsRequest::default()).await,
    )
}
