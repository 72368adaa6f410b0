//! A consistent copy of what replays need, made while the store goes on.
//!
//! Most of a store never changes: sealed blocks, records and what goes with them, components. So only the rest is
//! read while writers wait, which takes milliseconds (pages of groups and of their roll-ups, marks, what is declared now); of what grows,
//! the bounds are noted then, and it is copied after, at its leisure. Meanwhile nothing is dropped: neither records
//! nor the write-ahead records of what was sealed, since the pages that say so may not be in the copy.
//!
//! Fitted states, tracks and choices are left out: they are large, change with every fit, and a replay must not
//! look at them anyway. A daemon that is started on a copy fits anew. So are the life of versions and what is known
//! of comparisons, which no decision rests on.

use crate::database::LARGE_SEGMENT;
use crate::disk::{Batch, Disk, io};
use crate::keys::{self, Kind};
use crate::ledger;
use crate::opening::{self, DATABASE};
use crate::rollup::Level;
use crate::shared::{locked, reading, writing};
use crate::space::Beside;
use crate::store::Store;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidegate_core::ids::{Generation, PoolId};
use tidegate_core::ports::storage::StoreError;

/// Bytes of a batch of the copy.
const BATCH_BYTES: usize = 4 << 20;

/// What a copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Values.
    pub values: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Copies that are being made; while there is one, nothing is dropped.
#[derive(Debug)]
struct Copying<'a>(&'a AtomicUsize);

impl<'a> Copying<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The instant of a copy.
struct Instant {
    batch: Vec<(sled::IVec, sled::IVec)>,
    /// Keys of what is immutable and known by name.
    keys: Vec<Vec<u8>>,
    records: Vec<(PoolId, Generation)>,
    sequence: u64,
}

impl Store {
    /// Copies everything that a replay may look at into a new store in `dir`, as it is at one instant.
    /// Readers and writers go on.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where there is something in `dir`, or what reading or writing says; what was
    /// copied by then stays, for the caller to remove.
    pub fn copy_to(&self, dir: &Path) -> Result<Copied, StoreError> {
        if dir
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_some())
        {
            return Err(StoreError::Refused {
                what: format!("a copy into {}", dir.display()),
                why: "there is something in it; name a new directory".into(),
            });
        }
        let _copying = Copying::begin(&self.shared.copying);
        let instant = self.instant()?;
        let target = self.target(dir)?;
        let mut copy = Copy {
            target: &target,
            batch: Batch::default(),
            waiting: 0,
            copied: Copied::default(),
            room: Beside::new(dir, &self.shared.disk.same_lock()?),
        };
        for (key, value) in instant.batch {
            copy.put(key.to_vec(), &value)?;
        }
        let disk = &self.shared.disk;
        for key in instant.keys {
            let value = disk.raw(&key)?;
            if let Some(value) = value {
                copy.put(key, &value)?;
            }
        }
        for (pool, last) in instant.records {
            for kind in [Kind::Record, Kind::RecordTime, Kind::Anchor, Kind::Named] {
                for item in disk.scan_raw(&keys::pool(kind, &pool)) {
                    let (key, value) = item?;
                    let base = match kind {
                        Kind::RecordTime => &key[..],
                        _ => &key[..key.len().saturating_sub(2)],
                    };
                    let of = ledger::parse(base).map_err(|e| e.at(&key))?;
                    if of.1 > last {
                        break;
                    }
                    copy.put(key.to_vec(), &value)?;
                }
            }
        }
        for kind in [Kind::Kept, Kind::Component, Kind::Late] {
            for item in disk.scan_raw(&kind.prefix()) {
                let (key, value) = item?;
                let base = &key[..key.len().saturating_sub(2)];
                let is_later = keys::trailing_u64(base).is_some_and(|n| n > instant.sequence);
                if kind == Kind::Late && is_later {
                    break;
                }
                copy.put(key.to_vec(), &value)?;
            }
        }
        copy.end()
    }

    /// An empty database for what this one holds.
    fn target(&self, dir: &Path) -> Result<Disk, StoreError> {
        let segment = opening::segment_of(&self.dir().join(DATABASE)).unwrap_or(LARGE_SEGMENT);
        std::fs::create_dir_all(dir).map_err(|e| io("create the directory of a copy", &e))?;
        let disk = opening::database(&dir.join(DATABASE), opening::lock(dir)?, segment)?;
        let mut batch = Batch::default();
        batch.put(keys::LAYOUT.to_vec(), &keys::LAYOUT_VERSION.to_be_bytes());
        disk.commit(batch)?;
        Ok(disk)
    }

    /// Reads what changes, and notes how far the rest reaches, while no writer writes.
    fn instant(&self) -> Result<Instant, StoreError> {
        let _alone = writing(&self.shared.writing);
        let disk = &self.shared.disk;
        disk.check()?;
        let mut instant = Instant {
            batch: vec![],
            keys: vec![],
            records: vec![],
            sequence: 0,
        };
        for kind in [
            Kind::Marks,
            Kind::Group,
            Kind::Rolled,
            Kind::Module,
            Kind::Catalog,
        ] {
            for item in disk.scan_raw(&kind.prefix()) {
                instant.batch.push(item?);
            }
        }
        let number = |end: Option<Result<(sled::IVec, sled::IVec), StoreError>>| {
            let key = end.transpose()?.map(|(key, _)| key);
            Ok::<_, StoreError>(key.and_then(|key| keys::trailing_u64(&key)))
        };
        let first = number(disk.scan_raw(&Kind::Wal.prefix()).next())?;
        let last = number(disk.scan_raw(&Kind::Wal.prefix()).next_back())?;
        if let Some((first, last)) = first.zip(last) {
            instant.keys.extend((first..=last).map(keys::wal));
        }
        let registry = reading(&self.shared.registry);
        instant.sequence = registry.sequence;
        for (group, page) in (0_u32..).zip(&registry.groups) {
            let blocks = page.blocks.iter();
            let key = |b: &crate::registry::BlockRef| keys::block(b.start, group, b.ordinal);
            instant.keys.extend(blocks.map(key));
            for level in Level::ALL {
                let blocks = page.rolled.tier(level).blocks.iter();
                let keys = blocks.map(|b| keys::cells(level, b.start, group, b.ordinal));
                instant.keys.extend(keys);
            }
        }
        let index = locked(&self.shared.ledger);
        let pools = index.pools.iter();
        let last = pools.filter_map(|(pool, made)| Some((pool.clone(), made.last()?)));
        instant.records = last.collect();
        Ok(instant)
    }
}

/// A copy on its way.
struct Copy<'a> {
    target: &'a Disk,
    batch: Batch,
    waiting: usize,
    copied: Copied,
    room: Beside,
}

impl Copy<'_> {
    fn put(&mut self, key: Vec<u8>, value: &[u8]) -> Result<(), StoreError> {
        self.room.take(value.len())?;
        self.copied.values += 1;
        self.copied.bytes += value.len() as u64;
        self.waiting += value.len();
        self.batch.put_framed(key, value);
        if self.waiting >= BATCH_BYTES {
            self.waiting = 0;
            self.target.write(std::mem::take(&mut self.batch))?;
        }
        Ok(())
    }

    fn end(self) -> Result<Copied, StoreError> {
        self.target.write(self.batch)?;
        self.target.sync()?;
        Ok(self.copied)
    }
}
