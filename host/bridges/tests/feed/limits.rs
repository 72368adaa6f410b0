//! What one tenant may send, and what one stream may be: told in each protocol's own terms.

use super::fake::World;
use super::otlp::Request;
use super::way_in::{GOOD, post, server_of};
use super::{API, of_instance, served};
use tidegate_bridges::feed::Error;
use tidegate_core::units::Signal;

/// So many instances, each with one point of `n` requests.
fn said(instances: u64, t: u64, n: u64) -> Request {
    let mut request = Request::default();
    for i in 0..instances {
        served(&mut request, &format!("i{i}"), "200", 900, t, n);
    }
    request
}

#[test]
fn a_tenant_that_sends_too_much_is_refused_as_a_whole_and_a_retry_loses_nothing() {
    let mut world = World::new();
    world.options.max_points_per_s = Some(2);
    let feed = world.open();
    // A bucket is twenty points deep.
    world.send(&feed, 1000, &said(20, 1000, 0)).unwrap();
    let later = said(20, 1005, 10);
    let Err(Error::Over { what, retry_ms }) = world.send(&feed, 1005, &later) else {
        panic!("it is over");
    };
    assert!(
        what.contains("`shop`") && what.contains("feeds.max_points_per_s"),
        "{what}"
    );
    assert_eq!(retry_ms, 5_000);
    assert_eq!(world.send(&feed, 1010, &later).unwrap().duplicates, 0);
    world.turn(&feed, 1300);
    let requests: f64 = world.numbers(API, Signal::Requests).values().sum();
    assert_eq!(requests, 200.0);
}

#[tokio::test]
async fn who_is_over_is_told_when_to_come_back() {
    const EXPORT: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    let mut world = World::new();
    world.options.max_points_per_s = Some(1);
    let router = server_of(&world, 1 << 20, 4);
    let protobuf = ("content-type", "application/x-protobuf");
    let body = said(15, 1000, 0).encode();
    let done = post(&router, "/v1/metrics", &[GOOD, protobuf], body.clone()).await;
    assert_eq!(done.code.as_u16(), 200);
    let over = post(&router, "/v1/metrics", &[GOOD, protobuf], body.clone()).await;
    assert_eq!((over.code.as_u16(), over.says("retry-after")), (429, "15"));
    let written = super::write::served_once(7.0);
    let written = snap::raw::Encoder::new().compress_vec(&written).unwrap();
    let snappy = ("content-encoding", "snappy");
    let over = post(&router, "/api/v1/write", &[GOOD, protobuf, snappy], written).await;
    assert_eq!((over.code.as_u16(), over.says("retry-after")), (429, "6"));
    let mut frame = vec![0];
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend(body);
    let grpc = ("content-type", "application/grpc");
    let over = post(&router, EXPORT, &[GOOD, grpc], frame).await;
    // RESOURCE_EXHAUSTED, which is repeated only because RetryInfo stands beside it.
    assert_eq!(over.says("grpc-status"), "8");
    assert!(!over.says("grpc-status-details-bin").is_empty());
}

#[test]
fn a_tenant_has_so_many_streams_and_another_its_own() {
    let mut world = World::new();
    world.options.terms.max_streams_per_tenant = 2;
    let feed = world.open();
    let took = world.send(&feed, 1000, &said(3, 1000, 1)).unwrap();
    assert_eq!((took.accepted, took.rejected), (2, 1));
    let text = took.message().unwrap();
    assert!(
        text.contains("`shop`") && text.contains("max_streams_per_tenant"),
        "{text}"
    );
    let mut other = Request::default();
    let labels = [("service.name", "pay"), ("tidegate.tenant", "bank")];
    other.counter(&labels, "process.cpu.time", &[], (900, 1000), 1.0);
    assert_eq!(world.send(&feed, 1000, &other).unwrap().accepted, 1);
    // Those who fall silent for an hour make room.
    world.turn(&feed, 5000);
    let anew = said(1, 5000, 1);
    assert_eq!(world.send(&feed, 5000, &anew).unwrap().accepted, 1);
    assert_eq!(feed.standing().1, 1);
}

#[test]
fn a_stream_of_too_many_or_too_long_labels_is_refused_alone() {
    let world = World::new();
    let feed = world.open();
    let many: Vec<String> = (0..300).map(|i| format!("l{i}")).collect();
    let many: Vec<_> = many.iter().map(|l| (l.as_str(), "x")).collect();
    let long = "x".repeat(9 << 10);
    let mut request = Request::default();
    let resource = of_instance("a");
    for labels in [&many[..], &[("long", long.as_str())], &[]] {
        request.counter(&resource, "process.cpu.time", labels, (0, 1000), 1.0);
    }
    let took = world.send(&feed, 1000, &request).unwrap();
    assert_eq!((took.accepted, took.rejected), (1, 2));
    assert!(took.message().unwrap().contains("256 labels"));
}
