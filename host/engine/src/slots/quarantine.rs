//! What may not come back by itself (RB1), and where.
//!
//! A module that fails is condemned *for the binding in which it failed*: on one tenant's data it may
//! trap with every call and serve all others well, and nobody's data may take a module from somebody
//! else. What fails for two parties that have nothing in common is broken, not unlucky: it is then
//! withdrawn everywhere. A party is the tenant whom a binding selects, and the operator for those that
//! select none, so that a tenant with many bindings is one voice.
//!
//! The alternative, one flag per digest, let the worst feed of a fleet decide for all of it. The
//! other, no withdrawal at all, lets each tenant find out for itself.

use std::collections::{BTreeMap, BTreeSet};
use tidegate_core::ids::{BindingId, Digest, TenantId};

/// Parties for whom a digest must have failed until it is withdrawn everywhere.
const WITHDRAWN_BY: usize = 2;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quarantine {
    /// Where, and in whose binding.
    places: BTreeMap<Digest, BTreeMap<BindingId, Option<TenantId>>>,
    everywhere: BTreeSet<Digest>,
}

impl Quarantine {
    /// Whether a digest may serve a binding without anybody's word.
    pub(crate) fn admits(&self, binding: &BindingId, digest: Digest) -> bool {
        let condemned = self.places.get(&digest);
        !self.everywhere.contains(&digest) && condemned.is_none_or(|at| !at.contains_key(binding))
    }

    /// Condemns a digest for one binding of a party; answers whether that withdrew it everywhere.
    ///
    /// Native rules share the digest zero and cannot be condemned.
    pub(crate) fn condemn(
        &mut self,
        digest: Digest,
        binding: &BindingId,
        party: Option<&TenantId>,
    ) -> Reach {
        if digest.0 == [0; 32] {
            return Reach::Nowhere;
        }
        self.note(digest, binding, party);
        let places = self.places.get(&digest).into_iter();
        let parties: BTreeSet<_> = places.flat_map(BTreeMap::values).collect();
        if parties.len() < WITHDRAWN_BY {
            return Reach::Binding;
        }
        self.everywhere.insert(digest);
        Reach::Everywhere
    }

    /// Condemns a digest for one binding and draws no conclusion from it: by somebody's word, or as it
    /// was known before a restart.
    pub(crate) fn note(&mut self, digest: Digest, binding: &BindingId, party: Option<&TenantId>) {
        if digest.0 != [0; 32] {
            let places = self.places.entry(digest).or_default();
            places.insert(binding.clone(), party.cloned());
        }
    }

    /// Forgets all that is known against a digest.
    pub(crate) fn forgive(&mut self, digest: Digest) {
        self.everywhere.remove(&digest);
        self.places.remove(&digest);
    }

    /// Withdraws a digest everywhere.
    pub(crate) fn withdraw(&mut self, digest: Digest) {
        if digest.0 != [0; 32] {
            self.everywhere.insert(digest);
        }
    }

    /// The word of who owns the binding: there, and there alone, it may serve again.
    pub(crate) fn lift(&mut self, binding: &BindingId, digest: Digest) {
        if let Some(places) = self.places.get_mut(&digest) {
            places.remove(binding);
            if places.is_empty() {
                self.places.remove(&digest);
            }
        }
    }

    /// The operator's word: it is no longer withdrawn, and may serve this binding again. Where it was
    /// condemned besides, it stays so.
    pub(crate) fn pardon(&mut self, binding: &BindingId, digest: Digest) {
        self.everywhere.remove(&digest);
        self.lift(binding, digest);
    }

    /// Digests that are withdrawn everywhere, ascending.
    pub(crate) fn everywhere(&self) -> impl Iterator<Item = Digest> + '_ {
        self.everywhere.iter().copied()
    }

    /// Bindings for which a digest is condemned, ascending.
    pub(crate) fn places(&self, digest: Digest) -> impl Iterator<Item = &BindingId> {
        self.places
            .get(&digest)
            .into_iter()
            .flat_map(BTreeMap::keys)
    }
}

/// How far a quarantine goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A native rule: nowhere.
    Nowhere,
    /// The binding in which it failed.
    Binding,
    /// All bindings: it failed for parties that have nothing in common.
    Everywhere,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> BindingId {
        text.parse().unwrap()
    }

    #[test]
    fn the_bindings_of_one_tenant_are_one_voice_and_those_of_two_are_enough() {
        let (shop, bank): (TenantId, TenantId) = ("shop".parse().unwrap(), "bank".parse().unwrap());
        let bad = Digest([1; 32]);
        let mut quarantine = Quarantine::default();
        for binding in ["a", "b", "c"] {
            let reach = quarantine.condemn(bad, &id(binding), Some(&shop));
            assert_eq!(reach, Reach::Binding);
        }
        assert!(!quarantine.admits(&id("a"), bad) && quarantine.admits(&id("z"), bad));
        assert_eq!(
            quarantine.condemn(bad, &id("d"), Some(&bank)),
            Reach::Everywhere
        );
        assert!(!quarantine.admits(&id("z"), bad));

        // The operator's word for one binding is no word for those where it failed.
        quarantine.pardon(&id("a"), bad);
        assert!(quarantine.admits(&id("a"), bad) && quarantine.admits(&id("z"), bad));
        assert!(!quarantine.admits(&id("b"), bad));
        assert_eq!(quarantine.places(bad).count(), 3);
    }

    #[test]
    fn an_owners_word_does_not_lift_what_was_withdrawn_everywhere() {
        let bad = Digest([1; 32]);
        let mut quarantine = Quarantine::default();
        quarantine.condemn(bad, &id("a"), None);
        quarantine.withdraw(bad);
        quarantine.lift(&id("a"), bad);
        assert!(!quarantine.admits(&id("a"), bad));
        quarantine.withdraw(Digest([0; 32]));
        assert_eq!(
            quarantine.everywhere().count(),
            1,
            "native rules cannot be withdrawn"
        );
    }
}
