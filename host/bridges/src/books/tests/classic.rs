//! Classic histograms: however their series arrive, what they counted is what is given out.

use super::*;
use crate::books::classic::MAX_WAITING;
use proptest::prelude::*;

const LATENCY: [(Signal, How); 1] = [(Signal::Latency, How::Latency)];

/// Counts by bucket (up to 0.1 s, up to 1 s, above) as the slices of a scrape.
fn slices(counts: [u64; 3]) -> Vec<Slice> {
    let [a, b, c] = counts.map(|n| n as f64);
    vec![
        Slice::Until(f64::INFINITY, a + b + c),
        Slice::Until(0.1, a),
        Slice::Until(1.0, a + b),
        Slice::Sum(a * 0.05 + b * 0.5 + c * 2.0),
    ]
}

impl World {
    /// Slices read at `time` seconds, which arrive now, in one request.
    fn scrape(&mut self, id: u32, start: Option<f64>, time: f64, slices: &[Slice]) -> Vec<Fate> {
        let ms = |s: f64| (s * 1000.0) as i64;
        let mut fates = vec![];
        for slice in slices {
            let observed = Observed {
                start: start.map(ms),
                time: ms(time),
                value: Some(Value::Slice(Box::new(*slice))),
            };
            fates.push(self.books.take(id, observed, self.now, self.now));
        }
        self.books.settle(self.now, self.now);
        fates
    }

    fn observations(&self) -> u64 {
        self.observed.values().map(Distribution::count).sum()
    }

    fn latency(&self) -> Distribution {
        let mut all = Distribution::default();
        self.observed.values().for_each(|d| all.merge(d));
        all
    }
}

fn world() -> (World, u32) {
    let mut w = World::new();
    w.at(1000.0);
    let id = w.stream("a/x_bucket", Flow::Cumulative, &LATENCY, 1.0);
    (w, id)
}

#[test]
fn a_classic_histogram_is_the_distribution_that_it_would_be_in_one_piece() {
    let (mut w, id) = world();
    let whole = w.stream("b/x", Flow::Cumulative, &LATENCY, 1.0);
    let mut other = World::new();
    other.at(1000.0);
    let alone = other.stream("b/x", Flow::Cumulative, &LATENCY, 1.0);
    w.books.forget(&[whole]);
    for i in 0..6_u64 {
        let t = 1000.0 + 15.0 * i as f64;
        let counts = [7 * i, 3 * i, i];
        w.at(t);
        other.at(t);
        let mut parts = slices(counts);
        parts.rotate_left(i as usize % 4);
        // In two requests, as two queues of a sender would send it.
        let cut = if i == 0 { 4 } else { 2 };
        w.scrape(id, None, t, &parts[..cut]);
        w.scrape(id, None, t, &parts[cut..]);
        let histogram = Histogram {
            layout: Layout::Explicit([0.1, 1.0].into()),
            counts: counts.to_vec(),
            sum: Some(0.35 * i as f64 + 1.5 * i as f64 + 2.0 * i as f64),
        };
        let observed = Observed {
            start: None,
            time: (t * 1000.0) as i64,
            value: Some(Value::Histogram(Box::new(histogram))),
        };
        other.books.take(alone, observed, other.now, other.now);
    }
    w.at(2000.0);
    other.at(2000.0);
    assert_eq!(w.observations(), 55);
    let (cut, one) = (w.latency(), other.latency());
    assert_eq!((&cut.buckets, &cut.above), (&one.buckets, &one.above));
    assert!((cut.sum - one.sum).abs() < 1e-9);
    assert_eq!(cut.above, [(0.1, 20), (1.0, 5)]);
}

#[test]
fn a_restart_is_seen_for_the_histogram_as_a_whole() {
    let (mut w, id) = world();
    for (t, counts) in [
        (1000.0, [50, 10, 2]),
        (1015.0, [60, 10, 2]),
        // Started anew: more slow ones than before, and fewer quick ones.
        (1030.0, [5, 30, 4]),
    ] {
        w.at(t);
        w.scrape(id, None, t, &slices(counts));
    }
    w.at(2000.0);
    assert_eq!(w.observations(), 10 + 39);
    assert_eq!(w.latency().above, [(0.1, 34), (1.0, 4)]);
}

