//! The same question to the pure model, natively, and to its component: the same bits.
//!
//! This is what lets a decision be replayed on another machine, and a model be evaluated natively
//! in the name of its component.

mod common;

use tidegate_conformance::pools::sampled;
use tidegate_conformance::same_bits;
use tidegate_conformance::samples::{self, ROWS, SERIES};
use tidegate_core::policy::{Allocation, AllocationInput, Blob, Forecaster, Forecasts};
use tidegate_core::units::Level;

const FITTED: usize = ROWS - 20;

/// Fits, moves on and predicts; gives the model, the states on the way, and the answer.
fn walk(policy: &dyn Forecaster, config: &str) -> (Vec<u8>, [Vec<u8>; 2], Forecasts) {
    let all: Vec<usize> = (0..SERIES).collect();
    let fitted = policy
        .fit(config, &samples::frames(&all, 0, FITTED))
        .expect("it fits");
    let rows = samples::frames(&all, FITTED, ROWS);
    let moved = policy
        .update(&fitted.model, &fitted.states, &rows)
        .expect("it updates");
    let horizon = samples::horizon(&all, ROWS, 24, &Level::STANDARD);
    let answer = policy
        .predict(&moved.model, &moved.states, &horizon)
        .expect("it predicts");
    assert!(answer.status.iter().all(Result::is_ok), "{answer:?}");
    (
        moved.model,
        [fitted.states.bytes, moved.states.bytes],
        answer,
    )
}

#[track_caller]
fn forecasts_agree(name: &str, config: &str) {
    let linked = tidegate_native::forecaster(name).expect("it is linked");
    let native = walk(&*linked.forecaster, config);
    let component = walk(&*common::forecaster(name), config);
    assert!(same_bits(&native.2.mean, &component.2.mean), "means");
    assert!(
        same_bits(&native.2.quantiles, &component.2.quantiles),
        "quantiles"
    );
    assert!(native.0 == component.0, "model");
    assert!(native.1 == component.1, "states");
}

#[test]
fn seasonal_naive_forecasts_the_same_natively_and_as_a_component() {
    forecasts_agree("seasonal-naive", "{}");
}

#[test]
fn ets_forecasts_the_same_natively_and_as_a_component() {
    forecasts_agree("ets", "{}");
}

#[test]
fn theta_forecasts_the_same_natively_and_as_a_component() {
    forecasts_agree("theta", "{}");
}

#[test]
fn arima_forecasts_the_same_natively_and_as_a_component() {
    forecasts_agree("arima", "{}");
}

#[test]
fn prophet_forecasts_the_same_natively_and_as_a_component() {
    forecasts_agree("prophet", "{}");
}

