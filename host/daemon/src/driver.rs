//! Turns the gate: decides when a cycle is due, runs it, and performs its effects.
//!
//! One driver for all pools. It wakes, reads the state of the world and acts; it never trusts what
//! woke it. A cycle is due when there is something new to see (data, step, catalog, slots) or when
//! the plan has lived for half of its validity. Effects are performed in the order that LE1 needs:
//! record on disk, then state committed, then plan published.

mod cycle;
mod fitter;
mod look;
mod takeover;

pub(crate) use fitter::{Fits, Fitter};
pub(crate) use takeover::{prepare, take_over};

use crate::clock::Clock;
use crate::recur;
use crate::trials::OnTrial;
use crate::world::{World, lock};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidegate_core::time::Timestamp;
use tidegate_runtime::{Stop, Wake};

/// A jump that is longer than this is the start of a replay, not a day to be walked through: the
/// steps in between had no cycle and get none.
const LONGEST_WALK_MS: i64 = 86_400_000;

/// Runs cycles by the machine's clock until it is asked to stop.
pub(crate) fn run(world: &Arc<World>, every: Duration, stop: &Stop) -> Result<(), anyhow::Error> {
    let mut seen = cycle::Seen::default();
    loop {
        if matches!(world.clock, Clock::System) {
            recur::follow(world, world.clock.now());
            cycle::turn(world, world.clock.now(), &mut seen);
        }
        if stop.sleep_blocking(every) == Wake::Stop {
            return Ok(());
        }
    }
}

/// Moves a driven clock to `to`, step by step, fitting and turning what is due at each.
///
/// Callers take turns. One that finds the clock beyond its `to` changes nothing, and while the daemon
/// drains, the clock stays at the step that it has reached.
pub(crate) fn advance(world: &Arc<World>, to: Timestamp) {
    let _advancing = lock(&world.advancing);
    let step = world.settings.step;
    let from = world.clock.now();
    if to < from {
        return;
    }
    let mut at = from.floor(step).plus_steps(step, 1);
    if to.since_ms(from) > LONGEST_WALK_MS {
        at = to.floor(step);
    }
    while at <= to {
        if world.draining.load(Ordering::Acquire) {
            return;
        }
        world.clock.set(at);
        recur::follow(world, at);
        Fitter::catch_up(world, at);
        cycle::turn(world, at, &mut cycle::Seen::default());
        OnTrial::catch_up(world, at);
        let next = at.plus_steps(step, 1);
        // At the end of time, adding saturates.
        if next.since_ms(at) < step.ms() {
            break;
        }
        at = next;
    }
    world.clock.set(to);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{api, gate, pool, tenant};
    use tidegate_core::alert::AlertKind;
    use tidegate_core::ids::{Generation, PoolId};
    use tidegate_core::ports::storage::Ledger;

    #[test]
    fn two_callers_who_advance_at_once_make_plans_in_the_order_of_time() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        gate.put(vec![tenant("shop"), pool("edge")]);
        gate.put(vec![api("shop/orders", "edge")]);
        std::thread::scope(|scope| {
            for minute in [40, 20, 60] {
                let gate = gate.clone();
                scope.spawn(move || gate.to(minute));
            }
        });
        let (edge, store) = ("edge".parse::<PoolId>().unwrap(), &gate.world.store);
        let at = |g: u64| store.record(&edge, Generation(g)).unwrap().unwrap().at;
        let times: Vec<i64> = (1..=60).map(|g| at(g).0 / 60_000).collect();
        assert_eq!(times, (1..=60).collect::<Vec<i64>>());
        assert_eq!(store.last(&edge), Some(Generation(60)));
        assert_eq!(gate.world.clock.now(), Timestamp(60 * 60_000));
    }

    #[test]
    fn an_advance_to_the_end_of_time_ends() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        gate.put(vec![tenant("shop"), pool("edge")]);
        gate.put(vec![api("shop/orders", "edge")]);
        advance(&gate.world, Timestamp(i64::MAX));
        assert_eq!(gate.world.clock.now(), Timestamp(i64::MAX));
    }

    #[test]
    fn an_advance_does_not_outlast_a_drain() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        gate.to(1);
        gate.world.draining.store(true, Ordering::Release);
        gate.to(1000);
        assert_eq!(gate.world.clock.now(), Timestamp(60_000));
    }

    #[test]
    fn a_plan_that_could_not_be_written_is_an_alert() {
        let dir = tempfile::tempdir().unwrap();
        let gate = gate(dir.path());
        gate.put(vec![tenant("shop"), pool("edge")]);
        gate.put(vec![api("shop/orders", "edge")]);
        gate.to(1);
        gate.world.store.close();
        gate.to(2);
        let kinds: Vec<_> = gate.world.alerts().iter().map(|a| a.kind).collect();
        assert!(kinds.contains(&AlertKind::PlanHeld), "{kinds:?}");
        let plan = gate.world.plans.get(&"edge".parse().unwrap()).unwrap();
        assert_eq!(plan.generation, Generation(1));
    }
}
