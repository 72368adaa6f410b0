//! Where samples are read from: the head, sealed blocks, and below a series' floor its roll-ups.
//!
//! Every series has three spans of time, each ending where the next begins, at a full hour: cells of an
//! hour, cells of five minutes, samples as they came. Reading takes each instant from the finest span that
//! holds it and from no other, so that nothing is counted twice. A span of cells answers only who asks for
//! steps at least as long as its cells: a cell spread over finer steps would look like measurements that
//! nobody made, so these are missing. Samples that a roll-up kept as they came (their own step is as long
//! as a cell, or longer) answer as they always do.
//!
//! Readers hold no lock while they read blocks. A block that has gone meanwhile, to retention or to a
//! roll-up that was made again, is no damage: the reader looks again.

use crate::history::Sample;
use crate::keys;
use crate::registry::{BlockRef, Group, overlap};
use crate::rollup::Level;
use crate::rollup::cells::{Content, Nature, Part};
use crate::run::Run;
use crate::shared::{Shared, reading};
use crate::sight::{Seen, Sight};
use crate::store::Store;
use crate::values::Datum;
use std::time::Duration;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Timestamp};

/// Times a reader looks again, when blocks go from under it.
const TRIES: usize = 8;

/// What samples of a span of time are kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// As they came.
    Raw,
    /// Cells of five minutes.
    FiveMinutes,
    /// Cells of an hour.
    Hour,
}

impl Resolution {
    fn of(level: Option<Level>) -> Self {
        match level {
            None => Resolution::Raw,
            Some(Level::FiveMinutes) => Resolution::FiveMinutes,
            Some(Level::Hour) => Resolution::Hour,
        }
    }
}

/// What answers for a part of a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// From where on.
    pub from: Timestamp,
    /// Before where.
    pub to: Timestamp,
    /// What.
    pub resolution: Resolution,
    /// The grid asks for finer steps than that: samples of finer steps are missing in the answer.
    pub is_coarser: bool,
}

/// One cell of a roll-up of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rollup {
    /// Where it begins.
    pub start: Timestamp,
    /// How much of it was measured; more than it is long where samples overlap.
    pub covered: Duration,
    /// Samples that began in it.
    pub samples: u64,
    /// Of `requests` and `errors` the sum of the counts, else the mean weighted by time.
    pub value: f64,
    /// Least and greatest sample, in the signal's unit; of hours alone, since they would triple what cells
    /// of five minutes take.
    pub extremes: Option<(f64, f64)>,
}

/// A span of time of one series, and the blocks in which what is asked of it lies.
struct Span {
    level: Option<Level>,
    /// It answers for instants from the first on and before the second.
    bounds: (i64, i64),
    /// What is asked.
    from: i64,
    to: i64,
    blocks: Vec<BlockRef>,
}

/// Before a grid, how far back a sample may begin that reaches into it: the longest step.
const LONGEST_MS: i64 = 86_400_000;

/// What is read, found under the registry's lock.
struct Look {
    group: u32,
    slot: u8,
    era: u64,
    seen: Option<Seen>,
    heads: Vec<Run>,
    spans: Vec<Span>,
}

/// Which level answers from where to where for a slot, oldest first; none of a span that is empty.
fn bounds(group: &Group, slot: u8) -> [(Option<Level>, i64, i64); 3] {
    let raw = group.rolled.floor(slot);
    let fine = group.rolled.tier(Level::FiveMinutes).floor.min(raw);
    [
        (Some(Level::Hour), i64::MIN, fine),
        (Some(Level::FiveMinutes), fine, raw),
        (None, raw, i64::MAX),
    ]
}

impl Store {
    /// What answers for each part of a grid of a series, oldest first; nothing for an unknown series.
    #[must_use]
    pub fn sources(&self, key: &SeriesKey, grid: Grid) -> Vec<Source> {
        let registry = reading(&self.shared.registry);
        let Some(id) = registry.id(key) else {
            return vec![];
        };
        let series = &registry.series[id as usize];
        let bounds = bounds(&registry.groups[series.group as usize], series.slot);
        let parts = bounds.into_iter().filter_map(|(level, a, b)| {
            let (from, to) = (grid.start.0.max(a), grid.end().0.min(b));
            (from < to).then(|| Source {
                from: Timestamp(from),
                to: Timestamp(to),
                resolution: Resolution::of(level),
                is_coarser: level.is_some_and(|level| level.step() > grid.step),
            })
        });
        parts.collect()
    }

