//! From an older layout to this one.
//!
//! A change of layout is a function from a stored value to what stands in its place, one per version that it
//! leads away from. Opening a store of an older layout writes it once more through all of them, one after
//! another, into a database of its own, which then takes its place (`swap`): a power cut, a full disk or a
//! damaged value in between leaves the old store as it was, and it opens with the version that wrote it. In place
//! was rejected, because half a store of each layout is a store of neither.
//!
//! A newer layout than is known, or one from before the first step, is refused.
//!
//! | layout | what it is |
//! | --- | --- |
//! | 1 | everything is in sled |
//! | 2 | write-ahead records and notes are in logs; the same keys and values, written where they belong |
//! | 3 | so are blocks of samples and of cells |

use crate::codec::{Malformed, frame, unframe};
use crate::database::LARGE_SEGMENT;
use crate::disk::{Disk, sled_error};
use crate::keys;
use crate::options::Options;
use crate::store::Store;
use crate::swap::Incoming;
use std::path::Path;
use tidegate_core::ports::storage::StoreError;

/// What becomes of a value: its key and payload in the next layout; `None` where it has no place there.
type Change = fn(key: &[u8], payload: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, Malformed>;

/// A step from one layout to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// The layout that it leads away from, to the one that follows.
    pub(crate) from: u32,
    pub(crate) change: Change,
}

/// The steps that this code knows, ascending without a gap up to [`keys::LAYOUT_VERSION`].
pub(crate) const STEPS: &[Step] = &[elsewhere(1), elsewhere(2)];

/// A step after which values lie elsewhere: where is the disk's to know, and keys and values are as they were.
const fn elsewhere(from: u32) -> Step {
    Step {
        from,
        change: |key, payload| Ok(Some((key.to_vec(), payload.to_vec()))),
    }
}

impl Store {
    /// Brings the store in `dir`, which nobody may have open, to this layout: the one that it had, and this one.
    /// `tell` hears how many bytes were read so far.
    ///
    /// # Errors
    /// [`StoreError::Version`] where no way leads from it, [`StoreError::Damaged`] where a value is, or when it
    /// cannot be opened or written; it is then as it was.
    pub fn migrate(dir: &Path, tell: &mut dyn FnMut(u64)) -> Result<(u32, u32), StoreError> {
        let (opened, found) = Disk::open_by(dir, &Options::default(), STEPS, tell)?;
        drop(opened);
        Ok((found, keys::LAYOUT_VERSION))
    }
}

/// Bytes between two lines of the log.
const LINE: u64 = 256 << 20;

/// The layout of an open database; `None` in an empty one.
pub(crate) fn layout(db: &sled::Db) -> Result<Option<u32>, StoreError> {
    let stored = db.get(keys::LAYOUT);
    let stored = stored.map_err(|e| sled_error("read its layout version", &e))?;
    let Some(value) = stored else {
        // A database without a version was not written by us, whatever else is in it.
        return match db.is_empty() {
            true => Ok(None),
            false => Err(Malformed("there is none, and there are other values").at(keys::LAYOUT)),
        };
    };
    unframe(keys::LAYOUT, &value)
        .and_then(|v| v.try_into().map_err(|_| Malformed("it is no number")))
        .map(|v| Some(u32::from_be_bytes(v)))
        .map_err(|e| e.at(keys::LAYOUT))
}

