//! The room of what was dropped comes back while the store runs, and a start does not read what it holds.

use super::rollup::{HOUR, at, column, keep, retain};
use super::*;
use std::path::Path;

const MINUTES: i64 = 12_000;
const SERIES: i64 = 20;

fn api(n: i64) -> SeriesKey {
    key(&format!("shop/{n}"), Signal::Cpu)
}

/// Values that hardly can be compressed.
fn noise(series: i64, minute: i64) -> f64 {
    let mut x = (series * 1_000_003 + minute) as u64 | 1;
    for _ in 0..3 {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    (x >> 12) as f64 * 1e-9
}

fn files(dir: &Path, name: &str) -> u64 {
    let entries = std::fs::read_dir(dir.join("sled").join(name)).unwrap();
    entries.map(|e| e.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn what_was_dropped_gives_its_room_back_while_the_store_runs() {
    let mut f = Fixture::new(Options {
        out_of_order_ms: 3_600_000,
        seal_after_ms: 1_800_000,
        ..Options::default()
    });
    for from in (0..MINUTES).step_by(600) {
        let of = |n: i64| (from..from + 600).map(move |m| (m, noise(n, m)));
        let series = (0..SERIES).map(|n| minutes(&api(n), &of(n).collect::<Vec<_>>()));
        let series = series.flat_map(|batch| batch.series).collect();
        f.append(SampleBatch { series }).unwrap();
    }
    f.until(|s| s.sealing_groups == 0 && s.sealed_samples > (SERIES * MINUTES * 9 / 10) as u64);
    let full = files(f.dir.path(), "blocks");
    assert!(full > 768 << 10, "{full}");
    let day = column(&f, &api(3), MINUTES - 24 * HOUR, 60, 1440);
    let gone = retain(&f, &keep(24, 30, 60), MINUTES);
    assert!(gone.raw.bytes > full / 2, "{gone:?}");
    let stat = f.until(|_| files(f.dir.path(), "blocks") < full / 2);
    let left = files(f.dir.path(), "blocks");
    assert!(
        left < stat.raw.bytes * 5 / 4 + (512 << 10),
        "{left} bytes for {stat:?}"
    );
    assert_eq!(
        of_values(&column(&f, &api(3), MINUTES - 24 * HOUR, 60, 1440)),
        of_values(&day)
    );
    f.clean();
    f.restart();
    f.clean();
    assert_eq!(
        of_values(&column(&f, &api(3), MINUTES - 24 * HOUR, 60, 1440)),
        of_values(&day)
    );
    assert_eq!(f.store().newest(&api(3)), Some(at(MINUTES)));
    assert!(files(f.dir.path(), "blocks") < full / 2);
}
