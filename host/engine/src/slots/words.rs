//! What a person or a gate decides about a version, beside swaps: condemned, withdrawn, forgiven, or
//! standing behind another one.
//!
//! A digest that is condemned by word goes at once where it serves, as after faults: to the last good
//! version, or to the baseline. Unlike a fault, a word is no failure: two parties that say it withdraw
//! nothing everywhere, or two tenants could take a shared module from all others.

use super::table::{Chain, Slot, Table};
use super::{Candidate, Serving, Slots, Swapped};
use std::sync::Arc;
use tidegate_core::ids::{BindingId, Digest};

impl Slots {
    /// Condemns a digest for one binding. Where it serves there, the slot goes back; that is answered.
    pub fn condemn_at(&self, id: &BindingId, digest: Digest) -> Option<Swapped> {
        let _writing = self.writing();
        let mut next = self.next();
        let party = next
            .slots
            .get(id)
            .and_then(|slot| slot.selector.tenant.clone());
        next.quarantine.note(digest, id, party.as_ref());
        let swapped = self.leave(&mut next, id, digest);
        next.drop_quarantined_last_good(id, &self.baselines);
        self.publish(next);
        swapped
    }

    /// Withdraws a digest everywhere. Every slot that it serves goes back; those are answered.
    pub fn withdraw(&self, digest: Digest) -> Vec<Swapped> {
        let _writing = self.writing();
        let mut next = self.next();
        next.quarantine.withdraw(digest);
        let ids: Vec<BindingId> = next.slots.keys().cloned().collect();
        let mut all = vec![];
        for id in ids {
            all.extend(self.leave(&mut next, &id, digest));
            next.drop_quarantined_last_good(&id, &self.baselines);
        }
        self.publish(next);
        all
    }

    /// Lets a digest serve one binding again, as far as whoever owns the binding can say.
    pub fn lift_at(&self, id: &BindingId, digest: Digest) {
        let _writing = self.writing();
        let mut next = self.next();
        next.quarantine.lift(id, digest);
        self.publish(next);
    }

    /// Lets a digest serve again, wherever it was condemned.
    pub fn forgive(&self, digest: Digest) {
        let _writing = self.writing();
        let mut next = self.next();
        next.quarantine.forgive(digest);
        self.publish(next);
    }

    /// Makes a version the one that a slot falls back to, after a restart: a table that is built anew
    /// knows none. Answers whether it stands there; it does not where another one does, where nothing
    /// serves, and where it may not serve (RB1).
    pub fn stand_behind(&self, id: &BindingId, candidate: &Candidate, config: &str) -> bool {
        let _writing = self.writing();
        let mut next = self.next();
        let Some(slot) = next.slots.get(id).cloned() else {
            return false;
        };
        let serving = Serving {
            module: candidate.module.clone(),
            config: config.into(),
            policy: candidate.policy.clone(),
        };
        let fits = slot.kind == candidate.policy.kind()
            && slot.last_good.is_none()
            && slot.active.is_some()
            && next.may_serve(id, &serving);
        if fits {
            let (active, last_good) = (slot.active.as_ref(), Some(serving));
            let chain = Chain::of(
                Some(id),
                slot.kind,
                active,
                last_good.as_ref(),
                &slot.meter,
                &self.baselines,
            );
            let slot = Slot {
                chain,
                last_good,
                ..Slot::clone(&slot)
            };
            next.slots.insert(id.clone(), Arc::new(slot));
            self.publish(next);
        }
        fits
    }

    /// Takes a digest out of a slot that it serves.
    fn leave(&self, next: &mut Table, id: &BindingId, digest: Digest) -> Option<Swapped> {
        let slot = next.slots.get(id).cloned()?;
        if slot.active.as_ref()?.module.digest != digest {
            return None;
        }
        let back = slot.last_good.clone().filter(|s| next.may_serve(id, s));
        Some(self.replace(next, id, &slot, back, None))
    }
}
