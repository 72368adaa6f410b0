//! A call and nothing else: the guest answers with the numbers that it was asked with, so that all that
//! is measured is the host's way in and out, in a fresh instance and in one that is kept.

use crate::{Outcome, at, median, row, us};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use tidegate_core::policy::{Blobs, Covariates, Forecaster, Horizon};
use tidegate_core::time::{Step, Timestamp};
use tidegate_core::units::Level;
use tidegate_engine::{Engine, Limits, Options, Policy};
use tidegate_hostile::{Guest, states};

const ROUNDS: usize = 40;
const CALLS: usize = 250;

/// The first half of the covariates is the mean, the second half the one quantile. What the call
/// allocated is free again when its answer was read, as with any guest that frees.
const ECHO: &str = "
(local.set $n (i32.load offset=32 (local.get 0)))
(local.set $p (i32.load offset=60 (local.get 0)))
(local.set $out (call $alloc (i32.const 64)))
(i32.store (local.get $out) (i32.const 0))
(call $list (i32.add (local.get $out) (i32.const 4)) (local.get $p) (local.get $n))
(call $list (i32.add (local.get $out) (i32.const 12))
  (i32.add (local.get $p) (i32.shl (local.get $n) (i32.const 3))) (local.get $n))
(local.set $q (call $alloc (i32.const 16)))
(i32.store8 (local.get $q) (i32.const 0))
(call $list (i32.add (local.get $out) (i32.const 20)) (local.get $q) (i32.const 1))
(local.get $out)";

const FREES: &str = "(func (export \"cabi_post_tidegate:policy/forecasting@0.2.0#predict\") \
    (param i32) (global.set $top (i32.const 65536)))";

struct Subject {
    policy: Arc<dyn Forecaster>,
    states: Blobs,
}

impl Subject {
    fn new(engine: &Engine, is_warm: bool) -> Outcome<Self> {
        let guest = Guest::forecaster("echo")
            .body("predict", ECHO)
            .extra(FREES)
            .manifest("warm", json!(is_warm));
        let loaded = engine.admit(&guest.build()?, &Limits::default())?;
        match loaded.policy() {
            Policy::Forecaster(policy) => Ok(Self {
                policy: policy.clone(),
                states: states(1),
            }),
            other => Err(format!("{other:?} is no forecaster").into()),
        }
    }

    fn ask(&self, horizon: &Horizon, times: &mut Vec<f64>) -> Outcome {
        for _ in 0..CALLS {
            let begun = Instant::now();
            let answer = self.policy.predict(&[], &self.states, horizon)?;
            times.push(begun.elapsed().as_secs_f64());
            let half = horizon.steps as usize;
            if answer.mean.len() != half || answer.mean != horizon.future.values[..half] {
                return Err("the echo is wrong".into());
            }
        }
        Ok(())
    }
}

/// Fresh and warm, by the size of what goes in, which is that of what comes out.
pub(crate) fn run() -> Outcome {
    let engine = Engine::new(Options::default())?;
    let subjects = [Subject::new(&engine, false)?, Subject::new(&engine, true)?];
    for kilobytes in [0_u32, 1, 10, 100] {
        let horizon = horizon(kilobytes * 64);
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (subject, times) in subjects.iter().zip(&mut times) {
                subject.ask(&horizon, times)?;
            }
        }
        let goals = [["", ""], ["<= 15 us", "<= 1 us"]][usize::from(kilobytes == 1)];
        for ((what, times), goal) in ["fresh", "warm"].iter().zip(times).zip(goals) {
            let what = format!("{what} call, {kilobytes} KB in and out");
            let p99 = us(at(times.clone(), 0.99));
            row(
                &what,
                "",
                &us(median(times)),
                "",
                &format!("{goal:10} (p99 {p99})"),
            );
        }
    }
    Ok(())
}

fn horizon(steps: u32) -> Horizon {
    Horizon {
        step: Step::MINUTE,
        steps,
        levels: vec![Level::P50],
        starts: vec![Timestamp(0)],
        future: Covariates {
            names: vec!["a".into(), "b".into()],
            values: (0..2 * steps).map(f64::from).collect(),
        },
        seeds: vec![7],
    }
}
