//! How the store fares, for who has to keep it: status, metrics, and an alert where room is short.
//!
//! What retention drops is remembered from one look to the next and not across a restart: the log has it, and what
//! matters then, how far back samples reach, stands in the store itself.

use crate::cli::words::bytes;
use crate::clock::wall;
use crate::config::Seconds;
use crate::copies;
use crate::world::{World, lock};
use std::path::Path;
use tidegate_core::alert::{Alert, AlertKind, Severity};
use tidegate_core::ports::health::{Dropped, HeldSpan, StoreHealth};
use tidegate_core::ports::storage::{History as _, StoreError};
use tidegate_core::time::Timestamp;
use tidegate_store::{Held, Retained, Retention, Stat};
use tidegate_telemetry::StoreFigures;

/// With less than that left on the disk it is time to act: the store takes nothing new below 64 MiB.
const SHORT: u64 = 1 << 30;
/// With less than that the store is about to refuse.
const NEARLY_FULL: u64 = 128 << 20;
/// For how long it is told that samples went before their age: blocks fill by the hour, so a size that is too small
/// drops some a few times a day.
const EARLY_FOR_MS: i64 = 86_400_000;

/// What is known of the store's upkeep.
#[derive(Debug, Default)]
pub(crate) struct Upkept {
    dropped: Option<Dropped>,
    over: u64,
    /// When samples last went before their age, by the data's clock, and their bytes.
    early: Option<(Timestamp, u64)>,
}

impl Upkept {
    /// Takes in what a look has dropped.
    pub(super) fn note(&mut self, told: &Retained, now: Timestamp) {
        let all = told.all();
        self.over = told.over;
        if told.early.bytes > 0 {
            self.early = Some((now, told.early.bytes));
        }
        if all.blocks > 0 {
            self.dropped = Some(Dropped {
                at: wall(),
                blocks: all.blocks,
                bytes: all.bytes,
                early_blocks: told.early.blocks,
                early_bytes: told.early.bytes,
            });
        }
    }
}

/// Figures of a store in the port's words; what only a running daemon knows is left out.
pub(crate) fn of(stat: &Stat, dir: &Path) -> StoreHealth {
    let held = |of: Held| HeldSpan {
        blocks: of.blocks,
        bytes: of.bytes,
        oldest: of.oldest,
    };
    StoreHealth {
        disk_bytes: stat.disk_bytes,
        free_bytes: stat.free_bytes,
        raw: held(stat.raw),
        five_minutes: held(stat.five_minutes),
        hour: held(stat.hour),
        head: (stat.head_samples, stat.head_bytes),
        wal: (stat.wal_records, stat.wal_bytes),
        ledger: (stat.ledger_records, stat.ledger_bytes),
        sealing_groups: stat.sealing_groups,
        unrolled_blocks: stat.unrolled_blocks,
        dropped: None,
        over_bytes: 0,
        backup: copies::last(dir),
    }
}

impl World {
    /// How the store fares.
    pub(crate) fn store_health(&self) -> Result<StoreHealth, StoreError> {
        let health = of(&self.store.stat()?, self.store.dir());
        let upkept = lock(&self.upkeep);
        Ok(StoreHealth {
            dropped: upkept.dropped,
            over_bytes: upkept.over,
            ..health
        })
    }
}

/// Tells the collector, and whoever watches alerts.
pub(super) fn tell(world: &World, keep: &Retention) {
    let health = match world.store_health() {
        Ok(health) => health,
        Err(error) => {
            return tracing::error!(error = %error, "the store could not be measured");
        }
    };
    let newest = world.store.watermark().newest;
    world.metrics.store(&figures(&health, newest));
    let early = lock(&world.upkeep).early;
    let now = world.clock.now();
    let recent = early.filter(|(at, _)| (0..EARLY_FOR_MS).contains(&now.since_ms(*at)));
    let seen = alerts(&health, recent.map(|(_, bytes)| bytes), keep, now);
    world.raise_store(now, &seen);
}

