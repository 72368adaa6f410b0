//! Damage is named, never met with a panic, and set aside only when asked.

use super::*;
use std::path::{Path, PathBuf};

/// The database behind the store's back. sled's threads may hold its lock for a moment.
pub(super) fn behind(f: &Fixture) -> sled::Db {
    database(f.dir.path())
}

/// The same of a directory.
pub(super) fn database(dir: &Path) -> sled::Db {
    // What was written anew has segments of another size.
    for size in [512 << 10, 2 << 20].iter().cycle().take(200) {
        let config = sled::Config::new()
            .path(dir.join("sled"))
            .segment_size(*size);
        if let Ok(db) = config.open() {
            return db;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the database stays locked");
}

/// The bytes of the one log of write-ahead records, and where each record begins; the last word of a log that
/// was closed is no record.
pub(super) fn records(f: &Fixture) -> (PathBuf, Vec<u8>, Vec<usize>) {
    let mut logs = segments(f);
    assert_eq!(logs.len(), 1, "{logs:?}");
    let bytes = std::fs::read(&logs[0]).unwrap();
    let mut starts: Vec<_> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(b"tglg"))
        .collect();
    starts.retain(|at| bytes[at + 4..at + 8] != [0; 4]);
    (logs.remove(0), bytes, starts)
}

/// The files of the write-ahead records.
fn segments(f: &Fixture) -> Vec<PathBuf> {
    let dir = std::fs::read_dir(f.dir.path().join("sled/wal")).unwrap();
    dir.map(|entry| entry.unwrap().path()).collect()
}

/// Flips a bit of the block that begins at an instant, in a store that has one log of them.
pub(super) fn flip_block(dir: &Path, start_ms: i64) {
    let mut logs = std::fs::read_dir(dir.join("sled/blocks")).unwrap();
    let log = logs.next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&log).unwrap();
    let key = [
        &[1, 0, 0, 3],
        &(start_ms as u64 ^ 1 << 63).to_be_bytes()[..],
    ]
    .concat();
    let at = bytes.windows(key.len()).position(|w| w == key).unwrap();
    bytes[at + key.len() + 10] ^= 4;
    std::fs::write(&log, bytes).unwrap();
}

fn filled() -> Fixture {
    let f = Fixture::new(Options::default());
    let cpu = key("shop/a", Signal::Cpu);
    for m in 0..5 {
        f.append(minutes(&cpu, &[(m, m as f64)])).unwrap();
    }
    f
}

fn open(f: &Fixture, recover: bool) -> Result<Arc<Store>, StoreError> {
    let options = Options {
        recover,
        ..f.options.clone()
    };
    Store::open(f.dir.path(), options)
}

#[test]
fn a_flipped_bit_in_any_value_is_found() {
    let mut f = filled();
    f.stop();
    let keys: Vec<sled::IVec> = behind(&f).iter().keys().map(Result::unwrap).collect();
    assert!(keys.len() >= 2, "layout, group");
    for key in keys {
        let db = behind(&f);
        let good = db.get(&key).unwrap().unwrap();
        let mut bad = good.to_vec();
        let middle = bad.len() / 2;
        bad[middle] ^= 4;
        db.insert(&key, bad).unwrap();
        db.flush().unwrap();
        drop(db);
        let error = open(&f, false).unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "{key:?}: {error}"
        );
        let db = behind(&f);
        db.insert(&key, good).unwrap();
        db.flush().unwrap();
    }
    let [log] = &segments(&f)[..] else {
        panic!("one segment")
    };
    let good = std::fs::read(log).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 4;
        std::fs::write(log, bad).unwrap();
        match open(&f, false) {
            Err(StoreError::Damaged { key, .. }) => assert!(key.starts_with("log:wal/1"), "{key}"),
            // The last frame of a log says that the others are whole, and nothing else.
            Ok(store) => {
                assert!(at >= good.len() - 20, "byte {at} of {}", good.len());
                assert_eq!(store.stat().unwrap().head_samples, 5);
            }
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    std::fs::write(log, good).unwrap();
    let store = open(&f, false).unwrap();
    assert!(store.verify().unwrap().is_clean());
}

