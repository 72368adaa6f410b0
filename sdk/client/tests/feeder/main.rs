//! A feeder against a server that breaks, forgets, refuses and pushes back.
#![expect(
    clippy::unwrap_used,
    reason = "a test's fixture may unwrap; clippy only knows #[test] functions"
)]

mod server;

use server::{Act, Server};
use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tidegate_client::ingest::{
    Event, FeedError, Feeder, FeederOptions, Full, Sample, SeriesKey, SpillFile, Value, WhenFull,
};
use tidegate_client::{Client, v1};
use tonic::Status;

fn key(api: usize) -> SeriesKey {
    SeriesKey {
        api: format!("shop/a{api}"),
        signal: v1::Signal::Requests,
        step_s: 60,
    }
}

fn sample(minute: i64) -> Sample {
    Sample {
        start_ms: minute * 60_000,
        value: Value::Number(minute as f64 + 1.0),
    }
}

/// Ten samples a frame, and no waiting to speak of.
fn quick() -> FeederOptions {
    FeederOptions {
        batch: 10,
        unacked: 3,
        backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(2),
        ..FeederOptions::default()
    }
}

fn in_session() -> FeederOptions {
    FeederOptions {
        session: Some("one".into()),
        ..quick()
    }
}

fn away() -> Act {
    Act::Refuse(Status::unavailable("nobody is at home"))
}

fn times(act: &Act, n: usize) -> VecDeque<Act> {
    vec![act.clone(); n].into()
}

/// Everything that a feeder told.
fn listen(feeder: &mut Feeder) -> Arc<Mutex<Vec<Event>>> {
    let heard: Arc<Mutex<Vec<Event>>> = Arc::default();
    let told = heard.clone();
    feeder.on_event(move |event| told.lock().unwrap().push(event));
    heard
}

/// Adds `minutes` of two series.
async fn feed(feeder: &mut Feeder, minutes: std::ops::Range<i64>) {
    for minute in minutes {
        for api in 0..2 {
            feeder.add(&key(api), sample(minute)).await.unwrap();
        }
    }
}

