//! The supervisor's face: spawn, count, name what runs.
//!
//! A task is given as a *factory*, because what may be restarted must be makeable again; only a
//! job, which is never restarted, is given as a future. Names need not be unique: they are for
//! people, who read `stream from 10.0.0.7` in a log.
//!
//! No span is put around a task. A task lives as long as the daemon, and a span that never ends
//! would become the parent of every trace in it.

use crate::fatal::{self, Raise};
use crate::supervise::{self, Body};
use crate::{Backoff, Drained, Fatal, Stop, TaskKind, Wave, drain};
use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a task says when it fails. `anyhow::Error` and every `std` error convert into it.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// How [`Tasks`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The pauses between restarts.
    pub backoff: Backoff,
    /// How often a drain logs what it still waits for.
    pub report_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            report_every: Duration::from_secs(2),
        }
    }
}

/// What has happened to the tasks of one kind since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks spawned.
    pub spawned: u64,
    /// Runs that ended with an error (a service that ended unasked included).
    pub errors: u64,
    /// Runs that ended with a panic.
    pub panics: u64,
    /// Runs that were started again after a fault.
    pub restarts: u64,
}

/// Starts tasks, watches them, and ends them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tasks {
    pub(crate) shared: Arc<Shared>,
}

impl Tasks {
    /// A supervisor whose tasks run on the runtime of `handle`, and the channel by which they tell
    /// `main` that the daemon cannot go on.
    #[must_use]
    pub fn new(handle: Handle, options: Options) -> (Self, Fatal) {
        let (raise, fatal) = fatal::channel();
        let shared = Shared {
            handle,
            options,
            raise,
            waves: Wave::ALL.map(|_| CancellationToken::new()),
            state: Mutex::default(),
            ended: watch::Sender::new(()),
        };
        (
            Self {
                shared: Arc::new(shared),
            },
            fatal,
        )
    }

    /// Spawns an async task. `factory` is called for the first run and again for every restart.
    ///
    /// A task whose wave has already been drained is not started, and the log says so.
    pub fn spawn<F, Fut, E>(&self, kind: TaskKind, name: impl Into<String>, mut factory: F)
    where
        F: FnMut(Stop) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let body = Body::Async(Box::new(move |stop| {
            let run = factory(stop);
            Box::pin(async move { run.await.map_err(Into::into) })
        }));
        self.start(kind, name.into(), body);
    }

    /// Spawns a job from a future: something that happens once. A service may be given so too, but
    /// nothing is then left to run again: where the table says `Restart`, a fault stops the daemon.
    pub fn spawn_once<Fut, E>(&self, kind: TaskKind, name: impl Into<String>, job: Fut)
    where
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let body = Body::Once(Box::pin(async move { job.await.map_err(Into::into) }));
        self.start(kind, name.into(), body);
    }

    /// Spawns a task that blocks, on a thread of its own that bears the kind's name. A restart
    /// gets a fresh thread. The function looks at [`Stop::is_requested`] between two pieces of
    /// work and waits by [`Stop::sleep_blocking`].
    pub fn spawn_thread<F, E>(&self, kind: TaskKind, name: impl Into<String>, mut run: F)
    where
        F: FnMut(&Stop) -> Result<(), E> + Send + 'static,
        E: Into<BoxError>,
    {
        let body = Body::Thread(Some(Box::new(move |stop| run(stop).map_err(Into::into))));
        self.start(kind, name.into(), body);
    }

    /// What has happened so far, by kind; kinds without a task are absent.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<TaskKind, Counts> {
        self.shared.state().counts.clone()
    }

    /// The tasks that run now (or wait for a restart), as `kind \`name\``, in order of spawning.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        self.shared.running(|_| true)
    }

    /// Asks every task to stop, wave after wave ([`Wave`]), and waits for them for `deadline` in
    /// all. What keeps it waiting is logged by name, and so is what is left running at the end. A
    /// wave that hangs cannot take the time of those after it: each may use the time that is left
    /// divided by the waves that are left.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        drain::drain(&self.shared, deadline).await
    }

    fn start(&self, kind: TaskKind, task: String, body: Body) {
        let shared = &self.shared;
        let token = shared.waves[kind.fate().wave.index()].clone();
        if token.is_cancelled() {
            tracing::debug!(
                kind = kind.name(),
                task,
                "not started: the daemon is draining"
            );
            return;
        }
        let id = shared.enter(kind, &task);
        let supervised = supervise::supervise(Arc::clone(shared), kind, task, body, token);
        let leave = Leave {
            shared: Arc::clone(shared),
            id,
        };
        shared.handle.spawn(async move {
            // Dropped when the supervisor ends, however it ends.
            let _leave = leave;
            supervised.await;
        });
    }
}

/// What supervisors, spawners and the drain share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) handle: Handle,
    pub(crate) options: Options,
    pub(crate) raise: Raise,
    pub(crate) waves: [CancellationToken; 3],
    state: Mutex<State>,
    /// Rung whenever a task has ended.
    pub(crate) ended: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    running: BTreeMap<u64, (TaskKind, String)>,
    counts: BTreeMap<TaskKind, Counts>,
}

impl Shared {
    /// Changes what is counted for a kind.
    pub(crate) fn count(&self, kind: TaskKind, change: impl FnOnce(&mut Counts)) {
        change(self.state().counts.entry(kind).or_default());
    }

    /// The running tasks of the kinds that `which` selects, named for a person.
    pub(crate) fn running(&self, which: impl Fn(TaskKind) -> bool) -> Vec<String> {
        let state = self.state();
        let selected = state.running.values().filter(|(kind, _)| which(*kind));
        selected
            .map(|(kind, task)| format!("{} `{task}`", kind.name()))
            .collect()
    }

    fn enter(&self, kind: TaskKind, task: &str) -> u64 {
        let mut state = self.state();
        let id = state.next_id;
        state.next_id += 1;
        state.running.insert(id, (kind, task.to_owned()));
        state.counts.entry(kind).or_default().spawned += 1;
        id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half-done under this lock, so a poisoned one is still sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a task off the list when its supervisor ends.
#[derive(Debug)]
struct Leave {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.shared.state().running.remove(&self.id);
        self.shared.ended.send_replace(());
    }
}
