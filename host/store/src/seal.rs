//! Sealing: a group's heads become blocks.
//!
//! It is done in two parts, so that no ack waits for a compressor. The keeper copies the heads of one moment
//! and encodes them while the writer goes on; the writer then writes the blocks with the group's page in one
//! batch, and takes out of the heads what is in the blocks: what came meanwhile stays, in memory as in the
//! write-ahead records. Which record that is, is known: every sample of the copy stands in a record below
//! [`Sealing::through`], every later one at or above.
//!
//! Blocks are cut by bytes, because a reader of one series reads a whole block: a group that grew beyond the
//! target is divided in time, halving by the longest series' median instant, until each part is
//! expected to fit; a part that turns out larger than a value may be is divided once more. When
//! only one instant is left (many large distributions), it is divided by series.

use crate::block::encode_block;
use crate::disk::Batch;
use crate::keys;
use crate::registry::{BlockRef, Registry, Sealed};
use crate::run::Run;
use crate::shared::{Shared, reading, writing};
use tidegate_core::ports::storage::StoreError;

/// Weight beyond which a group is divided however little its blocks would take, so that a reader may bound what a
/// block grows to: two million numbers; and of distributions, which hold hundreds each, seventy thousand.
const NUMBER_BYTES: usize = 8 << 20;
const BLOB_BYTES: usize = 1 << 20;

/// Bytes that no block exceeds as long as it can be divided.
const MOST_BYTES: usize = 30_000;

/// What of a group is sealed: its heads as they were at one moment, and the blocks that they became.
#[derive(Debug)]
pub(crate) struct Sealing {
    pub(crate) group: u32,
    runs: Runs,
    /// By slot: how far a series is sealed by it, where it had something unsealed.
    pub(crate) sealed: Vec<Option<Sealed>>,
    /// Number of the next write-ahead record of that moment, since everything before it was published.
    pub(crate) through: u64,
    /// Bytes of the runs.
    pub(crate) weight: usize,
    ratio: f64,
    ordinal: u32,
    pub(crate) blocks: Vec<BlockRef>,
    /// The blocks' values.
    pub(crate) batch: Batch,
}

impl Sealing {
    /// A group's heads of this moment.
    pub(crate) fn of(registry: &Registry, group: u32) -> Self {
        let g = &registry.groups[group as usize];
        let members = || g.members.iter().map(|id| &registry.series[*id as usize]);
        let runs = members().flat_map(|s| s.head.iter().map(|run| (s.slot, run.clone())));
        let sealed = members().map(|s| {
            (!s.head.is_empty()).then_some(Sealed {
                newest: s.newest,
                end: s.end,
            })
        });
        Self {
            group,
            runs: runs.collect(),
            sealed: sealed.collect(),
            through: registry.next_record,
            weight: g.weight,
            ratio: g.ratio,
            ordinal: g.next_block,
            blocks: vec![],
            batch: Batch::default(),
        }
    }

    /// Whether there is nothing to seal.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Makes the blocks: all the work that nobody has to wait for.
    pub(crate) fn encode(&mut self, target: usize) -> Result<(), StoreError> {
        let mut cutter = Cutter::new(self.group, self.ratio, target, self.ordinal);
        cutter.cut(&self.runs)?;
        for (block, bytes) in &cutter.blocks {
            let key = keys::block(block.start, self.group, block.ordinal);
            self.batch.put(key, bytes);
            self.blocks.push(*block);
        }
        Ok(())
    }

    /// The group's next ordinal.
    pub(crate) fn next_block(&self) -> u32 {
        self.blocks.last().map_or(self.ordinal, |b| b.ordinal + 1)
    }

    /// What of a slot's head is not in the blocks.
    pub(crate) fn left_of(&self, slot: u8, head: Vec<Run>) -> Vec<Run> {
        let left = head.into_iter().filter_map(|run| {
            let sealed = |(s, r): &&(u8, Run)| *s == slot && r.step == run.step;
            let Some((_, sealed)) = self.runs.iter().find(sealed) else {
                return Some(run);
            };
            if sealed.len() == run.len() {
                return None;
            }
            Some(run.without(sealed))
        });
        left.collect()
    }
}

/// Writes what was sealed, and publishes it. By the writer alone.
pub(crate) fn publish(shared: &Shared, mut sealing: Sealing) -> Result<(), StoreError> {
    let mut batch = std::mem::take(&mut sealing.batch);
    let group = sealing.group;
    reading(&shared.registry).put_page(&shared.disk, &mut batch, group, Some(&sealing))?;
    shared.disk.write(batch)?;
    writing(&shared.registry).sealed(&sealing);
    Ok(())
}

/// Cuts runs into blocks.
pub(crate) struct Cutter {
    group: u32,
    /// Encoded bytes per byte of weight, as far as is known.
    ratio: f64,
    /// Bytes of a block, about.
    target: usize,
    ordinal: u32,
    pub(crate) blocks: Vec<(BlockRef, Vec<u8>)>,
}

impl Cutter {
    pub(crate) fn new(group: u32, ratio: f64, target: usize, ordinal: u32) -> Self {
        Self {
            group,
            ratio,
            target,
            ordinal,
            blocks: vec![],
        }
    }