#[test]
fn lstm_forecasts_the_same_natively_and_as_a_component() {
    forecasts_agree("lstm", r#"{"epochs": 1}"#);
}

#[test]
fn ensemble_forecasts_the_same_natively_and_as_a_component() {
    forecasts_agree("ensemble", "{}");
}

#[track_caller]
fn plans_agree(name: &str, native: fn(&AllocationInput) -> Allocation) {
    let policy = common::allocator(name);
    // Each pool twice, a step later with what the first answer left.
    let mut state = Blob::default();
    let pools = sampled().flat_map(|first| {
        let mut second = first.clone();
        second.grid.start = second.grid.at(1);
        second.usage.iter_mut().for_each(|used| *used *= 0.9);
        [(true, first), (false, second)]
    });
    for (i, (is_first, mut question)) in pools.enumerate() {
        if !is_first {
            question.state = state;
        }
        let expected = native(&question);
        let answer = policy.allocate("{}", &question).expect("it allocates");
        assert!(
            same_bits(&answer.guaranteed, &expected.guaranteed),
            "guaranteed of pool {i}"
        );
        assert!(
            same_bits(&answer.limit, &expected.limit),
            "limit of pool {i}"
        );
        assert!(
            same_bits(&answer.wanted, &expected.wanted),
            "wanted of pool {i}"
        );
        assert_eq!(answer.loans, expected.loans, "loans of pool {i}");
        assert_eq!(answer.reasons, expected.reasons, "reasons of pool {i}");
        assert_eq!(answer.state, expected.state, "state of pool {i}");
        state = answer.state;
    }
}

#[test]
fn waterfill_plans_the_same_natively_and_as_a_component() {
    plans_agree("waterfill", common::waterfill);
}

#[test]
fn learned_plans_and_learns_the_same_natively_and_as_a_component() {
    plans_agree("learned", common::learned);
}

#[test]
fn proportional_plans_the_same_natively_and_as_a_component() {
    plans_agree("proportional", common::proportional);
}

#[test]
fn slo_tiers_decides_the_same_natively_and_as_a_component() {
    use tidegate_model_slo_tiers as model;
    let policy = common::tierer("slo-tiers");
    let mut question = samples::tiers(12, 3);
    for _ in 0..6 {
        let column = |tiers: &[tidegate_core::tier::Tier]| {
            let order = [model::Tier::Bronze, model::Tier::Silver, model::Tier::Gold];
            tiers.iter().map(|t| order[*t as usize]).collect::<Vec<_>>()
        };
        let input = model::Input {
            now: question.now.0,
            state: question.state.bytes.clone(),
            apis: question.apis.clone(),
            current: column(&question.current),
            base: column(&question.base),
            lowest: column(&question.lowest),
            highest: column(&question.highest),
            expected: question.expected.clone(),
            levels: question.levels.iter().map(|l| l.get()).collect(),
            peak: question.peak.clone(),
            utilisation: question.utilisation.clone(),
            burn_windows: question.burn_windows.clone(),
            burn: question.burn.clone(),
            budget_left: question.budget_left.clone(),
        };
        let expected = model::decide(&model::Config::default(), &input).expect("it decides");
        let answer = policy.decide("{}", &question).expect("it decides");
        assert_eq!(column(&answer.wanted), expected.wanted);
        assert_eq!(answer.reasons, expected.reasons);
        assert_eq!(answer.state.bytes, expected.state);
        question.now = question.now.plus_ms(600_000);
        question.state = answer.state;
    }
}

#[test]
fn the_judge_judges_the_same_natively_and_as_a_component() {
    use tidegate_model_sequential_judge as model;
    let policy = common::judge("sequential-judge");
    let mut state = tidegate_core::policy::Blob::default();
    for call in 0..12 {
        let mut question = samples::release(call * 2, 2, 14, 9);
        question.state = state;
        question.paired_losses = vec![0.1, -0.2, 0.05 * f64::from(u8::try_from(call).unwrap_or(0))];
        question.paired_horizon = 2;
        let input = model::Input {
            now: question.now.0,
            state: question.state.bytes.clone(),
            metrics: question
                .metrics
                .iter()
                .map(|m| model::Metric {
                    name: m.name.clone(),
                    group: m.group.clone(),
                    rho_warn: m.rho_warn,
                    rho_rollback: m.rho_rollback,
                    rho_promote: m.rho_promote,
                    critical: m.critical,
                })
                .collect(),
            flushes: question.flushes.iter().map(|f| f.0).collect(),
            counts: model::Counts {
                shadow_events: question.counts.shadow_events.clone(),
                shadow_requests: question.counts.shadow_requests.clone(),
                production_events: question.counts.production_events.clone(),
                production_requests: question.counts.production_requests.clone(),
            },
            dispersion: question.dispersion.clone(),
            paired_losses: question.paired_losses.clone(),
            paired_horizon: question.paired_horizon,
            remaining: question.remaining_s,
        };
        let expected = model::judge(&model::Config::default(), &input).expect("it judges");
        let answer = policy.judge("{}", &question).expect("it judges");
        let name = match expected.verdict {
            model::Verdict::Continue => "continue",
            model::Verdict::Promote => "promote",
            model::Verdict::RollBack => "roll-back",
            model::Verdict::Starved => "starved",
            model::Verdict::Inconclusive => "inconclusive",
        };
        assert_eq!(
            (answer.verdict.name(), &answer.reason),
            (name, &expected.reason)
        );
        assert_eq!(answer.evidence.len(), expected.evidence.len());
        for (a, b) in answer.evidence.iter().zip(&expected.evidence) {
            let bits =
                |low: f64, high: f64, e: [f64; 3]| [low, high, e[0], e[1], e[2]].map(f64::to_bits);
            let ours = bits(a.ratio_low, a.ratio_high, [a.harm, a.warning, a.parity]);
            let theirs = bits(b.ratio_low, b.ratio_high, [b.harm, b.warning, b.parity]);
            assert_eq!((&a.metric, ours), (&b.metric, theirs), "call {call}");
        }
        assert_eq!(answer.state.bytes, expected.state);
        state = answer.state;
    }
}
