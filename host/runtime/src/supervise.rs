//! One task's life: run, judge how the run ended, pause, run again.
//!
//! A run is put on a task (or thread) of its own and its supervisor only waits for it. That is
//! what catches a panic without unwinding through the supervisor, and what lets it drop a task
//! that is abandoned on cancel.

use crate::tasks::{BoxError, Shared};
use crate::{FatalError, Life, OnCancel, OnFault, Stop, TaskKind};
use std::any::Any;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

type Run = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
type ThreadFn = Box<dyn FnMut(&Stop) -> Result<(), BoxError> + Send>;

/// What a task runs.
pub(crate) enum Body {
    /// Makes a future for every run.
    Async(Box<dyn FnMut(Stop) -> Run + Send>),
    /// One future, for one run.
    Once(Run),
    /// A function for a thread. Absent while a thread has it.
    Thread(Option<ThreadFn>),
}

/// How a run ended.
enum End {
    Returned,
    Failed(BoxError),
    Panicked(String),
    /// It was asked to stop and its kind is not waited for.
    Abandoned,
}

/// Carries out the table for one task; returns when the task will not run again.
pub(crate) async fn supervise(
    shared: Arc<Shared>,
    kind: TaskKind,
    task: String,
    mut body: Body,
    token: CancellationToken,
) {
    let fate = kind.fate();
    let stop = Stop::new(token.clone(), shared.handle.clone());
    let mut faults_in_a_row = 0_u32;
    loop {
        let began = Instant::now();
        let (end, next) = run(&shared, kind, body, &stop).await;
        let (on_fault, how, cause) = match end {
            End::Abandoned => return,
            End::Returned if token.is_cancelled() || fate.life == Life::Job => return,
            End::Returned => {
                shared.count(kind, |c| c.errors += 1);
                (
                    fate.on_error,
                    "ended although nobody asked it to",
                    "no error given".to_owned(),
                )
            }
            End::Failed(error) => {
                shared.count(kind, |c| c.errors += 1);
                (fate.on_error, "failed", with_sources(&*error))
            }
            End::Panicked(message) => {
                shared.count(kind, |c| c.panics += 1);
                (fate.on_panic, "panicked", message)
            }
        };
        if began.elapsed() >= shared.options.backoff.healthy_after {
            faults_in_a_row = 0;
        }
        faults_in_a_row = faults_in_a_row.saturating_add(1);
        match (on_fault, next) {
            (OnFault::Restart, None) if fate.life == Life::Service => {
                let cause = format!("{cause} (and it cannot be run again)");
                stop_daemon(&shared, kind, task, how, cause);
                return;
            }
            (OnFault::StopDaemon, _) => {
                stop_daemon(&shared, kind, task, how, cause);
                return;
            }
            (OnFault::LogAndGoOn, _) | (OnFault::Restart, None) => {
                tracing::warn!(
                    kind = fate.name,
                    task,
                    how,
                    cause,
                    "task lost; going on without it"
                );
                return;
            }
            (OnFault::Restart, Some(again)) => {
                let pause = shared.options.backoff.pause(faults_in_a_row);
                let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(
                    kind = fate.name,
                    task,
                    how,
                    cause,
                    faults_in_a_row,
                    pause_ms,
                    "task lost; running it again after a pause"
                );
                tokio::select! {
                    biased;
                    () = token.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                shared.count(kind, |c| c.restarts += 1);
                body = again;
            }
        }
    }
}

fn stop_daemon(shared: &Shared, kind: TaskKind, task: String, how: &'static str, cause: String) {
    tracing::error!(
        kind = kind.name(),
        task,
        how,
        cause,
        "task lost; stopping the daemon"
    );
    shared.raise.raise(FatalError {
        kind,
        task,
        how,
        cause,
    });
}

/// One run; gives the body back where it can run again.
async fn run(shared: &Shared, kind: TaskKind, body: Body, stop: &Stop) -> (End, Option<Body>) {
    match body {
        Body::Async(mut factory) => {
            // The factory is the task's code too: what it panics with is the task's panic.
            let made = catch_unwind(AssertUnwindSafe(|| factory(stop.clone())));
            let end = match made {
                Ok(run) => on_task(shared, kind, run, stop).await,
                Err(payload) => End::Panicked(panic_message(&*payload)),
            };
            (end, Some(Body::Async(factory)))
        }
        Body::Once(run) => (on_task(shared, kind, run, stop).await, None),
        Body::Thread(Some(function)) => on_thread(kind, function, stop).await,
        Body::Thread(None) => (End::Abandoned, None),
    }
}

async fn on_task(shared: &Shared, kind: TaskKind, run: Run, stop: &Stop) -> End {
    let mut running = AbortOnDrop(shared.handle.spawn(run));
    let joined = match kind.fate().on_cancel {
        OnCancel::Finish => (&mut running.0).await,
        OnCancel::Abandon => tokio::select! {
            biased;
            () = stop.requested() => return End::Abandoned,
            joined = &mut running.0 => joined,
        },
    };
    match joined {
        Ok(Ok(())) => End::Returned,
        Ok(Err(error)) => End::Failed(error),
        Err(lost) => match lost.try_into_panic() {
            Ok(payload) => End::Panicked(panic_message(&*payload)),
            // The runtime itself is going down.
            Err(_) => End::Abandoned,
        },
    }
}

async fn on_thread(kind: TaskKind, mut function: ThreadFn, stop: &Stop) -> (End, Option<Body>) {
    let (done, ended) = oneshot::channel();
    let told = stop.clone();
    let thread = std::thread::Builder::new()
        .name(kind.name().to_owned())
        .spawn(move || {
            let end = match catch_unwind(AssertUnwindSafe(|| function(&told))) {
                Ok(Ok(())) => End::Returned,
                Ok(Err(error)) => End::Failed(error),
                Err(payload) => End::Panicked(panic_message(&*payload)),
            };
            // Nobody listens when the task was abandoned.
            let _ = done.send((end, function));
        });
    if let Err(error) = thread {
        // The function went down with the thread that could not be made: nothing can run again.
        return (
            End::Failed(format!("no thread could be started: {error}").into()),
            None,
        );
    }
    let ended = match kind.fate().on_cancel {
        OnCancel::Finish => ended.await,
        OnCancel::Abandon => tokio::select! {
            biased;
            () = stop.requested() => return (End::Abandoned, None),
            ended = ended => ended,
        },
    };
    match ended {
        Ok((end, function)) => (end, Some(Body::Thread(Some(function)))),
        Err(_) => (
            End::Panicked("the thread ended without an answer".to_owned()),
            None,
        ),
    }
}

/// Drops the run with its supervisor: an abandoned task does not go on unwatched.
struct AbortOnDrop(JoinHandle<Result<(), BoxError>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An error and its sources on one line; a source whose words already stand there is left out.
fn with_sources(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        let words = next.to_string();
        if !text.contains(&words) {
            let _ = write!(text, ": {words}");
        }
        source = next.source();
    }
    text
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}
