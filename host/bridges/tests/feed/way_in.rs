//! The way in: who asks, how large a body may be, and what each protocol is told.

use super::fake::{World, at};
use super::otlp::Request;
use super::{of_instance, served};
use axum::body::{Body, to_bytes};
use http::{HeaderMap, StatusCode};
use std::io::Write as _;
use std::sync::Arc;
use tidegate_bridges::serve::{Options, Router, routes};
use tidegate_core::access::Principal;
use tower::ServiceExt as _;

/// What a sender gets back.
pub(crate) struct Answer {
    pub(crate) code: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn says(&self, header: &str) -> &str {
        self.headers.get(header).map_or("", |v| v.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub(crate) fn server(message: usize, concurrency: usize) -> Router {
    server_of(&World::new(), message, concurrency)
}

pub(crate) fn server_of(world: &World, message: usize, concurrency: usize) -> Router {
    let identify = |header: Option<&[u8]>| match header {
        Some(b"Bearer good") => Ok(Principal::local()),
        _ => Err("the token is not known".to_owned()),
    };
    let options = Options {
        message,
        concurrency,
        identify: Arc::new(identify),
        clock: || at(1000),
        hear: Arc::new(|_, _| {}),
        closing: None,
    };
    routes(Arc::new(world.open()), options)
}

pub(crate) async fn post(
    router: &Router,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answer {
    let mut request = http::Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body)).unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    Answer {
        code: parts.status,
        headers: parts.headers,
        body: to_bytes(body, 1 << 20).await.unwrap().to_vec(),
    }
}

pub(crate) const GOOD: (&str, &str) = ("authorization", "Bearer good");
pub(crate) const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn request() -> Vec<u8> {
    let mut request = Request::default();
    served(&mut request, "a", "200", 900, 1000, 5);
    request.encode()
}

#[tokio::test]
async fn otlp_by_http_is_taken_and_what_is_not_read_is_told() {
    let router = server(1 << 20, 4);
    let metrics = "/v1/metrics";
    let done = post(&router, metrics, &[GOOD, PROTOBUF, GZIP], gzip(&request())).await;
    assert_eq!((done.code, done.body.len()), (StatusCode::OK, 0));
    let mut partly = Request::default();
    partly.counter(&of_instance("a"), "process.cpu.time", &[], (0, 1000), -1.0);
    let done = post(&router, metrics, &[GOOD, PROTOBUF], partly.encode()).await;
    // partial_success { rejected_data_points: 1, error_message }
    assert_eq!(done.code, StatusCode::OK);
    assert!(
        done.body[0] == 0x0a && done.body[2..4] == [0x08, 1],
        "{:?}",
        done.body
    );
    assert!(done.text().contains("no finite number"));
    for (headers, body, code, part) in [
        (&[PROTOBUF][..], request(), 401, "not known"),
        (
            &[GOOD, ("content-type", "application/x-yaml")],
            request(),
            415,
            "application/json",
        ),
        (
            &[GOOD, PROTOBUF, ("content-encoding", "br")],
            request(),
            415,
            "gzip",
        ),
        (&[GOOD, PROTOBUF], vec![0x0a, 9], 400, "byte 2"),
        (&[GOOD, PROTOBUF, GZIP], request(), 400, "unpacked"),
        (&[GOOD, PROTOBUF], vec![0; 2 << 20], 413, "feeds.message"),
        // A bomb: two kilobytes that would be two megabytes.
        (
            &[GOOD, PROTOBUF, GZIP],
            gzip(&vec![0; 2 << 20]),
            413,
            "feeds.message",
        ),
    ] {
        let refused = post(&router, metrics, headers, body).await;
        assert_eq!(refused.code.as_u16(), code, "{}", refused.text());
        // Without a form that is known, it is a person who reads.
        let kind = match part {
            "application/json" => "text/plain; charset=utf-8",
            _ => PROTOBUF.1,
        };
        assert_eq!(refused.says("content-type"), kind);
        assert!(refused.text().contains(part), "{}", refused.text());
    }
}

#[tokio::test]
async fn remote_write_answers_with_its_codes_and_the_headers_that_count() {
    let router = server(1 << 20, 4);
    let snappy = |body: &[u8]| snap::raw::Encoder::new().compress_vec(body).unwrap();
    let (one, bad) = (
        super::write::served_once(7.0),
        super::write::served_once(-7.0),
    );
    let written = "x-prometheus-remote-write-samples-written";
    let packed = ("content-encoding", "snappy");
    let write = "/api/v1/write";
    let done = post(&router, write, &[GOOD, PROTOBUF, packed], snappy(&one)).await;
    assert_eq!(
        (done.code, done.says(written)),
        (StatusCode::NO_CONTENT, "1")
    );
    assert_eq!(
        done.says("x-prometheus-remote-write-histograms-written"),
        "0"
    );
    let second = (
        "content-type",
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    );
    for (headers, body, code, part) in [
        (
            &[GOOD, PROTOBUF, packed][..],
            snappy(&bad),
            400,
            "no finite number",
        ),
        (&[GOOD, second, packed], snappy(&[0x2a, 9]), 400, "byte 2"),
        (
            &[GOOD, PROTOBUF, packed],
            b"no snappy".to_vec(),
            400,
            "unpacked",
        ),
        (
            &[GOOD, PROTOBUF, packed],
            snappy(&vec![0; 2 << 20]),
            413,
            "feeds.message",
        ),
        (&[GOOD, PROTOBUF], one.clone(), 415, "snappy"),
        (
            &[
                GOOD,
                ("content-type", "application/x-protobuf;proto=x.Y"),
                packed,
            ],
            snappy(&one),
            415,
            "1.0 or 2.0",
        ),
        (&[PROTOBUF, packed], snappy(&one), 401, "not known"),
    ] {
        let refused = post(&router, write, headers, body).await;
        assert_eq!(refused.code.as_u16(), code, "{}", refused.text());
        assert!(refused.text().contains(part), "{}", refused.text());
        assert_eq!(refused.says(written), "0");
    }
}

#[tokio::test]
async fn whoever_asks_by_another_method_or_names_no_content_type_is_told_what_to_send() {
    let router = server(1 << 20, 4);
    for (path, parts) in [
        (
            "/v1/metrics",
            &["POST", "application/x-protobuf", "application/json"][..],
        ),
        ("/api/v1/write", &["POST", "application/x-protobuf"]),
    ] {
        let get = http::Request::get(path).body(Body::empty()).unwrap();
        let (head, body) = router.clone().oneshot(get).await.unwrap().into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let told = String::from_utf8_lossy(&body);
        assert_eq!(head.status, StatusCode::METHOD_NOT_ALLOWED);
        let allowed: Vec<_> = head.headers.get_all("allow").iter().collect();
        assert_eq!(allowed, ["POST"]);
        let mute = post(&router, path, &[GOOD], request()).await;
        assert_eq!(mute.code, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let mute = mute.text();
        assert!(mute.contains("content type is missing"), "{mute}");
        for part in parts {
            assert!(told.contains(part), "{part}: {told}");
            assert!(*part == "POST" || mute.contains(part), "{part}: {mute}");
        }
    }
}

#[tokio::test]
async fn grpc_tells_what_may_be_sent_again_and_what_may_not() {
    const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    let framed = |body: &[u8]| {
        let mut frame = vec![0];
        frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
        frame.extend_from_slice(body);
        frame
    };
    let headers = [
        GOOD,
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let router = server(1 << 20, 4);
    let done = post(&router, EXPORT, &headers, framed(&request())).await;
    // A message of no bytes; its status is in the trailers.
    assert_eq!(
        (done.says("grpc-status"), &done.body[..]),
        ("", &[0; 5][..])
    );
    let unknown = post(&router, EXPORT, &headers[1..], framed(&request())).await;
    assert_eq!(unknown.says("grpc-status"), "16");
    let damaged = post(&router, EXPORT, &headers, framed(&[0x0a, 9])).await;
    assert_eq!(damaged.says("grpc-status"), "3");
    let large = post(&router, EXPORT, &headers, framed(&vec![0; 2 << 20])).await;
    // RESOURCE_EXHAUSTED without RetryInfo: it will not get smaller.
    assert_eq!(large.says("grpc-status"), "8");
    assert_eq!(large.says("grpc-status-details-bin"), "");
    let cut = post(&router, EXPORT, &headers, framed(&request())[..20].to_vec()).await;
    assert_eq!(cut.says("grpc-status"), "3");
    let nothing = post(&router, EXPORT, &headers, vec![]).await;
    assert_eq!(nothing.says("grpc-status"), "3");
}
