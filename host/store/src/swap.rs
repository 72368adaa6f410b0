//! A database that is written anew beside the one that is there, and put in its place as a whole.
//!
//! sled never gives space back, and a value's form or key changes between layouts: both need every value
//! written once more. It is written to a directory of its own, synced, opened again and compared with what
//! was to be written; only then it changes places with the old one. No file system that we rely on exchanges
//! two directories at once, so there are two renames, and [`settle`], which every opener calls first: whatever
//! moment a power cut chose, it finds either the old database whole or the new one, and goes on with that.
//!
//! | `sled` | incoming | outgoing | it was cut off while | what is done |
//! | --- | --- | --- | --- | --- |
//! | there | there | - | the new one was written | the new one is removed |
//! | - | there | there | they changed places | the new one, which was whole by then, takes the place |
//! | there | - | there | the old one was removed | the old one is removed |
//! | - | there | - | a first one was written | it is removed |
//! | - | - | there | (somebody removed the new one) | the old one comes back |

use crate::database::LARGE_SEGMENT;
use crate::disk::{Batch, Disk, io};
use crate::opening::{self, DATABASE};
use std::fs::File;
use std::path::{Path, PathBuf};
use tidegate_core::ports::storage::StoreError;

/// Where a new database is written.
const INCOMING: &str = "sled.incoming";
/// Where the one that it replaces goes before it is removed.
const OUTGOING: &str = "sled.outgoing";
/// Bytes of a batch: sled uses the room of what it rewrote again once that is flushed, so a file that is written
/// in small pieces stays small.
const BATCH_BYTES: usize = 512 << 10;

/// What is in a database, in whatever order it is looked at: how many values, their bytes with their keys,
/// and the sum of their checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) values: u64,
    pub(crate) bytes: u64,
    pub(crate) sum: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, key: &[u8], framed: &[u8]) {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(key);
        hasher.update(&(framed.len() as u64).to_le_bytes());
        hasher.update(framed);
        self.values += 1;
        self.bytes += (key.len() + framed.len()) as u64;
        self.sum = self.sum.wrapping_add(u64::from(hasher.finalize()));
    }
}

/// What is written; where that is not ended, it takes no room from the disk that may have been too small for it.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Where it cannot be removed, the next opening does.
        if let Some(path) = &self.0 {
            let _ = remove(path);
        }
    }
}

/// A new database while it is written.
pub(crate) struct Incoming {
    disk: Disk,
    /// Behind the database, which is closed before its files go.
    unfinished: Unfinished,
    batch: Batch,
    waiting: usize,
    tally: Tally,
}

impl Incoming {
    /// An empty one in the store's directory, whose lock the caller holds, for values that a database with these
    /// segments had: it gets the same.
    pub(crate) fn create(dir: &Path, lock: File, segment: usize) -> Result<Self, StoreError> {
        let path = dir.join(INCOMING);
        remove(&path)?;
        let unfinished = Unfinished(Some(path.clone()));
        Ok(Self {
            disk: opening::database(&path, lock, segment)?,
            unfinished,
            batch: Batch::default(),
            waiting: 0,
            tally: Tally::default(),
        })
    }

    /// Adds a value, which must not be there yet.
    pub(crate) fn put(&mut self, key: Vec<u8>, framed: &[u8]) -> Result<(), StoreError> {
        self.tally.add(&key, framed);
        self.waiting += key.len() + framed.len();
        self.batch.put_framed(key, framed);
        if self.waiting >= BATCH_BYTES {
            self.waiting = 0;
            self.disk.commit(std::mem::take(&mut self.batch))?;
        }
        Ok(())
    }

    /// Syncs it, opens it again, and compares what is there with what was put.
    pub(crate) fn finish(mut self, dir: &Path) -> Result<Whole, StoreError> {
        self.disk.commit(std::mem::take(&mut self.batch))?;
        let lock = self.disk.same_lock()?;
        let Self {
            disk,
            unfinished,
            tally,
            ..
        } = self;
        drop(disk);
        let again = opening::database(&dir.join(INCOMING), lock, LARGE_SEGMENT)?;
        let mut found = Tally::default();
        for item in again.scan_after(None) {
            let (key, value) = item?;
            found.add(&key, &value);
        }
        if found != tally {
            return Err(StoreError::Io {
                step: "write a database anew",
                cause: format!(
                    "{} values were written and {} are there, or they are others; the old one stands",
                    tally.values, found.values
                ),
            });
        }
        again.sync()?;
        Ok(Whole { tally, unfinished })
    }
}

/// A new database that is whole and synced.
pub(crate) struct Whole {
    pub(crate) tally: Tally,
    unfinished: Unfinished,
}

