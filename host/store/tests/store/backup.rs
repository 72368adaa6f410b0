//! A backup is the store of one instant, whole or not at all, and comes back as it was.

use super::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tidegate_core::ports::storage::{Ledger as _, Replays as _, States, Tracks, Trials};
use tidegate_store::{Manifest, Onto};

/// A comparison of 100 KB, so that a few of them are many pieces of a snapshot.
fn large(n: u8) -> Vec<u8> {
    (0..100_000_u32).map(|i| (i % 251) as u8 ^ n).collect()
}

fn keep(store: &Store, trials: &[(&str, u8)], forget: &[&str]) {
    let trials = trials
        .iter()
        .map(|(name, n)| ((*name).to_owned(), large(*n)));
    let trials: Vec<_> = trials.collect();
    let forget: Vec<_> = forget.iter().map(|name| (*name).to_owned()).collect();
    store.keep(&trials, &forget).unwrap();
}

fn kept(store: &Store) -> Vec<(String, u8)> {
    let all = store.kept().unwrap();
    let first = |(name, bytes): (String, Vec<u8>)| {
        assert_eq!(bytes, large(bytes[0]), "{name} is torn");
        (name, bytes[0])
    };
    all.into_iter().map(first).collect()
}

fn to(f: &Fixture, name: &str) -> PathBuf {
    f.dir.path().with_extension(name)
}

fn restored(from: &Path, dir: &Path) -> Arc<Store> {
    Store::restore(from, dir, Onto::Nothing, &mut |_| {}).unwrap();
    let store = Store::open(dir, Options::default()).unwrap();
    let report = store.verify().unwrap();
    assert!(report.is_clean(), "{report:?}");
    store
}

/// A store with something of many kinds, and 4 MB of comparisons.
fn filled() -> Fixture {
    let f = Fixture::new(eager());
    let cpu = key("shop/a", Signal::Cpu);
    for minute in 0..30 {
        f.append(minutes(&cpu, &[(minute, minute as f64)])).unwrap();
    }
    for generation in 1..=3 {
        let record = super::ledger::record("edge", generation, 7);
        f.store().append_with(&record, &[]).unwrap();
    }
    super::tracks::learn(f.store(), 5);
    for n in 10..50 {
        keep(f.store(), &[(&format!("t{n}"), n)], &[]);
    }
    f
}

