//! What a start takes from the journal: a table of slots that is built anew knows only who serves.
//!
//! The version before stands behind each slot again, so that `rollback` and the watch over a promotion
//! do not end with a restart. What serves or is in shadow and the journal does not know of (it was
//! there before there was a journal, or comes with the binary) begins now.

use super::{Word, in_shadow, serving};
use crate::world::World;
use tidegate_core::life::{Actor, Event, Ground, Step};

/// See the module. To be called when the slots serve what the catalog says.
pub(crate) fn restore(world: &World) {
    let catalog = world.catalog.load_full();
    for stands in catalog.bindings.values().map(|b| &b.value) {
        let steps = world.policies.journal.of_binding(&stands.id);
        let last = steps.iter().rev().find(|s| s.is_swap());
        if let (Some(last), Some(active)) = (last, serving(world, &stands.id))
            && last.to.as_ref() == Some(&active)
            && let Some(before) = &last.from
        {
            world.policies.stand_behind(&stands.id, before);
        }
        let found = |reason: &str| Word {
            by: Actor::Daemon,
            ground: Ground::Ordinary,
            reason: reason.into(),
        };
        if let (None, Some(active)) = (last, serving(world, &stands.id)) {
            let word = found("it serves as the daemon starts");
            world.policies.journal.write(vec![Step {
                to: Some(active),
                ..word.step(world, Event::Bound, stands)
            }]);
        }
        let Some(candidate) = in_shadow(world, stands) else {
            continue;
        };
        let begun = |s: &Step| s.event == Event::Shadowed && s.to.as_ref() == Some(&candidate);
        if !steps.iter().any(begun) {
            let word = found("the catalog has it in shadow as the daemon starts");
            world.policies.journal.write(vec![Step {
                to: Some(candidate),
                ..word.step(world, Event::Shadowed, stands)
            }]);
        }
    }
}
