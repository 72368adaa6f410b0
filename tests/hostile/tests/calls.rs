//! What a guest does wrong in a call, what the engine says, and that its neighbours do not notice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;
use std::sync::{Arc, LazyLock};
use tidegate_core::invariant::{Invariant, check_forecasts};
use tidegate_core::module::ModuleKind;
use tidegate_core::policy::{CallError, Forecaster, Forecasts, PolicyError};
use tidegate_core::roster::Retreat;
use tidegate_engine::{AdmissionError, Engine, Limits, Loaded, Options, Policy};
use tidegate_hostile::{
    BODY_OK, DEEP, GROW, GROW_TABLE, Guest, LOOP, frames, horizon, roster_of, states,
};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(Options::default()).unwrap());
static NEIGHBOUR: LazyLock<Arc<dyn Forecaster>> =
    LazyLock::new(|| forecaster(&admit(&Guest::forecaster("neighbour").stamp(7))));

fn admit(guest: &Guest) -> Loaded {
    let bytes = guest.build().unwrap();
    ENGINE.admit(&bytes, &Limits::default()).unwrap()
}

fn forecaster(loaded: &Loaded) -> Arc<dyn Forecaster> {
    match loaded.policy() {
        Policy::Forecaster(policy) => policy.clone(),
        other => panic!("{other:?}"),
    }
}

fn predict(policy: &dyn Forecaster, seeds: &[u64]) -> Result<Forecasts, CallError> {
    policy.predict(&[], &states(seeds.len()), &horizon(seeds, 2))
}

/// Calls the guest, then its neighbour.
#[track_caller]
fn outcome(guest: &Guest) -> Result<Forecasts, CallError> {
    let guest = guest
        .clone()
        .manifest("limits", json!({ "deadline_ms": 60 }));
    let outcome = predict(&*forecaster(&admit(&guest)), &[0]);
    let answer = predict(&**NEIGHBOUR, &[0]).expect("the neighbour answers");
    assert_eq!(answer.mean, [7.0, 7.0]);
    outcome
}

#[track_caller]
fn trap(guest: &Guest, part: &str) {
    match outcome(guest) {
        Err(CallError::Trap(text)) => assert!(text.contains(part), "{text}"),
        other => panic!("{other:?}, expected a trap with `{part}`"),
    }
}

#[track_caller]
fn limit(guest: &Guest, expected: &str) {
    match outcome(guest) {
        Err(CallError::Limit { what, limit }) => {
            assert_eq!(what, expected);
            assert!(limit > 0);
        }
        other => panic!("{other:?}, expected the limit `{expected}`"),
    }
}

fn guest(predict: &str) -> Guest {
    Guest::forecaster("guest").body("predict", predict)
}

#[test]
fn a_good_guest_answers() {
    let policy = forecaster(&admit(&Guest::forecaster("good").stamp(3)));
    let answer = predict(&*policy, &[0, 128]).unwrap();
    assert_eq!(answer.mean, [3.0, 3.0, 3.5, 3.5]);
    assert_eq!(answer.quantiles[6..9], [3.5, 4.5, 5.5]);
    check_forecasts(&horizon(&[0, 128], 2), &answer).unwrap();
    let fitted = policy.fit("{}", &frames(&[1, 2])).unwrap();
    assert_eq!((fitted.states.format, fitted.states.len()), (3, 2));
    let updated = policy
        .update(&[1], &fitted.states, &frames(&[1, 2]))
        .unwrap();
    assert_eq!(updated.status, [Ok(()), Ok(())]);
    assert_eq!(policy.migrate(&[], &states(5)).unwrap().states.len(), 5);
}

#[test]
fn a_guest_that_never_returns_meets_its_deadline() {
    let limited = Err(CallError::Deadline { limit_ms: 60 });
    assert_eq!(outcome(&guest(LOOP)), limited);
    // The post-return function is the guest's code as well.
    let name = "cabi_post_tidegate:policy/forecasting@0.2.0#predict";
    let post = format!("(func (export \"{name}\") (param i32) (loop $ever (br $ever)))");
    assert_eq!(outcome(&Guest::forecaster("post").extra(&post)), limited);
}

#[test]
fn a_guest_that_takes_all_memory_meets_its_limit() {
    limit(&guest(GROW), "memory");
    let table = guest(GROW_TABLE).extra("(table $t 1 funcref)");
    limit(&table, "table-elements");
}

#[test]
fn a_guest_may_do_with_less_memory_when_growth_is_refused() {
    let careful = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))";
    assert!(outcome(&guest(&BODY_OK.predict_after(careful))).is_ok());
}

