//! Defects that stories and properties have found, each under its own name.

use tidegate_core::access::Principal;
use tidegate_core::tier::Tier;
use tidegate_flow::observe::{ExplainInput, explain};
use tidegate_harness::{Breakage, Load, gate, minutes, native};

/// The plan that follows an expired one was bounded by grants that had not been in force for long.
#[test]
fn after_expiry_the_safe_capacity_is_what_was_in_force() {
    let mut world = gate()
        .pool("edge", 10.0)
        .api("shop/orders", Tier::Gold)
        .api("shop/search", Tier::Silver)
        .feed("shop/orders", Load::flat(300.0))
        .feed("shop/search", Load::flat(100.0))
        .start()
        .expect("the world makes sense");
    let start = world.now();
    world.run_until(start.plus_ms(minutes(10)));
    let rule = "native:floors-first";
    world
        .set_breakage(rule, Some(Breakage::Trap))
        .expect("it is a rule");
    world.run_until(start.plus_ms(minutes(60)));
    let held = world.plan("edge").expect("the last plan is held");
    assert!(held.expires_at < world.now());
    world.set_breakage(rule, None).expect("it is a rule");
    world.run_until(start.plus_ms(minutes(65)));
    let records = world.records(&"edge".parse().expect("a name"));
    let next = records.last().expect("a plan was made");
    let safe: Vec<f64> = held
        .apis
        .iter()
        .flat_map(|a| a.safe.iter().map(|(_, x)| x))
        .collect();
    assert_eq!(next.allocation.previous_limit, safe);
    assert_ne!(held.apis[0].limit[0].to_bits(), safe[0].to_bits());
}

/// `why` told of neighbours and of a pool that is too small where the tenant's quota was spent.
#[test]
fn why_names_the_quota_that_stands_in_the_way() {
    let mut world = gate()
        .pool("edge", 20.0)
        .quota("bank", 3.0)
        .api("bank/batch", Tier::Silver)
        .api("shop/orders", Tier::Silver)
        .feed("bank/batch", Load::flat(500.0))
        .feed("shop/orders", Load::flat(100.0))
        .policy("shares", native("waterfill").expect("it is shipped"))
        .start()
        .expect("the world makes sense");
    world.run_until(world.now().plus_ms(minutes(5)));
    let records = world.records(&"edge".parse().expect("a name"));
    let record = records.last().expect("a plan was made");
    let why = |api: &str| {
        let (_, sentences) = explain(&ExplainInput {
            record,
            api: &api.parse().expect("a name"),
            at: world.now(),
            caller: &Principal::local(),
        })
        .expect("it is in the plan");
        sentences.join("\n")
    };
    let sentence = "Tenant bank holds all of its quota of 3.00 cores";
    assert!(
        why("bank/batch").contains(sentence),
        "{}",
        why("bank/batch")
    );
    assert!(
        !why("shop/orders").contains("quota"),
        "{}",
        why("shop/orders")
    );
}

/// A declared campaign changed nothing: its least uplift was stored and never read.
#[test]
fn a_campaigns_least_uplift_is_granted_before_it_starts() {
    let start = gate().start().expect("an empty world").now();
    let campaign = start.plus_ms(minutes(60));
    let mut world = gate()
        .pool("edge", 20.0)
        .api("shop/orders", Tier::Gold)
        .api("shop/search", Tier::Silver)
        .feed("shop/orders", Load::flat(100.0))
        .feed("shop/search", Load::flat(1500.0))
        .event("shop/friday", campaign, 3600, Some(5.0))
        .policy(
            "forecasts",
            native("seasonal-naive").expect("it is shipped"),
        )
        .policy("shares", native("waterfill").expect("it is shipped"))
        .start()
        .expect("the world makes sense");
    world.run_until(start.plus_ms(minutes(5)));
    let cores = |world: &tidegate_harness::World| {
        let plan = world.plan("edge").expect("a plan was made");
        let row = plan
            .api(&"shop/orders".parse().expect("a name"))
            .expect("it is in it");
        row.guaranteed[0]
    };
    assert!(cores(&world) < 2.0, "an hour ahead it is an ordinary day");
    world.run_until(campaign.plus_ms(-minutes(5)));
    assert!(
        cores(&world) > 5.0,
        "five times the load is kept one step ahead, not {}",
        cores(&world)
    );
}

/// A feed that fell silent was alerted after a day, when it was no longer forecast.
#[test]
fn a_feed_that_falls_silent_is_told_while_it_is_still_forecast() {
    let start = gate().start().expect("an empty world").now();
    let silent = start.plus_ms(minutes(30));
    let mut world = gate()
        .pool("edge", 20.0)
        .api("shop/orders", Tier::Gold)
        .feed(
            "shop/orders",
            Load::flat(100.0).silent(silent, start.plus_ms(minutes(90))),
        )
        .start()
        .expect("the world makes sense");
    world.run_until(silent.plus_ms(minutes(15)));
    assert_eq!(world.alerts().len(), 0, "three steps may be late");
    world.run_until(silent.plus_ms(minutes(20)));
    let told: Vec<&str> = world.alerts().iter().map(|a| a.kind.name()).collect();
    assert_eq!(told, ["stale-feed"]);
    assert!(
        world
            .forecast(&"shop/orders".parse().expect("a name"))
            .is_some()
    );
    world.run_until(start.plus_ms(minutes(110)));
    assert_eq!(
        world.alerts().len(),
        0,
        "it is over once data has come for a while"
    );
}

/// `why` said that no forecast was possible of an api that was carried over a restart.
#[test]
fn why_says_of_a_carried_api_that_it_waits_for_its_turn() {
    let mut world = gate()
        .pool("edge", 20.0)
        .api("shop/orders", Tier::Silver)
        .api("shop/search", Tier::Bronze)
        .feed("shop/orders", Load::flat(100.0))
        .feed("shop/search", Load::flat(50.0))
        .settings(|s| s.refresh.series_per_step = 1)
        .start()
        .expect("the world makes sense");
    world.run_until(world.now().plus_ms(minutes(30)));
    world.restart().expect("the store is there");
    let mut why = |after: i64| {
        world.run_until(world.now().plus_ms(minutes(after)));
        let records = world.records(&"edge".parse().expect("a name"));
        let (_, sentences) = explain(&ExplainInput {
            record: records.last().expect("a plan was made"),
            api: &"shop/orders".parse().expect("a name"),
            at: world.now(),
            caller: &Principal::local(),
        })
        .expect("it is in the plan");
        sentences.join("\n")
    };
    let told = why(5);
    assert!(told.contains("has not had its turn"), "{told}");
    assert!(!told.contains("no forecast"), "{told}");
    let told = why(60);
    assert!(told.contains("shop/orders expects at most"), "{told}");
}
