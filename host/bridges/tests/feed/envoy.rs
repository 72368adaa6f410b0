//! Envoy's metrics service: what Envoys count is what is stored, by whatever name they tell it.

pub(crate) mod said;

use super::fake::{World, at};
use super::otlp::Request;
use super::way_in::{Answer, GOOD, gzip, post, server};
use proptest::prelude::*;
use prost::Message;
use said::{Bucket, Family, Histogram, Metric, Number, Said, labels};
use tidegate_bridges::envoy::{self, Kind, Reading, Sink};
use tidegate_bridges::feed::{Counters, Error, Feed, Peer};
use tidegate_bridges::otlp::Wanted;
use tidegate_bridges::wire::Part;
use tidegate_core::access::Principal;
use tidegate_core::units::Signal;

fn give(feed: &Feed, peer: &mut Peer, seconds: i64, said: &Said) -> Result<u64, Error> {
    let now = at(seconds.unsigned_abs());
    let took = feed.envoy(&Principal::local(), peer, &said.encode_to_vec(), now)?;
    assert_eq!(took.rejected, 0, "{:?}", took.message());
    Ok(took.accepted)
}

fn total(world: &World, api: &str, signal: Signal) -> f64 {
    world.numbers(api, signal).values().sum()
}

#[test]
fn what_an_envoy_counts_is_stored_from_its_first_request_and_over_its_restart() {
    let world = World::new();
    let feed = world.open();
    let mut peer = feed.meet(Counters::Cumulative);
    // Two flushes without a request: the third tells of nine that came since the second.
    give(&feed, &mut peer, 1001, &Said::by("a").idle(1001)).unwrap();
    give(&feed, &mut peer, 1003, &Said::default().idle(1003)).unwrap();
    let third = |t: i64| {
        Said::default()
            .idle(t)
            .class("pay", "2", t, 7.0)
            .class("pay", "5", t, 2.0)
            .times("pay", t, (6, 3))
    };
    assert_eq!(give(&feed, &mut peer, 1005, &third(1005)), Ok(3));
    let next = Said::default()
        .class("pay", "2", 1015, 17.0)
        .class("pay", "5", 1015, 2.0)
        .times("pay", 1015, (10, 0));
    give(&feed, &mut peer, 1015, &next).unwrap();
    // It is started anew and has more to tell at once than before; only its stream says so.
    feed.part(&peer);
    let mut peer = feed.meet(Counters::Cumulative);
    give(&feed, &mut peer, 1025, &Said::by("a").idle(1025)).unwrap();
    let again = Said::default()
        .class("pay", "2", 1027, 40.0)
        .times("pay", 1027, (40, 0));
    give(&feed, &mut peer, 1027, &again).unwrap();
    world.turn(&feed, 1300);
    let api = "shop/pay";
    assert_eq!(total(&world, api, Signal::Requests), 59.0);
    assert_eq!(total(&world, api, Signal::Errors), 2.0);
    assert_eq!(world.observations(api), 59);
}

#[test]
fn what_came_before_an_envoy_was_heard_is_a_base_line() {
    let world = World::new();
    let feed = world.open();
    let mut peer = feed.meet(Counters::Cumulative);
    let first = Said::by("a").class("pay", "2", 1000, 5_000.0);
    give(&feed, &mut peer, 1000, &first).unwrap();
    for i in 1..=12 {
        let t = 1000 + 5 * i;
        let said = Said::default().class("pay", "2", t, 5_000.0 + 10.0 * i as f64);
        give(&feed, &mut peer, t, &said).unwrap();
    }
    // The stream breaks, and another goes on: what it says first is the same counter.
    feed.part(&peer);
    let mut peer = feed.meet(Counters::Cumulative);
    let on = Said::by("a").class("pay", "2", 1070, 5_140.0);
    give(&feed, &mut peer, 1070, &on).unwrap();
    world.turn(&feed, 1300);
    assert_eq!(total(&world, "shop/pay", Signal::Requests), 140.0);
}