/// Holds that exactly these minutes of two series are stored, each with its value.
#[track_caller]
fn holds(server: &Server, minutes: std::ops::Range<i64>) {
    let stored = server.with(|s| s.stored.clone());
    let found: Vec<_> = stored
        .iter()
        .map(|((api, _, at), v)| (api.as_str(), *at, *v))
        .collect();
    let wanted = ["shop/a0", "shop/a1"].iter().flat_map(|api| {
        minutes
            .clone()
            .map(move |m| (*api, m * 60_000, m as f64 + 1.0))
    });
    assert_eq!(found, wanted.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_resumed_session_sends_nothing_twice_whatever_acks_were_lost() {
    let (server, client) = Server::start();
    server.with(|s| {
        s.remembers = true;
        s.script = (0..6)
            .map(|n| Act::Break {
                taken: n % 4 + 1,
                told: n % 3,
            })
            .collect();
    });
    let mut feeder = Feeder::new(client, in_session());
    let told = listen(&mut feeder);
    feed(&mut feeder, 0..200).await;
    let totals = feeder.flush().await.unwrap().clone();
    holds(&server, 0..200);
    assert_eq!(
        (totals.stored, totals.duplicates, totals.rejected),
        (400, 0, 0)
    );
    let frames: Vec<u64> = server.with(|s| s.frames.iter().map(|f| f.sequence).collect());
    assert_eq!(frames, (1..=40).collect::<Vec<_>>(), "each frame came once");
    let metrics = feeder.metrics();
    assert_eq!(
        (metrics.buffered, metrics.buffered_bytes, metrics.connects),
        (0, 0, 7)
    );
    let told = told.lock().unwrap();
    let resumed = told
        .iter()
        .filter(|e| matches!(e, Event::Connected { taken: 1.. }));
    assert_eq!(resumed.count(), 6);
}

#[tokio::test]
async fn without_a_session_or_with_a_server_that_forgot_it_what_had_no_ack_comes_again() {
    for options in [quick(), in_session()] {
        let (server, client) = Server::start();
        server.with(|s| s.script = [Act::Break { taken: 3, told: 1 }].into());
        let mut feeder = Feeder::new(client, options);
        feed(&mut feeder, 0..50).await;
        let totals = feeder.flush().await.unwrap();
        holds(&server, 0..50);
        // Of three frames that were stored, two had no ack.
        assert_eq!((totals.stored, totals.duplicates), (80, 20));
    }
}

#[tokio::test]
async fn a_server_of_before_grids_and_sessions_is_fed_as_before() {
    let (server, client) = Server::start();
    server.with(|s| s.is_old = true);
    let mut feeder = Feeder::new(client, in_session());
    feed(&mut feeder, 0..50).await;
    assert_eq!(feeder.flush().await.unwrap().stored, 100);
    holds(&server, 0..50);
    assert!(server.with(|s| s.frames.iter().all(|f| f.grids.is_empty())));
}

#[tokio::test]
async fn a_push_back_is_told_and_the_frame_comes_again_under_another_number() {
    let (server, client) = Server::start();
    let busy = v1::FrameError {
        code: 8,
        message: "the store is behind".into(),
        retry_after_ms: 1,
        quota: None,
    };
    server.with(|s| s.script = [Act::Error(busy)].into());
    let mut feeder = Feeder::new(client, in_session());
    let told = listen(&mut feeder);
    feed(&mut feeder, 0..10).await;
    assert_eq!(feeder.flush().await.unwrap().stored, 20);
    holds(&server, 0..10);
    let told = told.lock().unwrap();
    assert!(
        told.iter()
            .any(|e| matches!(e, Event::PushedBack { wait } if *wait == Duration::from_millis(1)))
    );
}

#[tokio::test]
async fn a_refusal_that_would_come_again_ends_the_attempts_and_keeps_the_samples() {
    let (server, client) = Server::start();
    server.with(|s| {
        s.script = [Act::Refuse(Status::permission_denied(
            "a reader may not feed",
        ))]
        .into()
    });
    let mut feeder = Feeder::new(client, quick());
    feeder.add(&key(0), sample(0)).await.unwrap();
    let error = feeder.flush().await.unwrap_err();
    assert!(matches!(error, FeedError::Refused(_)), "{error}");
    assert!(error.to_string().contains("a reader may not feed"));
    assert_eq!(feeder.metrics().buffered, 1);
    assert_eq!(feeder.flush().await.unwrap().stored, 1);
}

#[tokio::test]
async fn attempts_end_and_a_later_flush_goes_on() {
    let (server, client) = Server::start();
    server.with(|s| s.script = times(&away(), 3));
    let options = FeederOptions {
        attempts: 3,
        ..quick()
    };
    let mut feeder = Feeder::new(client, options);
    feeder.add(&key(0), sample(0)).await.unwrap();
    let error = feeder.flush().await.unwrap_err();
    assert!(
        matches!(error, FeedError::GaveUp { attempts: 3, .. }),
        "{error}"
    );
    assert_eq!(feeder.flush().await.unwrap().stored, 1);
}

/// Offers minutes of one series while nobody sends; how many were refused.
fn offer(feeder: &mut Feeder, minutes: std::ops::Range<i64>) -> usize {
    let refused = minutes.filter(|m| feeder.offer(&key(0), sample(*m)).unwrap() == Err(Full));
    refused.count()
}

fn minutes(server: &Server) -> Vec<i64> {
    server.with(|s| s.stored.keys().map(|(_, _, at)| at / 60_000).collect())
}

#[tokio::test]
async fn a_full_buffer_refuses_or_drops_as_it_was_told_and_says_so() {
    // Room for 40 samples.
    for (when_full, dropped, left) in [
        (WhenFull::Wait, 0, 0..40),
        (WhenFull::DropNewest, 60, 0..40),
        (WhenFull::DropOldest, 60, 60..100),
    ] {
        let (server, client) = Server::start();
        let options = FeederOptions {
            buffer: 40 * 16,
            when_full,
            ..quick()
        };
        let mut feeder = Feeder::new(client, options);
        let told = listen(&mut feeder);
        let refused = offer(&mut feeder, 0..100);
        assert_eq!(refused, if when_full == WhenFull::Wait { 60 } else { 0 });
        let metrics = feeder.metrics();
        assert!(
            metrics.buffered_bytes <= 40 * 16,
            "{when_full:?}: {metrics:?}"
        );
        assert_eq!(
            (metrics.buffered, metrics.dropped),
            (40, dropped),
            "{when_full:?}"
        );
        let heard = told.lock().unwrap().iter().fold(0, |n, e| match e {
            Event::Dropped { samples } => n + samples,
            _ => n,
        });
        assert_eq!(heard, dropped);
        assert_eq!(feeder.flush().await.unwrap().stored, 40);
        assert_eq!(minutes(&server), left.collect::<Vec<_>>(), "{when_full:?}");
    }
}

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("tidegate-feeder-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn options(&self) -> FeederOptions {
        let spill = SpillFile {
            path: self.0.clone(),
            bytes: 1 << 20,
        };
        FeederOptions {
            buffer: 40 * 16,
            spill: Some(spill),
            attempts: u32::MAX,
            ..quick()
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn what_memory_cannot_hold_waits_in_the_file_and_comes_in_order() {
    let place = Place::new("wait");
    let (server, client) = Server::start();
    server.with(|s| s.script = times(&away(), 5));
    let mut feeder = Feeder::open(client, place.options()).unwrap();
    let told = listen(&mut feeder);
    assert_eq!(offer(&mut feeder, 0..1000), 0);
    let metrics = feeder.metrics();
    assert!(
        metrics.buffered_bytes <= 40 * 16 && metrics.spilled >= 900,
        "{metrics:?}"
    );
    assert_eq!(metrics.buffered + metrics.spilled, 1000);
    assert!(
        told.lock()
            .unwrap()
            .iter()
            .any(|e| matches!(e, Event::Spilled { .. }))
    );
    assert_eq!(feeder.flush().await.unwrap().stored, 1000);
    let firsts: Vec<i64> = server.with(|s| s.frames.iter().map(|f| f.grids[0].start_ms).collect());
    assert!(firsts.is_sorted(), "{firsts:?}");
    assert!(feeder.is_idle() && std::fs::metadata(&place.0).unwrap().len() == 0);
}

#[tokio::test]
async fn the_next_program_sends_what_the_last_one_left_in_the_file() {
    let place = Place::new("left");
    let (server, client) = Server::start();
    let mut first = Feeder::open(client.clone(), place.options()).unwrap();
    offer(&mut first, 0..1000);
    let (in_memory, in_file) = (first.metrics().buffered, first.metrics().spilled);
    drop(first);
    let mut second = Feeder::open(client, place.options()).unwrap();
    assert_eq!(second.metrics().spilled, in_file);
    assert_eq!(second.flush().await.unwrap().stored, in_file);
    assert_eq!(
        minutes(&server),
        (in_memory as i64..1000).collect::<Vec<_>>()
    );
}

/// Polls a future so many times and drops it.
async fn polls<T>(mut left: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(cx);
        if polled.is_pending() {
            cx.waker().wake_by_ref();
        }
        polled.map(Some)
    })
    .await
}

#[tokio::test]
async fn a_drive_that_is_dropped_at_any_point_loses_and_doubles_nothing() {
    let (server, client) = Server::start();
    server.with(|s| {
        s.remembers = true;
        s.script = [
            Act::Break { taken: 2, told: 1 },
            away(),
            Act::Break { taken: 3, told: 0 },
        ]
        .into();
    });
    let options = FeederOptions {
        batch: 7,
        attempts: u32::MAX,
        ..in_session()
    };
    let mut feeder = Feeder::new(client, options);
    for minute in 0..300 {
        feeder.offer(&key(0), sample(minute)).unwrap().unwrap();
        feeder.offer(&key(1), sample(minute)).unwrap().unwrap();
        if let Some(done) = polls(minute as usize % 5, feeder.drive()).await {
            done.unwrap();
        }
        tokio::task::yield_now().await;
    }
    let totals = feeder.flush().await.unwrap();
    assert_eq!((totals.stored, totals.duplicates), (600, 0));
    holds(&server, 0..300);
}

#[tokio::test]
async fn a_client_that_cannot_connect_says_where_it_tried() {
    let client = Client::lazy(&tidegate_client::Options {
        endpoint: "http://127.0.0.1:9".into(),
        ..Default::default()
    });
    let mut feeder = Feeder::new(
        client.unwrap(),
        FeederOptions {
            attempts: 2,
            ..quick()
        },
    );
    feeder.add(&key(0), sample(0)).await.unwrap();
    let error = feeder.flush().await.unwrap_err();
    assert!(
        matches!(error, FeedError::GaveUp { attempts: 2, .. }),
        "{error}"
    );
    assert_eq!(feeder.metrics().buffered, 1);
}

#[tokio::test]
async fn what_is_gathered_while_a_frame_is_under_way_goes_out_together() {
    let (server, client) = Server::start();
    let mut feeder = Feeder::new(client, FeederOptions::default());
    assert_eq!(offer(&mut feeder, 0..1), 0);
    assert!(polls(1, feeder.drive()).await.is_none());
    for minute in 1..9 {
        assert_eq!(offer(&mut feeder, minute..minute + 1), 0);
        assert!(polls(1, feeder.drive()).await.is_none());
    }
    feeder.drive().await.unwrap();
    assert!(feeder.is_idle());
    let steps: Vec<u32> = server.with(|s| s.frames.iter().map(|f| f.grids[0].steps).collect());
    assert_eq!(steps, [1, 8]);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named() {
    let (_server, client) = Server::start();
    let place = Place(std::env::temp_dir().join("no-such-directory/file"));
    let error = Feeder::open(client.clone(), place.options()).unwrap_err();
    assert!(
        error.to_string().contains("no-such-directory/file"),
        "{error}"
    );
    let mut lazy = Feeder::new(client, place.options());
    lazy.offer(&key(0), sample(0)).unwrap().unwrap();
    assert!(matches!(lazy.flush().await, Err(FeedError::Spill { .. })));
}

#[tokio::test]
async fn a_full_file_leaves_it_to_the_drop_policy() {
    let place = Place::new("full");
    let (server, client) = Server::start();
    let mut options = place.options();
    // Of frames of 10 samples, memory holds 4 and the file 3.
    options.spill.as_mut().unwrap().bytes = 500;
    options.when_full = WhenFull::DropNewest;
    let mut feeder = Feeder::open(client, options).unwrap();
    assert_eq!(offer(&mut feeder, 0..200), 0);
    let metrics = feeder.metrics();
    assert!(
        metrics.spilled > 0 && metrics.spilled_bytes <= 500 && metrics.dropped > 0,
        "{metrics:?}"
    );
    assert_eq!(metrics.buffered + metrics.spilled + metrics.dropped, 200);
    let kept = metrics.buffered + metrics.spilled;
    assert_eq!(feeder.flush().await.unwrap().stored, kept);
    assert_eq!(minutes(&server), (0..kept as i64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_too_small_for_one_frame_is_as_good_as_none() {
    let place = Place::new("small");
    let (server, client) = Server::start();
    let mut options = place.options();
    options.spill.as_mut().unwrap().bytes = 10;
    let mut feeder = Feeder::open(client, options).unwrap();
    assert_eq!(offer(&mut feeder, 0..200), 160);
    feed(&mut feeder, 300..400).await;
    assert_eq!(feeder.flush().await.unwrap().stored, 240);
    assert_eq!(feeder.metrics().spilled_bytes, 0);
    assert_eq!(server.with(|s| s.stored.len()), 240);
}
