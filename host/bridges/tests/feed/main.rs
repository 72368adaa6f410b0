//! A feed from outside: what is acknowledged adds up, through crashes, refusals and a busy store.
#![expect(
    clippy::unwrap_used,
    reason = "a test's fixture may unwrap; clippy only knows #[test] functions"
)]
#![expect(
    clippy::float_cmp,
    reason = "counts are integers below 2^53, which are exact"
)]

mod adoption;
mod envoy;
mod fake;
mod forms;
mod hand_out;
mod histograms;
mod limits;
mod messages;
mod otlp;
mod replicas;
mod room;
mod sender;
mod specification;
mod starts;
mod together;
mod way_in;
mod write;

#[path = "../otlp/json.rs"]
mod json;

use fake::World;
use tidegate_bridges::feed::{Adoption, Error};
use tidegate_core::access::{Principal, Role};
use tidegate_core::catalog::{Mode, Object};
use tidegate_core::units::Signal;

use otlp::{Labels, Request};

const PAY: Labels<'_> = &[("service.name", "pay"), ("tidegate.tenant", "shop")];

fn of_instance(instance: &str) -> Vec<(&str, &str)> {
    let mut labels = PAY.to_vec();
    labels.push(("service.instance.id", instance));
    labels
}

/// Durations of a route: so many requests were counted by `t` seconds, all of 30 ms.
fn served(request: &mut Request, instance: &str, status: &str, start: u64, t: u64, n: u64) {
    let labels = [
        ("http.request.method", "GET"),
        ("http.route", "/cards/{id}"),
        ("http.response.status_code", status),
    ];
    request.histogram(
        &of_instance(instance),
        "http.server.request.duration",
        &labels,
        (start, t),
        &[(0.01, 0), (0.05, n)],
    );
}

const API: &str = "shop/pay/GET/cards/_id_";