#[test]
fn a_damaged_block_is_an_error_for_its_reader_and_a_line_in_the_report() {
    let mut f = Fixture::new(eager());
    let cpu = key("shop/a", Signal::Cpu);
    f.append(minutes(&cpu, &[(0, 1.0), (1, 2.0)])).unwrap();
    f.until(|s| s.wal_records == 0);
    f.stop();
    flip_block(f.dir.path(), 0);
    let store = open(&f, false).unwrap();
    let error = store.column(&cpu, grid(0, 60, 2)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let report = store.verify().unwrap();
    assert!(
        report.problems.iter().any(|p| p.key.starts_with("block")),
        "{report:?}"
    );
    // A duplicate cannot be ruled out, so the sample is not taken, and nothing else suffers.
    let stored = append(&store, minutes(&cpu, &[(0, 9.0), (2, 3.0)])).unwrap();
    assert_eq!((stored.stored, stored.late), (1, 1));
}

#[test]
fn a_store_that_does_not_open_is_examined_to_its_end_all_the_same() {
    let mut f = filled();
    f.stop();
    let examine = || Store::examine(f.dir.path(), &mut |_| {}).unwrap();
    assert!(examine().is_clean());
    let db = behind(&f);
    let (key, value) = db.scan_prefix([1, 0, 0, 1]).next().unwrap().unwrap();
    db.insert(key, &value[1..]).unwrap();
    db.flush().unwrap();
    drop(db);
    assert!(open(&f, false).is_err());
    let report = examine();
    let told: Vec<_> = report.problems.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(told, ["group:0"]);
    assert_eq!(report.values, 8, "layout, marks, group, five records");
    // What sled itself cannot read is one problem, and nothing is set aside.
    drop(behind(&f));
    let rubbish = b"this is not a configuration of sled, nor anything else";
    std::fs::write(f.dir.path().join("sled/conf"), rubbish).unwrap();
    let report = examine();
    assert_eq!(report.problems.len(), 1, "{report:?}");
    assert_eq!(report.problems[0].key, "the database file");
}

#[test]
fn a_missing_record_is_a_gap_and_recovery_goes_on_without_it() {
    let mut f = filled();
    f.stop();
    let log = segments(&f).remove(0);
    let mut bytes = std::fs::read(&log).unwrap();
    let frames: Vec<_> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(b"tglg"))
        .collect();
    assert_eq!(frames.len(), 6, "five records and the last word");
    bytes[frames[2] + 25] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let error = open(&f, false).unwrap_err().to_string();
    let place = format!("log:wal/1 byte {}", frames[2]);
    assert!(error.contains(&place), "{error}");
    let store = open(&f, true).unwrap();
    // The damaged place of the log, and the record that was there.
    assert_eq!(store.stat().unwrap().lost_records, 2);
    drop(store);
    let store = open(&f, false).unwrap();
    assert!(store.verify().unwrap().is_clean());
    let cpu = key("shop/a", Signal::Cpu);
    let column = store.column(&cpu, grid(0, 60, 5)).unwrap();
    assert_eq!(bits(&column), of_values(&[0.0, 1.0, f64::NAN, 3.0, 4.0]));
    assert_eq!(
        append(&store, minutes(&cpu, &[(2, 2.0)])).unwrap().sequence,
        6
    );
}

/// The files of blocks, as they are.
fn blocks(f: &Fixture) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = std::fs::read_dir(f.dir.path().join("sled/blocks")).unwrap();
    let paths = dir.map(|entry| entry.unwrap().path());
    paths
        .map(|p| (p.clone(), std::fs::read(p).unwrap()))
        .collect()
}

#[test]
fn blocks_without_the_database_that_names_them_are_damage_and_stay() {
    let mut f = Fixture::new(eager());
    f.append(minutes(&key("shop/a", Signal::Cpu), &[(0, 1.0), (1, 2.0)]))
        .unwrap();
    f.until(|s| s.wal_records == 0);
    f.stop();
    let before = blocks(&f);
    for name in ["db", "conf"] {
        std::fs::remove_file(f.dir.path().join("sled").join(name)).unwrap();
    }
    for entry in std::fs::read_dir(f.dir.path().join("sled")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("snap")
        {
            std::fs::remove_file(path).unwrap();
        }
    }
    let error = open(&f, false).unwrap_err().to_string();
    assert!(error.contains("blocks of samples"), "{error}");
    assert_eq!(blocks(&f), before);
}

