//! Every order of events that a stream can bring.

use super::*;
use crate::ingest::Value;

fn key(name: &str) -> SeriesKey {
    SeriesKey {
        api: format!("shop/{name}"),
        signal: v1::Signal::Requests,
        step_s: 60,
    }
}

fn sample(minute: i64, value: f64) -> Sample {
    Sample {
        start_ms: minute * 60_000,
        value: Value::Number(value),
    }
}

/// A window of that many frames, of a server of before grids.
fn wide(frames: usize) -> Window {
    Window {
        frames,
        bytes: usize::MAX,
        grids: false,
    }
}

fn ack(sequence: u64, stored: u64) -> v1::SampleAck {
    v1::SampleAck {
        sequence,
        stored,
        ..Default::default()
    }
}

#[test]
fn a_series_is_declared_once_per_stream() {
    let mut outbox = Outbox::default();
    outbox.add(&key("a"), sample(0, 1.0));
    outbox.seal();
    outbox.add(&key("a"), sample(1, 2.0));
    outbox.add(&key("b"), sample(1, 2.0));
    outbox.seal();
    assert_eq!(outbox.next_frame(wide(8)).unwrap().declare.len(), 1);
    let second = outbox.next_frame(wide(8)).unwrap();
    let declared: Vec<&str> = second.declare.iter().map(|d| d.api.as_str()).collect();
    assert_eq!(declared, ["shop/b"]);
    assert!(outbox.next_frame(wide(8)).is_none());
}

#[test]
fn a_broken_stream_makes_unacked_frames_due_again_with_their_declarations() {
    let mut outbox = Outbox::default();
    for minute in 0..3 {
        outbox.add(&key("a"), sample(minute, 1.0));
        outbox.seal();
        outbox.next_frame(wide(8)).unwrap();
    }
    outbox.ack(ack(1, 1));
    outbox.disconnected();
    let again = outbox.next_frame(wide(8)).unwrap();
    assert_eq!((again.sequence, again.declare.len()), (2, 1));
    assert_eq!(outbox.next_frame(wide(8)).unwrap().sequence, 3);
    outbox.ack(v1::SampleAck {
        sequence: 2,
        duplicates: 1,
        ..Default::default()
    });
    outbox.ack(ack(3, 1));
    assert_eq!(outbox.unacked(), 0);
    assert_eq!((outbox.totals().stored, outbox.totals().duplicates), (2, 1));
}

#[test]
fn the_window_bounds_what_is_under_way() {
    let mut outbox = Outbox::default();
    for minute in 0..3 {
        outbox.add(&key("a"), sample(minute, 1.0));
        outbox.seal();
    }
    assert!(outbox.next_frame(wide(2)).is_some() && outbox.next_frame(wide(2)).is_some());
    assert!(outbox.next_frame(wide(2)).is_none());
    outbox.ack(ack(1, 1));
    assert_eq!(outbox.next_frame(wide(2)).unwrap().sequence, 3);
}

#[test]
fn a_frame_that_may_be_retried_comes_again_under_a_new_sequence() {
    let mut outbox = Outbox::default();
    outbox.add(&key("a"), sample(0, 1.0));
    outbox.seal();
    outbox.next_frame(wide(1)).unwrap();
    let error = v1::FrameError {
        code: 8,
        message: "slow down".into(),
        retry_after_ms: 50,
        ..Default::default()
    };
    let wait = outbox.ack(v1::SampleAck {
        sequence: 1,
        error: Some(error),
        ..Default::default()
    });
    assert_eq!(wait, Some(50));
    assert_eq!(outbox.next_frame(wide(1)).unwrap().sequence, 2);
}

#[test]
fn a_frame_that_would_fail_again_is_counted_as_rejected_and_not_repeated() {
    let mut outbox = Outbox::default();
    outbox.add(&key("a"), sample(0, 1.0));
    outbox.add(&key("a"), sample(1, 1.0));
    outbox.seal();
    outbox.next_frame(wide(1)).unwrap();
    let error = v1::FrameError {
        code: 5,
        message: "no such api".into(),
        retry_after_ms: 0,
        ..Default::default()
    };
    outbox.ack(v1::SampleAck {
        sequence: 1,
        error: Some(error),
        ..Default::default()
    });
    assert_eq!((outbox.unacked(), outbox.totals().rejected), (0, 2));
    assert_eq!(outbox.totals().rejections[0].reason, "no such api");
}

#[test]
fn a_regular_column_carries_no_instants_and_a_gap_does() {
    let mut outbox = Outbox::default();
    [0, 1, 2]
        .into_iter()
        .for_each(|m| outbox.add(&key("a"), sample(m, 1.0)));
    [0, 2]
        .into_iter()
        .for_each(|m| outbox.add(&key("b"), sample(m, 1.0)));
    outbox.seal();
    let frame = outbox.next_frame(wide(1)).unwrap();
    let deltas = |i: usize| frame.series[i].columns.as_ref().unwrap().delta_ms.clone();
    assert!(deltas(0).is_empty());
    assert_eq!(deltas(1), [120_000]);
}

/// Three frames, all sent on a stream that then breaks.
fn broken() -> Outbox {
    let mut outbox = Outbox::default();
    for minute in 0..3 {
        outbox.add(&key("a"), sample(minute, 1.0));
        outbox.seal();
        outbox.next_frame(wide(8)).unwrap();
    }
    outbox.ack(ack(1, 1));
    outbox.disconnected();
    outbox
}

