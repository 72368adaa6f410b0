//! Decoded columns of sealed blocks, in a bounded cache.
//!
//! Blocks never change, so the cache needs no invalidation: only a bound. Least recently used goes
//! first; the order is kept by a counter, since nothing here may read a clock.

use crate::block::Block;
use crate::codec::Malformed;
use crate::keys;
use crate::registry::BlockRef;
use crate::rollup::Level;
use crate::run::Run;
use crate::shared::{Shared, locked};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tidegate_core::ports::storage::StoreError;

/// Group, level of its cells (`None`: raw samples), ordinal of the block, slot.
type Key = (u32, Option<Level>, u32, u8);

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<Key, (Arc<Vec<Run>>, usize, u64)>,
    order: BTreeMap<u64, Key>,
    bytes: usize,
    tick: u64,
}

/// Columns by block and slot, up to a number of bytes.
#[derive(Debug)]
pub(crate) struct Cache {
    limit: usize,
    inner: Mutex<Inner>,
}

impl Cache {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            inner: Mutex::default(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        locked(&self.inner).bytes
    }

    fn get(&self, key: Key) -> Option<Arc<Vec<Run>>> {
        let inner = &mut *locked(&self.inner);
        inner.tick += 1;
        let (runs, _, used) = inner.entries.get_mut(&key)?;
        inner.order.remove(used);
        *used = inner.tick;
        inner.order.insert(inner.tick, key);
        Some(runs.clone())
    }

    fn put(&self, key: Key, runs: Arc<Vec<Run>>) {
        let size = 128 + runs.iter().map(Run::memory).sum::<usize>();
        let inner = &mut *locked(&self.inner);
        inner.tick += 1;
        if let Some((_, old, used)) = inner.entries.insert(key, (runs, size, inner.tick)) {
            inner.bytes -= old;
            inner.order.remove(&used);
        }
        inner.order.insert(inner.tick, key);
        inner.bytes += size;
        while inner.bytes > self.limit {
            let Some((_, oldest)) = inner.order.pop_first() else {
                break;
            };
            if let Some((_, size, _)) = inner.entries.remove(&oldest) {
                inner.bytes -= size;
            }
        }
    }
}

impl Shared {
    /// The runs of one slot of a sealed block: of raw samples, or of cells.
    pub(crate) fn sealed_runs(
        &self,
        level: Option<Level>,
        group: u32,
        block: BlockRef,
        slot: u8,
    ) -> Result<Arc<Vec<Run>>, StoreError> {
        let place = (group, level, block.ordinal, slot);
        if let Some(runs) = self.cache.get(place) {
            return Ok(runs);
        }
        let key = match level {
            None => keys::block(block.start, group, block.ordinal),
            Some(level) => keys::cells(level, block.start, group, block.ordinal),
        };
        let bytes = self.disk.get(&key)?;
        let bytes = bytes.ok_or_else(|| Malformed("the block is missing").at(&key))?;
        let runs = Block::read(&bytes)
            .and_then(|block| {
                if block.group == group {
                    block.runs(slot)
                } else {
                    Err(Malformed("it is another group's block"))
                }
            })
            .map_err(|e| e.at(&key))?;
        let runs = Arc::new(runs);
        self.cache.put(place, runs.clone());
        Ok(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Datum;
    use tidegate_core::time::Step;

    #[test]
    fn the_cache_keeps_what_was_used_last_within_its_bound() {
        let column = || {
            let mut run = Run::new(Step::MINUTE);
            (0..1000).for_each(|i| run.push(i * 60_000, Datum::Number(0.5)));
            Arc::new(vec![run])
        };
        let cache = Cache::new(40_000);
        (0..3).for_each(|i| cache.put((0, None, i, 0), column()));
        assert!(cache.get((0, None, 0, 0)).is_some());
        (3..5).for_each(|i| cache.put((0, None, i, 0), column()));
        assert!(cache.bytes() <= 40_000);
        assert!(cache.get((0, None, 0, 0)).is_some());
        assert!(cache.get((0, None, 1, 0)).is_none());
    }
}
