//! The invariants AL1 to AL4 and the shape of `fit_to_pool`, on random pools.

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_fit::{
    Allocation, Dimension, Level, PoolColumns, Scope, Tier, UNBOUNDED, fit_to_pool, step_ceiling,
    step_floor,
};

fn amount() -> impl Strategy<Value = f64> {
    prop_oneof![2 => Just(0.0), 8 => 0.0..20.0f64, 1 => 1e-9..1e-6f64, 1 => 1e6..1e12f64, 2 => (1u32..40).prop_map(|k| f64::from(k) * 0.1)]
}

fn bound() -> impl Strategy<Value = f64> {
    prop_oneof![2 => Just(UNBOUNDED), 3 => amount()]
}

#[derive(Debug, Clone)]
struct Api {
    tier: Tier,
    tenant: u32,
    floor: Vec<f64>,
    ceiling: Vec<f64>,
    previous: Vec<f64>,
    up: f64,
    down: f64,
    emergency: bool,
    guaranteed: Vec<f64>,
    limit: Vec<f64>,
}

fn api(steps: usize, d: usize) -> impl Strategy<Value = Api> {
    let tier = prop_oneof![Just(Tier::Gold), Just(Tier::Silver), Just(Tier::Bronze)];
    let previous = prop_oneof![1 => Just(-1.0), 4 => amount()];
    (
        (
            tier,
            0u32..3,
            vec(amount(), d),
            vec(bound(), d),
            vec(previous, d),
        ),
        (1.0..4.0f64, 0.0..=1.0f64, prop::bool::weighted(0.1)),
        (vec(bound(), steps * d), vec(bound(), steps * d)),
    )
        .prop_map(
            |((tier, tenant, floor, ceiling, previous), (up, down, emergency), wish)| Api {
                tier,
                tenant,
                floor,
                ceiling,
                previous,
                up,
                down,
                emergency,
                guaranteed: wish.0,
                limit: wish.1,
            },
        )
}

prop_compose! {
    fn shape()(n in 0usize..9, steps in 1usize..4, d in 1usize..4) -> (usize, usize, usize) { (n, steps, d) }
}

fn case() -> impl Strategy<Value = (PoolColumns, Allocation)> {
    shape().prop_flat_map(|(n, steps, d)| {
        (
            vec(api(steps, d), n),
            vec(amount(), steps * d),
            vec(bound(), 3 * d),
            vec(prop_oneof![2 => Just(1.0), 1 => 0.0..1.0f64], 3),
        )
            .prop_map(move |(apis, capacity, quota, max_share)| {
                let all = [Dimension::Cpu, Dimension::Memory, Dimension::Requests];
                let mut pool = PoolColumns::new(all[..d].to_vec(), capacity);
                let mut wish = Allocation::default();
                for (i, a) in apis.iter().enumerate() {
                    pool.push(a.tier, &a.floor);
                    pool.tenants[i] = a.tenant;
                    pool.ceiling[i * d..].copy_from_slice(&a.ceiling);
                    pool.previous_limit[i * d..].copy_from_slice(&a.previous);
                    pool.step_up[i] = a.up;
                    pool.step_down[i] = a.down;
                    pool.emergency[i] = u8::from(a.emergency);
                    wish.guaranteed.extend(&a.guaranteed);
                    wish.limit.extend(&a.limit);
                }
                pool.quota = quota;
                pool.max_share = max_share;
                (pool, wish)
            })
    })
}

fn limits(pool: &PoolColumns, plan: &Allocation, step: usize, k: usize) -> Vec<f64> {
    (0..pool.len())
        .map(|api| plan.limit[pool.cell(api, step, k)])
        .collect()
}

fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |a, b| a + b)
}

/// The limit of the step before: in force at step 0.
fn before(pool: &PoolColumns, plan: &Allocation, api: usize, step: usize, k: usize) -> f64 {
    match step {
        0 => pool.previous_limit[api * pool.width() + k],
        _ => plan.limit[pool.cell(api, step - 1, k)],
    }
}