#[test]
fn a_guest_that_recurses_without_end_meets_the_stack() {
    let deep = "(func $deep (param i32) (result i32)
        (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";
    limit(&guest(DEEP).extra(deep), "stack");
}

#[test]
fn a_trap_is_told_with_the_guests_own_last_words() {
    trap(&guest("(unreachable)"), "unreachable");
    let words = "(data (i32.const 40000) \"panicked at model.rs:7: no season\")";
    let panic = "(call $log (i32.const 3) (i32.const 40000) (i32.const 33)) (unreachable)";
    trap(
        &guest(panic).extra(words),
        "panicked at model.rs:7: no season; wasm",
    );
}

#[test]
fn an_answer_outside_the_guests_memory_is_a_trap() {
    let wild = "(call $list (i32.add (local.get $out) (i32.const 4)) (i32.const 8)
        (i32.const 0x0fffffff))";
    trap(&guest(&BODY_OK.predict_but(wild)), "out of bounds");
    let odd = "(call $list (i32.add (local.get $out) (i32.const 4)) (i32.const 12) (i32.const 2))";
    trap(&guest(&BODY_OK.predict_but(odd)), "align");
    trap(&guest("(i32.const -8)"), "out of bounds");
    trap(
        &guest(&BODY_OK.predict_but("(i32.store8 (local.get $out) (i32.const 9))")),
        "",
    );
}

#[test]
fn a_huge_answer_meets_its_limit() {
    // 5 million numbers, 40 MB, all within the guest's 64 MiB.
    let huge = "(drop (memory.grow (i32.const 700)))
        (call $list (i32.add (local.get $out) (i32.const 4)) (i32.const 8) (i32.const 5000000))";
    limit(&guest(&BODY_OK.predict_but(huge)), "returned-bytes");
    // 200 errors that all point at the same megabyte.
    let same = "(drop (memory.grow (i32.const 32)))
        (local.set $q (call $alloc (i32.const 3200)))
        (local.set $i (i32.const 0))
        (loop $next
          (i32.store8 (i32.add (local.get $q) (i32.shl (local.get $i) (i32.const 4))) (i32.const 1))
          (i32.store8 offset=4
            (i32.add (local.get $q) (i32.shl (local.get $i) (i32.const 4))) (i32.const 5))
          (i32.store offset=8
            (i32.add (local.get $q) (i32.shl (local.get $i) (i32.const 4))) (i32.const 200000))
          (i32.store offset=12
            (i32.add (local.get $q) (i32.shl (local.get $i) (i32.const 4))) (i32.const 1000000))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $i) (i32.const 200))))
        (call $list (i32.add (local.get $out) (i32.const 20)) (local.get $q) (i32.const 200))";
    limit(&guest(&BODY_OK.predict_but(same)), "returned-bytes");
}

#[test]
fn an_answer_of_a_wrong_length_is_refused() {
    for (at, column) in [(8, "mean"), (16, "quantiles"), (24, "status")] {
        let short = format!("(i32.store offset={at} (local.get $out) (i32.const 0))");
        match outcome(&guest(&BODY_OK.predict_but(&short))) {
            Err(CallError::Refused(breach)) => {
                assert_eq!(breach.invariant, Invariant::FC1);
                assert!(breach.detail.starts_with(column), "{breach}");
            }
            other => panic!("{other:?}"),
        }
    }
    let falling = "(i32.store (i32.load offset=16 (local.get $out)) (i32.const 9))";
    let fit = Guest::forecaster("fit").body("fit", &BODY_OK.fit_but(falling));
    let outcome = forecaster(&admit(&fit)).fit("{}", &frames(&[1]));
    assert!(matches!(&outcome, Err(CallError::Refused(b)) if b.detail.contains("never fall")));
}

#[test]
fn nonsense_in_quantiles_falls_back_to_the_version_before() {
    for (name, wrong, part) in [
        (
            "nan",
            "(f64.store (local.get $q) (f64.const nan))",
            "level 0 at step 0 is NaN",
        ),
        (
            "falling",
            "(f64.store (local.get $q) (f64.const 100))",
            "below the level before",
        ),
        (
            "negative",
            "(f64.store (local.get $p) (f64.const -1))",
            "mean at step 0 is -1",
        ),
        (
            "infinite",
            "(f64.store offset=8 (local.get $p) (f64.const inf))",
            "mean at step 1",
        ),
    ] {
        let loaded = admit(&guest(&BODY_OK.predict_but(wrong)).extra(""));
        let behind = admit(&Guest::forecaster("behind").stamp(7));
        let roster = roster_of(
            (loaded.module_ref(), forecaster(&loaded)),
            (behind.module_ref(), forecaster(&behind)),
        );
        let mut faults = vec![];
        let asked = horizon(&[0], 2);
        let answer = roster
            .call(
                name,
                &mut faults,
                |member| member.policy.predict(&[], &states(1), &asked),
                |forecasts| check_forecasts(&asked, forecasts),
            )
            .unwrap();
        assert_eq!(answer.served.retreat, Retreat::LastGood);
        assert_eq!(answer.value.mean, [7.0, 7.0]);
        assert!(
            faults[0].error.to_string().contains(part),
            "{}",
            faults[0].error
        );
    }
}

