//! Roll-ups and retention against a model: whatever comes, is rolled up, dropped and restarted in whatever order.

use super::rollup::{HOUR, at, column, keep, near, retain};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const NAN: f64 = f64::NAN;

#[derive(Debug, Clone)]
enum Act {
    /// Series, first sample, step in tens of seconds, values.
    Append(u8, i64, u8, Vec<i32>),
    Restart,
    Retain(i64),
}

fn act() -> impl Strategy<Value = Act> {
    let step = prop::sample::select(vec![1_u8, 6, 30, 90]);
    let append = (
        0_u8..4,
        0_i64..2_400,
        step,
        prop::collection::vec(-50..1000_i32, 1..60),
    );
    prop_oneof![
        6 => append.prop_map(|(s, at, step, values)| Act::Append(s, at, step, values)),
        1 => Just(Act::Restart),
        3 => (1_i64..40).prop_map(Act::Retain),
    ]
}

/// Starts in seconds of what a series was accepted to hold, with steps in seconds and values.
type Model = BTreeMap<(u8, i64), (i64, f64)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Counts at hours are sums over everything that was ever stored, whatever was rolled up and dropped when.
    #[test]
    fn no_sample_is_lost_or_counted_twice(acts in prop::collection::vec(act(), 1..24), tiny in any::<bool>()) {
        let mut f = Fixture::new(Options {
            block_bytes: if tiny { 1 } else { 300 },
            out_of_order_ms: 7_200_000,
            seal_after_ms: 600_000,
            ..Options::default()
        });
        let signals = [Signal::Requests, Signal::Cpu];
        let keys: Vec<_> = (0..4).map(|i| key(&format!("t/{i}"), signals[i % 2])).collect();
        let mut model = Model::new();
        for act in acts {
            match act {
                Act::Append(s, first, step, values) => {
                    let step = i64::from(step) * 10;
                    let first = first * 60 / step * step;
                    let samples = (0_i64..).zip(&values).map(|(i, v)| (first + i * step, f64::from(*v)));
                    for (t, v) in samples {
                        let stored = f.append(at_step(&keys[usize::from(s)], step as u32, &[(t, v)])).unwrap();
                        prop_assert_eq!(stored.stored + stored.duplicates + stored.late, 1);
                        if stored.stored == 1 {
                            prop_assert!(model.insert((s, t), (step, v)).is_none(), "{} {} twice", s, t);
                        } else if stored.duplicates == 1 {
                            prop_assert!(model.contains_key(&(s, t)));
                        }
                    }
                }
                Act::Restart => f.restart(),
                Act::Retain(hour) => {
                    f.store().retain(&keep(1, 90, 90), at(hour * HOUR)).unwrap();
                }
            }
        }
        f.store().retain(&keep(1, 90, 90), at(100 * HOUR)).unwrap();
        f.until(|s| s.unrolled_blocks == 0);
        for dropped in [false, true] {
            if dropped {
                retain(&f, &keep(1, 90, 90), 100 * HOUR);
                f.restart();
            }
            for (s, k) in (0_u8..).zip(&keys) {
                let of = model.range((s, i64::MIN)..=(s, i64::MAX));
                let (mut sums, mut covered) = (vec![0.0; 100], vec![0.0; 100]);
                for ((_, t), (step, v)) in of {
                    // In shares of an hour, since a sample may begin in one and end in the next.
                    for h in t / 3600..=(t + step - 1) / 3600 {
                        let seconds = (t + step).min((h + 1) * 3600) - (*t).max(h * 3600);
                        let (of, seconds) = (&mut sums[h as usize], seconds as f64);
                        covered[h as usize] += seconds;
                        let rate = if k.signal.is_count() { v / *step as f64 } else { *v };
                        *of += rate * seconds;
                    }
                }
                let expected: Vec<f64> = sums.iter().zip(&covered)
                    .map(|(sum, covered)| if *covered > 0.0 { sum / covered } else { NAN })
                    .collect();
                near(&column(&f, k, 0, 3600, 100), &expected);
            }
            let report = f.store().verify().unwrap();
            prop_assert!(report.is_clean(), "{:?}", report);
        }
    }
}
