//! What a start takes from the journal: a table of slots that is built anew knows only who serves.
//!
//! The version before stands behind each slot again, so that `rollback` and the watch over a promotion
//! do not end with a restart. What serves or is in shadow and the journal does not know of (it was
//! there before there was a journal, comes with the binary, or its step could not be written) begins now.
//!
//! What is condemned is written before the catalog follows, so that a daemon that ends in between leaves a
//! catalog that names what may not serve. The start does the rest: else a rollback that the power has cut
//! would leave the baseline serving where a good version was.

use super::{Word, in_shadow, put, serving, version};
use crate::world::World;
use tidegate_core::catalog::Versioned;
use tidegate_core::life::{Actor, Event, Ground, Step, Version};
use tidegate_core::module::Binding;
use tidegate_engine::By;

fn found(reason: &str) -> Word {
    Word {
        by: Actor::Daemon,
        ground: Ground::Ordinary,
        reason: reason.into(),
    }
}

/// See the module. To be called when the slots serve what the catalog says.
pub(crate) fn restore(world: &World) {
    for stands in world.catalog.load_full().bindings.values() {
        take_back(world, stands);
    }
    for stands in world.catalog.load_full().bindings.values() {
        end_shadow(world, stands);
    }
    for stands in world.catalog.load_full().bindings.values() {
        one(world, &stands.value);
    }
}

fn one(world: &World, stands: &Binding) {
    let journal = &world.policies.journal;
    let steps = journal.of_binding(&stands.id);
    let last = steps.iter().rev().find(|s| s.is_swap());
    let told = last.and_then(|s| s.to.as_ref());
    match serving(world, &stands.id) {
        Some(active) if told == Some(&active) => {
            if let Some(before) = last.and_then(|s| s.from.as_ref()) {
                world.policies.stand_behind(&stands.id, before);
            }
        }
        Some(active) => {
            let word = match last {
                None => found("it serves as the daemon starts"),
                Some(_) => found("it serves as the daemon starts, and no step tells since when"),
            };
            journal.write(vec![Step {
                from: told.cloned(),
                to: Some(active),
                ..word.step(world, Event::Bound, stands)
            }]);
        }
        None => {}
    }
    let Some(candidate) = in_shadow(world, stands) else {
        return;
    };
    let begun = |s: &Step| s.event == Event::Shadowed && s.to.as_ref() == Some(&candidate);
    if !steps.iter().any(begun) {
        let word = found("the catalog has it in shadow as the daemon starts");
        journal.write(vec![Step {
            to: Some(candidate),
            ..word.step(world, Event::Shadowed, stands)
        }]);
    }
}

/// Ends a rollback that was cut short: its version is condemned, and the catalog still names it.
fn take_back(world: &World, stands: &Versioned<Binding>) {
    let binding = &stands.value;
    let (id, policies) = (&binding.id, &world.policies);
    let declared = version(world, binding, &binding.module, &binding.config);
    if serving(world, id).is_some() || policies.admits(id, declared.module.digest) {
        return;
    }
    let steps = policies.journal.of_binding(id);
    let last = steps.iter().rev().find(|s| s.is_swap());
    let last = last.filter(|s| s.to.as_ref() == Some(&declared));
    let Some(before) = last.and_then(|s| s.from.clone()) else {
        return;
    };
    let digest = before.module.digest;
    if !policies.admits(id, digest) || policies.held(digest).is_none() {
        return;
    }
    let word = found("the daemon ended while it was taken back");
    let named = format!("{}@{}", before.module.name, digest.short());
    let next = binding.served_by(named, before.config.clone());
    let mut told = vec![Step {
        from: Some(declared.clone()),
        to: Some(before),
        ..word.step(world, Event::RolledBack, binding)
    }];
    told.extend(condemned(world, binding, &declared, &word));
    if let Err(error) = put(world, stands, next, By::Itself, told) {
        tracing::error!(binding = %id, error = %error, "a rollback that was cut short could not be ended; the baseline serves");
    }
}

/// Ends a shadow whose end was cut short: its version is condemned, and the catalog still has it there.
fn end_shadow(world: &World, stands: &Versioned<Binding>) {
    let binding = &stands.value;
    let Some(candidate) = in_shadow(world, binding) else {
        return;
    };
    let (id, digest) = (&binding.id, candidate.module.digest);
    if world.policies.admits(id, digest) {
        return;
    }
    let word = found("the daemon ended while its shadow was ended");
    let next = Binding {
        shadow: None,
        ..binding.clone()
    };
    let mut told = vec![Step {
        from: Some(candidate.clone()),
        ..word.step(world, Event::ShadowEnded, binding)
    }];
    told.extend(condemned(world, binding, &candidate, &word));
    if let Err(error) = put(world, stands, next, By::Itself, told) {
        tracing::error!(binding = %id, error = %error, "a quarantined version is still declared to be in shadow; it is not promoted");
    }
}

/// That a version was quarantined for a binding, if the journal does not tell it.
fn condemned(world: &World, binding: &Binding, version: &Version, word: &Word) -> Option<Step> {
    let digest = version.module.digest;
    let about = |s: &&Step| {
        let is = matches!(s.event, Event::Quarantined | Event::Lifted);
        is && s.concerns(digest)
    };
    let steps = world.policies.journal.of_binding(&binding.id);
    let last = steps.iter().rev().find(about).map(|s| s.event);
    (last != Some(Event::Quarantined)).then(|| Step {
        from: Some(version.clone()),
        ..word.step(world, Event::Quarantined, binding)
    })
}
