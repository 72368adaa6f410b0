//! The checks can fail: each fault of the wayward forecaster is found by the case it breaks.

use std::path::PathBuf;
use std::sync::OnceLock;
use tidegate_build::Builder;
use tidegate_conformance::{Report, check_with};

fn report(fault: &str) -> Report {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    let component = COMPONENT.get_or_init(|| {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let builder =
            Builder::new(here.join("wayward")).target_dir(here.join("../../target/guests"));
        let built = builder
            .build(&builder.packages().expect("declared"))
            .expect("it builds");
        std::fs::read(&built[0].component).expect("it was written")
    });
    check_with(component, &format!(r#"{{"fault": "{fault}"}}"#)).expect("it is admitted")
}

/// `cases` are the only ones that fail.
#[track_caller]
fn finds(fault: &str, cases: &[&str]) -> Report {
    let report = report(fault);
    let failed: Vec<_> = report.failures().map(|(case, _)| case).collect();
    assert_eq!(failed, cases, "{report}");
    report
}

#[test]
fn without_a_fault_it_conforms() {
    finds("none", &[]);
}

#[test]
fn quantiles_that_cross_break_fc1() {
    let report = finds("crossing", &["forecasts keep FC1"]);
    assert!(
        report
            .to_string()
            .contains("FC1: series 0: level 1 at step 0"),
        "{report}"
    );
}

#[test]
fn a_forecast_that_depends_on_its_batch_is_found() {
    finds("counting", &["a batch of five is five batches of one"]);
}

#[test]
fn a_fit_of_nothing_is_found() {
    let report = finds(
        "credulous",
        &["a series that fails leaves its neighbours alone"],
    );
    assert!(
        report.to_string().contains("without any value was fitted"),
        "{report}"
    );
}

#[test]
fn a_panic_reaches_the_report_with_its_message_and_place() {
    let report = report("panic");
    let (case, problem) = report.failures().next().expect("a failure");
    assert_eq!(case, "forecasts keep FC1");
    assert!(problem.contains("the tide went out"), "{problem}");
    assert!(problem.contains("wayward/src/lib.rs"), "{problem}");
}
