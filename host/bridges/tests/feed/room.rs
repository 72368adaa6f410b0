//! Room for bodies: who holds it, for how long, and how much of it is whose.

use super::envoy::framed;
use super::fake::{World, at};
use super::otlp::Request;
use super::sender::labels;
use super::way_in::{Answer, PROTOBUF, post};
use axum::body::Body;
use prost::Message as _;
use std::sync::Arc;
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
