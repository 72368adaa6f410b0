//! Latency by remote write: classic histograms in their series, and native ones in either form.

use super::fake::World;
use super::messages::{Histogram, One, OneSeries, Span, TwoSeries};
use super::sender::{labels, one, rule, send, two, write, written};
use super::way_in::{PROTOBUF, server};
use prost::Message;
use tidegate_bridges::feed::{Feed, Written};
use tidegate_bridges::remote_write::Version;
use tidegate_core::units::Signal;

const NAME: &str = "http_server_request_duration_seconds";
const API: &str = "shop/pay/GET/a";

fn write_one(feed: &Feed, now: i64, timeseries: Vec<OneSeries>) -> Written {
    let body = One { timeseries }.encode_to_vec();
    write(feed, &body, Version::One, now)
}

/// A series of a classic histogram, of a bound where it has one.
fn series(metric: &str, le: Option<&str>, sample: (i64, f64)) -> OneSeries {
    let le = le.map(|le| ("le", le));
    one(&labels(metric, le.as_slice()), &[sample], &[])
}

/// A scrape: so many up to 0.1 s, up to 1 s and above it.
fn scraped(t: i64, [a, b, c]: [f64; 3]) -> Vec<OneSeries> {
    let bucket = format!("{NAME}_bucket");
    let (count, sum) = (format!("{NAME}_count"), format!("{NAME}_sum"));
    let one = |name, le, value| series(name, le, (t, value));
    vec![
        one(&bucket, Some("+Inf"), a + b + c),
        one(&bucket, Some("0.1"), a),
        one(&bucket, Some("1.0"), a + b),
        one(&count, None, a + b + c),
        one(&sum, None, 0.05 * a + 0.5 * b + 2.0 * c),
    ]
}

#[test]
fn classic_histograms_are_latency_and_their_count_the_requests() {
    let world = World::new();
    let feed = world.open();
    for i in 0..7 {
        let t = 1000 + 10 * i;
        let n = i as f64;
        let mut all = scraped(t, [20.0 * n, 8.0 * n, 2.0 * n]);
        // Two queues, of which one is ahead by turns; the first scrape is in one piece.
        let rest = all.split_off(if i == 0 { 5 } else { 2 + i as usize % 2 });
        for part in [all, rest] {
            let told = part.len() as u64;
            let took = write_one(&feed, t, part).took;
            assert_eq!((took.accepted, took.rejected), (told, 0));
        }
    }
    // A retry of the last one changes nothing.
    let again = write_one(&feed, 1060, scraped(1060, [120.0, 48.0, 12.0])).took;
    assert_eq!(again.duplicates, 5);
    let feed = {
        drop(feed);
        world.open()
    };
    world.turn(&feed, 1300);
    let requests: f64 = world.numbers(API, Signal::Requests).values().sum();
    let latency = world.latency(API);
    assert_eq!((requests, latency.count()), (180.0, 180));
    assert_eq!(latency.above, [(0.1, 60), (1.0, 12)]);
    assert!((latency.sum - 6.0 * (1.0 + 4.0 + 4.0)).abs() < 1e-9);
}

#[test]
fn a_classic_histogram_of_any_name_is_read_by_a_rule_and_a_counter_stays_one() {
    let mut world = World::new();
    world.options.mapping.rules = vec![
        rule("seconds_bucket", Signal::Latency),
        rule("all_bucket{le=\"+Inf\"}", Signal::Requests),
        rule("work_sum", Signal::Cpu),
    ];
    let feed = world.open();
    for i in 0..4 {
        let (t, n) = (1000 + 10 * i, i as f64);
        let one = |name, le, value: f64| series(name, le, (t, value));
        let took = write_one(
            &feed,
            t,
            vec![
                one("all_bucket", Some("+Inf"), 5.0 * n),
                one("all_bucket", Some("0.5"), 3.0 * n),
                one("seconds_bucket", Some("+Inf"), 5.0 * n),
                one("seconds_bucket", Some("0.5"), 3.0 * n),
                one("seconds_sum", None, f64::NAN),
                one("work_sum", None, 20.0 * n),
            ],
        );
        assert_eq!((took.took.accepted, took.took.rejected), (4, 0), "{took:?}");
    }
    world.turn(&feed, 1300);
    let total = |signal| world.numbers("shop/pay", signal).values().sum::<f64>();
    assert_eq!(total(Signal::Requests), 15.0);
    assert_eq!(total(Signal::Cpu), 6.0);
    assert_eq!(world.latency("shop/pay").above, [(0.5, 6)]);
}

/// Of base 2: so many up to 1/16 s, none up to 1/8 s, and so many up to 1/4 s and 1/2 s.
fn native(t: i64, zero: u64, [a, b, c]: [u64; 3]) -> Histogram {
    let [x, y, z] = [a, b, c].map(|n| i64::try_from(n).unwrap());
    let span = |offset, length| Span { offset, length };
    Histogram {
        count: Some(zero + a + b + c),
        sum: 0.05 * a as f64 + 0.2 * b as f64 + 0.4 * c as f64,
        schema: 0,
        zero: Some(zero),
        spans: vec![span(-4, 1), span(1, 2)],
        deltas: vec![x, y - x, z - y],
        timestamp: t * 1000,
        ..Histogram::default()
    }
}

fn with(histogram: Histogram) -> Vec<OneSeries> {
    vec![one(&labels(NAME, &[]), &[], &[histogram])]
}

fn stale(t: i64) -> Histogram {
    Histogram {
        sum: f64::from_bits(0x7ff0_0000_0000_0002),
        timestamp: t * 1000,
        ..Histogram::default()
    }
}