    /// The cells of a series of numbers that begin at `from` or later and before `to`, as far as it is rolled
    /// up: none of [`Resolution::Raw`], nor of latencies, which are read as distributions.
    ///
    /// # Errors
    /// When stored data cannot be read.
    pub fn rollups(
        &self,
        key: &SeriesKey,
        resolution: Resolution,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Rollup>, StoreError> {
        let level = match resolution {
            Resolution::Raw => return Ok(vec![]),
            Resolution::FiveMinutes => Level::FiveMinutes,
            Resolution::Hour => Level::Hour,
        };
        let mut tries = 0;
        loop {
            let (group, slot, era, blocks) = {
                let registry = reading(&self.shared.registry);
                let Some(id) = registry.id(key) else {
                    return Ok(vec![]);
                };
                let series = &registry.series[id as usize];
                let group = &registry.groups[series.group as usize];
                let all = group.rolled.tier(level).blocks.iter();
                let blocks = all.filter(|b| b.start < to.0 && b.end > from.0);
                let blocks: Vec<BlockRef> = blocks.copied().collect();
                (series.group, series.slot, group.era, blocks)
            };
            tries += 1;
            let read = |block: &BlockRef| {
                let runs = self.shared.sealed_runs(Some(level), group, *block, slot)?;
                let part = Part::read(&runs, level, Nature::of(key.signal));
                part.map_err(|e| e.at(&keys::rolled(group)))
            };
            let parts: Result<Vec<Part>, StoreError> = blocks.iter().map(read).collect();
            let changed = || self.shared.has_changed(group, era);
            match parts {
                Err(_) if tries < TRIES && changed() => {}
                Err(error) => return Err(error),
                Ok(parts) => {
                    let all = parts.into_iter().flat_map(|part| part.cells);
                    let mut cells: Vec<Rollup> = all
                        .filter(|(start, _)| (from.0..to.0).contains(start))
                        .filter_map(|(start, content)| Rollup::of(start, &content))
                        .collect();
                    cells.sort_by_key(|cell| cell.start);
                    return Ok(cells);
                }
            }
        }
    }
}

impl Rollup {
    fn of(start: i64, content: &Content) -> Option<Self> {
        let Content::Number(cell) = content else {
            return None;
        };
        Some(Self {
            start: Timestamp(start),
            covered: Duration::from_millis(cell.covered.unsigned_abs()),
            samples: cell.samples,
            value: cell.value,
            extremes: cell.extremes,
        })
    }
}

impl Shared {
    /// Samples that overlap the grid, ascending in time, each through `read(step, value)`.
    pub(crate) fn gather<T>(
        &self,
        sight: &Sight,
        key: &SeriesKey,
        grid: Grid,
        mut read: impl FnMut(i64, Datum<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<Sample<T>>, StoreError> {
        let mut tries = 0;
        loop {
            let Some(look) = self.look(sight, key, (grid.start.0, grid.end().0)) else {
                return Ok(vec![]);
            };
            tries += 1;
            match self.samples(&look, grid, &mut read) {
                Err(_) if tries < TRIES && self.has_changed(look.group, look.era) => {}
                outcome => return outcome,
            }
        }
    }

    /// Whether blocks of a group were replaced or dropped since it was of that era; one that is being
    /// replaced now is waited for.
    fn has_changed(&self, group: u32, era: u64) -> bool {
        drop(reading(&self.replacing));
        reading(&self.registry).groups[group as usize].era != era
    }

    fn look(&self, sight: &Sight, key: &SeriesKey, (from, to): (i64, i64)) -> Option<Look> {
        let registry = reading(&self.registry);
        let id = registry.id(key)?;
        let series = &registry.series[id as usize];
        let group = &registry.groups[series.group as usize];
        let spans = bounds(group, series.slot)
            .into_iter()
            .filter_map(|(level, a, b)| {
                let all = match level {
                    None if series.sealed.end <= from => &[],
                    None => &group.blocks[..],
                    Some(level) => &group.rolled.tier(level).blocks[..],
                };
                let to = to.min(b);
                let overlaps = all.iter().filter(|b| b.start < to && b.end > from);
                (a < to && from.saturating_sub(LONGEST_MS) < b).then(|| Span {
                    level,
                    bounds: (a, b),
                    from,
                    to,
                    blocks: overlaps.copied().collect(),
                })
            });
        let spans: Vec<Span> = spans.collect();
        let heads = series.head.iter().map(|run| {
            let range = overlap(run, from, to);
            run.slice(range.start, range.end)
        });
        Some(Look {
            group: series.group,
            slot: series.slot,
            era: group.era,
            seen: sight.of(&registry, id),
            heads: heads.collect(),
            spans,
        })
    }

    fn samples<T>(
        &self,
        look: &Look,
        grid: Grid,
        read: &mut impl FnMut(i64, Datum<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<Sample<T>>, StoreError> {
        let mut samples = vec![];
        for span in &look.spans {
            for block in &span.blocks {
                let runs = self.sealed_runs(span.level, look.group, *block, look.slot)?;
                let Some(level) = span.level else {
                    for run in runs.iter() {
                        whole(look, span, run, &mut samples, read)?;
                    }
                    continue;
                };
                let step = level.step();
                let (own, longer): (Vec<&Run>, Vec<&Run>) =
                    runs.iter().partition(|run| run.step == step);
                for run in longer {
                    whole(look, span, run, &mut samples, read)?;
                }
                match own.as_slice() {
                    // Samples that came at this very step.
                    [run] if grid.step < step && !run.is_blobs() => {
                        whole(look, span, run, &mut samples, read)?;
                    }
                    [values, more @ ..] if grid.step >= step => {
                        cells(
                            look,
                            span,
                            values,
                            more.first().copied(),
                            &mut samples,
                            read,
                        )?;
                    }
                    _ => {}
                }
            }
        }
        if let Some(span) = look.spans.iter().find(|span| span.level.is_none()) {
            for run in &look.heads {
                whole(look, span, run, &mut samples, read)?;
            }
        }
        if !samples.is_sorted_by_key(|s| s.time) {
            samples.sort_by_key(|s| s.time);
        }
        Ok(samples)
    }
}

/// Takes samples as they came from a span. Numbers are cut at its bounds; a distribution belongs where it
/// begins.
fn whole<T>(
    look: &Look,
    span: &Span,
    run: &Run,
    samples: &mut Vec<Sample<T>>,
    read: &mut impl FnMut(i64, Datum<'_>) -> Result<T, StoreError>,
) -> Result<(), StoreError> {
    let step = run.step.ms();
    let (a, b) = span.bounds;
    for i in overlap(run, span.from, span.to) {
        let (time, datum) = (run.time(i), run.value(i));
        let (from, to) = match datum {
            Datum::Number(_) => (time.max(a), (time + step).min(b)),
            Datum::Blob(_) if (a..b).contains(&time) => (time, time + step),
            Datum::Blob(_) => continue,
        };
        let is_hidden = |seen: &Seen| !seen.holds(time, step);
        if from >= to || look.seen.as_ref().is_some_and(is_hidden) {
            continue;
        }
        samples.push(Sample {
            time: from,
            step: to - from,
            covered: to - from,
            value: read(step, datum)?,
        });
    }
    Ok(())
}

/// Takes cells from a span; without a column of what is covered, each is covered whole.
fn cells<T>(
    look: &Look,
    span: &Span,
    values: &Run,
    covered: Option<&Run>,
    samples: &mut Vec<Sample<T>>,
    read: &mut impl FnMut(i64, Datum<'_>) -> Result<T, StoreError>,
) -> Result<(), StoreError> {
    let step = values.step.ms();
    for i in overlap(values, span.from.max(span.bounds.0), span.to) {
        let time = values.time(i);
        if look
            .seen
            .as_ref()
            .is_some_and(|seen| !seen.holds(time, step))
        {
            continue;
        }
        let covered = match covered.map(|run| run.value(i)) {
            Some(Datum::Number(covered)) => covered as i64,
            Some(Datum::Blob(_)) | None => step,
        };
        samples.push(Sample {
            time,
            step,
            covered,
            value: read(covered, values.value(i))?,
        });
    }
    Ok(())
}
