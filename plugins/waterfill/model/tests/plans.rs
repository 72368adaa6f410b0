//! What a waterfill plan promises, as stories and as properties.

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_fit::{Allocation, fit_with_loans};
use tidegate_model_waterfill::{Config, Dimension, Output, PoolColumns, Tier, allocate};

/// One dimension; per api its tier, floor and demand per step.
fn pool(capacity: &[f64], apis: &[(Tier, f64, &[f64])]) -> PoolColumns {
    let mut pool = PoolColumns::new(vec![Dimension::Cpu], capacity.to_vec());
    for (i, (tier, floor, demand)) in apis.iter().enumerate() {
        pool.push(*tier, &[*floor]);
        let s = pool.steps;
        pool.demand[i * s..].copy_from_slice(demand);
        pool.median[i * s..].copy_from_slice(demand);
    }
    pool
}

fn exact() -> Config {
    Config {
        hysteresis: 0.0,
        ..Config::default()
    }
}

fn near(got: &[f64], want: &[f64]) {
    let close = got
        .iter()
        .zip(want)
        .all(|(a, b)| (a - b).abs() < 1e-9 * b.abs().max(1.0));
    assert!(got.len() == want.len() && close, "{got:?} for {want:?}");
}

#[test]
fn gold_is_served_before_silver_and_silver_before_bronze() {
    let apis: [(Tier, f64, &[f64]); 3] = [
        (Tier::Bronze, 0.0, &[5.0]),
        (Tier::Silver, 0.0, &[5.0]),
        (Tier::Gold, 2.0, &[5.0]),
    ];
    near(
        &allocate(&exact(), &pool(&[8.0], &apis))
            .unwrap()
            .allocation
            .limit,
        &[0.0, 3.0, 5.0],
    );
}

#[test]
fn a_tier_holds_no_more_than_its_share_whatever_others_leave() {
    let apis: [(Tier, f64, &[f64]); 2] = [(Tier::Silver, 0.0, &[8.0]), (Tier::Bronze, 0.0, &[1.0])];
    let mut silver = pool(&[10.0], &apis);
    silver.max_share = vec![1.0, 0.3, 1.0];
    let limit = allocate(&exact(), &silver).unwrap().allocation.limit;
    near(&limit[..1], &[3.0]);
    // A Gold floor is held beyond a share of nothing.
    let floor: [(Tier, f64, &[f64]); 1] = [(Tier::Gold, 2.0, &[8.0])];
    let mut none = pool(&[10.0], &floor);
    none.max_share = vec![0.0; 3];
    let limit = allocate(&exact(), &none).unwrap().allocation.limit;
    near(&limit, &[2.0]);
}

#[test]
fn within_a_tier_the_small_are_satisfied_and_weights_divide_the_rest() {
    let apis: [(Tier, f64, &[f64]); 3] = [
        (Tier::Silver, 0.0, &[1.0]),
        (Tier::Silver, 0.0, &[9.0]),
        (Tier::Silver, 0.0, &[9.0]),
    ];
    let mut pool = pool(&[10.0], &apis);
    pool.weights[1] = 2.0;
    near(
        &allocate(&exact(), &pool).unwrap().allocation.limit,
        &[1.0, 6.0, 3.0],
    );
}

#[test]
fn what_is_left_becomes_headroom_by_weight_but_no_more_than_can_be_given_back() {
    let apis: [(Tier, f64, &[f64]); 2] = [(Tier::Silver, 0.0, &[2.0]), (Tier::Silver, 0.0, &[2.0])];
    let mut pool = pool(&[20.0], &apis);
    (pool.weights[1], pool.step_down[1]) = (3.0, 0.5);
    near(
        &allocate(&exact(), &pool).unwrap().allocation.limit,
        &[16.0, 4.0],
    );
}

