//! Pods come and go, and what is kept of those that went does not add up.

use super::*;

const HOUR: i64 = 3_600_000;

/// Books of which everything is noted, and what was given out, by api.
struct Kept {
    books: Books,
    entries: Vec<Vec<u8>>,
    given: BTreeMap<SeriesKey, (i64, f64)>,
}

impl Kept {
    fn new() -> Self {
        Self {
            books: Books::new(terms()),
            entries: vec![],
            given: BTreeMap::new(),
        }
    }

    /// A pod that has an api of its own.
    fn say(&mut self, pod: &str, now: i64, n: f64) -> Fate {
        let mut told = introduced(&format!("{pod}/m"), Flow::Cumulative, &REQUESTS, 1.0);
        told.mapped.api = format!("shop/{pod}").parse().unwrap();
        let given = &self.given;
        let newest = |key: &SeriesKey| given.get(key).map(|(t, _)| Timestamp(*t));
        let id = self.books.introduce(&told, &newest, now).unwrap();
        let observed = Observed {
            start: None,
            time: now,
            value: Some(Value::Number(n)),
        };
        self.books.take(id, observed, now, now)
    }

    fn keep(&mut self, samples: Vec<SeriesSamples>) {
        for s in samples {
            let of = self.given.entry(s.key.clone()).or_insert((i64::MIN, 0.0));
            let Values::Numbers(numbers) = &s.values else {
                panic!()
            };
            for (t, n) in s.times.iter().zip(numbers) {
                if t.0 >= of.0 {
                    *of = (t.0 + STEP, of.1 + n);
                }
            }
        }
    }

    fn turn(&mut self, now: i64) {
        let due = self.books.due(now, now);
        self.keep(due);
        self.entries.push(self.books.drain());
        self.entries.retain(|e| !e.is_empty());
    }

    fn replayed(&self) -> Books {
        let mut books = Books::new(terms());
        self.entries.iter().for_each(|e| books.replay(e).unwrap());
        books
    }

    /// What is noted leads to the same accounts under the same numbers.
    fn agree(&self) {
        let (replayed, books) = (self.replayed(), &self.books);
        assert!(replayed.accounts == books.accounts);
        assert_eq!(replayed.by_series, books.by_series);
        assert_eq!(replayed.free_accounts, books.free_accounts);
        assert_eq!(replayed.by_key, books.by_key);
    }

    fn restart(&mut self, now: i64) {
        self.books = self.replayed();
        let given = self.given.clone();
        let newest = |key: &SeriesKey| given.get(key).map(|(t, _)| Timestamp(*t));
        let again = self.books.recovered(&newest, now);
        self.keep(again);
    }

    fn of(&self, pod: &str) -> f64 {
        let key = SeriesKey {
            api: format!("shop/{pod}").parse().unwrap(),
            signal: Signal::Requests,
        };
        self.given.get(&key).map_or(0.0, |(_, n)| *n)
    }
}

/// A day in which five pods are replaced every ten minutes, beside one that stays.
fn a_day(kept: &mut Kept, mut each: impl FnMut(&mut Kept, i64)) {
    for minute in 0..24 * 60 {
        let now = HOUR + minute * 60_000;
        kept.say("stays", now, 60.0 * minute as f64);
        for i in 0..5 {
            let pod = format!("pod-{}-{i}", minute / 10);
            kept.say(&pod, now, 10.0 * (minute % 10) as f64);
        }
        kept.turn(now + 1000);
        each(kept, now);
    }
}

#[test]
fn accounts_of_pods_that_went_are_closed_and_a_replay_comes_to_the_same_books() {
    let mut kept = Kept::new();
    let (mut most, mut largest) = (0, 0);
    a_day(&mut kept, |kept, _| {
        most = most.max(kept.books.accounts());
        largest = largest.max(kept.books.accounts.len());
    });
    // Those of an hour and a quarter, and of the ten minutes that they lived.
    assert!(
        most <= 5 * 9 + 1 && largest <= 5 * 9 + 1,
        "{most} of {largest}"
    );
    kept.agree();
    // What is noted behind a checkpoint names the numbers that were free in it.
    kept.entries = kept.books.checkpoint();
    let now = 26 * HOUR;
    for i in 0..20 {
        assert_eq!(kept.say(&format!("late-{i}"), now, 1.0), Fate::Baseline);
    }
    kept.turn(now + 1000);
    kept.agree();
    kept.turn(30 * HOUR);
    assert_eq!((kept.books.accounts(), kept.books.accounts.len()), (0, 0));
    // What the day counted was given out, but for its first step.
    assert!(
        (kept.of("stays") - 60.0 * 1439.0).abs() < 1e-6,
        "{}",
        kept.of("stays")
    );
    assert!((kept.of("pod-77-3") - 90.0).abs() < 1e-6);
}

#[test]
fn a_daemon_that_is_started_anew_every_half_hour_forgets_too() {
    let mut kept = Kept::new();
    let mut most = 0;
    a_day(&mut kept, |kept, now| {
        if now % (HOUR / 2) == 0 {
            kept.restart(now + 20_000);
        }
        most = most.max(kept.books.accounts());
    });
    assert!(most <= 5 * 11 + 1, "{most}");
    kept.turn(26 * HOUR);
    assert!(
        (kept.of("stays") - 60.0 * 1439.0).abs() < 1e-6,
        "{}",
        kept.of("stays")
    );
}