#[test]
fn counters_that_are_deltas_add_up() {
    let world = World::new();
    let feed = world.open();
    let mut peer = feed.meet(Counters::Delta);
    give(&feed, &mut peer, 1001, &Said::by("a").idle(1001)).unwrap();
    for (i, n) in [7.0, 0.0, 3.0].into_iter().enumerate() {
        let t = 1003 + 2 * i as i64;
        // In the spelling without labels.
        let said = Said::default()
            .counter("cluster.pay.upstream_rq_2xx", &[], t, n)
            .counter("vhost.shop.route.cards.upstream_rq_5xx", &[], t, n);
        assert_eq!(give(&feed, &mut peer, t, &said), Ok(2));
    }
    world.turn(&feed, 1300);
    assert_eq!(total(&world, "shop/pay", Signal::Requests), 10.0);
    assert_eq!(total(&world, "shop/shop/cards", Signal::Errors), 10.0);
}

#[test]
fn envoys_add_up_and_two_of_one_name_are_told_apart_by_refusing_the_second() {
    let world = World::new();
    let feed = world.open();
    let (mut a, mut b) = (
        feed.meet(Counters::Cumulative),
        feed.meet(Counters::Cumulative),
    );
    give(&feed, &mut a, 1000, &Said::by("a").idle(1000)).unwrap();
    let twin = Said::by("a").class("pay", "2", 1001, 1.0);
    let refused = give(&feed, &mut b, 1001, &twin).unwrap_err();
    assert!(
        matches!(&refused, Error::Taken(text) if text.contains("`a`") && text.contains("node.id")),
        "{refused}"
    );
    feed.part(&b);
    let mut b = feed.meet(Counters::Cumulative);
    give(&feed, &mut b, 1001, &Said::by("b").idle(1001)).unwrap();
    for (peer, n) in [(&mut a, 30.0), (&mut b, 12.0)] {
        give(
            &feed,
            peer,
            1005,
            &Said::default().class("pay", "2", 1005, n),
        )
        .unwrap();
    }
    // A connection that broke unseen keeps nobody out for long.
    let mut anew = feed.meet(Counters::Cumulative);
    give(
        &feed,
        &mut anew,
        1021,
        &Said::by("a").class("pay", "2", 1021, 33.0),
    )
    .unwrap();
    let late = give(
        &feed,
        &mut a,
        1022,
        &Said::default().class("pay", "2", 1022, 34.0),
    );
    assert!(matches!(late, Err(Error::Taken(_))));
    world.turn(&feed, 1300);
    assert_eq!(total(&world, "shop/pay", Signal::Requests), 45.0);
}

#[test]
fn envoys_that_name_no_instance_by_otlp_are_known_by_their_start() {
    const MICRO: u64 = 1_795_921_328_079_012;
    let world = World::new();
    let feed = world.open();
    let base = MICRO / 1_000_000;
    let resource = [("telemetry.sdk.name", "envoy"), ("tidegate.tenant", "shop")];
    let send = |t: u64, counts: [f64; 2]| {
        let mut request = Request::default();
        for (i, n) in counts.into_iter().enumerate() {
            let pairs = [
                ("envoy.cluster_name", "pay"),
                ("envoy.response_code_class", "2"),
            ];
            let start = MICRO + i as u64 * 1_000_000;
            request.counter_from(&resource, "cluster.upstream_rq_xx", &pairs, start, t, n);
        }
        world.send(&feed, t, &request).unwrap()
    };
    // Each began to count at its start, which it tells in microseconds.
    for i in 0..20 {
        let t = base + 5 + i;
        let (a, b) = (100.0 * (i + 1) as f64, 3.0 * (i + 1) as f64);
        assert_eq!(send(t, [a, b]).accepted, 2);
    }
    world.turn(&feed, base + 300);
    assert_eq!(total(&world, "shop/pay", Signal::Requests), 2_060.0);
}

/// Of a metric: its name and kind, number of labels, instant, value.
type Told = (String, Kind, usize, i64, Option<(f64, Vec<u64>)>);

/// Keeps what a walk tells.
#[derive(Default)]
struct Heard {
    node: Option<envoy::Node>,
    metrics: Vec<Told>,
    family: (String, Option<Kind>),
}

