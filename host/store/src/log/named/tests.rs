//! A log of named values against a map: what is named is there, whatever was emptied, ended or cut in between.

use super::super::{ASIDE, Damage, Entries, Log, Op, open};
use super::*;
use crate::codec::frame;
use crate::keys::{self, Kind};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

fn opening(dir: &Path) -> open::Opening {
    Log::open(dir, Kind::Block, Life::Named, Damage::Refused).unwrap()
}

/// The log without what is not named.
fn open(dir: &Path, named: &Model) -> Arc<Log> {
    let opened = opening(dir);
    assert_eq!(opened.lost, []);
    opened.log.keep(|key, _| named.contains_key(key));
    opened.log
}

/// A place in memory, where there is one: what is asked here is not asked of a disk.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    home.unwrap()
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn held(log: &Arc<Log>) -> Model {
    Entries::new(log, Bound::Unbounded, Bound::Unbounded)
        .map(|item| item.map(|(k, v)| (k.to_vec(), v.to_vec())).unwrap())
        .collect()
}

fn key(n: u32) -> Vec<u8> {
    keys::block(i64::from(n) * 60_000, 7, n)
}

fn value(n: u32, version: u32) -> Vec<u8> {
    let long = 50 + (n * 37 + version * 101) % 400;
    let payload: Vec<u8> = (0..long).map(|i| (i * 7 + n + version) as u8).collect();
    frame(&key(n), &payload)
}

