//! What the specifications of remote write have beside labels and samples: where a counter started, what
//! a series is, exemplars, labels without a value, buckets without a bound, and which answers may be
//! followed by another try.

use super::fake::World;
use super::messages::{Exemplar, Metadata, One, Sample, TwoSeries};
use super::sender::{labels, one, rule, sample, send, two, write, written};
use super::way_in::{GOOD, PROTOBUF, post, server, server_of};
use axum::body::Body;
use prost::Message;
use tidegate_bridges::remote_write::Version;
use tidegate_core::units::Signal;
use tower::ServiceExt as _;

const SECOND: (&str, &str) = (
    "content-type",
    "application/x-protobuf;proto=io.prometheus.write.v2.Request",
);
const METADATA_COUNTER: i32 = 1;
const METADATA_GAUGE: i32 = 2;

/// With a start.
fn since(start: i64, (t, value): (i64, f64)) -> Sample {
    Sample {
        start: start * 1000,
        ..sample((t, value))
    }
}

const COUNT: &str = "http_server_request_duration_seconds_count";

#[test]
fn a_counter_counts_from_the_start_that_2_0_tells_in_a_sample_or_in_a_series() {
    for created in [false, true] {
        let world = World::new();
        let feed = world.open();
        for (t, value) in [(1000, 40.0), (1010, 50.0)] {
            let series = TwoSeries {
                samples: vec![since(if created { 0 } else { 980 }, (t, value))],
                created: if created { 980_000 } else { 0 },
                ..TwoSeries::default()
            };
            write(&feed, &two(&labels(COUNT, &[]), series), Version::Two, t);
        }
        world.turn(&feed, 1300);
        let requests = world.numbers("shop/pay/GET/a", Signal::Requests);
        let told: Vec<_> = requests.into_iter().collect();
        assert_eq!(told, [(980, 20.0), (990, 20.0), (1000, 10.0)]);
    }
}

#[test]
fn what_a_series_is_by_its_metadata_goes_before_its_name() {
    let mut world = World::new();
    world.options.mapping.rules = vec![
        rule("jobs", Signal::Requests),
        rule("bytes_sum", Signal::Memory),
        rule("work_total", Signal::Cpu),
    ];
    let feed = world.open();
    for i in 0..4_i32 {
        let t = 1000 + 10 * i64::from(i);
        for (metric, kind, value) in [
            ("jobs", METADATA_COUNTER, 5.0 * f64::from(i)),
            ("bytes_sum", METADATA_GAUGE, 700.0 - f64::from(i)),
            // Some exporters call all they have gauges.
            ("work_total", METADATA_GAUGE, 20.0 * f64::from(i)),
        ] {
            let series = TwoSeries {
                samples: vec![sample((t, value))],
                metadata: Some(Metadata { kind, help_ref: 0 }),
                ..TwoSeries::default()
            };
            let took = write(&feed, &two(&labels(metric, &[]), series), Version::Two, t).took;
            assert_eq!((took.accepted, took.rejected), (1, 0), "{metric}: {took:?}");
        }
    }
    world.turn(&feed, 1300);
    let told = |signal| {
        world
            .numbers("shop/pay", signal)
            .into_values()
            .collect::<Vec<_>>()
    };
    assert_eq!(told(Signal::Requests), [5.0, 5.0, 5.0]);
    assert_eq!(told(Signal::Memory), [700.0, 699.0, 698.0, 697.0]);
    assert_eq!(told(Signal::Cpu), [2.0, 2.0, 2.0]);
}

#[test]
fn a_label_without_a_value_is_none() {
    let world = World::new();
    let feed = world.open();
    for (t, more) in [
        (1000, &[][..]),
        (1010, &[("zone", "")]),
        (1020, &[("a", "")]),
    ] {
        let series = TwoSeries {
            samples: vec![sample((t, t as f64))],
            ..TwoSeries::default()
        };
        write(&feed, &two(&labels(COUNT, more), series), Version::Two, t);
    }
    assert_eq!(feed.standing().1, 1);
    world.turn(&feed, 1300);
    let requests: f64 = world
        .numbers("shop/pay/GET/a", Signal::Requests)
        .values()
        .sum();
    assert_eq!(requests, 20.0);
}

#[tokio::test]
async fn exemplars_and_series_of_no_concern_count_as_written_so_that_nobody_takes_them_for_lost() {
    let router = server(1 << 20, 4);
    for metric in [COUNT, "of_no_concern_total"] {
        let series = TwoSeries {
            samples: vec![sample((1000, 1.0))],
            exemplars: vec![Exemplar { value: 1.0 }; 3],
            ..TwoSeries::default()
        };
        let done = send(&router, SECOND, &two(&labels(metric, &[]), series)).await;
        assert_eq!((done.code.as_u16(), done.body.len()), (204, 0));
        assert_eq!(done.says("content-type"), "");
        assert_eq!(written(&done), [1, 0, 3]);
    }
}

