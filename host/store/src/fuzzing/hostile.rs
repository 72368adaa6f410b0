//! Whole stores whose keys and values somebody made up, with every checksum right.
//!
//! They come in by the way that a stranger has: a backup that is restored. So where a value lies on disk is
//! the store's affair, and what is tried is everything that reads it: opening, checking, reading, rolling up,
//! dropping, appending, and opening again.

use super::FORMS;
use crate::backup::Onto;
use crate::codec::{frame, put_bytes, put_uint, unframe};
use crate::keys::{self, Kind, PREFIX};
use crate::ledger;
use crate::options::Options;
use crate::retain::Retention;
use crate::rollup::Level;
use crate::sources::Resolution;
use crate::store::Store;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tidegate_core::ids::Digest;
use tidegate_core::ports::storage::{History, Ledger, Notes, StoreError};
use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Values};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;

/// Keys and payloads: `kind | length of the rest of the key | rest | length (two bytes) | payload`, a kind by
/// its place; 254 is the layout's key, 255 a key without any prefix.
fn values(mut data: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    fn take<'a>(data: &mut &'a [u8], n: usize) -> &'a [u8] {
        let (head, tail) = data.split_at(n.min(data.len()));
        *data = tail;
        head
    }
    let mut all = BTreeMap::new();
    while let [kind, length, rest @ ..] = data {
        data = rest;
        let mut key = match kind {
            255 => vec![],
            254 => keys::LAYOUT.to_vec(),
            kind => Kind::ALL[usize::from(*kind) % Kind::ALL.len()].prefix(),
        };
        key.extend_from_slice(take(&mut data, usize::from(*length)));
        let length = take(&mut data, 2).iter().rev();
        let length = length.fold(0, |n, byte| n << 8 | usize::from(*byte));
        let payload = take(&mut data, length);
        if !key.is_empty() {
            all.insert(key, payload.to_vec());
        }
    }
    all
}

/// Every key is named, leads back to what it says and to itself; every value is read as what its key says
/// that it is.
///
/// # Panics
/// Where one does not: a finding.
pub fn keys(data: &[u8]) {
    for (key, payload) in values(data) {
        let shown = keys::show(&key);
        assert!(shown.len() <= 64 + 6 * key.len(), "{shown}");
        assert!(shown.chars().all(|c| matches!(c, ' '..='~')), "{shown}");
        let framed = frame(&key, &payload);
        assert_eq!(unframe(&key, &framed), Ok(&payload[..]));
        let Some(kind) = Kind::of(&key) else {
            continue;
        };
        assert!(key.starts_with(&kind.prefix()));
        assert_eq!(
            keys::kind_name(kind as u8),
            format!("{kind:?}").to_lowercase()
        );
        identity(kind, &key);
        let form = keys::kind_name(kind as u8);
        for (name, read) in FORMS {
            // Cells are of either resolution.
            if form == name
                || name
                    .strip_prefix(&*form)
                    .is_some_and(|n| n.starts_with('-'))
            {
                read(&payload);
            }
        }
    }
}

/// A key that is what its kind's keys are is made again from what it says.
fn identity(kind: Kind, key: &[u8]) {
    let tail = &key[PREFIX..];
    let word = |at: usize| {
        tail[at..]
            .first_chunk()
            .map_or(0, |b| u32::from_be_bytes(*b))
    };
    let slice = |at: usize| {
        let biased = tail[at..]
            .first_chunk()
            .map_or(0, |b| u64::from_be_bytes(*b));
        (biased ^ (1 << 63)) as i64
    };
    let again = match (kind, tail.len()) {
        (Kind::Wal, 8) => keys::trailing_u64(key).map(keys::wal),
        (Kind::Note, 8) => keys::trailing_u64(key).map(keys::note),
        (Kind::Late, 8) => keys::trailing_u64(key).map(keys::late),
        (Kind::Step, 8) => keys::trailing_u64(key).map(keys::step),
        (Kind::Group, 4) => keys::trailing_u32(key).map(keys::group),
        (Kind::Rolled, 4) => keys::trailing_u32(key).map(keys::rolled),
        (Kind::Block, 16) => Some(keys::block(slice(0), word(8), word(12))),
        (Kind::Cells, 17) => {
            let level = Level::ALL.into_iter().find(|l| *l as u8 == tail[0]);
            level.map(|level| keys::cells(level, slice(1), word(9), word(13)))
        }
        (Kind::Component | Kind::Model | Kind::Kept | Kind::Module, 32) => {
            let digest = tail.first_chunk().map(|d| Digest(*d));
            digest.map(|digest| keys::digest(kind, &digest))
        }
        (Kind::Record | Kind::RecordTime | Kind::Anchor | Kind::Named, _) => {
            let plan = ledger::parse(key).ok();
            plan.map(|(pool, generation)| keys::record(kind, &pool, generation))
        }
        _ => None,
    };
    if let Some(again) = again {
        assert_eq!(again, key);
    }
}