impl Whole {
    /// Bytes of its files.
    pub(crate) fn size(&self, dir: &Path) -> Result<u64, StoreError> {
        of(&dir.join(INCOMING))
    }

    /// Removes it: the old one is the better one.
    pub(crate) fn discard(self, dir: &Path) -> Result<(), StoreError> {
        remove(&dir.join(INCOMING))
    }

    /// Puts it in the place of the old one, if there is one, which is removed.
    pub(crate) fn put_in_place(mut self, dir: &Path) -> Result<(), StoreError> {
        // From here on it may be the only one.
        self.unfinished.0 = None;
        let (current, outgoing) = (dir.join(DATABASE), dir.join(OUTGOING));
        if current.exists() {
            remove(&outgoing)?;
            rename(&current, &outgoing)?;
        }
        rename(&dir.join(INCOMING), &current)?;
        sync_directory(dir)?;
        remove(&outgoing)
    }
}

/// Ends what a power cut has interrupted. The caller holds the directory's lock.
pub(crate) fn settle(dir: &Path) -> Result<(), StoreError> {
    let (current, incoming, outgoing) =
        (dir.join(DATABASE), dir.join(INCOMING), dir.join(OUTGOING));
    match (current.exists(), incoming.exists(), outgoing.exists()) {
        (_, false, false) => return Ok(()),
        (false, true, true) => {
            tracing::warn!(
                "a database that was written anew takes its place: that was interrupted"
            );
            rename(&incoming, &current)?;
        }
        (false, false, true) => {
            tracing::warn!("a database that was to be replaced comes back: its successor is gone");
            rename(&outgoing, &current)?;
        }
        (_, true, _) => tracing::warn!("a database that was not written to its end is removed"),
        (true, false, true) => tracing::warn!("a database that was replaced is removed"),
    }
    sync_directory(dir)?;
    remove(&incoming)?;
    remove(&outgoing)
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    std::fs::rename(from, to).map_err(|e| io("put a database in its place", &e))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(io("remove a database that is not needed", &e))
        }
        _ => Ok(()),
    }
}

/// Makes renames within a directory durable.
pub(crate) fn sync_directory(dir: &Path) -> Result<(), StoreError> {
    File::open(dir)
        .and_then(|d| d.sync_all())
        .map_err(|e| io("sync its directory", &e))
}

/// Bytes of a database's files.
pub(crate) fn size(dir: &Path) -> Result<u64, StoreError> {
    of(&dir.join(DATABASE))
}

fn of(path: &Path) -> Result<u64, StoreError> {
    fn under(path: &Path) -> std::io::Result<u64> {
        let mut bytes = 0;
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let about = entry.metadata()?;
            bytes += match about.is_dir() {
                true => under(&entry.path())?,
                false => about.len(),
            };
        }
        Ok(bytes)
    }
    under(path).map_err(|e| io("measure its files", &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of the three are there before, and which file `sled` holds afterwards.
    #[track_caller]
    fn check(before: [bool; 3], after: Option<&str>) {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path();
        for (name, is_there) in [DATABASE, INCOMING, OUTGOING].iter().zip(before) {
            if is_there {
                std::fs::create_dir(dir.join(name)).unwrap();
                std::fs::write(dir.join(name).join("is"), name).unwrap();
            }
        }
        settle(dir).unwrap();
        let held = std::fs::read_to_string(dir.join(DATABASE).join("is")).ok();
        assert_eq!(held.as_deref(), after, "{before:?}");
        assert!(!dir.join(INCOMING).exists() && !dir.join(OUTGOING).exists());
    }

    #[test]
    fn one_that_is_not_ended_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let lock = opening::lock(home.path()).unwrap();
        let incoming = |bytes: usize| {
            let lock = lock.try_clone().unwrap();
            let mut new = Incoming::create(home.path(), lock, LARGE_SEGMENT).unwrap();
            new.put(b"key".to_vec(), &vec![7; bytes]).unwrap();
            assert!(home.path().join(INCOMING).exists());
            new
        };
        drop(incoming(BATCH_BYTES + 1));
        assert!(!home.path().join(INCOMING).exists());
        drop(incoming(9).finish(home.path()).unwrap());
        assert!(!home.path().join(INCOMING).exists());
        incoming(9)
            .finish(home.path())
            .unwrap()
            .put_in_place(home.path())
            .unwrap();
        assert!(home.path().join(DATABASE).exists());
    }

    #[test]
    fn whatever_was_interrupted_one_whole_database_is_left() {
        check([false, false, false], None);
        check([true, false, false], Some(DATABASE));
        check([true, true, false], Some(DATABASE));
        check([false, true, true], Some(INCOMING));
        check([true, false, true], Some(DATABASE));
        check([true, true, true], Some(DATABASE));
        check([false, true, false], None);
        check([false, false, true], Some(OUTGOING));
    }
}
