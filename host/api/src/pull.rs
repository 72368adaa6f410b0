//! Streams without tasks.
//!
//! An answer stream is a state and a step: the step reads what is next and gives the state back.
//! It runs only when the client has room for an item, so a slow client holds no queue and a gone
//! one leaves nothing behind. The alternative, a task that pushes into a channel, needs a fate, a
//! bound and a place in the drain.

use crate::status;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::Status;

type Step<S, T> = Pin<Box<dyn Future<Output = (Result<T, Status>, S)> + Send>>;

/// A stream of items; ends after the first error.
pub(crate) struct Pull<S, T> {
    running: Option<Step<S, T>>,
    next: fn(S) -> Step<S, T>,
}

impl<S, T> Pull<S, T> {
    /// A stream that takes one `next` per item.
    pub(crate) fn new(state: S, next: fn(S) -> Step<S, T>) -> Self {
        Self {
            running: Some(next(state)),
            next,
        }
    }
}

impl<S: Send + 'static, T: Send + 'static> Stream for Pull<S, T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(running) = &mut self.running else {
            return Poll::Ready(None);
        };
        let (item, state) = std::task::ready!(running.as_mut().poll(cx));
        self.running = item.is_ok().then(|| (self.next)(state));
        Poll::Ready(Some(item))
    }
}

/// What a watcher waits for: a change of the world, or the end of the server.
#[derive(Clone, Debug)]
pub(crate) struct Wake {
    /// Bumped by the daemon; its number means nothing.
    pub(crate) world: watch::Receiver<u64>,
    /// True once the server shuts down.
    pub(crate) closing: watch::Receiver<bool>,
}

impl Wake {
    /// To be called before the world is read, so that a change after the reading wakes the next
    /// [`Wake::changed`].
    pub(crate) fn seen(&mut self) {
        self.world.borrow_and_update();
    }

    /// Whether the server shuts down.
    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Returns when the world may have changed.
    ///
    /// # Errors
    /// The status with which a watch ends, when the server shuts down.
    pub(crate) async fn changed(&mut self) -> Result<(), Status> {
        if self.is_closing() {
            return Err(closing());
        }
        tokio::select! {
            changed = self.world.changed() => changed.map_err(|_| closing()),
            _ = self.closing.wait_for(|closing| *closing) => Err(closing()),
        }
    }
}

/// The status with which a stream ends when the server shuts down.
pub(crate) fn closing() -> Status {
    status::unavailable("the server shuts down; connect again and resume where this stream ended")
}