fn scaled(values: &[f64], factor: f64) -> Vec<f64> {
    values
        .iter()
        .map(|&v| {
            if v == UNBOUNDED || v < 0.0 {
                v
            } else {
                v * factor
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn al1_and_al4_hold_exactly_in_the_sum_that_a_checker_computes((pool, mut plan) in case()) {
        fit_to_pool(&pool, &mut plan).unwrap();
        let d = pool.width();
        for step in 0..pool.steps {
            for k in 0..d {
                let row = limits(&pool, &plan, step, k);
                prop_assert!(sum(row.iter().copied()) <= pool.capacity[step * d + k]);
                for tenant in 0..3 {
                    let own = (0..pool.len()).filter(|&i| pool.tenants[i] as usize == tenant);
                    prop_assert!(sum(own.map(|i| row[i])) <= pool.quota[tenant * d + k]);
                }
                for (api, &limit) in row.iter().enumerate() {
                    prop_assert!(limit <= pool.ceiling[api * d + k]);
                    prop_assert!((0.0..=limit).contains(&plan.guaranteed[pool.cell(api, step, k)]));
                }
            }
        }
    }

    #[test]
    fn a_tier_holds_no_more_than_its_share_but_for_what_is_due_to_it((pool, mut plan) in case()) {
        let report = fit_to_pool(&pool, &mut plan).unwrap();
        let d = pool.width();
        for (step, k) in (0..pool.steps).flat_map(|s| (0..d).map(move |k| (s, k))) {
            let row = limits(&pool, &plan, step, k);
            for (tier, own) in pool.bounded_tiers() {
                let due = sum(own.iter().map(|&i| {
                    let floor = if tier == Tier::Gold { pool.floor[i * d + k] } else { 0.0 };
                    let was = before(&pool, &plan, i, step, k);
                    step_floor(&pool, i, was).max(floor).min(pool.ceiling[i * d + k])
                }));
                let share = pool.share_of(tier) * pool.capacity[step * d + k];
                prop_assert!(sum(own.iter().map(|&i| row[i])) <= share.max(due));
            }
            // What is due is not cut for a share.
            let cut = report.cuts.iter().filter(|c| (c.step, c.dimension) == (step, k));
            let mut by_share = cut.filter(|c| matches!(c.scope, Scope::Tier(_)));
            prop_assert!(by_share.all(|c| c.level == Level::Wishes));
        }
    }

    #[test]
    fn al2_gold_floors_are_whole_unless_the_report_names_who_cut_them((pool, mut plan) in case()) {
        let report = fit_to_pool(&pool, &mut plan).unwrap();
        let d = pool.width();
        for step in 0..pool.steps {
            for k in 0..d {
                let floors_cut = |scope: Scope| report.cuts.iter().any(|c| {
                    (c.step, c.dimension, c.scope, c.level) == (step, k, scope, Level::GoldFloors)
                });
                let owed = |i: usize| if pool.tiers[i] == Tier::Gold {
                    pool.floor[i * d + k].min(pool.ceiling[i * d + k])
                } else { 0.0 };
                let row = limits(&pool, &plan, step, k);
                for (i, &limit) in row.iter().enumerate() {
                    let excused = floors_cut(Scope::Pool) || floors_cut(Scope::Tenant(pool.tenants[i]));
                    prop_assert!(limit >= owed(i) || excused);
                    // Where the pool cannot even carry the Gold floors, nobody else gets anything.
                    prop_assert!(!floors_cut(Scope::Pool) || limit <= owed(i));
                }
                // And the report tells the truth: floors that fit are never said to be cut.
                let fits = sum((0..row.len()).map(owed)) <= pool.capacity[step * d + k];
                prop_assert!(!(fits && floors_cut(Scope::Pool)));
            }
        }
    }

    #[test]
    fn al3_steps_stay_in_bounds_unless_a_stronger_rule_forbids((pool, mut plan) in case()) {
        let report = fit_to_pool(&pool, &mut plan).unwrap();
        let d = pool.width();
        for step in 0..pool.steps {
            for k in 0..d {
                for i in 0..pool.len() {
                    let limit = plan.limit[pool.cell(i, step, k)];
                    let was = before(&pool, &plan, i, step, k);
                    let floor = pool.floor[i * d + k];
                    let owed = if pool.tiers[i] == Tier::Gold { floor } else { 0.0 };
                    prop_assert!(limit <= step_ceiling(&pool, i, k, was).max(owed));
                    let excused = report.cuts.iter().any(|c| (c.step, c.dimension) == (step, k)
                        && c.level <= Level::StepBounds
                        && (c.scope == Scope::Pool || c.scope == Scope::Tenant(pool.tenants[i])));
                    let least = step_floor(&pool, i, was).min(pool.ceiling[i * d + k]);
                    prop_assert!(limit >= least || excused);
                }
            }
        }
    }

    #[test]
    fn fitting_twice_changes_no_bit((pool, mut plan) in case()) {
        fit_to_pool(&pool, &mut plan).unwrap();
        let once = plan.clone();
        fit_to_pool(&pool, &mut plan).unwrap();
        prop_assert_eq!(once, plan);
    }

    #[test]
    fn more_capacity_in_the_last_step_lowers_nobody((pool, plan) in case(), more in 1.0..3.0f64) {
        let (mut low, mut high, mut larger) = (plan.clone(), plan, pool.clone());
        let last = (pool.steps - 1) * pool.width();
        larger.capacity[last..].iter_mut().for_each(|c| *c *= more);
        fit_to_pool(&pool, &mut low).unwrap();
        fit_to_pool(&larger, &mut high).unwrap();
        for (a, b) in low.limit.iter().zip(&high.limit).chain(low.guaranteed.iter().zip(&high.guaranteed)) {
            prop_assert!(*b >= a * (1.0 - 1e-9), "{} fell to {}", a, b);
        }
    }

    #[test]
    fn the_unit_of_measure_does_not_matter((pool, plan) in case(), exponent in -30i32..30) {
        // Powers of two scale floats without rounding, so the results must agree to the bit.
        let factor = (0..exponent.abs()).fold(1.0, |f, _| if exponent > 0 { f * 2.0 } else { f / 2.0 });
        let mut other = pool.clone();
        for column in [&mut other.capacity, &mut other.floor, &mut other.ceiling, &mut other.previous_limit, &mut other.quota] {
            *column = scaled(column, factor);
        }
        let mut wish = Allocation { guaranteed: scaled(&plan.guaranteed, factor), limit: scaled(&plan.limit, factor) };
        let mut plan = plan;
        fit_to_pool(&pool, &mut plan).unwrap();
        fit_to_pool(&other, &mut wish).unwrap();
        prop_assert_eq!(scaled(&plan.limit, factor), wish.limit);
        prop_assert_eq!(scaled(&plan.guaranteed, factor), wish.guaranteed);
    }
}

#[test]
fn a_wish_in_proportion_stays_in_proportion() {
    let mut pool = PoolColumns::new(vec![Dimension::Requests], vec![90.0]);
    (0..3).for_each(|_| pool.push(Tier::Silver, &[]));
    let mut plan = Allocation {
        guaranteed: vec![0.0; 3],
        limit: vec![100.0, 200.0, 300.0],
    };
    fit_to_pool(&pool, &mut plan).unwrap();
    for (got, want) in plan.limit.iter().zip([15.0, 30.0, 45.0]) {
        assert!((got - want).abs() < 1e-9, "{got} for {want}");
    }
}

#[test]
fn gold_floors_that_do_not_fit_are_cut_in_proportion_and_said_so() {
    let mut pool = PoolColumns::new(vec![Dimension::Cpu], vec![6.0]);
    pool.push(Tier::Gold, &[8.0]);
    pool.push(Tier::Gold, &[4.0]);
    pool.push(Tier::Bronze, &[0.0]);
    let mut plan = Allocation {
        guaranteed: vec![0.0; 3],
        limit: vec![9.0; 3],
    };
    let report = fit_to_pool(&pool, &mut plan).unwrap();
    assert!(report.gold_floors_cut());
    assert!((plan.limit[0] - 4.0).abs() < 1e-9 && (plan.limit[1] - 2.0).abs() < 1e-9);
    assert_eq!((plan.limit[2], plan.guaranteed[0]), (0.0, plan.limit[0]));
}

#[test]
fn a_wish_with_a_nan_is_refused_by_name_and_place() {
    let mut pool = PoolColumns::new(vec![Dimension::Cpu], vec![6.0]);
    pool.push(Tier::Gold, &[1.0]);
    let mut plan = Allocation {
        guaranteed: vec![0.0],
        limit: vec![f64::NAN],
    };
    let error = fit_to_pool(&pool, &mut plan).unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid input: limit[0] is NaN, but every value must be >= 0"
    );
}
