//! Cells of one series: made from raw samples, put into runs, read from them, and merged.
//!
//! In a block, cells are runs like any other, in a fixed order under the slot of their series: values,
//! covered milliseconds, samples, and of hours least and most, all of the same times. Where every cell is one sample that
//! covers it whole (a feed that sends at that very step), the values say it all and stand alone.
//!
//! Cells of five minutes have no least and most: of a minute's samples the three numbers take as much as the
//! five samples did (65 KB a day and group of counters, where the samples take 72), the sums alone a third.

use super::Level;
use crate::codec::Malformed;
use crate::distribution::{decode, encode};
use crate::registry::overlap;
use crate::run::Run;
use crate::values::{Datum, Values};
use std::collections::BTreeMap;
use tidegate_core::distribution::Distribution;

/// Runs of a slot's cells of numbers that are not plain samples.
fn columns(level: Level) -> usize {
    match level {
        Level::FiveMinutes => 3,
        Level::Hour => 5,
    }
}

/// Numbers of one cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell {
    /// Of counts the sum, else the mean.
    pub(crate) value: f64,
    /// Milliseconds that samples cover; more than the cell is long where samples overlap.
    pub(crate) covered: i64,
    /// Samples that begin in it.
    pub(crate) samples: u64,
    /// Least and most, in the signal's unit; of hours alone.
    pub(crate) extremes: Option<(f64, f64)>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    Number(Cell),
    /// An encoded distribution.
    Merged(Vec<u8>),
}

/// Whether a sample is a count over its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    Count,
    Level,
}

impl Nature {
    pub(crate) fn of(signal: tidegate_core::units::Signal) -> Self {
        if signal.is_count() {
            Nature::Count
        } else {
            Nature::Level
        }
    }

    /// A sample's value in the signal's unit.
    fn read(self, value: f64, step: i64) -> f64 {
        match self {
            Nature::Count => value / (step as f64 / 1000.0),
            Nature::Level => value,
        }
    }
}

/// Cells of a series, and its samples of longer steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    pub(crate) cells: BTreeMap<i64, Content>,
    /// By step in seconds.
    pub(crate) whole: BTreeMap<u32, Run>,
}

impl Part {
    /// The cells of `from <= start < to`, both full hours, made from all raw samples that overlap them.
    pub(crate) fn of(
        raw: &[Run],
        (from, to): (i64, i64),
        level: Level,
        nature: Nature,
    ) -> Result<Self, Malformed> {
        let mut part = Self::default();
        let mut fine = vec![];
        for run in raw {
            if run.step > level.step() {
                let range = run.slice(run.lower_bound(from), run.lower_bound(to));
                part.join(&range);
                continue;
            }
            let range = overlap(run, from, to);
            fine.extend(range.map(|i| (run.time(i), run.step.ms(), run.value(i))));
        }
        fine.sort_by_key(|(t, step, _)| (*t, *step));
        let step = level.step().ms();
        let mut merged: BTreeMap<i64, Distribution> = BTreeMap::new();
        for (t, long, datum) in fine {
            match datum {
                Datum::Number(value) if value.is_nan() => {}
                Datum::Number(value) => {
                    let sample = (t, long, value);
                    let mut start = t.max(from).div_euclid(step) * step;
                    while start < t.saturating_add(long).min(to) {
                        part.add(sample, start, level, nature);
                        start += step;
                    }
                }
                Datum::Blob(bytes) if (from..to).contains(&t) => {
                    let distribution = decode(bytes)?;
                    let start = t.div_euclid(step) * step;
                    match merged.get_mut(&start) {
                        Some(there) => there.merge(&distribution),
                        None => drop(merged.insert(start, distribution)),
                    }
                }
                Datum::Blob(_) => {}
            }
        }
        for (start, distribution) in merged {
            let mut bytes = vec![];
            encode(&distribution, &mut bytes);
            part.cells.insert(start, Content::Merged(bytes));
        }
        Ok(part)
    }

    fn add(&mut self, (t, long, value): (i64, i64, f64), start: i64, level: Level, nature: Nature) {
        let step = level.step().ms();
        let covered = (t + long).min(start + step) - t.max(start);
        if covered <= 0 {
            return;
        }
        let read = nature.read(value, long);
        let share = match nature {
            Nature::Count if covered < long => value * (covered as f64 / long as f64),
            Nature::Count | Nature::Level => value,
        };
        let begins = u64::from((start..start + step).contains(&t));
        let Some(Content::Number(cell)) = self.cells.get_mut(&start) else {
            let cell = Cell {
                value: share,
                covered,
                samples: begins,
                extremes: (level == Level::Hour).then_some((read, read)),
            };
            self.cells.insert(start, Content::Number(cell));
            return;
        };
        cell.covered += covered;
        cell.value += match nature {
            Nature::Count => share,
            // As reading does it, so that both say the same.
            Nature::Level => (value - cell.value) * (covered as f64 / cell.covered as f64),
        };
        cell.samples += begins;
        if let Some((least, most)) = &mut cell.extremes {
            *least = least.min(read);
            *most = most.max(read);
        }
    }

