//! The shipped allocators natively, on random pools: what they answer, the host accepts.

mod common;

use proptest::prelude::*;
use tidegate_conformance::pools::{Shape, pool};
use tidegate_core::invariant::{Invariant, check_allocation};
use tidegate_core::policy::{Allocation, AllocationInput};
use tidegate_core::tier::Tier;

fn pools() -> impl Strategy<Value = AllocationInput> {
    (0_usize..12, 1_usize..7, 1_usize..4, 1_u32..4, any::<u64>()).prop_map(
        |(apis, steps, dimensions, tenants, seed)| {
            pool(
                Shape {
                    apis,
                    steps,
                    dimensions,
                    tenants,
                },
                seed,
            )
        },
    )
}

/// A plan and those after it, each a step later, with what the one before left and put in force.
fn lawful(
    allocate: fn(&AllocationInput) -> Allocation,
    question: &AllocationInput,
) -> Result<(), TestCaseError> {
    let mut question = question.clone();
    for round in 0..4 {
        let answer = allocate(&question);
        if let Err(breach) = check_allocation(&question, &answer) {
            return Err(TestCaseError::fail(format!(
                "round {round}: {breach}\n{question:?}\n{answer:?}"
            )));
        }
        let (n, _, d) = question.shape();
        for (api, k) in (0..n).flat_map(|api| (0..d).map(move |k| (api, k))) {
            question.previous_limit[api * d + k] = answer.limit[question.at(api, 0, k)];
            question.previous_guaranteed[api * d + k] = answer.guaranteed[question.at(api, 0, k)];
            // Used more and more, until it is all that there is.
            question.usage[api * d + k] =
                answer.limit[question.at(api, 0, k)] * (0.4 + 0.2 * f64::from(round));
        }
        question.grid.start = question.grid.at(1);
        question.state = answer.state;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn waterfill_keeps_al1_to_al5(question in pools()) {
        lawful(common::waterfill, &question)?;
    }

    #[test]
    fn learned_keeps_al1_to_al5(question in pools()) {
        lawful(common::learned, &question)?;
    }

    #[test]
    fn proportional_keeps_al1_to_al5(question in pools()) {
        lawful(common::proportional, &question)?;
    }
}

/// The tests above can fail: a plan that is spoiled in one place is refused by that number.
#[test]
fn a_spoiled_plan_is_refused_by_its_number() {
    let shape = Shape {
        apis: 6,
        steps: 2,
        dimensions: 1,
        tenants: 2,
    };
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..400 {
        let question = pool(shape, seed);
        let plan = common::waterfill(&question);
        let spoil: [fn(&AllocationInput, &mut Allocation); 5] = [
            |q, a| a.limit[0] += q.capacity[0] * (1.0 + 1e-12) + 1e-9,
            |q, a| {
                let owner = (0..6).find(|&i| q.quota[q.tenants[i] as usize] < q.capacity[0] * 0.5);
                let own = owner.map_or(0, |i| q.tenants[i]);
                (0..6).for_each(|i| a.limit[q.at(i, 0, 0)] = 0.0);
                let Some(i) = owner else { return };
                a.limit[q.at(i, 0, 0)] = q.quota[own as usize] * 1.5;
            },
            |q, a| {
                let gold = (0..6).filter(|&i| q.tiers[i] == Tier::Gold);
                gold.for_each(|i| a.limit[q.at(i, 1, 0)] = 0.0);
                a.loans.clear();
            },
            |q, a| (0..6).for_each(|i| a.limit[q.at(i, 0, 0)] *= 0.01),
            |_, a| a.loans.iter_mut().for_each(|loan| loan.amount *= 1e6),
        ];
        for change in spoil {
            let mut answer = plan.clone();
            change(&question, &mut answer);
            if let Err(breach) = check_allocation(&question, &answer) {
                seen.insert(breach.invariant);
            }
        }
    }
    let all = [
        Invariant::AL1,
        Invariant::AL2,
        Invariant::AL3,
        Invariant::AL4,
        Invariant::AL5,
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}
