//! Sealed blocks: the samples of one group of series over a slice of time, as one value.
//!
//! Sixty-four series share a value because sled wants large values while one series of counters
//! makes a kilobyte a day; a reader of one series decodes only its own part, found through the
//! table of lengths at the front. Columns go through pco at level 4 (integral values as `i64`: half
//! the size); regular times are two numbers. Alternatives measured: Gorilla 2-3x larger, ALP 1.6x,
//! delta-varint with zstd 1.2-1.9x.
//!
//! `format 1 | group | number of parts | (slot, length)… | parts…`; the checksum is the frame's.

use crate::codec::{Malformed, Reader, put_bytes, put_int, put_uint};
use crate::distribution::{Columns, decode, encode};
use crate::registry::GROUP_SERIES;
use crate::run::Run;
use crate::values::{Times, Values, integral};
use pco::ChunkConfig;
use pco::data_types::Number;
use pco::standalone::{DecompressorItem, FileDecompressor, simple_compress};
use tidegate_core::time::Step;

const FORMAT: u8 = 1;
const LEVEL: usize = 4;
/// Numbers that a part may hold, and all parts of a block: a column of one value over and over takes next to
/// nothing, so the bytes of a block bound no memory. Far above what is cut ([`crate::seal::Cutter`]).
const PART_NUMBERS: usize = 1 << 24;
const BLOCK_NUMBERS: usize = 1 << 25;

const REGULAR: u8 = 0;
const LISTED: u8 = 1;

const INTS: u8 = 0;
const FLOATS: u8 = 1;
const DISTRIBUTIONS: u8 = 2;

/// Encodes runs; a slot may have several, of different steps.
///
/// # Errors
/// Text of the compressor; it has none for what we give it.
pub(crate) fn encode_block(group: u32, runs: &[(u8, Run)]) -> Result<Vec<u8>, String> {
    let mut table = vec![FORMAT];
    put_uint(&mut table, u64::from(group));
    put_uint(&mut table, runs.len() as u64);
    let mut parts = vec![];
    for (slot, run) in runs {
        let from = parts.len();
        put_run(&mut parts, run)?;
        table.push(*slot);
        put_uint(&mut table, (parts.len() - from) as u64);
    }
    table.extend_from_slice(&parts);
    Ok(table)
}

/// A block whose table was read.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) group: u32,
    parts: Vec<(u8, &'a [u8])>,
}

impl<'a> Block<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        if r.byte()? != FORMAT {
            return Err(Malformed("it is a block of an unknown format"));
        }
        let group = r.u32()?;
        let table = (0..r.count(2)?)
            .map(|_| Ok((r.byte()?, r.uint()?)))
            .collect::<Result<Vec<_>, Malformed>>()?;
        let parts = table
            .into_iter()
            .map(|(slot, length)| {
                let n = usize::try_from(length).unwrap_or(usize::MAX);
                if usize::from(slot) >= GROUP_SERIES {
                    return Err(Malformed("it names a slot that no group has"));
                }
                Ok((slot, r.take(n)?))
            })
            .collect::<Result<_, Malformed>>()?;
        if !r.is_empty() {
            return Err(Malformed("bytes follow the last part of a block"));
        }
        Ok(Self { group, parts })
    }

    /// The runs of one slot.
    pub(crate) fn runs(&self, slot: u8) -> Result<Vec<Run>, Malformed> {
        self.parts
            .iter()
            .filter(|(s, _)| *s == slot)
            .map(|(_, part)| {
                let mut room = PART_NUMBERS;
                get_run(part, &mut room)
            })
            .collect()
    }

    /// Slots that have runs, ascending, each once.
    pub(crate) fn slots(&self) -> Vec<u8> {
        let mut slots: Vec<u8> = self.parts.iter().map(|(slot, _)| *slot).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// All runs.
    pub(crate) fn all(&self) -> Result<Vec<(u8, Run)>, Malformed> {
        let mut room = BLOCK_NUMBERS;
        self.parts
            .iter()
            .map(|(slot, part)| Ok((*slot, get_run(part, &mut room)?)))
            .collect()
    }
}

fn put_column<T: Number>(to: &mut Vec<u8>, column: &[T]) -> Result<(), String> {
    if column.is_empty() {
        put_uint(to, 0);
        return Ok(());
    }
    let config = ChunkConfig::default().with_compression_level(LEVEL);
    let bytes = simple_compress(column, &config).map_err(|e| e.to_string())?;
    put_bytes(to, &bytes);
    Ok(())
}

