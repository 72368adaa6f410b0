//! Guests that misbehave while they are called.

use crate::{Row, observe};
use anyhow::{Result, bail};
use serde_json::json;
use std::sync::Arc;
use tidegate_core::policy::{CallError, Forecaster};
use tidegate_engine::{Engine, Limits, Options, Policy};
use tidegate_hostile::{BODY_OK, DEEP, GROW, GROW_TABLE, Guest, LOOP, frames, horizon, states};

fn forecaster(engine: &Engine, guest: &Guest) -> Result<Arc<dyn Forecaster>> {
    let loaded = engine.admit(&guest.build()?, &Limits::default())?;
    match loaded.policy() {
        Policy::Forecaster(policy) => Ok(policy.clone()),
        other => bail!("{other:?} is no forecaster"),
    }
}

fn told<T>(outcome: Result<T, CallError>) -> String {
    match outcome {
        Ok(_) => "answered lawfully".into(),
        Err(error) => format!("{}: {error}", error.label()),
    }
}

/// The cases, in the order of the guests' own parts.
fn cases() -> Vec<(&'static str, Guest)> {
    let predicts = |body: &str| Guest::forecaster("hostile").body("predict", body);
    let but = |wrong: &str| predicts(&BODY_OK.predict_but(wrong));
    let after = |first: &str| predicts(&BODY_OK.predict_after(first));
    let post = "(func (export \"cabi_post_tidegate:policy/forecasting@0.2.0#predict\") \
        (param i32) (loop $ever (br $ever)))";
    let deep = "(func $deep (param i32) (result i32)
        (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";
    let flood = "(local.set $i (i32.const 20000))
        (loop $again
          (call $log (i32.const 1) (i32.const 0) (i32.const 1000))
          (local.set $i (i32.sub (local.get $i) (i32.const 1)))
          (br_if $again (local.get $i)))";
    let words = "(drop (memory.grow (i32.const 170)))
        (call $log (i32.const 3) (i32.const 1048576) (i32.const 10000000)) (unreachable)";
    let remembers = "(global.set $called (i32.add (global.get $called) (i32.const 1)))
        (if (i32.gt_u (global.get $called) (i32.const 1))
          (then (f64.store (local.get $p) (f64.const 0.5))))";
    vec![
        ("an endless loop", predicts(LOOP)),
        ("an endless post-return", Guest::forecaster("post").extra(post)),
        ("all memory", predicts(GROW)),
        ("all tables", predicts(GROW_TABLE).extra("(table $t 1 funcref)")),
        ("endless recursion", predicts(DEEP).extra(deep)),
        ("a trap", predicts("(unreachable)")),
        ("a panic with 10 MB of words", predicts(words)),
        ("20 MB of log", after(flood)),
        (
            "an answer outside its memory",
            but("(call $list (i32.add (local.get $out) (i32.const 4)) (i32.const 8) (i32.const 0x0fffffff))"),
        ),
        (
            "a misaligned answer",
            but("(call $list (i32.add (local.get $out) (i32.const 4)) (i32.const 12) (i32.const 2))"),
        ),
        (
            "an answer of 40 MB",
            but("(drop (memory.grow (i32.const 700)))
                (call $list (i32.add (local.get $out) (i32.const 4)) (i32.const 8) (i32.const 5000000))"),
        ),
        ("an answer that is too short", but("(i32.store offset=8 (local.get $out) (i32.const 0))")),
        (
            "an unknown error",
            but("(i32.store8 (local.get $out) (i32.const 9))"),
        ),
        (
            "text that is no text",
            after("(i32.store8 (i32.const 0) (i32.const 0xff)) (call $log (i32.const 1) (i32.const 0) (i32.const 1))"),
        ),
        (
            "memory of the call before (warm)",
            but(remembers)
                .extra("(global $called (mut i32) (i32.const 0))")
                .manifest("warm", json!(true)),
        ),
    ]
}

pub(crate) fn run(row: &mut dyn FnMut(Row)) -> Result<()> {
    let engine = Engine::new(Options::default())?;
    let neighbour = forecaster(&engine, &Guest::forecaster("neighbour").stamp(7))?;
    let ask = || -> Result<()> {
        let answer = neighbour.predict(&[], &states(1), &horizon(&[0], 2))?;
        if answer.mean != [7.0, 7.0] {
            bail!("the neighbour answered {:?}", answer.mean);
        }
        Ok(())
    };
    ask()?;
    let limits = json!({ "deadline_ms": 100, "fit_deadline_ms": 200 });
    for (case, guest) in cases() {
        let policy = forecaster(&engine, &guest.manifest("limits", limits.clone()))?;
        row(observe(case, std::process::id(), &ask, || {
            let mut outcome = policy.predict(&[], &states(1), &horizon(&[0], 2));
            // What remembers shows it the second time.
            if outcome.is_ok() {
                outcome = policy.predict(&[], &states(1), &horizon(&[0], 2));
            }
            match outcome {
                Ok(answer) if answer.mean.iter().any(|m| m.to_bits() != 1.0_f64.to_bits()) => {
                    format!("answered from memory: {:?}", answer.mean)
                }
                outcome => told(outcome),
            }
        })?);
    }
    let fit = Guest::forecaster("fit").body("fit", LOOP);
    let policy = forecaster(&engine, &fit.manifest("limits", limits))?;
    row(observe(
        "a fit without end",
        std::process::id(),
        &ask,
        || told(policy.fit("{}", &frames(&[1]))),
    )?);
    Ok(())
}
