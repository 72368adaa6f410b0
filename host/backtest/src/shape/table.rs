//! The answer for people: policies one a line, then traces.

use super::runs::{Policy, World};
use super::score::Score;
use super::summary::{Summary, Versus};
use std::fmt::Write as _;
use tidegate_core::tier::Tier;

/// Everything, for a terminal.
#[must_use]
pub fn text(world: &World, summary: &Summary<'_>) -> String {
    let mut out = String::new();
    let apis: usize = world.cases.iter().map(|c| c.apis.len()).sum();
    let minutes: u64 = summary.rows.first().map_or(0, |r| r.total.minutes);
    let _ = writeln!(out, "{apis} api(s), {minutes} api-minutes scored");
    for error in &world.left_out {
        let _ = writeln!(out, "left out: {error}");
    }
    out.push('\n');
    let _ = writeln!(
        out,
        "{:<14} {:>9} {:>8} {:>6} {:>6} {:>6} {:>9} {:>6} {:>7}",
        "policy", "violated", "rate %", "gold", "silver", "bronze", "replica-h", "slack", "churn/h"
    );
    for row in &summary.rows {
        let name = match row.policy {
            Policy::Tidegate(target) => format!("tidegate {target}"),
            other => other.name(),
        };
        line(&mut out, &name, &row.total);
    }
    let _ = writeln!(out, "\nTidegate beside HPA's frontier and the oracle");
    let _ = writeln!(
        out,
        "{:<34} {:>10} {:>10} {:>9} {:>8} {:>9}",
        "trace", "violations", "cost", "cost", "violated", "replica-h"
    );
    let _ = writeln!(
        out,
        "{:<34} {:>10} {:>10} {:>9}",
        "", "at cost", "at violat.", "/ oracle"
    );
    let tidegate = summary.tidegate();
    for (name, v) in &summary.per_trace {
        compared(&mut out, name, v, tidegate.and_then(|r| r.traces.get(name)));
    }
    compared(&mut out, "all", &summary.versus, tidegate.map(|r| &r.total));
    for row in &summary.rows {
        let faults: u64 = row.tallies.iter().map(|t| t.faulted).sum();
        if faults > 0 {
            let first = row.tallies.iter().find_map(|t| t.first_fault.as_deref());
            let _ = writeln!(
                out,
                "\n{faults} answers of policies were no answers; the first: {}",
                first.unwrap_or_default()
            );
        }
    }
    out
}

fn line(out: &mut String, name: &str, score: &Score) {
    let tier = |t: Tier| score.by_tier.get(&t).map_or("-".to_owned(), u64::to_string);
    let _ = writeln!(
        out,
        "{:<14} {:>9} {:>8.3} {:>6} {:>6} {:>6} {:>9.1} {:>6.3} {:>7.2}",
        name,
        score.violations,
        100.0 * score.rate(),
        tier(Tier::Gold),
        tier(Tier::Silver),
        tier(Tier::Bronze),
        score.resource_hours,
        score.slack(),
        score.churn_per_hour()
    );
}

fn compared(out: &mut String, name: &str, v: &Versus, score: Option<&Score>) {
    let ratio = |r: Option<f64>| r.map_or("-".to_owned(), |r| format!("{r:.3}"));
    let (violated, cost) = score.map_or((0, 0.0), |s| (s.violations, s.resource_hours));
    let _ = writeln!(
        out,
        "{:<34} {:>10} {:>10} {:>9} {:>8} {:>9.1}",
        name,
        ratio(v.violations_vs_hpa),
        ratio(v.cost_vs_hpa),
        ratio(v.cost_vs_oracle),
        violated,
        cost
    );
}
