//! The one-line rule, and what is left of it when the pool is too small.

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_model_proportional::{
    BaseShare, Config, Dimension, PoolColumns, Predicted, Tier, allocate,
};

fn absolute(gold: f64, silver: f64, bronze: f64) -> Config {
    let mut config = Config::default();
    config.base.insert(
        "cpu".into(),
        BaseShare {
            gold,
            silver,
            bronze,
        },
    );
    config
}

fn pool(capacity: f64, apis: &[(Tier, f64, f64)]) -> PoolColumns {
    let mut pool = PoolColumns::new(vec![Dimension::Cpu], vec![capacity]);
    for (i, &(tier, predicted, expected)) in apis.iter().enumerate() {
        pool.push(tier, &[]);
        (pool.median[i], pool.demand[i], pool.expected[i]) = (predicted, 2.0 * predicted, expected);
    }
    pool
}

#[test]
fn a_share_is_exactly_base_times_predicted_over_expected() {
    let pool = pool(
        1e6,
        &[
            (Tier::Gold, 30.0, 10.0),
            (Tier::Silver, 5.0, 10.0),
            (Tier::Bronze, 7.0, 7.0),
        ],
    );
    let out = allocate(&absolute(4.0, 2.0, 1.0), &pool).unwrap();
    assert_eq!(out.allocation.limit, [12.0, 1.0, 1.0]);
    let quantile = Config {
        predicted: Predicted::Quantile,
        ..absolute(4.0, 2.0, 1.0)
    };
    assert_eq!(
        allocate(&quantile, &pool).unwrap().allocation.limit,
        [24.0, 2.0, 2.0]
    );
}

#[test]
fn without_a_base_each_tier_divides_its_part_of_the_pool_by_weight() {
    let mut pool = pool(
        100.0,
        &[
            (Tier::Gold, 1.0, 1.0),
            (Tier::Gold, 1.0, 1.0),
            (Tier::Bronze, 1.0, 1.0),
        ],
    );
    pool.weights[0] = 4.0;
    assert_eq!(
        allocate(&Config::default(), &pool)
            .unwrap()
            .allocation
            .limit,
        [40.0, 10.0, 20.0]
    );
}

#[test]
fn shares_that_do_not_fit_are_cut_in_proportion_and_the_reason_says_so() {
    let pool = pool(
        8.0,
        &[(Tier::Silver, 30.0, 10.0), (Tier::Silver, 10.0, 10.0)],
    );
    let out = allocate(&absolute(1.0, 4.0, 1.0), &pool).unwrap();
    let limit = &out.allocation.limit;
    assert!(
        (limit[0] - 6.0).abs() < 1e-9 && (limit[1] - 2.0).abs() < 1e-9,
        "{limit:?}"
    );
    assert!(
        out.reasons[0].contains("3.00 times the expected at step 0"),
        "{}",
        out.reasons[0]
    );
    assert!(
        out.reasons[0].contains("cut to 6.0000"),
        "{}",
        out.reasons[0]
    );
}

#[test]
fn an_api_without_expected_load_gets_its_base() {
    let out = allocate(
        &absolute(4.0, 2.0, 1.0),
        &pool(10.0, &[(Tier::Gold, 9.0, 0.0)]),
    )
    .unwrap();
    assert_eq!(out.allocation.limit, [4.0]);
}

#[test]
fn wanted_capacity_follows_demand_and_not_the_shares() {
    let mut pool = pool(
        10.0,
        &[(Tier::Gold, 30.0, 10.0), (Tier::Bronze, 10.0, 10.0)],
    );
    pool.capacity_max = vec![1000.0];
    let out = allocate(&Config::default(), &pool).unwrap();
    assert!((out.wanted[0] - 88.0).abs() < 1e-9, "{:?}", out.wanted);
}

proptest! {
    #[test]
    fn scaling_predicted_and_expected_alike_changes_no_share(
        loads in vec((0.1..100.0f64, 0.1..100.0f64), 1..8), capacity in 1.0..1e4f64
    ) {
        let apis: Vec<_> = loads.iter().map(|&(p, e)| (Tier::Silver, p, e)).collect();
        let more: Vec<_> = loads.iter().map(|&(p, e)| (Tier::Silver, 4.0 * p, 4.0 * e)).collect();
        let a = allocate(&Config::default(), &pool(capacity, &apis)).unwrap();
        let b = allocate(&Config::default(), &pool(capacity, &more)).unwrap();
        prop_assert_eq!(a.allocation, b.allocation);
    }

    #[test]
    fn a_higher_prediction_never_lowers_the_own_share(
        loads in vec((0.1..100.0f64, 0.1..100.0f64), 1..8), capacity in 1.0..1e4f64, more in 1.0..9.0f64
    ) {
        let mut apis: Vec<_> = loads.iter().map(|&(p, e)| (Tier::Silver, p, e)).collect();
        let a = allocate(&absolute(1.0, 50.0, 1.0), &pool(capacity, &apis)).unwrap();
        apis[0].1 *= more;
        let b = allocate(&absolute(1.0, 50.0, 1.0), &pool(capacity, &apis)).unwrap();
        prop_assert!(b.allocation.limit[0] >= a.allocation.limit[0] * (1.0 - 1e-9));
        prop_assert!(b.allocation.limit.iter().sum::<f64>() <= capacity * (1.0 + 1e-12));
    }
}