    fn join(&mut self, run: &Run) {
        if run.is_empty() {
            return;
        }
        let there = self.whole.entry(run.step.secs());
        there.or_insert_with(|| Run::new(run.step)).absorb(run);
    }

    /// Takes out what begins at `from <= start < to`.
    pub(crate) fn forget(&mut self, from: i64, to: i64) {
        if from >= to {
            return;
        }
        self.cells.retain(|start, _| !(from..to).contains(start));
        for run in self.whole.values_mut() {
            let mut rest = run.slice(0, run.lower_bound(from));
            rest.absorb(&run.slice(run.lower_bound(to), run.len()));
            *run = rest;
        }
    }

    /// Adds another part; where both have a cell, the other one's stands.
    pub(crate) fn absorb(&mut self, other: Part) {
        self.cells.extend(other.cells);
        other.whole.values().for_each(|run| self.join(run));
    }

    /// As it lies in a block.
    pub(crate) fn runs(&self, level: Level, nature: Nature) -> Vec<Run> {
        let step = level.step();
        // Two samples that straddle a cell's ends may cover it whole while one begins in it.
        let is_alone = |cell: &Cell| {
            let read = nature.read(cell.value, step.ms()).to_bits();
            let both =
                |(least, most): (f64, f64)| least.to_bits() == read && most.to_bits() == read;
            cell.extremes.is_none_or(both)
        };
        let is_plain = |content: &Content| match content {
            Content::Number(cell) => {
                cell.samples == 1 && cell.covered == step.ms() && is_alone(cell)
            }
            Content::Merged(_) => true,
        };
        let columns = match self.cells.values().all(is_plain) {
            _ if self.cells.is_empty() => 0,
            true => 1,
            false => columns(level),
        };
        let mut runs: Vec<Run> = (0..columns).map(|_| Run::new(step)).collect();
        for (start, content) in &self.cells {
            match content {
                Content::Merged(bytes) => runs[0].push(*start, Datum::Blob(bytes)),
                Content::Number(cell) => {
                    let (least, most) = cell.extremes.unwrap_or_default();
                    let fields = [
                        cell.value,
                        cell.covered as f64,
                        cell.samples as f64,
                        least,
                        most,
                    ];
                    for (run, field) in runs.iter_mut().zip(fields) {
                        run.push(*start, Datum::Number(field));
                    }
                }
            }
        }
        let whole = self.whole.values().filter(|run| !run.is_empty());
        runs.extend(whole.cloned());
        runs
    }

    /// What [`Part::runs`] gave.
    pub(crate) fn read(runs: &[Run], level: Level, nature: Nature) -> Result<Self, Malformed> {
        let step = level.step();
        let mut part = Self::default();
        let (own, longer): (Vec<&Run>, Vec<&Run>) = runs.iter().partition(|r| r.step == step);
        for run in longer {
            if run.step < step {
                return Err(Malformed("it holds samples finer than its cells"));
            }
            part.join(run);
        }
        let Some(values) = own.first() else {
            return Ok(part);
        };
        check(&own, level)?;
        for i in 0..values.len() {
            let field = |column: usize| match own.get(column).map(|run| run.value(i)) {
                Some(Datum::Number(value)) => Some(value),
                Some(Datum::Blob(_)) | None => None,
            };
            let content = match values.value(i) {
                Datum::Blob(bytes) => Content::Merged(bytes.to_vec()),
                Datum::Number(value) => {
                    let read = nature.read(value, step.ms());
                    let extremes = (field(3).unwrap_or(read), field(4).unwrap_or(read));
                    Content::Number(Cell {
                        value,
                        covered: field(1).map_or(step.ms(), |v| v as i64),
                        samples: field(2).map_or(1, |v| v as u64),
                        extremes: (level == Level::Hour).then_some(extremes),
                    })
                }
            };
            part.cells.insert(values.time(i), content);
        }
        Ok(part)
    }
}

