//! What the ledger lets go of, and what must not go before the record that names it.

use super::ledger::record;
use super::*;
use std::sync::Arc;
use tidegate_core::catalog::Catalog;
use tidegate_core::forecast::Track;
use tidegate_core::ids::{Digest, Generation, PoolId};
use tidegate_core::ports::storage::{Anchor, Ledger as _, Replays as _, SeriesState};
use tidegate_core::record::Record;
use tidegate_core::zone::{Zone, Zones};
use tidegate_store::Keep;

fn edge() -> PoolId {
    "edge".parse().unwrap()
}

/// A cycle's record, of a declared world.
fn plain(generation: u64, at: i64, declared: Digest) -> Record {
    let mut record = record("edge", generation, at);
    record.amends = None;
    record.as_of = generation;
    if let Some(basis) = &mut record.basis {
        basis.catalog = Some(declared);
    }
    record
}

fn anchor(model: &str) -> Anchor {
    let key = key("shop/a", Signal::Requests);
    let (module, config) = (Digest::of(b"ets"), Digest::of(b"{}"));
    Anchor {
        state: Some(SeriesState {
            key: key.clone(),
            module,
            config,
            format: 1,
            model: Arc::from(model.as_bytes()),
            state: vec![1, 2, 3],
            fitted_at: Timestamp(7),
            seen: Timestamp(9),
            prior: None,
        }),
        track: Some(Track::new(key.clone(), module, config, Step::MINUTE)),
        key,
        module,
        config,
    }
}

/// Anchors as they look, since a fresh track holds NaN.
fn told(anchors: &[Anchor]) -> Vec<String> {
    anchors.iter().map(|a| format!("{a:?}")).collect()
}

fn anchors(store: &Store, generation: u64) -> Vec<String> {
    told(&store.anchors(&edge(), Generation(generation)).unwrap())
}

/// A world that differs in its zones alone.
fn declared(offset_s: i32) -> Catalog {
    let zone = Zone::new(vec![(Timestamp(0), offset_s)]);
    Catalog {
        zones: Zones::new([("East".to_owned(), zone)].into()),
        ..Catalog::default()
    }
}

fn keep(since: i64, bytes: u64) -> Keep {
    Keep {
        since: Timestamp(since),
        bytes,
    }
}

#[test]
fn anchors_and_what_was_declared_come_back_exactly_and_go_with_their_records() {
    let mut f = Fixture::new(Options::default());
    let (one, two) = (declared(3600), declared(7200));
    let first = f.store().keep_catalog(&one).unwrap();
    let second = f.store().keep_catalog(&two).unwrap();
    assert_ne!(first, second);
    let put = |f: &Fixture, g: u64, declared, anchors: &[Anchor]| {
        let record = plain(g, g as i64 * 1000, declared);
        f.store().append_with(&record, anchors).unwrap();
    };
    put(&f, 1, first, &[anchor("a"), anchor("b")]);
    put(&f, 2, first, &[anchor("b")]);
    put(&f, 3, second, &[]);
    put(&f, 4, second, &[anchor("c")]);
    for _ in 0..2 {
        let store = f.store();
        assert_eq!(anchors(store, 1), told(&[anchor("a"), anchor("b")]));
        assert_eq!(store.anchors(&edge(), Generation(3)).unwrap(), []);
        assert_eq!(store.kept_catalog(&first).unwrap(), Some(one.clone()));
        assert_eq!(store.kept_catalog(&second).unwrap(), Some(two.clone()));
        f.clean();
        f.restart();
    }
    // The first goes: its model `a` with it, and `b` stays for the second.
    let trimmed = f.store().trim(&keep(1500, u64::MAX)).unwrap();
    assert_eq!((trimmed.records, trimmed.is_more), (1, false));
    assert_eq!(f.store().record(&edge(), Generation(1)).unwrap(), None);
    assert_eq!(f.store().anchors(&edge(), Generation(1)).unwrap(), []);
    assert_eq!(anchors(f.store(), 2), told(&[anchor("b")]));
    assert!(f.store().kept_catalog(&first).unwrap().is_some());
    // The world of before goes with the last record that was made in it.
    f.store().trim(&keep(2500, u64::MAX)).unwrap();
    assert_eq!(f.store().kept_catalog(&first).unwrap(), None);
    f.restart();
    assert!(f.store().kept_catalog(&second).unwrap().is_some());
    let kept = f.store().kept_records();
    assert_eq!(kept[0].plans, (Generation(3), Generation(4)));
    assert!(kept[0].bytes > 0 && kept[0].bytes == f.store().stat().unwrap().ledger_bytes);
    f.clean();
    put(&f, 5, second, &[]);
    f.clean();
}

#[test]
fn the_newest_record_and_what_it_amends_stay_and_size_decides_as_age_does() {
    let f = Fixture::new(Options::default());
    let world = f.store().keep_catalog(&Catalog::default()).unwrap();
    for g in 1..=5 {
        f.store().append_with(&plain(g, 0, world), &[]).unwrap();
    }
    for g in 6..=7 {
        let mut amends = plain(g, 0, world);
        (amends.amends, amends.basis) = (Some(Generation(5)), None);
        f.store().append_with(&amends, &[]).unwrap();
    }
    let all = f.store().stat().unwrap().ledger_bytes;
    let trimmed = f.store().trim(&keep(-1, all - 1)).unwrap();
    assert_eq!(trimmed.records, 1, "one is enough to be within the bound");
    assert_eq!(f.store().stat().unwrap().ledger_bytes, all - trimmed.bytes);
    f.store().trim(&keep(1, u64::MAX)).unwrap();
    let kept = f.store().kept_records();
    assert_eq!(kept[0].plans, (Generation(5), Generation(7)));
    assert!(f.store().whole(&edge(), Generation(7)).unwrap().is_some());
    f.clean();
}

