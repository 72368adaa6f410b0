//! What a damaged store still holds is in the new one, and what it does not is named.

use super::damage::{behind, records};
use super::ledger::record;
use super::*;
use std::path::PathBuf;
use tidegate_core::ids::{Generation, PoolId};
use tidegate_core::ports::storage::Ledger;
use tidegate_core::record::Record;
use tidegate_store::{Loss, Salvaged};

/// Two apis, one of them sealed long ago, and the rest in write-ahead records.
fn filled() -> Fixture {
    let mut f = Fixture::new(eager());
    let cpu = key("shop/a", Signal::Cpu);
    for m in 0..4 {
        f.append(minutes(&cpu, &[(m, m as f64)])).unwrap();
    }
    f.until(|s| s.wal_records == 0);
    f.options = Options::default();
    f.restart();
    for m in 4..9 {
        f.append(minutes(&cpu, &[(m, m as f64)])).unwrap();
    }
    f.append(minutes(&key("shop/b", Signal::Cpu), &[(7, 70.0)]))
        .unwrap();
    f
}

fn salvage(f: &Fixture) -> (PathBuf, Salvaged) {
    let to = f.dir.path().join("new");
    let done = Store::salvage(f.dir.path(), &to, &mut |_| {}).unwrap();
    (to, done)
}

/// Opens what was salvaged, which has to be whole.
fn whole(to: &std::path::Path) -> Arc<Store> {
    let store = Store::open(to, Options::default()).unwrap();
    let report = store.verify().unwrap();
    assert!(report.is_clean(), "{report:?}");
    store
}

/// Flips a bit of every value of a kind that `which` picks by its place.
fn flip(f: &mut Fixture, kind: u8, which: impl Fn(usize) -> bool) -> usize {
    f.stop();
    let db = behind(f);
    let found: Vec<_> = db
        .scan_prefix([1, 0, 0, kind])
        .map(Result::unwrap)
        .collect();
    let mut flipped = 0;
    for (_, (key, value)) in found.iter().enumerate().filter(|(i, _)| which(*i)) {
        let mut bad = value.to_vec();
        let middle = bad.len() / 2;
        bad[middle] ^= 4;
        db.insert(key, bad).unwrap();
        flipped += 1;
    }
    db.flush().unwrap();
    flipped
}

fn values(store: &Store, api: &str) -> Vec<f64> {
    let column = store.column(&key(api, Signal::Cpu), grid(0, 60, 10));
    let present = column.unwrap().values.into_iter();
    present.filter(|v| !v.is_nan()).collect()
}

fn kinds(losses: &[Loss]) -> Vec<&str> {
    losses.iter().map(|loss| loss.kind.as_str()).collect()
}

#[test]
fn of_a_whole_store_everything_is_salvaged() {
    let mut f = filled();
    f.stop();
    let (to, done) = salvage(&f);
    assert_eq!(done.losses, []);
    let store = whole(&to);
    assert_eq!(
        values(&store, "shop/a"),
        [0., 1., 2., 3., 4., 5., 6., 7., 8.]
    );
    assert_eq!(values(&store, "shop/b"), [70.0]);
    // It goes on where the old one would have.
    append(&store, minutes(&key("shop/a", Signal::Cpu), &[(9, 9.0)])).unwrap();
    let again = Store::salvage(f.dir.path(), &to, &mut |_| {}).unwrap_err();
    assert!(again.to_string().contains("new directory"), "{again}");
}

#[test]
fn a_lost_block_is_told_by_series_and_time_and_its_neighbours_stay() {
    let mut f = filled();
    f.stop();
    super::damage::flip_block(f.dir.path(), 60_000);
    let (to, done) = salvage(&f);
    let [place, loss] = done.losses.as_slice() else {
        panic!("{:?}", done.losses);
    };
    assert_eq!(place.kind, "log");
    assert_eq!((loss.kind.as_str(), loss.samples), ("block", 1));
    assert!(
        loss.series.contains(&key("shop/a", Signal::Cpu)),
        "{loss:?}"
    );
    let span = (Timestamp::from_secs(60), Timestamp::from_secs(120));
    assert_eq!(loss.span, Some(span));
    let store = whole(&to);
    assert_eq!(values(&store, "shop/a"), [0., 2., 3., 4., 5., 6., 7., 8.]);
}

