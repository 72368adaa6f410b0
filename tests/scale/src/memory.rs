//! Where a world's bytes are: live heap per structure, found by taking the world apart.
//!
//! The resident set is what an operator pays for, and says little of who spends it: freed memory stays
//! with the allocator, and a page is shared by whoever happens to lie on it. So the process counts what
//! is allocated and not yet freed, and after the measured turns each structure is let go of in its turn;
//! what the count falls by is what it held. It is counted only where it was asked for, since every
//! allocation of every thread then adds to one number.

use crate::say;
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use tidegate_core::ids::PoolId;
use tidegate_core::plan::Plan;
use tidegate_flow::cycle::PoolState;

static COUNTS: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicIsize = AtomicIsize::new(0);

#[cfg(test)]
thread_local! {
    static PIECES: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How often this thread has asked for memory.
#[cfg(test)]
pub(crate) fn pieces() -> u64 {
    PIECES.get()
}

/// The system's allocator, counting.
#[derive(Debug)]
pub(crate) struct Counting;

fn add(bytes: isize) {
    #[cfg(test)]
    if bytes > 0 {
        PIECES.set(PIECES.get() + 1);
    }
    if COUNTS.load(Ordering::Relaxed) {
        LIVE.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[expect(
    unsafe_code,
    reason = "the trait is; every call goes to the system's allocator as it came"
)]
// SAFETY: each method hands its arguments to `System` unchanged, which upholds the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as isize);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        add(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Counts from now on.
pub(crate) fn count() {
    COUNTS.store(true, Ordering::Relaxed);
}

/// Bytes that are allocated and not freed, since [`count`].
pub(crate) fn live() -> isize {
    LIVE.load(Ordering::Relaxed)
}

/// Takes the pools' states and plans apart and says what each part held, in KB per api. The banks stay:
/// a restart needs them.
pub(crate) fn apart(
    states: &mut BTreeMap<PoolId, PoolState>,
    plans: BTreeMap<PoolId, Arc<Plan>>,
    apis: usize,
) {
    drop(plans);
    let mut text = String::from("        of which in KB/api:");
    let mut part = |name: &str, empty: fn(&mut PoolState)| {
        let before = live();
        states.values_mut().for_each(empty);
        let held = (before - live()) as f64 / 1024.0 / apis as f64;
        text += &format!(" {name} {held:.2},");
    };
    part("plans", |s| s.last = None);
    part("questions", |s| s.asked = None);
    part("forecasts", |s| s.held = Default::default());
    part("tracks", |s| s.tracks = Default::default());
    part("budgets", |s| s.trackers = Default::default());
    part("needs", |s| s.learned = Default::default());
    part("drifts", |s| s.drifts = Default::default());
    part("profiles", |s| s.profiles = Default::default());
    part("tiers", |s| s.tiers = Default::default());
    part("tierers", |s| s.tier_states = Default::default());
    part("allocator", |s| s.allocator_state = Default::default());
    say(text.trim_end_matches(','));
}
