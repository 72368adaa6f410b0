//! Every shipped plugin, built as it is shipped, keeps the promises of its interface.

mod common;

use common::{NAMES, component, shipped};
use tidegate_conformance::{Report, check, check_with};

#[track_caller]
fn conforms(name: &str) {
    let report = check(&component(name)).expect("it is admitted");
    assert!(report.passed(), "{report}");
    assert_eq!(report.module.name, name);
}

#[test]
fn what_is_shipped_is_what_is_tested() {
    let names: Vec<_> = shipped().iter().map(|b| b.manifest.name.as_str()).collect();
    assert_eq!(names, NAMES);
}

/// Of one model; a combination links its members and may be as large as they are together.
const SMALL: u64 = 400_000;

#[test]
fn every_component_is_small() {
    for built in shipped() {
        let name = built.manifest.name.as_str();
        println!("{name:17} {:7} bytes", built.size);
        let most = match name {
            "ensemble" => MEMBERS.iter().map(|member| size(member)).sum(),
            _ => SMALL,
        };
        assert!(
            built.size < most,
            "{name} has {} bytes of {most}",
            built.size
        );
    }
}

/// What the ensemble links.
const MEMBERS: [&str; 5] = ["theta", "arima", "prophet", "seasonal-naive", "ets"];

fn size(name: &str) -> u64 {
    let built = shipped().iter().find(|b| b.manifest.name == name);
    built.expect("it is shipped").size
}

#[test]
fn seasonal_naive_conforms() {
    conforms("seasonal-naive");
}

#[test]
fn ets_conforms() {
    conforms("ets");
}

#[test]
fn theta_conforms() {
    conforms("theta");
}

#[test]
fn arima_conforms() {
    conforms("arima");
}

#[test]
fn prophet_conforms() {
    conforms("prophet");
}

#[test]
fn lstm_conforms() {
    conforms("lstm");
}

#[test]
fn ensemble_conforms() {
    conforms("ensemble");
}

#[test]
fn slo_tiers_conforms() {
    conforms("slo-tiers");
}

#[test]
fn proportional_conforms() {
    conforms("proportional");
}

#[test]
fn waterfill_conforms() {
    conforms("waterfill");
}

#[test]
fn learned_conforms() {
    conforms("learned");
}

#[test]
fn sequential_judge_conforms() {
    conforms("sequential-judge");
}

/// A check that cannot fail is none: a module under a config that it refuses fails, and says why.
#[test]
fn a_report_names_what_failed_and_why() {
    let report: Report = check_with(&component("ets"), r#"{"paths": 3}"#).expect("it is admitted");
    assert!(!report.passed());
    let (case, problem) = report.failures().next().expect("a failure");
    assert_eq!(case, "three weeks of five series are fitted");
    assert!(problem.contains("paths is 3: use 50 to 5000"), "{problem}");
    assert!(report.to_string().contains("FAIL"));
}

#[test]
fn a_wrong_type_deep_in_a_config_is_told_by_its_path() {
    use tidegate_conformance::pools::sampled;
    let pool = sampled().next().expect("a pool");
    let config = r#"{"fraction": {"gold": "much", "silver": 0.3, "bronze": 0.2}}"#;
    let error = common::allocator("proportional")
        .allocate(config, &pool)
        .expect_err("a wrong type");
    assert!(
        error
            .to_string()
            .contains("config.fraction.gold: invalid type"),
        "{error}"
    );
}