#[test]
fn a_grant_rises_before_the_peak_and_earlier_when_its_step_bounds_are_narrow() {
    let demand: &[f64] = &[1.0, 1.0, 1.0, 1.0, 8.0, 1.0];
    let rival: &[f64] = &[100.0; 6];
    let mut pool = pool(
        &[10.0; 6],
        &[(Tier::Gold, 0.0, demand), (Tier::Silver, 0.0, rival)],
    );
    pool.previous_limit = vec![1.0, 9.0];
    let config = Config {
        lead_steps: 1,
        ..exact()
    };
    let plan = allocate(&config, &pool).unwrap();
    near(
        &plan.allocation.guaranteed[..6],
        &[1.0, 1.0, 1.0, 8.0, 8.0, 1.0],
    );
    pool.step_up[0] = 2.0;
    let plan = allocate(&config, &pool).unwrap();
    near(
        &plan.allocation.guaranteed[..6],
        &[1.0, 2.0, 4.0, 8.0, 8.0, 1.0],
    );
}

#[test]
fn an_idle_gold_floor_is_lent_with_amount_and_expiry_and_comes_back() {
    let apis: [(Tier, f64, &[f64]); 2] = [
        (Tier::Gold, 6.0, &[1.0, 6.0, 6.0]),
        (Tier::Bronze, 0.0, &[9.0, 9.0, 9.0]),
    ];
    let mut pool = pool(&[10.0; 3], &apis);
    let config = Config {
        loan_reserve: 0.1,
        ..exact()
    };
    let plan = allocate(&config, &pool).unwrap();
    let [loan] = plan.loans[..] else {
        panic!("one loan, not {:?}", plan.loans)
    };
    assert_eq!(
        (loan.lender, loan.borrower, loan.from_step, loan.until_step),
        (0, 1, 0, 1)
    );
    near(&[loan.amount], &[4.9]);
    near(&plan.allocation.limit, &[1.1, 6.0, 6.0, 8.9, 4.0, 4.0]);
    near(&plan.allocation.guaranteed[..3], &[6.0, 6.0, 6.0]);
    assert!(
        plan.reasons[0].contains("lends unused guarantee from step 0"),
        "{}",
        plan.reasons[0]
    );
    assert!(
        plan.reasons[1].contains("borrows from step 0"),
        "{}",
        plan.reasons[1]
    );
    // What runs right now is not lent away, whatever was forecast.
    pool.usage[0] = 6.0;
    assert!(allocate(&config, &pool).unwrap().loans.is_empty());
}

#[test]
fn a_loan_never_exceeds_what_the_borrower_can_give_back_in_one_step() {
    let apis: [(Tier, f64, &[f64]); 2] = [(Tier::Gold, 6.0, &[1.0]), (Tier::Silver, 0.0, &[20.0])];
    let mut pool = pool(&[8.0], &apis);
    pool.step_down[1] = 0.8;
    let plan = allocate(&exact(), &pool).unwrap();
    near(&[plan.loans[0].amount], &[0.5]); // 2 / 0.8 - 2
}

#[test]
fn a_borrower_stays_within_its_tenants_quota() {
    let apis: [(Tier, f64, &[f64]); 2] = [(Tier::Gold, 6.0, &[1.0]), (Tier::Silver, 0.0, &[20.0])];
    let mut pool = pool(&[8.0], &apis);
    pool.tenants[1] = 1;
    pool.quota = vec![f64::MAX, 3.0];
    near(
        &allocate(&exact(), &pool).unwrap().allocation.limit,
        &[5.0, 3.0],
    );
}

#[test]
fn small_changes_of_demand_move_no_limit() {
    let mut quiet = pool(
        &[20.0],
        &[(Tier::Silver, 0.0, &[4.0]), (Tier::Bronze, 0.0, &[4.0])],
    );
    quiet.step_down = vec![0.5; 2];
    let first = allocate(&Config::default(), &quiet).unwrap();
    quiet.previous_limit = first.allocation.limit.clone();
    quiet.demand = vec![4.1, 3.9];
    assert_eq!(
        allocate(&Config::default(), &quiet)
            .unwrap()
            .allocation
            .limit,
        first.allocation.limit
    );
    assert_ne!(
        allocate(&exact(), &quiet).unwrap().allocation.limit,
        first.allocation.limit
    );
    quiet.demand = vec![6.0, 3.9];
    assert_ne!(
        allocate(&Config::default(), &quiet)
            .unwrap()
            .allocation
            .limit,
        first.allocation.limit
    );
}

