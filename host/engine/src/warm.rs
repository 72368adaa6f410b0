//! Instances that are kept between calls, and the audit that takes them away again.
//!
//! A fresh instance per call is the rule, because what a call leaves behind could reach the next one.
//! A module whose manifest says `warm` promises that it leaves nothing behind that an answer depends
//! on: caches, tables that are filled once, an interpreter that takes a second to start. The promise
//! is checked: a share of the reused calls, chosen by a hash of the module and the call's number, is
//! asked again in a fresh instance, and the answers must have the same bits. Where they do not, the
//! fresh answer counts, reuse is withdrawn from the module for as long as it is loaded, and everybody
//! who asks is told. The first reuses are all audited, so the careless are found at once.
//!
//! Fits are never warm: they are few, long, and what they allocate would stay. Nor does an instance
//! live for ever: after [`MOST_CALLS`], or when it holds half of the memory that it may have, the
//! next call begins anew, so a guest that never frees is no different from one that does. What is
//! kept is bounded for the engine as a whole, and the pool is larger by as much.

use crate::guest::Guest;
use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::Store;
use wasmtime::component::Instance;

/// Instances that an engine keeps at most.
pub(crate) const KEPT: u32 = 16;

/// Instances that one module keeps at most.
const KEPT_BY_ONE: usize = 2;

/// Calls after which an instance is not reused.
const MOST_CALLS: u32 = 1000;

/// One in so many reused calls is audited,
const ONE_IN: u64 = 64;

/// after these first ones, which all are.
const FIRST: u64 = 8;

/// Places for kept instances.
#[derive(Debug, Default, Clone)]
pub(crate) struct Places(Arc<AtomicU32>);

/// One of them, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicU32>);

impl Places {
    fn take(&self) -> Option<Place> {
        let one_more = |taken: u32| (taken < KEPT).then_some(taken + 1);
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()
            .map(|_| Place(self.0.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An instance that has answered.
pub(crate) struct Kept {
    pub(crate) store: Store<Guest>,
    pub(crate) instance: Instance,
    calls: u32,
    // After the store: the pool has its place back before another takes this one.
    _place: Place,
}

/// What a module's reuse has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reuse {
    /// Calls that an instance answered which had answered before.
    pub reused: u64,
    /// Those of them that were asked again in a fresh instance.
    pub audited: u64,
    /// Whether two answers differed: every call is fresh since then.
    pub withdrawn: bool,
}

/// The kept instances of one module that asked for it.
pub(crate) struct Warm {
    idle: Mutex<Vec<Kept>>,
    places: Places,
    seed: u64,
    reused: AtomicU64,
    audited: AtomicU64,
    withdrawn: AtomicBool,
}

impl Warm {
    pub(crate) fn new(places: Places, digest: &[u8; 32]) -> Self {
        let seed = digest.iter().take(8).fold(0, |n, &b| n << 8 | u64::from(b));
        Self {
            idle: Mutex::default(),
            places,
            seed,
            reused: AtomicU64::new(0),
            audited: AtomicU64::new(0),
            withdrawn: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        !self.withdrawn.load(Ordering::Acquire)
    }

    /// An instance that has answered before.
    pub(crate) fn take(&self) -> Option<Kept> {
        self.idle().pop()
    }

    /// A place for one that may be kept.
    pub(crate) fn place(&self) -> Option<Place> {
        self.places.take()
    }

    /// Keeps an instance after a good answer, if it is worth it.
    pub(crate) fn put(&self, mut kept: Kept) {
        let account = &kept.store.data().account;
        if kept.calls >= MOST_CALLS || account.used() > account.limit() / 2 || !self.is_on() {
            return;
        }
        kept.calls += 1;
        let mut idle = self.idle();
        if idle.len() < KEPT_BY_ONE {
            idle.push(kept);
        }
    }

    /// Whether this reused call, which is counted by it, is to be audited.
    pub(crate) fn is_audited(&self) -> bool {
        let call = self.reused.fetch_add(1, Ordering::AcqRel);
        let due = call < FIRST || mixed(self.seed ^ call).is_multiple_of(ONE_IN);
        self.audited.fetch_add(u64::from(due), Ordering::AcqRel);
        due
    }

    /// Ends reuse.
    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
        self.idle().clear();
    }

    pub(crate) fn reuse(&self) -> Reuse {
        Reuse {
            reused: self.reused.load(Ordering::Acquire),
            audited: self.audited.load(Ordering::Acquire),
            withdrawn: !self.is_on(),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Kept>> {
        // A list of whole instances: a panic elsewhere leaves it whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    pub(crate) fn new(store: Store<Guest>, instance: Instance, place: Place) -> Self {
        Self {
            store,
            instance,
            calls: 0,
            _place: place,
        }
    }
}

/// SplitMix64's finaliser (Steele, Lea and Flood, 2014): neighbours in, strangers out.
fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Whether two answers have the same bits. Debug text tells two floats apart exactly when their bits
/// differ, since a guest's NaNs are canonical; it is hashed as it comes, not kept.
pub(crate) fn same<T: std::fmt::Debug>(one: &T, other: &T) -> bool {
    struct Text(Sha256);
    impl std::fmt::Write for Text {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.update(text.as_bytes());
            Ok(())
        }
    }
    let hash = |value: &T| {
        let mut text = Text(Sha256::new());
        std::fmt::write(&mut text, format_args!("{value:?}")).map(|()| text.0.finalize())
    };
    matches!((hash(one), hash(other)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_reused_call_in_sixty_four_is_audited_and_the_first_ones_always() {
        let warm = Warm::new(Places::default(), &[7; 32]);
        assert!((0..FIRST).all(|_| warm.is_audited()));
        let audited = (FIRST..10_000).filter(|_| warm.is_audited()).count();
        assert!((100..220).contains(&audited), "{audited}");
        assert_eq!(warm.reuse().audited, audited as u64 + FIRST);
    }

    #[test]
    fn answers_are_the_same_when_their_bits_are() {
        assert!(same(&[0.1, f64::NAN], &[0.1, f64::NAN]));
        assert!(!same(&[0.0], &[-0.0]));
        assert!(!same(&[0.1], &[0.1 + f64::EPSILON / 8.0]));
    }

    #[test]
    fn no_more_is_kept_than_there_are_places() {
        let places = Places::default();
        let taken: Vec<_> = (0..KEPT).map(|_| places.take().unwrap()).collect();
        assert!(places.take().is_none());
        drop(taken);
        assert!(places.take().is_some());
    }
}