/// A backup's bytes, as `backup` writes them.
fn backup(values: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<u8> {
    let mut file = b"tidegate backup 1\n".to_vec();
    let mut counts: BTreeMap<u8, (u64, u64)> = BTreeMap::new();
    for (key, payload) in values {
        let value = frame(key, payload);
        put_bytes(&mut file, key);
        put_bytes(&mut file, &value);
        let kind = Kind::of(key).map_or(u8::MAX, |kind| kind as u8);
        let count = counts.entry(kind).or_default();
        count.0 += 1;
        count.1 += (key.len() + value.len()) as u64;
    }
    let place = file.len() as u64;
    let mut end = vec![];
    put_uint(&mut end, 0);
    put_uint(&mut end, u64::from(keys::VERSION));
    put_uint(&mut end, counts.values().map(|(values, _)| values).sum());
    put_uint(&mut end, counts.values().map(|(_, bytes)| bytes).sum());
    put_uint(&mut end, counts.len() as u64);
    for (kind, (values, bytes)) in counts {
        end.push(kind);
        put_uint(&mut end, values);
        put_uint(&mut end, bytes);
    }
    let sum = crc32fast::hash(&end);
    end.extend_from_slice(&place.to_le_bytes());
    end.extend_from_slice(&sum.to_le_bytes());
    file.extend_from_slice(&end);
    let sum = crc32fast::hash(&file);
    file.extend_from_slice(&sum.to_le_bytes());
    file.extend_from_slice(b"tgbe");
    file
}

/// Makes a store of hostile values in an empty directory and does with it what is done with stores; whether
/// it opens.
///
/// # Panics
/// Where something panics, hangs a thread, or leaves a store that does not open again: a finding.
pub fn restored(dir: &Path, data: &[u8]) -> bool {
    let mut values = values(data);
    let layout = u32::from(keys::VERSION).to_be_bytes().to_vec();
    values.entry(keys::LAYOUT.to_vec()).or_insert(layout);
    let file = dir.join("backup");
    std::fs::write(&file, backup(&values)).expect("a file is written");
    let home = dir.join("store");
    let restored = Store::restore(&file, &home, Onto::Nothing, &mut |_| {});
    restored.expect("a backup whose checksums are right is restored");
    let options = Options {
        block_bytes: 64,
        seal_after_ms: 3_600_000,
        out_of_order_ms: 3_600_000,
        page_cache_bytes: 1 << 20,
        column_cache_bytes: 1 << 20,
        ..Options::default()
    };
    let found = Store::examine(&home, &mut |_| {});
    let store = match Store::open(&home, options.clone()) {
        Ok(store) => store,
        Err(StoreError::Damaged { .. } | StoreError::Version { .. }) => {
            if let Ok(report) = found {
                assert!(!report.is_clean(), "it does not open and is called whole");
            }
            return false;
        }
        Err(other) => panic!("it is not open elsewhere, nor is the disk full: {other}"),
    };
    found.expect("what opens is examined");
    work(&store);
    store.close();
    drop(store);
    let again = Store::open(&home, options).expect("what was open opens again");
    work(&again);
    again.close();
    true
}

fn work(store: &Store) {
    store.verify().expect("damage is reported");
    let stat = store.stat().expect("its figures");
    let mut newest = Timestamp(0);
    for key in store.series() {
        let end = store.newest(&key).unwrap_or_default();
        newest = newest.max(end);
        let grid = Grid {
            start: Timestamp(end.0.saturating_sub(7_200_000)),
            step: Step::MINUTE,
            count: 130,
        };
        // Damage has a name.
        let _ = store.column(&key, grid);
        let _ = store.distributions(&key.api, grid);
        let _ = store.sources(&key, grid);
        let (from, to) = (Timestamp(i64::MIN / 4), Timestamp(i64::MAX / 4));
        let _ = store.rollups(&key, Resolution::Hour, from, to);
        let _ = store.rollups(&key, Resolution::FiveMinutes, from, to);
    }
    for kept in store.kept_records() {
        let _ = store.record(&kept.pool, kept.plans.1);
    }
    let _ = store.entries(&mut |_| {});
    let _ = store.write(b"a note");
    let hour = Duration::from_secs(3600);
    let keep = Retention {
        raw: hour,
        five_minutes: 2 * hour,
        hour: 3 * hour,
        size: None,
        records: hour,
        reach: hour,
    };
    for _ in 0..3 {
        let _ = store.retain(&keep, newest);
    }
    let (done, answer) = sync_channel(1);
    let batch = SampleBatch {
        series: [Signal::Cpu, Signal::Requests].map(sample).into(),
    };
    let told = Box::new(move |outcome| drop(done.send(outcome)));
    History::append(store, batch, told);
    let outcome = answer.recv().expect("every batch is answered");
    assert!(
        !matches!(outcome, Err(StoreError::Closed)),
        "a thread of the store has ended; it held {stat:?}"
    );
    store.verify().expect("damage is reported");
}

fn sample(signal: Signal) -> SeriesSamples {
    let key = SeriesKey {
        api: "shop/fresh".parse().expect("a name"),
        signal,
    };
    SeriesSamples {
        key,
        step: Step::MINUTE,
        times: vec![Timestamp::from_secs(1_700_000_040)],
        values: Values::Numbers(vec![4.0]),
    }
}