#[test]
fn a_flood_of_logs_is_dropped_and_the_call_goes_on() {
    let flood = "(local.set $i (i32.const 20000))
        (loop $again
          (call $log (i32.const 1) (i32.const 0) (i32.const 1000))
          (local.set $i (i32.sub (local.get $i) (i32.const 1)))
          (br_if $again (local.get $i)))";
    let answer = outcome(&guest(&BODY_OK.predict_after(flood)).extra("(data (i32.const 0) \"x\")"));
    // 20 MB of text may be slower than the deadline on a busy machine, but is never an answer that
    // is wrong.
    match answer {
        Ok(answer) => assert_eq!(answer.mean, [1.0, 1.0]),
        Err(error) => assert_eq!(error, CallError::Deadline { limit_ms: 60 }),
    }
    let bad = "(call $log (i32.const 9) (i32.const 0) (i32.const 1))";
    trap(&guest(&BODY_OK.predict_after(bad)), "");
    let not_text = "(i32.store8 (i32.const 0) (i32.const 0xff))
        (call $log (i32.const 1) (i32.const 0) (i32.const 1))";
    trap(&guest(&BODY_OK.predict_after(not_text)), "utf-8");
}

#[test]
fn a_guest_keeps_nothing_from_call_to_call() {
    let counts = "(i32.store (i32.const 9000)
          (i32.add (i32.load (i32.const 9000)) (i32.const 1)))
        (global.set $called (i32.add (global.get $called) (i32.const 1)))
        (if (i32.or (i32.gt_u (i32.load (i32.const 9000)) (i32.const 1))
                    (i32.gt_u (global.get $called) (i32.const 1)))
          (then (unreachable)))";
    let guest =
        guest(&BODY_OK.predict_after(counts)).extra("(global $called (mut i32) (i32.const 0))");
    let policy = forecaster(&admit(&guest));
    for _ in 0..20 {
        predict(&*policy, &[0]).unwrap();
    }
}

