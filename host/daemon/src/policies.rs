//! The daemon's side of the policy engine: admitted modules, slots that follow the catalog, pins.
//!
//! The catalog says what *should* serve a binding, as `name@digest`; the slots say what *does*.
//! They differ only while a swap is under way and after a module was rolled back, and each change of
//! one is followed by the other here. A module that is bound by name is pinned to the newest version
//! at that moment, so that a later push never changes by itself what serves.

mod admit;
mod aside;
mod challengers;
mod held;
mod journal;
mod pins;
mod remove;
pub(crate) mod rules;
mod sample;
mod shadows;
pub(crate) mod signature;
mod worker;

pub(crate) use aside::Round;
use held::Held;
pub(crate) use held::Whose;
use journal::Journal;
pub(crate) use pins::PinnedPolicies;
pub(crate) use rules::Rules;
pub(crate) use sample::sample;
pub(crate) use worker::Worker;

use crate::world::lock;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tidegate_core::catalog::{Catalog, Effect, ObjectKey, ObjectKind};
use tidegate_core::ids::{BindingId, Digest, TenantId};
use tidegate_core::module::{Binding, ModuleKind, ModuleRef};
use tidegate_core::policy::Forecaster;
use tidegate_core::ports::serve::{ServeError, SlotInfo};
use tidegate_core::ports::storage::{Condemned, Modules, StoredModule};
use tidegate_core::roster::{Fault, Member};
use tidegate_engine::{
    Baselines, By, Candidate, Engine, FaultLimit, Loaded, Options, RolledBack, Slots, Swapped,
};
use tidegate_flow::baseline::{BaseTier, FloorsFirst, LastValue, Wait};
use tidegate_store::Store;

/// Where a component that is not known yet is tried.
#[derive(Debug)]
pub(crate) enum Trials {
    /// In a process of its own.
    Apart(Worker),
    /// Here, and for its form alone: tests are no executable of which a process could be made.
    #[cfg(test)]
    Inside,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Policies {
    engine: Engine,
    rules: Rules,
    trials: Trials,
    slots: Slots,
    store: Arc<Store>,
    /// What happened to versions.
    pub(crate) journal: Journal,
    /// Oldest admission first.
    held: Mutex<Vec<Held>>,
    /// Who stands beside the active forecasters, as the catalog said last.
    challengers: Mutex<BTreeMap<BindingId, Vec<Member<dyn Forecaster>>>>,
    /// Which of them are not asked for a while, because they never answer.
    aside: Mutex<aside::Aside>,
    /// Modules of which it was told that their reuse was withdrawn.
    impure: Mutex<BTreeSet<Digest>>,
    /// What the slots were last told to serve.
    followed: Mutex<BTreeMap<BindingId, (Digest, String)>>,
    /// Rises with every change of a slot.
    epoch: AtomicU64,
}

impl Policies {
    /// Starts the engine and loads every stored module.
    pub(crate) fn open(
        cache: &Path,
        store: &Arc<Store>,
        trials: Trials,
        rules: Rules,
    ) -> Result<Self> {
        std::fs::create_dir_all(cache)
            .with_context(|| format!("cannot create {}", cache.display()))?;
        let engine = Engine::new(Options {
            cache: Some(cache.to_path_buf()),
            ..Options::default()
        })?;
        let baselines = Baselines {
            forecaster: (ModuleRef::native("last-value"), Arc::new(LastValue)),
            tierer: (ModuleRef::native("base-tier"), Arc::new(BaseTier)),
            allocator: (ModuleRef::native("floors-first"), Arc::new(FloorsFirst)),
            judge: (ModuleRef::native("wait"), Arc::new(Wait)),
        };
        let policies = Self {
            engine,
            rules,
            trials,
            slots: Slots::new(baselines, FaultLimit::default()),
            store: store.clone(),
            journal: Journal::open(store)?,
            held: Mutex::default(),
            challengers: Mutex::default(),
            aside: Mutex::default(),
            impure: Mutex::default(),
            followed: Mutex::default(),
            epoch: AtomicU64::new(0),
        };
        for entry in Modules::list(&**store)? {
            let Some(bytes) = store.bytes(&entry.digest)? else {
                tracing::error!(module = %entry.manifest.name, digest = %entry.digest, "a stored module has no bytes; push it again");
                continue;
            };
            match policies.admit(&bytes, None, &Vec::new) {
                Ok(loaded) => lock(&policies.held).push(Held { loaded, entry }),
                // One that this engine no longer takes must not keep the daemon from starting.
                Err(error) => {
                    tracing::error!(module = %entry.manifest.name, digest = %entry.digest, error = %error, "a stored module cannot be loaded");
                }
            }
        }
        policies.restore_quarantine();
        Ok(policies)
    }

