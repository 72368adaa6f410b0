//! From the head to sealed blocks: nothing is lost, nothing piles up.

use super::*;

#[test]
fn sealing_keeps_every_sample_and_drops_the_write_ahead_records() {
    let mut f = Fixture::new(Options::default());
    let keys: Vec<_> = (0..70)
        .map(|i| {
            key(
                &format!("shop/api-{i}"),
                if i % 2 == 0 {
                    Signal::Requests
                } else {
                    Signal::Memory
                },
            )
        })
        .collect();
    let value = |series: usize, m: i64| {
        let x = (m * 7919 + series as i64 * 104_729) % 1009;
        if series.is_multiple_of(2) {
            x as f64 * 60.0
        } else {
            x as f64 + 0.25
        }
    };
    for day in 0..3 {
        let range = day * 1440..(day + 1) * 1440;
        let series = keys.iter().enumerate().map(|(i, k)| {
            let samples: Vec<_> = range.clone().map(|m| (m, value(i, m))).collect();
            minutes(k, &samples).series.remove(0)
        });
        let batch = SampleBatch {
            series: series.collect(),
        };
        assert_eq!(f.append(batch).unwrap().stored, 70 * 1440);
    }
    let total = 70 * 3 * 1440;
    // The second group has six series: it is sealed by its span, not by its size.
    let stat = f.until(|s| s.head_samples == 0 && s.wal_records == 0);
    assert_eq!((stat.sealed_samples, stat.series), (total, 70));
    assert!(stat.block_bytes / stat.blocks <= 96_000, "{stat:?}");
    for _ in 0..2 {
        for (i, k) in keys.iter().enumerate() {
            let column = f.store().column(k, grid(0, 60, 3 * 1440)).unwrap();
            let scale = if i.is_multiple_of(2) { 60.0 } else { 1.0 };
            let expected: Vec<f64> = (0..3 * 1440).map(|m| value(i, m) / scale).collect();
            assert_eq!(bits(&column), of_values(&expected), "{k:?}");
        }
        f.clean();
        f.restart();
    }
    assert!(f.store().stat().unwrap().cached_bytes <= f.options.column_cache_bytes as u64);
}

#[test]
fn a_slow_group_does_not_pin_the_write_ahead_records() {
    let f = Fixture::new(Options {
        seal_after_ms: 3_600_000,
        ..Options::default()
    });
    f.append(distributions("shop/a", &[(0, distribution(4))]))
        .unwrap();
    let cpu = key("shop/a", Signal::Cpu);
    for m in 0..300 {
        f.append(minutes(&cpu, &[(m, 0.5)])).unwrap();
    }
    let stat = f.until(|s| s.wal_records < 150);
    // How much is still in the head depends on how far the writer is.
    assert!(stat.sealed_samples > 150, "{stat:?}");
    let steps = f
        .store()
        .distributions(&"shop/a".parse().unwrap(), grid(0, 60, 1))
        .unwrap();
    assert_eq!(steps, [Some(distribution(4))]);
    f.clean();
}

#[test]
fn memory_and_record_budgets_seal_early() {
    for tight in [
        Options {
            max_head_bytes: 10_000,
            ..Options::default()
        },
        Options {
            max_wal_bytes: 10_000,
            ..Options::default()
        },
    ] {
        let f = Fixture::new(tight);
        let cpu = key("shop/a", Signal::Cpu);
        for i in 0..20_i64 {
            let samples: Vec<_> = (i * 50..(i + 1) * 50)
                .map(|m| (m, m as f64 + 0.5))
                .collect();
            f.append(minutes(&cpu, &samples)).unwrap();
        }
        f.append(minutes(
            &cpu,
            &(1000..2500).map(|m| (m, 0.1)).collect::<Vec<_>>(),
        ))
        .unwrap();
        let stat = f.until(|s| s.head_bytes <= 10_000 && s.wal_bytes <= 10_000);
        assert!(stat.sealed_samples > 1000, "{stat:?}");
    }
}

#[test]
fn a_batch_larger_than_a_record_is_split_and_whole_after_a_restart() {
    let mut f = Fixture::new(Options {
        block_bytes: usize::MAX / 4,
        seal_after_ms: i64::MAX,
        ..Options::default()
    });
    let cpu = key("shop/a", Signal::Cpu);
    let samples: Vec<_> = (0..60_000).map(|m| (m, m as f64 * 0.37)).collect();
    let stored = f.append(minutes(&cpu, &samples)).unwrap();
    assert_eq!((stored.stored, stored.sequence), (60_000, 1));
    let stat = f.store().stat().unwrap();
    assert!(
        stat.wal_records >= 8 && stat.wal_bytes / stat.wal_records < 100_000,
        "{stat:?}"
    );
    f.restart();
    f.clean();
    let column = f.store().column(&cpu, grid(0, 60, 60_000)).unwrap();
    assert!(
        column
            .values
            .iter()
            .enumerate()
            .all(|(i, v)| v.to_bits() == (i as f64 * 0.37).to_bits())
    );
    assert_eq!(
        f.append(minutes(&cpu, &samples[59_000..]))
            .unwrap()
            .duplicates,
        1000
    );
}
