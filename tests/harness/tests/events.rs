//! The event test: what two campaigns have taught foretells the third, and nothing else.
//!
//! The module that serves where nothing is bound, through the rooms: events of the catalog become
//! columns, columns become uplift, and the uplift becomes a grant. Three campaigns at three times of
//! the day, so that no day's wave foretells the last.

use tidegate_core::tier::Tier;
use tidegate_core::units::Level;
use tidegate_harness::{Load, World, day, gate, minutes, native};

const ORDINARY: f64 = 200.0;
const FACTOR: f64 = 2.5;
/// Steps of five minutes.
const STEP: i64 = 5;

/// Three campaigns of two hours each: on the first and the third day of the past, and on the sixth.
const CAMPAIGNS: [(i64, i64); 3] = [(1, 9), (3, 14), (5, 10)];

/// Five days of past, and what is declared of the campaigns.
fn shop(declared: &[(i64, i64)]) -> World {
    let campaign = |load: Load, (on, hour): (i64, i64)| {
        load.campaign(FACTOR, day(on, hour, 0), day(on, hour + 2, 0))
    };
    let load = CAMPAIGNS
        .into_iter()
        .fold(Load::flat(ORDINARY).noise(0.02), campaign);
    let world = gate()
        .history_days(5)
        .pool("edge", 30.0)
        .api("shop/orders", Tier::Gold)
        .feed("shop/orders", load);
    let world = declared
        .iter()
        .enumerate()
        .fold(world, |world, (i, (on, hour))| {
            world.event(&format!("shop/sale-{i}"), day(*on, *hour, 0), 7200, None)
        });
    world
        .policy("forecasts", native("ensemble").expect("it is shipped"))
        .policy("shares", native("waterfill").expect("it is shipped"))
        .start()
        .expect("the world makes sense")
}

/// The 95 % interval and the median of the newest forecast, by the minutes from now.
fn foreseen(world: &World) -> Vec<(i64, [f64; 3])> {
    let forecast = world
        .forecast(&"shop/orders".parse().expect("a name"))
        .expect("it is forecast");
    let levels = [250, 5000, 9750].map(|l| Level::new(l).expect("a level"));
    let steps = 0..forecast.grid.count;
    steps
        .map(|s| {
            let minute = forecast.grid.at(s).since_ms(world.now()) / minutes(1);
            (minute, levels.map(|level| forecast.quantile(s, level)))
        })
        .collect()
}

#[test]
fn a_campaign_seen_twice_is_foreseen_the_third_time_within_its_interval() {
    let mut world = shop(&CAMPAIGNS);
    world.run_until(day(5, 9, 30));
    let mut during = 0;
    for (minute, [low, median, high]) in foreseen(&world) {
        let truth = if minute >= 30 {
            ORDINARY * FACTOR
        } else {
            ORDINARY
        };
        assert!(
            low <= truth && truth <= high,
            "in {minute} min come {truth}, foreseen were {low}..{high}"
        );
        if minute >= 30 {
            during += 1;
            assert!(
                (median / truth - 1.0).abs() < 0.25,
                "in {minute} min come {truth}, foreseen were {median}"
            );
        }
    }
    assert!(during >= 12, "an hour of the campaign is in sight");
    // And kept: the grant covers the campaign one step before it begins.
    world.run_until(day(5, 10, 0).plus_ms(-minutes(STEP)));
    let plan = world.plan("edge").expect("a plan was made");
    let row = plan
        .api(&"shop/orders".parse().expect("a name"))
        .expect("it is in it");
    let needs = ORDINARY * FACTOR * 0.01;
    assert!(row.limit[0] >= needs, "{} of {needs} cores", row.limit[0]);
}

#[test]
fn campaigns_that_were_declared_do_not_pollute_the_ordinary_season() {
    // A day after the third, at the hours of all three, nothing is foreseen of them.
    let mut world = shop(&CAMPAIGNS);
    for hour in [8, 9, 13] {
        world.run_until(day(6, hour, 30));
        for (minute, [_, median, high]) in foreseen(&world) {
            assert!(
                (median / ORDINARY - 1.0).abs() < 0.15,
                "{minute} min after {hour}:30, {median} were foreseen"
            );
            assert!(
                high < ORDINARY * FACTOR * 0.8,
                "{minute} min after {hour}:30, up to {high} were foreseen"
            );
        }
    }
}

#[test]
fn what_was_not_declared_is_not_foreseen() {
    // The same past and the same future; only that nobody said when the third would come.
    let mut world = shop(&CAMPAIGNS[..2]);
    world.run_until(day(5, 9, 30));
    for (minute, [_, median, _]) in foreseen(&world) {
        assert!(
            median < ORDINARY * 1.5,
            "in {minute} min, {median} were foreseen"
        );
    }
}

#[test]
fn a_campaign_that_was_never_seen_is_planned_for_by_its_least_uplift() {
    let start = day(5, 0, 0);
    let campaign = start.plus_ms(minutes(60));
    let mut world = gate()
        .history_days(5)
        .pool("edge", 30.0)
        .api("shop/orders", Tier::Gold)
        .feed("shop/orders", Load::flat(ORDINARY).noise(0.02))
        // Half a step after the grid: the part of a step that it lasts counts as well.
        .event("shop/first", campaign.plus_ms(90_000), 3600, Some(3.0))
        .policy("forecasts", native("ensemble").expect("it is shipped"))
        .policy("shares", native("waterfill").expect("it is shipped"))
        .start()
        .expect("the world makes sense");
    world.run_until(campaign.plus_ms(-minutes(STEP)));
    let plan = world.plan("edge").expect("a plan was made");
    let row = plan
        .api(&"shop/orders".parse().expect("a name"))
        .expect("it is in it");
    let needs = ORDINARY * 3.0 * 0.01;
    assert!(
        row.guaranteed[0] >= needs,
        "{} of {needs} cores",
        row.guaranteed[0]
    );
}
