//! Explains a grant in sentences, from load to number, out of its record alone.

mod bounds;

use crate::demand;
use tidegate_core::access::Principal;
use tidegate_core::ids::{ApiId, Generation};
use tidegate_core::plan::Grant;
use tidegate_core::record::Record;
use tidegate_core::roster::Retreat;
use tidegate_core::time::Timestamp;
use tidegate_core::units::{Dimension, Signal};

/// What is explained to whom.
#[derive(Debug, Clone, Copy)]
pub struct ExplainInput<'a> {
    /// The record of the plan in force.
    pub record: &'a Record,
    /// Whose grant.
    pub api: &'a ApiId,
    /// When.
    pub at: Timestamp,
    /// Who asks: other tenants are "others" to it.
    pub caller: &'a Principal,
}

/// The grant and its sentences; `None` when the plan does not hold the api.
#[must_use]
pub fn explain(input: &ExplainInput<'_>) -> Option<(Grant, Vec<String>)> {
    let plan = &input.record.plan;
    let row = plan.api(input.api)?;
    let grant = plan.grant(input.api, input.at)?;
    let step = plan.step_at(input.at);
    let mut say = vec![];
    match input
        .record
        .forecasts
        .iter()
        .find(|f| f.key.api == *input.api && f.key.signal == Signal::Requests)
    {
        Some(f) => say.push(format!(
            "Load: {} expects at most {:.0} requests/s (p99) within the horizon, {}; made by {}{}.",
            input.api,
            f.peak,
            ahead(f.peak_at, input.record.at),
            f.served.module,
            retreat(f.served.retreat)
        )),
        None if is_carried(input) => say.push(format!(
            "Load: {} has not had its turn to be forecast since the daemon has started. Until then its plan rests \
             on what was foreseen before the restart.",
            input.api
        )),
        None => say.push(format!(
            "Load: no forecast of {} was possible; its measured use, or else its floor, stands in for it.",
            input.api
        )),
    }
    let needs = input.record.needs.iter().find(|n| n.api == *input.api);
    let reasons = needs.into_iter().flat_map(|n| &n.reasons);
    say.extend(reasons.map(|reason| format!("Demand: {reason}.")));
    say.push(format!(
        "Tier: {} since {}. {}.",
        row.tier.name(),
        row.tier_since,
        sentence(&row.tier_reason)
    ));
    let d = plan.dimensions.len();
    for (i, dimension) in plan.dimensions.iter().enumerate() {
        let at = step * d + i;
        let (demand, limit, kept) = (row.demand[at], row.limit[at], row.guaranteed[at]);
        let (capacity, unit) = (plan.capacity[at], dimension.unit());
        let others: f64 = plan
            .apis
            .iter()
            .filter(|a| a.api != *input.api)
            .map(|a| a.limit[at])
            .sum();
        say.push(format!(
            "{}: needs {demand:.2} {unit} at its tier's quantile; gets {limit:.2}, of which {kept:.2} guaranteed, \
             from a pool of {capacity:.2}; others hold {others:.2}.",
            capital(dimension.name()),
        ));
        if limit < demand * (1.0 - 1e-9) {
            say.push(format!(
                "{} is short by {:.2} {unit}: {}.",
                capital(dimension.name()),
                demand - limit,
                holders(input, i, step)
            ));
            say.extend(bounds::active(input, row, i, step));
        }
    }
    say.push(format!(
        "Allocator: {}{}. {}.",
        plan.served.module,
        retreat(plan.served.retreat),
        sentence(&row.reason)
    ));
    if let Some(why) = &row.emergency {
        say.push(format!("Step bounds were lifted: {}.", sentence(why)));
    }
    for loan in &grant.loans {
        let name = |api: &ApiId| {
            if input.caller.sees(&api.tenant) {
                api.to_string()
            } else {
                "others".into()
            }
        };
        say.push(format!(
            "Loan: {} lends {:.2} {} to {} until {}.",
            name(&loan.lender),
            loan.amount,
            loan.dimension.name(),
            name(&loan.borrower),
            loan.until
        ));
    }
    if input.at >= plan.expires_at {
        say.push("The plan has expired: safe capacity is in force until a new one is made.".into());
    }
    Some((grant, say))
}

/// Whether an api's demand is that of the plan before its record's own, as it is in the first steps after a
/// restart of a large world. An amendment's needs are those of the plan that it amends.
fn is_carried(input: &ExplainInput<'_>) -> bool {
    let record = input.record;
    let made = record.amends.unwrap_or(record.plan.generation);
    let before = Generation(made.0.saturating_sub(1));
    let needs = record.needs.iter().find(|n| n.api == *input.api);
    needs.is_some_and(|n| n.reasons.first() == Some(&demand::Output::carried_from(before)))
}

/// Who holds what, by tier; foreign tenants are lumped together.
fn holders(input: &ExplainInput<'_>, dimension: usize, step: usize) -> String {
    let plan = &input.record.plan;
    let at = step * plan.dimensions.len() + dimension;
    let unit = plan
        .dimensions
        .get(dimension)
        .map_or("", |d: &Dimension| d.unit());
    let mut foreign = 0.0;
    let mut named: Vec<(f64, String)> = vec![];
    for other in plan.apis.iter().filter(|a| a.api != *input.api) {
        if input.caller.sees(&other.api.tenant) {
            named.push((
                other.limit[at],
                format!(
                    "{} ({}) {:.2}",
                    other.api,
                    other.tier.name(),
                    other.limit[at]
                ),
            ));
        } else {
            foreign += other.limit[at];
        }
    }
    named.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut parts: Vec<String> = named.into_iter().take(5).map(|(_, text)| text).collect();
    if foreign > 0.0 {
        parts.push(format!("others {foreign:.2}"));
    }
    if parts.is_empty() {
        "the pool itself is too small".into()
    } else {
        format!("of the pool, in {unit}, {} hold", parts.join(", "))
    }
}

fn ahead(t: Timestamp, now: Timestamp) -> String {
    let minutes = t.since_ms(now) / 60_000;
    if minutes <= 0 {
        "now".into()
    } else {
        format!("{minutes} min ahead")
    }
}

fn retreat(retreat: Retreat) -> String {
    match retreat {
        Retreat::Active => String::new(),
        Retreat::LastGood => {
            ", standing in for the bound module, which failed or is not fitted yet".into()
        }
        Retreat::Baseline => {
            ", the engine's own rule, since no module is bound or could answer".into()
        }
        Retreat::HeldPlan | Retreat::SafeCapacity => format!(" ({})", retreat.name()),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| {
        c.to_uppercase().collect::<String>() + chars.as_str()
    })
}

fn sentence(text: &str) -> String {
    capital(text.trim_end_matches('.'))
}
