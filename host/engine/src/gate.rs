//! How many calls may run at once.
//!
//! The pool has a fixed number of instances, and a call that finds none must not count as its
//! module's fault: it waits here instead. Fits, which run for seconds, may take no more than three
//! quarters of the places, so that predictions never queue behind them alone. The same holds within
//! one module, which has a number of places of its own: one that is slow delays its own callers, and
//! not those of the others.
//!
//! A shared module serves bindings of several tenants, so each binding has places of its own too, and
//! waits for itself once they are taken. Where many bindings together fill a module, one that has no
//! call under way is let in beyond the module's number: that number protects the others from the
//! module, not its bindings from each other.
//!
//! Memory is counted by what a call may have, not by what it has: a call that begins can end, and none
//! fails because others grew. A single call that may have more than there is runs alone.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// What kind of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Part of a cycle: short deadline.
    Cycle,
    /// In the background: long deadline, can be cancelled.
    Fit,
}

#[derive(Debug, Default)]
struct Taken {
    all: u32,
    fits: u32,
    /// What the calls may have together, in bytes; and the fits among them.
    memory: u64,
    memory_of_fits: u64,
    /// Calls that wait: nobody is woken where nobody sleeps, since that asks the system.
    waiting: u32,
}

/// Calls of one module, or of one binding through it, that run now. Changed under the gate's lock alone.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    all: AtomicU32,
    fits: AtomicU32,
}

impl Busy {
    fn is_full(&self, class: Class, places: u32) -> bool {
        let (all, fits) = (&self.all, &self.fits);
        is_full(
            class,
            all.load(Ordering::Relaxed),
            fits.load(Ordering::Relaxed),
            places.max(1),
        )
    }

    fn is_idle(&self) -> bool {
        self.all.load(Ordering::Relaxed) == 0
    }

    fn add(&self, class: Class) {
        let fits = u32::from(class == Class::Fit);
        self.all.fetch_add(1, Ordering::Relaxed);
        self.fits.fetch_add(fits, Ordering::Relaxed);
    }

    fn remove(&self, class: Class) {
        let fits = u32::from(class == Class::Fit);
        self.all.fetch_sub(1, Ordering::Relaxed);
        self.fits.fetch_sub(fits, Ordering::Relaxed);
    }
}

fn is_full(class: Class, all: u32, fits: u32, places: u32) -> bool {
    let for_fits = (places.saturating_mul(3) / 4).max(1);
    all >= places || (class == Class::Fit && fits >= for_fits)
}

/// Who asks for a place: a module's calls and its places, and the same of the binding that calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Party<'a> {
    pub(crate) module: &'a Busy,
    pub(crate) of_module: u32,
    pub(crate) binding: &'a Busy,
    pub(crate) of_binding: u32,
    /// Most memory that the call may have, in bytes.
    pub(crate) memory: u64,
}

impl Party<'_> {
    fn must_wait(&self, class: Class) -> bool {
        self.binding.is_full(class, self.of_binding)
            || (self.module.is_full(class, self.of_module) && !self.binding.is_idle())
    }
}

/// The places.
#[derive(Debug)]
pub(crate) struct Gate {
    places: u32,
    memory: u64,
    taken: Mutex<Taken>,
    freed: Condvar,
}

/// One place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    gate: &'a Gate,
    party: Party<'a>,
    class: Class,
}

