//! The answer for programs: one object per policy, and Tidegate beside its rivals.

use super::Args;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tidegate_backtest::shape::case::Supply;
use tidegate_backtest::shape::runs::{Policy, World};
use tidegate_backtest::shape::score::Score;
use tidegate_backtest::shape::summary::{Row, Summary, Versus};
use tidegate_backtest::shape::tidegate::Kept;
use tidegate_core::tier::Tier;

/// JSON has no NaN.
fn figure(value: f64) -> Value {
    match value.is_finite() {
        true => json!(value),
        false => Value::Null,
    }
}

/// Everything.
pub(super) fn value(args: &Args, world: &World, summary: &Summary<'_>) -> Value {
    let cases = world.cases.iter().map(|case| {
        json!({
            "traces": case.apis.iter().map(|a| json!({
                "trace": a.name, "api": a.id.to_string(), "tier": a.tier.name(),
                "replica_serves": figure(a.unit * 100.0),
            })).collect::<Vec<_>>(),
            "pool": match case.supply {
                Supply::Elastic => json!("elastic"),
                Supply::Scarce(replicas) => json!(replicas),
            },
            "scored_from": case.at(case.score).to_string(),
            "scored_until": case.at(case.end).to_string(),
            "scored_minutes": case.minutes(),
        })
    });
    json!({
        "seed": args.seed, "lead_time_s": args.lead_time,
        "cases": cases.collect::<Vec<_>>(),
        "left_out": world.left_out.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "policies": summary.rows.iter().map(row).collect::<Vec<_>>(),
        "versus": versus(&summary.versus),
        "versus_per_trace": summary.per_trace.iter()
            .map(|(name, v)| ((*name).to_owned(), versus(v))).collect::<Map<_, _>>(),
    })
}

fn row(row: &Row<'_>) -> Value {
    let mut all = score(&row.total);
    all.insert("policy".into(), json!(row.policy.name()));
    if let Policy::Tidegate(target) = row.policy {
        all.insert("target_utilisation".into(), json!(target));
        all.insert("coverage".into(), coverage(row));
        let faults: u64 = row.tallies.iter().map(|t| t.faulted).sum();
        all.insert("faults".into(), json!(faults));
        let first = row.tallies.iter().find_map(|t| t.first_fault.as_ref());
        all.insert("first_fault".into(), json!(first));
    } else {
        all.insert("coverage".into(), Value::Null);
    }
    let traces = row.traces.iter();
    let traces: Map<_, _> = traces
        .map(|(n, s)| ((*n).to_owned(), score(s).into()))
        .collect();
    all.insert("traces".into(), traces.into());
    all.into()
}

fn score(score: &Score) -> Map<String, Value> {
    let by_tier: Map<String, Value> = Tier::ALL
        .iter()
        .rev()
        .filter_map(|t| Some((t.name().to_owned(), json!(score.by_tier.get(t)?))))
        .collect();
    let all = json!({
        "violation_minutes": score.violations,
        "violation_minutes_by_tier": by_tier,
        "violation_rate": figure(score.rate()),
        "scored_minutes": score.minutes,
        "resource_hours": figure(score.resource_hours),
        "slack": figure(score.slack()),
        "churn": figure(score.churn_per_hour()),
        "requests": figure(score.requests.round()),
        "errors": figure(score.errors.round()),
        "slow": figure(score.slow.round()),
    });
    match all {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Share of outcomes at or below the quantile that was bought, and below three quantiles.
fn coverage(row: &Row<'_>) -> Value {
    let (mut bought, mut levels) = (BTreeMap::new(), BTreeMap::new());
    for tally in &row.tallies {
        for (level, kept) in &tally.bought {
            let sum: &mut Kept = bought.entry(level.to_string()).or_default();
            sum.merge(kept);
        }
        for (level, kept) in &tally.levels {
            let sum: &mut Kept = levels.entry(level.to_string()).or_default();
            sum.merge(kept);
        }
    }
    let table = |all: BTreeMap<String, Kept>| -> Value {
        let one = |(level, kept): (String, Kept)| (level, figure(kept.share()));
        all.into_iter().map(one).collect::<Map<_, _>>().into()
    };
    json!({"bought": table(bought), "all": table(levels)})
}

fn versus(versus: &Versus) -> Value {
    let figure = |v: Option<f64>| v.map_or(Value::Null, figure);
    json!({
        "violations_vs_hpa_at_equal_cost": figure(versus.violations_vs_hpa),
        "resource_hours_vs_hpa_at_equal_violations": figure(versus.cost_vs_hpa),
        "resource_hours_vs_oracle": figure(versus.cost_vs_oracle),
    })
}
