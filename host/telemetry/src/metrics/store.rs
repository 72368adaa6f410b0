//! The instruments of the store's upkeep. Figures are told as they stand, once a look; what was dropped is counted.

use super::table::*;
use super::{Metrics, counter, gauge};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

/// How the store fares at a moment. Bytes and seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// What it holds, by kind: words of a fixed set.
    pub bytes: Vec<(&'static str, u64)>,
    /// By resolution, how far back it reaches; without the ones that hold nothing.
    pub held_s: Vec<(&'static str, u64)>,
    /// What may not be dropped, beyond the size that is allowed.
    pub over: u64,
    /// Groups that wait to be sealed or are being sealed.
    pub sealing: u64,
    /// Blocks that wait to be rolled up.
    pub unrolled: u64,
    /// What is left on the disk, where that is known.
    pub free: Option<u64>,
    /// When the last backup was made, in seconds since the epoch, and how large it is.
    pub backup: Option<(u64, u64)>,
}

#[derive(Debug)]
pub(super) struct Store {
    bytes: Gauge<u64>,
    held: Gauge<u64>,
    dropped: Counter<u64>,
    dropped_early: Counter<u64>,
    over: Gauge<u64>,
    sealing: Gauge<u64>,
    unrolled: Gauge<u64>,
    free: Gauge<u64>,
    backup_time: Gauge<u64>,
    backup_size: Gauge<u64>,
}

impl Store {
    pub(super) fn on(meter: &Meter) -> Self {
        Self {
            bytes: gauge(meter, &STORE_BYTES),
            held: gauge(meter, &STORE_HELD),
            dropped: counter(meter, &STORE_DROPPED),
            dropped_early: counter(meter, &STORE_DROPPED_EARLY),
            over: gauge(meter, &STORE_OVER),
            sealing: gauge(meter, &STORE_SEALING),
            unrolled: gauge(meter, &STORE_UNROLLED),
            free: gauge(meter, &STORE_FREE),
            backup_time: gauge(meter, &STORE_BACKUP_TIME),
            backup_size: gauge(meter, &STORE_BACKUP_SIZE),
        }
    }
}

impl Metrics {
    /// The store fares like that now.
    pub fn store(&self, figures: &StoreFigures) {
        let store = &self.0.store;
        for (kind, bytes) in &figures.bytes {
            store.bytes.record(*bytes, &[KeyValue::new("kind", *kind)]);
        }
        for (resolution, seconds) in &figures.held_s {
            let resolution = KeyValue::new("resolution", *resolution);
            store.held.record(*seconds, &[resolution]);
        }
        store.over.record(figures.over, &[]);
        store.sealing.record(figures.sealing, &[]);
        store.unrolled.record(figures.unrolled, &[]);
        if let Some(free) = figures.free {
            store.free.record(free, &[]);
        }
        if let Some((at, bytes)) = figures.backup {
            store.backup_time.record(at, &[]);
            store.backup_size.record(bytes, &[]);
        }
    }

    /// Retention has dropped so many bytes by resolution, and of all of them so many before their age.
    pub fn store_dropped(&self, bytes: &[(&'static str, u64)], early: u64) {
        for (resolution, bytes) in bytes.iter().filter(|(_, bytes)| *bytes > 0) {
            let resolution = KeyValue::new("resolution", *resolution);
            self.0.store.dropped.add(*bytes, &[resolution]);
        }
        if early > 0 {
            self.0.store.dropped_early.add(early, &[]);
        }
    }
}
