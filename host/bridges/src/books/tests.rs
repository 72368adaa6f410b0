//! The law of the books: what is given out is what was counted.

mod classic;
mod forget;
mod forms;
mod law;
mod open;
mod recent;

use super::*;
use crate::histogram::{Histogram, Layout};
use tidegate_core::distribution::Distribution;
use tidegate_core::sample::Values;
use tidegate_core::units::Signal;

const STEP: i64 = 10_000;

fn terms() -> Terms {
    Terms {
        step: Step::from_secs(10).unwrap(),
        ..Terms::default()
    }
}

fn introduced(name: &str, flow: Flow, feeds: &[(Signal, How)], factor: f64) -> Introduced {
    // `pod/metric/labels`: what names an instance, its metric, a stream.
    let parts: Vec<&str> = name.split('/').collect();
    Introduced {
        key: key_of(name.as_bytes()),
        family: key_of(parts[..2.min(parts.len())].join("/").as_bytes()),
        instance: key_of(parts[0].as_bytes()),
        flow,
        mapped: Mapped {
            api: "shop/pay".parse().unwrap(),
            feeds: feeds.to_vec(),
            factor,
            basis: Basis {
                group: "g".into(),
                metric: parts.get(1).copied().unwrap_or("m").into(),
            },
            why: vec![],
        },
    }
}

fn nothing(_: &SeriesKey) -> Option<Timestamp> {
    None
}

const REQUESTS: [(Signal, How); 1] = [(Signal::Requests, How::Count)];

/// Books with a machine's clock that is the data's.
struct World {
    books: Books,
    entries: Vec<Vec<u8>>,
    given: BTreeMap<(Signal, i64), f64>,
    observed: BTreeMap<i64, Distribution>,
    now: i64,
}

impl World {
    fn new() -> Self {
        Self {
            books: Books::new(terms()),
            entries: vec![],
            given: BTreeMap::new(),
            observed: BTreeMap::new(),
            now: 0,
        }
    }

    fn stream(&mut self, name: &str, flow: Flow, feeds: &[(Signal, How)], factor: f64) -> u32 {
        let told = introduced(name, flow, feeds, factor);
        self.books.introduce(&told, &nothing, self.now).unwrap()
    }

    fn at(&mut self, seconds: f64) -> &mut Self {
        self.now = (seconds * 1000.0) as i64;
        let samples = self.books.due(self.now, self.now);
        self.keep(samples);
        self
    }

    fn keep(&mut self, samples: Vec<SeriesSamples>) {
        for s in samples {
            if let Values::Distributions(all) = &s.values {
                for (t, d) in s.times.iter().zip(all) {
                    self.observed.entry(t.0).or_insert_with(|| d.clone());
                }
            }
            let Values::Numbers(numbers) = &s.values else {
                continue;
            };
            for (t, v) in s.times.iter().zip(numbers) {
                // The first one stands.
                self.given.entry((s.key.signal, t.0)).or_insert(*v);
            }
        }
    }

    /// A point read at `time` seconds, which arrives now.
    fn say(&mut self, id: u32, start: Option<f64>, time: f64, value: f64) -> Fate {
        let ms = |s: f64| (s * 1000.0) as i64;
        let observed = Observed {
            start: start.map(ms),
            time: ms(time),
            value: Some(Value::Number(value)),
        };
        self.books.take(id, observed, self.now, self.now)
    }

    fn drain(&mut self) {
        let entry = self.books.drain();
        if !entry.is_empty() {
            self.entries.push(entry);
        }
    }

    /// The process dies, and its books are made again from the journal.
    fn crash(&mut self) {
        self.drain();
        self.books = Books::new(terms());
        for entry in &self.entries {
            self.books.replay(entry).unwrap();
        }
        let given = self.given.clone();
        let observed = self.observed.clone();
        let newest = |key: &SeriesKey| {
            let of = given.keys().filter(|(signal, _)| *signal == key.signal);
            let of = of.map(|(_, t)| *t);
            let last = observed.keys().filter(|_| key.signal == Signal::Latency);
            of.chain(last.copied()).max().map(|t| Timestamp(t + STEP))
        };
        let again = self.books.recovered(&newest, self.now);
        self.keep(again);
    }

    fn of(&self, signal: Signal) -> Vec<(i64, f64)> {
        let of = self.given.iter().filter(|((s, _), _)| *s == signal);
        of.map(|((_, t), v)| (t / 1000, *v)).collect()
    }
}

