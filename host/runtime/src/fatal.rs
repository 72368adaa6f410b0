//! What `main` is told: that the daemon cannot go on.
//!
//! The first cause is kept and later ones are only logged: the first is what a person needs, and
//! what follows it is often its consequence. The task does not end the process itself, so that
//! everything else still drains.

use crate::TaskKind;
use tokio::sync::watch;

/// Why the daemon has to stop. The task's own error is in it as text, because several may ask.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} task `{task}` {how}, and the daemon cannot go on without it: {cause}", kind.name())]
pub struct FatalError {
    /// The kind of the task that failed.
    pub kind: TaskKind,
    /// The name under which it was spawned.
    pub task: String,
    /// `failed`, `panicked`, or `ended although nobody asked it to`.
    pub how: &'static str,
    /// What it said, its sources included.
    pub cause: String,
}

/// `main`'s end of the channel.
#[derive(Debug)]
pub struct Fatal {
    receiver: watch::Receiver<Option<FatalError>>,
}

impl Fatal {
    /// Resolves when a task whose fate is [`crate::OnFault::StopDaemon`] has failed; never, while
    /// none has. Safe in `tokio::select!`, and gives the same answer again when asked again.
    pub async fn raised(&mut self) -> FatalError {
        match self.receiver.wait_for(Option::is_some).await {
            Ok(error) => match error.clone() {
                Some(error) => error,
                None => std::future::pending().await, // excluded by `wait_for`
            },
            // All supervisors are gone, hence nothing can fail any more.
            Err(_) => std::future::pending().await,
        }
    }
}

/// The tasks' end of the channel.
#[derive(Debug)]
pub(crate) struct Raise(watch::Sender<Option<FatalError>>);

impl Raise {
    /// Tells `main`, unless it was told of an earlier cause.
    pub(crate) fn raise(&self, error: FatalError) {
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(error);
            }
            is_first
        });
    }
}

/// Makes the channel.
pub(crate) fn channel() -> (Raise, Fatal) {
    let (sender, receiver) = watch::channel(None);
    (Raise(sender), Fatal { receiver })
}
