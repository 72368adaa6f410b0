//! What a tier says of how it shares is checked on every allocator's answer.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails where its own data is wrong"
)]

use tidegate_core::canonical::{Canonical, Encoder};
use tidegate_core::catalog::{Catalog, Change, Object};
use tidegate_core::invariant::{Invariant, check_allocation};
use tidegate_core::policy::{Allocation, AllocationInput, Blob, LoanRow, UNBOUNDED};
use tidegate_core::tier::{Sharing, Tier, TierSpec};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Dimension;

/// Ten cores; a Gold api with a floor of 4, which asks for 1, and two Bronze apis that ask for 5 each.
fn question() -> AllocationInput {
    let n = 3;
    AllocationInput {
        now: Timestamp(0),
        seed: 1,
        state: Blob::default(),
        grid: Grid {
            start: Timestamp(0),
            step: Step::MINUTE,
            count: 1,
        },
        dimensions: vec![Dimension::Cpu],
        capacity: vec![10.0],
        capacity_max: vec![10.0],
        apis: vec![1, 2, 3],
        tiers: vec![Tier::Gold, Tier::Bronze, Tier::Bronze],
        weights: vec![1.0; n],
        tenants: vec![0; n],
        floor: vec![4.0, 0.0, 0.0],
        ceiling: vec![UNBOUNDED; n],
        demand: vec![1.0, 5.0, 5.0],
        median: vec![1.0, 5.0, 5.0],
        expected: vec![1.0, 5.0, 5.0],
        usage: vec![1.0, 5.0, 5.0],
        previous_guaranteed: vec![-1.0; n],
        previous_limit: vec![-1.0; n],
        step_up: vec![4.0; n],
        step_down: vec![0.5; n],
        emergency: vec![false; n],
        quota: vec![UNBOUNDED],
        lends: vec![true; n],
        borrows: vec![true; n],
        max_share: vec![1.0; 3],
    }
}

/// Gold lends 3 of its 4 to the first Bronze api.
fn answer() -> Allocation {
    Allocation {
        guaranteed: vec![4.0, 0.0, 0.0],
        limit: vec![1.0, 6.0, 3.0],
        loans: vec![LoanRow {
            lender: 0,
            borrower: 1,
            dimension: 0,
            amount: 3.0,
            from_step: 0,
            until_step: 1,
        }],
        wanted: vec![11.0],
        reasons: vec![String::new(); 3],
        state: Blob::default(),
    }
}

fn refused(change: impl Fn(&mut AllocationInput)) -> (Invariant, String) {
    let mut question = question();
    change(&mut question);
    let breach = check_allocation(&question, &answer()).unwrap_err();
    (breach.invariant, breach.detail)
}

#[test]
fn a_plan_of_tiers_that_share_freely_is_lawful() {
    assert_eq!(check_allocation(&question(), &answer()), Ok(()));
}

#[test]
fn a_loan_from_a_tier_that_does_not_lend_breaks_al5_by_that_tiers_name() {
    let (number, detail) = refused(|q| q.lends[0] = false);
    assert_eq!(number, Invariant::AL5);
    assert_eq!(
        detail,
        "loan 0 is from api 0 of tier gold, which does not lend"
    );
}

#[test]
fn a_loan_to_a_tier_that_does_not_borrow_breaks_al5_by_that_tiers_name() {
    let (number, detail) = refused(|q| q.borrows[1] = false);
    assert_eq!(number, Invariant::AL5);
    assert_eq!(
        detail,
        "loan 0 is to api 1 of tier bronze, which does not borrow"
    );
}

#[test]
fn a_tier_that_holds_more_than_its_share_breaks_al4_by_its_name() {
    let (number, detail) = refused(|q| q.max_share[Tier::Bronze as usize] = 0.5);
    assert_eq!(number, Invariant::AL4);
    assert_eq!(
        detail,
        "bronze apis hold 9 of cpu together at step 0, their tier's max_share of 0.5 allows 5"
    );
}

#[test]
fn a_tiers_share_gives_way_to_gold_floors_and_to_what_step_bounds_keep() {
    let mut question = question();
    question.max_share = vec![0.5, 1.0, 0.0];
    // Both had 9: a fall below 4.5 in one step is not theirs to make.
    question.previous_limit = vec![4.0, 9.0, 9.0];
    question.capacity = vec![14.0];
    let mut kept = answer();
    kept.loans.clear();
    kept.limit = vec![4.0, 4.5, 4.5];
    assert_eq!(check_allocation(&question, &kept), Ok(()));
    kept.limit = vec![4.0, 4.5, 4.6];
    let breach = check_allocation(&question, &kept).unwrap_err();
    assert_eq!(breach.invariant, Invariant::AL4, "{breach}");
    // An emergency lifts step bounds, and so what they keep.
    kept.limit = vec![4.0, 4.5, 4.5];
    question.emergency = vec![false, true, true];
    let breach = check_allocation(&question, &kept).unwrap_err();
    assert_eq!(breach.invariant, Invariant::AL4, "{breach}");
}

#[test]
fn an_api_above_its_ceiling_breaks_al4() {
    let (number, detail) = refused(|q| q.ceiling[2] = 2.5);
    assert_eq!(number, Invariant::AL4);
    assert_eq!(detail, "api 2 gets 3 of cpu at step 0, its ceiling is 2.5");
}

#[test]
fn a_question_keeps_its_bytes_where_tiers_share_freely_and_has_others_where_they_do_not() {
    let bytes = |change: fn(&mut AllocationInput)| {
        let mut question = question();
        change(&mut question);
        let mut encoder = Encoder::default();
        question.encode(&mut encoder);
        encoder.digest()
    };
    let free = bytes(|_| ());
    let before = bytes(|q| (q.lends, q.borrows, q.max_share) = Default::default());
    assert_eq!(free, before, "a question of before tiers could say it");
    let changed = [
        bytes(|q| q.lends[0] = false),
        bytes(|q| q.borrows[0] = false),
        bytes(|q| q.max_share[0] = 0.5),
    ];
    assert!(changed.iter().all(|digest| *digest != free));
    assert!(changed[0] != changed[1] && changed[1] != changed[2]);
}

#[test]
fn a_share_that_is_no_part_is_refused_by_its_field() {
    for share in [-0.1, 1.5, 30.0, f64::NAN] {
        let mut spec = TierSpec::default_of(Tier::Bronze);
        spec.sharing = Sharing {
            max_share: share,
            ..Sharing::default()
        };
        let change = Change::Put {
            object: Box::new(Object::Tier(spec)),
            expect: None,
        };
        let problems = Catalog::default().apply(&[change]).unwrap_err();
        assert_eq!(
            problems[0].to_string(),
            format!(
                "tier bronze: max_share: {share} is not a part of a pool; write 0.5 for half of it, or 1 for no bound"
            )
        );
    }
}