#[test]
fn what_is_written_meanwhile_is_not_in_a_backup_and_everything_from_before_is() {
    let mut f = filled();
    let cpu = key("shop/a", Signal::Cpu);
    let before = kept(f.store());
    let states = super::objects::fitted();
    States::save(&**f.store(), &states).unwrap();
    let series = f.store().column(&cpu, grid(0, 60, 60)).unwrap();
    let file = to(&f, "backup");
    let mut turns = 0;
    let store = f.store().clone();
    let manifest = store
        .backup(&file, &mut |_| {
            // Ahead of it and behind it, anew, otherwise and away.
            let name = |n: u8| format!("t{n}");
            keep(
                &store,
                &[(&name(49), 100 + turns), (&name(10), 101), ("t99", 3)],
                &[&name(48 - turns % 9), &name(11 + turns % 9)],
            );
            keep(&store, &[("t99", 7)], &["t100"]);
            f.append(minutes(&cpu, &[(100 + i64::from(turns), 1.0)]))
                .unwrap();
            States::forget(
                &*store,
                &[(states[0].key.clone(), states[0].module, states[0].config)],
            )
            .unwrap();
            super::tracks::learn(&store, 90);
            let next = store.last(&"edge".parse().unwrap()).unwrap().next();
            store
                .append_with(&super::ledger::record("edge", next.0, 8), &[])
                .unwrap();
            turns += 1;
        })
        .unwrap();
    assert!(turns >= 6, "{turns} pieces are too few to mean anything");
    assert_eq!(manifest.kinds["trial"].0, 600, "each in fifteen parts");
    assert!(manifest.kinds.contains_key("layout") && manifest.kinds.contains_key("state"));
    assert_ne!(kept(&store), before);
    drop(store);
    assert_eq!(Store::check_backup(&file, &mut |_| {}), Ok(manifest));

    let home = to(&f, "restored");
    let again = restored(&file, &home);
    assert_eq!(kept(&again), before);
    assert_eq!(States::load(&*again).unwrap(), states);
    super::tracks::check_learned(&again, 5, 0);
    assert_eq!(
        Tracks::load(&*again).unwrap().tracks[0].issued,
        Timestamp(5)
    );
    assert_eq!(again.last(&"edge".parse().unwrap()).unwrap().0, 3);
    let column = again.column(&cpu, grid(0, 60, 60)).unwrap();
    assert_eq!(bits(&column), bits(&series));
    // And it goes on as a store does.
    assert_eq!(
        append(&again, minutes(&cpu, &[(60, 1.0)]))
            .unwrap()
            .sequence,
        31
    );
    again.close();
    f.restart();
    f.clean();
    std::fs::remove_dir_all(home).unwrap();
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_backup_during_ingest_tears_nothing_and_holds_what_was_acknowledged_before() {
    let mut f = Fixture::new(Options {
        block_bytes: 4000,
        ..Options::default()
    });
    let (acked, is_over) = (
        Arc::new(AtomicI64::new(-1)),
        Arc::new(AtomicBool::new(false)),
    );
    let names: Vec<_> = (0..40)
        .map(|s| key(&format!("t/{s}"), Signal::Cpu))
        .collect();
    let writer = std::thread::spawn({
        let (store, acked, is_over) = (f.store().clone(), acked.clone(), is_over.clone());
        let names = names.clone();
        move || {
            for minute in 0.. {
                let series = names
                    .iter()
                    .flat_map(|k| minutes(k, &[(minute, minute as f64)]).series);
                append(
                    &store,
                    SampleBatch {
                        series: series.collect(),
                    },
                )
                .unwrap();
                acked.store(minute, Ordering::SeqCst);
                let n = (minute % 200) as u8;
                keep(&store, &[("a", n), ("z", n)], &[]);
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
            }
        }
    });
    for n in 0..4 {
        while acked.load(Ordering::SeqCst) < 40 * (n + 1) {
            std::thread::yield_now();
        }
        let before = acked.load(Ordering::SeqCst);
        let (file, home) = (to(&f, &format!("b{n}")), to(&f, &format!("r{n}")));
        f.store().backup(&file, &mut |_| {}).unwrap();
        let again = restored(&file, &home);
        let pair = kept(&again);
        assert!(pair.len() == 2 && pair[0].1 == pair[1].1, "torn: {pair:?}");
        // What was acknowledged by then is there; of what came later there is all of a batch or nothing.
        let ends: Vec<_> = names.iter().map(|k| again.newest(k).unwrap()).collect();
        assert!(
            ends.iter()
                .all(|end| *end == ends[0] && end.0 >= (before + 1) * 60_000)
        );
        let column = again
            .column(&names[7], grid(0, 60, before as usize + 1))
            .unwrap();
        let expected: Vec<f64> = (0..=before).map(|m| m as f64).collect();
        assert_eq!(bits(&column), of_values(&expected));
        again.close();
        std::fs::remove_dir_all(home).unwrap();
        std::fs::remove_file(file).unwrap();
    }
    is_over.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    f.restart();
    f.clean();
}

#[test]
fn a_backup_that_was_cut_off_or_altered_anywhere_is_never_restored() {
    let mut f = filled();
    f.stop();
    let file = to(&f, "whole");
    let manifest = Store::backup_of(f.dir.path(), &file, &mut |_| {}).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let (bad, home) = (to(&f, "bad"), to(&f, "nowhere"));
    let refused = |bytes: &[u8]| {
        std::fs::write(&bad, bytes).unwrap();
        let error = Store::restore(&bad, &home, Onto::Nothing, &mut |_| {}).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        assert!(!home.join("sled").exists());
        error.to_string()
    };
    let long = bytes.len();
    for cut in (0..long).step_by(long / 31).chain(long - 40..long) {
        let told = refused(&bytes[..cut]);
        assert!(cut < 18 || told.contains("not whole"), "{cut}: {told}");
    }
    // Every byte of the head and the end, and some of what is between.
    for at in (0..200)
        .chain((200..long).step_by(long / 31))
        .chain(long - 200..long)
    {
        let mut altered = bytes.clone();
        altered[at] ^= 0x10;
        refused(&altered);
    }
    let mut longer = bytes.clone();
    longer.extend_from_slice(b"more");
    refused(&longer);
    let twice = [&bytes[..long], &bytes[..long]].concat();
    refused(&twice);
    // Two values that changed places are the same values.
    std::fs::write(&bad, &bytes).unwrap();
    assert_eq!(
        Store::restore(&bad, &home, Onto::Nothing, &mut |_| {}),
        Ok(manifest)
    );
    for path in [&bad, &file] {
        std::fs::remove_file(path).unwrap();
    }
    std::fs::remove_dir_all(home).unwrap();
}

#[test]
fn what_is_there_is_not_written_over_unless_told() {
    let mut f = filled();
    let file = to(&f, "once");
    let manifest = f.store().backup(&file, &mut |_| {}).unwrap();
    let again = f
        .store()
        .backup(&file, &mut |_| {})
        .unwrap_err()
        .to_string();
    assert!(again.contains("name a new file"), "{again}");
    keep(f.store(), &[("t10", 200), ("later", 1)], &[]);
    let restore = |dir: &Path, onto| Store::restore(&file, dir, onto, &mut |_| {});
    // A daemon that has it open keeps it.
    for onto in [Onto::Nothing, Onto::Store] {
        let open = restore(f.dir.path(), onto).unwrap_err().to_string();
        assert!(open.contains("already open"), "{open}");
    }
    f.stop();
    let there = restore(f.dir.path(), Onto::Nothing)
        .unwrap_err()
        .to_string();
    assert!(there.contains("there is a store"), "{there}");
    f.store = Some(Store::open(f.dir.path(), f.options.clone()).unwrap());
    assert_eq!(kept(f.store()).len(), 41);
    f.stop();
    assert_eq!(restore(f.dir.path(), Onto::Store), Ok(manifest));
    f.store = Some(Store::open(f.dir.path(), f.options.clone()).unwrap());
    let now = kept(f.store());
    assert_eq!((now.len(), &now[0]), (40, &("t10".to_owned(), 10)));
    f.clean();
    std::fs::remove_file(file).unwrap();
}

#[test]
fn one_backup_at_a_time_and_a_damaged_store_gives_none() {
    let mut f = filled();
    let (file, other) = (to(&f, "one"), to(&f, "two"));
    let store = f.store().clone();
    let mut told = String::new();
    store
        .backup(&file, &mut |_| {
            told = store.backup(&other, &mut |_| {}).unwrap_err().to_string();
        })
        .unwrap();
    assert!(told.contains("wait for its end"), "{told}");
    assert!(!other.exists());
    // The next one is not in the way of the last.
    let third: Result<Manifest, _> = store.backup(&other, &mut |_| {});
    assert!(third.is_ok());
    drop(store);
    f.stop();
    {
        let db = super::damage::behind(&f);
        let (key, value) = db.scan_prefix([1, 0, 0, 14]).nth(20).unwrap().unwrap();
        db.insert(&key, &value[..value.len() - 1]).unwrap();
        db.flush().unwrap();
    }
    let before: Vec<_> = listed(f.dir.path());
    for path in [&file, &other] {
        std::fs::remove_file(path).unwrap();
        let error = Store::backup_of(f.dir.path(), path, &mut |_| {}).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(!path.exists() && !path.with_extension("one.partial").exists());
    }
    let error = Store::compact(f.dir.path(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    drop(super::damage::behind(&f));
    // What was begun of a compaction goes when the store is opened next.
    f.store = Some(Store::open(f.dir.path(), f.options.clone()).unwrap());
    assert_eq!(listed(f.dir.path()), before);
}

fn listed(dir: &Path) -> Vec<String> {
    let names = dir.read_dir().unwrap().map(|e| e.unwrap().file_name());
    let mut names: Vec<_> = names.map(|n| n.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
