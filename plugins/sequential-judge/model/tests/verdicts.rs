//! Verdicts as stories: what a release's owner sees.

use tidegate_model_sequential_judge::{
    Config, Counts, Error, Input, Judgement, Metric, STATE_FORMAT, Verdict, judge, migrate,
};

fn metric(name: &str, group: &str) -> Metric {
    Metric {
        name: name.into(),
        group: group.into(),
        rho_warn: 1.1,
        rho_rollback: 1.2,
        rho_promote: 1.5,
        critical: true,
    }
}

/// A release with one flush a second, `(shadow, production)` events per metric and flush.
struct Release {
    config: Config,
    metrics: Vec<Metric>,
    dispersion: f64,
    requests: (u64, u64),
    state: Vec<u8>,
    clock: i64,
    remaining: u32,
}

impl Release {
    fn of(metrics: Vec<Metric>) -> Self {
        let config = Config::default();
        Self {
            config,
            metrics,
            dispersion: 1.0,
            requests: (50, 1000),
            state: vec![],
            clock: 0,
            remaining: 3600,
        }
    }

    fn input(&mut self, flushes: i64, events: &[(u64, u64)]) -> Input {
        let starts: Vec<i64> = (1..=flushes).map(|i| (self.clock + i) * 1000).collect();
        self.clock += flushes;
        let cells = starts.len() * self.metrics.len();
        let column =
            |f: fn(&(u64, u64)) -> u64| (0..cells).map(|i| f(&events[i % events.len()])).collect();
        Input {
            now: self.clock * 1000,
            state: self.state.clone(),
            metrics: self.metrics.clone(),
            flushes: starts,
            counts: Counts {
                shadow_events: column(|e| e.0),
                shadow_requests: vec![self.requests.0; cells],
                production_events: column(|e| e.1),
                production_requests: vec![self.requests.1; cells],
            },
            dispersion: vec![self.dispersion; self.metrics.len()],
            remaining: self.remaining,
            ..Input::default()
        }
    }

    fn run(&mut self, flushes: i64, events: &[(u64, u64)]) -> Judgement {
        let input = self.input(flushes, events);
        let out = judge(&self.config, &input).expect("lawful input");
        self.state.clone_from(&out.state);
        out
    }
}

#[test]
fn a_shadow_with_doubled_errors_is_rolled_back_with_evidence_and_bounds() {
    let mut release = Release::of(vec![metric("errors", "errors")]);
    let out = release.run(120, &[(1, 10)]);
    assert_eq!(out.verdict, Verdict::RollBack, "{}", out.reason);
    let evidence = &out.evidence[0];
    assert!(evidence.harm >= 100.0 && evidence.ratio_low > 1.2 && evidence.ratio_high < 4.0);
    assert_eq!(
        (evidence.shadow_events, evidence.shadow_requests),
        (120, 6000)
    );
    assert!(
        out.reason.starts_with("errors is worse than production"),
        "{}",
        out.reason
    );
}

#[test]
fn an_identical_shadow_is_promoted_once_it_is_shown_to_be_within_its_margin() {
    let mut release = Release::of(vec![metric("errors", "errors")]);
    let early = release.run(20, &[(1, 20)]);
    assert_eq!(early.verdict, Verdict::Continue, "{}", early.reason);
    let late = release.run(400, &[(1, 20)]);
    assert_eq!(late.verdict, Verdict::Promote, "{}", late.reason);
}

#[test]
fn one_good_latency_edge_does_not_vouch_for_a_bad_one() {
    // Half of the requests are slower than p50 on both sides; the tail is three times as heavy.
    let mut release = Release::of(vec![metric("p50", "latency"), metric("p99", "latency")]);
    release.metrics[1].rho_rollback = 4.0;
    release.metrics[1].rho_warn = 4.0;
    let out = release.run(400, &[(25, 500), (2, 12)]);
    assert_eq!(out.verdict, Verdict::Continue, "{}", out.reason);
    assert!(
        out.reason.ends_with("within its margin: p99"),
        "{}",
        out.reason
    );
    assert!(out.evidence[0].parity > 100.0);
}

#[test]
fn evidence_is_the_same_however_flushes_are_batched() {
    let metrics = vec![metric("errors", "errors"), metric("p90", "latency")];
    let (mut whole, mut parts) = (Release::of(metrics.clone()), Release::of(metrics));
    let events = [(1, 10), (6, 100)];
    let at_once = whole.run(60, &events);
    // The state remembers when the release began, so both must begin at the same call.
    let mut last = None;
    for _ in 0..6 {
        last = Some(parts.run(10, &events));
    }
    let last = last.unwrap();
    assert_eq!(at_once.evidence, last.evidence);
    assert_eq!(
        (at_once.verdict, at_once.reason),
        (last.verdict, last.reason)
    );
}

#[test]
fn without_an_aa_run_only_a_severe_regression_rolls_back_and_a_mild_one_warns() {
    let mild = [(3, 40)];
    let mut known = Release::of(vec![metric("errors", "errors")]);
    assert_eq!(known.run(600, &mild).verdict, Verdict::RollBack);
    let mut unknown = Release::of(vec![metric("errors", "errors")]);
    unknown.dispersion = 0.0;
    let out = unknown.run(600, &mild);
    assert_eq!(out.verdict, Verdict::Continue, "{}", out.reason);
    assert!(
        out.reason.starts_with("warning: errors above rho-warn"),
        "{}",
        out.reason
    );
    let severe = unknown.run(600, &[(10, 40)]);
    assert_eq!(severe.verdict, Verdict::RollBack, "{}", severe.reason);
}

