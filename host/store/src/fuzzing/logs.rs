//! Segments of a log that somebody made up, frames with right checksums among them.

use crate::keys::{self, Kind};
use crate::log::{Damage, Entries, Life, Log};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use tidegate_core::ports::storage::StoreError;

/// Segments as bytes say: below 200 a frame (`length of its payload, two bytes | how much was synced, two bytes |
/// payload`), below 230 bytes as they are (`length | bytes`), beyond the next segment.
fn segments(mut data: &[u8]) -> Vec<Vec<u8>> {
    fn take<'a>(data: &mut &'a [u8], n: usize) -> &'a [u8] {
        let (head, tail) = data.split_at(n.min(data.len()));
        *data = tail;
        head
    }
    fn number(bytes: &[u8]) -> usize {
        bytes
            .iter()
            .rev()
            .fold(0, |n, byte| n << 8 | usize::from(*byte))
    }
    let mut all = vec![b"tidegate log 1\n".to_vec()];
    while let [what, rest @ ..] = data {
        data = rest;
        let Some(last) = all.last_mut() else {
            break;
        };
        match what {
            0..200 => {
                let length = number(take(&mut data, 2));
                let synced = number(take(&mut data, 2)) as u64;
                let payload = take(&mut data, length);
                let mut sum = crc32fast::Hasher::new();
                let length = payload.len() as u32;
                let head = [&length.to_le_bytes()[..], &synced.to_le_bytes()].concat();
                sum.update(&head);
                sum.update(payload);
                last.extend_from_slice(b"tglg");
                last.extend_from_slice(&head);
                last.extend_from_slice(&sum.finalize().to_le_bytes());
                last.extend_from_slice(payload);
            }
            200..230 => {
                let length = number(take(&mut data, 1));
                last.extend_from_slice(take(&mut data, length));
            }
            230.. => all.push(b"tidegate log 1\n".to_vec()),
        }
    }
    all
}

fn write(dir: &Path, data: &[u8]) {
    std::fs::create_dir_all(dir).expect("a directory is made");
    for (segment, n) in segments(data).into_iter().zip(1..) {
        std::fs::write(dir.join(format!("{n:010}.log")), segment).expect("a file is written");
    }
}

/// Damage is passed over, what is there is there again the next time, and it takes what comes.
fn named(dir: &Path, data: &[u8]) {
    write(dir, data);
    let open = || Log::open(dir, Kind::Block, Life::Named, Damage::Refused);
    let log = open().expect("damage is passed over").log;
    let mut expected = held(&log);
    let (key, value) = (keys::block(77, 7, 7), b"one more".to_vec());
    let staged = log.stage(&[(key.clone(), Some(value.clone()))]);
    assert!(held(&log) == expected, "what is staged is not seen");
    staged.expect("it takes what comes").show();
    expected.insert(key, value);
    assert!(held(&log) == expected);
    for _ in 0..100 {
        let has_moved = log.clean(u64::MAX).expect("what cannot be read stays");
        log.sync().expect("it is synced");
        log.remove(&log.empty()).expect("what is empty goes");
        assert!(held(&log) == expected, "cleaning changes what is there");
        if !has_moved {
            break;
        }
    }
    drop(log);
    let again = open().expect("and opens again").log;
    // What was emptied names nothing, so what was let go of before may be there again.
    again.keep(|key, _| expected.contains_key(key));
    assert!(
        held(&again) == expected,
        "it is otherwise when it is opened again"
    );
}

fn held(log: &Arc<Log>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let all = Entries::new(log, Bound::Unbounded, Bound::Unbounded);
    let all = all.map(|item| item.map(|(key, value)| (key.to_vec(), value.to_vec())));
    all.collect::<Result<_, _>>()
        .expect("what is named is read")
}

/// Makes a log in an empty directory, and opens it; whether there was no damage. The same segments are opened as a log
/// whose values are named.
///
/// # Panics
/// Where it cannot be mended, or is otherwise when it is opened again: a finding.
pub fn log(dir: &Path, data: &[u8]) -> bool {
    named(&dir.join("named"), data);
    write(dir, data);
    let open = |damage| Log::open(dir, Kind::Note, Life::InOrder, damage);
    let (is_whole, opened) = match open(Damage::Refused) {
        Ok(opened) => (true, opened),
        Err(StoreError::Damaged { .. }) => {
            (false, open(Damage::LeftOut).expect("damage is left out"))
        }
        Err(other) => panic!("the disk is not full: {other}"),
    };
    let (log, lost) = (opened.log, opened.lost);
    assert_eq!(is_whole, lost.is_empty());
    let mut expected = held(&log);
    drop(log);
    let again = open(Damage::Refused)
        .expect("what was open, or mended, opens")
        .log;
    assert!(
        held(&again) == expected,
        "it is otherwise when it is opened again"
    );
    let (key, value) = (keys::note(77), b"one more".to_vec());
    again
        .append(&[(key.clone(), Some(value.clone()))])
        .expect("it takes what comes");
    again.close().expect("it is closed");
    expected.insert(key, value);
    assert!(held(&again) == expected);
    drop(again);
    let last = open(Damage::Refused).expect("and opens again").log;
    assert!(
        held(&last) == expected,
        "it is otherwise when it was closed"
    );
    is_whole
}
