//! Senders that wait at the same time: for one write, for its failure, and for room.

use super::fake::{World, at};
use super::otlp::Request;
use std::pin::pin;
use std::task::{Context, Waker};
use std::thread;
use tidegate_bridges::feed::{Error, Feed, Took};
use tidegate_core::access::Principal;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::units::Signal;

fn send(feed: &Feed, service: &str, t: u64) -> Result<Took, Error> {
    let labels = [("service.name", service), ("tidegate.tenant", "shop")];
    let mut request = Request::default();
    request.counter(&labels, "process.cpu.time", &[], (1000, t), 1.0);
    feed.otlp(&Principal::local(), &request.encode(), at(t))
}

/// Sends of so many services at once, of which none is answered before `then` has run.
fn at_once(
    world: &World,
    feed: &Feed,
    services: usize,
    then: impl FnOnce(),
) -> Vec<Result<Took, Error>> {
    let known = feed.standing().1;
    world.stop_journal(true);
    thread::scope(|scope| {
        let name = |i: usize| format!("s{known}-{i}");
        let threads: Vec<_> = (0..services)
            .map(|i| scope.spawn(move || send(feed, &name(i), 1010)))
            .collect();
        // Who is known has handed its points to the journal.
        while feed.standing().1 < known + services {
            thread::yield_now();
        }
        then();
        world.stop_journal(false);
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

#[test]
fn who_waits_while_somebody_s_write_is_under_way_shares_the_next_one() {
    let world = World::new();
    let feed = world.open();
    let before = world.journal_entries();
    let answers = at_once(&world, &feed, 8, || {});
    assert!(answers.iter().all(|a| a.as_ref().unwrap().accepted == 1));
    // One was under way when the last of the others came, and all that came during it are one more; who
    // came before the first began to write is in that.
    let writes = world.journal_entries() - before;
    assert!((1..=2).contains(&writes), "{writes}");
    let again = world.open();
    assert_eq!(again.standing().1, 8);
}

#[test]
fn a_write_that_fails_fails_all_who_wait_and_who_comes_later() {
    let world = World::new();
    let feed = world.open();
    let answers = at_once(&world, &feed, 4, || world.break_journal());
    assert!(
        answers.iter().all(|a| matches!(a, Err(Error::Store(_)))),
        "{answers:?}"
    );
    assert!(matches!(send(&feed, "late", 1010), Err(Error::Store(_))));
}

#[test]
fn who_found_no_room_sends_again_when_there_is_and_has_lost_nothing() {
    let world = World::new();
    let feed = world.open();
    let answers = at_once(&world, &feed, 4, || world.fill_journal(true));
    let full = |a: &Result<Took, Error>| {
        let told = a.as_ref().unwrap_err().to_string();
        matches!(a, Err(Error::Store(StoreError::Full { .. }))) && told.contains("by itself")
    };
    assert!(answers.iter().all(full), "{answers:?}");
    // Nothing more is taken, so that what waits for room does not grow; and a turn is none of the daemon's end.
    assert!(full(&send(&feed, "late", 1010)));
    assert_eq!(feed.standing().1, 4);
    let (_, why) = feed.turn(at(1300)).unwrap().waiting.unwrap();
    assert!(why.contains("the disk is full"), "{why}");
    assert_eq!(world.journal_entries(), 0);
    world.fill_journal(false);
    let again = send(&feed, "s0-2", 1010).unwrap();
    assert_eq!((again.accepted, again.duplicates), (1, 1));
    // A crash now: what was acknowledged as a duplicate is there, and so is what was sent with it.
    let feed = world.open();
    assert_eq!(feed.standing().1, 4);
    assert_eq!(send(&feed, "late", 1010).unwrap().duplicates, 0);
    world.turn(&feed, 1300);
}

#[test]
fn a_state_that_finds_no_room_is_written_when_there_is() {
    let world = World::new();
    let feed = world.open();
    send(&feed, "a", 1010).unwrap();
    world.turn(&feed, 1300);
    world.fill_journal(true);
    feed.close(at(1300)).unwrap();
    assert!(world.journal_entries() > 1);
    world.fill_journal(false);
    send(&feed, "a", 1310).unwrap();
    // The state alone, which is the entry of the moment it was written at, and the point behind it.
    assert_eq!(world.journal_entries(), 2);
    assert_eq!(world.open().standing().1, 1);
    world.fill_journal(true);
    assert!(world.open().turn(at(1300)).is_ok());
}

/// So many points of one service, a step apart.
fn past(service: &str, points: u64) -> Request {
    let labels = [("service.name", service), ("tidegate.tenant", "shop")];
    let mut request = Request::default();
    for i in 1..=points {
        let (t, used) = (1000 + 10 * i, i as f64);
        request.counter(&labels, "process.cpu.time", &[], (1000, t), used);
    }
    request
}

#[test]
fn where_open_steps_fill_their_memory_senders_are_told_of_it_and_when_to_come_back() {
    let mut world = World::new();
    world.options.terms.max_open = 3000;
    let feed = world.open();
    assert_eq!(
        world.send(&feed, 3000, &past("a", 200)).unwrap().accepted,
        200
    );
    let full = world.send(&feed, 3000, &past("b", 1)).unwrap_err();
    let Error::Full { bytes, retry_ms } = full else {
        panic!("{full:?}")
    };
    assert!(bytes >= 3000 && retry_ms > 0);
    assert!(full.to_string().contains("feeds.memory"), "{full}");
    // What is complete makes room, but not before it is stored.
    world.busy(true);
    assert!(feed.turn(at(3010)).unwrap().waiting.is_some());
    assert!(world.send(&feed, 3010, &past("b", 1)).is_err());
    world.busy(false);
    world.turn(&feed, 3011);
    assert_eq!(world.send(&feed, 3012, &past("b", 1)).unwrap().accepted, 1);
}

#[test]
fn a_request_that_fills_memory_by_itself_is_taken_in_parts_and_counts_once() {
    let mut world = World::new();
    world.options.terms.max_open = 3000;
    let feed = world.open();
    let all = past("a", 80_000);
    let full = world.send(&feed, 900_000, &all).unwrap_err();
    // There was room before it; twice a MiB is the least that it may take.
    assert!(
        matches!(full, Error::Full { bytes, .. } if bytes < 3 << 20),
        "{full:?}"
    );
    world.turn(&feed, 900_003);
    let took = world.send(&feed, 900_004, &all).unwrap();
    assert!(
        took.accepted == 80_000 && took.duplicates > 50_000,
        "{took:?}"
    );
    world.turn(&feed, 900_007);
    let cores = world.numbers("shop/a", Signal::Cpu);
    assert!(cores.len() == 80_000 && cores.values().all(|c| (c - 0.1).abs() < 1e-9));
}

#[test]
fn who_has_patience_is_answered_when_there_is_room_and_not_before() {
    let mut world = World::new();
    world.options.terms.max_open = 4000;
    world.options.patience = std::time::Duration::from_secs(600);
    let feed = world.open();
    world.send(&feed, 3000, &past("a", 200)).unwrap();
    thread::scope(|scope| {
        let waits = scope.spawn(|| world.send(&feed, 3000, &past("b", 1)));
        assert_eq!(feed.standing().1, 1);
        world.turn(&feed, 3010);
        assert_eq!(waits.join().unwrap().unwrap().accepted, 1);
    });
    assert_eq!(feed.standing().1, 2);
}

#[test]
fn a_turn_is_asked_for_early_where_open_steps_take_half_of_their_memory() {
    let is_asked = |feed: &Feed| {
        let mut context = Context::from_waker(Waker::noop());
        pin!(feed.filling()).poll(&mut context).is_ready()
    };
    let mut world = World::new();
    world.options.terms.max_open = 10_000;
    let feed = world.open();
    world.send(&feed, 3000, &past("a", 100)).unwrap();
    assert!(!is_asked(&feed));
    world.send(&feed, 3000, &past("b", 100)).unwrap();
    assert!(is_asked(&feed));
    assert!(!is_asked(&feed), "once is enough");
    world.turn(&feed, 3010);
    world.send(&feed, 3010, &past("c", 10)).unwrap();
    assert!(!is_asked(&feed));
}