#[test]
fn a_bound_that_is_missing_costs_detail_and_no_count() {
    let (mut w, id) = world();
    let mut t = 1000.0;
    let mut say = |w: &mut World, n: u64, without: Option<usize>| {
        let mut parts = slices([n, n, n]);
        if let Some(i) = without {
            parts.remove(i);
        }
        w.at(t);
        w.scrape(id, None, t, &parts);
        t += 15.0;
    };
    say(&mut w, 10, None);
    // From now on the bound of 0.1 s is gone; the fourth scrape without it is proof enough.
    for n in 11..=17 {
        say(&mut w, n, Some(1));
    }
    // And back again.
    for n in 18..=24 {
        say(&mut w, n, None);
    }
    w.at(3000.0);
    assert_eq!(w.observations(), 3 * 14);
}

#[test]
fn a_scrape_that_is_cut_after_its_first_request_is_put_together_from_the_next_one_on() {
    let (mut w, id) = world();
    for (i, n) in [4, 8, 12].into_iter().enumerate() {
        let t = 1000.0 + 15.0 * i as f64;
        w.at(t);
        let parts = slices([n, n, 0]);
        // The first request looks whole, since nobody knows of more.
        let fates = w.scrape(id, None, t, &parts[..2]);
        assert_eq!(fates, [Fate::Counted; 2]);
        let fates = w.scrape(id, None, t, &parts[2..]);
        let news = if i == 0 {
            Fate::Baseline
        } else {
            Fate::Counted
        };
        assert_eq!(fates, [news; 2]);
    }
    w.at(2000.0);
    // Of the first interval only the bound of the first request is known.
    assert_eq!(w.latency().above.first(), Some(&(0.1, 8)));
    assert_eq!(w.observations(), 16);
}

#[test]
fn slices_that_make_no_sense_are_refused_and_there_is_an_end_to_them() {
    let (mut w, id) = world();
    for bad in [
        Slice::Until(f64::NAN, 1.0),
        Slice::Until(1.0, -1.0),
        Slice::Until(1.0, f64::NAN),
        Slice::Sum(f64::INFINITY),
    ] {
        assert_eq!(
            w.scrape(id, None, 1000.0, &[bad]),
            [Fate::Refused(Why::NoAmount)]
        );
    }
    let many: Vec<_> = (0..600).map(|i| Slice::Until(f64::from(i), 1.0)).collect();
    let fates = w.scrape(id, None, 1000.0, &many);
    assert_eq!(fates[511], Fate::Counted);
    assert_eq!(fates[512], Fate::Refused(Why::TooFine));
    // Nothing has an end, so nothing is weighed, and what waits does not pile up.
    for i in 1..50_u32 {
        let t = 1000.0 + f64::from(i);
        w.at(t);
        w.scrape(id, None, t, &[Slice::Until(1.0, 1.0)]);
    }
    let waiting = w.books.sources[id as usize].as_ref().unwrap();
    assert!(waiting.scrapes.as_ref().unwrap().waiting.len() <= 4);
}

#[test]
fn a_backfill_of_many_instants_series_by_series_is_as_fine_as_it_was_scraped() {
    let (mut w, id) = world();
    w.at(1600.0);
    let mut parts: Vec<(f64, Slice)> = vec![];
    for slice in 0..4 {
        for i in 0..60_u64 {
            let counts = [i * i, i, 0];
            parts.push((1000.0 + 10.0 * i as f64, slices(counts)[slice]));
        }
    }
    for (t, slice) in parts {
        let observed = Observed {
            start: None,
            time: (t * 1000.0) as i64,
            value: Some(Value::Slice(Box::new(slice))),
        };
        w.books.take(id, observed, w.now, w.now);
    }
    w.books.settle(w.now, w.now);
    w.at(2500.0);
    // In each step, what came between two scrapes.
    let each: Vec<u64> = w.observed.values().map(Distribution::count).collect();
    let expected: Vec<u64> = (0..59).map(|i| 2 * i + 2).collect();
    assert_eq!(each, expected);
}

#[test]
fn instants_without_number_that_are_never_whole_neither_stay_nor_take_long() {
    // Of the bucket without an end alone; and of the end alone, with a bucket at the newest instant that has none.
    for bound in [0.1, f64::INFINITY] {
        let (mut w, id) = world();
        w.at(1100.0);
        let now = w.now;
        for i in 0..100_000 {
            let bound = if i == 99_999 { 0.1 } else { bound };
            let observed = Observed {
                start: None,
                time: now - 100_000 + i,
                value: Some(Value::Slice(Box::new(Slice::Until(bound, 1.0)))),
            };
            w.books.take(id, observed, now, now);
        }
        w.books.settle(now, now);
        w.drain();
        let waiting = |w: &World| {
            let source = w.books.sources[id as usize].as_ref().unwrap();
            source.scrapes.as_ref().unwrap().waiting.len()
        };
        assert!(waiting(&w) <= MAX_WAITING, "{}", waiting(&w));
        let kept: usize = w.books.checkpoint().iter().map(Vec::len).sum();
        assert!(kept < 2000, "{kept}");
        let live = w.books.sources.clone();
        w.crash();
        assert_eq!(w.books.sources, live);
    }
}

