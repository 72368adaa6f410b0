//! The stream of samples: references, acks in order, flow control, and how it ends.

use crate::world::{World, by, refused};
use std::sync::atomic::Ordering::SeqCst;
use tidegate_core::ports::serve::ServeError;
use tidegate_core::sample::Values;
use tidegate_proto::v1;
use tidegate_proto::v1::ingest_client::IngestClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

/// Both ends of a stream.
pub(crate) struct Feed {
    frames: mpsc::Sender<v1::SampleFrame>,
    pub(crate) acks: Streaming<v1::SampleAck>,
    max_unacked: u32,
    pub(crate) terms: v1::StreamTerms,
}

impl Feed {
    pub(crate) async fn open(world: &World) -> Self {
        Self::open_as(world, "nobody").await
    }

    pub(crate) async fn open_as(world: &World, token: &str) -> Self {
        let (frames, stream) = mpsc::channel(64);
        let mut client = IngestClient::new(world.channel().await);
        let stream = by(token, ReceiverStream::new(stream));
        let answer = client.stream_samples(stream).await;
        let mut acks = answer.unwrap().into_inner();
        let greeting = acks.message().await.unwrap().unwrap();
        assert_eq!(greeting.sequence, 0);
        Self {
            frames,
            acks,
            max_unacked: greeting.max_unacked,
            terms: greeting.terms.unwrap(),
        }
    }

    pub(crate) async fn send(&self, frame: v1::SampleFrame) {
        self.frames.send(frame).await.unwrap();
    }

    pub(crate) async fn ack(&mut self) -> v1::SampleAck {
        self.acks.message().await.unwrap().unwrap()
    }
}

pub(crate) fn declare(series_ref: u32, api: &str) -> v1::SeriesDeclaration {
    v1::SeriesDeclaration {
        series_ref,
        api: api.into(),
        signal: v1::Signal::Requests.into(),
        step_s: 60,
    }
}

/// A frame with one sample of series 1 at a minute of its own.
pub(crate) fn minute(sequence: u64) -> v1::SampleFrame {
    let declare = if sequence == 1 {
        vec![declare(1, "shop/orders")]
    } else {
        vec![]
    };
    v1::SampleFrame {
        sequence,
        declare,
        series: vec![samples(1, sequence as i64 * 60_000, &[1.0])],
        ..Default::default()
    }
}

pub(crate) fn samples(series_ref: u32, start_ms: i64, values: &[f64]) -> v1::SeriesSamples {
    v1::SeriesSamples {
        series_ref,
        columns: Some(v1::Columns {
            start_ms,
            values: values.to_vec(),
            ..Default::default()
        }),
    }
}

#[tokio::test]
async fn a_declared_series_travels_under_its_reference_and_a_repeated_frame_is_harmless() {
    let world = World::open();
    let mut feed = Feed::open(&world).await;
    feed.send(v1::SampleFrame {
        sequence: 1,
        declare: vec![declare(7, "shop/orders"), declare(9, "shop/cart")],
        series: vec![samples(9, 0, &[1.0, 2.0, 3.0])],
        ..Default::default()
    })
    .await;
    let first = feed.ack().await;
    assert_eq!((first.sequence, first.stored, first.arrival), (1, 3, 1));
    feed.send(v1::SampleFrame {
        sequence: 5,
        declare: vec![],
        series: vec![
            samples(7, 60_000, &[4.0]),
            samples(9, 60_000, &[2.0, 3.0, 4.0]),
        ],
        ..Default::default()
    })
    .await;
    let second = feed.ack().await;
    assert_eq!(
        (second.sequence, second.stored, second.duplicates),
        (5, 2, 2)
    );
    let batches = world.gate.batches.lock().unwrap();
    assert_eq!(batches[1].series[0].key.api.to_string(), "shop/orders");
    assert_eq!(
        batches[1].series[1].values,
        Values::Numbers(vec![2.0, 3.0, 4.0])
    );
}

#[tokio::test]
async fn acks_come_in_the_order_of_the_frames_whatever_the_store_finishes_first() {
    let world = World::open();
    world.gate.hold.store(true, SeqCst);
    let mut feed = Feed::open(&world).await;
    for sequence in 1..=5 {
        feed.send(minute(sequence)).await;
    }
    while world.gate.held() < 5 {
        tokio::task::yield_now().await;
    }
    world.gate.release_backwards();
    for sequence in 1..=5 {
        assert_eq!(feed.ack().await.sequence, sequence);
    }
}

#[tokio::test]
async fn no_more_than_the_told_number_of_frames_is_taken_without_an_ack() {
    let world = World::with(|options| options.limits.max_unacked = 3);
    world.gate.hold.store(true, SeqCst);
    let mut feed = Feed::open(&world).await;
    assert_eq!(feed.max_unacked, 3);
    for sequence in 1..=10 {
        feed.send(minute(sequence)).await;
    }
    let mut next = 1;
    while next <= 10 {
        let wanted = 3.min(11 - next as usize);
        while world.gate.held() < wanted {
            tokio::task::yield_now().await;
        }
        // Give the server every chance to take too many.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.gate.held(), wanted);
        world.gate.release_backwards();
        for _ in 0..wanted {
            assert_eq!(feed.ack().await.sequence, next);
            next += 1;
        }
    }
}

