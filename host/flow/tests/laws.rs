//! The numbered invariants and the laws of allocation, held by the engine's own rules on random worlds.
//!
//! AL1 to AL5 on the baseline allocator, because it is the link that must answer when every module
//! fails: lawful, idempotent, monotone in capacity and in weight, free of scale. TI1 on whatever a tierer
//! may want, and PL1 on successions of plans. (The shipped allocators have the same laws in their own
//! crates; FC1 is held by the calibration's and the models' tests.)

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_core::ids::{Digest, Generation};
use tidegate_core::invariant::{check_allocation, check_succession};
use tidegate_core::module::ModuleRef;
use tidegate_core::plan::Plan;
use tidegate_core::policy::{Allocation, AllocationInput, Allocator as _, Blob, UNBOUNDED};
use tidegate_core::roster::{Retreat, Served};
use tidegate_core::tier::{self, Tier, TierBounds, TierState};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Dimension;
use tidegate_flow::baseline::FloorsFirst;

/// Dimensions of every random pool.
const D: usize = 2;

fn tiers() -> impl Strategy<Value = Tier> {
    prop_oneof![Just(Tier::Gold), Just(Tier::Silver), Just(Tier::Bronze)]
}

#[derive(Debug, Clone)]
struct Row {
    tier: Tier,
    tenant: u32,
    weight: f64,
    floor: f64,
    ceiling: f64,
    previous: f64,
    bounds: (f64, f64),
    emergency: bool,
    demand: Vec<f64>,
}

fn rows(steps: usize) -> impl Strategy<Value = Vec<Row>> {
    let floor = prop_oneof![Just(0.0), 0.0..5.0_f64];
    let ceiling = prop_oneof![3 => Just(UNBOUNDED), 1 => 0.5..8.0_f64];
    let previous = prop_oneof![1 => Just(-1.0), 1 => Just(0.0), 3 => 0.0..10.0_f64];
    let row = (
        tiers(),
        0..3_u32,
        0.2..5.0_f64,
        floor,
        ceiling,
        previous,
        (1.1..4.0_f64, 0.0..0.9_f64),
        proptest::bool::weighted(0.1),
        vec(0.0..10.0_f64, steps * D),
    );
    let made = row.prop_map(
        |(tier, tenant, weight, floor, ceiling, previous, bounds, emergency, demand)| Row {
            tier,
            tenant,
            weight,
            floor,
            ceiling,
            previous,
            bounds,
            emergency,
            demand,
        },
    );
    vec(made, 1..8)
}

prop_compose! {
    fn any_pool()(steps in 1_usize..4)(
        rows in rows(steps),
        capacity in vec(0.5..40.0_f64, D),
        quota in vec(prop_oneof![2 => Just(UNBOUNDED), 1 => 1.0..20.0_f64], 3 * D),
        max_share in vec(prop_oneof![2 => Just(1.0), 1 => 0.0..1.0_f64], 3),
        steps in Just(steps),
    ) -> AllocationInput {
        let each = |of: &dyn Fn(&Row) -> f64| -> Vec<f64> {
            rows.iter().flat_map(|r| vec![of(r); D]).collect()
        };
        AllocationInput {
            now: Timestamp(0),
            seed: 1,
            state: Blob::default(),
            grid: Grid { start: Timestamp(0), step: Step::MINUTE, count: steps },
            dimensions: vec![Dimension::Cpu, Dimension::Memory],
            capacity: (0..steps).flat_map(|_| capacity.clone()).collect(),
            capacity_max: capacity.iter().map(|c| 2.0 * c).collect(),
            apis: (0..rows.len() as u64).collect(),
            tiers: rows.iter().map(|r| r.tier).collect(),
            weights: rows.iter().map(|r| r.weight).collect(),
            tenants: rows.iter().map(|r| r.tenant).collect(),
            floor: each(&|r| r.floor),
            ceiling: each(&|r| r.ceiling),
            demand: rows.iter().flat_map(|r| r.demand.clone()).collect(),
            median: rows.iter().flat_map(|r| r.demand.clone()).collect(),
            expected: each(&|r| r.floor),
            usage: each(&|_| 1.0),
            previous_guaranteed: each(&|r| r.previous),
            previous_limit: each(&|r| r.previous),
            step_up: rows.iter().map(|r| r.bounds.0).collect(),
            step_down: rows.iter().map(|r| r.bounds.1).collect(),
            emergency: rows.iter().map(|r| r.emergency).collect(),
            quota,
            lends: rows.iter().map(|r| r.weight > 2.0).collect(),
            borrows: rows.iter().map(|r| r.floor > 2.0).collect(),
            max_share,
        }
    }
}

/// The pool without a past, quotas and step bounds: nothing but capacity decides. (Under a step bound
/// one api's growth in the first step is what another lacks in the second, so no rule is monotone.)
fn unbound(mut pool: AllocationInput) -> AllocationInput {
    pool.previous_limit.fill(-1.0);
    pool.quota.fill(UNBOUNDED);
    pool.step_up.fill(1e9);
    pool.step_down.fill(0.0);
    pool
}

fn solve(pool: &AllocationInput) -> Allocation {
    FloorsFirst
        .allocate("{}", pool)
        .expect("the engine's own rule always answers")
}

