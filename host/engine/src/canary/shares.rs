//! First calls of the three kinds that keep one state: twice on an empty state, which must give one
//! answer, then on the state that came back, then that state through `migrate`.

use super::{AdmissionError, At, Rigour, Sung, questions};
use tidegate_core::invariant::check_allocation;
use tidegate_core::policy::{
    Allocation, AllocationInput, Allocator, Blob, CallError, Judge, Tierer,
};

const AGAIN: &str = "when it was asked again";

pub(super) fn tierer(
    policy: &dyn Tierer,
    config: &str,
    sung: &mut Sung,
) -> Result<(), AdmissionError> {
    let at = At {
        call: "decide",
        case: "three apis, one of which burns its budget",
    };
    let ask = |state: Blob| policy.decide(config, &questions::tiers(state));
    let state = kept(at, sung, ask, |answer| answer.state.clone())?;
    migrate(sung, &state, |state| policy.migrate(state))
}

pub(super) fn judge(
    policy: &dyn Judge,
    config: &str,
    sung: &mut Sung,
) -> Result<(), AdmissionError> {
    let at = At {
        call: "judge",
        case: "a shadow of three flushes and two metrics",
    };
    let ask = |state: Blob| policy.judge(config, &questions::shadow(state));
    let state = kept(at, sung, ask, |answer| answer.state.clone())?;
    migrate(sung, &state, |state| policy.migrate(state))
}

pub(super) fn allocator(
    policy: &dyn Allocator,
    config: &str,
    sung: &mut Sung,
) -> Result<(), AdmissionError> {
    let mut state = Blob::default();
    for (case, ready) in [
        ("a pool with plenty for three apis", 1000.0),
        ("a pool with half of what three apis need", 16.0),
        ("an empty pool", 0.0),
    ] {
        let at = At {
            call: "allocate",
            case,
        };
        let ask = |state: Blob| checked(policy, config, &questions::pool(ready, state));
        state = kept(at, sung, ask, |answer| answer.state.clone())?;
    }
    // The next cycle: what was granted is in force, and the state is its own.
    let at = At {
        call: "allocate",
        case: "a pool whose plan is a step old",
    };
    let first = questions::pool(1000.0, Blob::default());
    if let Some(plan) = at.answer(sung, checked(policy, config, &first))? {
        let mut next = questions::pool(1000.0, plan.state.clone());
        let (apis, _, dimensions) = next.shape();
        let in_force = |column: &[f64]| -> Vec<f64> {
            let cells = (0..apis).flat_map(|api| (0..dimensions).map(move |d| (api, d)));
            cells
                .filter_map(|(api, d)| column.get(first.at(api, 0, d)).copied())
                .collect()
        };
        next.previous_guaranteed = in_force(&plan.guaranteed);
        next.previous_limit = in_force(&plan.limit);
        at.answer(sung, checked(policy, config, &next))?;
    }
    migrate(sung, &state, |state| policy.migrate(state))
}

fn checked(
    policy: &dyn Allocator,
    config: &str,
    input: &AllocationInput,
) -> Result<Allocation, CallError> {
    let plan = policy.allocate(config, input)?;
    check_allocation(input, &plan).map_err(CallError::Refused)?;
    Ok(plan)
}

/// Asks twice on an empty state, then on the state that came back; answers the last state.
fn kept<T: std::fmt::Debug>(
    at: At<'_>,
    sung: &mut Sung,
    ask: impl Fn(Blob) -> Result<T, CallError>,
    state: impl Fn(&T) -> Blob,
) -> Result<Blob, AdmissionError> {
    let first = at.answer(sung, ask(Blob::default()))?;
    let again = at.answer(sung, ask(Blob::default()))?;
    at.same(&first, &again, AGAIN)?;
    // Who has answered has taken the config; what comes now may be lawfully refused, such as evidence that
    // the state has seen.
    sung.rigour = Rigour::Module;
    let Some(first) = first else {
        return Ok(Blob::default());
    };
    let next = at.answer(sung, ask(state(&first)))?;
    Ok(state(next.as_ref().unwrap_or(&first)))
}

fn migrate(
    sung: &mut Sung,
    state: &Blob,
    migrate: impl Fn(&Blob) -> Result<Blob, CallError>,
) -> Result<(), AdmissionError> {
    let at = At {
        call: "migrate",
        case: "a state of its own",
    };
    at.answer(sung, migrate(state)).map(|_| ())
}
