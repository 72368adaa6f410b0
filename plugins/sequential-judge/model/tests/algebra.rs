//! The claim that everything rests on: under the null, expected evidence is at most 1. Checked by
//! summing over whole probability tables, not by sampling.

use proptest::prelude::*;
use tidegate_model_sequential_judge::{BettingTest, RatioTest};

/// Probabilities of 0..=most events under Poisson.
fn poisson(mean: f64, most: usize) -> Vec<f64> {
    let mut p = vec![libm::exp(-mean)];
    for (k, last) in (1..=most).zip(0..) {
        let before: f64 = p[last];
        p.push(before * mean / k as f64);
    }
    p
}

/// Probabilities of 0..=n events out of n independent requests with the given probabilities.
fn bernoulli(thetas: &[f64]) -> Vec<f64> {
    let mut p = vec![1.0];
    for theta in thetas {
        let mut next = vec![0.0; p.len() + 1];
        for (k, mass) in p.iter().enumerate() {
            next[k] += mass * (1.0 - theta);
            next[k + 1] += mass * theta;
        }
        p = next;
    }
    p
}

/// Expected E after one flush.
fn expected(test: &RatioTest, shadow: &[f64], production: &[f64], n: (u64, u64)) -> f64 {
    let mut total = 0.0;
    for (s, ps) in (0u64..).zip(shadow) {
        for (p, pp) in (0u64..).zip(production) {
            let mut after = test.clone();
            after.update((s, n.0), (p, n.1));
            total += ps * pp * libm::exp(after.log_e());
        }
    }
    total
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn on_the_boundary_of_the_null_poisson_evidence_is_a_martingale(
        n_s in 1u64..2000, n_p in 1u64..2000, rho in 0.3..3.0f64, mean in 0.01..3.0f64
    ) {
        // theta_p such that production expects at most `mean` events and the shadow 3 at most.
        let theta = mean / (n_p as f64).max(rho * n_s as f64);
        let shadow = poisson(rho * theta * n_s as f64, 60);
        let production = poisson(theta * n_p as f64, 60);
        for test in [RatioTest::above(rho), RatioTest::below(rho)] {
            let e = expected(&test, &shadow, &production, (n_s, n_p));
            prop_assert!((e - 1.0).abs() < 1e-6, "{e}");
        }
    }

    #[test]
    fn inside_the_null_evidence_shrinks_and_outside_it_can_grow(
        n_s in 50u64..2000, n_p in 50u64..2000, rho in 0.5..2.0f64, inside in 0.1..0.9f64
    ) {
        let theta = 2.0 / (n_p as f64).max(2.0 * rho * n_s as f64);
        let production = poisson(theta * n_p as f64, 60);
        let low = poisson(rho * inside * theta * n_s as f64, 60);
        let high = poisson(rho / inside * theta * n_s as f64, 60);
        let n = (n_s, n_p);
        prop_assert!(expected(&RatioTest::above(rho), &low, &production, n) < 1.0);
        prop_assert!(expected(&RatioTest::below(rho), &high, &production, n) < 1.0);
        prop_assert!(expected(&RatioTest::above(rho), &high, &production, n) > 1.0);
        prop_assert!(expected(&RatioTest::below(rho), &low, &production, n) > 1.0);
    }

    #[test]
    fn bernoulli_requests_are_a_supermartingale_at_any_rho_even_with_mixed_probabilities(
        theta in prop::collection::vec(0.0..1.0f64, 1..12), n_s in 1usize..12, rho in 0.2..1.0f64
    ) {
        let n_p = theta.len();
        let mean = theta.iter().sum::<f64>() / n_p as f64;
        let production = bernoulli(&theta);
        let shadow = bernoulli(&vec![rho * mean; n_s]);
        let n = (n_s as u64, n_p as u64);
        prop_assert!(expected(&RatioTest::above(rho), &shadow, &production, n) <= 1.0 + 1e-12);
        prop_assert!(expected(&RatioTest::below(rho), &shadow, &production, n) <= 1.0 + 1e-12);
    }

    #[test]
    fn evidence_of_the_second_flush_does_not_depend_on_the_rate_of_the_first(
        a in (0u64..5, 0u64..5), b in (0u64..5, 0u64..5)
    ) {
        // A sum over flushes, so their order (and a ramp of the share) cannot matter.
        let (mut ab, mut ba) = (RatioTest::above(1.0), RatioTest::above(1.0));
        ab.update((a.0, 100), (a.1, 1000));
        ab.update((b.0, 900), (b.1, 500));
        ba.update((b.0, 900), (b.1, 500));
        ba.update((a.0, 100), (a.1, 1000));
        prop_assert!((ab.log_e() - ba.log_e()).abs() < 1e-12);
    }

    #[test]
    fn betting_evidence_is_a_supermartingale_when_the_mean_is_within_the_null(
        harmless in 0.0..0.3f64, extra in 0.01..0.3f64, spread in 0.0..0.35f64, streams in 1u32..3
    ) {
        // Three differences, each `mean +- spread` with equal chance: 8 equally likely paths.
        let margin = harmless + extra;
        let fresh = BettingTest::new(harmless, margin, streams);
        let over_paths = |mean: f64, log_e: fn(&BettingTest) -> f64| {
            let paths = (0..8u32).map(|bits| {
                let mut test = fresh.clone();
                (0..3).for_each(|k| test.update(if bits >> k & 1 == 1 { mean + spread } else { mean - spread }));
                libm::exp(log_e(&test))
            });
            paths.sum::<f64>() / 8.0
        };
        prop_assert!((over_paths(harmless, BettingTest::log_harm) - 1.0).abs() < 1e-9);
        prop_assert!(over_paths(harmless - 0.05, BettingTest::log_harm) < 1.0);
        prop_assert!((over_paths(margin, BettingTest::log_parity) - 1.0).abs() < 1e-9);
        prop_assert!(over_paths(margin + 0.05, BettingTest::log_parity) < 1.0);
    }
}

#[test]
fn the_formula_is_the_one_in_the_documentation() {
    // One flush by hand, rho = 1: mean over c of c^y_s ((n_s + n_p) / (c n_s + n_p))^(y_s + y_p).
    let mut test = RatioTest::above(1.0);
    test.update((3, 50), (10, 1000));
    let by_hand: f64 = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0]
        .iter()
        .map(|&c: &f64| libm::pow(c, 3.0) * libm::pow(1050.0 / (c * 50.0 + 1000.0), 13.0))
        .sum::<f64>()
        / 6.0;
    assert!((libm::exp(test.log_e()) - by_hand).abs() < 1e-9 * by_hand);
}

#[test]
fn requests_on_one_side_only_say_nothing() {
    let mut test = RatioTest::above(1.0);
    test.update((7, 50), (0, 0));
    test.update((0, 0), (9, 1000));
    assert!(test.log_e().abs() < 1e-15);
}
