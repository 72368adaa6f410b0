//! What is put into a store while the power fails, and what must be there afterwards.
//!
//! Every value follows from its place, so that lost, wrong and double are told apart without a second book.

use crate::options::Options;
use crate::retain::Retention;
use crate::sources::Resolution;
use crate::store::Store;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tidegate_core::distribution::Distribution;
use tidegate_core::ports::storage::{History, Notes, StoreError};
use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Stored, Values};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;

/// Series of counts; every second one is late with a sample of each batch.
pub(super) const SERIES: i64 = 5;
/// Minutes of a batch.
pub(super) const MINUTES: i64 = 10;
/// The minute of a batch that comes with the next one.
const LATE: i64 = 7;
const HOUR: i64 = 60;

/// What is known to be on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Batches, from the first on.
    pub(super) batches: i64,
    /// Notes, from the first on.
    pub(super) notes: u64,
    /// Notes below it may be gone: somebody has asked for that.
    pub(super) dropped: u64,
}

/// Bounds so small that everything happens all the time.
pub(super) fn options() -> Options {
    Options {
        block_bytes: 300,
        seal_after_ms: 1_800_000,
        out_of_order_ms: 1_800_000,
        page_cache_bytes: 1 << 20,
        column_cache_bytes: 1 << 20,
        ..Options::default()
    }
}

pub(super) fn keep() -> Retention {
    Retention {
        raw: Duration::from_hours(3),
        five_minutes: Duration::from_hours(400 * 24),
        hour: Duration::from_hours(400 * 24),
        size: None,
        records: Duration::ZERO,
        reach: Duration::ZERO,
    }
}

/// The end of so many batches.
pub(super) fn end(batches: i64) -> Timestamp {
    Timestamp::from_secs(batches * MINUTES * 60)
}

fn value(series: i64, minute: i64) -> f64 {
    ((minute * 31 + series * 17) % 257) as f64
}

fn latency(minute: i64) -> Distribution {
    let n = minute.unsigned_abs() % 50;
    Distribution {
        scale: 3,
        zero_count: 1,
        offset: -20,
        buckets: vec![n, 0, 2 * n, 1],
        sum: n as f64 * 0.125,
        above: vec![(0.2, n.min(1))],
    }
}

fn key(series: i64) -> SeriesKey {
    SeriesKey {
        api: format!("t/{series}").parse().unwrap(),
        signal: Signal::Requests,
    }
}

/// Minutes of a series that come with a batch, ascending.
fn minutes(series: i64, batch: i64) -> Vec<i64> {
    let own = batch * MINUTES..(batch + 1) * MINUTES;
    if series % 2 == 0 {
        return own.collect();
    }
    let late = (batch > 0).then_some((batch - 1) * MINUTES + LATE);
    late.into_iter()
        .chain(own.filter(|m| m % MINUTES != LATE))
        .collect()
}

fn batch(number: i64) -> SampleBatch {
    let of = |key: SeriesKey, minutes: &[i64], values: Values| SeriesSamples {
        key,
        step: Step::MINUTE,
        times: minutes
            .iter()
            .map(|m| Timestamp::from_secs(m * 60))
            .collect(),
        values,
    };
    let mut series: Vec<_> = (0..SERIES)
        .map(|s| {
            let minutes = minutes(s, number);
            let values = minutes.iter().map(|m| value(s, *m)).collect();
            of(key(s), &minutes, Values::Numbers(values))
        })
        .collect();
    let all: Vec<i64> = (number * MINUTES..(number + 1) * MINUTES).collect();
    let values = Values::Distributions(all.iter().map(|m| latency(*m)).collect());
    let key = SeriesKey {
        signal: Signal::Latency,
        ..key(0)
    };
    series.push(of(key, &all, values));
    SampleBatch { series }
}

/// Appends a batch and waits until it is on disk.
pub(super) fn append(store: &Store, number: i64) -> Result<Stored, StoreError> {
    let (send, receive) = sync_channel(1);
    let done = Box::new(move |outcome| drop(send.send(outcome)));
    History::append(store, batch(number), done);
    receive.recv().unwrap()
}

/// A note of its own, now and then in several parts.
pub(super) fn note(number: u64) -> Vec<u8> {
    let long = if number % 16 == 5 {
        70_000
    } else {
        number * 7919 % 3000
    };
    let rest = (0..long).map(|i| (i * (number + 3)) as u8);
    number.to_le_bytes().into_iter().chain(rest).collect()
}