#[test]
fn a_fit_meets_its_own_deadline_or_is_cancelled() {
    let slow = Guest::forecaster("slow").body("fit", LOOP);
    let short = slow
        .clone()
        .manifest("limits", json!({ "fit_deadline_ms": 40 }));
    let outcome = forecaster(&admit(&short)).fit("{}", &frames(&[1]));
    assert_eq!(outcome, Err(CallError::Deadline { limit_ms: 40 }));
    for cancel in [Loaded::cancel_fits, |_: &Loaded| ENGINE.cancel_fits()] {
        let loaded = admit(&slow);
        let policy = forecaster(&loaded);
        let outcome = std::thread::scope(|scope| {
            let fit = scope.spawn(|| policy.fit("{}", &frames(&[1])));
            // The fit would end by itself only after 30 s.
            while !fit.is_finished() {
                cancel(&loaded);
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            fit.join().unwrap()
        });
        assert!(matches!(outcome, Err(CallError::Unavailable(text)) if text.contains("cancelled")));
    }
}

#[test]
fn a_guest_that_cannot_start_is_not_admitted() {
    let refused = |guest: &Guest| {
        let guest = guest
            .clone()
            .manifest("limits", json!({ "deadline_ms": 60 }));
        ENGINE
            .admit(&guest.build().unwrap(), &Limits::default())
            .unwrap_err()
    };
    let start = "(func $spin (loop $ever (br $ever))) (start $spin)";
    let deadline = CallError::Deadline { limit_ms: 60 };
    let spins = refused(&Guest::forecaster("start").extra(start));
    assert_eq!(spins, AdmissionError::Describe(deadline.clone()));
    let spins = refused(&Guest::forecaster("describe").body("describe", LOOP));
    assert_eq!(spins, AdmissionError::Describe(deadline));
    let large = refused(&Guest::forecaster("large").pages(2000));
    let memory = CallError::Limit {
        what: "memory",
        limit: 64 << 20,
    };
    assert_eq!(large, AdmissionError::Describe(memory));
}

#[test]
fn every_kind_is_called_through_its_own_interface() {
    use tidegate_core::policy::{AllocationInput, Blob, Counts, JudgeInput, TierInput, Verdict};
    use tidegate_core::tier::Tier;
    use tidegate_core::time::{Grid, Step, Timestamp};
    use tidegate_core::units::Dimension;
    let state = Blob {
        format: 4,
        bytes: b"kept".to_vec(),
    };
    let next = Blob {
        format: 5,
        ..state.clone()
    };
    let policy = |kind| admit(&Guest::new(kind, "kind")).policy().clone();
    let Policy::Tierer(tierer) = policy(ModuleKind::Tierer) else {
        panic!("kind")
    };
    let one = vec![Tier::Gold; 3];
    let input = TierInput {
        now: Timestamp(1),
        seed: 2,
        state: state.clone(),
        apis: vec![1, 2, 3],
        current: one.clone(),
        base: one.clone(),
        lowest: one.clone(),
        highest: one,
        dwell: vec![0; 3],
        expected: vec![1.0; 3],
        levels: vec![],
        peak: vec![],
        utilisation: vec![0.5; 3],
        burn_windows: vec![],
        burn: vec![],
        budget_left: vec![1.0; 3],
    };
    let output = tierer.decide("{}", &input).unwrap();
    assert_eq!(
        (output.wanted, output.state),
        (vec![Tier::Bronze; 3], next.clone())
    );
    assert_eq!(tierer.migrate(&state).unwrap(), next);

    let Policy::Allocator(allocator) = policy(ModuleKind::Allocator) else {
        panic!("kind")
    };
    let input = AllocationInput {
        now: Timestamp(1),
        seed: 2,
        state: state.clone(),
        grid: Grid {
            start: Timestamp(0),
            step: Step::MINUTE,
            count: 2,
        },
        dimensions: vec![Dimension::Cpu, Dimension::Requests],
        capacity: vec![9.0; 4],
        capacity_max: vec![9.0; 2],
        apis: vec![7, 8, 9],
        tiers: vec![Tier::Silver; 3],
        weights: vec![1.0; 3],
        tenants: vec![0; 3],
        floor: vec![0.0; 6],
        ceiling: vec![9.0; 6],
        demand: vec![1.0; 12],
        median: vec![1.0; 12],
        expected: vec![1.0; 6],
        usage: vec![1.0; 6],
        previous_guaranteed: vec![-1.0; 6],
        previous_limit: vec![-1.0; 6],
        step_up: vec![2.0; 3],
        step_down: vec![0.5; 3],
        emergency: vec![false; 3],
        quota: vec![9.0; 2],
        lends: vec![true; 3],
        borrows: vec![true; 3],
        max_share: vec![1.0; 3],
    };
    let plan = allocator.allocate("{}", &input).unwrap();
    assert_eq!(
        (plan.limit.len(), plan.wanted.len(), plan.reasons.len()),
        (12, 4, 3)
    );
    assert_eq!(plan.state, next);

    let Policy::Judge(judge) = policy(ModuleKind::Judge) else {
        panic!("kind")
    };
    let input = JudgeInput {
        now: Timestamp(1),
        seed: 2,
        state,
        metrics: vec![],
        flushes: vec![],
        counts: Counts::default(),
        dispersion: vec![],
        paired_losses: vec![],
        paired_horizon: 1,
        remaining_s: 60,
    };
    let judgement = judge.judge("{}", &input).unwrap();
    assert_eq!(
        (judgement.verdict, judgement.state),
        (Verdict::Proceed, next)
    );
}

#[test]
fn one_bad_series_fails_alone_and_batching_changes_nothing() {
    let policy = forecaster(&admit(&Guest::forecaster("batch")));
    let seeds = [1, 2, 666, 4, 5, 666, 7];
    let together = predict(&*policy, &seeds).unwrap();
    for (i, &seed) in seeds.iter().enumerate() {
        match predict(&*policy, &[seed]) {
            Ok(alone) => {
                assert_eq!(alone.mean, together.mean[2 * i..2 * i + 2]);
                assert_eq!(alone.quantiles, together.quantiles[6 * i..6 * i + 6]);
                assert_eq!(together.status[i], Ok(()));
            }
            Err(CallError::Trap(_)) => assert!(
                matches!(&together.status[i], Err(PolicyError::Internal(t)) if t.contains("unreachable"))
            ),
            Err(other) => panic!("{other}"),
        }
    }
    let fitted = policy.fit("{}", &frames(&[1, 666, 3])).unwrap();
    let ok: Vec<bool> = fitted.status.iter().map(Result::is_ok).collect();
    assert_eq!((ok, fitted.states.len()), (vec![true, false, true], 3));
}

#[test]
fn one_series_that_never_ends_does_not_take_the_batch_along() {
    let short = Guest::forecaster("slow-series").manifest("limits", json!({ "deadline_ms": 20 }));
    let policy = forecaster(&admit(&short));
    let answer = predict(&*policy, &[1, 667, 3, 4]).unwrap();
    let ok: Vec<bool> = answer.status.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [true, false, true, true]);
}