#[test]
fn slices_that_waited_over_a_restart_are_forgotten_with_their_stream() {
    let (mut w, id) = world();
    w.scrape(id, None, 1000.0, &slices([1, 1, 1]));
    w.scrape(id, None, 1015.0, &slices([2, 2, 2])[..2]);
    let mut books = Books::new(terms());
    for entry in w.books.checkpoint() {
        books.replay(&entry).unwrap();
    }
    books.recovered(&nothing, w.now);
    let later = w.now + 3 * FORGET_MS;
    books.due(later, later);
    assert!(books.sources.is_empty());
    books.settle(later, later);
    assert_eq!(books.tally().cut, 0);
}

#[test]
fn what_is_told_once_of_a_scrape_is_not_told_with_each_slice() {
    let (mut w, id) = world();
    w.scrape(id, None, 1000.0, &[Slice::Until(0.1, 0.0)]);
    w.books.drain();
    w.scrape(id, None, 1015.0, &[Slice::Until(0.1, 1.0)]);
    let one = w.books.drain().len();
    w.scrape(id, None, 1030.0, &[Slice::Until(0.1, 2.0), Slice::Sum(3.0)]);
    let two = w.books.drain().len();
    // What it is, whose, which of them, and the number; no time.
    assert!((1..=5).contains(&(two - one)), "{one} {two}");
}

#[derive(Debug, Clone)]
enum Do {
    /// Seconds since the last scrape, counted since by bucket, which slice is missing, where it is
    /// cut into two requests.
    Scrape(u8, [u8; 3], usize, usize),
    Wait(u8),
    Restart,
    Crash,
    Checkpoint,
}

fn doings() -> impl Strategy<Value = Vec<Do>> {
    let one = prop_oneof![
        12 => (1..25_u8, any::<[u8; 3]>(), 0..9_usize, 0..5_usize)
            .prop_map(|(dt, n, missing, cut)| Do::Scrape(dt, n, missing, cut)),
        3 => (1..30_u8).prop_map(Do::Wait),
        1 => Just(Do::Restart),
        1 => Just(Do::Crash),
        1 => Just(Do::Checkpoint),
    ];
    prop::collection::vec(one, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_observed_is_given_out_whatever_is_missing_on_the_way(doings in doings()) {
        let (mut w, id) = world();
        let (mut time, mut counts, mut start) = (1000.0, [0_u64; 3], None);
        w.scrape(id, None, time, &slices(counts));
        let mut counted = 0;
        // Scrapes after which nothing waits any more.
        let settled = |w: &mut World, time: &mut f64, counts, start| {
            for _ in 0..6 {
                *time += 1.0;
                let now = (w.now as f64 / 1000.0).max(*time);
                w.at(now);
                w.scrape(id, start, *time, &slices(counts));
                w.drain();
            }
        };
        for doing in doings {
            match doing {
                Do::Scrape(dt, more, missing, cut) => {
                    time += f64::from(dt);
                    for (n, more) in counts.iter_mut().zip(more) {
                        *n += u64::from(more);
                        counted += u64::from(more);
                    }
                    let now = (w.now as f64 / 1000.0).max(time);
                    w.at(now);
                    let mut parts = slices(counts);
                    // One bound always stays, or nothing would be known of latency.
                    if missing == 1 || missing == 3 {
                        parts.remove(missing);
                    }
                    let (first, second) = parts.split_at(cut.min(parts.len()));
                    w.scrape(id, start, time, first);
                    w.drain();
                    w.scrape(id, start, time, second);
                }
                Do::Wait(dt) => {
                    let now = w.now as f64 / 1000.0 + f64::from(dt);
                    w.at(now);
                }
                Do::Restart => {
                    settled(&mut w, &mut time, counts, start);
                    start = Some(time);
                    counts = [0; 3];
                }
                Do::Crash => w.crash(),
                Do::Checkpoint => {
                    w.drain();
                    w.entries = w.books.checkpoint();
                }
            }
            w.drain();
        }
        settled(&mut w, &mut time, counts, start);
        let end = w.now as f64 / 1000.0 + 1000.0;
        w.at(end);
        prop_assert_eq!(w.books.tally().cut, 0);
        prop_assert_eq!(w.observations(), counted);
    }
}
