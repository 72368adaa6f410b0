//! Learned headroom in closed loop against waterfill: cheaper where the forecaster misjudges itself,
//! and not dearer where it does not.

mod world;

use tidegate_model_learned::{Config, Moment, State, Tier, allocate};
use world::{Bill, Lie, STEP_S, World, run};

const HONEST: Lie = Lie {
    width: &[1.0],
    bias: 1.0,
};

fn world(seed: u64, lie: Lie) -> World {
    World {
        apis: 9,
        days: 12,
        from_day: 4,
        seed,
        lie,
        scarce: None,
    }
}

fn waterfill(world: &World) -> Bill {
    let config = tidegate_model_waterfill::Config::default();
    run(world, &mut |_, pool| {
        let plan = tidegate_model_waterfill::allocate(&config, pool).expect("a lawful pool");
        let limit = (0..pool.len()).map(|i| plan.allocation.limit[pool.cell(i, 0, 0)]);
        (limit.collect(), plan.wanted[0].max(plan.wanted[1]))
    })
}

fn learned(world: &World, config: &Config) -> Bill {
    let mut state = State::default();
    run(world, &mut |start, pool| {
        let moment = Moment {
            start,
            step: STEP_S,
        };
        let plan = allocate(config, &mut state, moment, pool).expect("a lawful pool");
        let limit = (0..pool.len()).map(|i| plan.allocation.limit[pool.cell(i, 0, 0)]);
        (limit.collect(), plan.wanted[0].max(plan.wanted[1]))
    })
}

fn prices(config: &Config) -> [f64; 3] {
    [Tier::Bronze, Tier::Silver, Tier::Gold].map(|tier| config.shortage_cost.of(tier))
}

/// What learned costs in parts of what waterfill costs, and both bills.
fn ratio(world: &World) -> (f64, [Bill; 2]) {
    let config = Config::default();
    let prices = prices(&config);
    let (ours, theirs) = (learned(world, &config), waterfill(world));
    let ratio = ours.cost(prices) / theirs.cost(prices);
    (ratio, [ours, theirs])
}

#[track_caller]
fn check(lie: Lie, most: f64) {
    for seed in 1..=4 {
        let (ratio, bills) = ratio(&world(seed, lie));
        assert!(ratio <= most, "seed {seed}: {ratio:.3}, {bills:?}");
    }
}

#[test]
fn intervals_too_wide_are_not_paid_for() {
    let width = &[2.5];
    check(Lie { width, bias: 1.0 }, 0.85);
}

#[test]
fn intervals_too_narrow_around_a_median_too_low_are_made_up_for() {
    let width = &[0.3];
    check(Lie { width, bias: 0.93 }, 0.95);
}

#[test]
fn each_api_gets_what_its_own_forecaster_deserves() {
    let width = &[0.4, 2.5, 1.0, 2.5, 0.4];
    check(Lie { width, bias: 1.0 }, 0.95);
}

#[test]
fn a_median_that_is_too_low_is_made_up_for() {
    let width = &[1.0];
    check(Lie { width, bias: 0.9 }, 0.85);
}

#[test]
fn a_median_that_is_too_high_is_not_paid_for() {
    let width = &[1.0];
    check(Lie { width, bias: 1.15 }, 0.95);
}

#[test]
fn honest_quantiles_are_not_made_dearer() {
    check(HONEST, 1.0);
}

#[test]
fn in_a_scarce_pool_gold_suffers_no_more_and_the_whole_costs_no_more() {
    for seed in 1..=4 {
        let world = World {
            scarce: Some(0.75),
            ..world(
                seed,
                Lie {
                    width: &[2.5, 0.4, 1.0],
                    bias: 1.0,
                },
            )
        };
        let (ours, theirs) = (learned(&world, &Config::default()), waterfill(&world));
        let [.., gold] = ours.short;
        let steps = 8.0 * 288.0 * 3.0;
        assert!(
            gold <= theirs.short[2] + 0.002 * steps,
            "{ours:?} {theirs:?}"
        );
        let prices = prices(&Config::default());
        assert!(
            ours.cost(prices) <= theirs.cost(prices),
            "{ours:?} {theirs:?}"
        );
    }
}
