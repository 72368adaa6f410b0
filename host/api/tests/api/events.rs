//! The calendar as it is learned of: acks, repeats, refusals, watches, and nobody else's events.

use crate::world::{World, by, refused, shop_and_bank};
use tidegate_proto::v1;
use tidegate_proto::v1::catalog_client::CatalogClient;
use tidegate_proto::v1::events_client::EventsClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

fn sale(name: &str, start_ms: i64) -> v1::Event {
    v1::Event {
        name: name.into(),
        kind: "campaign".into(),
        start_ms,
        duration_s: 3_600,
        ..Default::default()
    }
}

/// An event with all that an event can have beside a fixed interval.
pub(crate) fn monday() -> v1::Event {
    v1::Event {
        kind: "batch".into(),
        title: "Monday's batch".into(),
        recurrence: Some(v1::Recurrence {
            rrule: "FREQ=WEEKLY;BYDAY=MO".into(),
            time_zone: "Europe/Berlin".into(),
            exdate_ms: vec![5_000],
            rdate_ms: vec![6_000, 7_000],
        }),
        origin: Some(v1::EventOrigin {
            calendar: "batches".into(),
            uid: "1@example.org".into(),
        }),
        ..sale("shop/monday", 1_000)
    }
}

/// A stream of frames, greeted.
struct Report {
    frames: mpsc::Sender<v1::EventFrame>,
    acks: Streaming<v1::EventAck>,
    sequence: u64,
}

impl Report {
    async fn open(world: &World, token: &str) -> Self {
        let (frames, sent) = mpsc::channel(8);
        let mut events = EventsClient::new(world.channel().await);
        let answer = events.report(by(token, ReceiverStream::new(sent))).await;
        let mut acks = answer.unwrap().into_inner();
        let greeting = acks.message().await.unwrap().unwrap();
        assert_eq!(greeting, v1::EventAck::default());
        Self {
            frames,
            acks,
            sequence: 0,
        }
    }

    async fn send(&mut self, put: Vec<v1::Event>, withdraw: &[&str]) -> v1::EventAck {
        self.sequence += 1;
        let frame = v1::EventFrame {
            sequence: self.sequence,
            put,
            withdraw: withdraw.iter().map(ToString::to_string).collect(),
        };
        self.frames.send(frame).await.unwrap();
        let ack = self.acks.message().await.unwrap().unwrap();
        assert_eq!(ack.sequence, self.sequence);
        ack
    }
}

fn effects(ack: &v1::EventAck) -> Vec<(&str, v1::Effect)> {
    let each = ack.effects.iter();
    each.map(|e| (e.name.as_str(), e.effect())).collect()
}

async fn guarded() -> World {
    let world = World::guarded();
    let mut catalog = CatalogClient::new(world.channel().await);
    catalog.apply(by("root", shop_and_bank())).await.unwrap();
    world
}

#[tokio::test]
async fn an_event_is_in_the_catalog_when_its_ack_comes_and_a_repeat_changes_nothing() {
    let world = guarded().await;
    let mut report = Report::open(&world, "shop").await;
    let ack = report
        .send(vec![sale("shop/a", 1_000), sale("shop/b", 2_000)], &[])
        .await;
    assert_eq!(
        effects(&ack),
        [
            ("shop/a", v1::Effect::Created),
            ("shop/b", v1::Effect::Created)
        ]
    );
    let key = v1::ObjectKey {
        kind: v1::ObjectKind::Event.into(),
        name: "shop/b".into(),
    };
    let mut catalog = CatalogClient::new(world.channel().await);
    let request = v1::GetObjectRequest { key: Some(key) };
    catalog.get(by("shop", request)).await.unwrap();

    let ack = report
        .send(vec![sale("shop/a", 1_000), sale("shop/b", 9_000)], &[])
        .await;
    assert_eq!(
        effects(&ack),
        [
            ("shop/a", v1::Effect::Unchanged),
            ("shop/b", v1::Effect::Updated)
        ]
    );
    let ack = report.send(vec![], &["shop/b", "shop/never"]).await;
    assert_eq!(
        effects(&ack),
        [
            ("shop/b", v1::Effect::Deleted),
            ("shop/never", v1::Effect::Unchanged)
        ]
    );
    let again = report.send(vec![], &["shop/b"]).await;
    assert_eq!(effects(&again), [("shop/b", v1::Effect::Unchanged)]);
    assert_eq!(again.generation, ack.generation);
}

#[tokio::test]
async fn a_frame_that_is_refused_changes_nothing_and_does_not_end_the_stream() {
    let world = guarded().await;
    let mut report = Report::open(&world, "shop").await;
    let nameless = v1::Event {
        kind: String::new(),
        ..sale("shop/b", 2_000)
    };
    let ack = report
        .send(vec![sale("shop/a", 1_000), nameless], &[])
        .await;
    let error = ack.error.as_ref().unwrap();
    assert_eq!(
        (error.code, error.retry_after_ms),
        (Code::InvalidArgument as i32, 0)
    );
    assert_eq!(ack.problems[0].field, "put[1].kind");
    let ack = report
        .send(vec![sale("shop/a", 1_000), sale("shop/a", 2_000)], &[])
        .await;
    assert_eq!(ack.problems[0].field, "put[1].name");
    let ack = report.send(vec![], &["nobody"]).await;
    assert_eq!(ack.problems[0].field, "withdraw[0]");
    let ack = report.send(vec![sale("shop/a", 1_000)], &[]).await;
    assert_eq!(
        effects(&ack),
        [("shop/a", v1::Effect::Created)],
        "none of the refused was kept"
    );
}

