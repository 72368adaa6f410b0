//! What must hold of every simulated service, and what a person would expect of one.

use proptest::prelude::*;
use tidegate_client::sim::{ExponentialHistogram, Grant, Observation, Service, ServiceSpec};

/// A service without drift, so that its utilisation is what the test says.
fn steady(api: &str, mean_cpu_s: f64) -> ServiceSpec {
    let mut spec = ServiceSpec::new(api, mean_cpu_s);
    spec.cpu.drift_sd = 0.0;
    spec.slo_thresholds_s = vec![0.05, 0.2, 1.0];
    spec
}

fn service(spec: ServiceSpec, seed: u64) -> Service {
    Service::new(spec, seed).expect("a valid spec")
}

/// `minutes` one-minute steps at a constant rate.
fn run(service: &mut Service, rate: f64, minutes: usize, grant: Grant) -> Vec<Observation> {
    (0..minutes)
        .map(|_| service.step(rate, rate, 60, grant))
        .collect()
}

prop_compose! {
    fn any_step()(
        from in 0.0..400.0f64,
        to in 0.0..400.0f64,
        step_s in 1u32..40,
        cores in prop_oneof![Just(0.0), 0.05..6.0f64],
        rate in prop::option::of(0.0..300.0f64),
    ) -> (f64, f64, u32, Grant) {
        (from, to, step_s, Grant { cores, rate })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_request_is_served_refused_or_waiting(
        steps in prop::collection::vec(any_step(), 1..12),
        mean_cpu_s in 0.0005..0.2f64,
        cv in 0.0..2.0f64,
        burst_shape in 0.3..200.0f64,
        queue_limit in 0u64..3_000,
        timeout_s in 0.2..20.0f64,
        seed: u64,
    ) {
        let mut spec = ServiceSpec::new("shop/orders", mean_cpu_s);
        spec.cpu.cv = cv;
        spec.burst_shape = burst_shape;
        spec.queue_limit = queue_limit;
        spec.timeout_s = timeout_s;
        spec.slo_thresholds_s = vec![0.01, 0.1, 1.0];
        let memory_base = spec.memory_base_bytes;
        let mut service = service(spec, seed);
        let mut queued = 0;
        for (from, to, step_s, grant) in steps {
            let seen = service.step(from, to, step_s, grant);
            prop_assert_eq!(seen.requests + queued, seen.served + seen.errors() + seen.queued);
            prop_assert_eq!(seen.latency.count(), seen.served);
            prop_assert!(seen.queued <= queue_limit);
            prop_assert!(seen.cpu_seconds <= grant.cores * f64::from(step_s) * (1.0 + 1e-9));
            prop_assert!(seen.memory_bytes.is_finite() && seen.memory_bytes >= memory_base);
            prop_assert!(seen.slow[0] <= seen.served);
            prop_assert!(seen.slow.windows(2).all(|w| w[1] <= w[0]));
            prop_assert_eq!(seen.queued, service.queued());
            queued = seen.queued;
        }
    }

    #[test]
    fn the_same_seed_and_steps_give_the_same_bits_however_they_are_run(
        steps in prop::collection::vec(any_step(), 2..10),
        cut in 1usize..9,
        seed: u64,
    ) {
        let play = |service: &mut Service, steps: &[(f64, f64, u32, Grant)]| {
            steps.iter().map(|&(a, b, s, g)| service.step(a, b, s, g)).collect::<Vec<_>>()
        };
        let whole = play(&mut service(steady("a", 0.01), seed), &steps);
        let cut = cut.min(steps.len() - 1);
        let mut first = service(steady("a", 0.01), seed);
        let mut parts = play(&mut first, &steps[..cut]);
        let mut resumed = first.clone();
        play(&mut service(steady("b", 0.01), seed), &steps);
        parts.extend(play(&mut resumed, &steps[cut..]));
        prop_assert_eq!(whole, parts);
    }

    #[test]
    fn the_world_asks_for_the_same_whatever_was_granted(
        steps in prop::collection::vec(any_step(), 1..8),
        seed: u64,
    ) {
        let mut rich = service(ServiceSpec::new("a", 0.01), seed);
        let mut poor = service(ServiceSpec::new("a", 0.01), seed);
        for (from, to, step_s, grant) in steps {
            let plenty = rich.step(from, to, step_s, Grant::of_cores(50.0));
            let little = poor.step(from, to, step_s, grant);
            prop_assert_eq!(plenty.requests, little.requests);
            prop_assert_eq!(rich.true_cost_s().to_bits(), poor.true_cost_s().to_bits());
        }
    }
}

#[test]
fn apis_and_seeds_meet_different_worlds() {
    let requests = |api, seed| -> Vec<u64> {
        let mut service = service(steady(api, 0.01), seed);
        run(&mut service, 80.0, 5, Grant::of_cores(2.0))
            .iter()
            .map(|o| o.requests)
            .collect()
    };
    assert_eq!(requests("a", 1), requests("a", 1));
    assert_ne!(requests("a", 1), requests("b", 1));
    assert_ne!(requests("a", 1), requests("a", 2));
}

#[test]
fn what_a_step_draws_depends_on_its_index_and_not_on_the_steps_before() {
    let (mut busy, mut quiet) = (service(steady("a", 0.01), 9), service(steady("a", 0.01), 9));
    run(&mut busy, 500.0, 3, Grant::of_cores(9.0));
    run(&mut quiet, 0.0, 3, Grant::of_cores(9.0));
    let grant = Grant::of_cores(9.0);
    assert_eq!(
        busy.step(100.0, 100.0, 60, grant),
        quiet.step(100.0, 100.0, 60, grant)
    );
}

#[test]
fn more_cores_never_break_the_objective_more_often() {
    // Mean demand is 2 cores; averages over seeds, each slow or unanswered request counts.
    let bad_shares = |cores: f64| {
        let (mut bad, mut all) = ([0; 3], 0);
        for seed in 0..8 {
            let mut service = service(steady("a", 0.01), seed);
            for seen in run(&mut service, 200.0, 10, Grant::of_cores(cores)) {
                bad.iter_mut()
                    .zip(&seen.slow)
                    .for_each(|(b, slow)| *b += slow + seen.errors());
                all += seen.served + seen.errors();
            }
        }
        bad.map(|b| b as f64 / all as f64)
    };
    let shares: Vec<[f64; 3]> = (5..=40).map(|t| bad_shares(f64::from(t) / 10.0)).collect();
    for threshold in 0..3 {
        let of: Vec<f64> = shares.iter().map(|s| s[threshold]).collect();
        assert!(
            of.windows(2).all(|w| w[1] <= w[0] + 2e-4),
            "{threshold}: {of:?}"
        );
        assert!(
            of[0] > 0.9 && of[of.len() - 1] < 0.05,
            "{threshold}: {of:?}"
        );
    }
}

#[test]
fn at_half_load_latency_is_modest_and_cpu_follows_the_requests() {
    let mut service = service(steady("a", 0.02), 4);
    let all = run(&mut service, 100.0, 30, Grant::of_cores(4.0));
    let (requests, cpu) = all.iter().fold((0, 0.0), |(r, c), seen| {
        (r + seen.requests, c + seen.cpu_seconds)
    });
    assert!(
        (cpu / requests as f64 / 0.02 - 1.0).abs() < 0.02,
        "{cpu} s for {requests}"
    );
    assert!(all.iter().all(|seen| seen.errors() == 0));
    let mut latency = ExponentialHistogram::new(4);
    all.iter().for_each(|seen| latency.add(&seen.latency));
    // Alone, a request would take 14 ms in the median and 98 ms at p99 (lognormal, cv 1).
    let (median, p99) = (latency.quantile(0.5), latency.quantile(0.99));
    assert!(
        median.is_some_and(|m| (0.013..0.02).contains(&m)),
        "{median:?}"
    );
    assert!(p99.is_some_and(|p| (0.094..0.13).contains(&p)), "{p99:?}");
}

#[test]
fn beyond_capacity_the_backlog_grows_by_the_excess_and_latency_by_its_drain_time() {
    let mut spec = steady("a", 0.01);
    spec.queue_limit = u64::MAX;
    spec.timeout_s = 1e6;
    let mut service = service(spec, 5);
    // 300 requests a second need 3 cores and get 2.5: 50 a second stay.
    let all = run(&mut service, 300.0, 40, Grant::of_cores(2.5));
    for (minute, seen) in all.iter().enumerate().skip(9) {
        let expected = 50.0 * 60.0 * (minute + 1) as f64;
        assert!(
            (seen.queued as f64 / expected - 1.0).abs() < 0.15,
            "{minute}: {}",
            seen.queued
        );
        assert!((seen.mean_cores() - 2.5).abs() < 1e-6);
    }
    // Who finishes in the last minute arrived 1/6 of the elapsed time ago.
    let median = all[39].latency.quantile(0.5).expect("served");
    assert!(
        (median / (39.5 * 60.0 / 6.0) - 1.0).abs() < 0.15,
        "{median}"
    );
    assert!(all[39].memory_bytes > all[0].memory_bytes * 2.0);
}

#[test]
fn overload_ends_in_timeouts_at_the_excess_rate_and_recovers_when_cores_come() {
    let mut service = service(steady("a", 0.01), 6);
    let all = run(&mut service, 300.0, 20, Grant::of_cores(2.0));
    let share = |seen: &Observation| seen.errors() as f64 / seen.requests as f64;
    let late = all[10..].iter().map(share).sum::<f64>() / 10.0;
    assert!((late - 1.0 / 3.0).abs() < 0.03, "{late}");
    assert!(all[19].latency.quantile(1.0).expect("served") < 5.0 + 2.5);
    let after = run(&mut service, 300.0, 2, Grant::of_cores(8.0));
    assert_eq!((after[1].errors(), after[1].queued), (0, 0));
    assert!(after[1].latency.quantile(0.99).expect("served") < 0.2);
}

#[test]
fn an_admission_limit_keeps_the_latency_of_what_it_admits() {
    let mut service = service(steady("a", 0.01), 7);
    let limited = Grant {
        cores: 2.0,
        rate: Some(120.0),
    };
    for seen in run(&mut service, 300.0, 10, limited) {
        assert!(
            (seen.served as f64 / 60.0 / 120.0 - 1.0).abs() < 0.03,
            "{}",
            seen.served
        );
        assert_eq!(seen.timed_out + seen.refused, 0);
        assert!(seen.latency.quantile(0.99).expect("served") < 0.2);
    }
}
