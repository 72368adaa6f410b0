//! A power cut at any moment while cells are made and samples are dropped: nothing is lost, nothing counted
//! twice.
//!
//! The child is this very test binary, as in `kill`; it rolls up and drops all the time.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tidegate_store::{Resolution, Retention};

const KILLS: usize = 12;
const SERIES: usize = 6;

fn options() -> Options {
    Options {
        block_bytes: 300,
        seal_after_ms: 1_800_000,
        out_of_order_ms: 1_800_000,
        ..Options::default()
    }
}

fn keep() -> Retention {
    Retention {
        raw: Duration::from_secs(3 * 3600),
        five_minutes: Duration::from_secs(400 * 86_400),
        hour: Duration::from_secs(400 * 86_400),
        size: None,
        records: Duration::ZERO,
        reach: Duration::ZERO,
    }
}

fn value(series: usize, minute: i64) -> f64 {
    ((minute * 31 + series as i64 * 17) % 257) as f64
}

fn api(series: usize) -> SeriesKey {
    key(&format!("t/{series}"), Signal::Requests)
}

#[test]
#[ignore = "the child of the test below; it never ends by itself"]
fn child() {
    let mut lines = std::io::stdin().lines().map(Result::unwrap);
    let dir = lines.next().unwrap();
    let mut minute: i64 = lines.next().unwrap().parse().unwrap();
    let store = Store::open(dir, options()).unwrap();
    loop {
        let series = (0..SERIES).map(|s| {
            let samples: Vec<_> = (minute..minute + 10).map(|m| (m, value(s, m))).collect();
            minutes(&api(s), &samples).series.remove(0)
        });
        let batch = SampleBatch {
            series: series.collect(),
        };
        append(&store, batch).unwrap();
        minute += 10;
        println!("ack {minute}");
        store
            .retain(&keep(), Timestamp::from_secs(minute * 60))
            .unwrap();
    }
}

#[test]
fn what_was_rolled_up_and_dropped_is_whole_after_every_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Pcg64::seed_from_u64(20_261_129);
    let mut acked = 0_i64;
    let mut dropped = 0;
    for kill in 0..KILLS {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cut::child", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = process.stdin.take().unwrap();
        writeln!(stdin, "{}\n{acked}", dir.path().display()).unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let newest = Arc::new(AtomicI64::new(acked));
        let (started, first) = sync_channel(1);
        let reader = std::thread::spawn({
            let newest = newest.clone();
            move || {
                for line in stdout.lines().map_while(Result::ok) {
                    if let Some(m) = line.strip_prefix("ack ").and_then(|m| m.parse().ok()) {
                        newest.fetch_max(m, Ordering::SeqCst);
                        let _ = started.try_send(());
                    }
                }
            }
        });
        first.recv_timeout(Duration::from_secs(30)).unwrap();
        std::thread::sleep(Duration::from_millis(rng.random_range(20..300)));
        process.kill().unwrap();
        process.wait().unwrap();
        reader.join().unwrap();
        acked = newest.load(Ordering::SeqCst);
        dropped = check(&dir, acked, kill);
    }
    assert!(dropped > 0, "in {acked} minutes no hour was dropped");
    println!("{KILLS} cuts, {acked} minutes of {SERIES} series, {dropped} hours dropped");
}

/// The hours of which raw samples are dropped.
fn check(dir: &TempDir, acked: i64, kill: usize) -> i64 {
    let store = Store::open(dir.path(), options()).unwrap();
    let report = store.verify().unwrap();
    assert!(report.is_clean(), "kill {kill}: {report:?}");
    let hours = (acked / 60) as usize;
    let mut dropped = 0;
    for s in 0..SERIES {
        let column = store.column(&api(s), grid(0, 3600, hours)).unwrap();
        for (h, found) in (0..).zip(&column.values) {
            let sum: f64 = (h * 60..(h + 1) * 60).map(|m| value(s, m)).sum();
            let near = (found - sum / 3600.0).abs() < 1e-9;
            assert!(near, "kill {kill}, series {s}, hour {h}: {found}");
        }
        let sources = store.sources(&api(s), grid(0, 3600, hours));
        if let [cells, raw] = sources[..] {
            assert_eq!(
                (cells.resolution, raw.resolution),
                (Resolution::FiveMinutes, Resolution::Raw)
            );
            dropped = raw.from.secs() / 3600;
        }
        let (from, to) = (Timestamp(0), Timestamp::from_secs(dropped * 3600));
        let cells = store.rollups(&api(s), Resolution::Hour, from, to).unwrap();
        assert_eq!(cells.len() as i64, dropped, "kill {kill}, series {s}");
        for (h, cell) in (0..).zip(&cells) {
            let sum: f64 = (h * 60..(h + 1) * 60).map(|m| value(s, m)).sum();
            assert_eq!((cell.value.to_bits(), cell.samples), (sum.to_bits(), 60));
        }
    }
    store.close();
    dropped
}
