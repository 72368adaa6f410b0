//! What an allocator promises: AL1 to AL5 on any lawful pool, and nothing kept in secret.

use crate::pools;
use crate::report::Cases;
use crate::{
    Asked, FOREIGN_FORMAT, answered, check_configs, check_format, ensure, is_not_fitted,
    is_unsupported, refused, same_bits,
};
use tidegate_core::invariant::check_allocation;
use tidegate_core::policy::{Allocation, AllocationInput, Allocator, Blob};

pub(crate) fn check(cases: &mut Cases, policy: &dyn Allocator, asked: Asked<'_>) {
    let config = asked.config;
    let Some(plain) = pools::sampled().find(|pool| pool.apis.len() > 2) else {
        return;
    };
    check_configs(cases, asked, |config| policy.allocate(config, &plain));
    if let Ok(answer) = policy.allocate(config, &plain) {
        check_format(cases, asked, answer.state.format);
    }
    cases.run(
        "plans keep AL1 to AL5 on 32 pools, and follow each other",
        || {
            pools::sampled().enumerate().try_for_each(|(i, pool)| {
                twice(policy, config, &pool).map_err(|problem| format!("pool {i}: {problem}"))
            })
        },
    );
    cases.run(
        "a second plan from the same question is the same to the last bit",
        || {
            pools::sampled().try_for_each(|pool| {
                let one = answered(policy.allocate(config, &pool))?;
                same(&one, &answered(policy.allocate(config, &pool))?)
            })
        },
    );
    cases.run("a state that is not its own is not-fitted", || {
        let mut pool = plain.clone();
        pool.state = Blob {
            format: FOREIGN_FORMAT,
            bytes: vec![0xee; 64],
        };
        refused(policy.allocate(config, &pool), is_not_fitted, "not-fitted").map(drop)
    });
    cases.run("its own state migrates to itself", || {
        let state = answered(policy.allocate(config, &plain))?.state;
        let moved = answered(policy.migrate(&state))?;
        ensure(moved == state, || "it became another".into())
    });
    cases.run(
        "a state of a format that it cannot read is unsupported by `migrate`",
        || {
            let state = Blob {
                format: FOREIGN_FORMAT,
                bytes: vec![1, 2, 3],
            };
            refused(policy.migrate(&state), is_unsupported, "unsupported").map(drop)
        },
    );
}

/// A plan, and the one that follows it a step later.
fn twice(policy: &dyn Allocator, config: &str, pool: &AllocationInput) -> Result<(), String> {
    let first = answered(policy.allocate(config, pool))?;
    check_allocation(pool, &first).map_err(|breach| breach.to_string())?;
    let next = follow(pool, &first);
    let second = answered(policy.allocate(config, &next))?;
    check_allocation(&next, &second).map_err(|breach| format!("the plan after: {breach}"))
}

/// The question that comes when a plan's first step is in force.
#[must_use]
fn follow(pool: &AllocationInput, plan: &Allocation) -> AllocationInput {
    let mut next = pool.clone();
    let (n, _, d) = pool.shape();
    for api in 0..n {
        for k in 0..d {
            next.previous_limit[api * d + k] = plan.limit[pool.at(api, 0, k)];
            next.previous_guaranteed[api * d + k] = plan.guaranteed[pool.at(api, 0, k)];
        }
    }
    next.state = plan.state.clone();
    next
}

fn same(a: &Allocation, b: &Allocation) -> Result<(), String> {
    let columns = [
        ("guaranteed", &a.guaranteed, &b.guaranteed),
        ("limit", &a.limit, &b.limit),
        ("wanted", &a.wanted, &b.wanted),
    ];
    for (name, a, b) in columns {
        ensure(same_bits(a, b), || format!("{name} differs"))?;
    }
    ensure(
        a.loans == b.loans && a.reasons == b.reasons && a.state == b.state,
        || "loans, reasons or state differ".into(),
    )
}
