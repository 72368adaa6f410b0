//! Slots: which module serves each binding, swapped while calls run.
//!
//! The whole table is one immutable value behind one atomic pointer. A cycle pins it once and
//! resolves all its bindings from that pin, so no swap is ever seen half (MO1), calls in flight end
//! on the version they began on, and readers never wait. Writers build the next table under a lock
//! of their own. The alternative, one pointer per slot, is a little cheaper to write and lets one
//! cycle see two moments of the world.
//!
//! A swapped-out module stays as *last good*, warm, until the next swap. Repeated faults of the
//! active one bring it back by themselves, and quarantine the digest that failed for this binding
//! (RB1): after that, only an explicit swap may bind it there. What was done is returned as data; logging, alerts
//! and persistence are the daemon's.

mod meter;
mod quarantine;
mod swap;
mod table;
mod words;

pub use meter::FaultLimit;
pub use quarantine::Reach;
pub use swap::{By, RolledBack, SwapError, Swapped};
pub use table::{Pinned, Resolved, Subject};

use crate::module::{Loaded, Policy};
use crate::schema;
use arc_swap::ArcSwap;
use meter::{Meter, counts};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use table::{Chain, Slot, Table};
use tidegate_core::ids::{BindingId, Digest, TenantId};
use tidegate_core::module::{ModuleKind, ModuleRef, Selector};
use tidegate_core::policy::{Allocator, Forecaster, Judge, Tierer};
use tidegate_core::ports::serve::SlotInfo;
use tidegate_core::roster::Fault;

/// The daemon's own rules, last in every chain.
#[derive(Debug, Clone)]
pub struct Baselines {
    /// Forecasts when no module does.
    pub forecaster: (ModuleRef, Arc<dyn Forecaster>),
    /// Chooses tiers when no module does.
    pub tierer: (ModuleRef, Arc<dyn Tierer>),
    /// Divides pools when no module does.
    pub allocator: (ModuleRef, Arc<dyn Allocator>),
    /// Judges when no module does.
    pub judge: (ModuleRef, Arc<dyn Judge>),
}

/// What can be put into a slot: a module for one binding, whose calls have places of their own.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Identity.
    pub module: ModuleRef,
    /// JSON Schema of its config.
    pub config_schema: String,
    /// The policy.
    pub policy: Policy,
}

impl From<&Loaded> for Candidate {
    fn from(loaded: &Loaded) -> Self {
        Self {
            module: loaded.module_ref(),
            config_schema: loaded.manifest().config_schema.clone(),
            policy: loaded.policy_apart(),
        }
    }
}

/// A module in a slot, with its config.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    pub(crate) module: ModuleRef,
    pub(crate) config: Arc<str>,
    pub(crate) policy: Policy,
}

/// All slots.
#[derive(Debug)]
pub struct Slots {
    table: ArcSwap<Table>,
    /// Held while the next table is built.
    writing: Mutex<()>,
    baselines: Baselines,
    limit: FaultLimit,
}

impl Slots {
    /// No bindings yet: everything is served by the baselines.
    #[must_use]
    pub fn new(baselines: Baselines, limit: FaultLimit) -> Self {
        Self {
            table: ArcSwap::from_pointee(Table::new(&baselines)),
            writing: Mutex::new(()),
            baselines,
            limit,
        }
    }

    /// The slots as they are now; what is swapped later does not show.
    #[must_use]
    pub fn pin(&self) -> Pinned {
        Pinned(self.table.load_full())
    }

    /// Adds a binding, served by the baseline until a module is swapped in; or gives an existing
    /// one another selector, keeping its modules unless the kind changes.
    pub fn declare(&self, id: &BindingId, kind: ModuleKind, selector: Selector) {
        let _writing = self.writing();
        let mut next = self.next();
        let old = next.slots.get(id).filter(|slot| slot.kind == kind);
        let slot = match old {
            Some(old) => Slot {
                selector,
                ..Slot::clone(old)
            },
            None => Slot {
                kind,
                selector,
                active: None,
                last_good: None,
                epoch: next.slots.get(id).map_or(0, |slot| slot.epoch + 1),
                meter: Arc::new(Meter::default()),
                chain: Chain::baseline(Some(id), kind, &self.baselines),
            },
        };
        next.slots.insert(id.clone(), Arc::new(slot));
        self.publish(next);
    }

    /// Removes a binding; what it served falls to the next most specific one.
    pub fn remove(&self, id: &BindingId) {
        let _writing = self.writing();
        let mut next = self.next();
        next.slots.remove(id);
        self.publish(next);
    }