#[test]
fn regression_a_first_delta_without_a_start_is_no_overflow() {
    let mut w = World::new();
    let a = w.stream("a/m", Flow::Delta, &REQUESTS, 1.0);
    w.at(100.0);
    assert_eq!(w.say(a, None, 100.0, 5.0), Fate::Counted);
    assert_eq!(w.say(a, None, 105.0, 7.0), Fate::Counted);
    w.at(115.0);
    w.say(a, None, 112.0, 1.0);
    w.at(300.0);
    // What came before it was heard is not known, and its step not given out; the next one is.
    assert_eq!(w.of(Signal::Requests), [(100, 7.0), (110, 1.0)]);
}

#[test]
fn instances_add_up_and_points_are_cut_at_the_edges_of_steps() {
    let mut w = World::new();
    let (a, b) = (
        w.stream("a/m", Flow::Cumulative, &REQUESTS, 1.0),
        w.stream("b/m", Flow::Cumulative, &REQUESTS, 1.0),
    );
    w.at(100.0);
    assert_eq!(w.say(a, None, 100.0, 1000.0), Fate::Baseline);
    assert_eq!(w.say(b, None, 100.0, 5.0), Fate::Baseline);
    for (i, t) in [105.0_f64, 115.0, 125.0, 135.0].into_iter().enumerate() {
        w.at(t + 0.1);
        // 10 a second of one, 2 a second of the other.
        assert_eq!(w.say(a, None, t, 1050.0 + 100.0 * i as f64), Fate::Counted);
        assert_eq!(w.say(b, None, t, 15.0 + 20.0 * i as f64), Fate::Counted);
        assert_eq!(w.say(b, None, t, 15.0 + 20.0 * i as f64), Fate::Duplicate);
    }
    w.at(138.0);
    assert_eq!(
        w.of(Signal::Requests),
        [(100, 120.0), (110, 120.0), (120, 120.0)]
    );
    w.at(300.0);
    // Who fell silent holds nobody up for ever.
    assert_eq!(w.of(Signal::Requests).last(), Some(&(130, 60.0)));
}

#[test]
fn a_restart_of_a_service_is_no_negative_number() {
    let mut w = World::new();
    let a = w.stream("a/m", Flow::Cumulative, &REQUESTS, 1.0);
    w.at(100.0);
    w.say(a, Some(50.0), 100.0, 900.0);
    w.at(110.0);
    w.say(a, Some(50.0), 110.0, 930.0);
    w.at(120.0);
    // It began anew at 115 and counted 7 since.
    assert_eq!(w.say(a, Some(115.0), 120.0, 7.0), Fate::Counted);
    w.at(130.0);
    // Here only the value says it.
    assert_eq!(w.say(a, None, 130.0, 4.0), Fate::Counted);
    w.at(400.0);
    let told = w.of(Signal::Requests);
    assert_eq!(
        told.iter()
            .filter(|(t, _)| *t >= 100)
            .copied()
            .collect::<Vec<_>>(),
        [(100, 30.0), (110, 7.0), (120, 4.0)]
    );
    // Since its start was told and is not long ago, what it counted before is known too.
    assert!((told.iter().map(|(_, n)| n).sum::<f64>() - 941.0).abs() < 1e-9);
}

#[test]
fn the_first_error_of_a_route_counts_although_its_stream_is_new() {
    let mut w = World::new();
    let fine = w.stream("a/m/200", Flow::Cumulative, &REQUESTS, 1.0);
    w.at(1100.0);
    w.say(fine, Some(1.0), 1100.0, 5000.0);
    w.at(1110.0);
    w.say(fine, Some(1.0), 1110.0, 5010.0);
    let failed = w.stream("a/m/500", Flow::Cumulative, &REQUESTS, 1.0);
    // Counted since the process began, long ago; but nothing was there ten seconds before.
    assert_eq!(w.say(failed, Some(1.0), 1110.0, 3.0), Fate::Counted);
    w.at(1300.0);
    // Of an instance that nobody knew, nothing can be said.
    let other = w.stream("b/m/500", Flow::Cumulative, &REQUESTS, 1.0);
    assert_eq!(w.say(other, Some(1.0), 1300.0, 70.0), Fate::Baseline);
    w.at(1400.0);
    assert_eq!(w.of(Signal::Requests), [(1100, 13.0)]);
}

