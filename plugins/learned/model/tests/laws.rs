//! What holds for any pool and any state of mind: lawful plans, the same plan for the same question,
//! states that survive their bytes, and bytes that never panic.

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_fit::fit_with_loans;
use tidegate_model_learned::{
    Config, Dimension, HEADROOMS, Moment, Output, PoolColumns, State, Tier, allocate,
};

const STEP: u32 = 60;

fn moment(step: usize) -> Moment {
    Moment {
        start: 1_700_000_040_000 + i64::from(STEP) * 1000 * step as i64,
        step: STEP,
    }
}

#[derive(Debug, Clone)]
struct Api {
    key: u64,
    tier: Tier,
    floor: f64,
    demand: Vec<f64>,
    doubt: f64,
    step_up: f64,
    step_down: f64,
    emergency: u8,
}

fn amount() -> impl Strategy<Value = f64> {
    prop_oneof![6 => 0.0..12.0f64, 1 => Just(0.0), 1 => Just(1e-9), 1 => Just(1e240)]
}

fn apis(steps: usize) -> impl Strategy<Value = Vec<Api>> {
    let tier = prop_oneof![Just(Tier::Gold), Just(Tier::Silver), Just(Tier::Bronze)];
    let one = (
        (0u64..12, tier, prop_oneof![Just(0.0), 0.0..6.0f64]),
        vec(amount(), steps * 2),
        (0.0..1.5f64, 1.1..4.0f64, 0.0..0.9f64, 0u8..2),
    );
    let api = one.prop_map(
        |((key, tier, floor), demand, (doubt, step_up, step_down, emergency))| Api {
            key,
            tier,
            floor,
            demand,
            doubt,
            step_up,
            step_down,
            emergency,
        },
    );
    vec(api, 1..8)
}

prop_compose! {
    fn any_pool()(steps in 1usize..4)(
        apis in apis(steps),
        capacity in vec(prop_oneof![0.0..5.0f64, 0.0..80.0f64], steps * 2),
        quota in vec(prop_oneof![2 => Just(f64::MAX), 1 => 0.0..25.0f64], 6),
    ) -> PoolColumns {
        let mut pool = PoolColumns::new(vec![Dimension::Cpu, Dimension::Memory], capacity);
        for (i, api) in apis.iter().enumerate() {
            pool.push(api.tier, &[api.floor, api.floor * 0.5]);
            pool.apis[i] = api.key;
            pool.tenants[i] = [0, 1, 2][i % 3];
            let cells = api.demand.len();
            pool.demand[i * cells..].copy_from_slice(&api.demand);
            let median: Vec<f64> = api.demand.iter().map(|d| d * api.doubt).collect();
            pool.median[i * cells..].copy_from_slice(&median);
            pool.expected[2 * i..].copy_from_slice(&[api.floor, api.demand[0].min(9.0)]);
            (pool.step_up[i], pool.step_down[i]) = (api.step_up, api.step_down);
            pool.emergency[i] = api.emergency;
        }
        pool.quota = quota;
        pool
    }
}

fn lent(pool: &PoolColumns, plan: &Output) -> Vec<f64> {
    let mut lent = vec![0.0; plan.allocation.limit.len()];
    for l in &plan.loans {
        lent[pool.cell(
            l.lender as usize,
            l.from_step as usize,
            l.dimension as usize,
        )] += l.amount;
    }
    lent
}