    /// Makes a module serve a binding, by one atomic pointer. The one before stays as last good.
    /// The same module with another config is a swap as well.
    ///
    /// # Errors
    /// When it may not serve; the slot stays as it is.
    pub fn swap(
        &self,
        id: &BindingId,
        candidate: &Candidate,
        config: &str,
        by: By,
    ) -> Result<Swapped, SwapError> {
        let _writing = self.writing();
        let mut next = self.next();
        let slot = next
            .slots
            .get(id)
            .cloned()
            .ok_or_else(|| SwapError::UnknownBinding(id.clone()))?;
        let module = &candidate.module;
        if slot.kind != candidate.policy.kind() {
            return Err(SwapError::WrongKind {
                binding: id.clone(),
                expected: slot.kind,
                module: module.clone(),
                found: candidate.policy.kind(),
            });
        }
        schema::check_config(&candidate.config_schema, config).map_err(|source| {
            SwapError::Config {
                module: module.name.clone(),
                source,
            }
        })?;
        match by {
            By::Operator => next.quarantine.pardon(id, module.digest),
            By::Owner => next.quarantine.lift(id, module.digest),
            By::Itself => {}
        }
        if !next.quarantine.admits(id, module.digest) {
            return Err(SwapError::Quarantined(module.clone()));
        }
        let serving = Serving {
            module: module.clone(),
            config: config.into(),
            policy: candidate.policy.clone(),
        };
        let before = slot.active.clone().filter(|s| next.may_serve(id, s));
        let swapped = self.replace(&mut next, id, &slot, Some(serving), before);
        self.publish(next);
        Ok(swapped)
    }

    /// Back to the version before, which an operator asked for; the present one is quarantined.
    ///
    /// # Errors
    /// When there is none.
    pub fn rollback(&self, id: &BindingId) -> Result<Swapped, SwapError> {
        let _writing = self.writing();
        let mut next = self.next();
        let slot = next
            .slots
            .get(id)
            .cloned()
            .ok_or_else(|| SwapError::UnknownBinding(id.clone()))?;
        let Some(back) = slot.last_good.clone() else {
            return Err(SwapError::NothingBefore(id.clone()));
        };
        let same = slot.active.as_ref().map(|a| a.module.digest) == Some(back.module.digest);
        if let Some(active) = slot.active.as_ref().filter(|_| !same) {
            let party = slot.selector.tenant.as_ref();
            next.quarantine.condemn(active.module.digest, id, party);
        }
        let swapped = self.replace(&mut next, id, &slot, Some(back), None);
        self.publish(next);
        Ok(swapped)
    }

    /// Notes faults. Where the active module of a slot has failed too often, the slot goes back to
    /// its last good version, or to the baseline, and the digest is quarantined for this binding; for
    /// all, when it has failed so for two parties.
    ///
    /// A fault counts for the binding that it carries, and for none where it carries none. Of one
    /// report, no more are counted than calls were made since the one before: a batch that fails
    /// for a thousand series is one failed call.
    pub fn report_faults(&self, faults: &[Fault]) -> Vec<RolledBack> {
        let mut by_slot: BTreeMap<(&BindingId, Digest), Vec<&Fault>> = BTreeMap::new();
        for fault in faults.iter().filter(|fault| counts(&fault.error)) {
            if let Some(binding) = &fault.binding {
                let of = (binding, fault.module.digest);
                by_slot.entry(of).or_default().push(fault);
            }
        }
        let mut done = vec![];
        if by_slot.is_empty() {
            return done;
        }
        let _writing = self.writing();
        let mut next = self.next();
        let slots: Vec<(BindingId, Arc<Slot>)> = next
            .slots
            .iter()
            .map(|(id, slot)| (id.clone(), slot.clone()))
            .collect();
        for (id, slot) in slots {
            let Some(active) = &slot.active else { continue };
            let digest = active.module.digest;
            let Some(faults) = by_slot.get(&(&id, digest)) else {
                continue;
            };
            let reported = u32::try_from(faults.len()).unwrap_or(u32::MAX);
            let Some(total) = slot.meter.report(reported, self.limit) else {
                continue;
            };
            let party = slot.selector.tenant.as_ref();
            let reach = next.quarantine.condemn(digest, &id, party);
            let back = slot.last_good.clone().filter(|s| next.may_serve(&id, s));
            let swap = self.replace(&mut next, &id, &slot, back, None);
            done.push(RolledBack {
                swap,
                quarantined: digest,
                reach,
                faults: total,
                cause: faults
                    .last()
                    .map_or_else(String::new, |f| f.error.to_string()),
            });
        }
        if !done.is_empty() {
            let ids: Vec<BindingId> = next.slots.keys().cloned().collect();
            for id in ids {
                next.drop_quarantined_last_good(&id, &self.baselines);
            }
            self.publish(next);
        }
        done
    }

    /// Digests that are withdrawn everywhere, ascending.
    #[must_use]
    pub fn quarantined(&self) -> Vec<Digest> {
        self.table.load().quarantine.everywhere().collect()
    }

