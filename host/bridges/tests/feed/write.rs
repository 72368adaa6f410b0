//! Remote write: both forms name the same series, and what is wrong is told.

use super::fake::{World, at};
use super::messages::{One, Sample, Two, TwoSeries};
use super::sender::{self, write};
use prost::Message;
use tidegate_bridges::remote_write::Version;
use tidegate_core::access::Principal;
use tidegate_core::units::Signal;

type Points<'a> = &'a [(i64, f64)];

fn samples(points: Points<'_>) -> Vec<Sample> {
    points.iter().copied().map(sender::sample).collect()
}

fn one(series: &[(&[(&str, &str)], Points<'_>)]) -> Vec<u8> {
    let timeseries = series.iter();
    let timeseries = timeseries.map(|(labels, points)| sender::one(labels, points, &[]));
    One {
        timeseries: timeseries.collect(),
    }
    .encode_to_vec()
}

/// With a table of symbols that is numbered otherwise each time.
fn two(series: &[(&[(&str, &str)], Points<'_>)], turn: usize) -> Vec<u8> {
    let mut symbols = vec![String::new(); turn + 1];
    let timeseries = series.iter().map(|(labels, points)| {
        let texts = labels.iter().flat_map(|(n, v)| [*n, *v]);
        let refs = texts.map(|text| {
            symbols.push(text.into());
            symbols.len() as u32 - 1
        });
        TwoSeries {
            labels_refs: refs.collect(),
            samples: samples(points),
            ..TwoSeries::default()
        }
    });
    let timeseries = timeseries.collect();
    Two {
        symbols,
        timeseries,
    }
    .encode_to_vec()
}

const SERVED: &[(&str, &str)] = &[
    ("__name__", "http_server_request_duration_seconds_count"),
    ("http_request_method", "GET"),
    ("http_response_status_code", "200"),
    ("http_route", "/a"),
    ("instance", "10.0.0.1:80"),
    ("job", "pay"),
    ("tidegate_tenant", "shop"),
];

/// A request of one sample.
pub(crate) fn served_once(value: f64) -> Vec<u8> {
    one(&[(SERVED, &[(1000, value)])])
}

#[test]
fn both_forms_of_remote_write_feed_the_same_series() {
    let world = World::new();
    let feed = world.open();
    for i in 0..6 {
        let t = 1000 + 10 * i;
        let points = [(t, 30.0 * i as f64)];
        let series: [(&[(&str, &str)], Points<'_>); 1] = [(SERVED, &points)];
        let written = if i % 2 == 0 {
            write(&feed, &one(&series), Version::One, t)
        } else {
            let body = two(&series, usize::try_from(i).unwrap());
            write(&feed, &body, Version::Two, t)
        };
        assert_eq!((written.took.accepted, written.took.rejected), (1, 0));
    }
    world.turn(&feed, 1200);
    let requests = world.numbers("shop/pay/GET/a", Signal::Requests);
    assert_eq!(requests.len(), 5);
    assert!(
        requests.values().all(|n| (n - 30.0).abs() < 1e-9),
        "{requests:?}"
    );
}

#[test]
fn labels_in_any_order_are_the_same_series() {
    let world = World::new();
    let feed = world.open();
    for i in 0..6 {
        let t = 1000 + 10 * i;
        let turn = usize::try_from(i).unwrap();
        let mut labels = SERVED.to_vec();
        labels.rotate_left(turn);
        let points = [(t, 30.0 * i as f64)];
        let series: [(&[(&str, &str)], Points<'_>); 1] = [(&labels, &points)];
        let (body, version) = if i % 2 == 0 {
            (one(&series), Version::One)
        } else {
            (two(&series, turn), Version::Two)
        };
        let took = write(&feed, &body, version, t).took;
        assert_eq!((took.accepted, took.rejected), (1, 0), "{took:?}");
    }
    assert_eq!(feed.standing().1, 1);
    world.turn(&feed, 1200);
    let requests = world.numbers("shop/pay/GET/a", Signal::Requests);
    assert_eq!(requests.into_values().collect::<Vec<_>>(), [30.0; 5]);
}

#[test]
fn a_series_that_went_stale_holds_nobody_up() {
    let world = World::new();
    let feed = world.open();
    let mut gone: Vec<(&str, &str)> = SERVED.to_vec();
    gone[4].1 = "10.0.0.2:80";
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    for (t, of_gone) in [(1000, 5.0), (1010, 10.0), (1020, stale), (1030, stale)] {
        let (a, b) = ([(t, t as f64)], [(t, of_gone)]);
        let body = one(&[(SERVED, &a), (&gone, &b)]);
        write(&feed, &body, Version::One, t);
    }
    // Not after `hold`, but as soon as who lives has spoken.
    world.turn(&feed, 1033);
    let requests = world.numbers("shop/pay/GET/a", Signal::Requests);
    assert_eq!(
        requests.into_iter().collect::<Vec<_>>(),
        [(1000, 15.0), (1010, 10.0), (1020, 10.0)]
    );
}

#[test]
fn series_whose_labels_break_the_rules_are_refused_alone() {
    let world = World::new();
    let feed = world.open();
    let points = [(1000, 1.0)];
    let twice = [("__name__", "x"), ("a", "1"), ("a", "2")];
    let unnamed = [("job", "pay")];
    let series: [(&[(&str, &str)], Points<'_>); 4] = [
        (&twice, &points),
        (&unnamed, &points),
        (&[], &points),
        (SERVED, &points),
    ];
    let written = write(&feed, &one(&series), Version::One, 1000);
    assert_eq!((written.took.accepted, written.took.rejected), (1, 3));
    // Not even where it stands apart.
    let apart = [("a", "1"), ("__name__", "x"), ("a", "2")];
    let series: [(&[(&str, &str)], Points<'_>); 1] = [(&apart, &points)];
    for (body, version) in [
        (one(&series), Version::One),
        (two(&series, 0), Version::Two),
    ] {
        let told = write(&feed, &body, version, 1000).took.message().unwrap();
        assert!(told.contains("`a` stands twice; send it once"), "{told}");
    }
    let beyond = Two {
        symbols: vec![String::new()],
        timeseries: vec![TwoSeries {
            labels_refs: vec![7, 8],
            samples: samples(&points),
            ..TwoSeries::default()
        }],
    };
    let written = write(&feed, &beyond.encode_to_vec(), Version::Two, 1000);
    assert!(written.took.message().unwrap().contains("table of symbols"));
}

proptest::proptest! {
    #[test]
    fn damaged_remote_writes_never_panic(at_byte in proptest::prelude::any::<proptest::sample::Index>(), with: u8, noise: Vec<u8>) {
        let points = [(1000, 1.0), (1010, 2.0)];
        let series: [(&[(&str, &str)], Points<'_>); 1] = [(SERVED, &points)];
        for (mut body, version) in [(one(&series), Version::One), (two(&series, 2), Version::Two)] {
            let i = at_byte.index(body.len());
            body[i] = with;
            let feed = World::new().open();
            let _ = feed.remote_write(&Principal::local(), &body, version, at(1000));
            let _ = feed.remote_write(&Principal::local(), &noise, version, at(1000));
        }
    }
}