/// Whether the sample of the third minute is not seen by who saw no more than this.
fn is_told_apart(f: &Fixture, cpu: &SeriesKey, sequence: u64) -> bool {
    let ends = [(cpu.clone(), Timestamp::from_secs(360))].into();
    let then = f.store().as_of(sequence, ends);
    then.column(cpu, grid(180, 60, 1)).unwrap().values[0].is_nan()
}

#[test]
fn what_tells_late_samples_apart_goes_when_every_record_has_seen_them() {
    let mut f = Fixture::new(Options::default());
    let cpu = key("shop/a", Signal::Cpu);
    let world = f.store().keep_catalog(&Catalog::default()).unwrap();
    f.append(minutes(&cpu, &[(0, 1.0), (5, 2.0)])).unwrap();
    f.append(minutes(&cpu, &[(3, 7.0)])).unwrap();
    let at = |f: &Fixture, sequence| is_told_apart(f, &cpu, sequence);
    assert_eq!((at(&f, 1), at(&f, 2)), (true, false));
    for g in 1..=3 {
        f.store()
            .append_with(&plain(g, g as i64 * 1000, world), &[])
            .unwrap();
    }
    f.store().trim(&keep(1500, u64::MAX)).unwrap();
    f.restart();
    // No record is left that saw the first batch alone, so it is told apart no more.
    assert_eq!((at(&f, 1), at(&f, 2)), (false, false));
    f.clean();
}

#[test]
fn what_tells_late_samples_apart_stays_while_many_old_records_go_piece_by_piece() {
    let mut f = Fixture::new(Options::default());
    let cpu = key("shop/a", Signal::Cpu);
    let world = f.store().keep_catalog(&Catalog::default()).unwrap();
    f.append(minutes(&cpu, &[(0, 1.0), (5, 2.0)])).unwrap();
    for g in 1..=200 {
        let mut record = plain(g, g as i64 * 10, world);
        record.as_of = 1;
        f.store().append_with(&record, &[]).unwrap();
    }
    f.append(minutes(&cpu, &[(3, 7.0)])).unwrap();
    while f.store().trim(&keep(1995, u64::MAX)).unwrap().is_more {}
    f.store().trim(&keep(1995, u64::MAX)).unwrap();
    f.restart();
    assert!(is_told_apart(&f, &cpu, 1), "the last record did not see it");
    f.clean();
}

#[test]
fn what_tells_late_samples_apart_goes_where_no_record_is_to_be_kept() {
    let mut f = Fixture::new(Options::default());
    let cpu = key("shop/a", Signal::Cpu);
    let world = f.store().keep_catalog(&Catalog::default()).unwrap();
    f.append(minutes(&cpu, &[(0, 1.0), (5, 2.0)])).unwrap();
    f.append(minutes(&cpu, &[(3, 7.0)])).unwrap();
    // A plan may be on its way that has seen what was there a minute ago.
    f.store().trim(&keep(0, u64::MAX)).unwrap();
    f.store().append_with(&plain(1, 1000, world), &[]).unwrap();
    f.store().trim(&keep(500, u64::MAX)).unwrap();
    assert!(is_told_apart(&f, &cpu, 1));
    // The pool is gone: its last record stays, older than any that is kept.
    f.store().trim(&keep(5000, u64::MAX)).unwrap();
    f.restart();
    assert!(!is_told_apart(&f, &cpu, 1));
    f.clean();
}

#[test]
fn a_copy_is_the_store_of_one_instant_and_what_is_written_goes_on() {
    let mut f = Fixture::new(eager());
    let cpu = key("shop/a", Signal::Cpu);
    let world = f.store().keep_catalog(&declared(3600)).unwrap();
    for minute in 0..40 {
        f.append(minutes(&cpu, &[(minute, minute as f64)])).unwrap();
    }
    f.append(minutes(&key("shop/b", Signal::Cpu), &[(5, 2.0), (3, 1.0)]))
        .unwrap();
    for g in 1..=3 {
        let record = plain(g, g as i64 * 1000, world);
        f.store().append_with(&record, &[anchor("a")]).unwrap();
    }
    let wanted = f.store().column(&cpu, grid(0, 60, 60)).unwrap();
    let target = f.dir.path().join("copy");
    let copied = f.store().copy_to(&target).unwrap();
    assert!(copied.bytes > 0);
    f.append(minutes(&cpu, &[(50, 9.0)])).unwrap();
    f.store().append_with(&plain(4, 4000, world), &[]).unwrap();

    let copy = Store::open(&target, Options::default()).unwrap();
    assert!(copy.verify().unwrap().is_clean());
    assert_eq!(
        bits(&copy.column(&cpu, grid(0, 60, 60)).unwrap()),
        bits(&wanted)
    );
    assert_eq!(copy.last(&edge()), Some(Generation(3)));
    for g in 1..=3 {
        let (there, here) = (
            copy.record(&edge(), Generation(g)),
            f.store().record(&edge(), Generation(g)),
        );
        assert_eq!(there.unwrap(), here.unwrap());
        assert_eq!(anchors(&copy, g), told(&[anchor("a")]));
    }
    assert_eq!(copy.kept_catalog(&world).unwrap(), Some(declared(3600)));
    let again = f.store().copy_to(&target).unwrap_err().to_string();
    assert!(again.contains("new directory"), "{again}");
    drop(copy);
    f.restart();
    f.clean();
}
