//! The forms that OTLP comes in: protobuf and JSON, plain and packed. They are the same request.

use super::fake::World;
use super::otlp::Request;
use super::way_in::{Answer, GOOD, PROTOBUF, gzip, post, server, server_of};
use super::{of_instance, served};
use proptest::prelude::*;
use tidegate_bridges::serve::Router;

const METRICS: &str = "/v1/metrics";
const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
const ZSTD: (&str, &str) = ("content-encoding", "zstd");

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut packer = zstd::bulk::Compressor::new(3).unwrap();
    packer.include_checksum(true).unwrap();
    packer.compress(bytes).unwrap()
}

/// A frame that would be so many times 128 KiB.
fn bomb(blocks: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
    for i in 0..blocks {
        let last = u8::from(i + 1 == blocks);
        frame.extend_from_slice(&[2 | last, 0, 0x10, 0]);
    }
    frame
}

fn request() -> Request {
    let mut request = Request::default();
    served(&mut request, "a", "200", 900, 1000, 5);
    request
}

/// By gRPC, with a message that says that it is packed.
async fn call(router: &Router, encoding: &str, packed: &[u8]) -> Answer {
    let mut frame = vec![1];
    frame.extend_from_slice(&u32::try_from(packed.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(packed);
    let headers = [
        GOOD,
        ("content-type", "application/grpc"),
        ("grpc-encoding", encoding),
    ];
    post(router, EXPORT, &headers, frame).await
}

#[tokio::test]
async fn a_request_in_any_form_and_packing_is_the_same_request() {
    let plain = World::new();
    let router = server_of(&plain, 1 << 20, 4);
    let done = post(&router, METRICS, &[GOOD, PROTOBUF], request().encode()).await;
    assert_eq!(done.code.as_u16(), 200);
    let noted = plain.journal();
    assert_eq!(noted.len(), 1);
    for seed in 0..20 {
        let (protobuf, json) = (request().encode(), request().json(seed));
        for (headers, body) in [
            (vec![GOOD, PROTOBUF, ZSTD], zstd(&protobuf)),
            (vec![GOOD, JSON], json.clone()),
            (vec![GOOD, JSON, ("content-encoding", "GZIP")], gzip(&json)),
            (vec![GOOD, JSON, ZSTD], zstd(&json)),
        ] {
            let world = World::new();
            let router = server_of(&world, 1 << 20, 4);
            let done = post(&router, METRICS, &headers, body).await;
            assert_eq!(done.code.as_u16(), 200, "{}", done.text());
            let is_json = headers.contains(&JSON);
            assert_eq!(done.text(), if is_json { "{}" } else { "" });
            assert_eq!(world.journal(), noted, "{headers:?}");
        }
    }
    for (encoding, packed) in [
        ("zstd", zstd(&request().encode())),
        ("gzip", gzip(&request().encode())),
    ] {
        let world = World::new();
        let done = call(&server_of(&world, 1 << 20, 4), encoding, &packed).await;
        assert_eq!(
            (done.says("grpc-status"), &done.body[..]),
            ("", &[0; 5][..])
        );
        assert_eq!(world.journal(), noted, "{encoding}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_forms_of_a_request_are_noted_alike(
        counts in prop::collection::vec(0_u64..1 << 50, 1..9),
        values in prop::collection::vec(prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY)], 0..6),
        labels in prop::collection::vec((".{1,9}", ".{0,9}"), 0..4),
        (start, time) in (0_u64..2000, 1_u64..2000),
        seed: u64,
    ) {
        let mut request = Request::default();
        let labels: Vec<_> = labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let buckets: Vec<_> = (1..).zip(&counts).map(|(i, n)| (f64::from(i) / 7.0, *n)).collect();
        let route = [("http.route", "/a"), ("http.request.method", "GET")];
        let of = of_instance("a");
        request.histogram(&of, "http.server.request.duration", &[&route[..], &labels].concat(), (start, time), &buckets);
        for value in values {
            request.counter(&of, "process.cpu.time", &labels, (start, time), value);
        }
        let (protobuf, json) = (World::new(), World::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let one = post(&server_of(&protobuf, 1 << 20, 4), METRICS, &[GOOD, PROTOBUF], request.encode()).await;
            let other = post(&server_of(&json, 1 << 20, 4), METRICS, &[GOOD, JSON], request.json(seed)).await;
            assert_eq!(one.code, other.code, "{}", other.text());
            // What is told of refusals is the same text.
            let refused = one.body.len();
            assert_eq!(refused == 0, other.text() == "{}", "{}", other.text());
        });
        prop_assert_eq!(protobuf.journal(), json.journal());
    }
}

