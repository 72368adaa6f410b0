//! A log against a map, cut at every byte, with bits flipped: nothing acknowledged is lost in silence, nothing else is
//! kept.

use super::*;
use crate::keys;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;

fn open(dir: &Path, damage: Damage) -> Result<open::Opening, StoreError> {
    Log::open(dir, Kind::Note, Life::InOrder, damage)
}

fn put(n: u64, value: &[u8]) -> Op {
    (keys::note(n), Some(value.to_vec()))
}

fn gone(n: u64) -> Op {
    (keys::note(n), None)
}

fn held(log: &Arc<Log>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    Entries::new(log, Bound::Unbounded, Bound::Unbounded)
        .map(|item| item.map(|(k, v)| (k.to_vec(), v.to_vec())).unwrap())
        .collect()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut all: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// A log of five synced batches of one value each, and where each frame begins.
fn five(dir: &Path) -> Vec<u64> {
    let log = open(dir, Damage::Refused).unwrap().log;
    let mut starts = vec![];
    for n in 1..=5 {
        starts.push(log.size());
        log.append(&[put(n, &[n as u8; 50])]).unwrap();
        log.sync().unwrap();
    }
    starts
}

fn flip(path: &Path, at: u64) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at as usize] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_batch_is_there_whole_or_not_at_all_wherever_the_file_ends() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path(), Damage::Refused).unwrap().log;
    let mut states = vec![(log.size(), held(&log))];
    for n in 1..8 {
        log.append(&[
            put(n, &[7; 30]),
            gone(n.saturating_sub(3)),
            put(100 + n, b""),
        ])
        .unwrap();
        states.push((log.size(), held(&log)));
    }
    drop(log);
    let path = &segments(home.path())[0];
    let whole = std::fs::read(path).unwrap();
    for end in 0..=whole.len() {
        std::fs::write(path, &whole[..end]).unwrap();
        let log = open(home.path(), Damage::Refused).unwrap().log;
        let there = states.iter().rev().find(|(len, _)| *len <= end as u64);
        let expected = there.map(|(_, held)| held.clone()).unwrap_or_default();
        assert_eq!(held(&log), expected, "cut at {end}");
        // It takes what comes, behind what is whole.
        log.append(&[put(999, b"next")]).unwrap();
        drop(log);
        let log = open(home.path(), Damage::Refused).unwrap().log;
        assert_eq!(log.get(&keys::note(999)).unwrap().unwrap(), b"next");
    }
}

#[test]
fn what_was_acknowledged_and_is_broken_is_damage_and_what_was_not_is_cut_off() {
    let home = tempfile::tempdir().unwrap();
    let starts = five(home.path());
    let path = &segments(home.path())[0];
    let whole = std::fs::read(path).unwrap();
    for (i, at) in starts.iter().enumerate() {
        for byte in [0, 5, 9, 17, 30] {
            std::fs::write(path, &whole).unwrap();
            flip(path, at + byte);
            let opened = open(home.path(), Damage::Refused);
            if i == 4 {
                // Nothing after it says that it was synced.
                assert_eq!(held(&opened.unwrap().log).len(), 4);
                continue;
            }
            let error = opened.unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains(&format!("byte {at}")), "{error}");
            let broken = std::fs::read(path).unwrap();
            let shown = open(home.path(), Damage::Shown).unwrap();
            assert_eq!((shown.lost.len(), held(&shown.log).len()), (1, 4));
            assert!(std::fs::read(path).unwrap() == broken);
            let opened = open(home.path(), Damage::LeftOut).unwrap();
            assert_eq!(opened.lost.len(), 1);
            let left = held(&opened.log);
            assert!(left.len() == 4 && !left.contains_key(&keys::note(i as u64 + 1)));
            drop(opened);
            // It is mended for good.
            assert_eq!(held(&open(home.path(), Damage::Refused).unwrap().log), left);
            segments(home.path())
                .iter()
                .for_each(|s| std::fs::remove_file(s).unwrap());
        }
    }
}

#[test]
fn after_a_close_every_byte_is_known_to_have_been_there() {
    let home = tempfile::tempdir().unwrap();
    let last = five(home.path())[4];
    let log = open(home.path(), Damage::Refused).unwrap().log;
    log.close().unwrap();
    drop(log);
    flip(&segments(home.path())[0], last + 30);
    let error = open(home.path(), Damage::Refused).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn frames_that_were_written_and_not_synced_may_be_lost_in_any_order() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path(), Damage::Refused).unwrap().log;
    log.append(&[put(1, b"one")]).unwrap();
    log.sync().unwrap();
    let at = log.size();
    log.append(&[put(2, b"two")]).unwrap();
    log.append(&[put(3, b"three")]).unwrap();
    drop(log);
    flip(&segments(home.path())[0], at + 25);
    let log = open(home.path(), Damage::Refused).unwrap().log;
    assert_eq!(held(&log).len(), 1);
}

