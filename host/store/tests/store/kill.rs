//! `kill -9` at any moment: what was acknowledged is there, and nothing is torn.
//!
//! The child is this very test binary, told to run the ignored test [`child`]; directory and first
//! minute come over its standard input, acks go to its standard output.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tidegate_core::ids::{Generation, PoolId};
use tidegate_core::ports::storage::Ledger;

const KILLS: usize = 24;
const SERIES: usize = 70;

fn options() -> Options {
    Options {
        // Small, so that blocks are sealed and records dropped all the time.
        block_bytes: 8_000,
        seal_after_ms: 3_600_000,
        ..Options::default()
    }
}

fn value(series: usize, minute: i64) -> f64 {
    ((minute * 31 + series as i64 * 17) % 257) as f64
        + if series.is_multiple_of(3) { 0.5 } else { 0.0 }
}

fn batch_of(minute: i64) -> SampleBatch {
    let numbers = (0..SERIES).map(|s| {
        minutes(
            &key(&format!("t/{s}"), Signal::Cpu),
            &[(minute, value(s, minute))],
        )
        .series
        .remove(0)
    });
    let latency = distributions("t/0", &[(minute, distribution(minute as u64 % 50))]).series;
    SampleBatch {
        series: numbers.chain(latency).collect(),
    }
}

#[test]
#[ignore = "the child of the test below; it never ends by itself"]
fn child() {
    let mut lines = std::io::stdin().lines().map(Result::unwrap);
    let dir = lines.next().unwrap();
    let mut minute: i64 = lines.next().unwrap().parse().unwrap();
    let store = Store::open(dir, options()).unwrap();
    let pool = PoolId::new("edge").unwrap();
    let (slots, free) = sync_channel(16);
    loop {
        let done = slots.clone();
        History::append(
            &*store,
            batch_of(minute),
            Box::new(move |outcome| {
                outcome.unwrap();
                println!("ack {minute}");
                let _ = done.try_send(());
            }),
        );
        if minute % 16 == 0 {
            let next = store.last(&pool).unwrap_or_default().next();
            store.append_record(next.0);
            println!("plan {next}");
            super::tracks::learn(&store, next.0);
            println!("track {next}");
        }
        minute += 1;
        if minute % 8 == 0 {
            free.recv().unwrap();
        }
    }
}

/// A plan's record, for the child.
trait AppendRecord {
    fn append_record(&self, generation: u64);
}

impl AppendRecord for Store {
    fn append_record(&self, generation: u64) {
        Ledger::append(
            self,
            &super::ledger::record("edge", generation, generation as i64),
        )
        .unwrap();
    }
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Pcg64::seed_from_u64(20_261_124);
    let (mut acked, mut planned, mut learned) = (-1_i64, 0_u64, 0_u64);
    for kill in 0..KILLS {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Two minutes again: the store must recognise them.
        let from = (acked - 1).max(0);
        let mut stdin = process.stdin.take().unwrap();
        writeln!(stdin, "{}\n{from}", dir.path().display()).unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let newest = Arc::new((AtomicI64::new(-1), AtomicI64::new(0), AtomicI64::new(0)));
        let (started, first) = sync_channel(1);
        let reader = std::thread::spawn({
            let newest = newest.clone();
            move || {
                for line in stdout.lines().map_while(Result::ok) {
                    if let Some(m) = line.strip_prefix("ack ").and_then(|m| m.parse().ok()) {
                        newest.0.fetch_max(m, Ordering::SeqCst);
                        let _ = started.try_send(());
                    } else if let Some(g) = line.strip_prefix("plan ").and_then(|g| g.parse().ok())
                    {
                        newest.1.fetch_max(g, Ordering::SeqCst);
                    } else if let Some(g) = line.strip_prefix("track ").and_then(|g| g.parse().ok())
                    {
                        newest.2.fetch_max(g, Ordering::SeqCst);
                    }
                }
            }
        });
        first.recv_timeout(Duration::from_secs(30)).unwrap();
        std::thread::sleep(Duration::from_millis(rng.random_range(0..200)));
        process.kill().unwrap();
        process.wait().unwrap();
        reader.join().unwrap();
        acked = acked.max(newest.0.load(Ordering::SeqCst));
        planned = planned.max(newest.1.load(Ordering::SeqCst) as u64);
        learned = learned.max(newest.2.load(Ordering::SeqCst) as u64);
        check(&dir, acked, planned, kill);
        let store = Store::open(dir.path(), options()).unwrap();
        super::tracks::check_learned(&store, learned, kill);
        store.close();
    }
    println!("{KILLS} kills, {acked} minutes of {SERIES} series, {planned} plans");
}

fn check(dir: &TempDir, acked: i64, planned: u64, kill: usize) {
    let store = Store::open(dir.path(), options()).unwrap();
    let report = store.verify().unwrap();
    assert!(report.is_clean(), "kill {kill}: {report:?}");
    let count = (acked + 1) as usize;
    for s in (0..SERIES).step_by(5) {
        let column = store
            .column(&key(&format!("t/{s}"), Signal::Cpu), grid(0, 60, count))
            .unwrap();
        let expected: Vec<f64> = (0..=acked).map(|m| value(s, m)).collect();
        assert_eq!(
            bits(&column),
            of_values(&expected),
            "kill {kill}, series {s}"
        );
    }
    let latency = store
        .distributions(&"t/0".parse().unwrap(), grid(0, 60, count))
        .unwrap();
    for (m, d) in (0..).zip(&latency) {
        assert_eq!(*d, Some(distribution(m % 50)), "kill {kill}, minute {m}");
    }
    let pool = PoolId::new("edge").unwrap();
    let last = store.last(&pool).unwrap_or_default();
    assert!(
        last >= Generation(planned),
        "kill {kill}: plan {planned} is lost, {last} is there"
    );
    store.close();
}