    /// Adds the blocks of some runs.
    pub(crate) fn cut(&mut self, runs: &[(u8, Run)]) -> Result<(), StoreError> {
        let weight: usize = runs.iter().map(|(_, r)| r.weight()).sum();
        let expected = weight as f64 * self.ratio;
        let most = match runs.iter().any(|(_, r)| r.is_blobs()) {
            true => BLOB_BYTES,
            false => NUMBER_BYTES,
        };
        if (expected > self.target as f64 * 1.5 || weight > most)
            && let Some((a, b)) = halves(runs)
        {
            self.cut(&a)?;
            return self.cut(&b);
        }
        let bytes = encode_block(self.group, runs).map_err(|cause| StoreError::Io {
            step: "compress a block",
            cause,
        })?;
        if weight > 0 {
            self.ratio = bytes.len() as f64 / weight as f64;
        }
        if bytes.len() > MOST_BYTES
            && let Some((a, b)) = halves(runs)
        {
            self.cut(&a)?;
            return self.cut(&b);
        }
        let starts = runs.iter().filter_map(|(_, r)| r.first());
        let ends = runs
            .iter()
            .filter_map(|(_, r)| Some(r.last()?.saturating_add(r.step.ms())));
        let block = BlockRef {
            start: starts.min().unwrap_or_default(),
            end: ends.max().unwrap_or_default(),
            ordinal: self.ordinal,
            samples: runs.iter().map(|(_, r)| r.len() as u64).sum(),
            bytes: bytes.len() as u32,
        };
        self.ordinal += 1;
        self.blocks.push((block, bytes));
        Ok(())
    }
}

type Runs = Vec<(u8, Run)>;

/// Two parts, both with samples; `None` for a single sample.
fn halves(runs: &[(u8, Run)]) -> Option<(Runs, Runs)> {
    let longest = runs.iter().map(|(_, r)| r).max_by_key(|r| r.len())?;
    if longest.len() > 1 {
        let middle = longest.time(longest.len() / 2);
        let part = |from: Option<i64>, to: Option<i64>| -> Runs {
            runs.iter()
                .map(|(slot, r)| {
                    let from = from.map_or(0, |t| r.lower_bound(t));
                    let to = to.map_or(r.len(), |t| r.lower_bound(t));
                    (*slot, r.slice(from, to))
                })
                .filter(|(_, r)| !r.is_empty())
                .collect()
        };
        return Some((part(None, Some(middle)), part(Some(middle), None)));
    }
    // A slot's runs stay together: those of cells mean nothing alone.
    let middle = runs.get(runs.len() / 2)?.0;
    let at = runs.partition_point(|(slot, _)| *slot < middle);
    let at = if at > 0 {
        at
    } else {
        runs.partition_point(|(slot, _)| *slot <= middle)
    };
    let (a, b) = runs.split_at(at);
    (!b.is_empty()).then(|| (a.to_vec(), b.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Block;
    use crate::values::Datum;
    use tidegate_core::time::Step;

    fn cut(runs: &[(u8, Run)], ratio: f64) -> Vec<(BlockRef, Vec<u8>)> {
        let mut cutter = Cutter::new(3, ratio, 64_000, 7);
        cutter.cut(runs).unwrap();
        cutter.blocks
    }

    fn noise(n: i64, seed: u64) -> Run {
        let mut x = seed | 1;
        let mut run = Run::new(Step::MINUTE);
        for i in 0..n {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            run.push(i * 60_000, Datum::Number((x >> 11) as f64 * 1e-9));
        }
        run
    }

    #[test]
    fn blocks_are_cut_by_bytes_and_keep_every_sample() {
        let runs: Runs = (0..64)
            .map(|slot| (slot, noise(3000, u64::from(slot))))
            .collect();
        // A ratio that is far too hopeful must not make values that are too large.
        let blocks = cut(&runs, 0.05);
        assert!(blocks.len() > 10);
        let mut again: Vec<Run> = (0..64).map(|_| Run::new(Step::MINUTE)).collect();
        for (i, (block, bytes)) in blocks.iter().enumerate() {
            assert!(bytes.len() <= MOST_BYTES, "{}", bytes.len());
            assert_eq!(block.ordinal, 7 + i as u32);
            for (slot, run) in Block::read(bytes).unwrap().all().unwrap() {
                assert!(block.start <= run.first().unwrap());
                assert!(run.last().unwrap() + 60_000 <= block.end);
                again[usize::from(slot)].absorb(&run);
            }
        }
        assert!(again.iter().zip(&runs).all(|(a, (_, b))| a == b));
    }

    #[test]
    fn what_takes_next_to_nothing_is_divided_before_it_is_too_much_to_read() {
        let mut run = Run::new(Step::MINUTE);
        (0..5 << 19).for_each(|i| run.push(i * 60_000, Datum::Number(7.0)));
        let blocks = cut(&[(0, run)], 0.0001);
        assert!(blocks.len() > 1 && blocks.iter().all(|(b, _)| b.samples <= 1 << 21));
        assert_eq!(blocks.iter().map(|(b, _)| b.samples).sum::<u64>(), 5 << 19);
    }

    #[test]
    fn one_instant_is_divided_by_series() {
        let blob: Vec<u8> = {
            let mut bytes = vec![];
            let mut d = tidegate_core::distribution::Distribution::default();
            let mut x = 9_u64;
            for _ in 0..320 {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                d.buckets.push(x);
            }
            crate::distribution::encode(&d, &mut bytes);
            bytes
        };
        let runs: Runs = (0..64)
            .map(|slot| {
                let mut run = Run::new(Step::MINUTE);
                run.push(0, Datum::Blob(&blob));
                (slot, run)
            })
            .collect();
        let blocks = cut(&runs, 0.5);
        assert!(blocks.len() > 1);
        assert!(blocks.iter().all(|(_, bytes)| bytes.len() <= MOST_BYTES));
        assert_eq!(blocks.iter().map(|(b, _)| b.samples).sum::<u64>(), 64);
    }
}