/// The next step: a plan is in force and so much of it was used.
fn follow(pool: &mut PoolColumns, plan: &Output, part: f64) {
    for api in 0..pool.len() {
        for k in 0..2 {
            let cell = pool.cell(api, 0, k);
            pool.previous_limit[api * 2 + k] = plan.allocation.limit[cell];
            pool.usage[api * 2 + k] = plan.allocation.limit[cell] * part;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_learned_the_plan_is_lawful_and_its_state_survives(
        first in any_pool(), second in any_pool(), parts in vec(0.0..1.2f64, 6),
    ) {
        let mut state = State::default();
        for (step, part) in parts.iter().enumerate() {
            // Half way through, other apis come and some of the old ones stay.
            let mut pool = if step < 3 { first.clone() } else { second.clone() };
            if step > 0 {
                let plan = allocate(&Config::default(), &mut state.clone(), moment(step), &pool);
                follow(&mut pool, &plan.unwrap(), *part);
            }
            let (mut one, mut two) = (state.clone(), State::decode(&state.encode().unwrap()).unwrap());
            let plan = allocate(&Config::default(), &mut one, moment(step), &pool).unwrap();
            let again = allocate(&Config::default(), &mut two, moment(step), &pool).unwrap();
            prop_assert_eq!(&plan, &again);
            prop_assert_eq!(&one, &two);
            let mut fitted = plan.allocation.clone();
            fit_with_loans(&pool, &mut fitted, &lent(&pool, &plan)).unwrap();
            prop_assert_eq!(&fitted, &plan.allocation);
            state = one;
        }
    }

    #[test]
    fn damaged_bytes_never_panic_and_never_break_a_plan(
        pool in any_pool(),
        hits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut state = State::default();
        allocate(&Config::default(), &mut state, moment(0), &pool).unwrap();
        let mut bytes = state.encode().unwrap();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(mut state) = State::decode(&bytes) {
            let mut pool = pool;
            pool.usage.iter_mut().for_each(|u| *u = 3.0);
            let plan = allocate(&Config::default(), &mut state, moment(1), &pool).unwrap();
            let mut fitted = plan.allocation.clone();
            fit_with_loans(&pool, &mut fitted, &lent(&pool, &plan)).unwrap();
            prop_assert_eq!(&fitted, &plan.allocation);
        }
    }

    #[test]
    fn no_ask_leaves_the_safe_set(
        median in amount(), demand in amount(), headroom in -2.0..3.0f64, factor in 1.0..2.0f64,
    ) {
        let (config, need) = (Config::default(), tidegate_model_learned::Need { median, demand });
        let ask = need.ask(headroom, factor, &config);
        prop_assert!(ask >= config.floor * median && ask <= config.ceiling * demand.max(median));
        let asks = HEADROOMS.map(|h| need.ask(h, 1.0, &config));
        prop_assert!(asks.is_sorted());
    }

    #[test]
    fn a_power_of_two_in_the_unit_is_the_same_power_in_the_plan(
        parts in vec(0.2..1.1f64, 4), power in -20i32..40,
    ) {
        let unit = 2.0f64.powi(power);
        let mut states = [State::default(), State::default()];
        for (step, part) in parts.iter().enumerate() {
            let limits = [1.0, unit].map(|unit| {
                let mut pool = PoolColumns::new(vec![Dimension::Cpu], vec![20.0 * unit]);
                pool.push(Tier::Gold, &[unit]);
                pool.push(Tier::Bronze, &[]);
                pool.median = vec![4.0 * unit, 5.0 * unit];
                pool.demand = vec![6.0 * unit, 5.0 * unit];
                pool.expected = vec![4.0 * unit; 2];
                pool.usage = vec![6.0 * part * unit, 7.0 * part * unit];
                let state = &mut states[usize::from(unit.to_bits() != 1.0f64.to_bits())];
                allocate(&Config::default(), state, moment(step), &pool).unwrap().allocation.limit
            });
            if power != 0 {
                let scaled: Vec<f64> = limits[0].iter().map(|l| l * unit).collect();
                prop_assert_eq!(&scaled, &limits[1]);
            }
        }
    }
}

/// One Gold api of a median of 10 and a quantile of 14 in a pool with room.
fn plain() -> PoolColumns {
    let mut pool = PoolColumns::new(vec![Dimension::Cpu], vec![1000.0]);
    pool.push(Tier::Gold, &[]);
    (pool.median, pool.demand) = (vec![10.0], vec![14.0]);
    (pool.expected, pool.usage) = (vec![10.0], vec![8.5]);
    (pool.step_down, pool.step_up) = (vec![1.0], vec![f64::MAX]);
    pool
}

/// Walks through steps with these uses; answers what was wanted and the last reason.
fn walk(state: &mut State, from: usize, uses: impl IntoIterator<Item = f64>) -> (f64, String) {
    let (mut pool, mut last) = (plain(), (0.0, String::new()));
    for (step, used) in uses.into_iter().enumerate() {
        pool.usage[0] = used;
        let plan =
            allocate(&Config::default(), state, moment(from + step), &pool).expect("a lawful pool");
        pool.previous_limit[0] = plan.allocation.limit[0];
        last = (plan.wanted[0], plan.reasons[0].clone());
    }
    last
}

/// So many uses around 8, none like the one before.
fn calm(steps: usize) -> impl Iterator<Item = f64> {
    (0..steps).map(|i| 8.0 + 0.1 * (i % 7) as f64)
}

#[test]
fn slack_is_unlearned_and_told() {
    let mut state = State::default();
    let (first, said) = walk(&mut state, 0, [8.0]);
    assert!((first - 15.2).abs() < 0.1, "{first}");
    assert!(
        said.ends_with("; buys 1.52 of its median need: nothing learned of it yet"),
        "{said}"
    );
    let (later, said) = walk(&mut state, 1, calm(900));
    assert!((10.0..10.6).contains(&later), "{later}");
    let end = "of its median need: no shortage in the last day against 17 % slack";
    assert!(said.ends_with(end), "{said}");
}

#[test]
fn a_shortage_raises_at_once_and_the_rise_fades() {
    let mut state = State::default();
    let (before, _) = walk(&mut state, 0, calm(600));
    let (after, said) = walk(&mut state, 600, [before]);
    assert!(after > 1.09 * before, "{before} {after}");
    assert!(said.contains("one shortage in the last day"), "{said}");
    assert!(
        said.ends_with("10 % of it for a shortage just now"),
        "{said}"
    );
    let (faded, _) = walk(&mut state, 601, calm(120));
    assert!(faded < 1.05 * before && faded >= before, "{before} {faded}");
}

#[test]
fn a_feed_that_has_stopped_teaches_nothing() {
    let mut state = State::default();
    let (first, _) = walk(&mut state, 0, [8.0, 8.1]);
    let (stopped, _) = walk(&mut state, 2, std::iter::repeat_n(8.1, 300));
    assert!((first - stopped).abs() < 1e-6, "{first} {stopped}");
}

#[test]
fn a_step_that_is_planned_twice_is_learned_once() {
    let (mut once, mut twice) = (State::default(), State::default());
    for (step, used) in calm(50).enumerate() {
        let pool = PoolColumns {
            usage: vec![used],
            ..plain()
        };
        allocate(&Config::default(), &mut once, moment(step), &pool).unwrap();
        for _ in 0..2 {
            allocate(&Config::default(), &mut twice, moment(step), &pool).unwrap();
        }
    }
    assert_eq!(once, twice);
}

#[test]
fn while_its_objective_burns_an_api_buys_no_less_than_its_quantile() {
    let mut state = State::default();
    walk(&mut state, 0, calm(900));
    let mut pool = plain();
    pool.emergency = vec![1];
    let plan = allocate(&Config::default(), &mut state, moment(900), &pool).unwrap();
    assert!(plan.wanted[0] >= 14.0 - 1e-6, "{:?}", plan.wanted);
}

#[test]
fn a_new_api_begins_with_what_its_tier_has_learned() {
    let mut state = State::default();
    walk(&mut state, 0, calm(900));
    let mut pool = plain();
    pool.apis[0] = 77;
    let plan = allocate(&Config::default(), &mut state, moment(900), &pool).unwrap();
    assert!(plan.wanted[0] < 14.0, "{:?}", plan.wanted);
}

#[test]
fn an_api_costs_at_most_two_hundred_bytes_in_three_dimensions() {
    let dimensions = vec![Dimension::Cpu, Dimension::Memory, Dimension::Network];
    let mut pool = PoolColumns::new(dimensions, vec![1e6; 3]);
    for i in 0..1000 {
        pool.push(Tier::SERVED[i % 3], &[]);
        pool.apis[i] = u64::MAX - i as u64;
    }
    pool.median = vec![3.0; 3000];
    pool.demand = vec![4.0; 3000];
    pool.expected = vec![3.0; 3000];
    let mut state = State::default();
    for step in 0..5 {
        pool.usage = vec![2.0 + step as f64; 3000];
        allocate(&Config::default(), &mut state, moment(step), &pool).unwrap();
    }
    let bytes = state.encode().unwrap().len();
    assert!(bytes <= 210 * 1000 + 400, "{bytes}");
}

#[test]
fn a_state_of_another_format_or_of_nonsense_is_refused_in_words() {
    let bytes = State::default().encode().unwrap();
    let mut newer = bytes.clone();
    newer[0] += 1;
    let said = |bytes: &[u8]| State::decode(bytes).unwrap_err().to_string();
    assert!(said(&newer).contains("state format 3, this module reads 2"));
    assert!(said(&bytes[..9]).contains("damaged state"));
}
