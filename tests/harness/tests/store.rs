//! The memory store keeps the promises of the storage ports.

use std::sync::mpsc::sync_channel;
use tidegate_core::ports::storage::History;
use tidegate_core::sample::{SampleBatch, SeriesKey, SeriesSamples, Stored, Values};
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;
use tidegate_harness::MemoryStore;

fn key(signal: Signal) -> SeriesKey {
    SeriesKey {
        api: "shop/orders".parse().expect("a name"),
        signal,
    }
}

fn append(store: &MemoryStore, signal: Signal, step: u32, samples: &[(i64, f64)]) -> Stored {
    let (told, heard) = sync_channel(1);
    let series = SeriesSamples {
        key: key(signal),
        step: Step::from_secs(step).expect("a step"),
        times: samples
            .iter()
            .map(|(t, _)| Timestamp::from_secs(*t))
            .collect(),
        values: Values::Numbers(samples.iter().map(|(_, v)| *v).collect()),
    };
    let batch = SampleBatch {
        series: vec![series],
    };
    store.append(
        batch,
        Box::new(move |outcome| told.send(outcome).expect("it is heard")),
    );
    heard.recv().expect("it is told").expect("it is stored")
}

fn column(store: &MemoryStore, signal: Signal, step: u32, count: usize) -> Vec<f64> {
    let grid = Grid {
        start: Timestamp(0),
        step: Step::from_secs(step).expect("a step"),
        count,
    };
    store.column(&key(signal), grid).expect("it reads").values
}

#[test]
fn counts_become_rates_and_finer_samples_are_averaged() {
    let store = MemoryStore::default();
    append(
        &store,
        Signal::Requests,
        60,
        &[(0, 60.0), (60, 180.0), (180, 120.0)],
    );
    assert_eq!(column(&store, Signal::Requests, 120, 2), [2.0, 2.0]);
}

#[test]
fn a_coarser_sample_fills_the_steps_that_it_covers_and_a_gap_stays_one() {
    let store = MemoryStore::default();
    append(&store, Signal::Cpu, 120, &[(0, 3.0), (240, 5.0)]);
    let values = column(&store, Signal::Cpu, 60, 5);
    assert_eq!((values[0], values[1], values[4]), (3.0, 3.0, 5.0));
    assert!(values[2].is_nan() && values[3].is_nan());
}

#[test]
fn the_first_value_of_a_sample_stands() {
    let store = MemoryStore::default();
    append(&store, Signal::Cpu, 60, &[(0, 1.0)]);
    let again = append(&store, Signal::Cpu, 60, &[(0, 9.0), (60, 2.0)]);
    assert_eq!((again.stored, again.duplicates, again.sequence), (1, 1, 2));
    assert_eq!(column(&store, Signal::Cpu, 60, 2), [1.0, 2.0]);
    assert_eq!(
        store.newest(&key(Signal::Cpu)),
        Some(Timestamp::from_secs(120))
    );
}
