//! The ledger: one record per plan, appended and never changed.
//!
//! A record is large (it holds everything that a plan was made from), so it is stored in parts
//! where needed; beside it lies when it was made, in a value of its own, so that opening need not
//! read the records. Generations are contiguous by PL1, hence the index of a pool is one vector of
//! times: eight bytes a plan.

use crate::codec::{Malformed, Reader, put_int};
use crate::disk::{Batch, Disk};
use crate::keys::{self, Kind};
use crate::mirror;
use crate::shared::{locked, reading};
use crate::store::Store;
use std::collections::BTreeMap;
use tidegate_core::ids::{Generation, PoolId};
use tidegate_core::invariant::check_succession;
use tidegate_core::ports::storage::{Ledger, StoreError};
use tidegate_core::record::Record;
use tidegate_core::time::Timestamp;

/// When the plans of a pool were made, from the first generation on.
#[derive(Debug, Default)]
struct Made {
    first: u64,
    times: Vec<i64>,
}

impl Made {
    fn last(&self) -> Option<Generation> {
        let n = self.times.len() as u64;
        (n > 0).then(|| Generation(self.first + n - 1))
    }
}

/// The plans of every pool.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pools: BTreeMap<PoolId, Made>,
}

impl Index {
    /// Reads when every record was made.
    pub(crate) fn load(disk: &Disk) -> Result<Self, StoreError> {
        let mut index = Self::default();
        for item in disk.scan(&Kind::RecordTime.prefix()) {
            let (key, payload) = item?;
            let (pool, generation) = parse(&key).map_err(|e| e.at(&key))?;
            let at = Reader::new(&payload).int().map_err(|e| e.at(&key))?;
            let made = index.pools.entry(pool).or_default();
            if made.times.is_empty() {
                made.first = generation.0;
            }
            if generation.0 != made.first + made.times.len() as u64 {
                return Err(Malformed("a plan before it is missing (PL1)").at(&key));
            }
            made.times.push(at);
        }
        Ok(index)
    }

    /// Number of records.
    pub(crate) fn len(&self) -> u64 {
        self.pools.values().map(|m| m.times.len() as u64).sum()
    }
}

/// Pool and generation of a key.
pub(crate) fn parse(key: &[u8]) -> Result<(PoolId, Generation), Malformed> {
    const BAD: Malformed = Malformed("its key names no plan");
    let generation = Generation(keys::trailing_u64(key).ok_or(BAD)?);
    let name = key
        .get(keys::PREFIX..key.len() - 8)
        .and_then(|name| name.strip_suffix(&[0]))
        .and_then(|name| std::str::from_utf8(name).ok())
        .ok_or(BAD)?;
    Ok((PoolId::new(name).map_err(|_| BAD)?, generation))
}

impl Ledger for Store {
    fn append(&self, record: &Record) -> Result<(), StoreError> {
        let _writing = reading(&self.shared.writing);
        let disk = &self.shared.disk;
        disk.check()?;
        // Before the lock: pools that record at once do not wait for each other's encoding.
        let bytes = mirror::encode_record(record)?;
        let mut index = locked(&self.shared.ledger);
        let plan = &record.plan;
        let refused = |why: String| StoreError::Refused {
            what: format!("plan {} of pool {}", plan.generation, plan.pool),
            why,
        };
        if plan.pool != record.pool {
            return Err(refused(format!("its record is of pool {}", record.pool)));
        }
        let last = index.pools.get(&record.pool).and_then(Made::last);
        check_succession(plan, last).map_err(|breach| refused(breach.to_string()))?;
        let mut batch = Batch::default();
        let key = keys::record(Kind::Record, &record.pool, plan.generation);
        disk.put_large(&mut batch, &key, &bytes)?;
        let mut time = vec![];
        put_int(&mut time, record.at.0);
        let key = keys::record(Kind::RecordTime, &record.pool, plan.generation);
        batch.put(key, &time);
        disk.commit(batch)?;
        let made = index.pools.entry(record.pool.clone()).or_default();
        if made.times.is_empty() {
            made.first = plan.generation.0;
        }
        made.times.push(record.at.0);
        Ok(())
    }

    fn record(&self, pool: &PoolId, generation: Generation) -> Result<Option<Record>, StoreError> {
        let key = keys::record(Kind::Record, pool, generation);
        let bytes = self.shared.disk.get_large(&key)?;
        bytes
            .map(|b| mirror::record_of(&b).map_err(|e| e.at(&key)))
            .transpose()
    }

    fn last(&self, pool: &PoolId) -> Option<Generation> {
        locked(&self.shared.ledger)
            .pools
            .get(pool)
            .and_then(Made::last)
    }

    fn at(&self, pool: &PoolId, at: Timestamp) -> Result<Option<Generation>, StoreError> {
        let index = locked(&self.shared.ledger);
        // From the newest back: the cycle's clock may have stepped, so times need not ascend.
        let found = index.pools.get(pool).and_then(|made| {
            let i = made.times.iter().rposition(|t| *t <= at.0)?;
            Some(Generation(made.first + i as u64))
        });
        Ok(found)
    }
}
