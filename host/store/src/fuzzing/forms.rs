//! Every form of a value: read, written again, read again, and the same.

use crate::block::{Block, encode_block};
use crate::codec::{Malformed, Reader, frame, put_bytes, put_int, put_uint, unframe};
use crate::distribution;
use crate::ledger;
use crate::mirror::{self, Marks};
use crate::registry::Page;
use crate::rollup::Level;
use crate::rollup::cells::Nature;
use crate::rollup::page::Rolled;
use crate::rollup::roll::parts_of;
use crate::run::Run;
use crate::sight;
use crate::values::Datum;
use crate::wal::{self, Item};
use tidegate_core::catalog::Catalog;
use tidegate_core::forecast::Choice;
use tidegate_core::ports::storage::StoreError;
use tidegate_core::sample::SeriesKey;

/// Reads bytes as a form, and says whether they are one.
type Form = fn(&[u8]) -> bool;

/// Names and readers of all forms; the first byte of a fuzzer's input is a place in it.
pub const FORMS: [(&str, Form); 20] = [
    ("numbers", numbers),
    ("frame", framed),
    ("distribution", one_distribution),
    ("wal", record_of_samples),
    ("block", block),
    ("cells-5m", |bytes| cells(bytes, Level::FiveMinutes)),
    ("cells-1h", |bytes| cells(bytes, Level::Hour)),
    ("late", |bytes| {
        again(bytes, sight::read, |late| Ok(sight::write(late)))
    }),
    ("marks", |bytes| {
        again(bytes, mirror::unpack::<Marks>, mirror::pack)
    }),
    ("group", |bytes| {
        again(bytes, mirror::unpack::<Page>, mirror::pack)
    }),
    ("rolled", |bytes| {
        again(bytes, mirror::unpack::<Rolled>, mirror::pack)
    }),
    ("record", |bytes| {
        again(bytes, mirror::record_of, mirror::encode_record)
    }),
    ("recordtime", |bytes| {
        again(bytes, ledger::read, |(entry, declared)| {
            Ok(ledger::write(entry, *declared))
        })
    }),
    ("module", |bytes| {
        again(bytes, mirror::module_of, mirror::encode_module)
    }),
    ("state", |bytes| {
        again(bytes, mirror::state_of, mirror::State::encode)
    }),
    ("track", |bytes| {
        again(bytes, mirror::track_of, mirror::encode_track)
    }),
    ("choice", |bytes| {
        again(bytes, mirror::decode::<(SeriesKey, Choice)>, mirror::encode)
    }),
    ("catalog", |bytes| {
        again(bytes, mirror::decode::<Catalog>, mirror::encode)
    }),
    ("step", |bytes| {
        again(bytes, mirror::step_of, mirror::encode_step)
    }),
    ("anchor", |bytes| {
        again(bytes, mirror::anchors_of, mirror::encode_anchors)
    }),
];

/// Reads bytes as the form that the first of them names; whether they are one.
///
/// # Panics
/// Where what was read comes back otherwise than it was: a finding.
pub fn codec(data: &[u8]) -> bool {
    let Some((form, bytes)) = data.split_first() else {
        return false;
    };
    (FORMS[usize::from(*form) % FORMS.len()].1)(bytes)
}

/// Whether bytes can be read; what was read must be written so that it reads as the same, and is then
/// written as the same bytes.
fn again<T>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, Malformed>,
    write: impl Fn(&T) -> Result<Vec<u8>, StoreError>,
) -> bool {
    let Ok(value) = read(bytes) else {
        return false;
    };
    let written = write(&value).expect("what was read is written");
    let again = read(&written).expect("what was written is read");
    let twice = write(&again).expect("and written again");
    assert!(written == twice, "it changes from writing to writing");
    true
}

fn numbers(bytes: &[u8]) -> bool {
    let r = &mut Reader::new(bytes);
    let (mut told, mut to) = (vec![], vec![]);
    while !r.is_empty() {
        let before = r.remaining();
        let Ok(number) = r.uint() else {
            return false;
        };
        let Ok(blob) = r.bytes() else {
            return false;
        };
        assert!(r.remaining() < before && blob.len() < before);
        put_uint(&mut to, number);
        put_bytes(&mut to, blob);
        put_int(&mut to, number as i64);
        told.push((number, blob));
    }
    let r = &mut Reader::new(&to);
    for (number, blob) in told {
        assert_eq!((r.uint(), r.bytes()), (Ok(number), Ok(blob)));
        assert_eq!(r.int(), Ok(number as i64));
    }
    assert!(r.is_empty());
    true
}