#[test]
fn what_sled_sums_its_log_up_in_is_made_again_where_it_is_unfinished_or_damaged() {
    let mut f = filled();
    f.stop();
    let sums = |f: &Fixture| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(f.dir.path().join("sled")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|p| p.file_name().unwrap().to_string_lossy().contains("snap."))
            .collect()
    };
    let whole = |f: &Fixture| {
        let store = open(f, false).unwrap();
        assert!(store.verify().unwrap().is_clean());
        assert_eq!(store.stat().unwrap().head_samples, 5);
    };
    // As a full disk leaves it, or a kill.
    let unfinished = f.dir.path().join("sled/snap.ffff.generating");
    std::fs::write(&unfinished, b"").unwrap();
    whole(&f);
    assert!(!unfinished.exists());
    let [sum] = &sums(&f)[..] else {
        panic!("{:?}", sums(&f));
    };
    let mut bytes = std::fs::read(sum).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].iter_mut().take(16).for_each(|b| *b ^= 0x55);
    std::fs::write(sum, bytes).unwrap();
    whole(&f);
    whole(&f);
    assert!(
        sums(&f)
            .iter()
            .all(|p| !p.to_string_lossy().contains("aside"))
    );
}

#[test]
fn a_newer_store_is_refused_before_anything_of_it_is_touched() {
    let mut f = Fixture::new(eager());
    f.append(minutes(&key("shop/a", Signal::Cpu), &[(0, 1.0), (1, 2.0)]))
        .unwrap();
    f.until(|s| s.wal_records == 0);
    f.stop();
    let db = behind(&f);
    let (key, newer) = (b"\0layout", 9_u32.to_be_bytes());
    db.insert(key, [&crc(key, &newer)[..], &newer].concat())
        .unwrap();
    db.flush().unwrap();
    drop(db);
    for (path, _) in blocks(&f) {
        std::fs::write(path, b"another form of a log, of a later day").unwrap();
    }
    let before = blocks(&f);
    assert_eq!(
        open(&f, false).unwrap_err(),
        StoreError::Version { found: 9, known: 3 }
    );
    assert_eq!(blocks(&f), before);
}

#[test]
fn another_layout_is_refused_with_both_versions() {
    let mut f = filled();
    f.stop();
    let db = behind(&f);
    let key = b"\0layout";
    let mut payload = crc(key, &7_u32.to_be_bytes()).to_vec();
    payload.extend_from_slice(&7_u32.to_be_bytes());
    db.insert(key, payload).unwrap();
    db.flush().unwrap();
    drop(db);
    for recover in [false, true] {
        let error = open(&f, recover).unwrap_err();
        assert_eq!(error, StoreError::Version { found: 7, known: 3 });
    }
}

fn crc(key: &[u8], payload: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(payload);
    hasher.finalize().to_le_bytes()
}

#[test]
fn a_database_that_is_no_database_is_set_aside_only_when_asked() {
    let mut f = filled();
    f.stop();
    drop(behind(&f));
    let file = f.dir.path().join("sled/conf");
    std::fs::write(
        &file,
        b"this is not a configuration of sled, nor anything else",
    )
    .unwrap();
    let error = open(&f, false).unwrap_err();
    assert!(
        matches!(&error, StoreError::Damaged { cause, .. } if cause.contains("recover")),
        "{error}"
    );
    assert!(file.exists());
    let store = open(&f, true).unwrap();
    let aside = store.stat().unwrap().set_aside.unwrap();
    assert!(aside.join("db").exists());
    assert_eq!(store.series(), []);
    assert!(store.verify().unwrap().is_clean());
}

#[test]
fn a_second_opener_is_told_that_the_store_is_open() {
    let f = filled();
    for recover in [false, true] {
        let error = open(&f, recover).unwrap_err().to_string();
        assert!(error.contains("already open"), "{error}");
    }
}
