//! Group commit of the journal: who waits, waits for one write of all that came meanwhile.
//!
//! Whoever waits while nobody writes, writes all that is pending; the others find it done. No thread is
//! needed, and a sender alone waits for its own write only.
//!
//! **A write that failed** is for good where the store takes none afterwards: what is in the books but not in
//! the journal must not be acknowledged by a later success. Where the disk is full or the store behind,
//! nothing of it was written, and there will be room again. Then those who wait are told so, and the bytes
//! stay in front of all that comes after: the books have moved by them, and a retry of their points, which is
//! a duplicate there, waits for them. Until they are written nothing more is taken ([`Committer::catch_up`]),
//! so that they do not grow for as long as the disk is full.
//!
//! **Senders fall into step.** A sync costs more than many a request does. Of two senders that each wait for
//! an answer before they send again, each would meet the other's write and wait for its own, for ever. So
//! who is about to write little waits a moment for as many as waited at the end of the last write; when
//! they are there, or nobody comes, it writes. Who is alone waits for nobody. How long a moment is depends on
//! disks and networks, and is found: it grows while somebody comes during the write that was not waited for
//! long enough, and shrinks where nobody came at all.

use super::{Keep, lock};
use crate::books::Damaged;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tidegate_core::ports::storage::StoreError;

/// How long who is about to write waits for others: at the least, and at the most.
const MOMENT: (Duration, Duration) = (Duration::from_micros(250), Duration::from_millis(8));

/// With more bytes than that, nobody is waited for: their own cost is more than the sync's.
const LITTLE: usize = 16 << 10;

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
    /// How many writes found no room, and what the last of all writes found.
    refusals: u64,
    refused: Option<StoreError>,
    /// Somebody writes, or is about to.
    writing: bool,
    /// Who wait now, with who writes.
    waiting: usize,
    /// How many were there at the end of the last write.
    usual: usize,
    moment: Duration,
}

impl Pending {
    /// Puts what was not written in front of what came since; a checkpoint that came since has it all.
    fn put_back(&mut self, mut bytes: Vec<u8>, checkpoint: bool) {
        if !self.checkpoint {
            bytes.append(&mut self.bytes);
            self.bytes = bytes;
            self.checkpoint = checkpoint;
        }
    }
}

pub(super) struct Committer {
    keep: Arc<dyn Keep>,
    pending: Mutex<Pending>,
    /// Somebody more waits.
    came: Condvar,
    /// A write has ended.
    ended: Condvar,
}

/// Whether the same may be written later, of which nothing was written now.
pub(super) fn passes(error: &StoreError) -> bool {
    matches!(error, StoreError::Full { .. } | StoreError::Busy { .. })
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
                moment: MOMENT.0,
                ..Pending::default()
            }),
            came: Condvar::new(),
            ended: Condvar::new(),
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

    /// Whether one pays when nobody waits: when what is on disk is over a MiB and much more than the `about` bytes
    /// of the state, as after a backfill.
    pub(super) fn is_bloated(&self, about: usize) -> bool {
        let pending = lock(&self.pending);
        let held = pending.written + pending.state;
        pending.written > 0 && held > (1 << 20).max(about.saturating_mul(3))
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

    /// Where the last write found no room, tries again; nothing more may be taken before that.
    pub(super) fn catch_up(&self) -> Result<(), StoreError> {
        let pending = lock(&self.pending);
        if pending.refused.is_none() {
            return Ok(());
        }
        let ticket = pending.added;
        drop(pending);
        self.wait(ticket)
    }

    /// Returns when everything up to `ticket` is on disk.
    pub(super) fn wait(&self, ticket: u64) -> Result<(), StoreError> {
        let mut pending = lock(&self.pending);
        pending.waiting += 1;
        self.came.notify_all();
        let refusals = pending.refusals;
        loop {
            let refused = || {
                pending
                    .refused
                    .clone()
                    .filter(|_| pending.refusals > refusals)
            };
            let done = match &pending.failed {
                Some(failed) => Some(Err(failed.clone())),
                None if pending.durable >= ticket => Some(Ok(())),
                None => refused().map(Err),
            };
            if let Some(done) = done {
                pending.waiting -= 1;
                return done;
            }
            if !pending.writing {
                pending.waiting -= 1;
                pending = self.write(pending)?;
                pending.waiting += 1;
                continue;
            }
            let woken = self.ended.wait(pending);
            pending = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes what is pending, and before it waits for who is about to come.
    fn write<'p>(
        &'p self,
        mut pending: MutexGuard<'p, Pending>,
    ) -> Result<MutexGuard<'p, Pending>, StoreError> {
        pending.writing = true;
        let few = |p: &mut Pending| p.waiting + 1 < p.usual && p.bytes.len() < LITTLE;
        let moment = pending.moment;
        let gathered = self.came.wait_timeout_while(pending, moment, few);
        let (mut pending, gathered) = gathered.unwrap_or_else(PoisonError::into_inner);
        let waiting = pending.waiting;
        let bytes = std::mem::take(&mut pending.bytes);
        let added = pending.added;
        let checkpoint = std::mem::take(&mut pending.checkpoint);
        drop(pending);
        let mut attempt = Attempt {
            of: self,
            ended: false,
        };
        let written = self.keep.write(&bytes);
        let mut dropped = Ok(());
        let mut pending = lock(&self.pending);
        match written {
            Ok(number) => {
                pending.durable = added;
                pending.refused = None;
                pending.usual = pending.waiting + 1;
                if gathered.timed_out() {
                    let moment = if pending.waiting > waiting {
                        moment * 2
                    } else {
                        moment / 2
                    };
                    pending.moment = moment.clamp(MOMENT.0, MOMENT.1);
                }
                if checkpoint {
                    pending.written = 0;
                    // Who waited need not wait for this too.
                    self.ended.notify_all();
                    drop(pending);
                    dropped = self.keep.drop_before(number);
                    pending = lock(&self.pending);
                } else {
                    pending.written += bytes.len();
                }
            }
            Err(error) if passes(&error) => {
                pending.put_back(bytes, checkpoint);
                pending.refusals += 1;
                pending.refused = Some(error);
            }
            Err(error) => pending.failed = Some(error),
        }
        pending.writing = false;
        attempt.ended = true;
        self.ended.notify_all();
        dropped.map(|()| pending)
    }
}

/// A write under way. Where it ends by a panic, nobody waits for it in vain.
struct Attempt<'c> {
    of: &'c Committer,
    ended: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut pending = lock(&self.of.pending);
        pending.writing = false;
        pending.failed = Some(StoreError::Closed);
        drop(pending);
        self.of.ended.notify_all();
    }
}