impl Sink for Heard {
    fn node(&mut self, identifier: Part<'_>) {
        self.node = envoy::node(identifier).ok();
    }
    fn family(&mut self, family: &envoy::Family<'_>) -> Wanted {
        self.family = (family.name.to_owned(), Some(family.kind));
        Wanted::Points
    }
    fn metric(&mut self, metric: &envoy::Metric<'_>) {
        let value = match metric.reading {
            Reading::Number(n) => Some((n, vec![])),
            Reading::Histogram { sum, counts, .. } => Some((sum, counts.to_vec())),
            Reading::Unusable(_) => None,
        };
        let labels = metric.labels.iter().filter(|l| envoy::label(**l).is_ok());
        self.metrics.push((
            self.family.0.clone(),
            self.family.1.unwrap(),
            labels.count(),
            metric.time,
            value,
        ));
    }
    fn passed_over(&mut self, _: u64, _: i64) {}
}

fn heard(body: &[u8]) -> Heard {
    let mut heard = Heard::default();
    envoy::walk(body, &mut heard).unwrap();
    heard
}

#[test]
fn a_metric_that_makes_no_sense_is_told_and_the_others_are_read() {
    let histogram = |count, buckets: &[(u64, f64)]| {
        let buckets = buckets
            .iter()
            .map(|&(until, bound)| Bucket { until, bound });
        Metric {
            histogram: Some(Histogram {
                count,
                sum: 1.0,
                buckets: buckets.collect(),
            }),
            ..Metric::default()
        }
    };
    let families = vec![
        Family {
            name: "h".into(),
            kind: 4,
            metrics: vec![
                histogram(3, &[(1, 1.0), (2, 2.0)]),
                // With the bucket that has no end, as others write it.
                histogram(3, &[(1, 1.0), (3, f64::INFINITY)]),
                histogram(2, &[]),
                histogram(3, &[(2, 1.0), (1, 2.0)]),
                histogram(1, &[(2, 1.0)]),
                histogram(3, &[(1, 2.0), (2, 1.0)]),
                histogram(3, &[(1, f64::NAN)]),
                Metric::default(),
            ],
        },
        Family {
            name: "s".into(),
            kind: 2,
            metrics: vec![Metric::default()],
        },
    ];
    let said = Said {
        families,
        ..Said::by("a")
    };
    let heard = heard(&said.encode_to_vec());
    let node = heard.node.unwrap();
    assert_eq!((node.id.as_str(), node.cluster.as_str()), ("a", "edge"));
    assert_eq!(node.metadata, [("tidegate.tenant".into(), "shop".into())]);
    let counts: Vec<_> = heard
        .metrics
        .iter()
        .map(|m| m.4.clone().map(|v| v.1))
        .collect();
    assert_eq!(
        counts,
        [
            Some(vec![1, 1, 1]),
            Some(vec![1, 2]),
            Some(vec![2]),
            None,
            None,
            None,
            None,
            None,
            None
        ]
    );
}

proptest! {
    #[test]
    fn what_is_encoded_is_read(families in prop::collection::vec(
        ("[a-z._]{1,12}", 0..3_usize, prop::collection::vec((0..4_usize, any::<i64>(), 0..1000_u64, 0..9_u64), 0..4)), 0..5,
    )) {
        let mut said = Said::default();
        let mut expected = vec![];
        for (name, kind, metrics) in families {
            let (number, known) = [(0, Kind::Counter), (1, Kind::Gauge), (4, Kind::Histogram)][kind];
            let mut family = Family { name: name.clone(), kind: number, metrics: vec![] };
            for (pairs, time, n, more) in metrics {
                let value = || Some(Number { value: n as f64 });
                family.metrics.push(Metric {
                    labels: labels(&vec![("k", "v"); pairs]),
                    gauge: value().filter(|_| known == Kind::Gauge),
                    counter: value().filter(|_| known == Kind::Counter),
                    time,
                    histogram: (known == Kind::Histogram).then(|| Histogram {
                        count: n + more,
                        sum: n as f64,
                        buckets: vec![Bucket { until: n, bound: 1.0 }],
                    }),
                });
                let counts = if known == Kind::Histogram { vec![n, more] } else { vec![] };
                expected.push((name.clone(), known, pairs, time, Some((n as f64, counts))));
            }
            said.families.push(family);
        }
        prop_assert_eq!(heard(&said.encode_to_vec()).metrics, expected);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, at: usize, byte: u8) {
        let mut body = Said::by("a").class("pay", "2", 1, 1.0).times("pay", 1, (2, 3)).encode_to_vec();
        let at = at % body.len();
        body[at] = byte;
        for body in [bytes, body] {
            let mut heard = Heard::default();
            let _ = envoy::walk(&body, &mut heard);
            let feed = World::new().open();
            let mut peer = feed.meet(Counters::Cumulative);
            let _ = feed.envoy(&Principal::local(), &mut peer, &body, at_second());
        }
    }
}