#[test]
fn segments_go_with_their_last_value_and_a_missing_one_is_damage() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path(), Damage::Refused).unwrap().log;
    let value = vec![3; SEGMENT as usize / 8];
    for n in 0..40 {
        log.append(&[put(n, &value)]).unwrap();
    }
    assert!(segments(home.path()).len() >= 5);
    let old: Vec<Op> = (0..30).map(gone).collect();
    log.append(&old).unwrap();
    assert!(log.size() < 20 * SEGMENT / 8, "{}", log.size());
    assert!(segments(home.path()).len() <= 3);
    let before = held(&log);
    drop(log);
    let log = open(home.path(), Damage::Refused).unwrap().log;
    assert!(held(&log) == before && before.len() == 10);
    let all: Vec<Op> = (30..40).map(gone).collect();
    log.append(&all).unwrap();
    assert_eq!(segments(home.path()).len(), 1);
    for n in 0..30 {
        log.append(&[put(n, &value)]).unwrap();
    }
    drop(log);
    std::fs::remove_file(&segments(home.path())[1]).unwrap();
    let error = open(home.path(), Damage::Refused).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
    assert_eq!(open(home.path(), Damage::LeftOut).unwrap().lost.len(), 1);
    open(home.path(), Damage::Refused).unwrap();
}

#[test]
fn what_little_is_left_of_a_log_is_written_once_more_and_the_rest_goes() {
    let home = tempfile::tempdir().unwrap();
    let log = open(home.path(), Damage::Refused).unwrap().log;
    for n in 0..100 {
        log.append(&[put(n, &[n as u8; 3000])]).unwrap();
    }
    let half: Vec<Op> = (2..50).map(gone).collect();
    log.append(&half).unwrap();
    let (before, files) = (log.size(), segments(home.path()));
    log.gather().unwrap();
    assert_eq!(
        (log.size(), segments(home.path())),
        (before, files),
        "much is left"
    );
    let most: Vec<Op> = (50..99).map(gone).collect();
    log.append(&most).unwrap();
    log.gather().unwrap();
    assert_eq!(segments(home.path()).len(), 1);
    assert!(log.size() < 10_000, "{}", log.size());
    let kept = BTreeMap::from([0, 1, 99].map(|n| (keys::note(n), vec![n as u8; 3000])));
    assert_eq!(held(&log), kept);
    drop(log);
    assert_eq!(held(&open(home.path(), Damage::Refused).unwrap().log), kept);
}

#[derive(Debug, Clone)]
enum Act {
    Append(Vec<(u8, Option<u16>)>),
    Sync,
    Gather,
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    let op = (0_u8..12, prop::option::of(0_u16..3000));
    prop_oneof![
        4 => prop::collection::vec(op, 0..5).prop_map(Act::Append),
        1 => Just(Act::Sync),
        1 => Just(Act::Gather),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #[test]
    fn a_log_is_a_map_that_outlives_its_process(acts in prop::collection::vec(act(), 1..60)) {
        let home = tempfile::tempdir().unwrap();
        let mut log = open(home.path(), Damage::Refused).unwrap().log;
        let mut map = BTreeMap::new();
        for act in acts {
            match act {
                Act::Append(ops) => {
                    let of = |(n, len): &(u8, Option<u16>)| {
                        let value = len.map(|len| vec![*n; usize::from(len)]);
                        (keys::note(u64::from(*n)), value)
                    };
                    let ops: Vec<Op> = ops.iter().map(of).collect();
                    log.append(&ops).unwrap();
                    for (key, value) in ops {
                        match value {
                            Some(value) => map.insert(key, value),
                            None => map.remove(&key),
                        };
                    }
                }
                Act::Sync => log.sync().unwrap(),
                Act::Gather => log.gather().unwrap(),
                Act::Reopen => {
                    drop(log);
                    log = open(home.path(), Damage::Refused).unwrap().log;
                }
            }
            prop_assert_eq!(&held(&log), &map);
            let back: Vec<_> = Entries::new(&log, Bound::Unbounded, Bound::Unbounded)
                .rev()
                .map(|item| item.unwrap().0.to_vec())
                .collect();
            prop_assert!(back.iter().eq(map.keys().rev()));
        }
    }

    #[test]
    fn rubbish_is_never_a_frame_nor_a_panic(bytes: Vec<u8>, from in 0_usize..40) {
        let found = frame::Frame::find(&bytes, from.min(bytes.len()));
        prop_assert!(found.is_none());
    }
}
