//! Senders whose resource names no instance: told apart by their starts, wherever those are starts.

use super::fake::World;
use super::otlp::{Labels, Request};
use super::{API, PAY};
use tidegate_bridges::feed::Feed;
use tidegate_core::units::Signal;

const NS: u64 = 1_000_000_000;
const CPU: &str = "process.cpu.time";

/// CPU seconds that one process has counted by `t` since `start`, in nanoseconds.
fn spent(feed: &Feed, world: &World, start: u64, t: u64, n: f64) {
    let mut request = Request::default();
    request.counter_from(PAY, CPU, &[], start, t, n);
    let took = world.send(feed, t, &request).unwrap();
    assert_eq!((took.accepted, took.rejected), (1, 0), "{took:?}");
    // A retry changes nothing.
    let again = world.send(feed, t, &request).unwrap();
    assert_eq!(again.duplicates, 1, "{t}");
}

fn seconds(world: &World) -> f64 {
    let cores = world.numbers("shop/pay", Signal::Cpu);
    10.0 * cores.values().sum::<f64>()
}

fn check(world: &World, expected: f64) {
    let told = seconds(world);
    assert!((told - expected).abs() < 1e-6, "{told} for {expected}");
}

const SERVED: Labels<'_> = &[
    ("http.request.method", "GET"),
    ("http.route", "/cards/{id}"),
    ("http.response.status_code", "200"),
];
const DURATION: &str = "http.server.request.duration";

#[test]
fn two_pods_of_one_resource_add_up_through_crashes_and_a_restart() {
    for crash_at in 0..10 {
        let world = World::new();
        let mut feed = world.open();
        let (a, mut b) = (1000 * NS + 7, 1001 * NS);
        for i in 1..=10 {
            let t = 1000 + 10 * i;
            spent(&feed, &world, a, t, 20.0 * i as f64);
            if i == crash_at {
                feed = world.open();
            }
            // After half the time, the second one is started anew, and has soon counted more than before.
            if i == 6 {
                b = (t + 2) * NS;
            }
            let since = if i < 6 { i } else { 3 * (i - 5) };
            spent(&feed, &world, b, t + 5, 3.0 * since as f64);
        }
        assert_eq!(feed.standing().1, 3);
        world.turn(&feed, 1400);
        check(&world, 200.0 + 15.0 + 45.0);
    }
}

#[test]
fn histograms_of_two_pods_of_one_resource_add_up_in_either_form() {
    for is_exponential in [false, true] {
        let world = World::new();
        let mut feed = world.open();
        for i in 1..=6 {
            let mut request = Request::default();
            let t = 1000 + 10 * i;
            for (start, n) in [(1000, 9 * i), (1001, 2 * i)] {
                if is_exponential {
                    request.exponential(PAY, DURATION, SERVED, (start, t), n);
                } else {
                    let buckets = [(0.01, 0), (0.05, n)];
                    request.histogram(PAY, DURATION, SERVED, (start, t), &buckets);
                }
            }
            assert_eq!(world.send(&feed, t, &request).unwrap().accepted, 2);
            if i == 3 {
                feed = world.open();
            }
        }
        world.turn(&feed, 1400);
        let requests: f64 = world.numbers(API, Signal::Requests).values().sum();
        assert!((requests - 66.0).abs() < 1e-6, "{requests}");
        assert_eq!(world.observations(API), 66);
    }
}

#[test]
fn what_tells_instances_apart_goes_before_the_start() {
    for (labels, is_named) in [
        (&[("k8s.pod.name", "pay-7f")][..], true),
        (&[("container_id", "4fd0")], true),
        (&[("host.name", "h"), ("process.pid", "7")], true),
        (&[("host.name", "h")], false),
        (&[("process.pid", "1")], false),
        (&[("service.instance.id", "")], false),
    ] {
        let world = World::new();
        let feed = world.open();
        let resource = [PAY, labels].concat();
        for (start, t) in [(1000, 1005), (1007, 1015)] {
            let mut request = Request::default();
            request.counter(&resource, CPU, &[], (start, t), 5.0);
            world.send(&feed, t, &request).unwrap();
        }
        let streams = if is_named { 1 } else { 2 };
        assert_eq!(feed.standing().1, streams, "{labels:?}");
    }
}

#[test]
fn a_sender_whose_start_moves_with_every_point_is_one_stream_once_that_is_seen() {
    let world = World::new();
    let mut feed = world.open();
    let (mut before, mut n) = (990, 70.0);
    for i in 1..=30 {
        let t = 1000 + 10 * i;
        // It is started anew after 200 s: what it says falls, and starts with itself.
        n = if i == 20 { 4.0 } else { n + 6.0 };
        let start = if i == 20 { t - 3 } else { before };
        spent(&feed, &world, start * NS, t, n);
        before = t;
        if i % 7 == 0 {
            feed = world.open();
        }
    }
    // Two until it was seen, and the one that it is.
    assert_eq!(feed.standing().1, 3);
    world.turn(&feed, 1700);
    // What it told first came since its start, as it said. Then it was not known what is new, until the third
    // point; from there on, each counts for what has come.
    let cores = world.numbers("shop/pay", Signal::Cpu);
    let later: f64 = cores.range(1030..).map(|(_, c)| 10.0 * c).sum();
    let expected = 6.0 * 16.0 + 4.0 + 6.0 * 10.0;
    assert!((later - expected).abs() < 1e-6, "{later}: {cores:?}");
    assert!(seconds(&world) < expected + 77.0, "{cores:?}");
}