/// A column, as long as there is room for its numbers.
fn get_column<T: Number + Default>(
    r: &mut Reader<'_>,
    room: &mut usize,
) -> Result<Vec<T>, Malformed> {
    const BAD: Malformed = Malformed("a column cannot be decompressed");
    let bytes = r.bytes()?;
    if bytes.is_empty() {
        return Ok(vec![]);
    }
    let (file, mut rest) = FileDecompressor::new(bytes).map_err(|_| BAD)?;
    let mut column = vec![];
    while let DecompressorItem::Chunk(mut chunk) =
        file.chunk_decompressor::<T, _>(rest).map_err(|_| BAD)?
    {
        let (from, more) = (column.len(), chunk.n());
        let left = room.checked_sub(more);
        *room = left.ok_or(Malformed(
            "a column of it is longer than any that is written",
        ))?;
        column.resize(from + more, T::default());
        chunk.read(&mut column[from..]).map_err(|_| BAD)?;
        rest = chunk.into_src();
    }
    Ok(column)
}

fn put_run(to: &mut Vec<u8>, run: &Run) -> Result<(), String> {
    put_uint(to, u64::from(run.step.secs()));
    match run.times() {
        Times::Regular { start, count } => {
            to.push(REGULAR);
            put_int(to, *start);
            put_uint(to, *count as u64);
        }
        Times::Listed(times) => {
            to.push(LISTED);
            put_column(to, times)?;
        }
    }
    match run.values() {
        Values::Ints(ints) => {
            let ints: Vec<i64> = ints.iter().map(|v| i64::from(*v)).collect();
            to.push(INTS);
            put_column(to, &ints)
        }
        Values::Floats(floats) => {
            let ints: Option<Vec<i64>> = floats.iter().map(|v| integral(*v)).collect();
            if let Some(ints) = ints {
                to.push(INTS);
                put_column(to, &ints)
            } else {
                to.push(FLOATS);
                put_column(to, floats)
            }
        }
        Values::Blobs(blobs) => {
            let mut columns = Columns::default();
            for i in 0..run.len() {
                let row = decode(blobs.get(i)).map_err(|e| e.0.to_owned())?;
                columns.push(&row);
            }
            to.push(DISTRIBUTIONS);
            put_column(to, &columns.scales)?;
            put_column(to, &columns.zeros)?;
            put_column(to, &columns.offsets)?;
            put_column(to, &columns.widths)?;
            put_column(to, &columns.buckets)?;
            put_column(to, &columns.sums)?;
            put_column(to, &columns.marks)?;
            put_column(to, &columns.thresholds)?;
            put_column(to, &columns.beyond)
        }
    }
}

fn get_run(bytes: &[u8], room: &mut usize) -> Result<Run, Malformed> {
    let r = &mut Reader::new(bytes);
    let step = Step::from_secs(r.u32()?).ok_or(Malformed("it has an impossible step"))?;
    let times = match r.byte()? {
        REGULAR => Times::Regular {
            start: r.int()?,
            count: r.u32()? as usize,
        },
        LISTED => Times::Listed(get_column(r, room)?),
        _ => return Err(Malformed("it has times of an unknown form")),
    };
    let values = match r.byte()? {
        INTS => {
            let wide: Vec<i64> = get_column(r, room)?;
            let narrow: Result<Vec<i32>, _> = wide.iter().map(|v| i32::try_from(*v)).collect();
            match narrow {
                Ok(ints) => Values::Ints(ints),
                Err(_) => Values::Floats(wide.into_iter().map(|v| v as f64).collect()),
            }
        }
        FLOATS => Values::Floats(get_column(r, room)?),
        DISTRIBUTIONS => {
            let columns = Columns {
                scales: get_column(r, room)?,
                zeros: get_column(r, room)?,
                offsets: get_column(r, room)?,
                widths: get_column(r, room)?,
                buckets: get_column(r, room)?,
                sums: get_column(r, room)?,
                marks: get_column(r, room)?,
                thresholds: get_column(r, room)?,
                beyond: get_column(r, room)?,
            };
            return blobs(step, times, &columns);
        }
        _ => return Err(Malformed("it has values of an unknown form")),
    };
    Run::from_columns(step, times, values)
}

