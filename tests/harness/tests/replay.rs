//! A decision that is made again from its record is the same to the bit, and what was changed is told.

mod recorded;

use recorded::Recorded;
use std::sync::Arc;
use tidegate_backtest::replay::{Deciders, Divergence, Replay};
use tidegate_core::module::ModuleRef;
use tidegate_core::policy::{Allocator, Forecaster, Tierer};
use tidegate_core::ports::storage::History;
use tidegate_core::record::Record;
use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Values};
use tidegate_core::tier::Tier;
use tidegate_core::units::Signal;
use tidegate_harness::{Bind, Load, World, day, gate, minutes, native};

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
    let replay = Replay::default();
    told(replay, records, deciders)
}

/// With forecasts and demand, which every record must have.
fn whole(world: &World, records: &[Record]) -> Vec<Divergence> {
    let mut replay = Replay::whole(world.store());
    let told = records
        .iter()
        .map(|r| (r, replay.record(r, &Recorded(world))));
    told.flat_map(|(record, t)| {
        assert_eq!((&t.unknown, &t.unmade), (&vec![], &vec![]));
        assert_eq!((t.forecasts, t.demands), (record.forecasts.len(), 1));
        t.divergences
    })
    .collect()
}

fn told(mut replay: Replay<'_>, records: &[Record], deciders: &dyn Deciders) -> Vec<Divergence> {
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

    fn forecaster(&self, module: &ModuleRef) -> Result<Arc<dyn Forecaster>, String> {
        self.0.forecaster(module)
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
        fn forecaster(&self, module: &ModuleRef) -> Result<Arc<dyn Forecaster>, String> {
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

/// As [`world`], with a forecaster bound.
fn forecast(name: &str) -> World {
    let (from, to) = (day(1, 0, 0), day(1, 3, 0));
    let shipped = |name| native(name).expect("it is shipped");
    let mut world = gate()
        .history_days(1)
        .pool("edge", 8.0)
        .api("shop/orders", Tier::Gold)
        .feed("shop/orders", Load::ramp(100.0, 400.0, from, to))
        .api("shop/search", Tier::Bronze)
        .feed("shop/search", Load::flat(300.0).noise(0.1))
        .policy("loads", shipped(name))
        .policy("tiers", shipped("slo-tiers"))
        .policy("shares", shipped("learned"))
        .start()
        .expect("the world makes sense");
    world.run_until(world.now().plus_ms(minutes(180)));
    world
}

#[test]
fn forecasts_and_demand_are_made_again_from_samples_and_the_last_snapshots() {
    for name in ["ets", "seasonal-naive"] {
        let world = forecast(name);
        assert_eq!(whole(&world, &records(&world)), [], "{name}");
    }
}

#[test]
fn they_are_after_a_swap_of_the_forecaster_too() {
    let mut world = forecast("seasonal-naive");
    let loads = "loads".parse().expect("a name");
    let ets = native("ets").expect("it is shipped");
    world.push(ets.clone());
    world.bind(Bind::new(loads, &ets)).expect("it is bound");
    world.run_until(world.now().plus_ms(minutes(60)));
    let records = records(&world);
    let makers = |r: &Record| r.forecasts[0].served.module.name.clone();
    assert_eq!(makers(&records[30]), "seasonal-naive");
    assert_eq!(makers(records.last().expect("many")), "ets");
    assert_eq!(whole(&world, &records), []);
}

#[test]
fn one_changed_byte_of_a_sample_is_told_with_the_series_and_the_step_that_saw_it() {
    let world = forecast("ets");
    let records = records(&world);
    let key = SeriesKey {
        api: "shop/search".parse().expect("a name"),
        signal: Signal::Requests,
    };
    let seen = records[20].at.plus_ms(-minutes(5));
    assert!(world.store().flip(&key, seen));
    let told = whole(&world, &records);
    let first = told.first().expect("it is told");
    let what = format!(" on shop/search requests after step {seen}");
    assert!(
        first.what.starts_with("the state of ets") && first.what.ends_with(&what),
        "{first:?}"
    );
    let before = whole(&world, &records[..20]);
    assert_eq!(before, [], "what was decided before did not see it");
}

#[test]
fn a_late_sample_is_seen_by_the_decisions_that_came_after_it_alone() {
    let (from, to) = (day(1, 1, 0), day(1, 1, 10));
    let mut world = gate()
        .history_days(1)
        .pool("edge", 8.0)
        .api("shop/search", Tier::Bronze)
        .feed("shop/search", Load::flat(300.0).noise(0.1).silent(from, to))
        .policy("loads", native("ets").expect("it is shipped"))
        .start()
        .expect("the world makes sense");
    world.run_until(day(1, 2, 0));
    let step = world.settings().step;
    let late = SeriesSamples {
        key: SeriesKey {
            api: "shop/search".parse().expect("a name"),
            signal: Signal::Requests,
        },
        step,
        times: vec![from, from.plus_steps(step, 1)],
        values: Values::Numbers(vec![9e6; 2]),
    };
    let batch = SampleBatch { series: vec![late] };
    History::append(world.store(), batch, Box::new(|_| ()));
    world.run_until(day(1, 4, 0));
    assert_eq!(whole(&world, &records(&world)), []);
}

#[test]
fn another_forecaster_than_the_one_that_answered_is_told_by_series() {
    struct Other<'a>(Recorded<'a>);
    impl Deciders for Other<'_> {
        fn allocator(&self, m: &ModuleRef) -> Result<(ModuleRef, Arc<dyn Allocator>), String> {
            self.0.allocator(m)
        }
        fn tierer(&self, m: &ModuleRef) -> Result<(ModuleRef, Arc<dyn Tierer>), String> {
            self.0.tierer(m)
        }
        fn forecaster(&self, _: &ModuleRef) -> Result<Arc<dyn Forecaster>, String> {
            match native("ets").expect("it is shipped").policy {
                tidegate_engine::Policy::Forecaster(other) => Ok(other),
                _ => Err("it is a forecaster".into()),
            }
        }
    }
    let world = forecast("seasonal-naive");
    let records = records(&world);
    let told = told(
        Replay::whole(world.store()),
        &records,
        &Other(Recorded(&world)),
    );
    for series in ["shop/orders requests", "shop/search requests"] {
        let of = |d: &Divergence| d.what.contains(&format!("the forecast of {series}"));
        assert!(told.iter().any(of), "{series}: {told:?}");
    }
}

#[test]
fn a_forecast_whose_snapshot_is_gone_is_named_and_not_taken_for_the_same() {
    let world = forecast("ets");
    let records = records(&world);
    // From the middle of the ledger on: the snapshots were written with the records before.
    let mut replay = Replay::whole(world.store());
    let told = replay.record(&records[20], &Recorded(&world));
    assert_eq!((told.forecasts, told.demands), (0, 0));
    let of = "the forecast of shop/orders requests";
    let found = told.unmade.iter().find(|u| u.what == of);
    assert!(
        found.expect("it is named").why.contains("no snapshot"),
        "{told:?}"
    );
    assert_eq!(told.divergences, []);
}

#[test]
fn a_demand_that_the_forecasts_do_not_give_is_told() {
    let world = forecast("ets");
    let mut records = records(&world);
    let basis = records[20].basis.as_mut().expect("it is a cycle's");
    basis.target_utilisation *= 0.5;
    basis.ahead += 2;
    let told = whole(&world, &records);
    assert!(
        told.iter()
            .any(|d| d.what.starts_with("the demand asked for shop/")),
        "{told:?}"
    );
}
