//! Instances that are kept between calls: who gets them, what an audit finds, what it costs a guest
//! that never frees.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;
use std::sync::{Arc, LazyLock};
use tidegate_core::policy::{CallError, Forecaster};
use tidegate_engine::{Engine, Limits, Loaded, Options, Policy};
use tidegate_hostile::{BODY_OK, Guest, horizon, states};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(Options::default()).unwrap());

fn admit(guest: &Guest) -> (Loaded, Arc<dyn Forecaster>) {
    let loaded = ENGINE
        .admit(&guest.build().unwrap(), &Limits::default())
        .unwrap();
    match loaded.policy() {
        Policy::Forecaster(policy) => (loaded.clone(), policy.clone()),
        other => panic!("{other:?}"),
    }
}

fn warm(predict: &str) -> Guest {
    Guest::forecaster("warm")
        .body("predict", predict)
        .manifest("warm", json!(true))
        .extra("(global $called (mut i32) (i32.const 0))")
}

fn mean(policy: &dyn Forecaster) -> Result<f64, CallError> {
    let answer = policy.predict(&[], &states(1), &horizon(&[0], 1))?;
    Ok(answer.mean[0])
}

/// Counts its calls; from the one of this number on, its mean is another.
fn turns_at(call: u32) -> String {
    let count = "(global.set $called (i32.add (global.get $called) (i32.const 1)))";
    let turn = format!(
        "(if (i32.ge_u (global.get $called) (i32.const {call}))
           (then (f64.store (local.get $p) (f64.const 0.5))))"
    );
    BODY_OK.predict_but(&format!("{count} {turn}"))
}

#[test]
fn a_module_that_asks_for_it_keeps_its_instance_and_others_do_not() {
    let (loaded, policy) = admit(&warm(&turns_at(u32::MAX)));
    for _ in 0..200 {
        assert_eq!(mean(&*policy).unwrap().to_bits(), 1.0_f64.to_bits());
    }
    let reuse = loaded.reuse().unwrap();
    // The first call of all was the canary's `describe`.
    assert_eq!(reuse.reused, 200);
    assert!(
        (8..30).contains(&reuse.audited) && !reuse.withdrawn,
        "{reuse:?}"
    );
    let (cold, policy) = admit(&Guest::forecaster("cold"));
    mean(&*policy).unwrap();
    assert_eq!(cold.reuse(), None);
}

#[test]
fn one_that_remembers_is_found_at_its_second_answer_and_its_memory_never_counts() {
    let (loaded, policy) = admit(&warm(&turns_at(2)));
    for _ in 0..50 {
        assert_eq!(mean(&*policy).unwrap().to_bits(), 1.0_f64.to_bits());
    }
    let reuse = loaded.reuse().unwrap();
    assert_eq!((reuse.reused, reuse.audited, reuse.withdrawn), (2, 2, true));
}

#[test]
fn one_that_waits_with_it_is_found_by_the_share_that_is_asked_again() {
    let (loaded, policy) = admit(&warm(&turns_at(100)));
    let wrong = (0..1000).filter(|_| mean(&*policy).unwrap() < 1.0).count();
    assert!(loaded.reuse().unwrap().withdrawn);
    assert!(wrong < 900, "{wrong}");
    assert_eq!(mean(&*policy).unwrap().to_bits(), 1.0_f64.to_bits());
}

#[test]
fn a_trap_drops_the_instance_and_the_next_call_is_fresh() {
    let third = "(global.set $called (i32.add (global.get $called) (i32.const 1)))
        (if (i32.eq (global.get $called) (i32.const 3)) (then (unreachable)))";
    let (loaded, policy) = admit(&warm(&BODY_OK.predict_after(third)));
    let outcomes: Vec<bool> = (0..6).map(|_| mean(&*policy).is_ok()).collect();
    assert_eq!(outcomes, [true, true, false, true, true, false]);
    assert!(!loaded.reuse().unwrap().withdrawn);
}

#[test]
fn a_guest_that_never_frees_meets_no_limit_that_a_fresh_one_would_not() {
    let wastes = "(drop (call $alloc (i32.const 300000)))";
    let guest =
        warm(&BODY_OK.predict_after(wastes)).manifest("limits", json!({ "memory_bytes": 4 << 20 }));
    let (loaded, policy) = admit(&guest);
    for call in 0..200 {
        assert!(mean(&*policy).is_ok(), "call {call}");
    }
    let reuse = loaded.reuse().unwrap();
    assert!(reuse.reused > 100 && !reuse.withdrawn, "{reuse:?}");
}

#[test]
fn what_is_kept_leaves_room_for_as_many_calls_as_were_promised() {
    let engine = Engine::new(Options {
        instances: 4,
        ..Options::default()
    })
    .unwrap();
    let modules: Vec<Loaded> = (0..20)
        .map(|n| {
            let guest = warm(&turns_at(u32::MAX)).stamp(n);
            engine
                .admit(&guest.build().unwrap(), &Limits::default())
                .unwrap()
        })
        .collect();
    // More modules than places: some are kept, and no call of any finds the pool empty.
    for _ in 0..3 {
        for (n, loaded) in modules.iter().enumerate() {
            let Policy::Forecaster(policy) = loaded.policy() else {
                panic!("kind")
            };
            assert_eq!(mean(&**policy).unwrap().to_bits(), (n as f64).to_bits());
        }
    }
    let kept = modules
        .iter()
        .filter(|m| m.reuse().is_some_and(|r| r.reused > 0));
    assert_eq!(kept.count(), 16);
}