fn blobs(step: Step, times: Times, columns: &Columns) -> Result<Run, Malformed> {
    let mut values = crate::values::Blobs::default();
    let mut bytes = vec![];
    for row in columns.rows()? {
        bytes.clear();
        encode(&row, &mut bytes);
        values.push(&bytes);
    }
    Run::from_columns(step, times, Values::Blobs(values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::tests::any_distribution;
    use crate::values::Datum;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (-100_000_i64..100_000).prop_map(|v| v as f64),
            1 => any::<i64>().prop_map(|v| v as f64),
            2 => any::<f64>(),
            1 => prop_oneof![Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(f64::MIN_POSITIVE)],
        ]
    }

    /// Regular, gapped and negative times.
    pub(crate) fn times() -> impl Strategy<Value = Vec<i64>> {
        let gap = prop_oneof![6 => Just(1_i64), 1 => 2_i64..5000];
        (
            -2_000_000_000_i64..2_000_000_000,
            prop::collection::vec(gap, 0..200),
        )
            .prop_map(|(start, gaps)| {
                gaps.iter()
                    .scan(start * 1000, |t, gap| {
                        *t += gap * 60_000;
                        Some(*t)
                    })
                    .collect()
            })
    }

    fn numbers() -> impl Strategy<Value = Run> {
        times().prop_flat_map(|times| {
            prop::collection::vec(value(), times.len()).prop_map(move |values| {
                let mut run = Run::new(Step::MINUTE);
                for (t, v) in times.iter().zip(values) {
                    run.push(*t, Datum::Number(v));
                }
                run
            })
        })
    }

    fn distributions() -> impl Strategy<Value = Run> {
        prop::collection::vec(any_distribution(), 0..20).prop_map(|all| {
            let mut run = Run::new(Step::MINUTE);
            for (i, d) in all.iter().enumerate() {
                let mut bytes = vec![];
                encode(d, &mut bytes);
                run.push(i as i64 * 60_000 - 300_000, Datum::Blob(&bytes));
            }
            run
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_block_comes_back_bit_for_bit(
            runs in prop::collection::vec(prop_oneof![3 => numbers(), 1 => distributions()], 0..5),
        ) {
            let runs: Vec<(u8, Run)> =
                (0_u8..).zip(runs.into_iter().filter(|r| !r.is_empty())).collect();
            let bytes = encode_block(9, &runs).unwrap();
            let block = Block::read(&bytes).unwrap();
            prop_assert_eq!(block.group, 9);
            prop_assert!(block.all().unwrap() == runs);
            for (slot, run) in &runs {
                prop_assert!(block.runs(*slot).unwrap() == [run.clone()]);
            }
        }

        #[test]
        fn a_torn_block_is_refused(run in numbers(), cut in any::<prop::sample::Index>()) {
            let bytes = encode_block(1, &[(0, run)]).unwrap();
            let torn = &bytes[..cut.index(bytes.len())];
            prop_assert!(Block::read(torn).and_then(|b| b.all()).is_err());
        }
    }

    #[test]
    fn a_block_that_would_grow_beyond_any_that_is_written_is_refused() {
        let mut long = Run::new(Step::MINUTE);
        (0..1 << 18).for_each(|i| long.push(i * 60_000, Datum::Number(7.0)));
        let one = encode_block(1, &[(3, long)]).unwrap();
        let block = Block::read(&one).unwrap();
        let (slot, part) = block.parts[0];
        let times = |n: usize| {
            let parts = vec![(slot, part); n];
            Block { group: 1, parts }.all().map(|runs| runs.len())
        };
        assert_eq!(times(BLOCK_NUMBERS >> 18), Ok(BLOCK_NUMBERS >> 18));
        assert!(one.len() < 400 && times((BLOCK_NUMBERS >> 18) + 1).is_err());
    }

    #[test]
    fn a_block_of_a_slot_that_no_group_has_is_refused() {
        let run = Run::new(Step::MINUTE);
        let of = |slot| encode_block(1, &[(slot, run.clone())]).unwrap();
        assert!(Block::read(&of(63)).is_ok() && Block::read(&of(64)).is_err());
    }

    #[test]
    fn a_day_of_counters_takes_under_two_bytes_a_sample() {
        let mut run = Run::new(Step::MINUTE);
        let mut x = 12_345_u32;
        for i in 0..1440_i64 {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let wave = 500 + (i % 720) / 4;
            run.push(
                i * 60_000,
                Datum::Number((wave + i64::from(x >> 28)) as f64),
            );
        }
        let bytes = encode_block(0, &[(0, run)]).unwrap();
        assert!(bytes.len() < 2 * 1440, "{}", bytes.len());
    }
}
