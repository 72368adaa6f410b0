//! `tidegate store stat`: what a store holds and where its room goes.
//!
//! Every value is looked at once, so on a large store it takes a while; a running daemon looks itself.

use super::{place, print, progress, size};
use crate::cli::connect::{Flags, online};
use crate::cli::errors::Told as _;
use crate::cli::words::{bytes, instant};
use crate::cli::{health, json};
use crate::gate::holds;
use crate::render::table::Table;
use crate::upkeep;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::path::PathBuf;
use tidegate_client::v1;
use tidegate_core::ports::serve::Holds;
use tidegate_core::time::Timestamp;
use tidegate_store::{Options, Store};

/// Of which store.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Data directory of a stopped daemon; the running daemon's when left out
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// Tells it.
pub(super) fn run(args: &Args, flags: &Flags) -> Result<()> {
    let (of, told) = match &args.store {
        Some(dir) => {
            let dir = place(dir)?;
            let mut tell = progress("reading", size(&dir));
            let store = Store::open(&dir, Options::default())
                .with_context(|| format!("cannot open the store in {}", dir.display()))?;
            let survey = store.survey(&mut tell).context("cannot read it")?;
            let health = upkeep::of(&survey.stat, &dir);
            (dir.display().to_string(), holds(survey, health))
        }
        None => {
            let mut told = None;
            online(flags, async |session| {
                let status = session
                    .client
                    .status()
                    .get_store(v1::GetStoreRequest {})
                    .await;
                told = Some(taken(status.told()?));
                Ok(())
            })?;
            (flags.server.clone(), told.unwrap_or_default())
        }
    };
    print(flags.output, &as_json(&of, &told), &as_text(&of, &told))
}

/// An answer in the port's words.
fn taken(told: v1::GetStoreResponse) -> Holds {
    let span = told.oldest_ms.zip(told.newest_ms);
    let kinds = told.kinds.into_iter();
    Holds {
        disk_bytes: told.disk_bytes,
        series: told.series,
        head_samples: told.head_samples,
        sealed_samples: told.sealed_samples,
        blocks: (told.blocks, told.block_bytes),
        wal: (told.wal_records, told.wal_bytes),
        ledger: (told.ledger_records, told.ledger_bytes),
        span: span.map(|(oldest, newest)| (Timestamp(oldest), Timestamp(newest))),
        health: health::taken(&told.health.unwrap_or_default()),
        kinds: kinds.map(|k| (k.kind, k.values, k.bytes)).collect(),
    }
}

/// Bytes a sample in sealed blocks; `None` without one.
fn per_sample(holds: &Holds) -> Option<f64> {
    (holds.sealed_samples > 0).then(|| holds.blocks.1 as f64 / holds.sealed_samples as f64)
}

fn live(holds: &Holds) -> u64 {
    holds.kinds.iter().map(|(_, _, bytes)| bytes).sum()
}

fn as_json(of: &str, holds: &Holds) -> Value {
    let kind = |(kind, values, bytes): &(String, u64, u64)| json!({"kind": kind, "values": values, "bytes": bytes});
    json!({
        "store": of, "disk_bytes": holds.disk_bytes, "live_bytes": live(holds), "series": holds.series,
        "samples": holds.sealed_samples + holds.head_samples, "sealed_samples": holds.sealed_samples,
        "head_samples": holds.head_samples, "blocks": holds.blocks.0, "block_bytes": holds.blocks.1,
        "bytes_per_sample": per_sample(holds), "wal_records": holds.wal.0, "wal_bytes": holds.wal.1,
        "ledger_records": holds.ledger.0, "ledger_bytes": holds.ledger.1,
        "oldest": holds.span.map(|(oldest, _)| json::instant(oldest.0)),
        "newest": holds.span.map(|(_, newest)| json::instant(newest.0)),
        "health": health::as_json(&holds.health),
        "kinds": holds.kinds.iter().map(kind).collect::<Vec<_>>(),
    })
}

fn as_text(of: &str, holds: &Holds) -> String {
    let size = |n: u64| format!("{}B", bytes(n as f64));
    let span = match holds.span {
        Some((oldest, newest)) => format!("from {} to {}", instant(oldest.0), instant(newest.0)),
        None => "none yet".into(),
    };
    let dense = per_sample(holds).map_or(String::new(), |b| format!(", {b:.2} bytes a sample"));
    let mut table = Table::new(&["kind", "values", "size"]);
    for (kind, values, bytes) in &holds.kinds {
        table.row(vec![kind.clone(), values.to_string(), size(*bytes)]);
    }
    format!(
        "the store of {of}: {} on disk, {} of it live\n\
         samples: {} of {} series, {span}\n\
         blocks: {} with {} samples in {}{dense}\n\
         not in blocks yet: {} samples, {} write-ahead records of {}\n\
         ledger: {} records of {}\n{}\n\n{table}",
        size(holds.disk_bytes),
        size(live(holds)),
        holds.sealed_samples + holds.head_samples,
        holds.series,
        holds.blocks.0,
        holds.sealed_samples,
        size(holds.blocks.1),
        holds.head_samples,
        holds.wal.0,
        size(holds.wal.1),
        holds.ledger.0,
        size(holds.ledger.1),
        health::as_text(&holds.health),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_in_words_and_as_json_and_an_empty_store_divides_by_nothing() {
        let holds = Holds {
            disk_bytes: 3 << 20,
            series: 2,
            sealed_samples: 1000,
            head_samples: 24,
            blocks: (4, 1500),
            span: Some((Timestamp(60_000), Timestamp(120_000))),
            kinds: vec![("block".into(), 4, 1500), ("wal".into(), 1, 548)],
            ..Holds::default()
        };
        let text = as_text("./data", &holds);
        for part in [
            "3MiB on disk, 2KiB of it live",
            "1024 of 2 series",
            "1.50 bytes a sample",
            "wal",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let json = as_json("./data", &holds);
        assert_eq!(
            (&json["samples"], &json["kinds"][0]["values"]),
            (&json!(1024), &json!(4))
        );
        let empty = as_text("x", &Holds::default());
        assert!(
            empty.contains("none yet") && !empty.contains("NaN"),
            "{empty}"
        );
        assert_eq!(
            as_json("x", &Holds::default())["bytes_per_sample"],
            Value::Null
        );
    }
}
