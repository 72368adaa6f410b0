//! What differs between two plans, told for a person: the first cells of each kind, not a matrix.

use super::Divergence;
use tidegate_core::canonical::{Canonical, Encoder};
use tidegate_core::ids::Digest;
use tidegate_core::plan::{ApiPlan, Plan};
use tidegate_core::policy::{AllocationInput, Blob};
use tidegate_core::record::Record;

/// Bits decide: −0 and 0 are equal and not the same.
pub(super) fn same(
    divergences: &mut Vec<Divergence>,
    what: impl Fn() -> String,
    recorded: f64,
    replayed: f64,
) {
    if recorded.to_bits() != replayed.to_bits() {
        let (was, is) = (recorded.to_string(), replayed.to_string());
        divergences.push(Divergence::new(what(), &was, &is));
    }
}

/// Two states.
pub(super) fn blobs(what: String, recorded: &Blob, replayed: &Blob) -> Divergence {
    let text = |blob: &Blob| {
        let digest = Digest::of(&blob.bytes).short();
        let size = blob.bytes.len();
        format!("format {}, {size} bytes, {digest}", blob.format)
    };
    Divergence::new(what, &text(recorded), &text(replayed))
}

/// Compares two plans by their canonical bytes, and tells the first cell of each kind that differs.
pub(super) fn whole(recorded: &Plan, replayed: &Plan, divergences: &mut Vec<Divergence>) {
    let digest = |plan: &Plan| {
        let mut encoder = Encoder::default();
        plan.encode(&mut encoder);
        encoder.digest()
    };
    let (was, is) = (digest(recorded), digest(replayed));
    if was == is {
        return;
    }
    let before = divergences.len();
    for (row, (was, is)) in recorded.apis.iter().zip(&replayed.apis).enumerate() {
        api(recorded, row, was, is, divergences);
    }
    let steps = |cell: usize| cell / recorded.dimensions.len().max(1);
    for (what, was, is) in [
        ("capacity wanted", &recorded.wanted, &replayed.wanted),
        ("capacity", &recorded.capacity, &replayed.capacity),
    ] {
        if let Some(cell) = differs(was, is) {
            let what = format!("the {what} in step {}", steps(cell));
            divergences.push(cells(what, was, is, cell));
        }
    }
    if recorded.loans != replayed.loans {
        let text = |plan: &Plan| {
            let total: f64 = plan.loans.iter().map(|l| l.amount).sum();
            format!("{} loans of {total} in all", plan.loans.len())
        };
        let (was, is) = (text(recorded), text(replayed));
        divergences.push(Divergence::new("the loans", &was, &is));
    }
    if divergences.len() == before {
        let (was, is) = (was.to_string(), is.to_string());
        divergences.push(Divergence::new("the plan's canonical bytes", &was, &is));
    }
}

fn api(plan: &Plan, row: usize, was: &ApiPlan, is: &ApiPlan, divergences: &mut Vec<Divergence>) {
    let name = &plan.apis[row].api;
    if was.tier != is.tier {
        let what = format!("the tier of {name} in the question");
        let divergence = Divergence::new(what, was.tier.name(), is.tier.name());
        divergences.push(divergence);
    }
    for (what, was, is) in [
        ("guarantee", &was.guaranteed, &is.guaranteed),
        ("limit", &was.limit, &is.limit),
        ("demand", &was.demand, &is.demand),
    ] {
        if let Some(cell) = differs(was, is) {
            let count = plan.dimensions.len().max(1);
            let unit = plan.dimensions.get(cell % count).map_or("", |d| d.unit());
            let what = format!("the {what} of {name} in step {}, in {unit}", cell / count);
            divergences.push(cells(what, was, is, cell));
        }
    }
    if was.reason != is.reason {
        let what = format!("the reason given to {name}");
        divergences.push(Divergence::new(what, &was.reason, &is.reason));
    }
}

