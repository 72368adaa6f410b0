//! What ends by time alone: the watch over a promotion in which no harm was found, and a shadow that
//! nothing was concluded of.

use super::{End, Trial, Word, end_shadow, end_watch, trials};
use crate::config::Seconds;
use crate::world::World;
use tidegate_core::policy::Verdict;
use tidegate_core::ports::serve::TrialsPort as _;
use tidegate_core::time::Timestamp;

/// See the module.
pub(crate) fn expire(world: &World, now: Timestamp) {
    for trial in trials(world) {
        let span = match trial.is_watch() {
            true => trial.gate.watch_s,
            false => trial.gate.max_duration_s,
        };
        if now.since_ms(trial.since) < i64::from(span) * 1000 || waits(world, &trial) {
            continue;
        }
        if let Err(error) = end(world, &trial, Seconds(span)) {
            tracing::error!(binding = %trial.binding, error = %error, "a comparison of versions whose time is up could not be ended");
        }
    }
}

/// Whether a shadow has been found as good, and waits for a person to say so.
fn waits(world: &World, trial: &Trial) -> bool {
    let known = world.standing(&trial.binding);
    !trial.is_watch() && known.is_some_and(|s| s.verdict == Verdict::Promote)
}

fn end(
    world: &World,
    trial: &Trial,
    span: Seconds,
) -> Result<(), tidegate_core::ports::serve::ServeError> {
    if trial.is_watch() {
        let word = Word::gate(format!("no harm was found in the {span} after the swap"));
        return end_watch(world, &trial.binding, &word);
    }
    let known = world.standing(&trial.binding);
    let known = known.map_or_else(String::new, |s| format!(": {}", s.reason));
    let word = Word::gate(format!("inconclusive after {span}{known}"));
    end_shadow(world, &trial.binding, End::Harmless, &word)
}
