//! The command as a person types it: what it understands, what it refuses and how, what it writes.
//!
//! The arithmetic has its tests in `backtest`; here are flags, files and sentences.

use super::*;
use crate::cli::errors::Usage;
use clap::Parser;
use std::fmt::Write as _;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn try_parsed(words: &[&str]) -> Result<Args, clap::Error> {
    let words = std::iter::once("backtest").chain(words.iter().copied());
    Line::try_parse_from(words).map(|line| line.args)
}

#[track_caller]
fn refused(words: &[&str], said: &str) -> anyhow::Error {
    let error = run(&try_parsed(words).unwrap(), Output::Json).expect_err("it should be refused");
    let text = format!("{error:#}");
    assert!(text.contains(said), "{text}");
    error
}

#[track_caller]
fn misused(words: &[&str], said: &str) {
    let error = refused(words, said);
    assert!(error.is::<Usage>(), "{error:#} is no misuse");
}

/// Three days of a wave, a row every five minutes.
fn wave() -> String {
    let mut text = String::from("timestamp,value\n");
    for t in 0..3 * 288 {
        let hour = t % 288 / 12;
        let _ = writeln!(
            text,
            "{},{}",
            t * 300,
            100 + 40 * (12 - i32::abs(12 - hour))
        );
    }
    text
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_pool_is_elastic_or_a_share_of_peaks() {
    let of = |pool: &str| try_parsed(&["--trace", "a.csv", "--pool", pool]).map(|a| a.pool);
    assert_eq!(of("elastic").unwrap(), Pool::Elastic);
    assert_eq!(of("0.7").unwrap(), Pool::Share(0.7));
    for wrong in ["0", "-1", "NaN", "scarce"] {
        let said = of(wrong).unwrap_err().to_string();
        assert!(said.contains("such as 0.7"), "{said}");
    }
    let said = try_parsed(&["--trace", "a.csv", "--fail-if", "speed > hpa"])
        .unwrap_err()
        .to_string();
    assert!(said.contains("`speed` is no metric"), "{said}");
    assert!(try_parsed(&[]).is_err() && try_parsed(&["--from-store", "14d"]).is_err());
}

#[test]
fn a_bad_trace_is_named_with_its_line_and_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let bad = file(dir.path(), "bad.csv", "timestamp,value\n0,1\n60,many\n");
    refused(
        &["--native", "--trace", &bad],
        "bad.csv:3: the value is `many`",
    );
    let short = file(dir.path(), "short.csv", "timestamp,value\n0,1\n60,2\n");
    refused(
        &["--native", "--trace", &short],
        "short: 0 h of load are too few",
    );
    let idle: String = (0..3 * 1440).map(|t| format!("{},0\n", t * 60)).collect();
    let idle = file(dir.path(), "idle.csv", &format!("timestamp,value\n{idle}"));
    refused(
        &["--native", "--trace", &idle],
        "idle: its 95th percentile is not above 0",
    );
    for pool in ["elastic", "0.7"] {
        let wave = file(dir.path(), "wave.csv", &wave());
        let json = dir.path().join("out.json").display().to_string();
        let words = [
            "--native",
            "--policies",
            "static",
            "--pool",
            pool,
            "--json",
            &json,
            "--trace",
            &idle,
            &wave,
            &short,
        ];
        run(&try_parsed(&words).unwrap(), Output::Json).unwrap();
        let value: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
        assert_eq!(value["left_out"].as_array().unwrap().len(), 2);
        assert_eq!(value["cases"][0]["traces"][0]["trace"], "wave");
    }
    refused(&["--native", "--trace", "none.csv"], "cannot read none.csv");
    let hours = file(
        dir.path(),
        "hours.csv",
        "timestamp,value\n0,1\n7200,2\n14400,2\n",
    );
    misused(&["--native", "--trace", &hours], "a step of 7200 s");
}

#[test]
fn a_config_that_names_what_is_not_there_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let trace = file(dir.path(), "wave.csv", &wave());
    let with = |text: &str| {
        let config = file(dir.path(), "setup.yaml", text);
        ["--native", "--trace", &trace, "--config", &config].map(str::to_owned)
    };
    let check = |text: &str, said: &str| {
        let words = with(text);
        refused(&words.each_ref().map(String::as_str), said);
    };
    check(
        "apis: {wav: {tier: gold}}\n",
        "no trace has that name (did you mean `wave`?)",
    );
    check("daemon: {horizn: 1h}\n", "did you mean `horizon`");
    check(
        "apis: {wave: {replica: -1}}\n",
        "apis.wave.replica is no load",
    );
    check(
        "allocator: {module: waterfal}\n",
        "did you mean `waterfill`",
    );
    check("allocator: {module: ets}\n", "is of kind forecaster");
    check("allocator: {config: {margn: 0}}\n", "margn");
    check("daemon: {plan: 2h}\n", "daemon: plan");
}

#[test]
fn the_same_inputs_and_seed_give_the_same_bytes_and_a_comparison_sets_the_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let trace = file(dir.path(), "wave.csv", &wave());
    let config = file(
        dir.path(),
        "setup.yaml",
        "forecaster: {module: seasonal-naive}\n",
    );
    let told = |jobs: &str, name: &str, fail: &str| {
        let json = dir.path().join(name).display().to_string();
        let words = [
            "--native",
            "--trace",
            &trace,
            "--config",
            &config,
            "--policies",
            "tidegate,hpa,oracle",
            "--json",
            &json,
            "--report",
            &format!("{json}.html"),
            "--jobs",
            jobs,
            "--fail-if",
            fail,
        ];
        let outcome = run(&try_parsed(&words).unwrap(), Output::Json);
        (std::fs::read_to_string(&json).unwrap(), outcome)
    };
    let (first, outcome) = told("1", "1.json", "violation_rate > 0.5");
    outcome.unwrap();
    let (again, outcome) = told("2", "2.json", "resource_hours > 0.1 * oracle");
    assert_eq!(first, again);
    let said = outcome.expect_err("it costs more than that").to_string();
    assert!(
        said.contains("--fail-if 'resource_hours > 0.1 * oracle'"),
        "{said}"
    );
    let value: serde_json::Value = serde_json::from_str(&first).unwrap();
    let policies = value["policies"].as_array().unwrap();
    assert_eq!(policies[0]["policy"], "tidegate");
    for key in [
        "violation_minutes",
        "violation_minutes_by_tier",
        "resource_hours",
        "slack",
        "churn",
        "coverage",
    ] {
        assert!(policies.iter().all(|p| p.get(key).is_some()), "{key}");
    }
    assert!(value["versus"]["violations_vs_hpa_at_equal_cost"].is_number());
    assert_eq!(policies[0]["faults"], 0, "{}", policies[0]["first_fault"]);
}