/// Compares what an allocator was asked with what it should have been asked, state aside.
pub(super) fn question(record: &Record, is: &AllocationInput, divergences: &mut Vec<Divergence>) {
    let was = &record.allocation;
    let (_, steps, dims) = was.shape();
    let name = |row: usize| {
        let api = record.plan.apis.get(row);
        api.map_or_else(|| format!("row {row}"), |api| api.api.to_string())
    };
    let unit = |cell: usize| {
        was.dimensions
            .get(cell % dims.max(1))
            .map_or("", |d| d.unit())
    };
    // Per api and step.
    for (what, was, is) in [
        ("demand", &was.demand, &is.demand),
        ("median need", &was.median, &is.median),
    ] {
        if let Some(cell) = differs(was, is) {
            let (row, step) = (
                cell / (steps * dims).max(1),
                cell / dims.max(1) % steps.max(1),
            );
            let what = format!(
                "the {what} asked for {} in step {step}, in {}",
                name(row),
                unit(cell)
            );
            divergences.push(cells(what, was, is, cell));
        }
    }
    // Per api and resource.
    for (what, was, is) in [
        ("ordinary need", &was.expected, &is.expected),
        ("use", &was.usage, &is.usage),
        ("floor", &was.floor, &is.floor),
        ("ceiling", &was.ceiling, &is.ceiling),
        ("limit in force", &was.previous_limit, &is.previous_limit),
        (
            "guarantee in force",
            &was.previous_guaranteed,
            &is.previous_guaranteed,
        ),
    ] {
        if let Some(cell) = differs(was, is) {
            let what = format!(
                "the {what} asked for {}, in {}",
                name(cell / dims.max(1)),
                unit(cell)
            );
            divergences.push(cells(what, was, is, cell));
        }
    }
    // Per api.
    for (what, was, is) in [
        ("weight", &was.weights, &is.weights),
        ("step up", &was.step_up, &is.step_up),
        ("step down", &was.step_down, &is.step_down),
    ] {
        if let Some(row) = differs(was, is) {
            divergences.push(cells(
                format!("the {what} asked for {}", name(row)),
                was,
                is,
                row,
            ));
        }
    }
    // Of the pool.
    for (what, was, is) in [
        ("capacity", &was.capacity, &is.capacity),
        (
            "most that the pool can be",
            &was.capacity_max,
            &is.capacity_max,
        ),
        ("quotas", &was.quota, &is.quota),
        ("shares of tiers", &was.max_share, &is.max_share),
    ] {
        if let Some(cell) = differs(was, is) {
            divergences.push(cells(format!("the {what} asked for"), was, is, cell));
        }
    }
    let rest = |of: &AllocationInput| {
        (
            (
                of.now,
                of.seed,
                of.grid,
                of.dimensions.clone(),
                of.apis.clone(),
            ),
            (of.tiers.clone(), of.tenants.clone(), of.emergency.clone()),
            (of.lends.clone(), of.borrows.clone()),
        )
    };
    if rest(was) != rest(is) {
        let what = "who is asked for, when, or under which rules";
        divergences.push(Divergence::new(what, "as recorded", "otherwise"));
    }
}

/// Compares what people are told of demand.
pub(super) fn reasons(record: &Record, is: &[Vec<String>], divergences: &mut Vec<Divergence>) {
    for (was, is) in record.needs.iter().zip(is) {
        if was.reasons != *is {
            let what = format!("what is said of the demand of {}", was.api);
            let (was, is) = (was.reasons.join("; "), is.join("; "));
            divergences.push(Divergence::new(what, &was, &is));
        }
    }
}

/// The first cell that is not the same to the bit, or is in one alone.
fn differs(was: &[f64], is: &[f64]) -> Option<usize> {
    let mut pairs = was.iter().zip(is);
    pairs
        .position(|(a, b)| a.to_bits() != b.to_bits())
        .or_else(|| (was.len() != is.len()).then(|| was.len().min(is.len())))
}

fn cells(what: String, was: &[f64], is: &[f64], cell: usize) -> Divergence {
    let text = |of: &[f64]| of.get(cell).map_or("nothing".into(), f64::to_string);
    Divergence::new(what, &text(was), &text(is))
}
