//! What a reader saw is what it sees again, whatever came since: while a view is open, and from the sequence
//! and the ends that a record names.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tidegate_core::ports::storage::Replays as _;
use tidegate_store::Pinned;

const APIS: [&str; 3] = ["shop/a", "shop/b", "shop/c"];

/// One batch: api, step of ten seconds or a minute, and start, each in tens of seconds.
#[derive(Debug, Clone)]
struct Came {
    api: usize,
    is_fine: bool,
    starts: Vec<i64>,
}

fn came() -> impl Strategy<Value = Came> {
    let starts = prop::collection::btree_set(0_i64..60, 1..6);
    (0..APIS.len(), any::<bool>(), starts).prop_map(|(api, is_fine, starts)| Came {
        api,
        is_fine,
        starts: starts.into_iter().collect(),
    })
}

impl Came {
    fn batch(&self, n: usize) -> SampleBatch {
        let (step, unit) = if self.is_fine { (10, 10) } else { (60, 60) };
        let value = |start: &i64| (start * unit, (n * 100) as f64 + *start as f64 + 0.5);
        let samples: Vec<_> = self.starts.iter().map(value).collect();
        at_step(&key(APIS[self.api], Signal::Cpu), step, &samples)
    }
}

/// What there is to see.
#[derive(Debug, PartialEq, Clone)]
struct Seen {
    sequence: u64,
    ends: BTreeMap<SeriesKey, Timestamp>,
    columns: Vec<Vec<u64>>,
}

fn look(history: &dyn History) -> Seen {
    let keys = APIS.map(|api| key(api, Signal::Cpu));
    let ends = keys
        .iter()
        .filter_map(|k| Some((k.clone(), history.newest(k)?)));
    let column = |k: &SeriesKey| bits(&history.column(k, grid(0, 10, 400)).unwrap());
    Seen {
        sequence: history.watermark().sequence,
        ends: ends.collect(),
        columns: keys.iter().map(column).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_seen_is_seen_again(all in prop::collection::vec(came(), 1..14), sealed in any::<bool>()) {
        let mut f = Fixture::new(if sealed { eager() } else { Options::default() });
        let mut views: Vec<(Pinned, Seen)> = vec![];
        for (n, came) in all.iter().enumerate() {
            f.append(came.batch(n)).unwrap();
            let seen = look(&**f.store());
            views.push((f.store().pin(), seen));
        }
        let truths: Vec<Seen> = views.iter().map(|(_, seen)| seen.clone()).collect();
        for (view, seen) in views {
            prop_assert_eq!(&look(&view), &seen);
        }
        for _ in 0..2 {
            for seen in &truths {
                let then = f.store().as_of(seen.sequence, seen.ends.clone());
                let again = look(&*then);
                // A series that had no sample yet is in nobody's record.
                let known = |seen: &Seen| -> Vec<Vec<u64>> {
                    let with = APIS.iter().zip(&seen.columns);
                    let with = with.filter(|(api, _)| truths_end(&truths, seen.sequence, api));
                    with.map(|(_, column)| column.clone()).collect()
                };
                prop_assert_eq!(known(&again), known(seen));
            }
            f.restart();
        }
        f.clean();
    }
}

fn truths_end(truths: &[Seen], sequence: u64, api: &str) -> bool {
    let mut of = truths.iter().filter(|t| t.sequence == sequence);
    of.any(|t| t.ends.contains_key(&key(api, Signal::Cpu)))
}

#[test]
fn a_view_costs_nothing_once_it_is_closed() {
    let f = Fixture::new(Options::default());
    let cpu = key("shop/a", Signal::Cpu);
    f.append(minutes(&cpu, &[(0, 1.0)])).unwrap();
    let (first, second) = (f.store().pin(), f.store().pin());
    f.append(minutes(&cpu, &[(1, 2.0)])).unwrap();
    drop(first);
    assert_eq!(second.newest(&cpu), Some(Timestamp::from_secs(60)));
    drop(second);
    assert_eq!(
        f.store().pin().newest(&cpu),
        Some(Timestamp::from_secs(120))
    );
}
