//! Write-ahead records: what a crash must not lose, in the order in which it came.
//!
//! A record is one value of about 60 KB. It holds batches, each announced by its arrival sequence,
//! each a list of entries: a run of one series. Everything is a difference to the entry before
//! (series, step, first time), which makes a batch of one sample a series come to 5-7 bytes a
//! sample. A batch that does not fit goes on in the next record, which repeats its sequence; all
//! records of a commit go to disk as one atomic write, so a batch is there whole or not at all.
//!
//! A series is named by its number on disk (`Registry::number`), which outlives the process.
//!
//! Entry: `series difference + 1 | step difference | first-time difference | n, form and
//! regularity`, times unless regular, values. A 0 in place of the first number announces a batch: `0 | sequence`.

use crate::codec::{Malformed, Reader, put_bytes, put_int, put_uint};
use crate::keys;
use crate::run::Run;
use crate::values::{Datum, FARTHEST, Times, Values};
use tidegate_core::time::Step;

/// Size at which a record is closed.
const RECORD_BYTES: usize = 60_000;
/// Most samples of one entry: at 18 bytes each at worst, an entry stays below 37 KB.
const ENTRY_SAMPLES: usize = 2048;
/// Size of values at which an entry of distributions is closed.
const ENTRY_BYTES: usize = 16_000;
/// Largest distribution, encoded; an admitted one has at most 320 buckets and stays far below.
pub(crate) const MAX_BLOB: usize = 20_000;

const INTS: u64 = 0;
const FLOATS: u64 = 1;
const BLOBS: u64 = 2;

/// Builds the records of one commit.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Number of the first record.
    first: u64,
    records: Vec<Vec<u8>>,
    sequence: u64,
    previous: Previous,
}

#[derive(Debug, Clone, Copy, Default)]
struct Previous {
    series: i64,
    step: i64,
    time: i64,
}

impl Writer {
    /// `first` is the number of the first record to write.
    pub(crate) fn new(first: u64) -> Self {
        Self {
            first,
            records: vec![],
            sequence: 0,
            previous: Previous::default(),
        }
    }

    /// Begins a batch.
    pub(crate) fn batch(&mut self, sequence: u64) {
        self.sequence = sequence;
        if self.records.is_empty() {
            self.open();
        } else {
            self.announce();
        }
    }

    fn open(&mut self) {
        self.records.push(Vec::with_capacity(RECORD_BYTES / 4));
        self.previous = Previous::default();
        self.announce();
    }

    fn announce(&mut self) {
        let sequence = self.sequence;
        if let Some(record) = self.records.last_mut() {
            record.push(0);
            put_uint(record, sequence);
        }
    }

    /// Adds samples to the batch; returns the number of the first record that holds any of them.
    pub(crate) fn entry(&mut self, series: u32, run: &Run) -> u64 {
        let full = |r: &Vec<u8>| r.len() >= RECORD_BYTES;
        if self.records.last().is_none_or(full) {
            self.open();
        }
        let began = self.number();
        let mut from = 0;
        while from < run.len() {
            if self.records.last().is_none_or(full) {
                self.open();
            }
            let to = entry_end(run, from);
            if let Some(record) = self.records.last_mut() {
                put_entry(record, &mut self.previous, series, run, from, to);
            }
            from = to;
        }
        began
    }

    /// Number of the record that is being written.
    fn number(&self) -> u64 {
        self.first + (self.records.len() as u64).saturating_sub(1)
    }

    /// Number and payload of every record.
    pub(crate) fn finish(self) -> impl Iterator<Item = (u64, Vec<u8>)> {
        (self.first..).zip(self.records)
    }
}

fn entry_end(run: &Run, from: usize) -> usize {
    let most = run.len().min(from + ENTRY_SAMPLES);
    let Values::Blobs(blobs) = run.values() else {
        return most;
    };
    let mut bytes = 0;
    (from..most)
        .find(|i| {
            bytes += blobs.get(*i).len();
            bytes >= ENTRY_BYTES
        })
        .map_or(most, |i| i + 1)
}