#[test]
fn whose_start_stands_still_again_is_told_apart_again() {
    let world = World::new();
    let mut feed = world.open();
    for i in 0..5 {
        let t = 1000 + 10 * i;
        spent(&feed, &world, (t - 10) * NS, t, 6.0 * i as f64);
    }
    // Two pods of a later version take its place.
    for i in 0..10 {
        let t = 1050 + 10 * i;
        if i == 5 {
            // What was learned is forgotten, and what the books know is not.
            feed = world.open();
        }
        for (start, each) in [(1041, 6.0), (1042, 2.0)] {
            spent(&feed, &world, start * NS, t + start - 1041, each * i as f64);
        }
    }
    world.turn(&feed, 1500);
    let cores = world.numbers("shop/pay", Signal::Cpu);
    // Eight in ten seconds, from when it is seen.
    let later: Vec<f64> = cores.range(1070..1130).map(|(_, c)| *c).collect();
    assert!(
        later.len() == 6 && later.iter().all(|c| (c - 0.8).abs() < 0.05),
        "{cores:?}"
    );
}

#[test]
fn what_was_counted_before_a_start_that_is_not_known_is_not_new() {
    let world = World::new();
    let feed = world.open();
    let mut pods = [(1000, 1e9, 5.0), (1003, 2e9, 7.0)];
    for i in 0..12 {
        for (first, value, each) in &mut pods {
            // As the data model has it: the first point starts where it ends, and all others there too.
            let t = *first + 10 * i;
            spent(&feed, &world, *first * NS, t, *value);
            *value += *each;
        }
    }
    assert_eq!(feed.standing().1, 2);
    world.turn(&feed, 1500);
    let cores = world.numbers("shop/pay", Signal::Cpu);
    // From the first step of which both were heard.
    let steps: Vec<i64> = (101..=111).map(|n| 10 * n).collect();
    assert_eq!(cores.keys().copied().collect::<Vec<_>>(), steps);
    let whole: Vec<f64> = cores.range(..1110).map(|(_, c)| *c).collect();
    assert!(whole.iter().all(|c| (c - 1.2).abs() < 1e-6), "{cores:?}");
}

#[test]
fn a_sender_whose_points_all_start_where_they_end_is_one_stream_soon() {
    let world = World::new();
    let mut feed = world.open();
    for i in 0..40 {
        let t = 1000 + 10 * i;
        spent(&feed, &world, t * NS, t, 1e6 + 6.0 * i as f64);
        if i % 14 == 13 {
            feed = world.open();
        }
    }
    world.turn(&feed, 1800);
    let cores = world.numbers("shop/pay", Signal::Cpu);
    let later: Vec<f64> = cores.range(1050..1390).map(|(_, c)| *c).collect();
    assert_eq!(later.len(), 34, "{cores:?}");
    assert!(later.iter().all(|c| (c - 0.6).abs() < 1e-6), "{cores:?}");
}

#[test]
fn an_old_and_a_new_metric_of_a_process_count_once_though_their_starts_differ() {
    let world = World::new();
    let feed = world.open();
    let mut rejected = 0;
    for i in 1..=6 {
        let mut request = Request::default();
        let (t, buckets) = (1000 + 10 * i, [(0.01, 0), (0.05, 5 * i)]);
        request.histogram(PAY, DURATION, SERVED, (1000, t), &buckets);
        request.histogram(PAY, "http.server.duration", SERVED, (1001, t), &buckets);
        rejected += world.send(&feed, t, &request).unwrap().rejected;
    }
    world.turn(&feed, 1400);
    let requests: f64 = world.numbers(API, Signal::Requests).values().sum();
    assert_eq!((requests, rejected), (30.0, 6));
}

#[test]
fn a_named_instance_that_does_not_know_its_start_is_no_restart() {
    let labels = [PAY, &[("service.instance.id", "a")]].concat();
    for crash_at in 0..6 {
        let world = World::new();
        let mut feed = world.open();
        for i in 0..6 {
            let t = 1000 + 10 * i;
            let mut request = Request::default();
            let n = 1e9 + 2.0 * i as f64;
            request.counter_from(&labels, CPU, &[], 1000 * NS, t, n);
            assert_eq!(world.send(&feed, t, &request).unwrap().rejected, 0);
            if i == crash_at {
                feed = world.open();
            }
        }
        world.turn(&feed, 1400);
        check(&world, 10.0);
    }
}

#[test]
fn two_pods_on_one_host_are_two_though_the_host_has_a_name_and_a_number() {
    let labels = [PAY, &[("host.id", "4711"), ("host.name", "node-1")]].concat();
    let world = World::new();
    let feed = world.open();
    for i in 1..=10 {
        let t = 1000 + 10 * i;
        for (start, each) in [(1000, 20.0), (1001, 3.0)] {
            let mut request = Request::default();
            let n = each * i as f64;
            request.counter_from(&labels, CPU, &[], start * NS, t + start - 1000, n);
            assert_eq!(world.send(&feed, t + 1, &request).unwrap().rejected, 0);
        }
    }
    world.turn(&feed, 1400);
    check(&world, 200.0 + 30.0);
}
