//! Room for bodies, which are the memory that strangers could take.
//!
//! A place is held by whoever holds the body: it goes with it to the threads that unpack and take it, which go on
//! when a sender has gone, and comes back from there or is given up with it.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many places.
#[derive(Debug)]
pub(super) struct Room(Arc<Semaphore>);

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place(
    #[expect(dead_code, reason = "it is there to be dropped")] OwnedSemaphorePermit,
);

impl Room {
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places.max(1))))
    }

    /// A place, if there is one now.
    pub(super) fn try_enter(&self) -> Option<Place> {
        self.0.clone().try_acquire_owned().ok().map(Place)
    }

    /// Waits for a place; `None` where there will be none any more.
    pub(super) async fn enter(&self) -> Option<Place> {
        self.0.clone().acquire_owned().await.ok().map(Place)
    }
}
