//! What is in the way of one tenant's sums, or of one series, is in nobody else's.

use super::fake::{World, at};
use super::otlp::Request;
use tidegate_bridges::feed::{Error, Feed, Turned};
use tidegate_core::units::Signal;

/// What services of tenants, named `tenant/service`, used by `t` seconds: a core since the second 1000.
fn used(world: &World, feed: &Feed, apis: &[&str], t: u64) -> Result<(), Error> {
    let mut request = Request::default();
    for api in apis {
        let (tenant, service) = api.split_once('/').unwrap();
        let labels = [("service.name", service), ("tidegate.tenant", tenant)];
        let used = (t - 1000) as f64;
        request.counter(&labels, "process.cpu.time", &[], (1000, t), used);
    }
    world.send(feed, t, &request).map(drop)
}

/// Likewise, twenty seconds of it; and what the turn says that finds them complete.
fn turn_of(world: &World, feed: &Feed, apis: &[&str]) -> Turned {
    for t in [1010, 1020] {
        used(world, feed, apis, t).unwrap();
    }
    feed.turn(at(1200)).unwrap()
}

fn steps(world: &World, api: &str) -> usize {
    world.numbers(api, Signal::Cpu).len()
}

#[test]
fn sums_of_a_tenant_over_its_rate_wait_and_nobody_else_s_do() {
    let world = World::new();
    let feed = world.open();
    world.over("bank", Some(Some(5_000)));
    let turned = turn_of(&world, &feed, &["acme/a", "bank/b", "shop/c"]);
    assert_eq!((turned.stored, turned.refused), (4, None));
    let (sums, why) = turned.waiting.unwrap();
    assert!(sums == 1 && why.contains("tenant `bank`"), "{why}");
    assert_eq!((steps(&world, "acme/a"), steps(&world, "shop/c")), (2, 2));
    // It is asked for no sooner than it was told, and loses nothing.
    world.over("bank", None);
    assert!(feed.turn(at(1204)).unwrap().waiting.is_some());
    assert_eq!(steps(&world, "bank/b"), 0);
    world.turn(&feed, 1205);
    assert_eq!(steps(&world, "bank/b"), 2);
}

#[test]
fn sums_that_wait_for_a_quota_survive_a_clean_end_and_a_short_journal() {
    let world = World::new();
    let feed = world.open();
    world.over("bank", Some(Some(5_000)));
    turn_of(&world, &feed, &["bank/b", "shop/c"]);
    feed.close(at(1201)).unwrap();
    assert_eq!(world.journal_entries(), 1);
    world.over("bank", None);
    let feed = world.open();
    world.turn(&feed, 1202);
    assert_eq!((steps(&world, "bank/b"), feed.standing().2), (2, 0));
}

#[test]
fn a_quota_that_does_not_pass_by_itself_holds_nothing_back() {
    let world = World::new();
    let feed = world.open();
    world.over("bank", Some(None));
    let turned = turn_of(&world, &feed, &["bank/b", "shop/c"]);
    let (samples, why) = turned.refused.unwrap();
    assert!(samples == 2 && why.contains("max_series"), "{why}");
    assert!(turned.waiting.is_none());
    assert_eq!((steps(&world, "shop/c"), feed.standing().2), (2, 0));
}

#[test]
fn a_series_that_the_store_cannot_take_is_refused_alone() {
    let world = World::new();
    let feed = world.open();
    world.damage("shop/d", Signal::Cpu);
    let apis = ["shop/a", "shop/b", "shop/c", "shop/d", "shop/e", "zoo/z"];
    let turned = turn_of(&world, &feed, &apis);
    let (samples, why) = turned.refused.unwrap();
    assert!(samples == 2 && why.contains("shop/d is damaged"), "{why}");
    assert_eq!((turned.stored, turned.waiting), (10, None));
    assert_eq!((steps(&world, "shop/e"), feed.standing().2), (2, 0));
}

#[test]
fn the_search_for_a_series_that_cannot_be_stored_goes_on_where_a_rate_has_stopped_it() {
    let world = World::new();
    let feed = world.open();
    world.damage("shop/s00", Signal::Cpu);
    let apis: Vec<_> = (0..32).map(|i| format!("shop/s{i:02}")).collect();
    let apis: Vec<_> = apis.iter().map(|s| &s[..]).collect();
    // As much as there is to store, of which to try it once takes all.
    world.grant("shop", 64);
    let mut turned = turn_of(&world, &feed, &apis);
    let (mut stored, mut refused) = (0, 0);
    for t in 1202..1212 {
        stored += turned.stored;
        refused += turned.refused.map_or(0, |(samples, _)| samples);
        world.grant("shop", 64);
        turned = feed.turn(at(t)).unwrap();
    }
    assert_eq!((stored, refused, feed.standing().2), (62, 2, 0));
}

#[test]
fn a_tenant_whose_waiting_sums_fill_its_share_sends_no_more_until_they_are_gone() {
    let mut world = World::new();
    world.options.terms.max_open = 20_000;
    let feed = world.open();
    world.over("bank", Some(Some(5_000)));
    let many: Vec<_> = (0..20).map(|i| format!("bank/b{i}")).collect();
    let many: Vec<_> = many.iter().map(|s| &s[..]).collect();
    turn_of(&world, &feed, &many);
    let Err(Error::Over { what, retry_ms }) = used(&world, &feed, &["bank/b0"], 1210) else {
        panic!("it may not");
    };
    assert!(
        what.contains("`bank`") && what.contains("max_samples_per_s"),
        "{what}"
    );
    assert_eq!(retry_ms, 5_000);
    used(&world, &feed, &["shop/c"], 1210).unwrap();
    world.over("bank", None);
    world.turn(&feed, 1210);
    used(&world, &feed, &["bank/b0"], 1210).unwrap();
}
