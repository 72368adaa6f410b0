//! What is open: the memory that it takes, and that it may be asked for piece by piece.

use super::*;

/// Books of several apis, of which each signal is fed.
fn many() -> World {
    let mut w = World::new();
    w.at(2000.0);
    for api in 0..7 {
        let instance = format!("i{api}");
        let mut told = |metric: &str, flow, feeds: &[(Signal, How)]| {
            let mut told = introduced(&format!("{instance}/{metric}"), flow, feeds, 1.0);
            told.mapped.api = format!("shop/{api}").parse().unwrap();
            w.books.introduce(&told, &nothing, w.now).unwrap()
        };
        let counter = told("m", Flow::Cumulative, &REQUESTS);
        let level = told("l", Flow::Level, &[(Signal::Memory, How::Level)]);
        let latency = told("h", Flow::Delta, &[(Signal::Latency, How::Latency)]);
        for i in 0..9 {
            let time = 1900.0 + 10.0 * f64::from(i);
            w.say(counter, Some(1890.0), time, f64::from(i * (api + 1)));
            w.say(level, None, time, 5.0);
            let histogram = Histogram {
                layout: Layout::Explicit([0.01, 0.1, 1.0].into()),
                counts: vec![1, 2, 3, 0],
                sum: Some(2.0),
            };
            let observed = Observed {
                start: Some((time * 1000.0) as i64 - 10_000),
                time: (time * 1000.0) as i64,
                value: Some(Value::Histogram(Box::new(histogram))),
            };
            let fate = w.books.take(latency, observed, w.now, w.now);
            assert_eq!(fate, Fate::Counted);
        }
    }
    w
}

#[test]
fn open_steps_take_memory_until_they_are_given_out_and_through_a_restart() {
    let mut w = many();
    let open = w.books.open();
    assert!(open > 7 * 3 * 8 * size_of::<f64>());
    w.crash();
    assert_eq!(w.books.open(), open);
    let entries = w.books.checkpoint();
    let mut again = Books::new(terms());
    entries.iter().for_each(|e| again.replay(e).unwrap());
    assert_eq!(again.open(), open);
    w.at(3000.0);
    assert_eq!(w.books.open(), 0);
}

#[test]
fn what_is_complete_is_the_same_whether_it_is_asked_for_at_once_or_piece_by_piece() {
    let (mut whole, mut pieces) = (many(), many());
    let mut out = vec![];
    let mut next = Some(0);
    while let Some(from) = next {
        next = pieces
            .books
            .due_of(from, 4, (3_000_000, 3_000_000), &mut out);
    }
    assert_eq!(out, whole.books.due(3_000_000, 3_000_000));
    assert!(!out.is_empty());
    assert_eq!(pieces.books.drain(), whole.books.drain());
}

#[test]
fn sums_that_wait_for_the_store_stand_in_a_checkpoint_before_those_that_come_after_it() {
    let mut w = many();
    let waiting = w.books.due(2_000_000, 2_005_000);
    let latencies = |s: &&SeriesSamples| matches!(s.values, Values::Distributions(_));
    assert!(waiting.iter().filter(latencies).count() == 7 && waiting.len() > 7);
    w.books.drain();
    let mut entries = w.books.checkpoint_with(&waiting);
    let later = w.books.due(3_000_000, 3_000_000);
    assert!(!later.is_empty());
    entries.push(w.books.drain());
    let mut again = Books::new(terms());
    entries.iter().for_each(|e| again.replay(e).unwrap());
    assert_eq!(
        again.recovered(&nothing, 3_000_000),
        [waiting, later].concat()
    );
}

#[test]
fn an_account_has_so_many_open_steps_and_what_would_open_more_is_refused() {
    let mut w = World::new();
    let most = steps::MAX_STEPS;
    w.now = 10_000_000_000;
    let a = w.stream("a/m", Flow::Delta, &REQUESTS, 1.0);
    let point = |w: &mut World, step: usize| {
        let time = 10.0 * (step + 2) as f64;
        w.say(a, Some(time - 10.0), time, 1.0)
    };
    // In an order of which each is far from all before it.
    for i in 0..most {
        assert_eq!(point(&mut w, (i * 39_989) % most), Fate::Counted);
    }
    let open = w.books.open();
    assert_eq!(point(&mut w, most), Fate::Refused(Why::Crowded));
    assert_eq!(point(&mut w, 17), Fate::Duplicate);
    let b = w.stream("b/m", Flow::Delta, &REQUESTS, 1.0);
    assert_eq!(
        w.say(b, Some(10.0), 20.0, 1.0),
        Fate::Counted,
        "its step is open"
    );
    w.crash();
    assert_eq!(w.books.open(), open);
    // Once they are given out there is room.
    w.at(10_000_100.0);
    assert_eq!(point(&mut w, most), Fate::Counted);
    w.at(10_000_200.0);
    let told = w.of(Signal::Requests);
    assert_eq!(told.len(), most + 1);
    assert_eq!((told[0], told[most].0), ((10, 2.0), 10 * (most as i64 + 1)));
}
