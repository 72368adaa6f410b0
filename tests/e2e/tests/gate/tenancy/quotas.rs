//! Quotas refuse in the protocol's words, take nothing along, and are seen where one looks for them.

use super::wire::{Answer, Wire};
use super::world::{CREDENTIALS, auth, marked, plan_of, renamed, set, shipped, upload};
use anyhow::{Context, Result, ensure};
use tidegate_e2e::{catalog, feed, gate};
use tidegate_proto::v1;
use tidegate_proto::v1::object::Object;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

fn series(api: &str, signal: v1::Signal, from: usize, count: usize) -> v1::PushSeries {
    v1::PushSeries {
        api: api.into(),
        signal: signal.into(),
        step_s: 60,
        columns: Some(v1::Columns {
            start_ms: feed::START_MS + from as i64 * 60_000,
            values: vec![1_200.0; count],
            ..v1::Columns::default()
        }),
    }
}

fn details(answer: &Answer) -> Result<(Code, ErrorDetails)> {
    let (code, text, details) = answer.end.clone().context("it did not end")?;
    let status = Status::with_details(Code::from_i32(code), text, details.into());
    Ok((status.code(), status.get_error_details()))
}

/// Which quota, its limit, and whether another try makes sense, as a program reads it.
fn told(answer: &Answer) -> Result<(String, String, bool)> {
    let (code, details) = details(answer)?;
    ensure!(code == Code::ResourceExhausted, "{answer}");
    let failure = details.quota_failure().context("no QuotaFailure")?;
    ensure!(failure.violations[0].subject == "tenant:shop", "{answer}");
    ensure!(
        failure.violations[0].description.contains("raise"),
        "{answer}"
    );
    let info = details.error_info().context("no ErrorInfo")?;
    ensure!(info.reason == "QUOTA_EXCEEDED", "{answer}");
    Ok((
        info.metadata["quota"].clone(),
        info.metadata["limit"].clone(),
        details.retry_info().is_some(),
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_over_a_quota_is_told_which_and_nothing_else_is_lost() -> Result<()> {
    let gate = gate()?.also(&auth());
    let daemon = gate.start().await?;
    let wire = Wire(daemon.connect().await?);
    let mut edge = v1::Pool {
        name: "edge".into(),
        ready: Some(catalog::requests(100.0)),
        ..v1::Pool::default()
    };
    edge.quotas.insert("shop".into(), catalog::requests(5.0));
    let tenant = v1::Tenant {
        name: "shop".into(),
        max_series: 2,
        max_samples_per_s: 10,
        max_modules: 1,
        usage: None,
    };
    let mut objects = vec![Object::Tenant(tenant), Object::Pool(edge)];
    objects.push(catalog::tenant("bank"));
    for api in ["shop/orders", "shop/search", "bank/cards"] {
        objects.push(Object::Api(catalog::api(api, "edge", v1::Tier::Bronze)));
    }
    let _: v1::ApplyResponse = wire
        .one("tidegate.v1.Catalog/Apply", "root", &set(objects, false))
        .await?;

    // Series: the third new one has no room, and its neighbours in the same call pass.
    const PUSH: &str = "tidegate.v1.Ingest/Push";
    let push = async |token: &str, series: Vec<v1::PushSeries>| {
        let request = prost::Message::encode_to_vec(&v1::PushRequest { series });
        wire.call(PUSH, Some(token), vec![request], false).await
    };
    let taken = |answer: &Answer| -> Result<v1::PushResponse> {
        let item = answer.items.first().context("no answer")?;
        Ok(prost::Message::decode(item.as_slice())?)
    };
    use v1::Signal::{Cpu, Memory, Requests};
    let three = vec![
        series("shop/orders", Requests, 0, 30),
        series("shop/search", Requests, 0, 30),
        series("shop/orders", Cpu, 0, 2),
    ];
    let answer = taken(&push("shop-writer", three).await?)?;
    ensure!(answer.stored == 60, "{answer:?}");
    ensure!(
        answer.rejections[0].field.starts_with("series[2]"),
        "{answer:?}"
    );
    ensure!(
        answer.rejections[0].reason.contains("max_series"),
        "{answer:?}"
    );
    let alone = push("shop-writer", vec![series("shop/orders", Memory, 0, 1)]).await?;
    ensure!(told(&alone)? == ("max_series".into(), "2".into(), false));

    // On a stream, what goes beyond stands in the ack with its count, and the rest is stored.
    let declare = [(1, Requests), (2, Memory)].map(|(series_ref, signal)| v1::SeriesDeclaration {
        series_ref,
        api: "shop/orders".into(),
        signal: signal.into(),
        step_s: 60,
    });
    let samples = [(1, 1), (2, 3)].map(|(series_ref, count)| v1::SeriesSamples {
        series_ref,
        columns: series("shop/orders", Requests, 30, count).columns,
    });
    let frame = v1::SampleFrame {
        sequence: 1,
        declare: declare.into(),
        series: samples.into(),
        ..v1::SampleFrame::default()
    };
    let frame = prost::Message::encode_to_vec(&frame);
    const STREAM: &str = "tidegate.v1.Ingest/StreamSamples";
    let answer = wire
        .call(STREAM, Some("shop-writer"), vec![frame], true)
        .await?;
    let ack = answer.items.get(1).context("no ack")?;
    let ack: v1::SampleAck = prost::Message::decode(ack.as_slice())?;
    ensure!(ack.error.is_none() && ack.stored == 1, "{ack:?}");
    let [refused] = &ack.rejections[..] else {
        anyhow::bail!("{ack:?}")
    };
    ensure!(refused.field.starts_with("series[1]"), "{ack:?}");
    ensure!(
        refused.samples == 3 && refused.reason.contains("max_series"),
        "{ack:?}"
    );

    // Samples: a burst of ten seconds passes, then the tenant waits; a neighbour in the same call
    // does not.
    let much = || series("shop/orders", Requests, 30, 200);
    let alone = loop {
        let answer = push("shop-writer", vec![much()]).await?;
        if answer.code() != Code::Ok {
            break answer;
        }
    };
    ensure!(told(&alone)? == ("max_samples_per_s".into(), "10".into(), true));
    let mixed = vec![much(), series("bank/cards", Requests, 0, 30)];
    let answer = taken(&push("root", mixed).await?)?;
    ensure!(
        answer.stored == 30 && answer.rejections.len() == 1,
        "{answer:?}"
    );

    // Modules.
    let own = renamed(
        &shipped("seasonal-naive")?,
        "seasonal-naive",
        "shopmodel-naiv",
    );
    const UPLOAD: &str = "tidegate.v1.Policies/Push";
    let first = wire
        .call(UPLOAD, Some("shop-writer"), upload(&own, ""), false)
        .await?;
    ensure!(first.code() == Code::Ok, "{first}");
    let second = upload(&marked(&own, b'2'), "");
    let second = wire
        .call(UPLOAD, Some("shop-writer"), second, false)
        .await?;
    ensure!(told(&second)? == ("max_modules".into(), "1".into(), false));
    let again = wire
        .call(UPLOAD, Some("shop-writer"), upload(&own, ""), false)
        .await?;
    ensure!(again.code() == Code::Ok, "{again}");

    // Its share of a pool: the plan keeps it (AL4), and `why` says that it was the bound.
    let request = v1::AdvanceRequest {
        now_ms: feed::START_MS + 30 * 60_000,
    };
    let _: v1::AdvanceResponse = wire
        .one("tidegate.v1.Clock/Advance", "root", &request)
        .await?;
    let plan: v1::GetPlanResponse = wire
        .one("tidegate.v1.Plans/GetPlan", "shop-reader", &plan_of("edge"))
        .await?;
    let plan = plan.plan.context("no plan")?;
    ensure!(plan.apis.len() == 2, "{plan:?}");
    for step in 0..plan.step_count as usize {
        let held: f64 = plan.apis.iter().map(|a| a.limit[step]).sum();
        ensure!(held <= 5.0 * (1.0 + 1e-6), "{held} in step {step}");
    }
    let why: v1::ExplainResponse = wire
        .one(
            "tidegate.v1.Plans/Explain",
            "shop-reader",
            &v1::ExplainRequest {
                api: "shop/orders".into(),
                at_ms: None,
            },
        )
        .await?;
    let said = why.sentences.join("\n");
    ensure!(said.contains("holds all of its quota"), "{said}");

    // Where one looks for it.
    let request = v1::GetObjectRequest {
        key: Some(v1::ObjectKey {
            kind: v1::ObjectKind::Tenant.into(),
            name: "shop".into(),
        }),
    };
    let got: v1::GetObjectResponse = wire
        .one("tidegate.v1.Catalog/Get", "shop-reader", &request)
        .await?;
    let object = got.object.and_then(|o| o.object).and_then(|o| o.object);
    let Some(Object::Tenant(tenant)) = object else {
        anyhow::bail!("no tenant")
    };
    let used = tenant.usage.context("no usage")?;
    ensure!((used.series, used.modules) == (2, 1), "{used:?}");
    ensure!(used.refused_samples >= 2 + 1 + 200 + 200, "{used:?}");
    ensure!(
        used.pools[0].quota == Some(catalog::requests(5.0)),
        "{used:?}"
    );
    let token = CREDENTIALS[0].name;
    for verb in [&["status"][..], &["get", "tenants"]] {
        let arguments = [verb, &["--token", token]].concat();
        let shown = daemon.cli(&arguments)?;
        ensure!(shown.ok(), "{shown:?}");
        for part in ["2 of 2", "1 of 1", "of at most"] {
            ensure!(shown.stdout.contains(part), "{verb:?}: {}", shown.stdout);
        }
        ensure!(!shown.stdout.contains("bank"), "{}", shown.stdout);
    }
    daemon.stop().await?;
    Ok(())
}
