//! The life of versions: every change of who serves a binding or is in shadow of it, as one act each.
//!
//! An act changes the catalog with the journal (durably, both or neither), and then the slots; what is
//! condemned is written before the catalog, so that after a crash in between nothing brings it back (RB1):
//! the next start ends what was begun ([`mod@restore`]). Whoever
//! acts says so with a [`Word`]: a person, the binding's gate on its evidence, or the engine after
//! faults. Nothing here asks who may: servers do, before they call, and the gate acts for the daemon.
//!
//! The alternative, to let each caller change the catalog and the slots its own way, is how a
//! promotion comes to leave no trace and a rollback comes to be undone by the next `apply`.

mod changes;
mod condemn;
mod expire;
mod restore;
mod trials;

pub(crate) use changes::changes;
pub(crate) use condemn::{Place, lift, quarantine};
pub(crate) use expire::expire;
pub(crate) use restore::restore;
pub(crate) use trials::{Trial, trial, trials};

use crate::driver;
use crate::gate::stored;
use crate::policies::Whose;
use crate::world::{World, lock};
use std::sync::Arc;
use tidegate_core::catalog::{Change, Object, Versioned};
use tidegate_core::ids::BindingId;
use tidegate_core::life::{Actor, Event, Ground, Step, Version};
use tidegate_core::module::{Binding, ModuleRef, ShadowModule};
use tidegate_core::ports::serve::ServeError;
use tidegate_core::ports::storage::StoreError;
use tidegate_engine::{By, RolledBack};

/// On whose word something is done, and why.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    /// Who or what.
    pub(crate) by: Actor,
    /// Whether it goes past the gate.
    pub(crate) ground: Ground,
    /// The evidence or the reason, one sentence.
    pub(crate) reason: String,
}

impl Word {
    /// The word of a credential.
    pub(crate) fn of(name: &str, reason: impl Into<String>) -> Self {
        Self {
            by: Actor::Caller(name.to_owned()),
            ground: Ground::Ordinary,
            reason: reason.into(),
        }
    }

    /// What a binding's gate concludes from its evidence.
    pub(crate) fn gate(evidence: impl Into<String>) -> Self {
        Self {
            by: Actor::Gate,
            ground: Ground::Ordinary,
            reason: evidence.into(),
        }
    }

    /// The same, past the gate.
    pub(crate) fn forced(self) -> Self {
        Self {
            ground: Ground::Forced,
            ..self
        }
    }

    fn step(&self, world: &World, event: Event, binding: &Binding) -> Step {
        Step {
            binding: Some(binding.id.clone()),
            party: binding.selector.tenant.clone(),
            ground: self.ground,
            reason: self.reason.clone(),
            ..Step::new(event, self.by.clone(), world.clock.now())
        }
    }
}

/// What is known against a shadow that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing: it was stopped, or its time was up.
    Harmless,
    /// The evidence: it is quarantined for the binding.
    Harmful,
}

/// A binding as it stands.
pub(crate) fn binding(world: &World, id: &BindingId) -> Result<Versioned<Binding>, ServeError> {
    let catalog = world.catalog.load();
    let found = catalog.bindings.get(id).cloned();
    found.ok_or_else(|| ServeError::NotFound {
        what: format!("binding `{id}`"),
        remedy: "`tidegate get binding` lists them; `tidegate apply` makes one".into(),
    })
}

/// The version that a binding names by a text and a config. A module that is not there any more has
/// its name alone.
pub(crate) fn version(world: &World, binding: &Binding, module: &str, config: &str) -> Version {
    let whose = Whose::of(binding);
    let module = match world.policies.find(module, whose) {
        Ok(loaded) => loaded.module_ref(),
        Err(_) => ModuleRef {
            name: module.to_owned(),
            version: String::new(),
            digest: tidegate_core::ids::Digest([0; 32]),
        },
    };
    Version {
        module,
        config: config.to_owned(),
    }
}

/// The version in shadow of a binding.
pub(crate) fn in_shadow(world: &World, binding: &Binding) -> Option<Version> {
    let shadow = binding.shadow.as_ref()?;
    Some(version(world, binding, &shadow.module, &shadow.config))
}

/// Who serves a binding; `None` while the baseline does.
pub(crate) fn serving(world: &World, id: &BindingId) -> Option<Version> {
    let (module, config) = world.policies.serving(id)?;
    Some(Version { module, config })
}