    fn restore_quarantine(&self) {
        let held = lock(&self.held).clone();
        let entries = || held.iter().map(|h| &h.entry);
        let withdrawn = entries().filter(|e| e.quarantined).map(|e| e.digest);
        self.slots.quarantine(withdrawn);
        self.slots.quarantine_at(entries().flat_map(|e| {
            let places = e.condemned.iter();
            places.map(|c| (e.digest, &c.binding, c.party.as_ref()))
        }));
    }

    /// All slots.
    pub(crate) fn slots(&self) -> Vec<SlotInfo> {
        self.slots.info()
    }

    /// Rises with every change of a slot.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The policies as they are now.
    pub(crate) fn pin(&self) -> PinnedPolicies {
        PinnedPolicies::new(self.slots.pin(), self.challengers())
    }

    /// The module that a text names to whom it may serve: see [`held::find`].
    pub(crate) fn find(&self, text: &str, whose: Whose<'_>) -> Result<Loaded, ServeError> {
        held::find(&lock(&self.held), text, whose)
    }

    /// A binding with its module pinned to a version. One that names a module already pinned to its
    /// newest version keeps it, so that applying the same file twice changes nothing.
    pub(crate) fn pinned(&self, binding: &Binding) -> Result<Binding, ServeError> {
        Ok(Binding {
            module: pinned_name(&self.find(&binding.module, Whose::of(binding))?),
            challengers: self.pinned_challengers(binding)?,
            shadow: self.pinned_shadow(binding)?,
            ..binding.clone()
        })
    }

    /// Refuses bindings whose module or config does not fit, before anything is changed.
    pub(crate) fn check_bindings(
        &self,
        stands: &Catalog,
        next: &Catalog,
        effects: &[(ObjectKey, Effect)],
    ) -> Result<(), ServeError> {
        for (key, effect) in effects {
            if key.kind != ObjectKind::Binding
                || !matches!(effect, Effect::Created | Effect::Updated)
            {
                continue;
            }
            let Some(binding) = key
                .name
                .parse()
                .ok()
                .and_then(|id: BindingId| next.bindings.get(&id))
            else {
                continue;
            };
            let loaded = self.check(&binding.value)?;
            let before = stands.bindings.get(&binding.value.id);
            self.check_challengers(&binding.value, before.map(|b| &b.value))?;
            self.check_shadow(&binding.value, before.map(|b| &b.value))?;
            let renamed = before.is_none_or(|b| b.value.module != binding.value.module);
            if renamed && !self.admits(&binding.value.id, loaded.digest()) {
                return Err(ServeError::field(
                    format!("binding {}", binding.value.id),
                    "module",
                    format!(
                        "`{}` was rolled back and is quarantined (RB1); push a fixed version, or bind it by word with `tidegate policy bind`",
                        binding.value.module
                    ),
                ));
            }
        }
        Ok(())
    }

    fn check(&self, binding: &Binding) -> Result<Loaded, ServeError> {
        let object = format!("binding {}", binding.id);
        let loaded = self.find(&binding.module, Whose::of(binding))?;
        if loaded.manifest().kind != binding.kind {
            let text = format!(
                "`{}` is of kind {}, the binding of kind {}",
                loaded.manifest().name,
                loaded.manifest().kind,
                binding.kind
            );
            return Err(ServeError::field(object, "module", text));
        }
        tidegate_engine::check_config(&loaded.manifest().config_schema, &binding.config)
            .map_err(|error| ServeError::field(object, "config", error.to_string()))?;
        Ok(loaded)
    }

    /// What `bind` is about to do: the module for a binding with a config, checked.
    pub(crate) fn candidate(&self, binding: &Binding) -> Result<Candidate, ServeError> {
        self.check(binding).map(|loaded| Candidate::from(&loaded))
    }