#[test]
fn a_resumed_stream_sends_nothing_that_was_taken_and_waits_for_its_acks() {
    let mut outbox = broken();
    let open = outbox.opening("s").open.unwrap();
    assert_eq!((open.session.as_str(), open.heard), ("s", 1));
    outbox.resumed(2);
    assert_eq!(outbox.under_way(), 1);
    let again = outbox.next_frame(wide(8)).unwrap();
    assert_eq!((again.sequence, again.declare.len()), (3, 1));
    assert!(outbox.next_frame(wide(8)).is_none());
    outbox.ack(ack(2, 1));
    outbox.ack(ack(3, 1));
    assert_eq!((outbox.unacked(), outbox.bytes()), (0, 0));
    assert_eq!((outbox.totals().stored, outbox.totals().duplicates), (3, 0));
}

#[test]
fn a_server_that_forgot_the_session_gets_everything_without_an_ack_again() {
    let mut outbox = broken();
    outbox.resumed(0);
    let sent: Vec<u64> = std::iter::from_fn(|| outbox.next_frame(wide(8)))
        .map(|f| f.sequence)
        .collect();
    assert_eq!(sent, [2, 3]);
}

#[test]
fn a_new_life_of_a_session_goes_on_behind_the_numbers_of_the_last() {
    let mut outbox = Outbox::default();
    outbox.resumed(41);
    outbox.add(&key("a"), sample(0, 1.0));
    outbox.seal();
    assert_eq!(outbox.next_frame(wide(8)).unwrap().sequence, 42);
}

#[test]
fn the_window_bounds_bytes_too_and_lets_one_frame_through_whatever_its_size() {
    let mut outbox = Outbox::default();
    for minute in 0..3 {
        outbox.add(&key("a"), sample(minute, 1.0));
        outbox.add(&key("b"), sample(minute, 1.0));
        outbox.seal();
    }
    assert_eq!((outbox.bytes(), outbox.samples()), (96, 6));
    let narrow = Window {
        bytes: 33,
        ..wide(8)
    };
    assert!(outbox.next_frame(narrow).is_some() && outbox.next_frame(narrow).is_some());
    assert!(outbox.next_frame(narrow).is_none());
    outbox.disconnected();
    let none = Window { bytes: 0, ..narrow };
    assert!(outbox.next_frame(none).is_some() && outbox.next_frame(none).is_none());
}

#[test]
fn the_oldest_frame_that_is_not_under_way_is_dropped() {
    let mut outbox = Outbox::default();
    for minute in 0..3 {
        for n in 0..=minute {
            outbox.add(&key("a"), sample(10 * minute + n, 1.0));
        }
        outbox.seal();
    }
    outbox.next_frame(wide(1)).unwrap();
    assert_eq!(outbox.drop_oldest(), 2);
    assert_eq!(
        (outbox.unacked(), outbox.samples(), outbox.bytes()),
        (2, 4, 64)
    );
    assert_eq!((outbox.drop_oldest(), outbox.drop_oldest()), (3, 0));
}

#[test]
fn a_server_that_tells_terms_gets_grids() {
    let greeting = v1::SampleAck {
        max_unacked: 3,
        terms: Some(v1::StreamTerms {
            max_unacked_bytes: 1000,
            ..v1::StreamTerms::default()
        }),
        ..v1::SampleAck::default()
    };
    let window = Window::of(&greeting);
    assert_eq!((window.frames, window.bytes, window.grids), (3, 1000, true));
    assert!(!Window::of(&v1::SampleAck::default()).grids);
    let mut outbox = Outbox::default();
    outbox.add(&key("a"), sample(0, 1.0));
    outbox.add(&key("b"), sample(0, 7.0));
    outbox.seal();
    let frame = outbox.next_frame(window).unwrap();
    assert_eq!((frame.series.len(), frame.declare.len()), (0, 2));
    assert_eq!(frame.grids[0].counts, [1, 7]);
}

#[test]
fn nothing_overtakes_a_frame_that_was_pushed_back() {
    let mut outbox = Outbox::default();
    for minute in 0..5 {
        outbox.add(&key("a"), sample(minute, 1.0));
        outbox.seal();
    }
    let busy = |sequence| v1::SampleAck {
        sequence,
        error: Some(v1::FrameError {
            code: 8,
            retry_after_ms: 5,
            ..Default::default()
        }),
        ..Default::default()
    };
    let next = |outbox: &mut Outbox| {
        let frame = outbox.next_frame(wide(3))?;
        let start_ms = frame.series[0].columns.as_ref().unwrap().start_ms;
        Some((frame.sequence, start_ms / 60_000))
    };
    let sent: Vec<_> = std::iter::from_fn(|| next(&mut outbox)).collect();
    assert_eq!(sent, [(1, 0), (2, 1), (3, 2)]);
    assert_eq!(outbox.ack(busy(1)), Some(5));
    assert_eq!(next(&mut outbox), None);
    assert_eq!(outbox.ack(busy(2)), Some(5));
    assert_eq!(next(&mut outbox), None);
    assert_eq!(outbox.ack(ack(3, 1)), None);
    let sent: Vec<_> = std::iter::from_fn(|| next(&mut outbox)).collect();
    assert_eq!(sent, [(4, 0), (5, 1), (6, 3)]);
    // The line breaks while one is to be sent again: those behind it get new numbers too.
    assert_eq!(outbox.ack(busy(4)), Some(5));
    outbox.disconnected();
    outbox.resumed(6);
    let sent: Vec<_> = std::iter::from_fn(|| next(&mut outbox)).collect();
    assert_eq!(sent, [(7, 0), (8, 1), (9, 3)]);
}
