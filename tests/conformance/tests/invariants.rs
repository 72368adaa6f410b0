//! The shipped allocators natively, on random pools: what they answer, the host accepts.

mod common;

use proptest::prelude::*;
use tidegate_conformance::pools::{Shape, pool};
use tidegate_core::invariant::check_allocation;
use tidegate_core::policy::{Allocation, AllocationInput};

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

/// A plan and the one after it.
fn lawful(
    allocate: fn(&AllocationInput) -> Allocation,
    question: &AllocationInput,
) -> Result<(), TestCaseError> {
    let mut question = question.clone();
    for round in 0..2 {
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
        }
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
    fn proportional_keeps_al1_to_al5(question in pools()) {
        lawful(common::proportional, &question)?;
    }
}