#[test]
fn wanted_capacity_is_demand_and_margin_within_what_the_pool_can_grow_to() {
    let apis: [(Tier, f64, &[f64]); 2] = [
        (Tier::Gold, 6.0, &[1.0, 10.0]),
        (Tier::Bronze, 0.0, &[4.0, 90.0]),
    ];
    let mut pool = pool(&[8.0; 2], &apis);
    pool.capacity_max = vec![50.0];
    near(&allocate(&exact(), &pool).unwrap().wanted, &[10.0, 50.0]);
    let config = Config {
        margin: 0.1,
        ..exact()
    };
    near(&allocate(&config, &pool).unwrap().wanted, &[11.0, 50.0]);
}

#[derive(Debug, Clone)]
struct Api(Tier, u32, f64, Vec<f64>, (f64, f64, f64, f64));

fn apis(steps: usize) -> impl Strategy<Value = Vec<Api>> {
    let tier = prop_oneof![Just(Tier::Gold), Just(Tier::Silver), Just(Tier::Bronze)];
    let floor = prop_oneof![Just(0.0), 0.0..6.0f64];
    let previous = prop_oneof![1 => Just(-1.0), 3 => 0.0..12.0f64];
    let bounds = (previous, 1.1..4.0f64, 0.0..0.9f64, 0.2..5.0f64);
    vec(
        (tier, 0u32..3, floor, vec(0.0..12.0f64, steps * 2), bounds)
            .prop_map(|(t, tenant, f, demand, bounds)| Api(t, tenant, f, demand, bounds)),
        1..9,
    )
}

prop_compose! {
    fn any_pool()(steps in 1usize..5)(
        apis in apis(steps),
        capacity in vec(prop_oneof![0.0..5.0f64, 0.0..80.0f64], steps * 2),
        quota in vec(prop_oneof![2 => Just(f64::MAX), 1 => 0.0..25.0f64], 6),
    ) -> PoolColumns {
        let mut pool = PoolColumns::new(vec![Dimension::Cpu, Dimension::Requests], capacity);
        for (i, Api(tier, tenant, floor, demand, (previous, up, down, weight))) in apis.iter().enumerate() {
            pool.push(*tier, &[*floor, floor * 0.5]);
            pool.tenants[i] = *tenant;
            pool.demand[i * demand.len()..].copy_from_slice(demand);
            let half: Vec<f64> = demand.iter().map(|d| d * 0.5).collect();
            pool.median[i * demand.len()..].copy_from_slice(&half);
            pool.previous_limit[2 * i..].copy_from_slice(&[*previous, *previous]);
            (pool.step_up[i], pool.step_down[i], pool.weights[i]) = (*up, *down, *weight);
        }
        pool.quota = quota;
        pool
    }
}

/// All apis new and free of step bounds: what the rule alone says.
fn unbound(mut pool: PoolColumns) -> PoolColumns {
    pool.previous_limit.iter_mut().for_each(|v| *v = -1.0);
    pool.step_up.iter_mut().for_each(|v| *v = f64::MAX);
    pool.step_down.iter_mut().for_each(|v| *v = 0.0);
    pool
}

fn lent(pool: &PoolColumns, plan: &Output) -> Vec<f64> {
    let mut lent = vec![0.0; plan.allocation.limit.len()];
    for loan in &plan.loans {
        lent[pool.cell(
            loan.lender as usize,
            loan.from_step as usize,
            loan.dimension as usize,
        )] += loan.amount;
    }
    lent
}