fn at_second() -> tidegate_core::time::Timestamp {
    at(1000)
}

pub(crate) const STREAM: &str = "/envoy.service.metrics.v3.MetricsService/StreamMetrics";

pub(crate) fn framed(flag: u8, bodies: &[&[u8]]) -> Vec<u8> {
    let mut frames = vec![];
    for body in bodies {
        frames.push(flag);
        frames.extend_from_slice(&(body.len() as u32).to_be_bytes());
        frames.extend_from_slice(body);
    }
    frames
}

#[tokio::test]
async fn a_stream_is_read_to_its_end_and_what_is_wrong_with_it_ends_it() {
    let router = server(1 << 20, 4);
    let grpc = ("content-type", "application/grpc");
    let messages = [
        Said::by("a").class("pay", "2", 999, 1.0).encode_to_vec(),
        Said::default().class("pay", "2", 1000, 3.0).encode_to_vec(),
    ];
    let bodies = [&messages[0][..], &messages[1][..]];
    let done = post(&router, STREAM, &[GOOD, grpc], framed(0, &bodies)).await;
    // A message of no bytes; its status is in the trailers.
    assert_eq!(
        (done.says("grpc-status"), &done.body[..]),
        ("", &[0; 5][..])
    );
    let packed: Vec<_> = bodies.iter().map(|b| gzip(b)).collect();
    let packed = framed(1, &[&packed[0], &packed[1]]);
    let zipped = ("grpc-encoding", "gzip");
    let done = post(&router, STREAM, &[GOOD, grpc, zipped], packed.clone()).await;
    assert_eq!(done.body, [0; 5]);
    let delta = ("tidegate-counters", "delta");
    let done = post(&router, STREAM, &[GOOD, grpc, delta], framed(0, &bodies)).await;
    assert_eq!(done.body, [0; 5]);
    let bomb = framed(1, &[&gzip(&vec![0; 2 << 20])]);
    let huge = [0, 0x7f, 0xff, 0xff, 0xff].to_vec();
    let mut cut = framed(0, &bodies);
    cut.truncate(cut.len() - 3);
    for (headers, body, code, part) in [
        (&[grpc][..], framed(0, &bodies), "16", "not known"),
        (&[GOOD, grpc], framed(0, &[&[0x12, 9]]), "3", "byte 2"),
        (&[GOOD, grpc], cut, "3", "ends within"),
        (&[GOOD, grpc], vec![0, 0, 0], "3", "ends within"),
        (&[GOOD, grpc], huge, "8", "feeds.message"),
        (&[GOOD, grpc, zipped], bomb, "8", "feeds.message"),
        (&[GOOD, grpc], packed, "13", "does not say how"),
        (&[GOOD, grpc, zipped], framed(1, &bodies), "3", "unpacked"),
        (
            &[GOOD, grpc, ("grpc-encoding", "snappy")],
            vec![],
            "12",
            "gzip, zstd or none",
        ),
        (
            &[GOOD, grpc, ("tidegate-counters", "deltas")],
            vec![],
            "3",
            "report_counters_as_deltas",
        ),
    ] {
        let refused: Answer = post(&router, STREAM, headers, body).await;
        let text = refused.says("grpc-message").replace("%20", " ");
        assert_eq!(refused.says("grpc-status"), code, "{text}");
        assert!(text.contains(part), "{text}");
    }
}
