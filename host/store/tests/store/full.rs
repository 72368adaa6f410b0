//! A full disk refuses, loses nothing, and takes again once there is room.
//!
//! Two ways to be full: the reserve is reached, on a small file system of the test's own; and a write fails
//! although there seemed to be room, by a limit on the size of files. Each runs in a child that a shell has put
//! there, so the test needs neither root nor a second disk; where the system lets nobody mount, it says so.

use super::*;
use std::path::Path;
use std::process::{Command, Stdio};
use tidegate_core::ports::storage::{CatalogStore as _, Notes as _, Replays as _};

const MIB: u64 = 1 << 20;

/// Runs an ignored test of this binary with a directory, after the lines of a shell.
fn run(shell: &str, test: &str, dir: &Path) -> (bool, String) {
    let script = format!("{shell}\nexec \"$0\" --exact {test} --ignored --nocapture");
    let done = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(std::env::current_exe().unwrap())
        .env("TIDEGATE_TEST_DIR", dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [&done.stdout[..], &done.stderr[..]].concat();
    (
        done.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[expect(clippy::disallowed_methods, reason = "the child's one argument")]
fn dir() -> std::path::PathBuf {
    std::env::var_os("TIDEGATE_TEST_DIR").unwrap().into()
}

/// Samples that nothing compresses, of the `n`th minute.
fn noise(n: i64) -> SampleBatch {
    let mut x = n as u64 * 2 + 1;
    let series = (0..60).map(|s| {
        x = x
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let value = f64::from_bits(x >> 12 | 0x3ff0 << 48);
        minutes(&key(&format!("t/{s}"), Signal::Cpu), &[(n, value)])
            .series
            .remove(0)
    });
    SampleBatch {
        series: series.collect(),
    }
}

fn holds(store: &Store, acked: i64) {
    let k = key("t/7", Signal::Cpu);
    let column = store.column(&k, grid(0, 60, acked as usize)).unwrap();
    let lost = column.values.iter().filter(|v| v.is_nan()).count();
    assert_eq!(lost, 0, "of {acked} acknowledged minutes");
    assert!(store.verify().unwrap().is_clean());
}

#[test]
#[ignore = "the child of the test below: in a directory with 80 MiB"]
fn nearly_full() {
    let home = dir();
    let store = Store::open(home.join("store"), Options::default()).unwrap();
    let mut acked = 0;
    let mut next = || {
        let outcome = append(&store, noise(acked));
        acked += i64::from(outcome.is_ok());
        outcome.map(|_| acked)
    };
    for _ in 0..200 {
        next().unwrap();
    }
    // A neighbour takes what there is.
    let ballast = home.join("ballast");
    std::fs::write(&ballast, vec![7; (20 * MIB) as usize]).unwrap();
    let sequence = store.stat().unwrap().sequence;
    for _ in 0..3 {
        let error = next().unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert!(error.to_string().contains("make room"), "{error}");
    }
    let record = super::ledger::record("edge", 1, 1);
    assert!(matches!(
        store.append_with(&record, &[]),
        Err(StoreError::Full { .. })
    ));
    assert!(matches!(store.write(b"note"), Err(StoreError::Full { .. })));
    assert!(matches!(
        store.save(&tidegate_core::catalog::Catalog::default()),
        Err(StoreError::Full { .. })
    ));
    // Reading goes on, and so does what frees room.
    holds(&store, 200);
    store.forget_notes();
    std::fs::remove_file(&ballast).unwrap();
    // No restart: the door opens by itself, and no number was used up by what was refused.
    let acked = next().unwrap();
    assert_eq!(store.stat().unwrap().sequence, sequence + 1);
    store.append_with(&record, &[]).unwrap();
    store.close();
    drop(store);
    let store = Store::open(home.join("store"), Options::default()).unwrap();
    holds(&store, acked);
    println!("went on after {acked} minutes");
}

/// What frees room: here, dropping notes that are not there.
trait ForgetNotes {
    fn forget_notes(&self);
}

impl ForgetNotes for Store {
    fn forget_notes(&self) {
        self.drop_before(u64::MAX).unwrap();
    }
}

#[test]
fn a_disk_that_fills_up_is_refused_at_the_door_until_there_is_room() {
    let home = tempfile::tempdir().unwrap();
    let mount = "unshare -rm true 2>/dev/null && SPACE=unshare\n";
    let shell = format!(
        "{mount}if [ -z \"$SPACE\" ]; then echo 'nobody may mount here'; exit 0; fi\n\
         exec unshare -rm sh -c 'mount -t tmpfs -o size=80m none \"$TIDEGATE_TEST_DIR\" || \
         {{ echo nobody may mount here; exit 0; }}; exec \"$0\" --exact full::nearly_full --ignored --nocapture' \"$0\""
    );
    let (is_good, said) = run(&shell, "full::nearly_full", home.path());
    assert!(is_good, "{said}");
    if said.contains("nobody may mount here") {
        println!(
            "SKIPPED: this system lets no test mount a file system; a disk that fills up is not tested"
        );
        return;
    }
    assert!(said.contains("went on after"), "{said}");
}

#[test]
#[ignore = "the child of the test below: no file may be larger than 4 MiB"]
fn write_fails() {
    let home = dir();
    let store = Store::open(home.join("store"), Options::default()).unwrap();
    let mut acked = 0;
    let error = loop {
        match append(&store, noise(acked)) {
            Ok(_) => acked += 1,
            Err(error) => break error,
        }
        assert!(acked < 100_000, "no limit is in force");
    };
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(error.to_string().contains("check the disk"), "{error}");
    println!("first: {error}");
    // The first failure stands, whatever is asked.
    for _ in 0..3 {
        assert_eq!(append(&store, noise(acked)).unwrap_err(), error);
    }
    std::fs::write(home.join("acked"), acked.to_string()).unwrap();
    println!("failed after {acked} minutes");
}

#[test]
fn a_write_that_fails_refuses_all_that_follow_and_a_restart_goes_on_with_what_was_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let limit = "trap '' XFSZ\nulimit -f 8192 || { echo no limits here; exit 0; }";
    let (is_good, said) = run(limit, "full::write_fails", home.path());
    assert!(is_good, "{said}");
    if said.contains("no limits here") {
        println!(
            "SKIPPED: this system sets no limit on the size of files; a write that fails is not tested"
        );
        return;
    }
    let acked: i64 = std::fs::read_to_string(home.path().join("acked"))
        .unwrap()
        .parse()
        .unwrap();
    assert!(acked > 100, "{said}");
    let store = Store::open(home.path().join("store"), Options::default()).unwrap();
    holds(&store, acked);
    // What was not acknowledged may be there or not; what comes now is taken.
    assert!(append(&store, noise(acked + 1)).is_ok());
    println!("{said}");
}