/// Puts a binding in place of what was read, with the steps that tell of it: both durably, then the slots.
/// What was changed in between is not overwritten.
fn put(
    world: &World,
    stands: &Versioned<Binding>,
    next: Binding,
    by: By,
    steps: Vec<Step>,
) -> Result<(), ServeError> {
    let id = next.id.clone();
    let _writer = lock(&world.catalog_writer);
    let catalog = world.catalog.load_full();
    let change = Change::Put {
        object: Box::new(Object::Binding(next)),
        expect: Some(stands.generation),
    };
    let (next, _) = catalog
        .apply(&[change])
        .map_err(|problems| ServeError::Invalid { problems })?;
    let journal = &world.policies.journal;
    journal.write_with(&next, steps).map_err(stored)?;
    world.catalog.store(Arc::new(next));
    // Within the lock: of two changes, the later must be followed last.
    world.follow_bindings(Some((&id, by)));
    Ok(())
}

/// Makes the binding `next` of what was read: its states first, then the catalog with the journal, then one
/// swap.
fn swap(
    world: &World,
    stands: &Versioned<Binding>,
    next: &Binding,
    by: By,
    event: Event,
    word: &Word,
) -> Result<(), ServeError> {
    let candidate = world.policies.candidate(next)?;
    let loaded = world.policies.find(&next.module, Whose::of(next))?;
    driver::prepare(world, next, &loaded)?;
    let from = serving(world, &next.id);
    let to = Version {
        module: candidate.module.clone(),
        config: next.config.clone(),
    };
    let swaps = from.as_ref() != Some(&to);
    let step = swaps.then(|| Step {
        from,
        to: Some(to.clone()),
        ..word.step(world, event, next)
    });
    put(world, stands, next.clone(), by, step.into_iter().collect())?;
    let serves = serving(world, &next.id);
    if serves.as_ref() != Some(&to) {
        let text = format!(
            "binding `{}` is declared to be served by {}, and its slot does not serve it; the daemon's log says why",
            next.id, to.module
        );
        let word = Word {
            by: Actor::Daemon,
            ground: Ground::Ordinary,
            reason: "its slot does not serve it".into(),
        };
        world.policies.journal.write(vec![Step {
            from: Some(to),
            to: serves,
            ..word.step(world, Event::RolledBack, next)
        }]);
        return Err(ServeError::Unavailable(text));
    }
    Ok(())
}

/// Makes a version serve a binding by word, without a shadow. `next` is the binding as it stands but for
/// who serves it.
pub(crate) fn bind(
    world: &World,
    stands: &Versioned<Binding>,
    next: &Binding,
    by: By,
    word: &Word,
) -> Result<(), ServeError> {
    swap(world, stands, next, by, Event::Bound, word)
}

/// Puts a version in shadow of a binding, instead of the one that is there, if one is.
pub(crate) fn shadow(
    world: &World,
    stands: &Versioned<Binding>,
    shadow: ShadowModule,
    word: &Word,
) -> Result<(), ServeError> {
    let named = Binding {
        shadow: Some(shadow),
        ..stands.value.clone()
    };
    let next = world.policies.pinned(&named)?;
    world.policies.check_shadow(&next, Some(&stands.value))?;
    if next == stands.value {
        return Ok(());
    }
    let (before, after) = (in_shadow(world, &stands.value), in_shadow(world, &next));
    let mut steps = vec![];
    if let Some(before) = before {
        steps.push(Step {
            from: Some(before),
            reason: "another version takes its place in shadow".into(),
            ..word.step(world, Event::ShadowEnded, &next)
        });
    }
    steps.push(Step {
        to: after,
        ..word.step(world, Event::Shadowed, &next)
    });
    put(world, stands, next, By::Itself, steps)
}

/// Ends the shadow of a binding without a promotion.
pub(crate) fn end_shadow(
    world: &World,
    id: &BindingId,
    end: End,
    word: &Word,
) -> Result<(), ServeError> {
    let stands = binding(world, id)?;
    let Some(candidate) = in_shadow(world, &stands.value) else {
        return Err(no_shadow(id));
    };
    let digest = candidate.module.digest;
    let serves = serving(world, id).is_some_and(|v| v.module.digest == digest);
    // Another config of what serves: the digest has done no harm.
    let condemned = end == End::Harmful && !serves;
    let kept = if condemned {
        world.policies.condemn_at(id, digest);
        world.keep_quarantine()
    } else {
        Ok(())
    };
    let next = Binding {
        shadow: None,
        ..stands.value.clone()
    };
    let mut steps = vec![Step {
        from: Some(candidate.clone()),
        ..word.step(world, Event::ShadowEnded, &next)
    }];
    if condemned {
        steps.push(Step {
            from: Some(candidate),
            ..word.step(world, Event::Quarantined, &next)
        });
    }
    put(world, &stands, next, By::Itself, steps)?;
    kept.map_err(stored)
}