#[test]
fn a_step_of_which_not_every_instance_was_heard_is_not_given_out() {
    let mut w = World::new();
    let (new, old) = (
        w.stream("new/m", Flow::Cumulative, &REQUESTS, 1.0),
        w.stream("old/m", Flow::Cumulative, &REQUESTS, 1.0),
    );
    w.at(1043.0);
    // It began at 1001, and all that it did is known; but another one was there before.
    assert_eq!(w.say(new, Some(1001.0), 1043.0, 42.0), Fate::Counted);
    assert_eq!(w.say(old, Some(7.0), 1043.0, 9000.0), Fate::Baseline);
    w.at(1073.0);
    w.say(new, Some(1001.0), 1073.0, 72.0);
    w.say(old, Some(7.0), 1073.0, 9300.0);
    w.at(1075.5);
    assert_eq!(w.of(Signal::Requests), [(1050, 110.0), (1060, 110.0)]);
    // The first error of a stream that appears among known ones counts wherever it falls.
    let errors = [(Signal::Errors, How::Count)];
    let failed = w.stream("old/m/500", Flow::Cumulative, &errors, 1.0);
    w.at(1076.0);
    assert_eq!(w.say(failed, Some(1074.5), 1076.0, 2.0), Fate::Counted);
    w.at(1400.0);
    assert_eq!(w.of(Signal::Errors), [(1070, 2.0)]);
}

#[test]
fn a_long_silence_is_not_filled() {
    let mut w = World::new();
    let a = w.stream("a/m", Flow::Cumulative, &REQUESTS, 1.0);
    w.at(100.0);
    w.say(a, None, 100.0, 10.0);
    w.at(110.0);
    w.say(a, None, 110.0, 20.0);
    w.at(1000.0);
    assert_eq!(w.say(a, None, 1000.0, 5000.0), Fate::Gap);
    w.at(1010.0);
    w.say(a, None, 1010.0, 5007.0);
    w.at(2000.0);
    assert_eq!(w.of(Signal::Requests), [(100, 10.0), (1000, 7.0)]);
}

#[test]
fn deltas_are_added_once_each_whatever_their_order() {
    let mut w = World::new();
    let a = w.stream("a/m", Flow::Delta, &REQUESTS, 1.0);
    w.at(140.0);
    for (start, time, n) in [
        (110.0, 120.0, 20.0),
        (100.0, 110.0, 10.0),
        (130.0, 140.0, 40.0),
        (120.0, 130.0, 30.0),
    ] {
        assert_eq!(w.say(a, Some(start), time, n), Fate::Counted);
        assert_eq!(w.say(a, Some(start), time, n), Fate::Duplicate);
    }
    w.at(143.0);
    assert_eq!(
        w.of(Signal::Requests),
        [(100, 10.0), (110, 20.0), (120, 30.0), (130, 40.0)]
    );
}

#[test]
fn levels_are_means_that_add_up_and_cpu_seconds_become_cores() {
    let mut w = World::new();
    let (a, b) = (
        w.stream(
            "a/memory",
            Flow::Level,
            &[(Signal::Memory, How::Level)],
            1024.0,
        ),
        w.stream(
            "b/memory",
            Flow::Level,
            &[(Signal::Memory, How::Level)],
            1.0,
        ),
    );
    let cpu = w.stream("a/cpu", Flow::Cumulative, &[(Signal::Cpu, How::Rate)], 1.0);
    for i in 0..5 {
        let t = 100.0 + 10.0 * f64::from(i);
        w.at(t + 1.0);
        w.say(a, None, t, 1.0);
        w.say(a, None, t + 1.0, 3.0);
        // Reported every 20 s only: in between it is what it was.
        if i % 2 == 0 {
            w.say(b, None, t, 100.0 * f64::from(i));
        }
        w.say(cpu, None, t, 2.5 * f64::from(i));
    }
    w.at(144.0);
    assert_eq!(
        w.of(Signal::Memory),
        [(100, 2048.0), (110, 2048.0), (120, 2248.0), (130, 2248.0)]
    );
    assert_eq!(
        w.of(Signal::Cpu),
        [(100, 0.25), (110, 0.25), (120, 0.25), (130, 0.25)]
    );
}

