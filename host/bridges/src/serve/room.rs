//! Room for bodies, which are the memory that strangers could take.
//!
//! A place is held by whoever holds the body: it goes with it to the threads that unpack and take it, which go on
//! when a sender has gone, and comes back from there or is given up with it. One credential has at most half of the
//! places, so that slow senders of one do not keep those of others out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many places.
#[derive(Debug)]
pub(super) struct Room {
    all: Arc<Semaphore>,
    /// Places of one credential.
    share: usize,
    /// What is left of it, by the credential's name, where somebody has a place or waits for one.
    shares: Mutex<BTreeMap<String, Weak<Semaphore>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _share: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new(places: usize) -> Self {
        let places = places.max(1);
        Self {
            all: Arc::new(Semaphore::new(places)),
            share: places.div_ceil(2),
            shares: Mutex::default(),
        }
    }

    fn share(&self, who: &str) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(who).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.share));
        shares.insert(who.to_owned(), Arc::downgrade(&share));
        share
    }

    /// A place for a credential, if there is one now.
    pub(super) fn try_enter(&self, who: &str) -> Option<Place> {
        Some(Place {
            _share: self.share(who).try_acquire_owned().ok()?,
            _all: self.all.clone().try_acquire_owned().ok()?,
        })
    }

    /// Waits for a place; `None` where there will be none any more.
    pub(super) async fn enter(&self, who: &str) -> Option<Place> {
        Some(Place {
            _share: self.share(who).acquire_owned().await.ok()?,
            _all: self.all.clone().acquire_owned().await.ok()?,
        })
    }
}
