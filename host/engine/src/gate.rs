//! How many calls may run at once.
//!
//! The pool has a fixed number of instances, and a call that finds none must not count as its
//! module's fault: it waits here instead. Fits, which run for seconds, may take no more than three
//! quarters of the places, so that predictions never queue behind them alone. The same holds within
//! one module, which has a number of places of its own: one that is slow delays its own callers, and
//! not those of the others.

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
}

/// Calls of one module that run now. Changed under the gate's lock alone.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    all: AtomicU32,
    fits: AtomicU32,
}

/// The places.
#[derive(Debug)]
pub(crate) struct Gate {
    places: u32,
    taken: Mutex<Taken>,
    freed: Condvar,
}

/// One place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    gate: &'a Gate,
    busy: &'a Busy,
    class: Class,
}

impl Gate {
    pub(crate) fn new(places: u32) -> Self {
        Self {
            places: places.max(1),
            taken: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits for a place, of all and of the `most` that one module may have.
    pub(crate) fn enter<'a>(&'a self, class: Class, busy: &'a Busy, most: u32) -> Place<'a> {
        let fits_of = |places: u32| (places.saturating_mul(3) / 4).max(1);
        let is_full = |all: u32, fits: u32, places: u32| {
            all >= places || (class == Class::Fit && fits >= fits_of(places))
        };
        let full = |taken: &mut Taken| {
            let (all, fits) = (&busy.all, &busy.fits);
            is_full(taken.all, taken.fits, self.places)
                || is_full(
                    all.load(Ordering::Relaxed),
                    fits.load(Ordering::Relaxed),
                    most.max(1),
                )
        };
        // The counts are consistent after any panic: each change is one statement.
        let guard = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self
            .freed
            .wait_while(guard, full)
            .unwrap_or_else(PoisonError::into_inner);
        taken.all += 1;
        taken.fits += u32::from(class == Class::Fit);
        busy.all.fetch_add(1, Ordering::Relaxed);
        busy.fits
            .fetch_add(u32::from(class == Class::Fit), Ordering::Relaxed);
        Place {
            gate: self,
            busy,
            class,
        }
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
        taken.fits -= u32::from(self.class == Class::Fit);
        let fits = u32::from(self.class == Class::Fit);
        self.busy.all.fetch_sub(1, Ordering::Relaxed);
        self.busy.fits.fetch_sub(fits, Ordering::Relaxed);
        drop(taken);
        // All, because a waiting fit may not use a place that a waiting prediction can.
        self.gate.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn fits_leave_places_for_the_cycle() {
        let (gate, busy) = (Gate::new(4), Busy::default());
        let fits: Vec<Place<'_>> = (0..3).map(|_| gate.enter(Class::Fit, &busy, 9)).collect();
        let entered = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _place = gate.enter(Class::Fit, &busy, 9);
                entered.store(true, Ordering::SeqCst);
            });
            let place = gate.enter(Class::Cycle, &busy, 9);
            assert!(!entered.load(Ordering::SeqCst));
            drop(place);
            drop(fits);
        });
        assert!(entered.load(Ordering::SeqCst));
    }

    #[test]
    fn one_module_takes_no_more_than_its_own_places() {
        let (gate, slow, other) = (Gate::new(64), Busy::default(), Busy::default());
        let held: Vec<Place<'_>> = (0..2).map(|_| gate.enter(Class::Cycle, &slow, 2)).collect();
        let entered = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _place = gate.enter(Class::Cycle, &slow, 2);
                entered.store(true, Ordering::SeqCst);
            });
            drop(gate.enter(Class::Cycle, &other, 2));
            assert!(!entered.load(Ordering::SeqCst));
            drop(held);
        });
        assert!(entered.load(Ordering::SeqCst));
    }
}
