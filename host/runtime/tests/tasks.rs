//! What the table promises, shown on tasks that fail, panic, hang and end.
//!
//! The clock is tokio's paused one: a pause of half a minute costs nothing, and how long a
//! restart waited can be asserted to the millisecond. Threads run in real time, so the tests on
//! them wait for what the thread says, never for time to pass.

use std::io::Error;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidegate_runtime::{Backoff, Drained, Fatal, Options, TaskKind, Tasks, Wake};
use tokio::runtime::Handle;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn tasks() -> (Tasks, Fatal) {
    let backoff = Backoff {
        first: SECOND,
        cap: 8 * SECOND,
        healthy_after: 60 * SECOND,
    };
    Tasks::new(
        Handle::current(),
        Options {
            backoff,
            report_every: 2 * SECOND,
        },
    )
}

fn names(drained: &Drained) -> Vec<&str> {
    drained.left_running.iter().map(String::as_str).collect()
}

/// A log that a test can read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("log").clone()).expect("utf-8")
    }

    fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_service_is_run_again_after_pauses_that_double_up_to_a_cap() {
    let (tasks, _fatal) = tasks();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&starts);
    let began = Instant::now();
    tasks.spawn(TaskKind::Actuate, "pool a", move |_stop| {
        seen.lock().expect("starts").push(began.elapsed().as_secs());
        async { Err::<(), _>(Error::other("no route")) }
    });
    tokio::time::sleep(Duration::from_millis(31_500)).await;
    assert_eq!(*starts.lock().expect("starts"), [0, 1, 3, 7, 15, 23, 31]);
    let counts = tasks.counts()[&TaskKind::Actuate];
    assert_eq!((counts.spawned, counts.errors, counts.restarts), (1, 7, 6));
}