#[tokio::test]
async fn a_sequence_that_does_not_rise_ends_the_stream() {
    let world = guarded().await;
    let mut report = Report::open(&world, "shop").await;
    report.send(vec![sale("shop/a", 1_000)], &[]).await;
    report
        .frames
        .send(v1::EventFrame {
            sequence: 1,
            ..Default::default()
        })
        .await
        .unwrap();
    refused(
        report.acks.message().await,
        Code::InvalidArgument,
        "does not rise",
    );
}

#[tokio::test]
async fn a_sender_that_ends_ends_the_acks() {
    let world = guarded().await;
    let Report {
        frames, mut acks, ..
    } = Report::open(&world, "shop").await;
    drop(frames);
    assert_eq!(acks.message().await.unwrap(), None);
}

#[tokio::test]
async fn nobody_declares_takes_back_or_sees_the_events_of_another_tenant() {
    let world = guarded().await;
    let mut bank = Report::open(&world, "bank").await;
    bank.send(vec![sale("bank/run", 1_000)], &[]).await;
    let mut shop = Report::open(&world, "shop").await;
    let ack = shop.send(vec![sale("bank/other", 1_000)], &[]).await;
    assert_eq!(ack.error.unwrap().code, Code::PermissionDenied as i32);
    let there = shop.send(vec![], &["bank/run"]).await;
    let absent = shop.send(vec![], &["bank/none"]).await;
    assert_eq!(effects(&there)[0].1, effects(&absent)[0].1);
    assert_eq!(
        bank.send(vec![sale("bank/run", 1_000)], &[]).await.effects[0].effect(),
        v1::Effect::Unchanged
    );

    shop.send(vec![sale("shop/a", 1_000)], &[]).await;
    let mut events = EventsClient::new(world.channel().await);
    let range = v1::UpcomingRequest {
        from_ms: Some(0),
        to_ms: Some(9_000_000),
        tenant: String::new(),
    };
    let answer = events
        .upcoming(by("shop", range.clone()))
        .await
        .unwrap()
        .into_inner();
    let names: Vec<String> = answer
        .occurrences
        .into_iter()
        .map(|o| o.event.unwrap().name)
        .collect();
    assert_eq!(names, ["shop/a"]);
    let foreign = v1::UpcomingRequest {
        tenant: "bank".into(),
        ..range
    };
    refused(
        events.upcoming(by("shop", foreign)).await,
        Code::NotFound,
        "tenant bank",
    );
    let request = v1::WatchEventsRequest {
        tenant: "bank".into(),
    };
    refused(
        events.watch(by("shop", request)).await,
        Code::NotFound,
        "tenant bank",
    );
}

#[tokio::test]
async fn a_watch_tells_the_calendar_and_then_what_changes() {
    let world = guarded().await;
    let mut report = Report::open(&world, "root").await;
    report
        .send(vec![sale("shop/a", 1_000), sale("bank/b", 1_000)], &[])
        .await;
    let mut events = EventsClient::new(world.channel().await);
    let request = v1::WatchEventsRequest::default();
    let mut watch = events
        .watch(by("look", request))
        .await
        .unwrap()
        .into_inner();
    let first = watch.message().await.unwrap().unwrap();
    let names = |m: &v1::WatchEventsResponse| -> Vec<String> {
        m.put.iter().map(|e| e.name.clone()).collect()
    };
    assert_eq!(
        (names(&first), first.complete),
        (vec!["shop/a".to_owned()], true)
    );

    // A change of others wakes the watch and tells it nothing.
    report.send(vec![sale("bank/b", 5_000)], &[]).await;
    world.bump();
    report.send(vec![sale("shop/c", 1_000)], &["shop/a"]).await;
    world.bump();
    let next = watch.message().await.unwrap().unwrap();
    assert_eq!(names(&next), ["shop/c"]);
    assert_eq!(next.withdrawn, ["shop/a"]);
}

#[tokio::test]
async fn a_large_calendar_comes_in_pages_of_which_the_last_says_so() {
    let world = guarded().await;
    let mut report = Report::open(&world, "shop").await;
    let many = (0..450).map(|i| sale(&format!("shop/e{i}"), i)).collect();
    report.send(many, &[]).await;
    let mut events = EventsClient::new(world.channel().await);
    let mut watch = events
        .watch(by("shop", v1::WatchEventsRequest::default()))
        .await
        .unwrap()
        .into_inner();
    let mut pages = vec![];
    loop {
        let page = watch.message().await.unwrap().unwrap();
        pages.push(page.put.len());
        if page.complete {
            break;
        }
    }
    assert_eq!(pages, [200, 200, 50]);
}

#[tokio::test]
async fn a_shutdown_ends_reports_and_watches_as_passing() {
    let mut world = guarded().await;
    let mut report = Report::open(&world, "shop").await;
    let mut events = EventsClient::new(world.channel().await);
    let mut watch = events
        .watch(by("shop", v1::WatchEventsRequest::default()))
        .await
        .unwrap()
        .into_inner();
    watch.message().await.unwrap();
    world.stop();
    refused(report.acks.message().await, Code::Unavailable, "shuts down");
    refused(watch.message().await, Code::Unavailable, "shuts down");
}
