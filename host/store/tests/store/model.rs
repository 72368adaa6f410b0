//! The store against a map: whatever comes, in whatever order, with restarts in between.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Step_ {
    Append(Vec<(u8, i64, f64)>),
    Restart,
}

fn step() -> impl Strategy<Value = Step_> {
    let value = prop_oneof![3 => (0_i32..1000).prop_map(f64::from), 1 => -1e6..1e6_f64];
    let sample = (0_u8..4, -200_i64..200, value);
    prop_oneof![
        5 => prop::collection::vec(sample, 1..40).prop_map(Step_::Append),
        1 => Just(Step_::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_first_value_is_there_and_nothing_else(
        steps in prop::collection::vec(step(), 1..12),
        block_bytes in prop_oneof![Just(1_usize), 50_usize..400, Just(64_000)],
    ) {
        let options = Options { block_bytes, out_of_order_ms: i64::MAX, ..Options::default() };
        let mut f = Fixture::new(options);
        let keys: Vec<_> = (0..4).map(|i| key(&format!("t/{i}"), Signal::Memory)).collect();
        let mut model: BTreeMap<(u8, i64), f64> = BTreeMap::new();
        let mut sequence = 0;
        for step in steps {
            let Step_::Append(samples) = step else {
                f.restart();
                continue;
            };
            let mut fresh = 0;
            let series = samples.iter().map(|(s, m, v)| {
                minutes(&keys[usize::from(*s)], &[(*m, *v)]).series.remove(0)
            });
            let batch = SampleBatch { series: series.collect() };
            for (s, m, v) in &samples {
                model.entry((*s, *m)).or_insert_with(|| {
                    fresh += 1;
                    *v
                });
            }
            sequence += 1;
            let stored = f.append(batch).unwrap();
            prop_assert_eq!(stored.stored, fresh);
            prop_assert_eq!(stored.duplicates, samples.len() as u64 - fresh);
            prop_assert_eq!(stored.sequence, sequence);
        }
        for restarted in [false, true] {
            if restarted {
                f.restart();
            }
            for s in 0..4_u8 {
                let column = f.store().column(&keys[usize::from(s)], grid(-200 * 60, 60, 400)).unwrap();
                let expected: Vec<f64> = (-200..200)
                    .map(|m| model.get(&(s, m)).copied().unwrap_or(f64::NAN))
                    .collect();
                prop_assert_eq!(bits(&column), of_values(&expected));
            }
            let report = f.store().verify().unwrap();
            prop_assert!(report.is_clean(), "{:?}", report);
        }
    }
}