#[tokio::test]
async fn what_is_packed_by_zstd_is_taken_too_and_what_is_plain_is_not() {
    let router = server(1 << 20, 4);
    let series = TwoSeries {
        samples: vec![sample((1000, 1.0))],
        ..TwoSeries::default()
    };
    let body = two(&labels(COUNT, &[]), series);
    for (encoding, body, code) in [
        ("zstd", zstd::bulk::compress(&body, 3).unwrap(), 204),
        ("", body.clone(), 415),
        ("gzip", super::way_in::gzip(&body), 415),
    ] {
        let headers = [GOOD, SECOND, ("content-encoding", encoding)];
        let answer = post(&router, "/api/v1/write", &headers, body).await;
        assert_eq!(answer.code.as_u16(), code, "{encoding}: {}", answer.text());
        let accepted = if code == 204 { "" } else { "snappy, zstd" };
        assert_eq!(answer.says("accept-encoding"), accepted);
    }
}

#[tokio::test]
async fn buckets_without_a_bound_are_refused_with_what_is_wrong_and_the_others_are_written() {
    let bucket = "http_server_request_duration_seconds_bucket";
    let router = server(1 << 20, 4);
    for (le, told) in [
        (Some("NaN"), "its `le`, `NaN`, is no upper bound"),
        (Some("fast"), "its `le`, `fast`, is no upper bound"),
        (Some("-Inf"), "+Inf"),
        (Some(""), "without a label `le`"),
        (None, "without a label `le`"),
    ] {
        let of = |le: Option<&str>, metric: &str| {
            let le = le.map(|le| ("le", le));
            one(&labels(metric, le.as_slice()), &[(1000, 1.0)], &[])
        };
        let timeseries = vec![
            of(le, bucket),
            of(Some("+Inf"), bucket),
            of(Some("0.5"), bucket),
            of(None, COUNT),
            // Of a histogram that nobody reads, whatever its bounds are.
            of(le, "of_no_concern_bucket"),
        ];
        let answer = send(&router, PROTOBUF, &One { timeseries }.encode_to_vec()).await;
        assert_eq!(answer.code.as_u16(), 400, "{le:?}");
        assert!(answer.text().contains(told), "{}", answer.text());
        assert_eq!(written(&answer), [4, 0, 0], "{}", answer.text());
    }
}

#[tokio::test]
async fn what_may_come_through_later_is_told_so_and_what_never_will_is_not() {
    let mut world = World::new();
    world.options.max_points_per_s = Some(1);
    let router = server_of(&world, 1 << 20, 1);
    let request = |t: i64, n: usize| {
        let samples = (0..n).map(|i| sample((t, 1.0 + i as f64)));
        let series = TwoSeries {
            samples: samples.collect(),
            ..TwoSeries::default()
        };
        two(&labels(COUNT, &[]), series)
    };
    // Too late, or too far ahead, whenever it comes: 400. Again the same, or older than what was told: fine.
    for (t, code) in [(1000, 204), (1000, 204), (990, 204), (9000, 400)] {
        let answer = send(&router, SECOND, &request(t, 1)).await;
        assert_eq!(answer.code.as_u16(), code, "{}", answer.text());
        assert_eq!(answer.says("retry-after"), "");
    }
    let answer = send(&router, SECOND, &request(1000, 10)).await;
    assert_eq!(
        (answer.code.as_u16(), answer.says("retry-after")),
        (429, "4")
    );
    assert_eq!(written(&answer), [0, 0, 0]);
    // One whose body does not come holds all the room there is.
    let never = tonic::codegen::tokio_stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let mut holds = http::Request::post("/api/v1/write").body(Body::from_stream(never));
    let headers = holds.as_mut().unwrap().headers_mut();
    for (name, value) in [GOOD, SECOND, ("content-encoding", "snappy")] {
        headers.insert(name, value.parse().unwrap());
    }
    let mut holding = tokio::task::JoinSet::new();
    holding.spawn(router.clone().oneshot(holds.unwrap()));
    tokio::task::yield_now().await;
    let answer = send(&router, SECOND, &request(1000, 1)).await;
    assert_eq!(
        (answer.code.as_u16(), answer.says("retry-after")),
        (503, "1")
    );
    assert_eq!(written(&answer), [0, 0, 0]);
}