/// Whether the columns of a slot's cells belong together.
fn check(own: &[&Run], level: Level) -> Result<(), Malformed> {
    let Some(values) = own.first() else {
        return Ok(());
    };
    let blobs = matches!(values.values(), Values::Blobs(_));
    let step = level.step();
    if own.len() != 1 && (own.len() != columns(level) || blobs) {
        return Err(Malformed("its cells have not the columns that cells have"));
    }
    let same = own.iter().all(|run| {
        run.len() == values.len() && (0..run.len()).all(|i| run.time(i) == values.time(i))
    });
    if !same {
        return Err(Malformed("the columns of its cells differ in their times"));
    }
    if (0..values.len()).any(|i| values.time(i).rem_euclid(step.ms()) != 0) {
        return Err(Malformed("a cell does not begin at a multiple of its step"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tidegate_core::time::Step;

    fn run(step: u32, samples: &[(i64, f64)]) -> Run {
        let mut run = Run::new(Step::from_secs(step).unwrap());
        for (second, value) in samples {
            run.push(second * 1000, Datum::Number(*value));
        }
        run
    }

    fn hours(runs: &[Run], level: Level, nature: Nature) -> Vec<(i64, Cell)> {
        let part = Part::of(runs, (0, 4 * super::super::HOUR_MS), level, nature).unwrap();
        let cells = part.cells.into_iter();
        cells
            .map(|(start, content)| match content {
                Content::Number(cell) => (start / 1000, cell),
                Content::Merged(_) => panic!("numbers were given"),
            })
            .collect()
    }

    #[test]
    fn counts_add_up_and_gauges_average_over_what_was_measured() {
        let samples = [(0, 60.0), (60, 120.0), (240, 30.0), (300, 6.0)];
        let five = |nature| hours(&[run(60, &samples)], Level::FiveMinutes, nature);
        let cell = |value, covered, samples| Cell {
            value,
            covered,
            samples,
            extremes: None,
        };
        let counts = [(0, cell(210.0, 180_000, 3)), (300, cell(6.0, 60_000, 1))];
        assert_eq!(five(Nature::Count), counts);
        let gauges = [(0, cell(70.0, 180_000, 3)), (300, cell(6.0, 60_000, 1))];
        assert_eq!(five(Nature::Level), gauges);
        let hour = |nature| {
            hours(&[run(60, &samples)], Level::Hour, nature)[0]
                .1
                .extremes
        };
        assert_eq!(hour(Nature::Count), Some((0.1, 2.0)));
        assert_eq!(hour(Nature::Level), Some((6.0, 120.0)));
    }

    #[test]
    fn a_sample_that_straddles_gives_each_its_share_and_a_longer_one_stays() {
        let samples = [run(200, &[(200, 200.0)]), run(600, &[(0, 9.0)])];
        let part = Part::of(&samples, (0, 3_600_000), Level::FiveMinutes, Nature::Count).unwrap();
        let value = |start: i64| match &part.cells[&(start * 1000)] {
            Content::Number(cell) => (cell.value, cell.covered, cell.samples),
            Content::Merged(_) => panic!("numbers were given"),
        };
        assert_eq!(value(0), (100.0, 100_000, 1));
        assert_eq!(value(300), (100.0, 100_000, 0));
        assert!(part.whole[&600] == samples[1]);
        let hour = hours(&samples, Level::Hour, Nature::Count);
        assert_eq!(hour.len(), 1);
        assert_eq!(hour[0].1.value.to_bits(), 209.0_f64.to_bits());
    }

    fn any_runs() -> impl Strategy<Value = Vec<Run>> {
        let value = prop_oneof![
            (-50_i32..1000).prop_map(f64::from),
            -1e3..1e3_f64,
            Just(f64::NAN)
        ];
        let series = (
            prop::sample::select(vec![7_u32, 10, 60, 300, 900, 3600, 7200]),
            prop::collection::btree_map(0_i64..60, value, 1..40),
        );
        prop::collection::vec(series, 1..4).prop_map(|all| {
            let mut by_step = BTreeMap::new();
            for (step, samples) in all {
                by_step.insert(step, samples);
            }
            let runs = by_step.into_iter().map(|(step, samples)| {
                let at = |(i, v): (i64, f64)| (i * i64::from(step), v);
                run(step, &samples.into_iter().map(at).collect::<Vec<_>>())
            });
            runs.collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_part_comes_back_from_its_runs(runs in any_runs(), is_count in any::<bool>()) {
            let nature = if is_count { Nature::Count } else { Nature::Level };
            for level in Level::ALL {
                let part = Part::of(&runs, (0, 500_400_000), level, nature).unwrap();
                let again = Part::read(&part.runs(level, nature), level, nature).unwrap();
                prop_assert_eq!(&again.cells, &part.cells);
                prop_assert!(again.whole == part.whole);
            }
        }

        #[test]
        fn the_parts_of_two_spans_are_the_part_of_both(runs in any_runs(), hour in 0_i64..140) {
            for level in Level::ALL {
                let of = |from, to| Part::of(&runs, (from, to), level, Nature::Count).unwrap();
                let (middle, end) = (hour * 3_600_000, 500_400_000);
                let mut joined = of(0, middle);
                joined.absorb(of(middle, end));
                let whole = of(0, end);
                prop_assert_eq!(&joined.cells, &whole.cells);
                prop_assert!(joined.runs(level, Nature::Count) == whole.runs(level, Nature::Count));
                // Taking a span out and making it again changes nothing.
                joined.forget(middle, end);
                joined.absorb(of(middle, end));
                prop_assert_eq!(&joined.cells, &whole.cells);
            }
        }
    }
}
