//! What a task is told: that it should stop.
//!
//! One type for tasks that await and for threads that cannot. It hides the cancellation token, so
//! that a task can look at the request but not make it: only the drain stops tasks.

use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// A request to stop, which may or may not have been made yet. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop {
    token: CancellationToken,
    handle: Handle,
}

/// Why [`Stop::sleep_blocking`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The time is over.
    TimeUp,
    /// The task was asked to stop.
    Stop,
}

impl Stop {
    pub(crate) fn new(token: CancellationToken, handle: Handle) -> Self {
        Self { token, handle }
    }

    /// Whether the task was asked to stop. Threads look at it between two pieces of work.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves when the task is asked to stop. Safe in `tokio::select!`.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// The same without a borrow, for servers that want a shutdown future of their own.
    pub fn into_requested(self) -> impl Future<Output = ()> + Send + 'static {
        self.token.cancelled_owned()
    }

    /// Blocks this thread for `pause` or until the task is asked to stop, whichever is first.
    ///
    /// Only for tasks made by [`crate::Tasks::spawn_thread`]: an async task awaits
    /// [`Stop::requested`] instead (tokio refuses to block one of its own workers).
    #[must_use]
    pub fn sleep_blocking(&self, pause: Duration) -> Wake {
        self.sleep_blocking_until(pause, std::future::pending())
    }

    /// Likewise, or until `early` is over: then the time is up, too.
    #[must_use]
    pub fn sleep_blocking_until(&self, pause: Duration, early: impl Future<Output = ()>) -> Wake {
        self.handle.block_on(async {
            tokio::select! {
                biased;
                () = self.token.cancelled() => Wake::Stop,
                () = early => Wake::TimeUp,
                () = tokio::time::sleep(pause) => Wake::TimeUp,
            }
        })
    }
}
