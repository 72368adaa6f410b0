//! What a stream tells of its bounds and keeps to, grids, and sessions that outlive a connection.

use crate::ingest::{Feed, declare, minute, samples};
use crate::world::{World, by, refused, shop_and_bank};
use std::sync::atomic::Ordering::SeqCst;
use tidegate_core::ports::serve::ServeError;
use tidegate_core::quota::{Exceeded, Quota};
use tidegate_core::sample::Values;
use tidegate_proto::v1;
use tidegate_proto::v1::catalog_client::CatalogClient;
use tonic::Code;

fn opening(session: &str, heard: u64) -> v1::SampleFrame {
    v1::SampleFrame {
        open: Some(v1::StreamOpening {
            session: session.into(),
            heard,
        }),
        ..Default::default()
    }
}

/// A stream that goes on with a session, and what was taken of it.
async fn resumed(world: &World, token: &str, session: &str, heard: u64) -> (Feed, u64) {
    let mut feed = Feed::open_as(world, token).await;
    feed.send(opening(session, heard)).await;
    let answer = feed.ack().await;
    assert_eq!(answer.sequence, 0);
    (feed, answer.resumed.unwrap().taken)
}

/// Waits until the port holds so many batches.
async fn held(world: &World, batches: usize) {
    while world.gate.held() < batches {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_is_told_what_it_may_cost_and_its_tenants_quotas() {
    let world = World::guarded();
    let mut catalog = CatalogClient::new(world.channel().await);
    catalog.apply(by("root", shop_and_bank())).await.unwrap();
    let of_one = Feed::open_as(&world, "shop").await.terms;
    let quotas = v1::TenantTerms {
        tenant: "shop".into(),
        max_series: 100,
        series: 0,
        max_samples_per_s: 1000,
    };
    assert_eq!(of_one.tenants, [quotas]);
    assert_eq!(
        (of_one.max_unacked_bytes, of_one.max_frame_samples),
        (64 << 20, 2 << 20)
    );
    assert_eq!(
        (of_one.max_frame_bytes, of_one.max_declared),
        (16 << 20, 100_000)
    );
    let of_all = Feed::open_as(&world, "root").await.terms;
    assert_eq!(of_all.tenants, []);
}

#[tokio::test]
async fn a_grid_is_stored_as_the_series_that_it_packs_and_refused_in_its_own_fields() {
    let world = World::open();
    let mut feed = Feed::open(&world).await;
    feed.send(v1::SampleFrame {
        sequence: 1,
        declare: vec![declare(1, "shop/a"), declare(2, "shop/b"), declare(3, "c")],
        grids: vec![
            v1::SampleGrid {
                steps: 2,
                series_ref: vec![1],
                rows: 2,
                counts: vec![1, 2, 3],
                missing: vec![0b0010],
                ..Default::default()
            },
            v1::SampleGrid {
                start_ms: 600_000,
                steps: 1,
                series_ref: vec![3, 2, 1],
                values: vec![0.5, 1.5, -1.0],
                ..Default::default()
            },
        ],
        ..Default::default()
    })
    .await;
    let ack = feed.ack().await;
    assert_eq!((ack.stored, &ack.error), (4, &None));
    let told: Vec<_> = ack
        .rejections
        .iter()
        .map(|r| (r.field.as_str(), r.samples))
        .collect();
    assert_eq!(
        told,
        [("grids[1].series_ref[0]", 1), ("grids[1].values[2]", 1)]
    );
    let batches = world.gate.batches.lock().unwrap();
    let [a, b, ..] = batches[0].series.as_slice() else {
        panic!("{batches:?}")
    };
    assert_eq!((a.times.len(), &a.values), (1, &Values::Numbers(vec![1.0])));
    assert_eq!(
        (b.times.len(), &b.values),
        (2, &Values::Numbers(vec![2.0, 3.0]))
    );
}

#[tokio::test]
async fn a_frame_that_claims_more_samples_than_fit_is_refused_before_it_is_unpacked() {
    let world = World::with(|options| options.limits.max_frame_samples = 4);
    let mut feed = Feed::open(&world).await;
    let bomb = v1::SampleGrid {
        steps: u32::MAX,
        series_ref: vec![1],
        rows: u32::MAX,
        ..Default::default()
    };
    let dense = samples(1, 0, &[1.0; 5]);
    for (sequence, field, series, grids) in [
        (1, "grids", vec![], vec![bomb.clone(), bomb]),
        (2, "series", vec![dense], vec![]),
    ] {
        feed.send(v1::SampleFrame {
            sequence,
            declare: vec![declare(1, "shop/a")],
            series,
            grids,
            ..Default::default()
        })
        .await;
        let error = feed.ack().await.error.unwrap();
        assert_eq!(
            (error.code, error.retry_after_ms),
            (Code::InvalidArgument as i32, 0)
        );
        assert!(
            error.message.starts_with(field) && error.message.contains("at most 4"),
            "{error:?}"
        );
    }
    assert!(world.gate.batches.lock().unwrap().is_empty());
    feed.send(minute(3)).await;
    assert_eq!(feed.ack().await.stored, 1);
}

#[tokio::test]
async fn a_slow_store_pushes_back_by_bytes() {
    // A frame of two numbers has 32 bytes: a second is taken while one waits, a third is not.
    let world = World::with(|options| options.limits.max_unacked_bytes = 33);
    world.gate.hold.store(true, SeqCst);
    let mut feed = Feed::open(&world).await;
    for sequence in 1..=6 {
        feed.send(v1::SampleFrame {
            sequence,
            declare: vec![declare(1, "shop/a")],
            series: vec![samples(1, sequence as i64 * 120_000, &[1.0, 2.0])],
            ..Default::default()
        })
        .await;
    }
    for round in 0..3 {
        held(&world, 2).await;
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.gate.held(), 2);
        world.gate.release_backwards();
        assert_eq!(feed.ack().await.sequence, 2 * round + 1);
        assert_eq!(feed.ack().await.stored, 2);
    }
}

#[tokio::test]
async fn thousands_of_refusals_fit_one_ack_and_still_add_up() {
    let world = World::open();
    world.gate.late.store(7, SeqCst);
    let mut feed = Feed::open(&world).await;
    let mut frame = minute(1);
    let unknown = (0..5000).map(|i| samples(100 + i, 0, &[1.0, 2.0]));
    frame.series.extend(unknown);
    feed.send(frame).await;
    let ack = feed.ack().await;
    assert_eq!((ack.stored, ack.late, ack.rejections.len()), (1, 7, 256));
    assert_eq!(
        ack.rejections.iter().map(|r| r.samples).sum::<u64>(),
        10_000
    );
    let last = &ack.rejections[255].reason;
    assert!(last.ends_with("and 4744 more refusals"), "{last}");
}

#[tokio::test]
async fn a_quota_that_refuses_a_frame_is_told_to_a_program_too() {
    let world = World::open();
    *world.gate.refuse.lock().unwrap() = Some(ServeError::Quota(Exceeded {
        tenant: "shop".parse().unwrap(),
        quota: Quota::Samples,
        limit: 1000,
        retry_ms: Some(40),
    }));
    let mut feed = Feed::open(&world).await;
    feed.send(minute(1)).await;
    let error = feed.ack().await.error.unwrap();
    assert_eq!(error.retry_after_ms, 40);
    let quota = v1::QuotaRefusal {
        tenant: "shop".into(),
        quota: "max_samples_per_s".into(),
        limit: 1000,
    };
    assert_eq!(error.quota, Some(quota));
}

#[tokio::test]
async fn a_resumed_session_hears_what_became_of_frames_that_were_under_way() {
    let world = World::open();
    world.gate.hold.store(true, SeqCst);
    let (feed, taken) = resumed(&world, "", "s", 0).await;
    assert_eq!(taken, 0);
    for sequence in 1..=3 {
        feed.send(minute(sequence)).await;
    }
    held(&world, 3).await;
    drop(feed);
    let (mut feed, taken) = resumed(&world, "", "s", 0).await;
    assert_eq!(taken, 3);
    world.gate.release_backwards();
    for sequence in 1..=3 {
        let ack = feed.ack().await;
        assert_eq!((ack.sequence, ack.stored), (sequence, 1));
    }
    let mut next = minute(4);
    next.declare = vec![declare(1, "shop/orders")];
    feed.send(next).await;
    held(&world, 1).await;
    world.gate.release_backwards();
    assert_eq!(feed.ack().await.stored, 1);
    assert_eq!(world.gate.batches.lock().unwrap().len(), 4);
    feed.send(minute(3)).await;
    let told = "3 does not rise: the frame before had 4";
    refused(feed.acks.message().await, Code::InvalidArgument, told);
}

#[tokio::test]
async fn acks_that_were_lost_on_the_way_are_told_again() {
    let world = World::open();
    let (mut feed, _) = resumed(&world, "", "s", 0).await;
    for sequence in 1..=3 {
        feed.send(minute(sequence)).await;
        assert_eq!(feed.ack().await.sequence, sequence);
    }
    drop(feed);
    let (mut feed, taken) = resumed(&world, "", "s", 1).await;
    assert_eq!(taken, 3);
    for sequence in 2..=3 {
        let ack = feed.ack().await;
        assert_eq!((ack.sequence, ack.stored), (sequence, 1));
    }
}

#[tokio::test]
async fn a_session_belongs_to_its_credential_and_to_one_stream_at_a_time() {
    let world = World::guarded();
    let (mut first, _) = resumed(&world, "shop", "s", 0).await;
    first.send(minute(1)).await;
    assert_eq!(first.ack().await.sequence, 1);
    let (_, foreign) = resumed(&world, "bank", "s", 0).await;
    assert_eq!(foreign, 0);
    let (mut second, taken) = resumed(&world, "shop", "s", 1).await;
    assert_eq!(taken, 1);
    refused(
        first.acks.message().await,
        Code::Aborted,
        "another stream has opened this session",
    );
    second.send(minute(2)).await;
    assert_eq!(second.ack().await.sequence, 2);
}

#[tokio::test]
async fn an_opening_stands_alone_and_first_and_has_a_name() {
    let world = World::with(|options| options.limits.sessions = 1);
    let mut full = minute(1);
    full.open = opening("s", 0).open;
    for (frames, part) in [
        (vec![full], "open: it stands in the first frame alone"),
        (vec![minute(1), opening("s", 0)], "open: it stands"),
        (vec![opening("s", 0), opening("s", 0)], "open: it stands"),
        (vec![opening("no name", 0)], "open.session"),
    ] {
        let mut feed = Feed::open(&world).await;
        for frame in frames {
            feed.send(frame).await;
        }
        let told = loop {
            match feed.acks.message().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        refused(told, Code::InvalidArgument, part);
    }
    let (_one, _) = resumed(&world, "", "s", 0).await;
    let mut feed = Feed::open(&world).await;
    feed.send(opening("two", 0)).await;
    let told = "1 sessions of this credential are open";
    refused(feed.acks.message().await, Code::ResourceExhausted, told);
}

#[tokio::test]
async fn frames_behind_one_that_is_pushed_back_do_not_overtake_it() {
    let world = World::open();
    world.gate.hold.store(true, SeqCst);
    let mut feed = Feed::open(&world).await;
    feed.send(minute(1)).await;
    held(&world, 1).await;
    *world.gate.refuse.lock().unwrap() = Some(ServeError::Exhausted {
        what: "the store is behind".into(),
        retry_ms: 30,
    });
    feed.send(minute(2)).await;
    // Taken when the port has seen it.
    while world.gate.spans.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    *world.gate.refuse.lock().unwrap() = None;
    feed.send(minute(3)).await;
    feed.send(minute(4)).await;
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.gate.held(), 1);
    world.gate.release_backwards();
    assert_eq!(feed.ack().await.stored, 1);
    for (sequence, part) in [(2, "is behind"), (3, "frame 2 is"), (4, "frame 2 is")] {
        let ack = feed.ack().await;
        let error = ack.error.unwrap();
        assert_eq!((ack.sequence, error.retry_after_ms), (sequence, 30));
        assert!(error.message.contains(part), "{error:?}");
    }
    world.gate.hold.store(false, SeqCst);
    for sequence in 5..=7 {
        feed.send(minute(sequence)).await;
        assert_eq!(feed.ack().await.stored, 1);
    }
}
