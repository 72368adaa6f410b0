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
