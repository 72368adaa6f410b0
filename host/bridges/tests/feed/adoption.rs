//! Apis that nobody has declared: when they are, by how many changes of the catalog, and what a crash, a
//! quota and a catalog that cannot be written do to what was acknowledged of them.

use super::fake::{World, at};
use super::otlp::Request;
use tidegate_bridges::feed::{Feed, Took};
use tidegate_core::units::Signal;

/// CPU seconds of a service by `t`.
fn used(world: &World, feed: &Feed, tenant: &str, service: &str, t: u64) -> Took {
    let labels = [("service.name", service), ("tidegate.tenant", tenant)];
    let mut request = Request::default();
    let seconds = (t - 1000) as f64;
    request.counter(&labels, "process.cpu.time", &[], (1000, t), seconds);
    world.send(feed, t, &request).unwrap()
}

/// Cores of a service's api over all steps that were stored.
fn cores(world: &World, api: &str) -> Vec<f64> {
    world.numbers(api, Signal::Cpu).into_values().collect()
}

#[test]
fn all_apis_that_requests_tell_of_between_two_turns_are_one_change_of_the_catalog() {
    let world = World::new();
    let feed = world.open();
    world.declare_tenant("shop", 1000);
    // The pool is declared with the first of them.
    used(&world, &feed, "shop", "first", 1010);
    world.turn(&feed, 1010);
    let before = world.changes();
    for i in 0..50 {
        assert_eq!(
            used(&world, &feed, "shop", &format!("s{i}"), 1010).rejected,
            0
        );
    }
    assert_eq!(world.changes(), before);
    world.turn(&feed, 1011);
    assert_eq!(world.changes(), before + 1);
    world.turn(&feed, 1012);
    assert_eq!(world.changes(), before + 1);
    assert!((0..50).all(|i| world.has_api(&format!("shop/s{i}"))));
}

#[test]
fn an_api_that_waited_when_the_daemon_died_is_declared_by_the_next_and_lacks_nothing() {
    let world = World::new();
    let feed = world.open();
    for t in [1010, 1020] {
        assert_eq!(used(&world, &feed, "shop", "pay", t).accepted, 1);
    }
    drop(feed);
    assert!(!world.has_api("shop/pay"));
    let feed = world.open();
    world.turn(&feed, 1200);
    assert!(world.has_api("shop/pay"));
    assert_eq!(cores(&world, "shop/pay"), [1.0, 1.0]);
}

#[test]
fn an_api_that_somebody_deleted_does_not_come_back_with_the_next_start() {
    for clean in [true, false] {
        let world = World::new();
        let feed = world.open();
        used(&world, &feed, "shop", "pay", 1010);
        world.turn(&feed, 1100);
        world.delete_api("shop/pay");
        if clean {
            feed.close(at(1101)).unwrap();
        }
        let feed = world.open();
        assert_eq!(feed.turn(at(1200)).unwrap().undeclared, None);
        assert!(!world.has_api("shop/pay"), "{clean}");
    }
}

#[test]
fn an_api_that_somebody_declares_while_it_waits_stands_as_it_was_declared() {
    let world = World::new();
    let feed = world.open();
    used(&world, &feed, "shop", "pay", 1010);
    world.declare_api("shop/pay");
    let declared = world.object("api", "shop/pay");
    world.turn(&feed, 1011);
    assert_eq!(world.object("api", "shop/pay"), declared);
}

#[test]
fn apis_that_wait_count_against_their_tenant_s_quota() {
    let world = World::new();
    world.declare_tenant("shop", 7);
    let feed = world.open();
    for service in ["a", "b"] {
        assert_eq!(used(&world, &feed, "shop", service, 1010).rejected, 0);
    }
    let third = used(&world, &feed, "shop", "c", 1010);
    let text = third.message().unwrap();
    assert!(
        text.contains("room for 1 more series") && text.contains("max_series"),
        "{text}"
    );
    world.turn(&feed, 1011);
    assert!(world.has_api("shop/b") && !world.has_api("shop/c"));
}

#[test]
fn while_the_catalog_cannot_be_written_sums_wait_also_through_a_restart() {
    let world = World::new();
    let feed = world.open();
    used(&world, &feed, "shop", "first", 1010);
    world.turn(&feed, 1011);
    world.lock_catalog(true);
    for t in [1010, 1020] {
        assert_eq!(used(&world, &feed, "shop", "pay", t).accepted, 1);
    }
    let turned = feed.turn(at(1200)).unwrap();
    assert!(turned.waiting.unwrap().1.contains("full"));
    feed.close(at(1201)).unwrap();
    let feed = world.open();
    assert!(feed.turn(at(1202)).unwrap().waiting.is_some());
    world.lock_catalog(false);
    world.turn(&feed, 1203);
    assert_eq!(cores(&world, "shop/pay"), [1.0, 1.0]);
}

#[test]
fn what_cannot_be_declared_is_in_nobody_else_s_way_and_its_sender_hears_of_it() {
    let world = World::new();
    let feed = world.open();
    for tenant in ["bank", "shop"] {
        used(&world, &feed, tenant, "first", 1010);
    }
    world.turn(&feed, 1011);
    world.outlaw(Some("bank"));
    for tenant in ["bank", "shop"] {
        assert_eq!(used(&world, &feed, tenant, "pay", 1012).rejected, 0);
    }
    let turned = feed.turn(at(1013)).unwrap();
    let (apis, why) = turned.undeclared.unwrap();
    assert!(apis == 1 && why.contains("fits no such api"), "{why}");
    assert!(world.has_api("shop/pay") && !world.has_api("bank/pay"));
    let told = used(&world, &feed, "bank", "pay", 1014);
    assert!(
        told.message().unwrap().contains("fits no such api"),
        "{told:?}"
    );
    assert_eq!(used(&world, &feed, "shop", "pay", 1014).rejected, 0);
    // Once it can be declared, it is before anything of it is taken.
    world.outlaw(None);
    assert_eq!(used(&world, &feed, "bank", "pay", 1050).rejected, 0);
    assert!(world.has_api("bank/pay"));
}