fn no_shadow(id: &BindingId) -> ServeError {
    ServeError::Precondition(format!(
        "nothing is in shadow of binding `{id}`; `tidegate policy shadow {id} MODULE` puts a version there"
    ))
}

/// Makes the shadow of a binding its module: its states first, then one swap. What served before stands
/// behind it.
pub(crate) fn promote(world: &World, id: &BindingId, word: &Word) -> Result<(), ServeError> {
    let stands = binding(world, id)?;
    let Some(shadow) = stands.value.shadow.clone() else {
        return Err(no_shadow(id));
    };
    let next = stands.value.served_by(shadow.module, shadow.config);
    let candidate = world.policies.candidate(&next)?;
    if !world.policies.admits(id, candidate.module.digest) {
        let text = format!(
            "{} was rolled back and is quarantined (RB1); push a fixed version, or lift it by `tidegate policy quarantine {} --binding {id} --lift`",
            candidate.module,
            candidate.module.digest.short()
        );
        return Err(ServeError::Precondition(text));
    }
    swap(world, &stands, &next, By::Itself, Event::Promoted, word)
}

/// Takes the version that serves a binding back, and quarantines it there: the one before serves.
pub(crate) fn roll_back(world: &World, id: &BindingId, word: &Word) -> Result<(), ServeError> {
    let stands = binding(world, id)?;
    let from = serving(world, id);
    let swapped = world.policies.rollback(id)?;
    // The flag before the catalog, as after faults; the catalog follows in any case.
    let kept = world.keep_quarantine();
    let to = serving(world, id);
    let condemned = from
        .as_ref()
        .filter(|v| !world.policies.admits(id, v.module.digest));
    let mut steps = vec![Step {
        from: from.clone(),
        to,
        ..word.step(world, Event::RolledBack, &stands.value)
    }];
    steps.extend(condemned.map(|from| Step {
        from: Some(from.clone()),
        ..word.step(world, Event::Quarantined, &stands.value)
    }));
    world.settle(&swapped, steps);
    kept.map_err(stored)
}

/// Notes that a binding's own word has lifted the quarantine of what serves it now.
pub(crate) fn note_lifted(world: &World, id: &BindingId, word: &Word) {
    let Ok(stands) = binding(world, id) else {
        return;
    };
    world.policies.journal.write(vec![Step {
        to: serving(world, id),
        ..word.step(world, Event::Lifted, &stands.value)
    }]);
}

/// Ends the watch over a promotion in which no harm was found: the version before is retired.
pub(crate) fn end_watch(world: &World, id: &BindingId, word: &Word) -> Result<(), ServeError> {
    let stands = binding(world, id)?;
    let Some(watched) = trial(world, id).filter(Trial::is_watch) else {
        return Ok(());
    };
    world.policies.journal.write(vec![Step {
        from: Some(watched.incumbent),
        ..word.step(world, Event::Retired, &stands.value)
    }]);
    Ok(())
}

/// What the journal tells of what the engine has rolled back after faults.
pub(crate) fn after_faults(world: &World, rolled: &RolledBack) -> Vec<Step> {
    let catalog = world.catalog.load();
    let id = &rolled.swap.binding;
    let Some(stands) = catalog.bindings.get(id) else {
        return vec![];
    };
    let word = Word {
        by: Actor::Faults,
        ground: Ground::Ordinary,
        reason: format!("{} faults, the last: {}", rolled.faults, rolled.cause),
    };
    let from = rolled.swap.from.clone().map(|module| Version {
        module,
        config: stands.value.config.clone(),
    });
    let to = serving(world, id);
    let steps = [(Event::RolledBack, to), (Event::Quarantined, None)];
    let step = |(event, to)| Step {
        from: from.clone(),
        to,
        ..word.step(world, event, &stands.value)
    };
    steps.map(step).into()
}

/// What could not be written down, in the log: the act itself has been done.
fn told(kept: Result<(), StoreError>) {
    if let Err(error) = kept {
        tracing::error!(error = %error, "the quarantine could not be written; it holds until the next start");
    }
}