#[test]
fn while_the_daemon_is_down_nobody_falls_silent() {
    let mut kept = Kept::new();
    kept.say("a", HOUR, 1.0);
    kept.turn(HOUR + 1000);
    kept.restart(100 * HOUR);
    kept.turn(100 * HOUR + 1000);
    assert_eq!(kept.books.streams(), 1);
    // Nor does a clock that went back make anybody heard in the future.
    kept.entries = kept.books.checkpoint();
    kept.restart(50 * HOUR);
    kept.turn(50 * HOUR + 2 * HOUR);
    assert_eq!((kept.books.streams(), kept.books.accounts()), (0, 0));
}

#[test]
fn a_step_that_the_end_of_the_daemon_cut_through_waits_for_those_who_were_not_heard_in_it() {
    let mut kept = Kept::new();
    let say = |kept: &mut Kept, instance: &str, now: i64, n: f64| {
        let told = introduced(&format!("{instance}/m"), Flow::Cumulative, &REQUESTS, 1.0);
        let id = kept.books.introduce(&told, &nothing, now).unwrap();
        let observed = Observed {
            start: None,
            time: now,
            value: Some(Value::Number(n)),
        };
        kept.books.take(id, observed, now, now)
    };
    let at = |s: i64| HOUR + s * 1000;
    for i in 0..20 {
        say(&mut kept, "a", at(10 * i), 10.0 * i as f64);
        say(&mut kept, "b", at(10 * i + 1), 10.0 * i as f64);
        kept.turn(at(10 * i + 3));
    }
    // One has told of the next steps, and the other has not, when it ends; and again a moment after it is back.
    say(&mut kept, "a", at(210), 210.0);
    kept.turn(at(211));
    for back in [at(400), at(401)] {
        kept.restart(back);
        kept.turn(back);
    }
    say(&mut kept, "a", at(402), 402.0);
    say(&mut kept, "b", at(403), 402.0);
    for i in 41..70 {
        say(&mut kept, "a", at(10 * i), 10.0 * i as f64);
        say(&mut kept, "b", at(10 * i + 1), 10.0 * i as f64);
        kept.turn(at(10 * i + 3));
    }
    kept.turn(at(1000));
    assert_eq!(kept.books.tally().cut + kept.books.tally().moved, 0);
    // All that both have counted, but for the step of which not everything was heard.
    assert!((kept.of("pay") - 1361.0).abs() < 1e-6, "{}", kept.of("pay"));
}

#[test]
fn who_comes_back_after_his_account_was_closed_goes_on_where_the_store_is() {
    let mut kept = Kept::new();
    for i in 0..10_i32 {
        kept.say("a", HOUR + i64::from(i) * 10_000, f64::from(i));
        kept.turn(HOUR + i64::from(i) * 10_000 + 3_000);
    }
    kept.turn(4 * HOUR);
    assert_eq!(kept.books.accounts(), 0);
    assert!((kept.of("a") - 9.0).abs() < 1e-9);
    for i in 0..10_i32 {
        kept.say("a", 5 * HOUR + i64::from(i) * 10_000, f64::from(100 + i));
    }
    kept.turn(6 * HOUR);
    assert!((kept.of("a") - 18.0).abs() < 1e-9, "{}", kept.of("a"));
}

/// Looked for one by one in the account of their api, they would take a minute and more.
#[test]
fn many_streams_of_one_api_are_forgotten_at_once_and_a_replay_comes_to_the_same_books() {
    let mut kept = Kept::new();
    let say = |kept: &mut Kept, instance: u32, stream: u32, now: i64| {
        let name = format!("i{instance}/m/{stream}");
        let told = introduced(&name, Flow::Delta, &REQUESTS, 1.0);
        let id = kept.books.introduce(&told, &nothing, now).unwrap();
        let observed = Observed {
            start: Some(now - STEP),
            time: now,
            value: Some(Value::Number(1.0)),
        };
        assert_eq!(kept.books.take(id, observed, now, now), Fate::Counted);
        id
    };
    for stream in 0..50_000 {
        say(&mut kept, stream % 100, stream, HOUR);
    }
    kept.turn(HOUR + 3000);
    // Of one instance all go on, of another one does.
    let stay = |stream: &u32| stream % 100 == 7 || *stream == 20_042;
    for stream in (0..50_000).filter(stay) {
        say(&mut kept, stream % 100, stream, 2 * HOUR);
    }
    kept.turn(3 * HOUR);
    let account = &kept.books.accounts[0];
    assert_eq!((account.sources.len(), account.instances.len()), (501, 2));
    assert!(account.sources.is_sorted());
    assert_eq!(
        (kept.books.streams(), kept.books.sources.len()),
        (501, 49_908)
    );
    kept.agree();
    // The lowest numbers are given first, and those at the end were given back.
    let anew: Vec<_> = (0..10).map(|i| say(&mut kept, 200, i, 4 * HOUR)).collect();
    assert_eq!(anew, [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]);
    kept.turn(4 * HOUR + 3000);
    kept.agree();
    kept.restart(4 * HOUR + 4000);
    // Those that had stayed are gone by now.
    assert_eq!(say(&mut kept, 200, 10, 4 * HOUR + 5000), 7);
}