fn put(n: u32, version: u32) -> Op {
    (key(n), Some(value(n, version)))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut all: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// What the keeper does, once the database is synced.
fn give_back(log: &Log) {
    for round in 0.. {
        let has_moved = log.clean(u64::MAX).unwrap();
        let empty = log.empty();
        log.sync().unwrap();
        log.remove(&empty).unwrap();
        if !has_moved || !log.is_to_clean() {
            return;
        }
        assert!(round < 10_000, "it does not come to an end");
    }
}

/// A log of so many values, and what is in it.
fn filled(dir: &Path, count: u32) -> (Arc<Log>, Model) {
    let (log, mut model) = (opening(dir).log, Model::new());
    for n in 0..count {
        log.stage(&[put(n, 0)]).unwrap().show();
        model.insert(key(n), value(n, 0));
    }
    (log, model)
}

#[test]
fn a_value_is_seen_once_it_is_shown_and_is_nobodys_if_it_never_was() {
    let home = home();
    let log = opening(home.path()).log;
    let staged = log.stage(&[put(1, 0), put(2, 0)]).unwrap();
    assert_eq!(held(&log), Model::new());
    assert!(staged.keys().eq([key(1), key(2)].iter().map(Vec::as_slice)));
    staged.show();
    drop(log.stage(&[put(3, 0)]).unwrap());
    let model = Model::from([(key(1), value(1, 0)), (key(2), value(2, 0))]);
    assert_eq!(held(&log), model);
    drop(log);
    // A crash leaves what was staged; no page names it.
    let opened = opening(home.path()).log;
    assert_eq!(opened.keep(|k, _| model.contains_key(k)), 1);
    assert_eq!(held(&opened), model);
}

#[test]
fn what_is_gone_gives_its_room_back_and_what_is_staged_keeps_its_own() {
    let home = home();
    let (log, mut model) = filled(home.path(), 400);
    let staged = log.stage(&[put(1000, 0)]).unwrap();
    let full = log.size();
    thin(&log, &mut model);
    give_back(&log);
    let live: u64 = model.values().map(|v| v.len() as u64).sum();
    assert!(
        log.size() < live * 2 + 4 * LEAST && log.size() < full / 2,
        "{full} {}",
        log.size()
    );
    assert_eq!(held(&log), model);
    staged.show();
    model.insert(key(1000), value(1000, 0));
    assert_eq!(held(&log), model);
    drop(log);
    assert_eq!(held(&open(home.path(), &model)), model);
}

/// Lets go of all values but every eighth.
fn thin(log: &Log, model: &mut Model) {
    for n in (0..400).filter(|n| n % 8 != 0) {
        log.forget([key(n)].iter().map(Vec::as_slice));
        model.remove(&key(n));
    }
}

#[test]
fn what_is_read_wrongly_is_not_moved_and_the_others_give_their_room_back_nonetheless() {
    let home = home();
    let (log, mut model) = filled(home.path(), 400);
    let full = log.size();
    thin(&log, &mut model);
    let first = files(home.path()).remove(0);
    let file = OpenOptions::new().write(true).open(&first).unwrap();
    // In the first value, which stays: behind the frame's own head, before its end.
    file.write_all_at(b"????", 90).unwrap();
    assert_ne!(log.get(&key(0)).unwrap(), Some(value(0, 0)));
    for _ in 0..100 {
        give_back(&log);
    }
    assert!(
        first.exists(),
        "what is damaged stays where it can be found"
    );
    assert!(log.size() < full / 2, "{full} {}", log.size());
    let at = crate::shared::reading(&log.inner).places[&key(0)].segment;
    assert_eq!(at, 1);
    for (key, value) in model.iter().skip(1) {
        assert_eq!(log.get(key).unwrap().as_ref(), Some(value));
    }
}

#[test]
fn nothing_is_moved_to_where_there_is_no_room_for_it() {
    let home = home();
    let (log, mut model) = filled(home.path(), 400);
    thin(&log, &mut model);
    let full = log.size();
    assert!(log.is_to_clean());
    assert!(!log.clean(0).unwrap());
    assert_eq!(log.size(), full);
    assert!(log.clean(u64::MAX).unwrap());
    assert_eq!(held(&log), model);
}

#[test]
fn a_segment_stays_until_its_removal_is_asked_for() {
    let home = home();
    let (log, model) = filled(home.path(), 100);
    log.forget(model.keys().map(Vec::as_slice));
    assert!(held(&log).is_empty());
    drop(log);
    // The power was cut before the page without them was synced: the older page names them still.
    let log = open(home.path(), &model);
    assert_eq!(held(&log), model);
}

#[test]
fn an_ended_segment_is_opened_by_its_index_and_without_one_by_its_frames() {
    let home = home();
    let (log, model) = filled(home.path(), 200);
    log.close().unwrap();
    drop(log);
    let all = files(home.path());
    assert!(all.len() > 3);
    // A value that is damaged is found when it is read; nobody reads it to open the log.
    let first = OpenOptions::new().write(true).open(&all[0]).unwrap();
    first.write_all_at(b"?", 200).unwrap();
    let log = open(home.path(), &model);
    assert_eq!(held(&log).len(), model.len());
    drop(log);
    // The index is damaged as well: the frames tell, all but the one that is damaged.
    let end = first.metadata().unwrap().len();
    first.write_all_at(b"?", end - 1).unwrap();
    let opened = opening(home.path());
    assert!(!opened.lost.is_empty());
    let there = held(&opened.log);
    assert_eq!(there.len(), model.len() - 1);
    assert!(there.iter().all(|(key, value)| model[key] == *value));
}

#[test]
fn a_segment_that_is_gone_takes_its_own_values_along_and_no_others() {
    let home = home();
    let (log, model) = filled(home.path(), 200);
    drop(log);
    std::fs::remove_file(&files(home.path())[1]).unwrap();
    let log = open(home.path(), &model);
    let there = held(&log);
    assert!(there.len() < model.len() && there.len() > model.len() / 2);
    log.stage(&[put(500, 0)]).unwrap().show();
    assert_eq!(held(&log).len(), there.len() + 1);
}

#[test]
fn wherever_the_last_segment_ends_what_was_synced_before_is_there() {
    let home = home();
    let (log, mut model) = filled(home.path(), 9);
    let last = files(home.path()).pop().unwrap();
    let before = std::fs::metadata(&last).unwrap().len();
    log.stage(&[put(31, 0)]).unwrap().show();
    drop(log);
    assert_eq!(
        files(home.path()).last(),
        Some(&last),
        "it is the last one still"
    );
    let whole = std::fs::read(&last).unwrap();
    for cut in before..whole.len() as u64 {
        std::fs::write(&last, &whole[..cut as usize]).unwrap();
        assert_eq!(held(&open(home.path(), &model)), model, "cut at {cut}");
    }
    std::fs::write(&last, &whole).unwrap();
    model.insert(key(31), value(31, 0));
    assert_eq!(held(&open(home.path(), &model)), model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_holds_what_a_map_holds(steps in prop::collection::vec((0_u32..9, 0_u32..40), 1..120)) {
        let home = home();
        let (mut log, mut model) = (opening(home.path()).log, Model::new());
        let mut staged = vec![];
        for (version, (what, n)) in (0..).zip(steps) {
            match what {
                0..=3 => {
                    log.stage(&[put(n, version), put(n + 40, version)]).unwrap().show();
                    model.insert(key(n), value(n, version));
                    model.insert(key(n + 40), value(n + 40, version));
                }
                4 => staged.push(log.stage(&[put(n + 100, version)]).unwrap()),
                5 => {
                    let gone: Vec<Vec<u8>> = (n..n + 20).map(key).collect();
                    log.forget(gone.iter().map(Vec::as_slice));
                    gone.iter().for_each(|key| drop(model.remove(key)));
                }
                6 => give_back(&log),
                7 => drop(log.clean(u64::MAX).unwrap()),
                _ => {
                    staged.clear();
                    drop(log);
                    log = open(home.path(), &model);
                }
            }
            prop_assert_eq!(held(&log).len(), model.len());
        }
        prop_assert_eq!(held(&log), model.clone());
        staged.clear();
        give_back(&log);
        prop_assert_eq!(held(&log), model.clone());
        let inner = crate::shared::reading(&log.inner);
        let live: u64 = inner.segments.values().map(|s| s.live).sum();
        let weight: u64 = model.values().map(|v| v.len() as u64 + ASIDE).sum();
        prop_assert_eq!(live, weight);
        prop_assert!(inner.segments.values().all(|s| s.staged == 0));
    }
}