/// A key, a value: only what was framed for the key is one.
fn framed(bytes: &[u8]) -> bool {
    let (key, value) = bytes.split_at(bytes.len() / 2);
    let made = frame(key, value);
    assert_eq!(unframe(key, &made), Ok(value));
    // A changed bit is found wherever it is; a cut that leaves the same sum is not, for one in four billion.
    for (key, made) in [(flipped(key), made.clone()), (key.to_vec(), flipped(&made))] {
        assert!(key.is_empty() || unframe(&key, &made).is_err());
    }
    unframe(key, value).is_ok()
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    bytes
}

fn one_distribution(bytes: &[u8]) -> bool {
    let write = |d: &_| {
        let mut to = vec![];
        distribution::encode(d, &mut to);
        Ok(to)
    };
    again(bytes, distribution::decode, write)
}

/// Everything of a sample, bit for bit.
type Sample = (i64, Result<u64, Vec<u8>>);

fn samples(run: &Run) -> Vec<Sample> {
    let of = |i: usize| match run.value(i) {
        Datum::Number(value) => (run.time(i), Ok(value.to_bits())),
        Datum::Blob(blob) => (run.time(i), Err(blob.to_vec())),
    };
    let all: Vec<Sample> = (0..run.len()).map(of).collect();
    assert!(all.is_sorted_by(|a, b| a.0 < b.0), "times do not ascend");
    all
}

fn record_of_samples(bytes: &[u8]) -> bool {
    fn flat(items: &[Item]) -> Vec<(u64, u32, u32, Sample)> {
        let (mut all, mut batch) = (vec![], 0);
        for item in items {
            match item {
                Item::Batch(sequence) => batch = *sequence,
                Item::Entry(series, run) => {
                    let step = run.step.secs();
                    let of = samples(run).into_iter();
                    all.extend(of.map(|sample| (batch, *series, step, sample)));
                }
            }
        }
        all
    }
    let Ok(items) = wal::read(bytes) else {
        return false;
    };
    let told = flat(&items);
    assert!(told.len() <= bytes.len(), "more samples than bytes");
    let mut writer = wal::Writer::new(0);
    for item in &items {
        match item {
            Item::Batch(sequence) => writer.batch(*sequence),
            Item::Entry(series, run) => drop(writer.entry(*series, run)),
        }
    }
    let mut again = vec![];
    for (_, record) in writer.finish() {
        again.extend(wal::read(&record).expect("what was written is read"));
    }
    assert!(flat(&again) == told, "it changes on its way");
    true
}

fn flat(runs: &[(u8, Run)]) -> Vec<(u8, u32, Vec<Sample>)> {
    let of = |(slot, run): &(u8, Run)| (*slot, run.step.secs(), samples(run));
    runs.iter().map(of).collect()
}

fn block(bytes: &[u8]) -> bool {
    let Ok(block) = Block::read(bytes) else {
        return false;
    };
    let Ok(runs) = block.all() else {
        return false;
    };
    for slot in block.slots() {
        let of = block.runs(slot).expect("one slot of what is whole");
        let all = runs.iter().filter(|(s, _)| *s == slot);
        assert_eq!(of.len(), all.count());
    }
    let written = encode_block(block.group, &runs).expect("what was read is written");
    let again = Block::read(&written).expect("what was written is read");
    assert_eq!(again.group, block.group);
    let again = again.all().expect("all of it");
    assert!(flat(&again) == flat(&runs), "it changes on its way");
    true
}

fn cells(bytes: &[u8], level: Level) -> bool {
    let nature = |slot: u8| match slot % 2 {
        0 => Nature::Count,
        _ => Nature::Level,
    };
    let Ok(parts) = parts_of(bytes, level, nature) else {
        return false;
    };
    let mut runs = vec![];
    for (slot, part) in &parts {
        let of = part.runs(level, nature(*slot)).into_iter();
        runs.extend(of.map(|run| (*slot, run)));
    }
    let written = encode_block(0, &runs).expect("what was read is written");
    let again = parts_of(&written, level, nature).expect("what was written is read");
    for (slot, part) in &parts {
        let there = again.get(slot).cloned().unwrap_or_default();
        // Bits of floats, since a NaN is not itself.
        let bits = |cells: &_| format!("{cells:?}");
        assert_eq!(bits(&part.cells), bits(&there.cells));
        for (step, run) in part.whole.iter().filter(|(_, run)| !run.is_empty()) {
            assert!(samples(run) == samples(&there.whole[step]));
        }
    }
    true
}
