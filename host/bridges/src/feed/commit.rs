//! Group commit of the journal: who waits, waits for one write of all that came meanwhile.
//!
//! The first to get the lock writes everything that is pending; the others find it done. No thread
//! is needed, and a sender alone waits for its own write only. A failed write is for good: the store
//! takes none afterwards, and what is in the books but not in the journal must not be acknowledged
//! by a later success.

use super::{Keep, lock};
use crate::books::Damaged;
use std::sync::{Arc, Mutex};
use tidegate_core::ports::storage::StoreError;

#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    /// Number of what was added last.
    added: u64,
    /// Number of what is on disk.
    durable: u64,
    /// Bytes of journal since the last checkpoint.
    written: usize,
    /// Bytes of the last checkpoint.
    state: usize,
    /// What is pending begins with a checkpoint.
    checkpoint: bool,
    failed: Option<StoreError>,
}

pub(super) struct Committer {
    keep: Arc<dyn Keep>,
    pending: Mutex<Pending>,
    writing: Mutex<()>,
}

/// Puts an entry behind others, with its length.
fn frame(to: &mut Vec<u8>, entry: &[u8]) {
    to.extend_from_slice(&(entry.len() as u32).to_le_bytes());
    to.extend_from_slice(entry);
}

/// The entries of a write.
pub(super) fn entries(mut bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], Damaged>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let split = bytes.split_at_checked(4).and_then(|(len, rest)| {
            let len = u32::from_le_bytes(len.try_into().ok()?);
            rest.split_at_checked(len as usize)
        });
        let Some((entry, rest)) = split else {
            bytes = &[];
            return Some(Err(Damaged("it is cut off")));
        };
        bytes = rest;
        Some(Ok(entry))
    })
}

impl Committer {
    /// `written` is the size of the journal that is there.
    pub(super) fn new(keep: Arc<dyn Keep>, written: usize) -> Self {
        Self {
            keep,
            pending: Mutex::new(Pending {
                written,
                ..Pending::default()
            }),
            writing: Mutex::default(),
        }
    }

    /// Bytes of journal since the last checkpoint.
    pub(super) fn bytes(&self) -> usize {
        lock(&self.pending).written
    }

    /// Whether a checkpoint pays: when the journal is longer than `least`, and than the last one was, so that
    /// what checkpoints write is never more than what is noted anyway.
    pub(super) fn is_long(&self, least: usize) -> bool {
        let pending = lock(&self.pending);
        pending.written > least.max(pending.state)
    }

    /// Adds an entry; returns what to wait for. An empty one waits for those before it.
    pub(super) fn add(&self, entry: &[u8]) -> u64 {
        let mut pending = lock(&self.pending);
        if !entry.is_empty() {
            frame(&mut pending.bytes, entry);
            pending.added += 1;
        }
        pending.added
    }

    /// Adds a checkpoint: everything before it is needless once it is written.
    pub(super) fn add_checkpoint(&self, entries: &[Vec<u8>]) -> u64 {
        let mut pending = lock(&self.pending);
        pending.bytes.clear();
        pending.state = entries.iter().map(Vec::len).sum();
        entries.iter().for_each(|e| frame(&mut pending.bytes, e));
        pending.checkpoint = true;
        pending.added += 1;
        pending.added
    }

    /// Returns when everything up to `ticket` is on disk.
    pub(super) fn wait(&self, ticket: u64) -> Result<(), StoreError> {
        loop {
            let _writing = lock(&self.writing);
            let (bytes, added, checkpoint) = {
                let mut pending = lock(&self.pending);
                if let Some(failed) = &pending.failed {
                    return Err(failed.clone());
                }
                if pending.durable >= ticket {
                    return Ok(());
                }
                let bytes = std::mem::take(&mut pending.bytes);
                (
                    bytes,
                    pending.added,
                    std::mem::take(&mut pending.checkpoint),
                )
            };
            let written = self.keep.write(&bytes);
            let mut pending = lock(&self.pending);
            match written {
                Ok(number) => {
                    pending.durable = added;
                    if checkpoint {
                        pending.written = 0;
                        drop(pending);
                        self.keep.drop_before(number)?;
                    } else {
                        pending.written += bytes.len();
                    }
                }
                Err(error) => {
                    pending.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }
}
