//! Asks the allocator again, over what is left of the plan in force, and makes a plan of its answer.
//!
//! The question is the one that was asked for the plan in force: without the steps that are over, with
//! floors in the demand of the steps before they end, and with what is in force now as what was before.
//! So an amendment is recomputed from its record as any plan is (LE1).

use super::{Floors, Input, Seen};
use crate::allocate::{self, inputs_digest};
use tidegate_core::canonical;
use tidegate_core::plan::{ApiPlan, Loan, Plan};
use tidegate_core::policy::{Allocation, AllocationInput};
use tidegate_core::roster::{Fault, Served};
use tidegate_core::time::Grid;

/// A plan that moves nothing by more than this part is not worth a generation.
const MOVED: f64 = 0.01;

/// Whether the question is the plan's: of the same apis, dimensions, steps and capacity. What was
/// declared anew since is a cycle's affair, which is due at once.
pub(super) fn fits(input: &Input<'_>) -> bool {
    let (plan, asked) = (input.plan, input.asked);
    let is_ready = |(i, d): (usize, &tidegate_core::units::Dimension)| {
        input.pool.ready.get(*d) == plan.capacity.get(i).copied()
    };
    asked.apis.len() == plan.apis.len()
        && asked.dimensions == plan.dimensions
        && asked.grid == plan.grid
        && plan.dimensions.iter().enumerate().all(is_ready)
}

/// Whether a plan gives anybody more than the one in force, or wants more for the pool.
pub(super) fn moves(input: &Input<'_>, amended: &Plan) -> bool {
    let skipped = input.plan.step_at(input.now) * input.plan.dimensions.len();
    let rises = |new: &[f64], old: &[f64]| {
        let mut pairs = new.iter().zip(old.iter().skip(skipped));
        pairs.any(|(new, old)| *new > old * (1.0 + MOVED))
    };
    let mut rows = amended.apis.iter().zip(&input.plan.apis);
    rises(&amended.wanted, &input.plan.wanted) || rows.any(|(a, b)| rises(&a.limit, &b.limit))
}

/// Asks and assembles.
pub(super) fn run(
    input: &Input<'_>,
    floors: &Floors,
    departed: &[(usize, usize, Seen)],
    faults: &mut Vec<Fault>,
) -> Result<allocate::Output, allocate::Error> {
    let question = question(input, floors);
    let (allocation, config, question, served) =
        allocate::ask(input.pool, input.roster, input.state, &question, faults)?;
    let inputs = inputs_digest(&question, &config, &served);
    let mut plan = assemble(input, &question, &allocation, served);
    plan.inputs = inputs;
    for &(row, d, seen) in departed {
        let why = sentence(&plan, row, d, seen);
        let reason = &mut plan.apis[row].reason;
        *reason = format!("{why}; {reason}");
    }
    Ok(allocate::Output {
        plan,
        question,
        config: config.to_string(),
        state: allocation.state,
    })
}

fn sentence(plan: &Plan, row: usize, d: usize, seen: Seen) -> String {
    let unit = plan.dimensions[d].unit();
    format!(
        "measured use of {:.2} {unit} until {} departs from the plan, which gave {:.2}: it needs {:.2} and \
         gets {:.2}",
        seen.used, seen.at, seen.given, seen.need, plan.apis[row].limit[d]
    )
}

/// What was asked, from the current step on, with what is known now.
fn question(input: &Input<'_>, floors: &Floors) -> AllocationInput {
    let (plan, asked) = (input.plan, input.asked);
    let (n, steps, width) = asked.shape();
    let first = plan.step_at(input.now);
    let grid = Grid {
        start: asked.grid.at(first),
        step: asked.grid.step,
        count: steps - first,
    };
    let tail = |matrix: &[f64]| -> Vec<f64> {
        let rows = matrix.chunks(steps * width);
        rows.flat_map(|row| row[first * width..].iter().copied())
            .collect()
    };
    let mut next = AllocationInput {
        now: input.now,
        seed: canonical::seed(input.seed, "adjust", input.pool.id.as_str(), input.now.0),
        state: tidegate_core::policy::Blob::default(), // each member gets its own
        grid,
        capacity: asked.capacity[first * width..].to_vec(),
        demand: tail(&asked.demand),
        median: tail(&asked.median),
        ..asked.clone()
    };
    for row in 0..n {
        let api = &plan.apis[row];
        for (d, &dimension) in plan.dimensions.iter().enumerate() {
            let cell = row * width + d;
            next.previous_limit[cell] = api.limit[first * width + d];
            next.previous_guaranteed[cell] = api.guaranteed[first * width + d];
            if let Some(m) = input.measured.get(&(api.api.clone(), dimension)) {
                next.usage[cell] = m.used;
            }
            let Some(floor) = floors.of(&api.api, dimension, input.settings.hold_ms) else {
                continue;
            };
            for step in (0..grid.count).filter(|&s| grid.at(s) < floor.until) {
                let at = next.at(row, step, d);
                next.demand[at] = next.demand[at].max(floor.seen.need);
                next.median[at] = next.median[at].max(floor.seen.need);
            }
        }
    }
    next
}

fn assemble(
    input: &Input<'_>,
    question: &AllocationInput,
    allocation: &Allocation,
    served: Served,
) -> Plan {
    let (_, s, width) = question.shape();
    let row = |matrix: &[f64], api: usize| matrix[api * s * width..(api + 1) * s * width].to_vec();
    let apis = input
        .plan
        .apis
        .iter()
        .enumerate()
        .map(|(i, before)| ApiPlan {
            guaranteed: row(&allocation.guaranteed, i),
            limit: row(&allocation.limit, i),
            demand: row(&question.demand, i),
            reason: allocation.reasons[i].clone(),
            api: before.api.clone(),
            tier: before.tier,
            tier_since: before.tier_since,
            safe: before.safe,
            tier_reason: before.tier_reason.clone(),
            emergency: before.emergency.clone(),
        });
    let id = |i: u32| input.plan.apis[i as usize].api.clone();
    let loans = allocation.loans.iter().map(|l| Loan {
        lender: id(l.lender),
        borrower: id(l.borrower),
        dimension: question.dimensions[l.dimension as usize],
        amount: l.amount,
        from: question.grid.at(l.from_step as usize),
        until: question.grid.at(l.until_step as usize),
    });
    Plan {
        generation: input.plan.generation.next(),
        parent: input.plan.generation,
        made_at: input.now,
        grid: question.grid,
        capacity: question.capacity.clone(),
        wanted: allocation.wanted.clone(),
        apis: apis.collect(),
        loans: loans.collect(),
        served,
        pool: input.plan.pool.clone(),
        expires_at: input.plan.expires_at,
        dimensions: question.dimensions.clone(),
        inputs: input.plan.inputs,
    }
}
