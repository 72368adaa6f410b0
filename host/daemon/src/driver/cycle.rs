//! One turn: the cycle of every pool that is due, with its effects.

use super::look::look;
use crate::clock::{Clock, stopwatch};
use crate::keeper::Keeper;
use crate::life;
use crate::policies::Round;
use crate::together::{cores, side_by_side};
use crate::trials::OnTrial;
use crate::world::{World, lock};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tidegate_core::alert::{Alert, AlertKind, Severity};
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::{Digest, Generation, PoolId};
use tidegate_core::policy::CallError;
use tidegate_core::ports::storage::{History, Replays};
use tidegate_core::roster::Fault;
use tidegate_core::time::Timestamp;
use tidegate_flow::cycle::{self, Input, PoolState, Settings};

/// What a pool's last cycle saw.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    sequence: u64,
    step: Timestamp,
    catalog: Generation,
    epoch: u64,
}

/// What every pool's last cycle saw.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<PoolId, Sight>);

/// Runs every pool that is due. A pool that fails does not keep the next one waiting.
pub(super) fn turn(world: &Arc<World>, now: Timestamp, seen: &mut Seen) {
    world.forget_pools();
    world.policies.let_back(now);
    let catalog = world.catalog.load_full();
    let declared = match catalog.pools.is_empty() {
        true => None,
        false => world.declared(&catalog),
    };
    let sight = Sight {
        sequence: world.store.watermark().sequence,
        step: now.floor(world.settings.step),
        catalog: catalog.generation,
        epoch: world.policies.epoch(),
    };
    Keeper::turn(world, now);
    life::expire(world, now);
    // With each, whether its last cycle has seen the step already.
    let mut due: Vec<(&PoolId, bool)> = vec![];
    for pool in catalog.pools.keys() {
        let before = seen.0.get(pool);
        if before != Some(&sight) || aged(world, pool, now) {
            due.push((pool, before.is_some_and(|b| b.step == sight.step)));
            seen.0.insert(pool.clone(), sight.clone());
        }
    }
    let (pools, lanes) = shared(cores(), due.len());
    // A replay's pools follow one another, so that what a fault leads to has one order.
    let pools = match world.clock {
        Clock::System => pools,
        Clock::Driven(_) => 1,
    };
    let settings = Settings {
        lanes,
        ..world.settings.clone()
    };
    side_by_side(pools, &due, |&(pool, within)| {
        apart(world, pool, now, || {
            let look = Turn {
                catalog: &catalog,
                declared,
                settings: &settings,
                now,
            };
            one(world, look, pool, within);
        });
    });
}

/// How many pools go side by side, and how many calls of a forecaster each of them may have at once: as
/// many together as there are cores, since a policy's deadline is by the clock on the wall. Whole pools
/// first, because all of a cycle is shared by them, and of a pool its forecasts alone.
fn shared(cores: usize, pools: usize) -> (usize, usize) {
    let side_by_side = pools.clamp(1, cores.max(1));
    (side_by_side, cores.div_ceil(side_by_side))
}

/// What is the same for all pools of a turn.
#[derive(Clone, Copy)]
struct Turn<'a> {
    catalog: &'a Catalog,
    /// Its name in the ledger.
    declared: Option<Digest>,
    settings: &'a Settings,
    now: Timestamp,
}

/// A panic is a bug, of this pool's cycle alone: the pools after it are not to pay for it.
fn apart(world: &World, pool: &PoolId, now: Timestamp, cycle: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(cycle)).is_err() {
        held(world, pool, now, "its cycle panicked; the log says where");
    }
}

fn aged(world: &World, pool: &PoolId, now: Timestamp) -> bool {
    world
        .plans
        .get(pool)
        .is_some_and(|plan| now.since_ms(plan.made_at) * 2 > world.settings.validity_ms)
}

/// One pool's cycle; `within` a step that the last one saw, after a look at what is fresher than steps.
fn one(world: &Arc<World>, turn: Turn<'_>, pool: &PoolId, within: bool) {
    let now = turn.now;
    let span =
        tracing::info_span!("cycle", pool = %pool, at = now.0, generation = tracing::field::Empty);
    world.handoff.take(pool).adopt(&span);
    let _entered = span.enter();
    let clock = stopwatch();
    let shared = world.pool(pool);
    let mut state = lock(&shared);
    let pins = world.policies.pin();
    // Samples go on coming: what a decision saw must have been there at one instant.
    let past = world.store.pin();
    let input = Input {
        now,
        pool,
        catalog: turn.catalog,
        history: &past,
        pins: &pins,
        settings: turn.settings,
    };
    if within {
        look(world, &input, &mut state);
    }
    let mut output = match cycle::run(&input, &state) {
        Ok(output) => output,
        Err(error) => {
            tracing::error!(error = %error, source = ?std::error::Error::source(&error).map(ToString::to_string), "the cycle could not run; the last plan stays in force");
            held(
                world,
                pool,
                now,
                &format!("{error}; the last plan stays in force"),
            );
            return;
        }
    };
    note_faults(world, &output.faults);
    note_shadow_faults(world, &output.shadow_faults);
    note_impure(world, pool, now);
    // As a champion or in shadow: who answered anywhere has a state that moved.
    let answered = output.delta.states.iter().map(|s| s.module).collect();
    let faults = [output.faults.as_slice(), &output.shadow_faults].concat();
    world
        .policies
        .note_round(now, Round::Cycle, &faults, &answered);
    drop(past);
    if let Some(record) = &mut output.record {
        span.record("generation", record.plan.generation.0);
        if let Some(basis) = &mut record.basis {
            basis.catalog = turn.declared;
        }
        let written = tracing::info_span!("record")
            .in_scope(|| world.store.append_with(record, &output.anchors));
        if let Err(error) = written {
            tracing::error!(error = %error, "the record could not be written, so its plan is not published");
            held(
                world,
                pool,
                now,
                &format!("the plan's record could not be written: {error}"),
            );
            return;
        }
    }
    publish(world, pool, now, &mut state, output);
    world.metrics.cycled(pool.as_str(), clock.elapsed());
}

