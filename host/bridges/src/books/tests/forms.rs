//! Journals of version 1, which had one long form of a point, are read on.

use super::super::codec::{VERSION, put_int, put_number};
use super::*;

const TIMES: u8 = 1;
const POINT: u8 = 4;

/// An entry of version 1 with points of the first stream.
fn entry(points: &[(Option<i64>, i64, Option<f64>)]) -> Vec<u8> {
    let mut entry = vec![1, 0, TIMES];
    put_int(&mut entry, 2_000_000);
    put_int(&mut entry, 2_000_000);
    let (mut time_before, mut start_before) = (0, 0);
    for (start, time, value) in points {
        let form = u8::from(value.is_some());
        let told = match start {
            None => 0,
            Some(start) if *start == start_before => 1,
            Some(_) => 2,
        };
        entry.extend([POINT, form | told << 2]);
        put_int(&mut entry, 0);
        put_int(&mut entry, time - time_before);
        if let Some(start) = start.filter(|s| *s != start_before) {
            put_int(&mut entry, start);
            start_before = start;
        }
        if let Some(value) = value {
            put_number(&mut entry, *value);
        }
        time_before = *time;
    }
    entry
}

#[test]
fn a_journal_of_version_1_says_what_it_said() {
    let points = [
        (None, 1_000_000, Some(7.0)),
        (Some(990_000), 1_010_000, Some(12.0)),
        (Some(990_000), 1_025_000, Some(12.5)),
        (Some(1_026_000), 1_030_000, Some(3.0)),
        (None, 1_040_000, None),
    ];
    let mut w = World::new();
    w.at(2000.0);
    let id = w.stream("a/m", Flow::Cumulative, &REQUESTS, 1.0);
    w.drain();
    let mut old = Books::new(terms());
    old.replay(&w.entries[0]).unwrap();
    old.replay(&entry(&points)).unwrap();
    for (start, time, value) in points {
        let value = value.map(Value::Number);
        let observed = Observed { start, time, value };
        w.books.take(id, observed, w.now, w.now);
    }
    let said = w.books.drain();
    assert!(said.len() < entry(&points).len());
    assert_eq!(w.books.checkpoint(), old.checkpoint());
    let mut again = Books::new(terms());
    again.replay(&w.entries[0]).unwrap();
    again.replay(&said).unwrap();
    assert_eq!(again.checkpoint(), old.checkpoint());
    assert_eq!(
        w.books.due(3_000_000, 3_000_000),
        old.due(3_000_000, 3_000_000)
    );
}

#[test]
fn what_a_stream_has_grown_by_needs_a_number_before() {
    let mut w = World::new();
    w.at(2000.0);
    let id = w.stream("a/m", Flow::Cumulative, &REQUESTS, 1.0);
    w.drain();
    w.say(id, None, 1990.0, 5.0);
    w.say(id, None, 1995.0, 6.0);
    w.drain();
    w.say(id, None, 1999.0, 9.0);
    let grown = w.books.drain();
    let mut books = Books::new(terms());
    books.replay(&w.entries[0]).unwrap();
    let problem = books.replay(&grown).unwrap_err().to_string();
    assert!(problem.contains("grown"), "{problem}");
    assert!(Books::new(terms()).replay(&[VERSION + 1, 0]).is_err());
}
