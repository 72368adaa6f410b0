//! A disk that fills up is met before it is full.
//!
//! Once a write of sled's has failed, nothing of this process can be written any more: the kernel may have
//! dropped what was to be synced, so the first failure stands until the store is opened again (`disk`). So
//! the last [`RESERVE`] bytes of the disk are nobody's: with less than that left, what would grow is refused
//! at the door, before anything of it is written, and is taken again as soon as there is room. What is under
//! way by then (batches that wait, sealed blocks) fits into the reserve, and what frees room, as dropping old
//! records does, is not asked.
//!
//! A full disk is therefore no state to recover from. A quota, a limit on the size of files, or a neighbour
//! that takes the reserve as well can still fail a write: that refuses every later one, and a restart goes on
//! with all that was acknowledged.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use tidegate_core::ports::storage::StoreError;

/// Bytes of the disk that are kept free.
const RESERVE: u64 = 64 << 20;

/// Bytes that must be free again before more is taken: a little more, so that one that is just full does not
/// take every other batch.
const ENOUGH: u64 = RESERVE + RESERVE / 8;

/// What is known of the room.
#[derive(Debug, Default)]
pub(crate) struct Space {
    full: AtomicBool,
}

/// Bytes left on a file system; `None` of one that does not say.
pub(crate) fn left(told: rustix::io::Result<rustix::fs::StatVfs>) -> Option<u64> {
    // Some file systems answer, and know nothing of their size.
    let told = told.ok().filter(|told| told.f_blocks > 0)?;
    Some(told.f_bavail.saturating_mul(told.f_frsize))
}

/// Bytes that a copy leaves where the store lies, so that it does not make the store refuse anything.
const BESIDE: u64 = 3 * RESERVE;
/// Bytes of a copy between two looks.
const LOOK: u64 = 8 << 20;

/// The room of a copy that is made on the disk of a store that goes on.
#[derive(Debug)]
pub(crate) struct Beside {
    /// Where to look, if it is the same disk.
    at: Option<File>,
    written: u64,
}

impl Beside {
    /// For a copy in `place` of the store that holds `lock`. Where that cannot be told, nothing is looked at.
    pub(crate) fn new(place: &Path, lock: &File) -> Self {
        let same = File::open(place).ok().filter(|place| {
            let device = |file: &File| file.metadata().map(|about| about.dev());
            matches!((device(place), device(lock)), (Ok(a), Ok(b)) if a == b)
        });
        Self {
            at: same,
            written: LOOK,
        }
    }

    /// Asks for room for so many bytes more.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.written += bytes as u64;
        if self.written < LOOK {
            return Ok(());
        }
        self.written = 0;
        let free = self
            .at
            .as_ref()
            .and_then(|at| left(rustix::fs::fstatvfs(at)));
        enough(free)
    }
}

fn enough(free: Option<u64>) -> Result<(), StoreError> {
    match free.filter(|free| *free < BESIDE) {
        None => Ok(()),
        Some(free) => Err(StoreError::Refused {
            what: "a copy of the store on its own disk".into(),
            why: format!(
                "{} MiB are left there, and the store needs {} of them to go on; make room, or move `data` to a larger disk",
                free >> 20,
                BESIDE >> 20
            ),
        }),
    }
}

impl Space {
    /// Bytes that may be used for a while where `file` lies, so that others are given back.
    pub(crate) fn spare(&self, file: &File) -> u64 {
        let free = left(rustix::fs::fstatvfs(file));
        free.map_or(u64::MAX, |free| free.saturating_sub(ENOUGH))
    }

    /// Whether there is room where `file` lies. A file system that does not say is not full.
    pub(crate) fn check(&self, file: &File) -> Result<(), StoreError> {
        let Some(free) = left(rustix::fs::fstatvfs(file)) else {
            return Ok(());
        };
        let was_full = self.full.load(Ordering::Acquire);
        let wanted = if was_full { ENOUGH } else { RESERVE };
        let is_full = free < wanted;
        if is_full != was_full && self.full.swap(is_full, Ordering::AcqRel) == was_full {
            if is_full {
                tracing::error!(
                    free_bytes = free,
                    kept_free_bytes = RESERVE,
                    "the disk is full: the store takes nothing new until there is room"
                );
            } else {
                tracing::info!(free_bytes = free, "there is room on the disk again");
            }
        }
        if is_full {
            return Err(StoreError::Full { free, wanted });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_leaves_what_the_store_needs_and_another_disk_is_not_looked_at() {
        assert_eq!(enough(None), Ok(()));
        assert_eq!(enough(Some(BESIDE)), Ok(()));
        let told = enough(Some(BESIDE - 1)).unwrap_err().to_string();
        assert!(
            told.contains("191 MiB") && told.contains("make room"),
            "{told}"
        );
        let home = tempfile::tempdir().unwrap();
        let lock = File::create(home.path().join("LOCK")).unwrap();
        assert!(Beside::new(home.path(), &lock).at.is_some());
        assert!(Beside::new(Path::new("/proc"), &lock).at.is_none());
        let mut beside = Beside::new(home.path(), &lock);
        assert_eq!(beside.take(1), Ok(()));
        assert_eq!(beside.written, 0, "before the first byte");
        beside.take(7).unwrap();
        assert_eq!(beside.written, 7);
    }
}