    /// Makes every slot serve what the catalog says. A module that may not serve (quarantined) or
    /// is not there leaves its slot as it is; only of the binding that a person named does the
    /// explicit word lift a quarantine.
    pub(crate) fn follow(
        &self,
        catalog: &Catalog,
        named: Option<(&BindingId, By)>,
    ) -> Vec<Result<(ModuleKind, Swapped), String>> {
        let mut followed = lock(&self.followed);
        let mut changes = self.follow_challengers(catalog);
        let gone: Vec<BindingId> = followed
            .keys()
            .filter(|id| !catalog.bindings.contains_key(*id))
            .cloned()
            .collect();
        for id in gone {
            followed.remove(&id);
            self.slots.remove(&id);
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        for binding in catalog.bindings.values().map(|b| &b.value) {
            self.slots
                .declare(&binding.id, binding.kind, binding.selector.clone());
            let loaded = match self.find(&binding.module, Whose::of(binding)) {
                Ok(loaded) => loaded,
                Err(error) => {
                    changes.push(Err(format!("binding {}: {error}", binding.id)));
                    continue;
                }
            };
            let wanted = (loaded.digest(), binding.config.clone());
            if followed.get(&binding.id) == Some(&wanted) {
                continue;
            }
            let by = match named {
                Some((id, by)) if *id == binding.id => by,
                _ => By::Itself,
            };
            match self
                .slots
                .swap(&binding.id, &Candidate::from(&loaded), &binding.config, by)
            {
                Ok(swapped) => {
                    followed.insert(binding.id.clone(), wanted);
                    self.epoch.fetch_add(1, Ordering::AcqRel);
                    changes.push(Ok((binding.kind, swapped)));
                }
                Err(error) => changes.push(Err(format!("binding {}: {error}", binding.id))),
            }
        }
        changes
    }

    /// Back to the version before; the one that served is quarantined.
    pub(crate) fn rollback(&self, binding: &BindingId) -> Result<Swapped, ServeError> {
        let swapped = self
            .slots
            .rollback(binding)
            .map_err(|error| ServeError::Precondition(error.to_string()))?;
        self.epoch.fetch_add(1, Ordering::AcqRel);
        Ok(swapped)
    }

    /// Counts faults against the slots; what was rolled back is returned.
    pub(crate) fn report_faults(&self, faults: &[Fault]) -> Vec<RolledBack> {
        let done = self.slots.report_faults(faults);
        if !done.is_empty() {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        done
    }

    /// Who serves a slot, with which config, if a module does.
    pub(crate) fn serving(&self, binding: &BindingId) -> Option<(ModuleRef, String)> {
        self.slots.serving(binding)
    }

    /// Notes that a slot serves another version than the catalog said, so that the catalog's next
    /// change does not swap it back.
    pub(crate) fn note_served(&self, binding: &BindingId, digest: Digest, config: &str) {
        lock(&self.followed).insert(binding.clone(), (digest, config.to_owned()));
    }

    /// Notes that a slot serves nothing of what the catalog says.
    pub(crate) fn forget(&self, binding: &BindingId) {
        lock(&self.followed).remove(binding);
    }

    /// Modules whose reused instances were found to remember, and of which nobody was told yet.
    pub(crate) fn newly_impure(&self) -> Vec<ModuleRef> {
        let withdrawn = |h: &&Held| h.loaded.reuse().is_some_and(|r| r.withdrawn);
        let all: Vec<ModuleRef> = {
            let held = lock(&self.held);
            let impure = held.iter().filter(withdrawn);
            impure.map(|h| h.loaded.module_ref()).collect()
        };
        let mut told = lock(&self.impure);
        all.into_iter().filter(|m| told.insert(m.digest)).collect()
    }

    /// Ends the fits of a module that run now.
    pub(crate) fn cancel_fits(&self, digest: Digest) {
        let held = lock(&self.held);
        if let Some(held) = held.iter().find(|h| h.entry.digest == digest) {
            held.loaded.cancel_fits();
        }
    }

    /// Whether a digest may serve a binding without anybody's word (RB1).
    pub(crate) fn admits(&self, binding: &BindingId, digest: Digest) -> bool {
        self.slots.admits(binding, digest)
    }

    /// Whether a digest was withdrawn everywhere.
    pub(crate) fn is_withdrawn(&self, digest: Digest) -> bool {
        self.slots.quarantined().contains(&digest)
    }

    /// Writes down which modules may not serve, and where. `party` tells whom a binding selects.
    pub(crate) fn keep_quarantine(
        &self,
        party: impl Fn(&BindingId) -> Option<TenantId>,
    ) -> Result<(), tidegate_core::ports::storage::StoreError> {
        let withdrawn = self.slots.quarantined();
        let mut held = lock(&self.held);
        for h in held.iter_mut() {
            let digest = h.entry.digest;
            let places = self.slots.condemned_at(digest).into_iter();
            // A binding that was deleted since is still remembered as whose it was.
            let known = |binding: &BindingId| {
                let mut condemned = h.entry.condemned.iter();
                condemned.find(|c| c.binding == *binding)?.party.clone()
            };
            let next = StoredModule {
                quarantined: withdrawn.contains(&digest),
                condemned: places
                    .map(|binding| Condemned {
                        party: party(&binding).or_else(|| known(&binding)),
                        binding,
                    })
                    .collect(),
                ..h.entry.clone()
            };
            if h.entry != next {
                self.store.put(&next, &[])?;
                h.entry = next;
            }
        }
        Ok(())
    }
}

/// A module as a binding names it once it is pinned.
fn pinned_name(loaded: &Loaded) -> String {
    format!("{}@{}", loaded.manifest().name, loaded.digest().short())
}
