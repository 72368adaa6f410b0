//! How the store fares, in words and as JSON: for `tidegate status` and `tidegate store stat`.

use super::json;
use super::words::{bytes, instant};
use serde_json::{Value, json};
use tidegate_client::v1;
use tidegate_core::ports::health::{Dropped, HeldSpan, LastBackup, StoreHealth};
use tidegate_core::time::Timestamp;

/// An answer in the port's words.
pub(super) fn taken(told: &v1::StoreHealth) -> StoreHealth {
    let held = |of: &Option<v1::HeldSpan>| {
        let of = (*of).unwrap_or_default();
        HeldSpan {
            blocks: of.blocks,
            bytes: of.bytes,
            oldest: of.oldest_ms.map(Timestamp),
        }
    };
    StoreHealth {
        disk_bytes: told.disk_bytes,
        free_bytes: told.free_bytes,
        raw: held(&told.raw),
        five_minutes: held(&told.five_minutes),
        hour: held(&told.hour),
        head: (told.head_samples, told.head_bytes),
        wal: (told.wal_records, told.wal_bytes),
        ledger: (told.ledger_records, told.ledger_bytes),
        sealing_groups: told.sealing_groups,
        unrolled_blocks: told.unrolled_blocks,
        dropped: told.dropped.as_ref().map(|dropped| Dropped {
            at: Timestamp(dropped.at_ms),
            blocks: dropped.blocks,
            bytes: dropped.bytes,
            early_blocks: dropped.early_blocks,
            early_bytes: dropped.early_bytes,
        }),
        over_bytes: told.over_bytes,
        backup: told.backup.as_ref().map(|backup| LastBackup {
            at: Timestamp(backup.at_ms),
            bytes: backup.bytes,
            is_checked: backup.checked,
        }),
    }
}

fn size(n: u64) -> String {
    format!("{}B", bytes(n as f64))
}

/// Resolutions with the names that the configuration gives them.
fn spans(health: &StoreHealth) -> [(&'static str, HeldSpan); 3] {
    [
        ("raw", health.raw),
        ("5m", health.five_minutes),
        ("1h", health.hour),
    ]
}

/// In a few lines, without an end of line.
pub(super) fn as_text(health: &StoreHealth) -> String {
    let free = health.free_bytes;
    let free = free.map_or(String::new(), |free| {
        format!(", {} left on the disk", size(free))
    });
    let held: Vec<String> = spans(health)
        .iter()
        .map(|(name, held)| match held.oldest {
            Some(oldest) => format!("{name} {} since {}", size(held.bytes), instant(oldest.0)),
            None => format!("{name} none"),
        })
        .collect();
    let waiting = match (health.sealing_groups, health.unrolled_blocks) {
        (0, 0) => String::from("nothing waits to be sealed or rolled up"),
        (groups, blocks) => {
            format!("{groups} groups of series are to be sealed, {blocks} blocks to be rolled up")
        }
    };
    let over = match health.over_bytes {
        0 => String::new(),
        n => format!("; {} more than `store.size` must stay for now", size(n)),
    };
    let dropped = match health.dropped {
        Some(d) if d.early_blocks > 0 => format!(
            "dropped last: {} blocks ({}) at {}, {} of them ({}) before their age, for `store.size`",
            d.blocks,
            size(d.bytes),
            instant(d.at.0),
            d.early_blocks,
            size(d.early_bytes)
        ),
        Some(d) => format!(
            "dropped last: {} blocks ({}) at {}, by age",
            d.blocks,
            size(d.bytes),
            instant(d.at.0)
        ),
        None => "dropped last: nothing since the daemon started".into(),
    };
    let backup = match health.backup {
        Some(b) => format!(
            "last backup: {} at {}, {}",
            size(b.bytes),
            instant(b.at.0),
            match b.is_checked {
                true => "read again and whole",
                false => "not checked",
            }
        ),
        None => "last backup: none known; `tidegate store backup FILE` makes one".into(),
    };
    format!(
        "store: {} on disk{free}; {} in memory, {} of write-ahead records, {} of records of plans\n         sealed: {}; {waiting}{over}\n{dropped}\n{backup}",
        size(health.disk_bytes),
        size(health.head.1),
        size(health.wal.1),
        size(health.ledger.1),
        held.join(", "),
    )
}

/// As a program reads it.
pub(super) fn as_json(health: &StoreHealth) -> Value {
    let spans = spans(health).into_iter().map(|(name, held)| {
        let oldest = held.oldest.map(|at| json::instant(at.0));
        let value = json!({"blocks": held.blocks, "bytes": held.bytes, "oldest": oldest});
        (name.to_owned(), value)
    });
    json!({
        "disk_bytes": health.disk_bytes, "free_bytes": health.free_bytes,
        "sealed": spans.collect::<serde_json::Map<_, _>>(),
        "head_samples": health.head.0, "head_bytes": health.head.1,
        "wal_records": health.wal.0, "wal_bytes": health.wal.1,
        "ledger_records": health.ledger.0, "ledger_bytes": health.ledger.1,
        "sealing_groups": health.sealing_groups, "unrolled_blocks": health.unrolled_blocks,
        "over_bytes": health.over_bytes,
        "dropped": health.dropped.map(|d| json!({
            "at": json::instant(d.at.0), "blocks": d.blocks, "bytes": d.bytes,
            "early_blocks": d.early_blocks, "early_bytes": d.early_bytes,
        })),
        "backup": health.backup.map(|b| json!({
            "at": json::instant(b.at.0), "bytes": b.bytes, "checked": b.is_checked,
        })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_told_with_what_it_dropped_and_when_it_was_backed_up() {
        let empty = as_text(&StoreHealth::default());
        for part in ["raw none", "nothing waits", "nothing since", "none known"] {
            assert!(empty.contains(part), "{part}: {empty}");
        }
        let mut health = StoreHealth {
            free_bytes: Some(3 << 30),
            raw: HeldSpan {
                blocks: 2,
                bytes: 5 << 20,
                oldest: Some(Timestamp(60_000)),
            },
            unrolled_blocks: 4,
            dropped: Some(Dropped {
                at: Timestamp(1_000),
                blocks: 9,
                bytes: 1 << 20,
                early_blocks: 2,
                early_bytes: 1 << 10,
            }),
            backup: Some(LastBackup {
                at: Timestamp(1_000),
                bytes: 7 << 20,
                is_checked: true,
            }),
            ..StoreHealth::default()
        };
        let told = as_text(&health);
        for part in [
            "3GiB left on the disk",
            "raw 5MiB since 1970-01-01 00:01:00Z",
            "4 blocks to be rolled up",
            "9 blocks (1MiB) at 1970-01-01 00:00:01Z, 2 of them (1KiB) before their age",
            "7MiB at 1970-01-01 00:00:01Z, read again and whole",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let json = as_json(&health);
        assert_eq!(json["sealed"]["raw"]["blocks"], 2);
        assert_eq!(json["dropped"]["early_blocks"], 2);
        health.dropped = health.dropped.map(|d| Dropped {
            early_blocks: 0,
            ..d
        });
        assert!(as_text(&health).contains("by age"));
    }
}
