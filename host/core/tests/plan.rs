//! What one api may use, at one instant, out of a plan.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where its own data is wrong"
)]

use tidegate_core::canonical::Canonical;
use tidegate_core::ids::{ApiId, Digest, Generation};
use tidegate_core::invariant::{Invariant, check_succession};
use tidegate_core::module::ModuleRef;
use tidegate_core::plan::{ApiPlan, Loan, Plan};
use tidegate_core::roster::{Retreat, Served};
use tidegate_core::tier::Tier;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::{Dimension, Resources};

fn id(name: &str) -> ApiId {
    format!("shop/{name}").parse().unwrap()
}

fn plan() -> Plan {
    let row = |name: &str, limit: [f64; 2]| ApiPlan {
        api: id(name),
        tier: Tier::Gold,
        tier_since: Timestamp(0),
        guaranteed: vec![1.0, 1.0],
        limit: limit.to_vec(),
        demand: vec![1.0, 1.0],
        safe: Resources::NONE.with(Dimension::Cpu, 0.5),
        reason: "because".into(),
        tier_reason: "because".into(),
        emergency: None,
    };
    Plan {
        pool: "edge".parse().unwrap(),
        generation: Generation(4),
        parent: Generation(3),
        made_at: Timestamp(0),
        grid: Grid {
            start: Timestamp(0),
            step: Step::MINUTE,
            count: 2,
        },
        expires_at: Timestamp(300_000),
        dimensions: vec![Dimension::Cpu],
        capacity: vec![8.0, 8.0],
        wanted: vec![4.0, 4.0],
        apis: vec![row("a", [1.0, 2.0]), row("b", [3.0, 4.0])],
        loans: vec![Loan {
            lender: id("a"),
            borrower: id("b"),
            dimension: Dimension::Cpu,
            amount: 0.5,
            from: Timestamp(0),
            until: Timestamp(60_000),
        }],
        served: Served {
            module: ModuleRef::native("test"),
            retreat: Retreat::Active,
        },
        inputs: Digest::of(b""),
    }
}

fn cores(plan: &Plan, name: &str, ms: i64) -> f64 {
    plan.grant(&id(name), Timestamp(ms))
        .unwrap()
        .limit
        .get(Dimension::Cpu)
        .unwrap()
}

#[test]
fn a_grant_follows_its_steps_then_holds_then_falls_to_safe_capacity() {
    let plan = plan();
    let at = |ms| cores(&plan, "a", ms).to_bits();
    assert_eq!(at(0), 1.0_f64.to_bits());
    assert_eq!(at(60_000), 2.0_f64.to_bits());
    assert_eq!(
        at(299_999),
        2.0_f64.to_bits(),
        "the last step holds until the plan expires"
    );
    assert_eq!(at(300_000), 0.5_f64.to_bits(), "safe capacity");
    assert_eq!(
        at(-1),
        1.0_f64.to_bits(),
        "a reader whose clock lags gets the first step"
    );
    assert!(plan.grant(&id("c"), Timestamp(0)).is_none());
}

#[test]
fn a_loan_shows_on_both_sides_while_it_lasts() {
    let loans = |name: &str, ms| plan().grant(&id(name), Timestamp(ms)).unwrap().loans.len();
    assert_eq!(
        (loans("a", 0), loans("b", 59_999), loans("a", 60_000)),
        (1, 1, 0)
    );
}

#[test]
fn generations_rise_by_one_from_the_plan_that_was_published() {
    assert!(check_succession(&plan(), Some(Generation(3))).is_ok());
    for last in [None, Some(Generation(2)), Some(Generation(4))] {
        assert_eq!(
            check_succession(&plan(), last).unwrap_err().invariant,
            Invariant::PL1
        );
    }
}

#[test]
fn the_canonical_bytes_notice_every_part() {
    let base = plan().digest();
    let changed = |change: fn(&mut Plan)| {
        let mut p = plan();
        change(&mut p);
        p.digest()
    };
    let all = [
        changed(|p| p.generation = Generation(5)),
        changed(|p| p.expires_at = Timestamp(1)),
        changed(|p| p.apis[1].limit[1] += f64::EPSILON * 4.0),
        changed(|p| p.apis[0].safe = Resources::NONE),
        changed(|p| p.loans.clear()),
        changed(|p| p.wanted[0] = 5.0),
        changed(|p| p.served.retreat = Retreat::Baseline),
    ];
    assert!(all.iter().all(|d| *d != base));
    assert_eq!(plan().digest(), base);
}
