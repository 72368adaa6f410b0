//! Tiers as stories, and what holds for every input.

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_model_slo_tiers::{Config, Error, Input, Output, STATE_FORMAT, Tier, decide, migrate};

use Tier::{Bronze, Gold, Silver};

/// One quiet api with all tiers open to it.
fn quiet(current: Tier, base: Tier) -> Input {
    Input {
        apis: vec![7],
        current: vec![current],
        base: vec![base],
        lowest: vec![Bronze],
        highest: vec![Gold],
        expected: vec![100.0],
        levels: vec![5000, 9000, 9900],
        peak: vec![100.0, 120.0, 140.0],
        utilisation: vec![0.5],
        burn_windows: vec![300, 1800, 3600, 21_600],
        burn: vec![0.0; 4],
        budget_left: vec![1.0],
        ..Input::default()
    }
}

fn one(input: &Input) -> (Tier, String) {
    let out = decide(&Config::default(), input).expect("lawful input");
    (out.wanted[0], out.reasons[0].clone())
}

/// Calls once a minute for `minutes`; the tier follows what is wanted. Answers the last one.
fn run(input: &mut Input, minutes: i64) -> (Tier, String) {
    let mut last = Output {
        wanted: vec![],
        reasons: vec![],
        state: vec![],
    };
    for _ in 0..minutes {
        input.now += 60_000;
        last = decide(&Config::default(), input).expect("lawful input");
        input.state.clone_from(&last.state);
        input.current.clone_from(&last.wanted);
    }
    (last.wanted[0], last.reasons[0].clone())
}

#[test]
fn a_quiet_api_stays_at_its_base() {
    let (tier, reason) = run(&mut quiet(Silver, Silver), 600);
    assert_eq!(
        (tier, reason.as_str()),
        (Silver, "silver: quiet, at its base")
    );
}

#[test]
fn a_fast_burn_goes_to_the_highest_tier_at_once_and_a_slow_one_up_by_one() {
    let mut input = quiet(Bronze, Bronze);
    input.burn = vec![20.0, 0.0, 15.0, 0.0];
    let (tier, reason) = one(&input);
    assert_eq!(tier, Gold);
    assert_eq!(
        reason,
        "gold: the error budget burns 15.0 times too fast over 60 min and 20.0 times over 5 min, \
         14.4 is the limit"
    );
    input.burn = vec![8.0, 7.0, 7.0, 6.5];
    assert_eq!(one(&input).0, Silver);
}

#[test]
fn a_burn_that_is_over_or_only_began_pushes_nobody() {
    let mut input = quiet(Bronze, Bronze);
    input.burn = vec![0.0, 0.0, 40.0, 5.0]; // an hour's burn, but the last 5 minutes are clean
    assert_eq!(one(&input).0, Bronze);
    input.burn = vec![40.0, 5.0, 3.0, 0.5]; // five bad minutes
    assert_eq!(one(&input).0, Bronze);
}

#[test]
fn after_the_burn_an_api_comes_down_one_level_at_a_time_and_not_at_once() {
    let mut input = quiet(Bronze, Bronze);
    input.burn = vec![20.0, 0.0, 15.0, 0.0];
    assert_eq!(run(&mut input, 5).0, Gold);
    input.burn = vec![0.0; 4];
    let (tier, reason) = run(&mut input, 10);
    assert_eq!(tier, Gold);
    assert!(
        reason.starts_with("gold: calm for 9 min, goes down in"),
        "{reason}"
    );
    assert_eq!(run(&mut input, 6).0, Silver);
}

#[test]
fn little_budget_holds_an_api_up_until_it_has_recovered() {
    let mut input = quiet(Silver, Silver);
    input.budget_left = vec![0.05];
    assert_eq!(
        run(&mut input, 1),
        (Gold, "gold: 5 % of the error budget is left".into())
    );
    input.budget_left = vec![0.2];
    assert_eq!(run(&mut input, 120).0, Gold);
    input.budget_left = vec![0.3];
    assert_eq!(run(&mut input, 17).0, Silver);
}

#[test]
fn saturation_counts_only_when_it_lasts() {
    let mut input = quiet(Silver, Silver);
    input.utilisation = vec![0.97];
    assert_eq!(run(&mut input, 10).0, Silver);
    input.utilisation = vec![0.5];
    run(&mut input, 1);
    input.utilisation = vec![0.97];
    assert_eq!(run(&mut input, 10).0, Silver);
    let (tier, reason) = run(&mut input, 1);
    assert_eq!(
        (tier, reason.as_str()),
        (Gold, "gold: 97 % of the grant used for 10 min")
    );
}

#[test]
fn a_certain_surge_raises_ahead_of_it_and_an_uncertain_one_only_holds() {
    let mut input = quiet(Bronze, Bronze);
    input.peak = vec![300.0, 330.0, 400.0];
    let (tier, reason) = one(&input);
    assert_eq!(tier, Silver);
    assert!(
        reason.contains("a peak of 3.0 times the expected load"),
        "{reason}"
    );
    input.peak = vec![150.0, 500.0, 900.0];
    assert_eq!(one(&input).0, Bronze);
    input.current = vec![Silver];
    let (tier, reason) = run(&mut input, 60);
    assert_eq!(tier, Silver);
    assert!(reason.contains("held: a surge is possible"), "{reason}");
}