/// Tells of modules that were found to remember: they are asked in fresh instances since then.
fn note_impure(world: &World, pool: &PoolId, now: Timestamp) {
    for module in world.policies.newly_impure() {
        world.metrics.reuse_withdrawn(&module.name);
        let alert = Alert {
            kind: AlertKind::ModuleFault,
            severity: Severity::Warning,
            pool: Some(pool.clone()),
            api: None,
            subject: module.name.clone(),
            at: now,
            message: format!(
                "{module} answered other in a kept instance than in a fresh one; it gets fresh ones alone from now on;                  have its author remove what it remembers, or `warm` from its manifest"
            ),
        };
        world.raise_one(pool, now, alert);
    }
}

fn publish(
    world: &World,
    pool: &PoolId,
    now: Timestamp,
    state: &mut PoolState,
    output: cycle::Output,
) {
    Keeper::note(world, state, &output.delta);
    let left = state.commit(output.delta, output.record);
    if let Some(plan) = left.as_ref().map(|left| &left.plan) {
        tracing::info_span!("publish", generation = plan.generation.0).in_scope(|| {
            tracing::debug!(pool = %pool, generation = plan.generation.0, "plan published");
            world.publish(plan);
        });
    }
    world.raise(pool, now, &output.alerts);
    OnTrial::leave(world, pool, left, output.forecasts);
}

/// Raises, beside what stands, that a pool got no new plan.
pub(super) fn held(world: &World, pool: &PoolId, now: Timestamp, why: &str) {
    let alert = Alert {
        kind: AlertKind::PlanHeld,
        severity: Severity::Critical,
        pool: Some(pool.clone()),
        api: None,
        subject: String::new(),
        at: now,
        message: format!("pool {pool} got no new plan: {why}"),
    };
    world.raise_one(pool, now, alert);
}

/// Counts faults, lets the engine draw its consequences, and logs both.
pub(super) fn note_faults(world: &World, faults: &[Fault]) {
    for fault in faults {
        if let CallError::Refused(breach) = &fault.error {
            world
                .metrics
                .breached(invariant_name(breach.invariant), &fault.module.name);
        }
        tracing::warn!(module = %fault.module, subject = %fault.subject, error = %fault.error, "a policy gave no usable answer");
    }
    world.report_faults(faults);
}

/// Faults of challengers are told and count against no slot: nobody waited for their answer, and a
/// challenger that gives none wins no series.
fn note_shadow_faults(world: &World, faults: &[Fault]) {
    for fault in faults {
        world.metrics.challenger_faulted(&fault.module.name);
        tracing::warn!(module = %fault.module, subject = %fault.subject, error = %fault.error, "a challenger gave no usable answer");
    }
}

fn invariant_name(invariant: tidegate_core::invariant::Invariant) -> &'static str {
    use tidegate_core::invariant::Invariant as I;
    match invariant {
        I::FC1 => "FC1",
        I::TI1 => "TI1",
        I::AL1 => "AL1",
        I::AL2 => "AL2",
        I::AL3 => "AL3",
        I::AL4 => "AL4",
        I::AL5 => "AL5",
        I::PL1 => "PL1",
        I::MO1 => "MO1",
        I::RB1 => "RB1",
        I::LE1 => "LE1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_and_calls_together_take_the_cores_and_not_many_more() {
        for (cores, pools, expected) in [
            (1, 5, (1, 1)),
            (2, 0, (1, 2)),
            (2, 1, (1, 2)),
            (2, 100, (2, 1)),
            (8, 3, (3, 3)),
            (8, 9, (8, 1)),
        ] {
            assert_eq!(
                shared(cores, pools),
                expected,
                "{cores} cores, {pools} pools"
            );
        }
    }

    #[test]
    fn a_pool_whose_cycle_panics_is_told_of_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let gate = crate::testing::gate(dir.path());
        let edge: PoolId = "edge".parse().unwrap();
        apart(&gate.world, &edge, Timestamp(0), || panic!("a bug"));
        let alerts = gate.world.alerts();
        assert_eq!(alerts.len(), 1);
        assert!(alerts[0].message.contains("panicked"));
    }
}
