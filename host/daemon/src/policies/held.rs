//! Admitted modules, and whose they are.
//!
//! A module has an owner: the tenant for which it was pushed, or the operator, whose modules are
//! everybody's. A tenant's bindings may name its own modules and the shared ones; what serves no one
//! tenant (the defaults, the allocators) may name shared ones alone, so that nothing that a tenant
//! pushed ever decides for another. What belongs to another tenant is answered as what is not there.
//!
//! The same bytes may be held by several owners. The engine keeps them once and each owner sees its
//! own holding: that another holds them too shows nowhere. A digest whose first owner alone were told
//! would let anybody ask who else runs a given build.

use tidegate_core::ids::TenantId;
use tidegate_core::module::{Binding, Holding};
use tidegate_core::ports::serve::ServeError;
use tidegate_core::ports::storage::StoredModule;
use tidegate_engine::Loaded;

/// An admitted module and its entry in the store.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) loaded: Loaded,
    pub(super) entry: StoredModule,
}

/// For whom a name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose<'a> {
    /// What serves no one tenant.
    Shared,
    /// What serves this tenant.
    Tenant(&'a TenantId),
}

impl<'a> Whose<'a> {
    /// For whom a binding names its modules.
    pub(crate) fn of(binding: &'a Binding) -> Self {
        match &binding.selector.tenant {
            Some(tenant) => Whose::Tenant(tenant),
            None => Whose::Shared,
        }
    }
}

impl Held {
    pub(super) fn name(&self) -> &str {
        &self.entry.manifest.name
    }

    /// Its holding by an owner.
    pub(super) fn by(&self, owner: Option<&TenantId>) -> Option<&Holding> {
        let mut holdings = self.entry.holdings.iter();
        holdings.find(|h| h.owner.as_ref() == owner)
    }

    pub(super) fn is_shared(&self) -> bool {
        self.by(None).is_some()
    }

    fn reaches(&self, whose: Whose<'_>) -> bool {
        match whose {
            Whose::Shared => self.is_shared(),
            Whose::Tenant(tenant) => self.is_shared() || self.by(Some(tenant)).is_some(),
        }
    }

    /// When whoever looks got it.
    fn since(&self, whose: Whose<'_>) -> i64 {
        let own = match whose {
            Whose::Shared => None,
            Whose::Tenant(tenant) => self.by(Some(tenant)),
        };
        own.or_else(|| self.by(None)).map_or(0, |h| h.admitted_at.0)
    }

    fn is_own(&self, whose: Whose<'_>) -> bool {
        matches!(whose, Whose::Tenant(tenant) if self.by(Some(tenant)).is_some())
    }
}

/// The module that a text names: `name`, `name@digest`, or `digest`, the digest as any unique prefix
/// of at least six digits. By name alone it is the newest, a tenant's own before a shared one.
pub(super) fn find(held: &[Held], text: &str, whose: Whose<'_>) -> Result<Loaded, ServeError> {
    let mine: Vec<&Held> = held.iter().filter(|h| h.reaches(whose)).collect();
    let (name, prefix) = match text.split_once('@') {
        Some((name, prefix)) => (Some(name), Some(prefix)),
        None if mine.iter().any(|h| h.name() == text) => (Some(text), None),
        None => (None, Some(text)),
    };
    let fits = |h: &&Held| {
        name.is_none_or(|n| h.name() == n)
            && prefix.is_none_or(|p| p.len() >= 6 && h.entry.digest.to_string().starts_with(p))
    };
    let mut found: Vec<&Held> = mine.into_iter().filter(fits).collect();
    // Stable: of one instant, the later admission is the newer.
    found.sort_by_key(|h| (h.is_own(whose), h.since(whose)));
    match (found.as_slice(), prefix) {
        ([], _) => Err(ServeError::NotFound {
            what: format!("module `{text}`"),
            remedy: "`tidegate policy list` shows the modules; push it first with `tidegate policy push`".into(),
        }),
        ([.., newest], None) => Ok(newest.loaded.clone()),
        ([one], Some(_)) => Ok(one.loaded.clone()),
        (many, Some(prefix)) => Err(ServeError::field(
            "module",
            "digest",
            format!("`{prefix}` begins {} digests; write more of it", many.len()),
        )),
    }
}
