//! A decision that is made again from its record is the same to the bit, and what was changed is told.

mod recorded;

use recorded::Recorded;
use std::sync::Arc;
use tidegate_backtest::replay::{Deciders, Divergence, Replay};
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::{Allocator, Tierer};
use tidegate_core::record::Record;
use tidegate_core::tier::Tier;
use tidegate_harness::{Load, World, day, gate, minutes, native};

/// Three hours of two apis, one of which rises, under an allocator that learns.
fn world() -> World {
    let (from, to) = (day(1, 0, 0), day(1, 3, 0));
    let shipped = |name| native(name).expect("it is shipped");
    let mut world = gate()
        .history_days(1)
        .pool("edge", 8.0)
        .api("shop/orders", Tier::Gold)
        .feed("shop/orders", Load::ramp(100.0, 400.0, from, to))
        .api("shop/search", Tier::Bronze)
        .feed("shop/search", Load::flat(300.0).noise(0.1))
        .policy("tiers", shipped("slo-tiers"))
        .policy("shares", shipped("learned"))
        .start()
        .expect("the world makes sense");
    world.run_until(world.now().plus_ms(minutes(180)));
    world
}

fn records(world: &World) -> Vec<Record> {
    let records = world.records(&"edge".parse().expect("a name"));
    assert!(records.len() > 30, "{}", records.len());
    records
}

fn divergences(records: &[Record], deciders: &dyn Deciders) -> Vec<Divergence> {
    let mut replay = Replay::default();
    let told = records.iter().map(|r| replay.record(r, deciders));
    told.flat_map(|t| {
        assert_eq!(t.unknown, [""; 0]);
        t.divergences
    })
    .collect()
}

#[test]
fn three_hours_of_decisions_comes_out_the_same_to_the_bit() {
    let world = world();
    assert_eq!(divergences(&records(&world), &Recorded(&world)), []);
}

#[test]
fn one_changed_bit_of_what_was_asked_is_told() {
    let world = world();
    let mut records = records(&world);
    let demand = &mut records[20].allocation.demand[0];
    *demand = f64::from_bits(demand.to_bits() ^ 1);
    let told = divergences(&records, &Recorded(&world));
    let digest = "the digest of what the plan was made from";
    assert!(told.iter().any(|d| d.what == digest), "{told:?}");
}

#[test]
fn a_grant_that_nobody_gave_is_told_with_both_numbers() {
    let world = world();
    let mut records = records(&world);
    let limit = &mut records[20].plan.apis[1].limit[0];
    let was = *limit;
    *limit += 0.5;
    let is = *limit;
    let told = divergences(&records, &Recorded(&world));
    let what = "the limit of shop/search in step 0, in cores";
    let found = told.iter().find(|d| d.what == what);
    let found = found.expect("it is told");
    assert_eq!(found.recorded, is.to_string());
    assert_eq!(found.replayed, was.to_string());
}

#[test]
fn a_state_that_was_swapped_between_two_plans_is_told() {
    let world = world();
    let mut records = records(&world);
    let earlier = records[10].allocation.state.clone();
    assert_ne!(earlier, records[20].allocation.state, "learning moves it");
    records[20].allocation.state = earlier;
    let told = divergences(&records, &Recorded(&world));
    assert!(
        told.iter()
            .any(|d| d.what.starts_with("the state that learned")
                && d.what.ends_with("was handed")),
        "{told:?}"
    );
}

#[test]
fn a_tier_that_no_tierer_wanted_is_told() {
    let world = world();
    let mut records = records(&world);
    assert_eq!(records[20].plan.apis[1].tier, Tier::Bronze);
    records[20].plan.apis[1].tier = Tier::Gold;
    let told = divergences(&records, &Recorded(&world));
    let what = "the tier of shop/search";
    assert!(told.iter().any(|d| d.what == what), "{told:?}");
}

/// Another allocator than the one that answered.
struct Another<'a>(Recorded<'a>);

impl Deciders for Another<'_> {
    fn allocator(&self, _: &ModuleRef) -> Result<(ModuleRef, Arc<dyn Allocator>), String> {
        let other = native("proportional").expect("it is shipped");
        let module = other.module.clone();
        match other.policy {
            tidegate_engine::Policy::Allocator(allocator) => Ok((module, allocator)),
            _ => Err("it is an allocator".into()),
        }
    }

    fn tierer(&self, module: &ModuleRef) -> Result<(ModuleRef, Arc<dyn Tierer>), String> {
        self.0.tierer(module)
    }
}

#[test]
fn another_module_is_told_in_every_plan() {
    let world = world();
    let records = records(&world);
    let told = divergences(&records, &Another(Recorded(&world)));
    let named = told.iter().filter(|d| d.what == "who answered");
    assert_eq!(named.count(), records.len());
}

#[test]
fn what_cannot_be_asked_is_said_and_not_taken_for_the_same() {
    struct Nobody;
    impl Deciders for Nobody {
        fn allocator(&self, module: &ModuleRef) -> Result<(ModuleRef, Arc<dyn Allocator>), String> {
            Err(format!("no bytes of {module}"))
        }
        fn tierer(&self, module: &ModuleRef) -> Result<(ModuleRef, Arc<dyn Tierer>), String> {
            Err(format!("no bytes of {module}"))
        }
    }
    let world = world();
    let told = Replay::default().record(&records(&world)[0], &Nobody);
    assert_eq!(told.decisions, 0);
    assert_eq!(told.unknown.len(), 2, "{told:?}");
}

#[test]
fn a_tier_that_left_before_its_dwell_time_was_over_is_told() {
    let world = world();
    let mut records = records(&world);
    records[20].holds[0].since = records[20].at;
    let told = divergences(&records, &Recorded(&world));
    let what = "the tier of shop/orders";
    assert!(told.iter().any(|d| d.what == what), "{told:?}");
}