/// One of a thing for each tier, lowest first.
fn any_of<T: std::fmt::Debug>(
    one: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = [T; 3]> {
    [one.clone(), one.clone(), one]
}

/// The pool, with tiers that share so.
fn sharing(
    mut pool: PoolColumns,
    lends: [bool; 3],
    borrows: [bool; 3],
    share: [f64; 3],
) -> PoolColumns {
    let of = |which: [bool; 3]| -> Vec<u8> {
        let each = pool.tiers.iter();
        each.map(|&tier| u8::from(which[tier as usize])).collect()
    };
    (pool.lends, pool.borrows) = (of(lends), of(borrows));
    pool.max_share = share.map(|part| part.min(1.0)).to_vec();
    pool
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_plan_is_lawful_so_that_fitting_it_again_changes_no_bit(pool in any_pool()) {
        let plan = allocate(&Config::default(), &pool).unwrap();
        let mut again = plan.allocation.clone();
        fit_with_loans(&pool, &mut again, &lent(&pool, &plan)).unwrap();
        prop_assert_eq!(&again, &plan.allocation);
    }

    #[test]
    fn the_last_fit_only_trims_bits_so_that_loans_are_what_they_say(pool in any_pool()) {
        // The borrower's limit holds what it borrowed; the lender's guarantee is whole with what
        // it lent; nobody lends and borrows the same thing.
        let plan = allocate(&Config::default(), &pool).unwrap();
        let out = lent(&pool, &plan);
        for loan in &plan.loans {
            let (s, k) = (loan.from_step as usize, loan.dimension as usize);
            let (from, to) = (pool.cell(loan.lender as usize, s, k), pool.cell(loan.borrower as usize, s, k));
            prop_assert!(loan.amount > 0.0 && loan.until_step == loan.from_step + 1);
            prop_assert!(plan.allocation.limit[to] >= loan.amount * (1.0 - 1e-9));
            prop_assert!(out[to] <= 0.0);
            let whole = plan.allocation.limit[from] + out[from];
            prop_assert!(plan.allocation.guaranteed[from] <= whole);
            prop_assert!(out[from] <= plan.allocation.guaranteed[from] * (1.0 + 1e-9));
        }
    }

    #[test]
    fn al5_every_loan_can_be_undone_within_the_step_bounds(pool in any_pool()) {
        let plan = allocate(&Config::default(), &pool).unwrap();
        let out = lent(&pool, &plan);
        for loan in &plan.loans {
            let (s, k) = (loan.from_step as usize, loan.dimension as usize);
            let (lender, borrower) = (loan.lender as usize, loan.borrower as usize);
            let (from, to) = (pool.cell(lender, s, k), pool.cell(borrower, s, k));
            let got: f64 = plan.loans.iter().filter(|l| l.borrower == loan.borrower && l.from_step == loan.from_step && l.dimension == loan.dimension).map(|l| l.amount).sum();
            let low = plan.allocation.limit[to] * pool.step_down[borrower];
            prop_assert!(low <= (plan.allocation.limit[to] - got) * (1.0 + 1e-9) + 1e-9);
            let at_once = if pool.tiers[lender] == Tier::Gold { pool.floor[lender * 2 + k] } else { 0.0 };
            let high = (plan.allocation.limit[from] * pool.step_up[lender]).max(at_once);
            prop_assert!(high >= (plan.allocation.limit[from] + out[from]) * (1.0 - 1e-9));
        }
    }

    #[test]
    fn nobody_lends_or_borrows_whose_tier_may_not(
        pool in any_pool(),
        lends in any_of(prop::bool::ANY),
        borrows in any_of(prop::bool::ANY),
        max_share in any_of(0.0..1.2f64),
    ) {
        let pool = sharing(pool, lends, borrows, max_share);
        let plan = allocate(&Config::default(), &pool).unwrap();
        for loan in &plan.loans {
            prop_assert!(lends[pool.tiers[loan.lender as usize] as usize]);
            prop_assert!(borrows[pool.tiers[loan.borrower as usize] as usize]);
        }
        // And within its share by itself: the last fit finds nothing to cut.
        let mut again = plan.allocation.clone();
        fit_with_loans(&pool, &mut again, &lent(&pool, &plan)).unwrap();
        prop_assert_eq!(&again, &plan.allocation);
    }

    #[test]
    fn a_tier_holds_its_share_at_most_or_its_gold_floors(
        pool in any_pool(),
        max_share in any_of(0.0..1.0f64),
        lend in prop::bool::ANY,
    ) {
        let pool = sharing(unbound(pool), [true; 3], [true; 3], max_share);
        let config = Config { lend, ..Config::default() };
        let plan = allocate(&config, &pool).unwrap();
        let d = pool.width();
        for (step, k) in (0..pool.steps).flat_map(|s| (0..d).map(move |k| (s, k))) {
            for tier in [Tier::Gold, Tier::Silver, Tier::Bronze] {
                let own: Vec<usize> = (0..pool.len()).filter(|&i| pool.tiers[i] == tier).collect();
                let held: f64 = own.iter().map(|&i| plan.allocation.limit[pool.cell(i, step, k)]).sum();
                let share = pool.share_of(tier) * pool.capacity[step * d + k];
                let floors: f64 = match tier {
                    Tier::Gold => own.iter().map(|&i| pool.floor[i * d + k].min(pool.ceiling[i * d + k])).sum(),
                    Tier::Silver | Tier::Bronze => 0.0,
                };
                prop_assert!(held <= share.max(floors) * (1.0 + 1e-9) + 1e-9, "{held} of {share}, {floors} due");
            }
        }
    }

    #[test]
    fn solving_twice_changes_nothing(pool in any_pool()) {
        let mut pool = unbound(pool);
        let first = allocate(&Config::default(), &pool).unwrap();
        for api in 0..pool.len() {
            for k in 0..2 {
                pool.previous_limit[api * 2 + k] = first.allocation.limit[pool.cell(api, 0, k)];
            }
        }
        let second = allocate(&Config::default(), &pool).unwrap();
        for (a, b) in first.allocation.limit.iter().zip(&second.allocation.limit) {
            prop_assert!((a - b).abs() <= 1e-9 * a.max(1.0), "{a} became {b}");
        }
    }

    #[test]
    fn more_capacity_lowers_nobody(pool in any_pool(), more in 1.0..3.0f64) {
        let pool = unbound(pool);
        let mut larger = pool.clone();
        larger.capacity.iter_mut().for_each(|c| *c *= more);
        let config = Config { lend: false, ..exact() };
        let (a, b) = (allocate(&config, &pool).unwrap().allocation, allocate(&config, &larger).unwrap().allocation);
        for (low, high) in a.limit.iter().zip(&b.limit).chain(a.guaranteed.iter().zip(&b.guaranteed)) {
            prop_assert!(*high >= low - 1e-9 * low.max(1.0), "{low} fell to {high}");
        }
    }

    #[test]
    fn more_weight_never_lowers_the_own_limit(pool in any_pool(), more in 1.0..5.0f64) {
        let pool = unbound(pool);
        let mut heavier = pool.clone();
        heavier.weights[0] *= more;
        let config = Config { lend: false, ..exact() };
        let (a, b) = (allocate(&config, &pool).unwrap().allocation, allocate(&config, &heavier).unwrap().allocation);
        for cell in 0..pool.steps * 2 {
            prop_assert!(b.limit[cell] >= a.limit[cell] - 1e-9 * a.limit[cell].max(1.0));
        }
    }

    #[test]
    fn no_lower_tier_gets_demand_while_a_higher_one_lacks(pool in any_pool()) {
        let mut pool = unbound(pool);
        pool.quota = vec![f64::MAX; 6];
        let Output { allocation: Allocation { limit, .. }, .. } =
            allocate(&Config { lend: false, ..exact() }, &pool).unwrap();
        for step in 0..pool.steps {
            for k in 0..2 {
                for (high, low) in (0..pool.len()).flat_map(|i| (0..pool.len()).map(move |j| (i, j))) {
                    let (h, l) = (pool.cell(high, step, k), pool.cell(low, step, k));
                    if pool.tiers[high] > pool.tiers[low] && limit[h] < pool.demand[h] * (1.0 - 1e-9) {
                        prop_assert!(limit[l] <= 1e-9, "{} while {} of {}", limit[l], limit[h], pool.demand[h]);
                    }
                }
            }
        }
    }
}

#[test]
fn an_idle_api_keeps_headroom_up_to_its_ordinary_load() {
    let mut pool = pool(
        &[20.0],
        &[(Tier::Bronze, 0.0, &[0.0]), (Tier::Silver, 0.0, &[4.0])],
    );
    pool.step_down = vec![0.5; 2];
    pool.expected = vec![3.0, 4.0];
    near(
        &allocate(&exact(), &pool).unwrap().allocation.limit,
        &[3.0, 8.0],
    );
}