/// What retention has dropped, by resolution.
pub(super) fn by_resolution(told: &Retained) -> [(&'static str, u64); 3] {
    [
        ("raw", told.raw.bytes),
        ("five-minutes", told.five_minutes.bytes),
        ("hour", told.hour.bytes),
    ]
}

fn figures(health: &StoreHealth, newest: Timestamp) -> StoreFigures {
    let spans = [
        ("raw", health.raw),
        ("five-minutes", health.five_minutes),
        ("hour", health.hour),
    ];
    let reach = |(name, held): (&'static str, HeldSpan)| {
        let ms = newest.since_ms(held.oldest?).max(0);
        Some((name, ms.unsigned_abs() / 1000))
    };
    let mut bytes: Vec<_> = spans
        .iter()
        .map(|(name, held)| (*name, held.bytes))
        .collect();
    bytes.extend([
        ("head", health.head.1),
        ("wal", health.wal.1),
        ("ledger", health.ledger.1),
        ("files", health.disk_bytes),
    ]);
    let backup = |b: tidegate_core::ports::health::LastBackup| {
        (u64::try_from(b.at.0 / 1000).unwrap_or(0), b.bytes)
    };
    StoreFigures {
        bytes,
        held_s: spans.into_iter().filter_map(reach).collect(),
        over: health.over_bytes,
        sealing: health.sealing_groups,
        unrolled: health.unrolled_blocks,
        free: health.free_bytes,
        backup: health.backup.map(backup),
    }
}

/// What an operator has to know: that samples go before their age, that what must stay is too much, that the disk
/// is nearly full.
fn alerts(
    health: &StoreHealth,
    early: Option<u64>,
    keep: &Retention,
    now: Timestamp,
) -> Vec<Alert> {
    let size = |n: u64| format!("{}B", bytes(n as f64));
    let alert = |subject: &str, severity, message| Alert {
        kind: AlertKind::StoreRoom,
        severity,
        pool: None,
        api: None,
        subject: subject.into(),
        at: now,
        message,
    };
    let mut all = vec![];
    if let Some(dropped) = early {
        let allowed = keep.size.map_or_else(|| "no size".into(), size);
        let raw = Seconds(u32::try_from(keep.raw.as_secs()).unwrap_or(u32::MAX));
        let since = health.raw.oldest.map_or_else(
            || "no sealed sample is left as it came".into(),
            |oldest| format!("samples as they came reach back to {oldest} only"),
        );
        all.push(alert("early", Severity::Warning, format!(
            "samples go before their age: `store.size` ({allowed}) had no room for {} more, and {since}, where `store.retention.raw` says {raw}; raise `store.size`, or shorten `store.retention`",
            size(dropped)
        )));
    }
    if health.over_bytes > 0 {
        all.push(alert("size", Severity::Warning, format!(
            "sealed samples take {} more than `store.size`, and what is left must stay for now; raise `store.size`, or shorten `ledger.keep` or `history`",
            size(health.over_bytes)
        )));
    }
    if let Some(free) = health.free_bytes.filter(|free| *free < SHORT) {
        let severity = match free < NEARLY_FULL {
            true => Severity::Critical,
            false => Severity::Warning,
        };
        all.push(alert("disk", severity, format!(
            "{} are left on the disk of the store, which takes nothing new with less than 64 MiB; make room, lower `store.size` or `ledger.size`, or stop the daemon for `tidegate store compact`",
            size(free)
        )));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tidegate_core::ports::health::LastBackup;
    use tidegate_store::Gone;

    const KEEP: Retention = Retention {
        raw: Duration::from_hours(24 * 30),
        five_minutes: Duration::from_hours(24 * 180),
        hour: Duration::from_hours(24 * 730),
        size: Some(64 << 20),
        records: Duration::from_hours(24),
        reach: Duration::from_hours(24),
    };

    fn told(health: &StoreHealth, early: Option<u64>) -> Vec<(String, Severity, String)> {
        let alerts = alerts(health, early, &KEEP, Timestamp(0));
        let told = alerts.into_iter();
        told.map(|a| (a.subject, a.severity, a.message)).collect()
    }

    #[test]
    fn a_store_with_room_raises_nothing_and_one_without_says_what_to_do() {
        let roomy = StoreHealth {
            free_bytes: Some(SHORT),
            ..StoreHealth::default()
        };
        assert_eq!(told(&roomy, None), []);
        let short = StoreHealth {
            free_bytes: Some(NEARLY_FULL - 1),
            over_bytes: 3 << 20,
            raw: HeldSpan {
                oldest: Some(Timestamp(86_400_000)),
                ..HeldSpan::default()
            },
            ..StoreHealth::default()
        };
        let all = told(&short, Some(5 << 20));
        let subjects: Vec<_> = all.iter().map(|(of, s, _)| (of.as_str(), *s)).collect();
        assert_eq!(
            subjects,
            [
                ("early", Severity::Warning),
                ("size", Severity::Warning),
                ("disk", Severity::Critical)
            ]
        );
        let early = &all[0].2;
        for part in [
            "(64MiB)",
            "5MiB more",
            "1970-01-02",
            "says 30d",
            "raise `store.size`",
        ] {
            assert!(early.contains(part), "{part}: {early}");
        }
    }

    #[test]
    fn what_was_dropped_last_is_remembered_and_the_next_quiet_look_does_not_forget_it() {
        let mut upkept = Upkept::default();
        let gone = |blocks, bytes| Gone { blocks, bytes };
        let look = Retained {
            raw: gone(3, 300),
            hour: gone(1, 10),
            early: gone(1, 100),
            over: 7,
            ..Retained::default()
        };
        upkept.note(&look, Timestamp(5));
        upkept.note(&Retained::default(), Timestamp(9));
        let dropped = upkept.dropped.unwrap();
        assert_eq!((dropped.blocks, dropped.bytes), (4, 310));
        assert_eq!((dropped.early_blocks, dropped.early_bytes), (1, 100));
        assert_eq!((upkept.early, upkept.over), (Some((Timestamp(5), 100)), 0));
    }

    #[test]
    fn figures_name_every_kind_and_only_spans_that_hold_something() {
        let health = StoreHealth {
            raw: HeldSpan {
                blocks: 1,
                bytes: 5,
                oldest: Some(Timestamp(60_000)),
            },
            backup: Some(LastBackup {
                at: Timestamp(9_000),
                bytes: 4,
                is_checked: true,
            }),
            ..StoreHealth::default()
        };
        let told = figures(&health, Timestamp(120_000));
        assert_eq!(told.held_s, [("raw", 60)]);
        assert_eq!(told.bytes.len(), 7);
        assert_eq!((told.bytes[0], told.backup), (("raw", 5), Some((9, 4))));
    }
}