#[tokio::test(start_paused = true)]
async fn a_long_healthy_run_makes_the_next_fault_a_first_one_again() {
    let (tasks, _fatal) = tasks();
    let starts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&starts);
    let began = Instant::now();
    tasks.spawn(TaskKind::Judge, "shadows", move |_stop| {
        let run = {
            let mut starts = seen.lock().expect("starts");
            starts.push(began.elapsed().as_secs());
            starts.len()
        };
        async move {
            if run == 3 {
                tokio::time::sleep(100 * SECOND).await;
            }
            Err::<(), _>(Error::other("lost"))
        }
    });
    tokio::time::sleep(105 * SECOND).await;
    // Pauses of 1, 2, then a run of 100 s from 3 to 103, then again 1.
    assert_eq!(*starts.lock().expect("starts"), [0, 1, 3, 104]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_caught_counted_and_followed_by_a_restart() {
    let (tasks, _fatal) = tasks();
    let runs = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&runs);
    tasks.spawn(TaskKind::Observe, "alerts", move |stop| {
        let run = seen.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(run > 0, "the first run breaks");
            stop.requested().await;
            Ok::<(), Error>(())
        }
    });
    tokio::time::sleep(10 * SECOND).await;
    let counts = tasks.counts()[&TaskKind::Observe];
    assert_eq!((counts.panics, counts.errors, counts.restarts), (1, 0, 1));
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    assert!(tasks.drain(SECOND).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_panics_is_a_task_that_panics() {
    let (tasks, mut fatal) = tasks();
    tasks.spawn(TaskKind::Listener, "grpc", |_stop| {
        if true {
            panic!("no socket");
        }
        async { Ok::<(), Error>(()) }
    });
    let error = fatal.raised().await;
    assert_eq!((error.how, error.cause.as_str()), ("panicked", "no socket"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_listener_stops_the_daemon_and_the_first_cause_is_the_one_told() {
    let (tasks, mut fatal) = tasks();
    let fail = |after: u64, cause: &'static str| {
        tasks.spawn(
            TaskKind::Listener,
            format!("port {after}"),
            move |_stop| async move {
                tokio::time::sleep(Duration::from_secs(after)).await;
                Err::<(), _>(Error::other(cause))
            },
        );
    };
    fail(2, "second");
    fail(1, "first");
    tokio::time::sleep(3 * SECOND).await;
    let told = fatal.raised().await.to_string();
    assert_eq!(
        told,
        "listener task `port 1` failed, and the daemon cannot go on without it: first"
    );
    assert_eq!(fatal.raised().await.to_string(), told, "the answer stays");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_ends_unasked_has_failed() {
    let (tasks, mut fatal) = tasks();
    tasks.spawn(TaskKind::Signals, "unix", |_stop| async {
        Ok::<(), Error>(())
    });
    assert_eq!(
        fatal.raised().await.how,
        "ended although nobody asked it to"
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_or_panics_touches_nothing_else() {
    let (tasks, mut fatal) = tasks();
    tasks.spawn_once(TaskKind::Stream, "of a client", async {
        Err::<(), _>(Error::other("reset"))
    });
    tasks.spawn_once(TaskKind::Admission, "sha256:00", async {
        if true {
            panic!("odd module");
        }
        Ok::<(), Error>(())
    });
    tasks.spawn_once(TaskKind::Stream, "that ends well", async {
        Ok::<(), Error>(())
    });
    tokio::select! {
        biased;
        error = fatal.raised() => panic!("{error}"),
        () = tokio::time::sleep(60 * SECOND) => {}
    }
    assert!(tasks.running().is_empty());
    let counts = tasks.counts();
    assert_eq!(counts[&TaskKind::Stream].errors, 1);
    assert_eq!(counts[&TaskKind::Admission].panics, 1);
    assert_eq!(counts[&TaskKind::Stream].restarts, 0);
}

#[tokio::test(start_paused = true)]
async fn a_service_given_as_a_future_cannot_be_run_again_and_so_stops_the_daemon() {
    let (tasks, mut fatal) = tasks();
    tasks.spawn_once(TaskKind::Judge, "once", async {
        Err::<(), _>(Error::other("gone"))
    });
    assert!(fatal.raised().await.cause.starts_with("gone"));
}

#[tokio::test(start_paused = true)]
async fn a_drain_stops_the_edge_before_the_deciders_and_the_store_last() {
    let (tasks, _fatal) = tasks();
    let order = Arc::new(Mutex::new(Vec::new()));
    for kind in [TaskKind::StoreWriter, TaskKind::Actuate, TaskKind::Listener] {
        let order = Arc::clone(&order);
        tasks.spawn(kind, "x", move |stop| {
            let order = Arc::clone(&order);
            async move {
                stop.requested().await;
                tokio::time::sleep(SECOND).await;
                order.lock().expect("order").push(kind.name());
                Ok::<(), Error>(())
            }
        });
    }
    assert!(tasks.drain(30 * SECOND).await.is_clean());
    assert_eq!(
        *order.lock().expect("order"),
        ["listener", "actuate", "store-writer"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_keeps_shutdown_waiting_is_logged_by_name_and_the_store_still_gets_its_share() {
    let log = Log::default();
    let _guard = log.capture();
    let (tasks, _fatal) = tasks();
    tasks.spawn_once(
        TaskKind::Stream,
        "of 10.0.0.7",
        std::future::pending::<Result<(), Error>>(),
    );
    tasks.spawn(TaskKind::StoreWriter, "shard 0", |stop| async move {
        stop.requested().await;
        tokio::time::sleep(9 * SECOND).await;
        Ok::<(), Error>(())
    });
    let began = Instant::now();
    let drained = tasks.drain(30 * SECOND).await;
    assert_eq!(names(&drained), ["stream `of 10.0.0.7`"]);
    assert_eq!(
        began.elapsed(),
        19 * SECOND,
        "a third of 30 s for the stream, then 9 s"
    );
    let text = log.text();
    assert!(
        text.contains("shutdown waits for tasks=\"stream `of 10.0.0.7`\""),
        "{text}"
    );
    assert!(
        text.contains("shutdown waits for tasks=\"store-writer `shard 0`\""),
        "{text}"
    );
    assert!(text.contains("left running"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_abandoned_on_cancel_is_dropped_and_a_waiting_restart_ends_at_once() {
    struct Dropped(Arc<AtomicU32>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (tasks, _fatal) = tasks();
    let drops = Arc::new(AtomicU32::new(0));
    let held = Dropped(Arc::clone(&drops));
    tasks.spawn_once(TaskKind::Admission, "sha256:01", async move {
        let _held = held;
        std::future::pending::<Result<(), Error>>().await
    });
    tasks.spawn(TaskKind::Actuate, "b", |_stop| async {
        Err::<(), _>(Error::other("no"))
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let began = Instant::now();
    assert!(tasks.drain(30 * SECOND).await.is_clean());
    tokio::task::yield_now().await;
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_once_its_wave_is_drained() {
    let (tasks, _fatal) = tasks();
    assert!(tasks.drain(SECOND).await.is_clean());
    tasks.spawn_once(TaskKind::Stream, "too late", async {
        panic!("must not run") as Result<(), Error>
    });
    tokio::time::sleep(SECOND).await;
    assert!(tasks.counts().is_empty());
}

#[tokio::test]
async fn a_thread_bears_its_kinds_name_survives_panics_and_stops_when_asked() {
    let backoff = Backoff {
        first: Duration::from_millis(1),
        ..Backoff::default()
    };
    let options = Options {
        backoff,
        ..Options::default()
    };
    let (tasks, _fatal) = Tasks::new(Handle::current(), options);
    let (told, mut heard) = tokio::sync::mpsc::channel(4);
    let mut runs = 0;
    tasks.spawn_thread(TaskKind::Cycle, "checkout", move |stop| {
        runs += 1;
        assert!(runs > 1, "the first run breaks");
        let name = std::thread::current().name().map(str::to_owned);
        assert_eq!(stop.sleep_blocking(Duration::from_millis(1)), Wake::TimeUp);
        told.blocking_send(name).map_err(Error::other)?;
        assert_eq!(stop.sleep_blocking(Duration::from_secs(3600)), Wake::Stop);
        assert!(stop.is_requested());
        Ok::<(), Error>(())
    });
    assert_eq!(heard.recv().await.flatten().as_deref(), Some("cycle"));
    assert!(tasks.drain(Duration::from_secs(60)).await.is_clean());
    let counts = tasks.counts()[&TaskKind::Cycle];
    assert_eq!((counts.panics, counts.restarts, counts.errors), (1, 1, 0));
}

#[tokio::test]
async fn a_fit_that_does_not_look_up_is_not_waited_for() {
    let (tasks, _fatal) = Tasks::new(Handle::current(), Options::default());
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(0);
    tasks.spawn_thread(TaskKind::Fit, "deep", move |_stop| {
        let _ = wait.recv(); // until the test lets go
        Ok::<(), Error>(())
    });
    assert!(tasks.drain(Duration::from_secs(3600)).await.is_clean());
    drop(go);
}