#[test]
fn an_api_that_is_idle_for_long_goes_below_its_base_and_returns_when_load_does() {
    let mut input = quiet(Silver, Silver);
    (input.peak, input.utilisation) = (vec![5.0, 10.0, 15.0], vec![0.05]);
    assert_eq!(run(&mut input, 60).0, Silver);
    assert_eq!(run(&mut input, 1).0, Bronze);
    assert_eq!(run(&mut input, 60).0, Bronze);
    input.peak = vec![80.0, 90.0, 99.0];
    assert_eq!(run(&mut input, 1).0, Silver);
}

#[test]
fn bounds_are_kept_and_named() {
    let mut input = quiet(Silver, Silver);
    (input.highest, input.budget_left) = (vec![Silver], vec![0.0]);
    let (tier, reason) = one(&input);
    assert_eq!(tier, Silver);
    assert!(
        reason.starts_with("silver (bounds forbid gold): 0 % of"),
        "{reason}"
    );
}

#[test]
fn wrong_input_is_refused_with_the_remedy() {
    let check = |change: fn(&mut Input), part: &str| {
        let mut input = quiet(Silver, Silver);
        change(&mut input);
        let error = decide(&Config::default(), &input).expect_err("refused");
        assert!(
            matches!(error, Error::InvalidInput(_)) && error.to_string().contains(part),
            "{error}"
        );
    };
    check(|i| i.peak[1] = f64::NAN, "peak[1] is NaN");
    check(|i| i.burn.push(1.0), "burn has 5 values, not 4");
    check(
        |i| i.burn_windows = vec![60, 120, 180, 240],
        "no rule in burn_rules has both",
    );
    check(|i| i.levels = vec![], "peak has 3 values, not 0");
    check(|i| i.levels = vec![9000, 5000, 9900], "and rise");
    check(|i| i.budget_left[0] = 2.0, "budget-left[0] is 2");
    check(|i| i.state = vec![1, 255, 255], "damaged state");
}

#[test]
fn a_state_comes_back_from_migration_and_a_foreign_one_is_unsupported() {
    let mut input = quiet(Silver, Silver);
    run(&mut input, 3);
    assert_eq!(migrate(&input.state).unwrap(), input.state);
    input.state[0] = u8::try_from(STATE_FORMAT).unwrap() + 1;
    assert!(matches!(migrate(&input.state), Err(Error::Unsupported(_))));
    assert!(matches!(
        decide(&Config::default(), &input),
        Err(Error::Unsupported(_))
    ));
}

fn tier() -> impl Strategy<Value = Tier> {
    prop_oneof![Just(Bronze), Just(Silver), Just(Gold)]
}

prop_compose! {
    fn any_input()(n in 1usize..6)(
        tiers in vec((tier(), tier(), tier(), tier()), n),
        expected in vec(prop_oneof![Just(0.0), 1.0..100.0f64], n),
        peak in vec(0.0..400.0f64, n * 3),
        utilisation in vec(0.0..1.5f64, n),
        burn in vec(prop_oneof![Just(0.0), 0.0..40.0f64], n * 4),
        budget_left in vec(-1.0..=1.0f64, n),
    ) -> Input {
        Input {
            apis: (0..tiers.len() as u64).collect(),
            current: tiers.iter().map(|t| t.0).collect(),
            base: tiers.iter().map(|t| t.1).collect(),
            lowest: tiers.iter().map(|t| t.2.min(t.3)).collect(),
            highest: tiers.iter().map(|t| t.2.max(t.3)).collect(),
            expected, peak, utilisation, burn, budget_left,
            ..quiet(Bronze, Bronze)
        }
    }
}

proptest! {
    #[test]
    fn wanted_tiers_are_within_their_bounds(input in any_input()) {
        let out = decide(&Config::default(), &input).unwrap();
        for (api, tier) in out.wanted.iter().enumerate() {
            prop_assert!((input.lowest[api]..=input.highest[api]).contains(tier));
        }
    }

    #[test]
    fn a_faster_burn_never_lowers_a_tier(input in any_input(), more in 1.0..5.0f64) {
        let mut worse = input.clone();
        worse.burn.iter_mut().for_each(|b| *b *= more);
        let (a, b) = (decide(&Config::default(), &input).unwrap(), decide(&Config::default(), &worse).unwrap());
        prop_assert!(a.wanted.iter().zip(&b.wanted).all(|(a, b)| b >= a));
    }

    #[test]
    fn what_an_api_gets_does_not_depend_on_the_others(input in any_input()) {
        let whole = decide(&Config::default(), &input).unwrap();
        for api in 0..input.apis.len() {
            let alone = Input {
                apis: vec![input.apis[api]],
                current: vec![input.current[api]],
                base: vec![input.base[api]],
                lowest: vec![input.lowest[api]],
                highest: vec![input.highest[api]],
                expected: vec![input.expected[api]],
                peak: input.peak[api * 3..api * 3 + 3].to_vec(),
                utilisation: vec![input.utilisation[api]],
                burn: input.burn[api * 4..api * 4 + 4].to_vec(),
                budget_left: vec![input.budget_left[api]],
                ..input.clone()
            };
            let alone = decide(&Config::default(), &alone).unwrap();
            prop_assert_eq!((&alone.wanted[0], &alone.reasons[0]), (&whole.wanted[api], &whole.reasons[api]));
        }
    }
}
