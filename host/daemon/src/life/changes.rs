//! What `tidegate apply` and `delete` did to versions, read from the catalogs before and after.
//!
//! A file that names another module binds it past the gate, as `policy bind` does, and is recorded so.

use super::{Word, version};
use crate::world::World;
use tidegate_core::catalog::{Catalog, Effect, ObjectKey, ObjectKind};
use tidegate_core::ids::BindingId;
use tidegate_core::life::{Event, Step, Version};
use tidegate_core::module::Binding;

/// The steps of a change set that a credential applies.
pub(crate) fn changes(
    world: &World,
    before: &Catalog,
    after: &Catalog,
    effects: &[(ObjectKey, Effect)],
    by: &str,
) -> Vec<Step> {
    let mut steps = vec![];
    for (key, effect) in effects {
        if key.kind != ObjectKind::Binding || *effect == Effect::Unchanged {
            continue;
        }
        let Ok(id) = key.name.parse::<BindingId>() else {
            continue;
        };
        let of = |catalog: &Catalog| catalog.bindings.get(&id).map(|b| b.value.clone());
        steps.extend(between(world, of(before), of(after), by));
    }
    steps
}

fn between(world: &World, old: Option<Binding>, new: Option<Binding>, by: &str) -> Vec<Step> {
    let active = |b: &Binding| version(world, b, &b.module, &b.config);
    let shadow = |b: &Binding| -> Option<Version> { super::in_shadow(world, b) };
    let word = |reason: &str| Word::of(by, reason);
    let (from, ended) = (old.as_ref().map(active), old.as_ref().and_then(shadow));
    let mut steps = vec![];
    let Some(new) = new else {
        if let Some(old) = old {
            let gone = word("the binding was deleted");
            steps.extend(ended.map(|v| Step {
                from: Some(v),
                ..gone.step(world, Event::ShadowEnded, &old)
            }));
            steps.push(Step {
                from,
                ..gone.step(world, Event::Retired, &old)
            });
        }
        return steps;
    };
    let (to, begun) = (active(&new), shadow(&new));
    if from.as_ref() != Some(&to) {
        let word = match &from {
            None => word("the binding was declared"),
            Some(_) => word("a change of the declared binding").forced(),
        };
        steps.push(Step {
            from,
            to: Some(to),
            ..word.step(world, Event::Bound, &new)
        });
    }
    if ended != begun {
        let word = word("a change of the declared binding");
        steps.extend(ended.map(|v| Step {
            from: Some(v),
            ..word.step(world, Event::ShadowEnded, &new)
        }));
        steps.extend(begun.map(|v| Step {
            to: Some(v),
            ..word.step(world, Event::Shadowed, &new)
        }));
    }
    steps
}
