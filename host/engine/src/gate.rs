//! How many calls may run at once.
//!
//! The pool has a fixed number of instances, and a call that finds none must not count as its
//! module's fault: it waits here instead. Fits, which run for seconds, may take no more than three
//! quarters of the places, so that predictions never queue behind them alone.

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

    /// Waits for a place.
    pub(crate) fn enter(&self, class: Class) -> Place<'_> {
        let most_fits = (self.places * 3 / 4).max(1);
        let full = |taken: &mut Taken| {
            taken.all >= self.places || (class == Class::Fit && taken.fits >= most_fits)
        };
        // The counts are consistent after any panic: each change is one statement.
        let guard = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self
            .freed
            .wait_while(guard, full)
            .unwrap_or_else(PoisonError::into_inner);
        taken.all += 1;
        taken.fits += u32::from(class == Class::Fit);
        Place { gate: self, class }
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
        drop(taken);
        // All, because a waiting fit may not use a place that a waiting prediction can.
        self.gate.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn fits_leave_places_for_the_cycle() {
        let gate = Gate::new(4);
        let fits: Vec<Place<'_>> = (0..3).map(|_| gate.enter(Class::Fit)).collect();
        let entered = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _place = gate.enter(Class::Fit);
                entered.store(true, Ordering::SeqCst);
            });
            let place = gate.enter(Class::Cycle);
            assert!(!entered.load(Ordering::SeqCst));
            drop(place);
            drop(fits);
        });
        assert!(entered.load(Ordering::SeqCst));
    }
}