#[test]
fn native_histograms_are_requests_and_latency_through_restarts_and_to_their_end() {
    let world = World::new();
    let feed = world.open();
    let said = [
        native(1000, 1, [10, 20, 30]),
        native(1010, 2, [15, 20, 40]),
        // Too many buckets: the one at zero is widened over the lowest.
        Histogram {
            spans: vec![Span {
                offset: -2,
                length: 2,
            }],
            deltas: vec![20, 20],
            zero: Some(20),
            count: Some(80),
            ..native(1020, 0, [0; 3])
        },
        // Started anew.
        native(1030, 0, [4, 0, 1]),
        stale(1040),
        native(1050, 0, [4, 0, 2]),
    ];
    for (i, histogram) in said.into_iter().enumerate() {
        let t = histogram.timestamp / 1000;
        let written = if i % 2 == 0 {
            write_one(&feed, t, with(histogram))
        } else {
            let series = TwoSeries {
                histograms: vec![histogram],
                ..TwoSeries::default()
            };
            write(&feed, &two(&labels(NAME, &[]), series), Version::Two, t)
        };
        assert_eq!(
            (written.took.accepted, written.took.rejected),
            (1, 0),
            "{i}"
        );
    }
    world.turn(&feed, 1300);
    let requests: f64 = world.numbers(API, Signal::Requests).values().sum();
    // 1 + 5 + 10, then 3 at zero, then 5, then one that came while nobody looked.
    assert_eq!(requests, 16.0 + 3.0 + 5.0 + 1.0);
    let latency = world.latency(API);
    assert_eq!((latency.count(), latency.zero_count), (25, 4));
    assert_eq!(
        (latency.offset, &latency.buckets[..4]),
        (-5, &[9, 0, 0, 12][..])
    );
}

#[test]
fn float_histograms_and_bounds_of_ones_own_are_read_too() {
    let world = World::new();
    let feed = world.open();
    let floats = |t: i64, [a, b]: [f64; 2]| Histogram {
        count: None,
        count_float: Some(a + b),
        zero: None,
        zero_float: Some(0.0),
        deltas: vec![],
        floats: vec![a, b],
        spans: vec![Span {
            offset: 0,
            length: 2,
        }],
        ..native(t, 0, [0; 3])
    };
    write_one(&feed, 1000, with(floats(1000, [3.2, 4.4])));
    write_one(&feed, 1010, with(floats(1010, [10.4, 4.4])));
    let own = |t: i64, n: i64| Histogram {
        count: Some(2 * n.unsigned_abs()),
        zero: None,
        schema: -53,
        spans: vec![Span {
            offset: 1,
            length: 2,
        }],
        deltas: vec![n, 0],
        custom: vec![0.1, 0.5],
        ..native(t, 0, [0; 3])
    };
    let other = |t, n| {
        let mut labels = labels(NAME, &[]);
        labels[2].1 = "/b";
        vec![one(&labels, &[], &[own(t, n)])]
    };
    write_one(&feed, 1000, other(1000, 0));
    write_one(&feed, 1010, other(1010, 4));
    world.turn(&feed, 1300);
    assert_eq!(world.latency(API).count(), 7);
    assert_eq!(world.latency("shop/pay/GET/b").above, [(0.1, 8), (0.5, 4)]);
}

#[test]
fn a_native_histogram_that_makes_no_sense_is_refused_alone_and_with_the_reason() {
    let world = World::new();
    let feed = world.open();
    let fine = || native(1000, 1, [1, 2, 3]);
    let span = |offset, length| Span { offset, length };
    for (part, histogram) in [
        ("gauge", Histogram { hint: 3, ..fine() }),
        (
            "schema",
            Histogram {
                schema: 9,
                ..fine()
            },
        ),
        (
            "add up",
            Histogram {
                count: Some(8),
                ..fine()
            },
        ),
        (
            "as long as",
            Histogram {
                spans: vec![span(-4, 2)],
                ..fine()
            },
        ),
        (
            "below zero, which",
            Histogram {
                negative_spans: vec![span(0, 1)],
                negative_deltas: vec![1],
                ..fine()
            },
        ),
        (
            "below zero, or",
            Histogram {
                deltas: vec![1, -2, 3],
                ..fine()
            },
        ),
        (
            "too far apart",
            Histogram {
                spans: vec![span(-4, 1), span(1 << 30, 2)],
                ..fine()
            },
        ),
        (
            "too far apart",
            Histogram {
                spans: vec![span(i32::MAX, 3)],
                ..fine()
            },
        ),
        (
            "beyond its bounds",
            Histogram {
                schema: -53,
                custom: vec![1.0],
                zero: Some(0),
                count: Some(6),
                spans: vec![span(0, 3)],
                ..fine()
            },
        ),
        (
            "no finite number",
            Histogram {
                deltas: vec![],
                floats: vec![1.0, f64::NAN, 1.0],
                ..fine()
            },
        ),
    ] {
        let mut all = with(histogram);
        all.extend(with(fine()));
        let took = write_one(&feed, 1000, all).took;
        assert_eq!((took.accepted, took.rejected), (1, 1), "{part}");
        let message = took.message().unwrap();
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn histograms_that_were_written_are_counted_as_such() {
    let router = server(1 << 20, 4);
    let mut timeseries = with(native(1000, 0, [1, 2, 3]));
    // Of another route: of one, the native and the classic histogram would count twice.
    let mut other = scraped(1000, [1.0, 1.0, 1.0]).split_off(4);
    other[0].labels[2].value = "/b".into();
    timeseries.extend(other);
    let body = One { timeseries }.encode_to_vec();
    let done = send(&router, PROTOBUF, &body).await;
    assert_eq!(done.code.as_u16(), 204, "{}", done.text());
    assert_eq!(written(&done), [1, 1, 0]);
}
