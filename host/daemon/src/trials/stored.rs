//! What is known of trials, in the store: written by the hour, read at the start.
//!
//! Tracks of a forecaster on trial are written beside, as all tracks are, so that a candidate that is
//! promoted after a restart is corrected by what it promised before. A trial that cannot be read is
//! dropped, and one of versions that are compared no more is, too, when they are looked at: both begin
//! anew.

use super::Known;
use crate::world::{World, lock};
use tidegate_core::ports::storage::{Tracks, Trials};
use tidegate_flow::shadow::{Conclusion, Trial};

/// Writes all, and drops those that are over.
pub(super) fn write(world: &World) {
    let trials = &world.trials;
    let (all, tracks): (Vec<(String, Vec<u8>)>, Vec<_>) = {
        let known = lock(&trials.known);
        let bytes = known
            .iter()
            .map(|(id, k)| (id.to_string(), k.trial.bytes()));
        let tracks = known.values().flat_map(|k| k.trial.tracks().cloned());
        (bytes.collect(), tracks.collect())
    };
    let over: Vec<String> = {
        let stored = lock(&trials.stored);
        let is_over = |name: &&String| all.iter().all(|(known, _)| known != *name);
        stored.iter().filter(is_over).cloned().collect()
    };
    if all.is_empty() && over.is_empty() {
        return;
    }
    let done = Trials::keep(&*world.store, &all, &over)
        .and_then(|()| Tracks::save(&*world.store, &tracks, &[]));
    match done {
        Ok(()) => {
            let names = all.into_iter().map(|(name, _)| name);
            *lock(&trials.stored) = names.collect();
        }
        Err(error) => {
            tracing::error!(error = %error, "what is known of versions on trial could not be written; it is tried again");
        }
    }
}

/// Reads all.
pub(super) fn restore(world: &World) {
    let kept = match Trials::kept(&*world.store) {
        Ok(kept) => kept,
        Err(error) => {
            tracing::error!(error = %error, "what is known of versions on trial cannot be read; they begin anew");
            return;
        }
    };
    let (step, horizon) = (world.settings.step, world.settings.horizon);
    for (name, bytes) in kept {
        lock(&world.trials.stored).insert(name.clone());
        let Some(trial) = Trial::of(&bytes, step, horizon) else {
            tracing::warn!(
                trial = name,
                "a trial of other steps, or that another version has written, begins anew"
            );
            continue;
        };
        let conclusion = Conclusion::Continue {
            why: "it goes on after a restart; nothing was judged since".into(),
            starved: false,
        };
        let binding = trial.about.binding.clone();
        lock(&world.trials.known).insert(binding, Known { trial, conclusion });
    }
}
