//! Quarantine by word: where a digest serves it goes at once, and where it is in shadow that ends.

use super::{End, Word, end_shadow, in_shadow, serving, told};
use crate::gate::stored;
use crate::world::World;
use tidegate_core::ids::{BindingId, Digest};
use tidegate_core::life::{Event, Step, Version};
use tidegate_core::module::{Binding, ModuleRef};
use tidegate_core::ports::serve::ServeError;
use tidegate_engine::Swapped;

/// Where a word about a version holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// In one binding.
    Binding(&'a BindingId),
    /// In all.
    Everywhere,
}

fn of(module: &ModuleRef) -> Version {
    Version {
        module: module.clone(),
        config: String::new(),
    }
}

/// Quarantines a module, and takes it out where it serves.
pub(crate) fn quarantine(
    world: &World,
    module: &ModuleRef,
    place: Place<'_>,
    word: &Word,
) -> Result<(), ServeError> {
    let digest = module.digest;
    let catalog = world.catalog.load_full();
    let concerned: Vec<_> = catalog
        .bindings
        .values()
        .map(|b| &b.value)
        .filter(|b| match place {
            Place::Binding(id) => b.id == *id,
            Place::Everywhere => true,
        })
        .collect();
    let served: Vec<Option<Version>> = concerned
        .iter()
        .map(|b| serving(world, &b.id).filter(|v| v.module.digest == digest))
        .collect();
    let swapped: Vec<Swapped> = match place {
        Place::Binding(id) => world.policies.condemn_at(id, digest).into_iter().collect(),
        Place::Everywhere => world.policies.withdraw(digest),
    };
    // The flag before the catalog: after a crash in between, nothing may bring it back.
    let kept = world.keep_quarantine();
    world
        .policies
        .journal
        .write(vec![match (place, concerned.first()) {
            (Place::Binding(_), Some(binding)) => Step {
                from: Some(of(module)),
                ..word.step(world, Event::Quarantined, binding)
            },
            _ => Step {
                from: Some(of(module)),
                reason: word.reason.clone(),
                ..Step::new(Event::Quarantined, word.by.clone(), world.clock.now())
            },
        }]);
    for swap in &swapped {
        let gone = concerned.iter().zip(&served);
        let gone = gone.filter(|(binding, from)| binding.id == swap.binding && from.is_some());
        let step = |(binding, from): (&&Binding, &Option<Version>)| Step {
            from: from.clone(),
            to: serving(world, &binding.id),
            ..word.step(world, Event::RolledBack, binding)
        };
        world.settle(swap, gone.map(step).collect());
    }
    for binding in concerned {
        if in_shadow(world, binding).is_some_and(|v| v.module.digest == digest)
            && let Err(error) = end_shadow(world, &binding.id, End::Harmless, word)
        {
            tracing::error!(binding = %binding.id, error = %error, "a quarantined version is still declared to be in shadow; it is not promoted");
        }
    }
    kept.map_err(stored)
}

/// Lets a module serve again without another word.
pub(crate) fn lift(
    world: &World,
    module: &ModuleRef,
    place: Place<'_>,
    word: &Word,
) -> Result<(), ServeError> {
    let digest: Digest = module.digest;
    let catalog = world.catalog.load_full();
    let who = || catalog.bindings.keys().map(|id| (id, serving(world, id)));
    let before: Vec<_> = who().collect();
    let step = match place {
        Place::Binding(id) => {
            let stands = super::binding(world, id)?;
            world.policies.lift_at(id, digest);
            word.step(world, Event::Lifted, &stands.value)
        }
        Place::Everywhere => {
            world.policies.forgive(digest);
            Step {
                reason: word.reason.clone(),
                ..Step::new(Event::Lifted, word.by.clone(), world.clock.now())
            }
        }
    };
    let kept = world.keep_quarantine();
    world.policies.journal.write(vec![Step {
        to: Some(of(module)),
        ..step
    }]);
    // What the catalog names all along may serve now.
    {
        let _writer = crate::world::lock(&world.catalog_writer);
        world.follow_bindings(None);
    }
    let back = who().zip(before).filter(|(after, before)| after != before);
    let step = |((id, to), (_, from)): ((&BindingId, _), (_, _))| {
        let stands = catalog.bindings.get(id)?;
        Some(Step {
            from,
            to,
            reason: "it is declared and may serve again".into(),
            ..word.step(world, Event::Bound, &stands.value)
        })
    };
    let steps = back.filter_map(step).collect();
    world.policies.journal.write(steps);
    told(kept);
    Ok(())
}
