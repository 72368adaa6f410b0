//! Room for bodies: who holds it, for how long, and how much of it is whose.

use super::envoy::{STREAM, framed, said::Said};
use super::fake::{World, at};
use super::otlp::Request;
use super::sender::labels;
use super::way_in::{Answer, PROTOBUF, post};
use axum::body::Body;
use prost::Message as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tidegate_bridges::feed::Feed;
use tidegate_bridges::serve::{Options, Router, routes};
use tidegate_core::access::{Principal, Role};
use tidegate_core::time::Timestamp;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

const METRICS: &str = "/v1/metrics";
const WRITE: &str = "/api/v1/write";
const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const GRPC: (&str, &str) = ("content-type", "application/grpc");
const SNAPPY: (&str, &str) = ("content-encoding", "snappy");

/// Whoever says his name is let in by it; readers are called so.
fn server(world: &World, concurrency: usize, clock: fn() -> Timestamp) -> (Router, Arc<Feed>) {
    let identify = |header: Option<&[u8]>| {
        let name = String::from_utf8_lossy(header.unwrap_or_default()).into_owned();
        let role = if name == "reader" {
            Role::Reader
        } else {
            Role::Writer
        };
        Ok(Principal {
            name,
            role,
            tenants: None,
        })
    };
    let feed = Arc::new(world.open());
    let options = Options {
        message: 1 << 20,
        concurrency,
        identify: Arc::new(identify),
        clock,
        hear: Arc::new(|_, _| {}),
        closing: None,
    };
    (routes(feed.clone(), options), feed)
}

fn thousand() -> Timestamp {
    at(1000)
}

/// A request of one point of a tenant.
fn counted(tenant: &str) -> Vec<u8> {
    let labels = [("service.name", "pay"), ("tidegate.tenant", tenant)];
    let mut request = Request::default();
    request.counter(&labels, "process.cpu.time", &[], (990, 1000), 1.0);
    request.encode()
}

fn by(name: &str) -> (&str, &str) {
    ("authorization", name)
}

async fn send(router: &Router, name: &str, tenant: &str) -> Answer {
    let headers = [by(name), PROTOBUF];
    let answer = post(router, METRICS, &headers, counted(tenant));
    let answer = tokio::time::timeout(Duration::from_secs(20), answer);
    answer.await.unwrap()
}

/// Codes of requests, as they are answered.
type Going = JoinSet<http::StatusCode>;

fn spawn(router: &Router, path: &str, headers: &[(&str, &str)], body: Body) -> Going {
    let mut request = http::Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = router.clone().oneshot(request.body(body).unwrap());
    let mut going = JoinSet::new();
    going.spawn(async move { answer.await.unwrap().status() });
    going
}

/// A request whose body never comes.
fn hangs(router: &Router, path: &str, headers: &[(&str, &str)]) -> Going {
    let never = tonic::codegen::tokio_stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    spawn(router, path, headers, Body::from_stream(never))
}

#[tokio::test]
async fn what_a_sender_that_has_gone_sent_takes_room_until_it_is_taken() {
    let written = {
        let series = super::sender::one(
            &labels("http_server_request_duration_seconds_count", &[]),
            &[(1000, 1.0)],
            &[],
        );
        let timeseries = vec![series];
        let body = super::messages::One { timeseries }.encode_to_vec();
        snap::raw::Encoder::new().compress_vec(&body).unwrap()
    };
    for (path, kind, packing, body) in [
        (METRICS, PROTOBUF, PROTOBUF, counted("shop")),
        (EXPORT, GRPC, GRPC, framed(0, &[&counted("shop")])),
        (WRITE, PROTOBUF, SNAPPY, written),
    ] {
        let world = World::new();
        let (router, feed) = server(&world, 1, thousand);
        world.stop_journal(true);
        let headers = [by("a"), kind, packing];
        let headers = if packing == kind {
            &headers[..2]
        } else {
            &headers
        };
        let mut going = spawn(&router, path, headers, body.into());
        // Once its stream is known, it is in the books and waits for the disk.
        while feed.standing().1 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        going.shutdown().await;
        let mut next = spawn(
            &router,
            METRICS,
            &[by("b"), PROTOBUF],
            counted("bank").into(),
        );
        let told = tokio::time::timeout(Duration::from_secs(5), next.join_next()).await;
        world.stop_journal(false);
        assert_eq!(told.unwrap().unwrap().unwrap().as_u16(), 503, "{path}");
        while send(&router, "b", "bank").await.code.as_u16() == 503 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

static TAKEN: AtomicUsize = AtomicUsize::new(0);

fn counting() -> Timestamp {
    TAKEN.fetch_add(1, Ordering::Relaxed);
    at(1000)
}

#[tokio::test]
async fn an_envoy_that_waits_for_its_tenant_s_quota_keeps_nobody_out() {
    let mut world = World::new();
    world.options.max_points_per_s = Some(1);
    let (router, _) = server(&world, 1, counting);
    let body = |mut said: Said| {
        for i in 0..100 {
            said = said.class(&format!("pay{i}"), "2", 1000, 1.0);
        }
        said.encode_to_vec()
    };
    // The first one takes all that there is, and more.
    let bodies = [body(Said::by("a")), body(Said::default())];
    let frames = framed(0, &[&bodies[0], &bodies[1]]);
    let mut envoy = spawn(&router, STREAM, &[by("a"), GRPC], frames.into());
    while TAKEN.load(Ordering::Relaxed) < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // It pauses for seconds.
    let soon = tokio::time::timeout(Duration::from_secs(3), async {
        while send(&router, "b", "bank").await.code.as_u16() != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    soon.await.unwrap();
    assert!(envoy.try_join_next().is_none());
}

#[tokio::test]
async fn slow_bodies_of_one_credential_leave_half_of_the_room_to_others() {
    let world = World::new();
    let (router, _) = server(&world, 4, thousand);
    let mut slow = [0, 1].map(|_| hangs(&router, METRICS, &[by("a"), PROTOBUF]));
    tokio::task::yield_now().await;
    for (name, code) in [("a", 503), ("b", 200), ("c", 200)] {
        assert_eq!(
            send(&router, name, "shop").await.code.as_u16(),
            code,
            "{name}"
        );
    }
    for slow in &mut slow {
        slow.shutdown().await;
    }
    assert_eq!(send(&router, "a", "shop").await.code.as_u16(), 200);
}

#[tokio::test]
async fn a_reader_is_refused_before_its_body_takes_room() {
    let world = World::new();
    let (router, _) = server(&world, 1, thousand);
    for (path, kind) in [
        (METRICS, PROTOBUF),
        (WRITE, PROTOBUF),
        (EXPORT, GRPC),
        (STREAM, GRPC),
    ] {
        let headers = [by("reader"), kind, SNAPPY];
        let headers = if path == WRITE {
            &headers[..]
        } else {
            &headers[..2]
        };
        let mut told = hangs(&router, path, headers);
        let told = tokio::time::timeout(Duration::from_secs(20), told.join_next()).await;
        let code = told.unwrap().unwrap().unwrap();
        // By gRPC, what is wrong stands beside a 200.
        assert_eq!(
            code.as_u16(),
            if kind == GRPC { 200 } else { 403 },
            "{path}"
        );
    }
    assert_eq!(send(&router, "b", "shop").await.code.as_u16(), 200);
}