#[test]
fn a_lost_record_is_told_by_its_time_and_those_around_it_stay() {
    let mut f = filled();
    f.stop();
    let (log, mut bytes, starts) = records(&f);
    let second = starts[starts.len() - 5];
    bytes[second + 30] ^= 4;
    std::fs::write(&log, &bytes).unwrap();
    assert!(Store::open(f.dir.path(), Options::default()).is_err());
    let (to, done) = salvage(&f);
    assert!(std::fs::read(log).unwrap() == bytes, "it was only read");
    assert_eq!(kinds(&done.losses), ["log", "wal"]);
    let span = (Timestamp::from_secs(240), Timestamp::from_secs(420));
    assert_eq!(done.losses[1].span, Some(span), "between its neighbours");
    let store = whole(&to);
    assert_eq!(values(&store, "shop/a"), [0., 1., 2., 3., 4., 6., 7., 8.]);
    assert_eq!(values(&store, "shop/b"), [70.0]);
    append(&store, minutes(&key("shop/a", Signal::Cpu), &[(5, 55.0)])).unwrap();
    assert_eq!(values(&store, "shop/a").len(), 9);
}

#[test]
fn records_that_are_missing_are_lost_like_damaged_ones() {
    let mut f = filled();
    f.stop();
    let (log, mut bytes, starts) = records(&f);
    let n = starts.len();
    bytes.drain(starts[n - 5]..starts[n - 3]);
    std::fs::write(log, bytes).unwrap();
    let (to, done) = salvage(&f);
    assert_eq!(kinds(&done.losses), ["wal", "wal"]);
    assert_eq!(values(&whole(&to), "shop/a"), [0., 1., 2., 3., 4., 7., 8.]);
}

#[test]
fn with_a_lost_page_its_series_are_lost_and_no_others() {
    let mut f = filled();
    // More than one group.
    let many: Vec<String> = (0..100).map(|i| format!("many/api-{i}")).collect();
    for api in &many {
        f.append(minutes(&key(api, Signal::Cpu), &[(3, 3.0)]))
            .unwrap();
    }
    assert_eq!(flip(&mut f, 1, |i| i == 0), 1);
    let (to, done) = salvage(&f);
    let found = kinds(&done.losses);
    assert_eq!(found.iter().filter(|k| **k == "group").count(), 1);
    // Its blocks are there, and nobody knows whose they are; so are its unsealed samples.
    let block = done.losses.iter().find(|l| l.kind == "block").unwrap();
    assert_eq!(block.samples, 4);
    let wal: u64 = done
        .losses
        .iter()
        .filter(|l| l.kind == "wal")
        .map(|l| l.samples)
        .sum();
    assert_eq!(wal, 6 + 18, "of twenty series of that group");
    let store = whole(&to);
    assert_eq!(store.series().len(), 102 - 20);
    assert_eq!(values(&store, "many/api-99"), [3.0]);
    append(&store, minutes(&key("shop/a", Signal::Cpu), &[(4, 4.5)])).unwrap();
    assert_eq!(values(&store, "shop/a"), [4.5]);
}

#[test]
fn a_ledger_with_a_gap_begins_after_it() {
    let mut f = filled();
    for generation in 1..=6 {
        let record = Record {
            amends: None,
            ..record("edge", generation, generation as i64 * 60_000)
        };
        Ledger::append(&**f.store(), &record).unwrap();
    }
    assert_eq!(flip(&mut f, 4, |i| i == 2), 1);
    let (to, done) = salvage(&f);
    let of: Vec<&str> = done.losses.iter().map(|l| l.of.as_str()).collect();
    assert!(of[0].starts_with("plan 3 of pool"), "{of:?}");
    assert!(of[1].starts_with("plans 1 to 2 of pool"), "{of:?}");
    assert_eq!(of.len(), 2);
    let store = whole(&to);
    let edge: PoolId = "edge".parse().unwrap();
    assert_eq!(store.last(&edge), Some(Generation(6)));
    assert!(store.record(&edge, Generation(4)).unwrap().is_some());
    assert!(store.record(&edge, Generation(2)).unwrap().is_none());
}

#[test]
fn a_damaged_layout_and_damaged_marks_keep_nothing_back() {
    let mut f = filled();
    flip(&mut f, 0, |_| true);
    let db = behind(&f);
    db.insert(b"\0layout", vec![1, 2, 3]).unwrap();
    db.insert([1, 0, 0, 77, 5], b"of a later version").unwrap();
    db.flush().unwrap();
    drop(db);
    let (to, done) = salvage(&f);
    let mut found = kinds(&done.losses);
    found.sort_unstable();
    assert_eq!(found, ["kind-77", "layout", "marks"]);
    let store = whole(&to);
    assert_eq!(values(&store, "shop/a").len(), 9);
    let stored = append(&store, minutes(&key("shop/a", Signal::Cpu), &[(9, 9.0)])).unwrap();
    assert_eq!(stored.sequence, 11, "batches are counted on");
}
