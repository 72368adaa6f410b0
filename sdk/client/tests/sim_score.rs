//! The score, and that foresight is worth something in this world.

use tidegate_client::sim::{
    ExponentialHistogram, Grant, Objective, Observation, Reactive, Scoreboard, Service,
    ServiceSpec, Surplus, Tier, static_split,
};

fn promise(tier: Tier, objective: f64) -> Objective {
    Objective {
        tier,
        objective,
        threshold: 0,
    }
}

fn seen(served: u64, slow: u64, timed_out: u64) -> Observation {
    Observation {
        step_s: 300,
        requests: served + timed_out,
        served,
        throttled: 0,
        refused: 0,
        timed_out,
        queued: 0,
        cpu_seconds: 150.0,
        memory_bytes: 1.0,
        latency: ExponentialHistogram::new(4),
        slow: vec![slow],
    }
}

#[test]
fn a_step_is_bad_when_more_than_the_budget_was_slow_or_unanswered() {
    let bad_minutes = |observation| {
        let mut board = Scoreboard::new();
        board.record("a", promise(Tier::Gold, 0.99), 1.0, &observation);
        board.total().bad_minutes
    };
    let close = |got: f64, wanted: f64| (got - wanted).abs() < 1e-12;
    assert!(close(bad_minutes(seen(1000, 9, 0)), 0.0));
    assert!(close(bad_minutes(seen(1000, 11, 0)), 5.0));
    assert!(close(bad_minutes(seen(989, 0, 11)), 5.0));
    assert!(close(bad_minutes(seen(0, 0, 0)), 0.0));
}

#[test]
fn scores_add_up_by_api_and_tier() {
    let mut board = Scoreboard::new();
    for (api, tier) in [("a", Tier::Gold), ("b", Tier::Gold), ("c", Tier::Bronze)] {
        board.record(api, promise(tier, 0.99), 2.0, &seen(100, 50, 0));
        board.record(api, promise(tier, 0.99), 2.0, &seen(100, 0, 0));
    }
    let tiers = board.tiers();
    assert_eq!(
        (tiers[&Tier::Gold].bad_steps, tiers[&Tier::Gold].steps),
        (2, 4)
    );
    assert_eq!(
        (board.total().bad_requests, board.total().requests),
        (150, 600)
    );
    assert!((board.total().slack() - 0.75).abs() < 1e-12);
    assert!(board.apis().map(|(api, _, _)| api).eq(["a", "b", "c"]));
}

#[test]
fn tiers_are_read_from_words_and_a_wrong_word_is_named() {
    assert_eq!("silver".parse(), Ok(Tier::Silver));
    let error = "Gold".parse::<Tier>().expect_err("case matters");
    assert_eq!(
        error.to_string(),
        "`Gold` is no tier; write gold, silver or bronze"
    );
}

/// The pool of the three apis below: enough for one peak, not for three.
const CORES: f64 = 48.0;

/// Bad minutes of three apis whose peaks of two hours follow each other, over one day at 5 min,
/// when `divide` (true demand of the step, use of the last step) shares out the pool.
fn bad_minutes(divide: impl Fn(&[f64], &[f64]) -> Vec<f64>) -> f64 {
    let names = ["a", "b", "c"];
    let rate = |api: usize, step: usize| {
        let at_peak = (step + 288 - 96 * api) % 288 < 24;
        if at_peak { 2_560.0 } else { 400.0 }
    };
    let mut services: Vec<Service> = names
        .iter()
        .map(|name| {
            let mut spec = ServiceSpec::new(*name, 0.01);
            // Gentle bursts: what is missed is missed for want of cores at the right time.
            spec.burst_shape = 300.0;
            spec.slo_thresholds_s = vec![0.25];
            Service::new(spec, 11).expect("a valid spec")
        })
        .collect();
    let mut board = Scoreboard::new();
    let mut used = vec![4.0; 3];
    for step in 0..288 {
        let demand: Vec<f64> = services
            .iter()
            .enumerate()
            .map(|(i, s)| rate(i, step) * s.true_cost_s())
            .collect();
        let grants = divide(&demand, &used);
        assert!(grants.iter().sum::<f64>() <= CORES + 1e-9);
        for (i, service) in services.iter_mut().enumerate() {
            let now = rate(i, step);
            let result = service.step(now, now, 300, Grant::of_cores(grants[i]));
            used[i] = result.mean_cores();
            board.record(names[i], promise(Tier::Gold, 0.99), grants[i], &result);
        }
    }
    board.total().bad_minutes
}

#[test]
fn following_beats_a_static_split_and_foresight_beats_following() {
    let fixed = bad_minutes(|d, _| static_split(CORES, &vec![1.0; d.len()]));
    let rule = Reactive {
        capacity: CORES,
        target_utilisation: 0.7,
        floor: 1.0,
        surplus: Surplus::Spread,
    };
    let reactive = bad_minutes(|_, used| rule.next(used));
    let oracle = bad_minutes(|demand, _| static_split(CORES, demand));
    assert!(fixed >= 300.0, "all of the peaks: {fixed}");
    assert!(
        reactive < 0.75 * fixed && reactive >= 15.0,
        "{reactive} of {fixed}"
    );
    assert!(oracle <= 0.2 * reactive, "{oracle} of {reactive}");
}