proptest! {
    #[test]
    fn al1_to_al5_hold_whatever_the_pool(pool in any_pool()) {
        // A shrunk pool lifts step bounds, as the cycle does.
        let mut pool = pool;
        for k in 0..D {
            let held: f64 = (0..pool.apis.len()).map(|a| pool.previous_limit[a * D + k].max(0.0)).sum();
            if held > pool.capacity[k] {
                pool.emergency.fill(true);
            }
        }
        let checked = check_allocation(&pool, &solve(&pool));
        prop_assert!(checked.is_ok(), "{:?}", checked);
    }

    #[test]
    fn solving_twice_changes_nothing(pool in any_pool()) {
        let first = solve(&pool);
        prop_assert_eq!(&first, &solve(&pool));
        let mut again = unbound(pool);
        let first = solve(&again);
        for api in 0..again.apis.len() {
            for k in 0..D {
                again.previous_limit[api * D + k] = first.limit[again.at(api, 0, k)];
            }
        }
        let second = solve(&again);
        for (a, b) in first.limit.iter().zip(&second.limit) {
            prop_assert!((a - b).abs() <= 1e-9 * a.max(1.0), "{} became {}", a, b);
        }
    }

    #[test]
    fn more_capacity_lowers_nobody(pool in any_pool(), more in 1.0..3.0_f64) {
        let pool = unbound(pool);
        let mut larger = pool.clone();
        larger.capacity.iter_mut().for_each(|c| *c *= more);
        let (small, large) = (solve(&pool), solve(&larger));
        for (low, high) in small.limit.iter().zip(&large.limit) {
            prop_assert!(*high >= low - 1e-9 * low.max(1.0), "{} fell to {}", low, high);
        }
    }

    #[test]
    fn more_weight_never_lowers_the_own_limit(pool in any_pool(), more in 1.0..5.0_f64) {
        let pool = unbound(pool);
        let mut heavier = pool.clone();
        heavier.weights[0] *= more;
        let (before, after) = (solve(&pool), solve(&heavier));
        for step in 0..pool.grid.count {
            for k in 0..D {
                let (low, high) = (before.limit[pool.at(0, step, k)], after.limit[pool.at(0, step, k)]);
                prop_assert!(high >= low - 1e-9 * low.max(1.0), "{} fell to {}", low, high);
            }
        }
    }

    #[test]
    fn units_do_not_matter(pool in any_pool(), power in -20..20_i32) {
        let unit = f64::from(2.0_f32).powi(power);
        let scale = |column: &[f64]| -> Vec<f64> {
            let is_number = |x: f64| (0.0..UNBOUNDED).contains(&x);
            column.iter().map(|&x| if is_number(x) { x * unit } else { x }).collect()
        };
        let mut scaled = pool.clone();
        for column in [
            &mut scaled.capacity, &mut scaled.capacity_max, &mut scaled.floor, &mut scaled.ceiling,
            &mut scaled.demand, &mut scaled.median, &mut scaled.expected, &mut scaled.usage,
            &mut scaled.previous_guaranteed, &mut scaled.previous_limit, &mut scaled.quota,
        ] {
            *column = scale(column);
        }
        let (plain, scaled) = (solve(&pool), solve(&scaled));
        for (a, b) in plain.limit.iter().zip(&scaled.limit) {
            prop_assert!((a * unit - b).abs() <= 1e-12 * b.abs(), "{} is not {} times {}", b, unit, a);
        }
    }

    #[test]
    fn ti1_a_tier_moves_one_level_per_dwell_time_within_its_bounds_and_never_when_pinned(
        start in tiers(), wishes in vec((tiers(), 0..40_i64), 1..40),
        (lowest, highest) in (tiers(), tiers()), pinned in proptest::option::of(tiers()), dwell_s in 1..120_u32,
    ) {
        let (lowest, highest) = (lowest.min(highest), lowest.max(highest));
        let bounds = TierBounds { lowest, highest, pinned, dwell_s };
        let mut state = TierState { tier: start, since: Timestamp(0) };
        let mut now = Timestamp(0);
        for (wanted, pause) in wishes {
            now = now.plus_ms(pause * 1000);
            let next = tier::apply(state, wanted, bounds, now);
            if let Some(pin) = pinned {
                prop_assert_eq!(next.tier, pin);
            } else if next.tier != state.tier {
                prop_assert!((next.tier as i64 - state.tier as i64).abs() == 1);
                prop_assert!(now.since_ms(state.since) >= i64::from(dwell_s) * 1000);
                prop_assert_eq!(next.since, now);
                let towards = next.tier.clamp(lowest, highest) == next.tier || state.tier.clamp(lowest, highest) != state.tier;
                prop_assert!(towards, "{:?} left its bounds for {:?}", state.tier, next.tier);
            } else {
                prop_assert_eq!(next.since, state.since);
            }
            state = next;
        }
    }

    #[test]
    fn pl1_only_the_next_generation_of_the_published_parent_may_follow(
        last in proptest::option::of(0..1000_u64), generation in 0..1003_u64, parent in 0..1003_u64,
    ) {
        let plan = Plan {
            pool: "edge".parse().unwrap(),
            generation: Generation(generation),
            parent: Generation(parent),
            made_at: Timestamp(0),
            grid: Grid { start: Timestamp(0), step: Step::MINUTE, count: 0 },
            expires_at: Timestamp(0),
            dimensions: vec![], capacity: vec![], wanted: vec![], apis: vec![], loans: vec![],
            served: Served { module: ModuleRef::native("test"), retreat: Retreat::Baseline },
            inputs: Digest([0; 32]),
        };
        let published = last.unwrap_or(0);
        let follows = parent == published && generation == published + 1;
        prop_assert_eq!(check_succession(&plan, last.map(Generation)).is_ok(), follows);
    }
}
