//! Turns the gate: decides when a cycle is due, runs it, and performs its effects.
//!
//! One driver for all pools. It wakes, reads the state of the world and acts; it never trusts what
//! woke it. A cycle is due when there is something new to see (data, step, catalog, slots) or when
//! the plan has lived for half of its validity. Effects are performed in the order that LE1 needs:
//! record on disk, then state committed, then plan published.

mod cycle;
mod fitter;

pub(crate) use fitter::{Fitter, fit_binding};

use crate::clock::Clock;
use crate::world::World;
use std::sync::Arc;
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
            cycle::turn(world, world.clock.now(), &mut seen);
        }
        if stop.sleep_blocking(every) == Wake::Stop {
            return Ok(());
        }
    }
}

/// Moves a driven clock to `to`, step by step, fitting and turning what is due at each.
pub(crate) fn advance(world: &Arc<World>, to: Timestamp) {
    let step = world.settings.step;
    let from = world.clock.now();
    let mut at = from.floor(step).plus_steps(step, 1);
    if to.since_ms(from) > LONGEST_WALK_MS {
        at = to.floor(step);
    }
    while at <= to {
        world.clock.set(at);
        Fitter::catch_up(world, at);
        cycle::turn(world, at, &mut cycle::Seen::default());
        at = at.plus_steps(step, 1);
    }
    world.clock.set(to);
}
