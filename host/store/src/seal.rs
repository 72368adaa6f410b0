//! Sealing: a group's heads become blocks.
//!
//! Blocks are cut by bytes, because that is what sled cares about: a group that grew beyond the
//! target is divided in time, halving by the longest series' median instant, until each part is
//! expected to fit; a part that turns out larger than a value may be is divided once more. When
//! only one instant is left (many large distributions), it is divided by series.

use crate::block::encode_block;
use crate::disk::{Batch, CHUNK};
use crate::keys;
use crate::registry::BlockRef;
use crate::run::Run;
use crate::shared::{Shared, reading, writing};
use tidegate_core::ports::storage::StoreError;

/// Seals a group; `through` is the number of the next write-ahead record, since everything before
/// it is published.
pub(crate) fn seal(shared: &Shared, group: u32, through: u64) -> Result<(), StoreError> {
    let (runs, ratio, ordinal) = {
        let registry = reading(&shared.registry);
        let g = &registry.groups[group as usize];
        (registry.unsealed(group), g.ratio, g.next_block)
    };
    if runs.is_empty() {
        return Ok(());
    }
    let mut cutter = Cutter {
        group,
        ratio,
        target: shared.options.block_bytes,
        ordinal,
        blocks: vec![],
    };
    cutter.cut(&runs)?;
    let mut batch = Batch::default();
    let mut refs = vec![];
    for (block, bytes) in &cutter.blocks {
        batch.put(keys::block(block.start, group, block.ordinal), bytes);
        refs.push(*block);
    }
    reading(&shared.registry).put_page(&shared.disk, &mut batch, group, &refs, Some(through))?;
    shared.disk.write(batch)?;
    writing(&shared.registry).sealed(group, &refs, through);
    Ok(())
}

struct Cutter {
    group: u32,
    ratio: f64,
    target: usize,
    ordinal: u32,
    blocks: Vec<(BlockRef, Vec<u8>)>,
}

impl Cutter {
    fn cut(&mut self, runs: &[(u8, Run)]) -> Result<(), StoreError> {
        let weight: usize = runs.iter().map(|(_, r)| r.weight()).sum();
        let expected = weight as f64 * self.ratio;
        if expected > self.target as f64 * 1.5
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
        if bytes.len() > CHUNK
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
    if runs.len() < 2 {
        return None;
    }
    let (a, b) = runs.split_at(runs.len() / 2);
    Some((a.to_vec(), b.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Block;
    use crate::values::Datum;
    use tidegate_core::time::Step;

    fn cut(runs: &[(u8, Run)], ratio: f64) -> Vec<(BlockRef, Vec<u8>)> {
        let mut cutter = Cutter {
            group: 3,
            ratio,
            target: 64_000,
            ordinal: 7,
            blocks: vec![],
        };
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
            assert!(bytes.len() <= CHUNK, "{}", bytes.len());
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
        assert!(blocks.iter().all(|(_, bytes)| bytes.len() <= CHUNK));
        assert_eq!(blocks.iter().map(|(b, _)| b.samples).sum::<u64>(), 64);
    }
}