fn put_entry(
    to: &mut Vec<u8>,
    previous: &mut Previous,
    series: u32,
    run: &Run,
    from: usize,
    end: usize,
) {
    let here = Previous {
        series: i64::from(series),
        step: i64::from(run.step.secs()),
        time: run.time(from),
    };
    // Zigzag, moved up by one: 0 announces a batch.
    let jump = here.series - previous.series;
    put_uint(to, (((jump << 1) ^ (jump >> 63)) as u64) + 1);
    put_int(to, here.step - previous.step);
    put_int(to, here.time.wrapping_sub(previous.time));
    *previous = here;
    let form = match run.values() {
        Values::Ints(_) => INTS,
        Values::Floats(_) => FLOATS,
        Values::Blobs(_) => BLOBS,
    };
    let n = (end - from) as u64;
    let regular = matches!(run.times(), Times::Regular { .. }) || n == 1;
    put_uint(to, n << 3 | form << 1 | u64::from(!regular));
    if !regular {
        for i in from + 1..end {
            put_uint(to, run.time(i).wrapping_sub(run.time(i - 1)) as u64);
        }
    }
    match run.values() {
        Values::Ints(v) => {
            let mut last = 0;
            for x in &v[from..end] {
                put_int(to, i64::from(*x) - last);
                last = i64::from(*x);
            }
        }
        Values::Floats(v) => {
            for x in &v[from..end] {
                to.extend_from_slice(&x.to_le_bytes());
            }
        }
        Values::Blobs(v) => (from..end).for_each(|i| put_bytes(to, v.get(i))),
    }
}

/// What a record says.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub(crate) enum Item {
    /// What follows belongs to this batch.
    Batch(u64),
    /// Samples of a series.
    Entry(u32, Run),
}

/// Reads a record.
pub(crate) fn read(payload: &[u8]) -> Result<Vec<Item>, Malformed> {
    let r = &mut Reader::new(payload);
    let mut previous = Previous::default();
    let mut items = vec![];
    while !r.is_empty() {
        items.push(match r.uint()? {
            0 => Item::Batch(
                Some(r.uint()?)
                    .filter(|sequence| *sequence <= keys::LAST)
                    .ok_or(Malformed("a batch of it has an impossible sequence"))?,
            ),
            jump => get_entry(r, &mut previous, jump - 1)?,
        });
    }
    Ok(items)
}