#[test]
fn instances_of_a_service_add_up_and_their_api_is_declared_to_be_observed() {
    let world = World::new();
    let feed = world.open();
    for t in [1000, 1015, 1030, 1045] {
        let mut request = Request::default();
        served(&mut request, "a", "200", 500, t, 10 * (t - 1000));
        served(&mut request, "b", "200", 500, t, 2 * (t - 1000));
        if t > 1000 {
            served(&mut request, "b", "503", 500, t, (t - 1000) / 5);
        }
        let took = world.send(&feed, t, &request).unwrap();
        assert_eq!(
            (took.accepted, took.rejected),
            (if t > 1000 { 3 } else { 2 }, 0)
        );
        // A retry changes nothing.
        let again = world.send(&feed, t, &request).unwrap();
        assert_eq!(again.duplicates, took.accepted);
    }
    world.turn(&feed, 1200);
    let per_step = |signal| world.numbers(API, signal);
    // Twelve a second, and those that failed.
    assert_eq!(per_step(Signal::Requests).get(&1010), Some(&122.0));
    let total: f64 = per_step(Signal::Requests).values().sum();
    assert!((total - 12.0 * 45.0 - 9.0).abs() < 1e-9, "{total}");
    let errors: f64 = per_step(Signal::Errors).values().sum();
    assert!((errors - 9.0).abs() < 1e-9, "{errors}");
    assert_eq!(world.observations(API), 549);
    let Object::Api(api) = world.object("api", API) else {
        panic!("no api")
    };
    assert_eq!((api.mode, api.pool.as_str()), (Mode::Observe, "observed"));
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_any_moment() {
    for crash_at in 1..12 {
        let world = World::new();
        let mut feed = world.open();
        for i in 0..12 {
            let t = 1000 + 7 * i;
            let mut request = Request::default();
            served(&mut request, "a", "200", 0, t, 100 * i);
            served(&mut request, "b", "500", 0, t, i);
            world.send(&feed, t, &request).unwrap();
            if i % 3 == 0 {
                world.turn(&feed, t + 3);
            }
            if i == crash_at {
                // Nothing is closed: what is in memory is gone.
                feed = world.open();
                assert_eq!(world.send(&feed, t, &request).unwrap().duplicates, 2);
            }
        }
        world.turn(&feed, 1400);
        let total = |signal| world.numbers(API, signal).values().sum::<f64>();
        // The first step was watched from its beginning.
        assert!(
            (total(Signal::Requests) - 1111.0).abs() < 1e-9,
            "{crash_at}: {}",
            total(Signal::Requests)
        );
        assert!((total(Signal::Errors) - 11.0).abs() < 1e-9, "{crash_at}");
    }
}

#[test]
fn a_clean_end_leaves_a_short_journal_from_which_counting_goes_on() {
    let world = World::new();
    let feed = world.open();
    let counter = |t: u64, n: u64| {
        let mut request = Request::default();
        request.counter(&of_instance("a"), "process.cpu.time", &[], (0, t), n as f64);
        request
    };
    for i in 0..20 {
        world
            .send(&feed, 1000 + 10 * i, &counter(1000 + 10 * i, 5 * i))
            .unwrap();
    }
    feed.close(fake::at(1195)).unwrap();
    assert_eq!(world.journal_entries(), 1);
    let feed = world.open();
    world.send(&feed, 1200, &counter(1200, 100)).unwrap();
    world.turn(&feed, 1400);
    let cores = world.numbers("shop/pay", Signal::Cpu);
    assert_eq!(cores.len(), 20);
    assert!(cores.values().all(|c| (c - 0.5).abs() < 1e-9), "{cores:?}");
}

#[test]
fn a_journal_much_longer_than_its_state_is_written_anew_when_nobody_sends_and_not_before() {
    let world = World::new();
    let feed = world.open();
    let send = |i: u64| {
        let mut request = Request::default();
        for instance in 0..200 {
            let instance = format!("i{instance}");
            served(&mut request, &instance, "200", 0, 1000 + i, 1000 * i);
        }
        world.send(&feed, 1000 + i, &request).unwrap();
    };
    let size = || world.journal().iter().map(Vec::len).sum::<usize>();
    // Little is left as it is: to write it anew would save nothing.
    for i in 0..20 {
        send(i);
    }
    world.turn(&feed, 1200);
    world.turn(&feed, 1201);
    let short = (world.journal_entries(), size());
    assert!(short.0 > 20 && short.1 < 1 << 20, "{short:?}");
    let mut i = 200;
    while size() < 3 << 19 {
        send(i);
        i += 1;
    }
    // Sums come out, so somebody has sent: what is written anew now would soon be long again.
    world.turn(&feed, 1000 + i + 200);
    let long = world.journal_entries();
    assert!(long > short.0, "{long}");
    world.turn(&feed, 1000 + i + 201);
    assert_eq!(world.journal_entries(), 1);
    assert!(size() < 1 << 18, "{}", size());
    // Once.
    let writes = world.journal_writes();
    world.turn(&feed, 1000 + i + 202);
    assert_eq!(world.journal_writes(), writes);
    // And from it counting goes on.
    drop(feed);
    assert_eq!(world.open().standing().1, 200);
}

#[test]
fn points_that_cannot_be_used_are_told_with_counts_and_the_others_count() {
    let world = World::new();
    let feed = world.open();
    let mut request = Request::default();
    let resource = of_instance("a");
    request.counter(
        &resource,
        "process.cpu.time",
        &[("cpu.mode", "user")],
        (0, 1000),
        1.0,
    );
    request.counter(
        &resource,
        "process.cpu.time",
        &[("cpu.mode", "system")],
        (0, 1000),
        -1.0,
    );
    request.counter(
        &resource,
        "process.cpu.time",
        &[("cpu.mode", "wait")],
        (0, 9000),
        1.0,
    );
    request.counter(&resource, "some.other.metric", &[], (0, 1000), 1.0);
    request.counter(
        &[("service.name", "x"), ("tidegate.tenant", "no tenant")],
        "process.cpu.time",
        &[],
        (0, 1000),
        1.0,
    );
    let took = world.send(&feed, 1000, &request).unwrap();
    assert_eq!((took.accepted, took.passed_over, took.rejected), (1, 1, 3));
    let message = took.message().unwrap();
    for part in ["no finite number", "a minute ahead", "only letters"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_time_in_another_unit_is_refused_with_the_right_one() {
    let world = World::new();
    let feed = world.open();
    let now = 1_700_000_000;
    for t in [now / 1000, now / 1_000_000] {
        let mut request = Request::default();
        request.counter(&of_instance("a"), "process.cpu.time", &[], (0, t), 1.0);
        let took = world.send(&feed, now, &request).unwrap();
        assert_eq!((took.accepted, took.rejected), (0, 1));
        let message = took.message().unwrap();
        assert!(message.contains("OTLP nanoseconds"), "{message}");
    }
}

#[test]
fn a_damaged_body_and_a_reader_feed_nothing() {
    let world = World::new();
    let feed = world.open();
    let mut request = Request::default();
    request.counter(&of_instance("a"), "process.cpu.time", &[], (0, 1000), 1.0);
    let mut body = request.encode();
    body.extend_from_slice(&[0x0a, 50, 1]);
    let error = feed
        .otlp(&Principal::local(), &body, fake::at(1000))
        .unwrap_err();
    assert!(matches!(error, Error::Malformed(_)), "{error}");
    let reader = Principal {
        role: Role::Reader,
        ..Principal::local()
    };
    let error = feed
        .otlp(&reader, &request.encode(), fake::at(1000))
        .unwrap_err();
    assert!(matches!(error, Error::Denied(_)), "{error}");
    assert_eq!(feed.standing().1, 0);
}

#[test]
fn undeclared_apis_are_refused_where_they_may_not_be_declared() {
    let mut world = World::new();
    world.options.adoption = Adoption::Never;
    let feed = world.open();
    let mut request = Request::default();
    served(&mut request, "a", "200", 900, 1000, 5);
    let took = world.send(&feed, 1000, &request).unwrap();
    assert_eq!(took.rejected, 1);
    assert!(took.message().unwrap().contains("feeds.adopt"), "{took:?}");
    // Nor beyond a tenant's quota.
    let world = World::new();
    world.declare_tenant("shop", 4);
    let feed = world.open();
    assert_eq!(world.send(&feed, 1000, &request).unwrap().rejected, 0);
    let mut more = Request::default();
    more.counter(
        &[("service.name", "x"), ("tidegate.tenant", "shop")],
        "process.cpu.time",
        &[],
        (0, 1000),
        1.0,
    );
    world.turn(&feed, 1100);
    let took = world.send(&feed, 1100, &more).unwrap();
    assert!(took.message().unwrap().contains("max_series"), "{took:?}");
}

#[test]
fn sums_that_the_store_cannot_take_wait_and_are_stored_later() {
    let world = World::new();
    let feed = world.open();
    for i in 0..4 {
        let mut request = Request::default();
        served(&mut request, "a", "200", 0, 1000 + 10 * i, 3 * i);
        world.send(&feed, 1000 + 10 * i, &request).unwrap();
    }
    world.busy(true);
    let turned = feed.turn(fake::at(1200)).unwrap();
    assert!(turned.waiting.unwrap().1.contains("behind"));
    assert!(world.numbers(API, Signal::Requests).is_empty());
    world.busy(false);
    world.turn(&feed, 1201);
    assert!((world.numbers(API, Signal::Requests).values().sum::<f64>() - 9.0).abs() < 1e-9);
}

#[test]
fn a_past_that_an_instance_cuts_off_by_joining_last_is_told_and_told_once() {
    let world = World::new();
    let feed = world.open();
    for t in (1000..=2000).step_by(10) {
        let mut request = Request::default();
        served(&mut request, "a", "200", 500, t, t);
        world.send(&feed, 2000, &request).unwrap();
    }
    let mut request = Request::default();
    served(&mut request, "b", "200", 500, 2000, 7);
    world.send(&feed, 2000, &request).unwrap();
    let turned = feed.turn(fake::at(2200)).unwrap();
    assert!(world.numbers(API, Signal::Requests).is_empty());
    let told: Vec<_> = turned.left_out.into_iter().collect();
    let [(api, left_out)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(api.to_string(), API);
    // Requests and latency. The last 100 s are what any beginning takes: `hold`, and a step.
    assert_eq!((left_out.steps, left_out.past), (2 * 100, 2 * 90));
    assert_eq!(left_out.until, fake::at(1900));
    let again = world.open().turn(fake::at(2201)).unwrap();
    for turned in [feed.turn(fake::at(2201)).unwrap(), again] {
        assert!(turned.left_out.is_empty(), "{turned:?}");
    }
}

#[test]
fn instances_that_begin_to_be_heard_one_after_the_other_leave_out_no_past() {
    let world = World::new();
    let feed = world.open();
    let mut steps = 0;
    for t in (1000..1300).step_by(10) {
        let mut request = Request::default();
        served(&mut request, "a", "200", 500, t, t);
        if t >= 1090 {
            served(&mut request, "b", "200", 500, t, t);
        }
        world.send(&feed, t, &request).unwrap();
        let turned = feed.turn(fake::at(t)).unwrap();
        for of in turned.left_out.values() {
            assert_eq!(of.past, 0, "{of:?}");
            steps += of.steps;
        }
    }
    // Nor is a step that was given out before the other one came taken back.
    assert_eq!(world.numbers(API, Signal::Requests).get(&1000), Some(&10.0));
    assert!(steps <= 2 * 2, "{steps}");
}
