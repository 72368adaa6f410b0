//! What cases are made of: the rules of `case`'s header, on loads whose parts can be told apart.

use super::*;
use tidegate_core::time::Step;

const HOUR: usize = 60;

fn load(name: &str, start_hour: i64, hours: usize, level: f64) -> Load {
    let trace = Trace {
        name: name.into(),
        start: Timestamp::from_secs(start_hour * 3600),
        step: Step::MINUTE,
        values: vec![level; hours * HOUR],
        missing: 0,
    };
    Load {
        trace,
        tier: Tier::Gold,
        replica: None,
        events: vec![],
    }
}

const PLAN: CasePlan = CasePlan {
    train_s: None,
    lead_s: 60,
    seed: 1,
};

#[test]
fn half_of_a_trace_is_history_within_two_days_and_two_weeks() {
    let parts = |hours: usize| {
        let case = elastic(&[load("a", 0, hours, 5.0)], &PLAN);
        case.map(|mut c| c.cases.remove(0))
            .map(|c| (c.begin / 3600, c.score / 3600, c.end / 3600))
    };
    assert_eq!(parts(10 * 24), Ok((4 * 24, 5 * 24, 240)));
    assert_eq!(parts(3 * 24), Ok((24, 48, 72)));
    assert_eq!(parts(60 * 24), Ok((13 * 24, 14 * 24, 60 * 24)));
    let short = parts(71).unwrap_err().to_string();
    assert!(
        short.contains("a: 71 h") && short.contains("72 h"),
        "{short}"
    );
}

#[test]
fn a_replica_serves_a_tenth_of_the_high_load_whatever_is_counted() {
    for level in [5e-3, 5e6] {
        let case = elastic(&[load("a", 0, 96, level)], &PLAN)
            .unwrap()
            .cases
            .remove(0);
        let api = &case.apis[0];
        let mean =
            api.requests.iter().map(|n| f64::from(*n)).sum::<f64>() / api.requests.len() as f64;
        assert!(
            (mean / (10.0 * RATE_PER_REPLICA) - 1.0).abs() < 0.02,
            "{mean}"
        );
        assert!((mean * api.unit / level - 1.0).abs() < 0.02);
    }
    let idle = elastic(&[load("a", 0, 96, 0.0)], &PLAN).unwrap_err();
    assert!(
        idle.to_string().contains("a: its 95th percentile"),
        "{idle}"
    );
}

#[test]
fn traces_of_other_years_share_a_pool_by_whole_weeks() {
    // Ten weeks and five hours apart: five hours of the older one are left out.
    let old = load("old", 0, 101, 5.0);
    let new = load("new", 10 * 7 * 24 + 5, 96, 5.0);
    let case = shared(&[old, new], Supply::Scarce(12), &PLAN)
        .unwrap()
        .cases
        .remove(0);
    assert_eq!(case.start, Timestamp::from_secs((10 * 7 * 24 + 5) * 3600));
    assert_eq!(case.end, 96 * 3600);
    let names: Vec<&str> = case.apis.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["new", "old"]);
    assert!(case.apis.iter().all(|a| a.requests.len() == case.end));
}

#[test]
fn short_traces_of_other_weekdays_share_a_pool_by_whole_days() {
    // Monday to Friday and Thursday to Monday: by whole weeks they have a day in common.
    let monday = load("monday", 4 * 24, 5 * 24, 5.0);
    let thursday = load("thursday", 7 * 24, 4 * 24, 5.0);
    let world = shared(&[monday, thursday], Supply::Scarce(12), &PLAN).unwrap();
    assert_eq!(world.left_out, []);
    assert_eq!(world.cases[0].end, 4 * 24 * 3600);
    assert_eq!(world.cases[0].apis.len(), 2);
}

#[test]
fn a_trace_that_cannot_be_run_is_left_out_by_name_and_the_rest_goes_on() {
    let loads = [
        load("good", 0, 96, 5.0),
        load("idle", 0, 96, 0.0),
        load("short", 0, 30, 5.0),
        load("better", 3, 120, 5.0),
    ];
    let alone = elastic(&loads, &PLAN).unwrap();
    let together = shared(&loads, Supply::Scarce(9), &PLAN).unwrap();
    for cases in [&alone, &together] {
        let apis = cases.cases.iter().flat_map(|c| &c.apis);
        let names: Vec<&str> = apis.map(|a| a.name.as_str()).collect();
        assert!(
            names.len() == 2 && names.contains(&"good") && names.contains(&"better"),
            "{names:?}"
        );
        let said: Vec<String> = cases.left_out.iter().map(ToString::to_string).collect();
        assert!(said[0].starts_with("idle: its 95th"), "{said:?}");
        assert!(said[1].starts_with("short: 30 h of load"), "{said:?}");
        assert_eq!(said.len(), 2);
    }
}

#[test]
fn of_traces_that_have_too_little_in_common_the_odd_one_is_left_out() {
    // Each is long enough; half a day later by the clock, the last leaves the others two and a half days.
    let loads = [
        load("a", 0, 72, 5.0),
        load("b", 24, 73, 5.0),
        load("late", 12, 72, 5.0),
    ];
    let cases = shared(&loads, Supply::Scarce(9), &PLAN).unwrap();
    let names: Vec<&str> = cases.cases[0]
        .apis
        .iter()
        .map(|a| a.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    let said = cases.left_out[0].to_string();
    assert!(
        said.starts_with("late: with it the traces of the pool have 60 h in common"),
        "{said}"
    );
}

#[test]
fn names_of_files_become_names_of_apis() {
    assert_eq!(id("load_1").unwrap().to_string(), "backtest/load_1");
    let (a, b) = (id("nab/load 1").unwrap(), id("nab-load/1").unwrap());
    assert_ne!(a, b);
    assert!(id("/").is_ok() && id("").is_ok() && id(&"x/".repeat(90)).is_ok());
}

#[test]
fn what_the_calendar_knows_moves_with_its_trace() {
    let hour = |h: i64| Timestamp(h * 3_600_000);
    let mut late = load("late", 24 * 7 * 60 + 3, 24 * 9, 5.0);
    // In the tenth hour of the trace, of which the first three are cut off.
    let begin = 24 * 7 * 60 + 3;
    late.events = vec![Known {
        kind: "sale".into(),
        minimum_uplift: None,
        spans: vec![(hour(begin + 10), hour(begin + 11))],
    }];
    let early = load("early", 6, 24 * 8, 5.0);
    let plan = CasePlan {
        train_s: Some(86_400),
        lead_s: 60,
        seed: 1,
    };
    let case = shared(&[late.clone(), early], Supply::Scarce(10), &plan)
        .unwrap()
        .cases
        .remove(0);
    let moved = case.apis.iter().find(|a| a.name == "late").unwrap();
    assert_eq!(case.start, hour(6));
    assert_eq!(moved.events[0].spans, [(hour(13), hour(14))]);
    let alone = elastic(&[late.clone()], &plan).unwrap();
    assert_eq!(alone.cases[0].apis[0].events, late.events);
}