#[tokio::test]
async fn a_frame_that_cannot_be_stored_is_told_in_its_ack_and_the_stream_goes_on() {
    let world = World::open();
    let mut feed = Feed::open(&world).await;
    *world.gate.refuse.lock().unwrap() = Some(ServeError::Exhausted {
        what: "more samples than 1000/s".into(),
        retry_ms: 250,
    });
    feed.send(minute(1)).await;
    let error = feed.ack().await.error.unwrap();
    assert_eq!(
        (error.code, error.retry_after_ms),
        (Code::ResourceExhausted as i32, 250)
    );
    assert!(error.message.contains("1000/s"));

    *world.gate.refuse.lock().unwrap() = None;
    world.gate.hold.store(true, SeqCst);
    feed.send(minute(2)).await;
    while world.gate.held() < 1 {
        tokio::task::yield_now().await;
    }
    world.gate.drop_held();
    let error = feed.ack().await.error.unwrap();
    assert_eq!(error.code, Code::Unavailable as i32);
    assert!(error.retry_after_ms > 0 && error.message.contains("send these samples again"));

    world.gate.hold.store(false, SeqCst);
    feed.send(minute(3)).await;
    assert_eq!(feed.ack().await.stored, 1);
}

#[tokio::test]
async fn a_series_that_was_not_or_badly_declared_is_rejected_and_the_others_are_stored() {
    let world = World::open();
    let mut feed = Feed::open(&world).await;
    feed.send(v1::SampleFrame {
        sequence: 1,
        declare: vec![declare(1, "shop/orders"), declare(2, "no-tenant")],
        series: vec![
            samples(3, 0, &[1.0, 1.0]),
            samples(2, 0, &[1.0]),
            samples(1, 0, &[1.0, -4.0]),
        ],
        ..Default::default()
    })
    .await;
    let ack = feed.ack().await;
    assert_eq!((ack.stored, ack.error), (1, None));
    let told: Vec<_> = ack
        .rejections
        .iter()
        .map(|r| (r.field.as_str(), r.samples))
        .collect();
    assert_eq!(
        told,
        [
            ("series[0].series_ref", 2),
            ("series[1].series_ref", 1),
            ("series[2].columns.values[1]", 1)
        ]
    );
    assert!(
        ack.rejections[0]
            .reason
            .contains("reference 3 was not declared")
    );
    assert!(ack.rejections[1].reason.contains("TENANT/NAME"));
}

#[tokio::test]
async fn a_stream_that_breaks_the_protocol_acks_what_it_took_and_ends() {
    let world = World::with(|options| options.limits.max_declared = 1);
    let mut feed = Feed::open(&world).await;
    feed.send(minute(4)).await;
    feed.send(minute(4)).await;
    // Series 1 was never declared, as the stream began at 4: the frame is acked all the same.
    assert_eq!(feed.ack().await.sequence, 4);
    refused(
        feed.acks.message().await,
        Code::InvalidArgument,
        "4 does not rise",
    );

    let mut feed = Feed::open(&world).await;
    feed.send(v1::SampleFrame {
        sequence: 1,
        declare: vec![declare(1, "shop/a"), declare(2, "shop/b")],
        series: vec![],
        ..Default::default()
    })
    .await;
    refused(
        feed.acks.message().await,
        Code::InvalidArgument,
        "at most 1 series",
    );

    let mut feed = Feed::open(&world).await;
    feed.send(v1::SampleFrame::default()).await;
    refused(
        feed.acks.message().await,
        Code::InvalidArgument,
        "first has 1 or more",
    );
}

#[tokio::test]
async fn a_sender_that_ends_hears_every_ack_and_a_clean_end() {
    let world = World::open();
    world.gate.hold.store(true, SeqCst);
    let feed = Feed::open(&world).await;
    feed.send(minute(1)).await;
    feed.send(minute(2)).await;
    while world.gate.held() < 2 {
        tokio::task::yield_now().await;
    }
    let Feed {
        frames, mut acks, ..
    } = feed;
    drop(frames);
    world.gate.release_backwards();
    for sequence in 1..=2 {
        assert_eq!(acks.message().await.unwrap().unwrap().sequence, sequence);
    }
    assert_eq!(acks.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_shutdown_acks_what_was_taken_before_it_ends_the_stream() {
    let mut world = World::open();
    world.gate.hold.store(true, SeqCst);
    let mut feed = Feed::open(&world).await;
    feed.send(minute(1)).await;
    while world.gate.held() < 1 {
        tokio::task::yield_now().await;
    }
    world.stop();
    world.gate.release_backwards();
    assert_eq!(feed.ack().await.stored, 1);
    refused(feed.acks.message().await, Code::Unavailable, "shuts down");
    drop(feed);
    world.ended().await.unwrap();
}
