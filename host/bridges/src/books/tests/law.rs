//! Whatever is said, said again, or lost in a crash: what is given out is what was counted.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Do {
    /// Stream, seconds since it was read last, counted since.
    Say(usize, u8, u16),
    Again(usize),
    Wait(u8),
    Restart(usize),
    Crash,
    Checkpoint,
}

fn doings() -> impl Strategy<Value = Vec<Do>> {
    let one = prop_oneof![
        12 => (0..4_usize, 1..25_u8, 0..500_u16).prop_map(|(s, t, n)| Do::Say(s, t, n)),
        2 => (0..4_usize).prop_map(Do::Again),
        4 => (1..30_u8).prop_map(Do::Wait),
        1 => (0..4_usize).prop_map(Do::Restart),
        1 => Just(Do::Crash),
        1 => Just(Do::Checkpoint),
    ];
    prop::collection::vec(one, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_given_out_is_what_was_counted(doings in doings()) {
        let mut w = World::new();
        w.at(1000.0);
        let ids: Vec<u32> = (0..4).map(|i| w.stream(&format!("{i}/m"), Flow::Cumulative, &REQUESTS, 1.0)).collect();
        // Per stream: when it was read last, its value, its start.
        let mut streams = [(1000.0_f64, 0.0_f64, None::<f64>); 4];
        for (id, s) in ids.iter().zip(&streams) {
            prop_assert_eq!(w.say(*id, None, s.0, s.1), Fate::Baseline);
        }
        let mut counted = 0.0;
        for doing in doings {
            match doing {
                Do::Say(i, dt, n) => {
                    let s = &mut streams[i];
                    s.0 += f64::from(dt);
                    s.1 += f64::from(n);
                    // It arrives when it was read, or later when another one is ahead.
                    let now = (w.now as f64 / 1000.0).max(s.0);
                    w.at(now);
                    let (time, value, start) = *s;
                    let lost_before = w.books.tally().cut;
                    let fate = w.say(ids[i], start, time, value);
                    if fate == Fate::Counted && w.books.tally().cut == lost_before {
                        counted += f64::from(n);
                    } else {
                        // Too late for its steps: then it is told, and not in the sums.
                        let told = matches!(fate, Fate::Refused(Why::Late) | Fate::Counted | Fate::Gap);
                        prop_assert!(told, "{:?}", fate);
                        return Ok(());
                    }
                }
                Do::Again(i) => {
                    let (time, value, start) = streams[i];
                    prop_assert_eq!(w.say(ids[i], start, time, value), Fate::Duplicate);
                }
                Do::Wait(dt) => {
                    let now = w.now as f64 / 1000.0 + f64::from(dt);
                    w.at(now);
                }
                Do::Restart(i) => {
                    streams[i].2 = Some(streams[i].0);
                    streams[i].1 = 0.0;
                }
                Do::Crash => w.crash(),
                Do::Checkpoint => {
                    w.drain();
                    w.entries = w.books.checkpoint();
                }
            }
            w.drain();
        }
        let end = w.now as f64 / 1000.0 + 1000.0;
        w.at(end);
        let given: f64 = w.of(Signal::Requests).iter().map(|(_, n)| n).sum();
        prop_assert!((given - counted).abs() < 1e-9, "{given} of {counted}");
    }

    #[test]
    fn damaged_entries_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), with: u8) {
        let mut w = World::new();
        let a = w.stream("a/m", Flow::Cumulative, &REQUESTS, 1.0);
        w.say(a, None, 1.0, 1.0);
        w.drain();
        let mut entries = w.books.checkpoint();
        entries.extend(w.entries.clone());
        for mut entry in entries {
            let at = at.index(entry.len());
            entry[at] = with;
            let _ = Books::new(terms()).replay(&entry);
            for version in [1, 2, 3, 4] {
                let _ = Books::new(terms()).replay(&[&[version, 0][..], &bytes].concat());
            }
        }
    }
}