fn get_entry(r: &mut Reader<'_>, previous: &mut Previous, jump: u64) -> Result<Item, Malformed> {
    let jump = ((jump >> 1) as i64) ^ -((jump & 1) as i64);
    let here = Previous {
        series: previous.series.wrapping_add(jump),
        step: previous.step.wrapping_add(r.int()?),
        time: previous.time.wrapping_add(r.int()?),
    };
    *previous = here;
    let series = u32::try_from(here.series).map_err(|_| Malformed("it names no series"))?;
    let step = u32::try_from(here.step)
        .ok()
        .and_then(Step::from_secs)
        .ok_or(Malformed("it has an impossible step"))?;
    let head = r.uint()?;
    let (n, form, regular) = (head >> 3, head >> 1 & 3, head & 1 == 0);
    if n > ENTRY_SAMPLES as u64 {
        return Err(Malformed("an entry has too many samples"));
    }
    let mut times = vec![here.time];
    for i in 1..n {
        let gap = if regular {
            step.ms()
        } else {
            i64::try_from(r.uint()?).map_err(|_| Malformed("its times do not ascend"))?
        };
        let next = times[i as usize - 1]
            .checked_add(gap)
            .filter(|_| gap > 0)
            .ok_or(Malformed("its times do not ascend"))?;
        times.push(next);
    }
    if times.iter().any(|t| t.abs_diff(0) > FARTHEST.abs_diff(0)) {
        return Err(Malformed("a time of it is no time of a measurement"));
    }
    let mut run = Run::new(step);
    let mut last = 0_i64;
    for t in &times[..n as usize] {
        match form {
            INTS => {
                last = last.wrapping_add(r.int()?);
                run.push(*t, Datum::Number(last as f64));
            }
            FLOATS => run.push(*t, Datum::Number(r.float()?)),
            BLOBS => run.push(*t, Datum::Blob(r.bytes()?)),
            _ => return Err(Malformed("it has values of an unknown form")),
        }
    }
    Ok(Item::Entry(series, run))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_run() -> impl Strategy<Value = Run> {
        let gap = prop_oneof![5 => Just(60_i64), 1 => 1_i64..1_000_000];
        let value = prop_oneof![
            3 => (-1000_i32..1000).prop_map(f64::from),
            1 => any::<f64>(),
        ];
        (
            -1_000_000_000_i64..1_000_000_000,
            prop::collection::vec((gap, value), 1..60),
            any::<bool>(),
        )
            .prop_map(|(start, samples, blobs)| {
                let mut run = Run::new(Step::MINUTE);
                let mut t = start * 1000;
                for (gap, v) in samples {
                    t += gap * 1000;
                    let bytes = v.to_le_bytes();
                    run.push(
                        t,
                        if blobs {
                            Datum::Blob(&bytes)
                        } else {
                            Datum::Number(v)
                        },
                    );
                }
                run
            })
    }

    fn join(items: Vec<Item>) -> Vec<Item> {
        let mut joined: Vec<Item> = vec![];
        for item in items {
            match (joined.last_mut(), item) {
                (Some(Item::Entry(a, run)), Item::Entry(b, more)) if *a == b => run.absorb(&more),
                (Some(Item::Batch(a)), Item::Batch(b)) if *a == b => {}
                (_, item) => joined.push(item),
            }
        }
        joined
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_commit_comes_back_in_order(
            batches in prop::collection::vec(prop::collection::vec((any::<u32>(), any_run()), 0..6), 1..6),
        ) {
            let mut writer = Writer::new(7);
            let mut expected = vec![];
            for (sequence, batch) in (40..).zip(&batches) {
                writer.batch(sequence);
                expected.push(Item::Batch(sequence));
                for (series, run) in batch {
                    prop_assert_eq!(writer.entry(*series, run), 7);
                    expected.push(Item::Entry(*series, run.clone()));
                }
            }
            let records: Vec<_> = writer.finish().collect();
            prop_assert_eq!(records.len(), 1);
            prop_assert!(read(&records[0].1).unwrap() == expected);
        }

        #[test]
        fn torn_and_random_records_never_panic(run in any_run(), cut in any::<prop::sample::Index>(), noise: Vec<u8>) {
            let mut writer = Writer::new(0);
            writer.batch(1);
            writer.entry(3, &run);
            let (_, bytes) = writer.finish().next().unwrap();
            let _ = read(&bytes[..cut.index(bytes.len())]);
            let _ = read(&noise);
        }
    }

    #[test]
    fn a_batch_larger_than_a_record_is_split_and_stays_below_the_largest_value() {
        let mut run = Run::new(Step::MINUTE);
        for i in 0..60_000_i64 {
            run.push(i * i * 60_000, Datum::Number(i as f64 + 0.1));
        }
        let mut writer = Writer::new(0);
        writer.batch(1);
        writer.entry(5, &run);
        let records: Vec<_> = writer.finish().collect();
        assert!(records.len() > 5);
        let mut items = vec![];
        for (_, bytes) in &records {
            assert!(bytes.len() <= RECORD_BYTES + 37_000, "{}", bytes.len());
            let read = read(bytes).unwrap();
            assert_eq!(read[0], Item::Batch(1));
            items.extend(read.into_iter().filter(|i| matches!(i, Item::Entry(..))));
        }
        assert!(join(items) == [Item::Entry(5, run)]);
    }
}
