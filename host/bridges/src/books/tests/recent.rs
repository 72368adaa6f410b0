//! What comes again, because an answer was lost, does not count again.

use super::*;

/// A delta stream, of which something came before at 1000 s.
fn deltas() -> (World, u32) {
    let mut w = World::new();
    let a = w.stream("a/m", Flow::Delta, &REQUESTS, 1.0);
    w.at(1000.0);
    w.say(a, Some(990.0), 1000.0, 1.0);
    (w, a)
}

fn total(w: &World) -> f64 {
    w.of(Signal::Requests).iter().map(|(_, n)| n).sum()
}

#[test]
fn a_delta_point_without_a_start_counts_once_however_often_it_is_sent() {
    let (mut w, a) = deltas();
    for time in [1010.0, 1020.0] {
        assert_eq!(w.say(a, None, time, 5.0), Fate::Counted);
        assert_eq!(w.say(a, None, time, 5.0), Fate::Duplicate);
    }
    assert_eq!(w.say(a, None, 1010.0, 5.0), Fate::Duplicate);
    // Where a start is told it says which stretch is meant.
    assert_eq!(w.say(a, Some(1015.0), 1020.0, 1.0), Fate::Counted);
    w.at(1400.0);
    assert!((total(&w) - 12.0).abs() < 1e-9, "{}", total(&w));
}

#[test]
fn of_a_request_that_comes_again_no_point_counts_again_while_its_step_is_open() {
    let (mut w, a) = deltas();
    let say = |w: &mut World, start: Option<f64>| {
        let times = (1..=500).map(|i| 1000.0 + f64::from(i));
        times
            .map(|t| w.say(a, start.map(|s| t - s), t, 1.0))
            .collect::<Vec<_>>()
    };
    let open = w.books.open();
    w.at(1000.0);
    w.now = 1_600_000;
    assert!(say(&mut w, Some(1.0)).iter().all(|f| *f == Fate::Counted));
    for crash in [false, true] {
        if crash {
            w.crash();
            let books = w.books.checkpoint();
            let mut again = Books::new(terms());
            books.iter().for_each(|e| again.replay(e).unwrap());
            assert!(again.sources == w.books.sources && again.open() == w.books.open());
        }
        for start in [Some(1.0), None] {
            assert!(say(&mut w, start).iter().all(|f| *f == Fate::Duplicate));
        }
    }
    // They take memory until their steps are given out, and then but the last few are remembered.
    let recent = |w: &World| w.books.sources[a as usize].as_ref().unwrap().recent.len();
    assert!(w.books.open() > open + 450 * 32 && recent(&w) == 501);
    w.at(1800.0);
    assert!((total(&w) - 501.0).abs() < 1e-9, "{}", total(&w));
    assert!(
        (w.books.open(), recent(&w)) == (0, 32),
        "{} {}",
        w.books.open(),
        recent(&w)
    );
    // Once an account knows them no more, they are late.
    let fates = say(&mut w, Some(1.0));
    assert_eq!(
        (fates[0], fates[499]),
        (Fate::Refused(Why::Late), Fate::Duplicate)
    );
}