#[test]
fn what_comes_late_goes_into_the_next_step_but_an_hour_is_no_burst() {
    let mut w = World::new();
    let (a, b) = (
        w.stream("a/m", Flow::Delta, &REQUESTS, 1.0),
        w.stream("b/m", Flow::Delta, &REQUESTS, 1.0),
    );
    w.at(110.0);
    w.say(a, Some(100.0), 110.0, 10.0);
    w.at(113.0);
    assert_eq!(w.of(Signal::Requests), [(100, 10.0)]);
    w.at(118.0);
    assert_eq!(w.say(b, Some(105.0), 115.0, 10.0), Fate::Counted);
    assert_eq!(w.say(b, Some(20.0), 95.0, 75.0), Fate::Refused(Why::Late));
    // Of 100 s at one a second, 10 s before the step that is open and all behind them count.
    assert_eq!(w.say(b, Some(15.0), 115.0, 100.0), Fate::Counted);
    w.at(300.0);
    assert_eq!(w.of(Signal::Requests), [(100, 10.0), (110, 25.0)]);
    assert_eq!((w.books.tally().moved, w.books.tally().cut), (2, 1));
}

#[test]
fn a_clock_that_is_ahead_and_values_that_are_none_are_refused() {
    let mut w = World::new();
    let a = w.stream("a/m", Flow::Cumulative, &REQUESTS, 1.0);
    w.at(100.0);
    assert_eq!(w.say(a, None, 800.0, 1.0), Fate::Refused(Why::Ahead));
    assert_eq!(w.say(a, None, 100.0, -1.0), Fate::Refused(Why::NoAmount));
    assert_eq!(
        w.say(a, None, 100.0, f64::NAN),
        Fate::Refused(Why::NoAmount)
    );
    assert_eq!(w.say(99, None, 100.0, 1.0), Fate::Refused(Why::OtherKind));
}

#[test]
fn two_metrics_that_tell_of_the_same_are_not_both_counted() {
    let mut w = World::new();
    w.stream("a/http.server.duration", Flow::Cumulative, &REQUESTS, 1.0);
    // Another instance may be further in its migration; the same one sends both.
    w.stream(
        "b/http.server.request.duration",
        Flow::Cumulative,
        &REQUESTS,
        1.0,
    );
    let mut twice = introduced(
        "a/http.server.request.duration",
        Flow::Cumulative,
        &REQUESTS,
        1.0,
    );
    let error = w.books.introduce(&twice, &nothing, 0).unwrap_err();
    assert!(
        error.contains("of the same instance") && error.contains("twice"),
        "{error}"
    );
    twice.mapped.basis.group = "rule 1".into();
    twice.instance = key_of(b"c");
    let error = w.books.introduce(&twice, &nothing, 0).unwrap_err();
    assert!(error.contains("metrics of `g`"), "{error}");
    // Once the first is silent, the other may.
    assert!(w.books.introduce(&twice, &nothing, 700_000).is_ok());
}

#[test]
fn a_histogram_s_requests_and_latency_agree() {
    let mut w = World::new();
    let feeds = [
        (Signal::Requests, How::Count),
        (Signal::Latency, How::Latency),
    ];
    let a = w.stream("a/m", Flow::Cumulative, &feeds, 1.0);
    let say = |w: &mut World, t: i64, counts: &[u64]| {
        let value = Histogram {
            layout: Layout::Explicit([0.1, 0.5].into()),
            counts: counts.to_vec(),
            sum: Some(1.0),
        };
        let observed = Observed {
            start: None,
            time: t * 1000,
            value: Some(Value::Histogram(Box::new(value))),
        };
        w.books.take(a, observed, w.now, w.now)
    };
    w.at(125.0);
    assert_eq!(say(&mut w, 100, &[7, 7, 7]), Fate::Baseline);
    assert_eq!(say(&mut w, 125, &[12, 9, 8]), Fate::Counted);
    w.now = 400_000;
    let out = w.books.due(w.now, w.now);
    let latency = out
        .iter()
        .find(|s| s.key.signal == Signal::Latency)
        .unwrap();
    let Values::Distributions(d) = &latency.values else {
        panic!()
    };
    w.keep(out.clone());
    let requests = w.of(Signal::Requests);
    assert_eq!(requests.iter().map(|(_, n)| *n as u64).sum::<u64>(), 8);
    for (d, (_, n)) in d.iter().zip(requests.iter().filter(|(_, n)| *n > 0.0)) {
        assert_eq!(d.count(), *n as u64);
    }
    assert!((d.iter().map(|d| d.above(0.5)).sum::<f64>() - 1.0).abs() < 1e-9);
}