#[test]
fn dispersion_deflates_the_evidence() {
    let (mut calm, mut bursty) = (
        Release::of(vec![metric("errors", "e")]),
        Release::of(vec![metric("errors", "e")]),
    );
    bursty.dispersion = 4.0;
    let (calm, bursty) = (calm.run(40, &[(1, 10)]), bursty.run(40, &[(1, 10)]));
    let (a, b) = (
        libm::log(calm.evidence[0].harm),
        libm::log(bursty.evidence[0].harm),
    );
    assert!((a / 4.0 - b).abs() < 1e-9, "{a} {b}");
    assert!(bursty.evidence[0].ratio_low < calm.evidence[0].ratio_low);
}

#[test]
fn alpha_is_split_over_critical_groups() {
    let verdict = |groups: usize| {
        let metrics = (0..groups)
            .map(|g| metric(&format!("m{g}"), &format!("g{g}")))
            .collect();
        let mut release = Release::of(metrics);
        let mut events = vec![(0, 0); groups];
        events[0] = (1, 10);
        let mut seconds = 0;
        while release.run(1, &events).verdict != Verdict::RollBack {
            seconds += 1;
        }
        seconds
    };
    assert!(verdict(8) > verdict(1));
}

#[test]
fn no_data_is_starved_then_inconclusive_and_never_promoted() {
    let mut release = Release::of(vec![metric("errors", "errors")]);
    release.requests = (0, 1000);
    release.run(1, &[(0, 10)]);
    let out = release.run(400, &[(0, 10)]);
    assert_eq!(out.verdict, Verdict::Starved);
    assert!(
        out.reason.contains("raise the mirrored share"),
        "{}",
        out.reason
    );
    release.remaining = 0;
    let out = release.run(1, &[(0, 10)]);
    assert_eq!(out.verdict, Verdict::Inconclusive, "{}", out.reason);
}

#[test]
fn errors_of_a_flawless_production_are_seen_in_minutes_not_in_37_of_60() {
    let mut release = Release::of(vec![metric("errors", "errors")]);
    release.requests = (50, 50);
    let mut minutes = 0;
    while release.run(1, &[(1, 0)]).verdict != Verdict::RollBack {
        minutes += 1;
        assert!(minutes < 15, "Kayenta's test needs 37");
    }
}

#[test]
fn a_worse_policy_module_is_rolled_back_and_an_equal_one_promoted() {
    let pairs = |losses: Vec<f64>| Input {
        dispersion: vec![],
        paired_losses: losses,
        paired_horizon: 4,
        remaining: 600,
        ..Input::default()
    };
    let noise = |i: u32| if i % 8 < 4 { 0.1 } else { -0.1 };
    let worse = judge(
        &Config::default(),
        &pairs((0..800).map(|i| noise(i) + 0.15).collect()),
    )
    .unwrap();
    assert_eq!(worse.verdict, Verdict::RollBack, "{}", worse.reason);
    let equal = judge(&Config::default(), &pairs((0..4000).map(noise).collect())).unwrap();
    assert_eq!(equal.verdict, Verdict::Promote, "{}", equal.reason);
    let row = &equal.evidence[0];
    assert!(row.metric == "paired-loss" && row.ratio_low < 0.0 && row.ratio_high > 0.0);
    assert_eq!((row.shadow_events, row.shadow_requests), (2000, 4000));
}

#[test]
fn a_flush_is_never_counted_twice() {
    let mut release = Release::of(vec![metric("errors", "errors")]);
    release.run(5, &[(1, 10)]);
    release.clock -= 1;
    let again = release.input(1, &[(1, 10)]);
    let error = judge(&Config::default(), &again).unwrap_err().to_string();
    assert!(error.contains("flush 5000 was counted before"), "{error}");
}

#[test]
fn thresholds_do_not_change_in_mid_release() {
    let mut release = Release::of(vec![metric("errors", "errors")]);
    release.run(5, &[(1, 10)]);
    release.metrics[0].rho_promote = 1.4;
    let input = release.input(1, &[(1, 10)]);
    let error = judge(&Config::default(), &input).unwrap_err().to_string();
    assert!(error.contains("a rho changed in mid-release"), "{error}");
}

#[test]
fn wrong_input_is_refused_with_the_remedy() {
    let check = |change: fn(&mut Input), part: &str| {
        let mut input = Release::of(vec![metric("errors", "errors")]).input(2, &[(1, 10)]);
        change(&mut input);
        let error = judge(&Config::default(), &input).unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    check(
        |i| i.counts.shadow_events[1] = 51,
        "flush 1 of metric errors has more events than requests",
    );
    check(
        |i| i.flushes[1] = i.flushes[0],
        "flushes[1] does not come after",
    );
    check(|i| i.dispersion[0] = 0.5, "dispersion[0] is 0.5");
    check(|i| i.dispersion[0] = f64::NAN, "dispersion[0] is NaN");
    check(|i| i.metrics[0].critical = false, "nothing can decide");
    check(
        |i| i.metrics[0].rho_warn = 2.0,
        "rho-warn 2 is above rho-rollback",
    );
    check(|i| i.metrics[0].rho_promote = f64::NAN, "must be ratios");
    check(|i| i.paired_losses = vec![0.1], "need a paired-horizon");
    check(
        |i| {
            i.counts.production_requests.pop();
        },
        "production-requests has 1 counts, not 2",
    );
    check(|i| i.state = vec![1, 2, 3], "damaged state");
}

#[test]
fn a_state_comes_back_from_migration_and_a_foreign_one_is_unsupported() {
    let mut release = Release::of(vec![metric("errors", "errors")]);
    release.run(5, &[(1, 10)]);
    assert_eq!(migrate(&release.state).unwrap(), release.state);
    let mut foreign = release.state.clone();
    foreign[0] = u8::try_from(STATE_FORMAT).unwrap() + 1;
    assert!(matches!(migrate(&foreign), Err(Error::Unsupported(_))));
}