#[tokio::test]
async fn what_is_packed_too_well_or_damaged_is_told_in_each_protocol_s_terms() {
    let router = server(1 << 20, 4);
    let whole = zstd(&request().encode());
    let cut = whole[..whole.len() - 1].to_vec();
    let wide = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0xa0, 1, 0, 0];
    for (body, code, grpc, part) in [
        (bomb(10_000), 413, "8", "feeds.message"),
        (cut, 400, "3", "cannot be unpacked"),
        (b"no zstd at all".to_vec(), 400, "3", "cannot be unpacked"),
        (wide, 400, "3", "RFC 9659"),
        (vec![], 400, "3", "no frame"),
    ] {
        let refused = post(&router, METRICS, &[GOOD, PROTOBUF, ZSTD], body.clone()).await;
        assert_eq!(refused.code.as_u16(), code, "{}", refused.text());
        assert!(refused.text().contains(part), "{}", refused.text());
        let refused = call(&router, "zstd", &body).await;
        assert_eq!(refused.says("grpc-status"), grpc, "{part}");
        // Too large a message will not get smaller: nothing says when to come back.
        assert_eq!(refused.says("grpc-status-details-bin"), "");
    }
    let unknown = call(&router, "snappy", &whole).await;
    assert_eq!(
        (
            unknown.says("grpc-status"),
            unknown.says("grpc-accept-encoding")
        ),
        ("12", "gzip,zstd,identity")
    );
    let br = ("content-encoding", "br");
    let unknown = post(&router, METRICS, &[GOOD, PROTOBUF, br], whole).await;
    assert_eq!(unknown.code.as_u16(), 415);
    assert_eq!(unknown.says("accept-encoding"), "gzip, zstd, identity");
}

#[tokio::test]
async fn what_is_told_of_a_request_in_json_is_json() {
    let mut world = World::new();
    world.options.max_points_per_s = Some(1);
    let router = server_of(&world, 64 << 10, 4);
    let mut partly = request();
    partly.counter(&of_instance("a"), "process.cpu.time", &[], (0, 1000), -1.0);
    let done = post(&router, METRICS, &[GOOD, JSON], partly.json(1)).await;
    assert_eq!(
        (done.code.as_u16(), done.says("content-type")),
        (200, "application/json")
    );
    assert_eq!(
        done.text(),
        r#"{"partialSuccess":{"rejectedDataPoints":"1","errorMessage":"1 point: its value is no finite number of 0 or more"}}"#
    );
    let zeros = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"bucketCounts":[{}]}}]}}}}]}}]}}]}}"#,
        vec!["0"; 10_000].join(",")
    );
    for (headers, body, code, part) in [
        (
            &[JSON][..],
            request().json(2),
            401,
            r#"{"code":16,"message":"the token is not known"}"#,
        ),
        (
            &[GOOD, JSON],
            b"{\"resourceMetrics\": 1}".to_vec(),
            400,
            r#"{"code":3,"message":"the body is no such message: byte 20: an array was expected here","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"description":"the body is no such message: byte 20: an array was expected here"}]}]}"#,
        ),
        (&[GOOD, JSON], request().encode(), 400, "no such message"),
        (&[GOOD, JSON], vec![b' '; 65 << 10], 413, r#"{"code":8,"#),
        // Smaller than may be in JSON, and not in protobuf.
        (&[GOOD, JSON], zeros.into_bytes(), 413, "feeds.message"),
    ] {
        let refused = post(&router, METRICS, headers, body).await;
        assert_eq!(refused.code.as_u16(), code, "{}", refused.text());
        assert_eq!(refused.says("content-type"), "application/json");
        assert!(refused.text().contains(part), "{}", refused.text());
    }
    let mut many = Request::default();
    (0..15).for_each(|i| served(&mut many, &format!("i{i}"), "200", 900, 1000, 0));
    let over = post(&router, METRICS, &[GOOD, JSON], many.json(3)).await;
    let details = r#""details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"#;
    assert_eq!((over.code.as_u16(), over.says("retry-after")), (429, "2"));
    assert!(over.text().contains(details), "{}", over.text());
}

#[tokio::test]
async fn refusals_in_protobuf_say_what_is_wrong_or_when_to_come_back() {
    use tonic_types::StatusExt as _;
    let mut world = World::new();
    world.options.max_points_per_s = Some(1);
    let router = server_of(&world, 1 << 20, 4);
    let status = |answer: &Answer| {
        let bytes = answer.body.clone().into();
        tonic::Status::with_details(tonic::Code::Unknown, "", bytes).get_error_details()
    };
    let bad = post(&router, METRICS, &[GOOD, PROTOBUF], vec![0x0a, 9]).await;
    let told = status(&bad);
    assert!(
        told.bad_request().unwrap().field_violations[0]
            .description
            .contains("byte 2")
    );
    let mut many = Request::default();
    (0..15).for_each(|i| served(&mut many, &format!("i{i}"), "200", 900, 1000, 0));
    post(&router, METRICS, &[GOOD, PROTOBUF], many.encode()).await;
    let over = post(&router, METRICS, &[GOOD, PROTOBUF], many.encode()).await;
    assert_eq!(over.code.as_u16(), 429);
    assert!(status(&over).retry_info().unwrap().retry_delay.is_some());
}

#[tokio::test]
async fn traces_and_logs_are_not_taken_and_that_is_no_success() {
    let router = server(1 << 20, 4);
    for path in ["/v1/traces", "/v1/logs"] {
        let told = post(&router, path, &[JSON], b"{}".to_vec()).await;
        assert_eq!(told.code.as_u16(), 404);
        assert!(told.text().contains("only metrics"), "{}", told.text());
        let told = post(&router, path, &[PROTOBUF], vec![]).await;
        assert_eq!(told.says("content-type"), "application/x-protobuf");
        assert!(
            told.text().contains("OTEL_TRACES_EXPORTER"),
            "{}",
            told.text()
        );
    }
}