/// Writes a store of an older layout once more, in this one.
pub(crate) fn migrate(
    dir: &Path,
    disk: Disk,
    (found, known): (u32, u32),
    steps: &[Step],
    tell: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let steps: Vec<&Step> = steps.iter().filter(|s| s.from >= found).collect();
    let leads = (found..known).eq(steps.iter().map(|s| s.from));
    if found >= known || !leads {
        return Err(StoreError::Version { found, known });
    }
    tracing::info!(
        found,
        known,
        "the store has an older layout: it is written anew"
    );
    let mut incoming = Incoming::create(dir, disk.same_lock()?, LARGE_SEGMENT)?;
    let layout = known.to_be_bytes();
    incoming.put(keys::LAYOUT.to_vec(), &frame(keys::LAYOUT, &layout))?;
    let (mut read, mut told) = (0, 0);
    for item in disk.scan_after(None) {
        let (key, value) = item?;
        if key == keys::LAYOUT {
            continue;
        }
        read += (key.len() + value.len()) as u64;
        tell(read);
        if read - told >= LINE {
            told = read;
            tracing::info!(bytes = read, "the store is being written in its new layout");
        }
        let payload = unframe(&key, &value).map_err(|e| e.at(&key))?;
        let mut now = Some((key.to_vec(), payload.to_vec()));
        for step in &steps {
            let Some((k, p)) = now else { break };
            now = (step.change)(&k, &p).map_err(|e| e.at(&key))?;
        }
        if let Some((key, payload)) = now {
            let framed = frame(&key, &payload);
            incoming.put(key, &framed)?;
        }
    }
    let whole = incoming.finish(dir)?;
    let values = whole.tally.values;
    let _lock = disk.same_lock()?;
    drop(disk);
    whole.put_in_place(dir)?;
    tracing::info!(known, values, "the store has the new layout");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Batch;

    /// Layout 0 of the tests: keys began with 0, and payloads were upside down.
    const FROM_0: Step = Step {
        from: 0,
        change: |key, payload| {
            let (Some(0), Some(rest)) = (key.first(), key.get(1..)) else {
                return Err(Malformed("the key is foreign"));
            };
            if rest == b"gone" {
                return Ok(None);
            }
            let key = [&[keys::VERSION], rest].concat();
            Ok(Some((key, payload.iter().rev().copied().collect())))
        },
    };

    /// A database of layout 0 with `values`.
    fn written(dir: &Path, layout: u32, values: &[(&[u8], &[u8])]) {
        let disk = Disk::open(dir, &Options::default()).unwrap().disk;
        let mut batch = Batch::default();
        batch.put(keys::LAYOUT.to_vec(), &layout.to_be_bytes());
        for (key, payload) in values {
            batch.put(key.to_vec(), payload);
        }
        disk.commit(batch).unwrap();
    }

    fn open(dir: &Path, steps: &[Step]) -> Result<Disk, StoreError> {
        let opened = Disk::open_by(dir, &Options::default(), steps, &mut |_| {});
        opened.map(|(opened, _)| opened.disk)
    }

    #[test]
    fn an_older_layout_is_migrated_once_and_opens_from_then_on() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path();
        written(
            dir,
            0,
            &[(b"\0ab", b"123"), (b"\0gone", b"-"), (b"\0c", b"")],
        );
        let disk = open(dir, &[FROM_0, STEPS[0], STEPS[1]]).unwrap();
        assert_eq!(disk.get(b"\x01ab").unwrap().as_deref(), Some(&b"321"[..]));
        assert_eq!(disk.get(b"\x01c").unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(disk.scan_after(None).count(), 3);
        drop(disk);
        let disk = open(dir, STEPS).unwrap();
        assert_eq!(layout(&disk.main.db), Ok(Some(keys::LAYOUT_VERSION)));
        assert_eq!(disk.scan_after(None).count(), 3);
        assert!(!dir.join("sled.outgoing").exists() && !dir.join("sled.incoming").exists());
    }

    #[test]
    fn what_cannot_be_migrated_stands_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path();
        written(dir, 0, &[(b"\0ab", b"123"), (b"\x07foreign", b"4")]);
        for _ in 0..2 {
            let error = open(dir, &[FROM_0, STEPS[0], STEPS[1]])
                .unwrap_err()
                .to_string();
            assert!(error.contains("the key is foreign"), "{error}");
        }
        // Nor is it touched by a binary that knows no way.
        let error = open(dir, STEPS).unwrap_err();
        assert_eq!(error, StoreError::Version { found: 0, known: 3 });
        assert!(error.to_string().contains("too old"), "{error}");
        let lock = crate::opening::lock(dir).unwrap();
        let disk = crate::opening::database(&dir.join("sled"), lock, LARGE_SEGMENT).unwrap();
        let db = &disk.main.db;
        assert_eq!(db.len(), 3);
        assert!(db.contains_key(b"\0ab").unwrap());
    }

    /// A store of layout 1, as sled itself has it by default; what is in it but the layout.
    fn first(dir: &Path) -> [(Vec<u8>, &'static [u8]); 3] {
        let values: [(Vec<u8>, &[u8]); 3] = [
            (keys::marks(), b"marks"),
            (keys::wal(7), b"record"),
            (keys::note(3), b"note"),
        ];
        let db = sled::open(dir.join("sled")).unwrap();
        let layout = (keys::LAYOUT.to_vec(), &1_u32.to_be_bytes()[..]);
        for (key, payload) in [layout].iter().chain(&values) {
            db.insert(key, frame(key, payload)).unwrap();
        }
        db.flush().unwrap();
        values
    }

    fn holds_in_this_layout(dir: &Path, values: &[(Vec<u8>, &[u8])]) {
        let disk = crate::opening::database(
            &dir.join("sled"),
            crate::opening::lock(dir).unwrap(),
            LARGE_SEGMENT,
        )
        .unwrap();
        assert_eq!(layout(&disk.main.db), Ok(Some(keys::LAYOUT_VERSION)));
        assert_eq!(disk.main.db.len(), 2, "layout and marks");
        for (key, payload) in values {
            assert_eq!(disk.get(key).unwrap().as_deref(), Some(*payload));
        }
        assert_eq!(disk.scan_after(None).count(), 4);
        drop(disk);
        let conf = std::fs::read(dir.join("sled/conf")).unwrap();
        let conf = String::from_utf8_lossy(&conf).into_owned();
        assert!(conf.contains("segment_size: 2097152"), "{conf}");
    }

    #[test]
    fn records_and_notes_of_the_first_layout_move_into_logs() {
        let home = tempfile::tempdir().unwrap();
        let values = first(home.path());
        drop(open(home.path(), STEPS).unwrap());
        holds_in_this_layout(home.path(), &values);
    }

    #[test]
    fn a_backup_of_the_first_layout_is_restored_in_this_one() {
        let home = tempfile::tempdir().unwrap();
        let (old, new) = (home.path().join("old"), home.path().join("new"));
        std::fs::create_dir(&old).unwrap();
        let values = first(&old);
        let file = home.path().join("backup");
        let (disk, _) = crate::opening::damaged(&old).unwrap();
        assert_eq!(disk.backup(&file, &mut |_| {}).unwrap().layout, 1);
        Store::restore(&file, &new, crate::Onto::Nothing, &mut |_| {}).unwrap();
        holds_in_this_layout(&new, &values);
    }

    #[test]
    fn a_newer_layout_is_refused_with_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        written(home.path(), 9, &[]);
        let error = open(home.path(), &[FROM_0, STEPS[0], STEPS[1]]).unwrap_err();
        assert_eq!(error, StoreError::Version { found: 9, known: 3 });
        assert!(error.to_string().contains("newer"), "{error}");
    }

    #[test]
    fn the_steps_lead_to_the_present_layout() {
        let ends = STEPS.iter().map(|s| s.from + 1).next_back();
        assert!(ends.is_none_or(|end| end == keys::LAYOUT_VERSION));
        assert!(STEPS.windows(2).all(|s| s[0].from + 1 == s[1].from));
    }
}
