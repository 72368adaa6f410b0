//! The journal of versions in memory, as the store has it, and its bound.
//!
//! Steps lie on shelves: those of a binding on one of its own, those of modules that concern no
//! binding on one per holder. The newest [`Step::KEPT`] of each shelf are kept, so that one that is
//! busy takes no past from another. A step that tells of a change of the catalog is written with it, so
//! that a crash leaves both or neither. Every other is written after what it tells of: a crash between the
//! two forgets a step, and never tells of one that was not taken. A disk that is full stops no rollback
//! (it is told in the log that a step is missing), and the next start notes what it finds
//! ([`crate::life::restore`]).

use crate::world::lock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tidegate_core::catalog::Catalog;
use tidegate_core::ids::{BindingId, TenantId};
use tidegate_core::life::Step;
use tidegate_core::ports::storage::{CatalogStore as _, Journal as _, StoreError};
use tidegate_store::Store;

/// Which steps are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Shelf {
    Binding(BindingId),
    Holder(Option<TenantId>),
}

impl Shelf {
    fn of(step: &Step) -> Self {
        match &step.binding {
            Some(binding) => Shelf::Binding(binding.clone()),
            None => Shelf::Holder(step.party.clone()),
        }
    }
}

/// What is kept.
#[derive(Debug, Default)]
struct Shelves {
    steps: BTreeMap<Shelf, VecDeque<Step>>,
    next: u64,
}

impl Shelves {
    /// Puts a step on its shelf; the oldest that has no place any more goes.
    fn put(&mut self, step: Step) {
        self.next = self.next.max(step.sequence + 1);
        let shelf = self.steps.entry(Shelf::of(&step)).or_default();
        shelf.push_back(step);
        let over = shelf.len().saturating_sub(Step::KEPT);
        shelf.drain(..over);
    }

    /// Steps with the places that they will have, and what has none any more then. Nothing is put yet.
    fn place(&self, steps: Vec<Step>) -> Placed {
        let numbered = (self.next..).zip(steps);
        let all: Vec<Step> = numbered
            .map(|(sequence, step)| Step { sequence, ..step })
            .collect();
        let mut after: BTreeMap<Shelf, Vec<u64>> = BTreeMap::new();
        for step in &all {
            let shelf = Shelf::of(step);
            let stand = self.steps.get(&shelf).into_iter().flatten();
            let on = after
                .entry(shelf)
                .or_insert_with(|| stand.map(|old| old.sequence).collect());
            on.push(step.sequence);
        }
        let over = after.into_values().flat_map(|mut on| {
            on.truncate(on.len().saturating_sub(Step::KEPT));
            on
        });
        let forget: Vec<u64> = over.collect();
        // One that comes and goes in the same call is never on disk.
        let stays = |step: &&Step| !forget.contains(&step.sequence);
        Placed {
            written: all.iter().filter(stays).cloned().collect(),
            all,
            forget,
        }
    }

    fn take(&mut self, placed: Placed) {
        for step in placed.all {
            tracing::info!(event = step.event.name(), binding = ?step.binding.as_ref().map(BindingId::as_str), by = %step.by, "a version's life: {}", step.reason);
            self.put(step);
        }
    }
}

/// Steps that are about to be written.
struct Placed {
    all: Vec<Step>,
    /// Of them, those that stay.
    written: Vec<Step>,
    /// Sequences that have no place any more.
    forget: Vec<u64>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    store: Arc<Store>,
    shelves: Mutex<Shelves>,
}

impl Journal {
    /// As the store has it.
    pub(crate) fn open(store: &Arc<Store>) -> Result<Self, StoreError> {
        let mut shelves = Shelves::default();
        for step in store.steps()? {
            shelves.put(step);
        }
        Ok(Self {
            store: store.clone(),
            shelves: Mutex::new(shelves),
        })
    }

    /// Writes steps, in their order.
    pub(crate) fn write(&self, steps: Vec<Step>) {
        if steps.is_empty() {
            return;
        }
        let mut shelves = lock(&self.shelves);
        let placed = shelves.place(steps);
        if let Err(error) = self.store.append(&placed.written, &placed.forget) {
            tracing::error!(error = %error, "a step in the life of a version could not be written; `tidegate policy history` forgets it at the next start");
        }
        shelves.take(placed);
    }

    /// Writes a catalog with the steps that tell of its change, both or neither.
    ///
    /// # Errors
    /// When it is not on disk; then no step was taken.
    pub(crate) fn write_with(&self, catalog: &Catalog, steps: Vec<Step>) -> Result<(), StoreError> {
        let mut shelves = lock(&self.shelves);
        let placed = shelves.place(steps);
        self.store
            .save_with(catalog, &placed.written, &placed.forget)?;
        shelves.take(placed);
        Ok(())
    }

    /// The steps of a binding, oldest first.
    pub(crate) fn of_binding(&self, id: &BindingId) -> Vec<Step> {
        let shelves = lock(&self.shelves);
        let shelf = shelves.steps.get(&Shelf::Binding(id.clone()));
        shelf.into_iter().flatten().cloned().collect()
    }

    /// Reads the steps of a binding in place, oldest first; it must not ask the journal meanwhile.
    pub(crate) fn read<T>(&self, id: &BindingId, read: impl FnOnce(&[Step]) -> T) -> T {
        let mut shelves = lock(&self.shelves);
        match shelves.steps.get_mut(&Shelf::Binding(id.clone())) {
            Some(shelf) => read(shelf.make_contiguous()),
            None => read(&[]),
        }
    }

    /// Steps that a caller asks for, oldest first.
    pub(crate) fn filtered(&self, wanted: impl Fn(&Step) -> bool) -> Vec<Step> {
        let shelves = lock(&self.shelves);
        let all = shelves.steps.values().flatten();
        let mut found: Vec<Step> = all.filter(|step| wanted(step)).cloned().collect();
        found.sort_by_key(|step| step.sequence);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::life::{Actor, Event};
    use tidegate_core::time::Timestamp;

    #[test]
    fn a_busy_binding_loses_its_own_oldest_steps_and_takes_none_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Store::open(dir.path(), tidegate_store::Options::default()).unwrap();
        let store = open();
        let journal = Journal::open(&store).unwrap();
        let step = |binding: &str, at| Step {
            binding: Some(binding.parse().unwrap()),
            ..Step::new(Event::Bound, Actor::Daemon, Timestamp(at))
        };
        journal.write(vec![step("quiet", 0)]);
        let most = Step::KEPT as i64;
        journal.write((1..=most + 3).map(|at| step("busy", at)).collect());
        journal.write(vec![step("busy", most + 4)]);
        let seen = |journal: &Journal| {
            let at = |id: &str| {
                let steps = journal.of_binding(&id.parse().unwrap());
                steps.into_iter().map(|s| s.at.0).collect::<Vec<_>>()
            };
            (at("quiet"), at("busy"))
        };
        let kept = (vec![0], (5..=most + 4).collect::<Vec<_>>());
        assert_eq!(seen(&journal), kept);
        drop(journal);
        store.close();
        drop(store);
        let store = open();
        let again = Journal::open(&store).unwrap();
        assert_eq!(seen(&again), kept);
        // A new step follows the newest old one.
        again.write(vec![step("quiet", 7)]);
        let all = again.filtered(|_| true);
        assert!(all.is_sorted_by_key(|s| s.sequence) && all.last().unwrap().at == Timestamp(7));
    }
}