/// Numbers of the notes that are there, each of which must be whole.
pub(super) fn notes(store: &Store) -> Vec<u64> {
    let mut all = vec![];
    let each = &mut |entry: &[u8]| {
        let number = entry
            .first_chunk()
            .map_or(u64::MAX, |n| u64::from_le_bytes(*n));
        assert!(entry == note(number), "note {number} is torn");
        all.push(number);
    };
    store.entries(each).unwrap();
    all
}

/// Opens a store and holds everything against what is known; how many hours are dropped.
///
/// # Panics
/// When something is lost, torn, double or wrong.
pub(super) fn check(dir: &Path, known: Known) -> Result<i64, StoreError> {
    let store = Store::open(dir, options())?;
    let report = store.verify()?;
    assert!(report.is_clean(), "{report:?}");
    let there = batches(&store);
    assert!(
        there >= known.batches,
        "{there} batches are there of {}",
        known.batches
    );
    let dropped = samples(&store, there)?;
    let all = notes(&store);
    let is_chain = all.windows(2).all(|w| w[0] + 1 == w[1]);
    assert!(is_chain, "notes are missing or double: {all:?}");
    let (first, last) = (all.first().copied(), all.last().copied());
    assert!(
        last.unwrap_or(0) >= known.notes && first.unwrap_or(1) <= known.dropped.max(1),
        "notes {first:?} to {last:?} are there of {known:?}"
    );
    store.close();
    Ok(dropped)
}

/// Batches of which all is there; a batch that was not acknowledged is there whole or not at all.
pub(super) fn batches(store: &Arc<Store>) -> i64 {
    let end = |key: &SeriesKey| store.newest(key).map_or(0, |t| t.secs() / 60);
    let ends: Vec<i64> = (0..SERIES).map(|s| end(&key(s))).collect();
    let is_whole = ends.iter().all(|e| *e == ends[0]) && ends[0] % MINUTES == 0;
    assert!(is_whole, "a batch is torn: series end at {ends:?}");
    ends[0] / MINUTES
}

fn grid(from: i64, step: Step, to: i64) -> Grid {
    let minutes = usize::try_from((to - from).max(0)).unwrap();
    Grid {
        start: Timestamp::from_secs(from * 60),
        step,
        count: minutes * 60 / step.secs() as usize,
    }
}

fn samples(store: &Store, there: i64) -> Result<i64, StoreError> {
    let hour = Step::from_secs(3600).unwrap();
    // What comes late of the last batch is not there yet.
    let whole = (there - 1).max(0) * MINUTES / HOUR * HOUR;
    let mut dropped = 0;
    for s in 0..SERIES {
        let sum = |h: i64| (h * HOUR..(h + 1) * HOUR).map(|m| value(s, m)).sum::<f64>();
        let column = store.column(&key(s), grid(0, hour, whole))?;
        for (h, found) in (0..).zip(&column.values) {
            let near = (found - sum(h) / 3600.0).abs() < 1e-9;
            assert!(near, "series {s}, hour {h} is {found}");
        }
        let sources = store.sources(&key(s), grid(0, hour, whole));
        let raw = sources.iter().find(|of| of.resolution == Resolution::Raw);
        let raw = raw.map_or(whole, |of| of.from.secs() / 60);
        let cells = store.rollups(
            &key(s),
            Resolution::Hour,
            end(0),
            Timestamp::from_secs(raw * 60),
        )?;
        assert_eq!(cells.len() as i64, raw / HOUR, "series {s}");
        for (h, cell) in (0..).zip(&cells) {
            let told = (cell.value.to_bits(), cell.samples);
            assert_eq!(told, (sum(h).to_bits(), 60), "series {s}, hour {h}");
        }
        dropped = dropped.max(raw / HOUR);
        // Minute for minute where nothing is dropped, and nothing beyond what was sent.
        let until = there * MINUTES + 30;
        let column = store.column(&key(s), grid(raw, Step::MINUTE, until))?;
        for (m, found) in (raw..).zip(&column.values) {
            let is_late = s % 2 == 1 && m == (there - 1) * MINUTES + LATE;
            let expected = match m < there * MINUTES && !is_late {
                true => (value(s, m) / 60.0).to_bits(),
                false => f64::NAN.to_bits(),
            };
            let found = if found.is_nan() { f64::NAN } else { *found };
            assert_eq!(found.to_bits(), expected, "series {s}, minute {m}: {found}");
        }
    }
    let of = store.distributions(&key(0).api, grid(0, hour, whole))?;
    for (h, found) in (0..).zip(&of) {
        let sum: u64 = (h * HOUR..(h + 1) * HOUR).map(|m| latency(m).count()).sum();
        assert_eq!(
            found.as_ref().map(Distribution::count),
            Some(sum),
            "latency, hour {h}"
        );
    }
    Ok(dropped)
}
