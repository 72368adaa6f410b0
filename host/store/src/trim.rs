//! What the ledger lets go of: the oldest records, by age and by size, and what only they needed.
//!
//! A call drops a bounded number of records in one batch, so that whoever works in the background lets
//! writers in between; what was dropped is gone as a whole or not at all. A pool's newest record stays
//! whatever its age, with the one that it amends: a restart goes on from there (PL1). With a record go its
//! anchors; a model or a declared world goes with the last record that names it, and what tells late
//! samples apart goes when every record that is left has seen them.
//!
//! Components are not looked at: what is removed stays ("A removed module is nobody's, and stays" in the
//! architecture page), so every module that a record names is there.

use crate::disk::Batch;
use crate::keys::{self, Kind};
use crate::ledger::{Index, Made};
use crate::shared::{locked, reading};
use crate::store::Store;
use std::sync::atomic::Ordering;
use tidegate_core::ids::{Digest, Generation, PoolId};
use tidegate_core::ports::storage::StoreError;
use tidegate_core::time::Timestamp;

/// Records dropped in one batch, at most.
const BATCH: usize = 64;

/// What of the ledger is to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Records that were made since.
    pub since: Timestamp,
    /// And no more bytes than that, of all pools together.
    pub bytes: u64,
}

/// What a call has dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether there is more to drop.
    pub is_more: bool,
}

/// What is kept of a pool's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Whose.
    pub pool: PoolId,
    /// Oldest and newest generation.
    pub plans: (Generation, Generation),
    /// When the oldest was made.
    pub since: Timestamp,
    /// Bytes of records and anchors; what was written before sizes were kept counts nothing.
    pub bytes: u64,
}

impl Made {
    /// The oldest generation that must stay.
    fn needed(&self) -> u64 {
        let whole = self.entries.iter().rposition(|e| !e.amends);
        self.first + whole.unwrap_or(0) as u64
    }
}

impl Index {
    /// The next record to drop: the oldest of those that may go.
    fn next(&self, keep: &Keep) -> Option<PoolId> {
        let oldest = self
            .pools
            .iter()
            .filter(|(_, made)| made.first < made.needed());
        let oldest = oldest.filter_map(|(pool, made)| Some((made.entries.front()?.at, pool)));
        let (at, pool) = oldest.min()?;
        (at < keep.since.0 || self.bytes > keep.bytes).then(|| pool.clone())
    }

    /// Takes a pool's oldest record out; its generation, its size, and what nobody names any more.
    fn drop_oldest(&mut self, pool: &PoolId) -> Option<(Generation, u64, Vec<Digest>)> {
        let made = self.pools.get_mut(pool)?;
        let entry = made.entries.pop_front()?;
        let generation = made.first;
        made.first += 1;
        self.bytes -= u64::from(entry.bytes);
        let mut released = made.names.remove(&generation).unwrap_or_default();
        // What was declared holds on until another was, for a record that is left.
        while let Some((&next, _)) = made.declared.iter().nth(1)
            && next <= made.first
        {
            released.extend(made.declared.pop_first().map(|(_, digest)| digest));
        }
        released.retain(|digest| {
            let Some(uses) = self.uses.get_mut(digest) else {
                return false;
            };
            *uses -= 1;
            let is_last = *uses == 0;
            if is_last {
                self.uses.remove(digest);
            }
            is_last
        });
        Some((Generation(generation), u64::from(entry.bytes), released))
    }

    /// The sequence that every record has seen; `None` where there is none. The last record of a pool that is no
    /// more stays for good, and what was late then need not.
    fn seen(&self, keep: &Keep) -> Option<u64> {
        let is_kept = |made: &&Made| {
            let newest = made.entries.back();
            newest.is_some_and(|entry| entry.at >= keep.since.0)
        };
        let pools = self.pools.values().filter(is_kept);
        pools
            .filter_map(|made| Some(made.entries.front()?.as_of))
            .min()
    }
}

impl Store {
    /// Drops some of what is not to be kept.
    ///
    /// # Errors
    /// When it is not on disk; then nothing of this call is gone.
    pub fn trim(&self, keep: &Keep) -> Result<Trimmed, StoreError> {
        let _writing = reading(&self.shared.writing);
        let disk = &self.shared.disk;
        disk.check()?;
        if self.shared.copying.load(Ordering::Acquire) > 0 {
            return Ok(Trimmed::default());
        }
        // Nobody may find a model there, and name it, that is about to go.
        let _keeping = locked(&self.shared.keeping);
        let current = *locked(&self.shared.declared);
        let mut batch = Batch::default();
        let mut trimmed = Trimmed::default();
        let mut gone = vec![];
        let seen = {
            let mut index = locked(&self.shared.ledger);
            while gone.len() < BATCH
                && let Some(pool) = index.next(keep)
                && let Some((generation, bytes, released)) = index.drop_oldest(&pool)
            {
                trimmed.records += 1;
                trimmed.bytes += bytes;
                gone.push((pool, generation, released));
            }
            trimmed.is_more = index.next(keep).is_some();
            index.seen(keep)
        };
        // Without a record, what was there at the last look: a plan that is being made may have seen no more.
        let now = reading(&self.shared.registry).sequence;
        let looked = self.shared.looked.swap(now, Ordering::AcqRel);
        let seen = seen.unwrap_or(looked);
        for (pool, generation, released) in gone {
            let key = |kind| keys::record(kind, &pool, generation);
            for kind in [Kind::Record, Kind::Anchor, Kind::Named] {
                disk.remove_parts(&mut batch, &key(kind), 0)?;
            }
            batch.remove(key(Kind::RecordTime));
            for digest in released.iter().filter(|d| Some(**d) != current) {
                disk.remove_parts(&mut batch, &keys::digest(Kind::Kept, digest), 0)?;
            }
        }
        for item in disk.scan_raw(&Kind::Late.prefix()) {
            let (key, _) = item?;
            let sequence = keys::trailing_u64(&key[..key.len().saturating_sub(2)]);
            if sequence.is_none_or(|late| late > seen) {
                break;
            }
            batch.remove(key.to_vec());
        }
        if trimmed.records > 0 {
            disk.commit(batch)?;
        } else {
            disk.write(batch)?;
        }
        Ok(trimmed)
    }

    /// What is kept of every pool's records.
    #[must_use]
    pub fn kept_records(&self) -> Vec<Kept> {
        let index = locked(&self.shared.ledger);
        let pools = index.pools.iter();
        let kept = pools.filter_map(|(pool, made)| {
            let oldest = made.entries.front()?;
            let newest = made.first + made.entries.len() as u64 - 1;
            Some(Kept {
                pool: pool.clone(),
                plans: (Generation(made.first), Generation(newest)),
                since: Timestamp(oldest.at),
                bytes: made.entries.iter().map(|e| u64::from(e.bytes)).sum(),
            })
        });
        kept.collect()
    }
}