    /// Bindings for which a digest is quarantined, ascending; one that is withdrawn everywhere need
    /// not be among them.
    #[must_use]
    pub fn condemned_at(&self, digest: Digest) -> Vec<BindingId> {
        let table = self.table.load();
        table.quarantine.places(digest).cloned().collect()
    }

    /// Whether a digest may serve a binding without anybody's word (RB1).
    #[must_use]
    pub fn admits(&self, id: &BindingId, digest: Digest) -> bool {
        self.table.load().quarantine.admits(id, digest)
    }

    /// Withdraws digests everywhere: again after a restart, or those that an operator condemns. Slots
    /// that they serve now keep them.
    pub fn quarantine(&self, digests: impl IntoIterator<Item = Digest>) {
        self.condemn(|next| {
            let all = digests.into_iter();
            all.for_each(|digest| next.quarantine.withdraw(digest));
        });
    }

    /// Quarantines digests for bindings again, after a restart. A binding that is declared later is
    /// known by its name alone: whose it is, is told by `party`.
    pub fn quarantine_at<'a>(
        &self,
        places: impl IntoIterator<Item = (Digest, &'a BindingId, Option<&'a TenantId>)>,
    ) {
        self.condemn(|next| {
            for (digest, binding, party) in places {
                next.quarantine.note(digest, binding, party);
            }
        });
    }

    fn condemn(&self, change: impl FnOnce(&mut Table)) {
        let _writing = self.writing();
        let mut next = self.next();
        change(&mut next);
        let slots: Vec<BindingId> = next.slots.keys().cloned().collect();
        for id in slots {
            next.drop_quarantined_last_good(&id, &self.baselines);
        }
        self.publish(next);
    }

    /// The module that serves a binding, and its config; `None` while the baseline does.
    #[must_use]
    pub fn serving(&self, id: &BindingId) -> Option<(ModuleRef, String)> {
        let table = self.table.load();
        let active = table.slots.get(id)?.active.as_ref()?;
        Some((active.module.clone(), active.config.to_string()))
    }

    /// The module that a binding falls back to, and its config.
    #[must_use]
    pub fn last_good(&self, id: &BindingId) -> Option<(ModuleRef, String)> {
        let table = self.table.load();
        let behind = table.slots.get(id)?.last_good.as_ref()?;
        Some((behind.module.clone(), behind.config.to_string()))
    }

    /// All slots, for people.
    #[must_use]
    pub fn info(&self) -> Vec<SlotInfo> {
        let table = self.table.load();
        let info = |(id, slot): (&BindingId, &Arc<Slot>)| SlotInfo {
            binding: id.clone(),
            kind: slot.kind,
            active: match &slot.active {
                Some(serving) => serving.module.clone(),
                None => self.baseline_of(slot.kind),
            },
            last_good: slot
                .last_good
                .as_ref()
                .map(|serving| serving.module.clone()),
            epoch: slot.epoch,
            calls: slot.meter.calls(),
            faults: slot.meter.faults(),
            // Whoever scores knows of it, not who swaps.
            trial: None,
        };
        table.slots.iter().map(info).collect()
    }

    fn baseline_of(&self, kind: ModuleKind) -> ModuleRef {
        match kind {
            ModuleKind::Forecaster => self.baselines.forecaster.0.clone(),
            ModuleKind::Tierer => self.baselines.tierer.0.clone(),
            ModuleKind::Allocator => self.baselines.allocator.0.clone(),
            ModuleKind::Judge => self.baselines.judge.0.clone(),
        }
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data: a writer that panicked has published nothing.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Table {
        Table::clone(&self.table.load())
    }

    fn publish(&self, mut next: Table) {
        next.sort();
        self.table.store(Arc::new(next));
    }

    fn replace(
        &self,
        next: &mut Table,
        id: &BindingId,
        old: &Slot,
        active: Option<Serving>,
        last_good: Option<Serving>,
    ) -> Swapped {
        let meter = Arc::new(old.meter.renewed());
        let slot = Slot {
            kind: old.kind,
            selector: old.selector.clone(),
            chain: Chain::of(
                Some(id),
                old.kind,
                active.as_ref(),
                last_good.as_ref(),
                &meter,
                &self.baselines,
            ),
            active,
            last_good,
            epoch: old.epoch + 1,
            meter,
        };
        let swapped = Swapped {
            binding: id.clone(),
            from: old.active.as_ref().map(|s| s.module.clone()),
            to: slot.active.as_ref().map(|s| s.module.clone()),
            epoch: slot.epoch,
        };
        next.slots.insert(id.clone(), Arc::new(slot));
        swapped
    }
}

#[cfg(test)]
mod tests;
