//! What the room does with a departure from the plan: floors that open, last and end.

use super::*;

const HOLD_MS: i64 = 300_000;

fn key() -> (ApiId, Dimension) {
    ("shop/orders".parse().unwrap(), Dimension::Cpu)
}

fn seen(second: i64, need: f64) -> Seen {
    Seen {
        at: Timestamp::from_secs(second),
        need,
        used: 0.8 * need,
        given: 5.0,
    }
}

fn look(floors: &mut Floors, second: i64, need: f64, is_beyond: bool) -> bool {
    let now = Timestamp::from_secs(second);
    floors.see(&key(), seen(second, need), is_beyond, now, HOLD_MS)
}

fn kept(floors: &Floors) -> Option<f64> {
    let (api, dimension) = key();
    floors.of(&api, dimension, HOLD_MS).map(|f| f.seen.need)
}

#[test]
fn a_need_within_the_plan_begins_no_floor() {
    let mut floors = Floors::default();
    assert!(!look(&mut floors, 0, 4.0, false));
    assert!(floors.is_empty());
}

#[test]
fn a_floor_is_the_highest_need_of_the_last_five_minutes_and_ends_with_them() {
    let mut floors = Floors::default();
    look(&mut floors, 0, 8.0, true);
    look(&mut floors, 15, 9.0, true);
    look(&mut floors, 30, 6.0, false);
    look(&mut floors, 45, 4.0, false);
    assert_eq!(kept(&floors), Some(9.0));
    let mut at = |second: i64| {
        floors.expire(Timestamp::from_secs(second), HOLD_MS);
        kept(&floors)
    };
    assert_eq!(at(314), Some(9.0));
    assert_eq!(at(315), Some(6.0));
    assert_eq!(at(330), Some(4.0));
    assert_eq!(at(345), None);
}

#[test]
fn the_same_measure_again_is_no_news() {
    let mut floors = Floors::default();
    assert!(look(&mut floors, 15, 8.0, true));
    assert!(!look(&mut floors, 15, 8.0, true));
}

#[test]
fn floors_come_back_from_a_record() {
    let mut floors = Floors::default();
    look(&mut floors, 0, 8.0, true);
    assert_eq!(floors.records().into_iter().collect::<Floors>(), floors);
}

#[test]
fn where_use_fills_what_is_given_the_requests_say_what_is_needed() {
    let measured = |used| Measured {
        used,
        asked: Some(12.0),
        at: Timestamp(0),
        aim: 0.8,
    };
    let is = |used, want: f64| (need(&measured(used), 10.0) - want).abs() < 1e-12;
    assert!(is(10.0, 15.0));
    assert!(is(6.0, 7.5), "a cost is only learned, a use is measured");
}
