//! Two Prometheus servers that scrape the same are as good as one.

use super::fake::World;
use super::messages::{One, OneSeries, TwoSeries};
use super::sender::{labels, one, rule, sample, two, write};
use prost::Message;
use tidegate_bridges::feed::Feed;
use tidegate_bridges::remote_write::Version;
use tidegate_core::units::Signal;

const NAME: &str = "http_server_request_duration_seconds";
const API: &str = "shop/pay/GET/a";

/// Requests of ten a second, of which half take up to 0.1 s, and a gauge. `at` is when the target answered, and
/// `t` what the server says.
fn scraped(label: &str, replica: &str, t: i64, at: i64) -> Vec<OneSeries> {
    let n = 10.0 * at as f64;
    let [bucket, count, sum] = ["bucket", "count", "sum"].map(|end| format!("{NAME}_{end}"));
    let of = |name: &str, le: Option<&str>, value: f64| {
        let mut more = vec![(label, replica)];
        more.retain(|(_, value)| !value.is_empty());
        more.extend(le.map(|le| ("le", le)));
        one(&labels(name, &more), &[(t, value)], &[])
    };
    vec![
        of(&count, None, n),
        of(&bucket, Some("0.1"), n / 2.0),
        of(&bucket, Some("+Inf"), n),
        of(&sum, None, n / 10.0),
        of("memory_bytes", None, 700.0 + (at % 10) as f64),
    ]
}

fn send(feed: &Feed, now: i64, timeseries: Vec<OneSeries>) {
    let told = timeseries.len() as u64;
    let took = write(feed, &One { timeseries }.encode_to_vec(), Version::One, now).took;
    assert_eq!((took.accepted, took.rejected), (told, 0), "{took:?}");
}

fn world() -> World {
    let mut world = World::new();
    world.options.mapping.rules = vec![rule("memory_bytes", Signal::Memory)];
    world
}

type Steps = Vec<(i64, f64)>;

/// What is stored of requests, latency and memory.
fn told(world: &World, feed: &Feed, until: u64) -> (Steps, u64, Steps) {
    world.turn(feed, until);
    let numbers = |api, signal| world.numbers(api, signal).into_iter().collect();
    (
        numbers(API, Signal::Requests),
        world.observations(API),
        numbers("shop/pay", Signal::Memory),
    )
}

#[test]
fn a_pair_gives_the_sums_of_one_though_one_of_them_is_a_request_late_and_the_daemon_crashes() {
    let alone = world();
    let feed = alone.open();
    for i in 0..12 {
        let t = 1000 + 10 * i;
        send(&feed, t, scraped("", "", t, t));
    }
    let expected = told(&alone, &feed, 1400);
    assert_eq!((expected.0.len(), expected.1), (11, 1100));
    for label in ["__replica__", "prometheus_replica"] {
        for is_late in [0, 1] {
            let world = world();
            let mut feed = world.open();
            let mut late = vec![];
            for i in 0..12 {
                let t = 1000 + 10 * i;
                send(&feed, t, scraped(label, "a", t, t));
                // Its target answers it before the other one, though it has asked later.
                late.push((t + 1, scraped(label, "b", t + 1, t - 1)));
                if late.len() > is_late {
                    let (t, b) = late.remove(0);
                    send(&feed, t + 10 * is_late as i64, b);
                }
                if i == 6 {
                    feed = world.open();
                }
            }
            assert_eq!(feed.standing().1, 3);
            let told = told(&world, &feed, 1400);
            assert_eq!(told, expected, "{label}, {is_late}");
        }
    }
}

#[test]
fn where_one_of_a_pair_falls_silent_the_other_is_heard() {
    let world = world();
    let feed = world.open();
    for i in 0..40 {
        let t = 1000 + 10 * i;
        // The one dies after 100 s, the other is there from 50 s on, and dies when the first one is back.
        if !(10..=25).contains(&i) {
            send(&feed, t, scraped("__replica__", "a", t, t));
        }
        if i > 5 && i < 30 {
            send(&feed, t + 4, scraped("__replica__", "b", t + 4, t + 4));
        }
    }
    let (requests, observed, memory) = told(&world, &feed, 1800);
    let sum: f64 = requests.iter().map(|(_, n)| n).sum();
    assert!((sum - 3900.0).abs() < 1e-6, "{requests:?}");
    assert_eq!(observed, 3900);
    assert!(
        memory.iter().all(|(_, m)| *m == 700.0 || *m == 704.0),
        "{memory:?}"
    );
}

#[test]
fn what_a_server_is_called_is_no_label_of_a_rule() {
    let mut world = world();
    world.options.mapping.rules = vec![rule(r#"memory_bytes{__replica__=""}"#, Signal::Memory)];
    let feed = world.open();
    send(&feed, 1000, scraped("__replica__", "a", 1000, 1000));
    // Requests, latency, and what the rule takes.
    assert_eq!(feed.standing().1, 3);
}

#[test]
fn a_pair_is_one_in_2_0_too() {
    let world = world();
    let feed = world.open();
    for i in 0..4 {
        let t = 1000 + 10 * i;
        for (replica, t) in [("a", t), ("b", t + 1)] {
            let name = format!("{NAME}_count");
            let labels = labels(&name, &[("__replica__", replica)]);
            let series = TwoSeries {
                // The other one's target is asked later, and answers before.
                samples: vec![sample((t, (if replica == "a" { t } else { t - 3 }) as f64))],
                ..TwoSeries::default()
            };
            write(&feed, &two(&labels, series), Version::Two, t);
        }
    }
    assert_eq!(feed.standing().1, 1);
    let (requests, ..) = told(&world, &feed, 1300);
    assert_eq!(requests, [(1000, 10.0), (1010, 10.0), (1020, 10.0)]);
}

#[test]
fn one_of_a_pair_whose_clock_is_far_ahead_does_not_silence_the_other() {
    let world = world();
    let feed = world.open();
    for i in 0..12 {
        let t = 1000 + 10 * i;
        send(&feed, t, scraped("__replica__", "a", t, t));
        let timeseries = scraped("__replica__", "b", t + 3600, t);
        let ahead = One { timeseries }.encode_to_vec();
        assert_eq!(write(&feed, &ahead, Version::One, t).took.rejected, 5);
    }
    let (requests, ..) = told(&world, &feed, 1400);
    let sum: f64 = requests.iter().map(|(_, n)| n).sum();
    assert!((sum - 1100.0).abs() < 1e-6, "{requests:?}");
}
