//! Removals: an owner gives up its holding of a module, which is then nobody's to bind for it.
//!
//! What goes is the holding, not the bytes. Records name the modules that decided by their digest, and a
//! plan must be recomputable (LE1); a digest that was rolled back must not come back because somebody
//! removed and pushed it again (RB1). So a module without holdings stays where it is, in the engine and in
//! the store: no name finds it, no list shows it and no quota counts it. The rejected alternative, to
//! delete it when no record names it any more, would read the whole ledger for a few megabytes.
//!
//! A module that serves, stands beside as a challenger or in shadow, or would answer if what serves failed, is in use.
//! It is refused with the bindings that use it: a person who removes what others stand on is told, and
//! decides again.

use super::Policies;
use super::held::{self, Held, Whose};
use crate::world::lock;
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::{BindingId, Digest, TenantId};
use tidegate_core::life::{Actor, Event, Step, Version};
use tidegate_core::module::Binding;
use tidegate_core::ports::serve::{ModuleInfo, ServeError};
use tidegate_core::ports::storage::Modules as _;
use tidegate_core::time::Timestamp;

impl Policies {
    /// Gives up the module that a text names among those of an owner.
    pub(crate) fn remove(
        &self,
        text: &str,
        owner: Option<&TenantId>,
        catalog: &Catalog,
        by: &str,
        now: Timestamp,
    ) -> Result<ModuleInfo, ServeError> {
        let slots = self.slots.info();
        let mut held = lock(&self.held);
        let at = one_of(&held, text, owner)?;
        let digest = held[at].entry.digest;
        let mut users: Vec<String> = vec![];
        for binding in catalog.bindings.values().map(|b| &b.value) {
            if concerns(&held, binding, owner, digest) {
                let last = slots.iter().find(|slot| slot.binding == binding.id);
                let falls_back = last
                    .and_then(|slot| slot.last_good.as_ref())
                    .is_some_and(|module| module.digest == digest);
                users.extend(uses(&held, binding, digest, falls_back));
            }
        }
        if !users.is_empty() {
            let manifest = &held[at].entry.manifest;
            return Err(ServeError::Precondition(format!(
                "{} {} ({}) is used: {}; bind another module there first, or delete the binding",
                manifest.name,
                manifest.version,
                digest.short(),
                users.join(", ")
            )));
        }
        let Some(holding) = held[at].by(owner).cloned() else {
            return Err(missing(text));
        };
        let told = self.info(&held[at], &holding);
        let mut entry = held[at].entry.clone();
        entry.holdings.retain(|h| h.owner.as_ref() != owner);
        self.store.put(&entry, &[]).map_err(crate::gate::stored)?;
        held[at].entry = entry;
        let module = held[at].loaded.module_ref();
        drop(held);
        self.journal.write(vec![Step {
            party: owner.cloned(),
            from: Some(Version {
                module,
                config: String::new(),
            }),
            reason: "its holder gave it up".into(),
            ..Step::new(Event::Removed, Actor::Caller(by.to_owned()), now)
        }]);
        Ok(told)
    }
}

fn missing(text: &str) -> ServeError {
    ServeError::NotFound {
        what: format!("module `{text}`"),
        remedy: "`tidegate policy list` shows the modules and who holds them".into(),
    }
}

/// The place of the one module of an owner that a text names; unlike for a binding, a name of which
/// several versions are held names none of them.
fn one_of(held: &[Held], text: &str, owner: Option<&TenantId>) -> Result<usize, ServeError> {
    let (name, prefix) = text.split_once('@').unwrap_or((text, text));
    let fits = |h: &Held| {
        let begins = prefix.len() >= 6 && h.entry.digest.to_string().starts_with(prefix);
        match text.contains('@') {
            true => h.name() == name && begins,
            false => h.name() == name || begins,
        }
    };
    let mine = held
        .iter()
        .enumerate()
        .filter(|(_, h)| h.by(owner).is_some());
    let found: Vec<usize> = mine.filter(|(_, h)| fits(h)).map(|(i, _)| i).collect();
    match found.as_slice() {
        [] => Err(missing(text)),
        [one] => Ok(*one),
        many => {
            let digests = many.iter().map(|&i| held[i].entry.digest.short());
            let digests: Vec<String> = digests.collect();
            Err(ServeError::field(
                "module",
                "module",
                format!(
                    "`{text}` names {} modules; write the digest of one: {}",
                    many.len(),
                    digests.join(", ")
                ),
            ))
        }
    }
}

/// Whether a binding has a module by the holding of this owner, and would have it no more without: its own
/// tenant's holding, or everybody's where its tenant has none of its own.
fn concerns(held: &[Held], binding: &Binding, owner: Option<&TenantId>, digest: Digest) -> bool {
    let of = binding.selector.tenant.as_ref();
    let own = |tenant: &TenantId| {
        let mut modules = held.iter().filter(|h| h.entry.digest == digest);
        modules.any(|h| h.by(Some(tenant)).is_some())
    };
    match (owner, of) {
        (None, None) => true,
        (None, Some(tenant)) => !own(tenant),
        (Some(owner), Some(tenant)) => {
            let shared = held
                .iter()
                .any(|h| h.entry.digest == digest && h.is_shared());
            owner == tenant && !shared
        }
        (Some(_), None) => false,
    }
}

/// How a binding uses a module, if it does.
fn uses(held: &[Held], binding: &Binding, digest: Digest, falls_back: bool) -> Option<String> {
    let is =
        |text: &str| held::find(held, text, Whose::of(binding)).is_ok_and(|m| m.digest() == digest);
    let how = |id: &BindingId, what: &str| Some(format!("{what} binding {id}"));
    if is(&binding.module) {
        return how(&binding.id, "it serves");
    }
    if binding.challengers.iter().any(|c| is(&c.module)) {
        return how(&binding.id, "it stands beside the module of");
    }
    if binding.shadow.as_ref().is_some_and(|s| is(&s.module)) {
        return how(&binding.id, "it is in shadow of");
    }
    falls_back
        .then(|| how(&binding.id, "it would answer if what serves failed for"))
        .flatten()
}