impl Gate {
    /// So many calls that may have so many bytes together.
    pub(crate) fn new(places: u32, memory: u64) -> Self {
        Self {
            places: places.max(1),
            memory,
            taken: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits for a place: of all, of the module's and of the binding's.
    pub(crate) fn enter<'a>(&'a self, class: Class, party: Party<'a>) -> Place<'a> {
        let full = |taken: &Taken| {
            is_full(class, taken.all, taken.fits, self.places)
                || self.lacks_memory(taken, class, party.memory)
                || party.must_wait(class)
        };
        // The counts are consistent after any panic: each change is one statement.
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while full(&taken) {
            taken.waiting += 1;
            taken = self
                .freed
                .wait(taken)
                .unwrap_or_else(PoisonError::into_inner);
            taken.waiting -= 1;
        }
        taken.all += 1;
        taken.memory = taken.memory.saturating_add(party.memory);
        if class == Class::Fit {
            taken.fits += 1;
            taken.memory_of_fits = taken.memory_of_fits.saturating_add(party.memory);
        }
        party.module.add(class);
        party.binding.add(class);
        Place {
            gate: self,
            party,
            class,
        }
    }

    fn lacks_memory(&self, taken: &Taken, class: Class, more: u64) -> bool {
        let beyond = |have: u64, most: u64| have > 0 && have.saturating_add(more) > most;
        beyond(taken.memory, self.memory)
            || (class == Class::Fit && beyond(taken.memory_of_fits, self.memory / 4 * 3))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self
            .gate
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        taken.memory = taken.memory.saturating_sub(self.party.memory);
        if self.class == Class::Fit {
            taken.fits -= 1;
            taken.memory_of_fits = taken.memory_of_fits.saturating_sub(self.party.memory);
        }
        self.party.module.remove(self.class);
        self.party.binding.remove(self.class);
        let is_awaited = taken.waiting > 0;
        drop(taken);
        if is_awaited {
            // All, because a waiting fit may not use a place that a waiting prediction can.
            self.gate.freed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn party<'a>(module: (&'a Busy, u32), binding: (&'a Busy, u32)) -> Party<'a> {
        Party {
            module: module.0,
            of_module: module.1,
            binding: binding.0,
            of_binding: binding.1,
            memory: 10,
        }
    }

    /// Whether a call of `waits` gets in only once what is `held` is given back; `passes` meanwhile do.
    fn waits(
        gate: &Gate,
        held: Vec<Place<'_>>,
        waits: (Class, Party<'_>),
        passes: &[(Class, Party<'_>)],
    ) -> bool {
        let entered = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _place = gate.enter(waits.0, waits.1);
                entered.store(true, Ordering::SeqCst);
            });
            // Once it waits, or has passed.
            while gate.taken.lock().unwrap().waiting == 0 && !entered.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            for &(class, party) in passes {
                drop(gate.enter(class, party));
            }
            let waited = !entered.load(Ordering::SeqCst);
            drop(held);
            waited
        }) && entered.load(Ordering::SeqCst)
    }

    #[test]
    fn fits_leave_places_for_the_cycle() {
        let (gate, busy) = (Gate::new(4, 1000), Busy::default());
        let of = party((&busy, 64), (&busy, 64));
        let fits = (0..3).map(|_| gate.enter(Class::Fit, of)).collect();
        assert!(waits(&gate, fits, (Class::Fit, of), &[(Class::Cycle, of)]));
    }

    #[test]
    fn one_module_takes_no_more_than_its_own_places() {
        let (gate, slow, other) = (Gate::new(64, 1000), Busy::default(), Busy::default());
        let binding = Busy::default();
        let of = party((&slow, 2), (&binding, 9));
        let held = (0..2).map(|_| gate.enter(Class::Cycle, of)).collect();
        let others = party((&other, 2), (&other, 2));
        let passes = [(Class::Cycle, others)];
        assert!(waits(&gate, held, (Class::Cycle, of), &passes));
    }

    #[test]
    fn one_binding_takes_no_more_than_its_own_places_of_a_module() {
        let (gate, module) = (Gate::new(64, 1000), Busy::default());
        let (noisy, quiet) = (Busy::default(), Busy::default());
        let [noisy, quiet] = [&noisy, &quiet].map(|binding| party((&module, 16), (binding, 2)));
        let held = (0..2).map(|_| gate.enter(Class::Cycle, noisy)).collect();
        let passes = [(Class::Cycle, quiet), (Class::Fit, quiet)];
        assert!(waits(&gate, held, (Class::Cycle, noisy), &passes));
    }

    #[test]
    fn a_binding_without_a_call_gets_into_a_module_that_others_have_filled() {
        let (gate, module) = (Gate::new(64, 1000), Busy::default());
        let all: Vec<Busy> = (0..5).map(|_| Busy::default()).collect();
        let of = |n: usize| party((&module, 4), (&all[n], 3));
        let held = (0..4)
            .map(|n| gate.enter(Class::Cycle, of(n % 2)))
            .collect();
        // The quiet ones have one each; who has two already waits for the module.
        let passes = [(Class::Cycle, of(3)), (Class::Fit, of(4))];
        assert!(waits(&gate, held, (Class::Cycle, of(0)), &passes));
    }

    #[test]
    fn calls_wait_for_memory_and_one_that_wants_more_than_there_is_runs_alone() {
        let (gate, light, heavy) = (Gate::new(64, 100), Busy::default(), Busy::default());
        let light = party((&light, 64), (&light, 64));
        let heavy = Party {
            memory: 95,
            ..party((&heavy, 64), (&heavy, 64))
        };
        let held = vec![gate.enter(Class::Cycle, light)];
        let passes = [(Class::Cycle, light), (Class::Fit, light)];
        assert!(waits(&gate, held, (Class::Cycle, heavy), &passes));
        // Fits leave a quarter of it.
        let fits = (0..7).map(|_| gate.enter(Class::Fit, light)).collect();
        let passes = [(Class::Cycle, light)];
        assert!(waits(&gate, fits, (Class::Fit, light), &passes));
        let giant = Party {
            memory: 1000,
            ..heavy
        };
        drop(gate.enter(Class::Fit, giant));
    }
}
