//! `tidegate store salvage`: what can still be read of a damaged store, in a new one.
//!
//! The damaged store is only read, so nothing is worse afterwards. What is lost is told by whose it was and from
//! when to when, on standard output whole as JSON and cut to `--show` lines for a person. The exit code is 3 where
//! anything is lost: a script that goes on to start a daemon has to mean it.

use super::{place, print, progress, size};
use crate::cli::connect::Output;
use crate::cli::errors::{Partly, usage};
use crate::cli::interrupt::Temporary;
use crate::cli::json;
use crate::cli::words::{bytes, instant};
use anyhow::{Error, Result, anyhow};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tidegate_core::ports::storage::StoreError;
use tidegate_store::{Loss, Salvaged, Store};

/// Series that a line names.
const NAMED: usize = 4;

/// Of what, and where to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Data directory of a stopped daemon
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// New data directory; the damaged one is left as it is
    #[arg(long, value_name = "NEW")]
    to: PathBuf,
    /// Name at most so many losses
    #[arg(long, value_name = "N", default_value_t = 50)]
    show: usize,
}

/// Salvages it.
pub(super) fn run(args: &Args, output: Output) -> Result<()> {
    let dir = place(&args.dir)?;
    let new = args.to.join("store");
    if new.exists() || args.to.join("sled").exists() {
        return Err(usage(format!(
            "--to {}: there is a store in it; name a new directory",
            args.to.display()
        )));
    }
    let made = Temporary::new(new.clone());
    let done = Store::salvage(&dir, &new, &mut progress("salvaging", size(&dir)))
        .map_err(|error| nothing(&dir, error))?;
    made.keep();
    print(
        output,
        &as_json(&dir, &new, &done),
        &as_text(args, &new, &done),
    )?;
    match done.losses.len() {
        0 => Ok(()),
        1 => Err(Error::new(Partly(format!(
            "1 loss: what is told above is not in {}",
            new.display()
        )))),
        n => Err(Error::new(Partly(format!(
            "{n} losses: what is told above is not in {}",
            new.display()
        )))),
    }
}

/// Why nothing was salvaged. A store that is in use, or no room, is no reason to go back to a backup.
fn nothing(dir: &Path, error: StoreError) -> Error {
    let what = format!(
        "nothing was salvaged from the store in {}, which is as it was",
        dir.display()
    );
    match error {
        // Its own remedy is to verify, which has told to come here.
        StoreError::Damaged { key, cause } => {
            anyhow!("{what}: too much of it is damaged ({key}: {cause}); restore a backup")
        }
        other => Error::new(other).context(what),
    }
}

fn as_text(args: &Args, new: &Path, done: &Salvaged) -> String {
    let mut lines = vec![format!(
        "{}: {} values of {}B of {} are there; `tidegate serve --data {}` goes on with them",
        new.display(),
        done.values,
        bytes(done.bytes as f64),
        args.dir.display(),
        args.to.display()
    )];
    if done.losses.is_empty() {
        lines.push("nothing is lost".into());
        return lines.join("\n");
    }
    lines.extend(done.losses.iter().take(args.show).map(line));
    if done.losses.len() > args.show {
        lines.push(format!(
            "and {} more (--show N, or -o json)",
            done.losses.len() - args.show
        ));
    }
    let mut kinds: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for loss in &done.losses {
        let (count, samples) = kinds.entry(&loss.kind).or_default();
        *count += 1;
        *samples += loss.samples;
    }
    for (kind, (count, samples)) in kinds {
        let samples = match samples {
            0 => String::new(),
            n => format!(", {n} samples"),
        };
        lines.push(format!("{count} of {kind}{samples}"));
    }
    lines.join("\n")
}

fn line(loss: &Loss) -> String {
    let span = loss.span.map_or_else(String::new, |(from, to)| {
        format!(", from {} to {}", instant(from.0), instant(to.0))
    });
    let samples = match loss.samples {
        0 => String::new(),
        n => format!(", {n} samples"),
    };
    let named = loss.series.iter().take(NAMED);
    let mut series: Vec<String> = named
        .map(|key| format!("{}:{}", key.api, key.signal.name()))
        .collect();
    if loss.series.len() > NAMED {
        series.push(format!("{} others", loss.series.len() - NAMED));
    }
    let of = match series.is_empty() {
        true => String::new(),
        false => format!(" of {}", series.join(", ")),
    };
    format!(
        "lost: {}: {}{of}{span}{samples}: {}",
        loss.kind, loss.of, loss.cause
    )
}

fn as_json(dir: &Path, new: &Path, done: &Salvaged) -> Value {
    let loss = |loss: &Loss| {
        let series = loss.series.iter();
        let series = series.map(|key| format!("{}:{}", key.api, key.signal.name()));
        json!({
            "kind": loss.kind, "of": loss.of, "series": series.collect::<Vec<_>>(),
            "from": loss.span.map(|(from, _)| json::instant(from.0)),
            "to": loss.span.map(|(_, to)| json::instant(to.0)),
            "samples": loss.samples, "cause": loss.cause,
        })
    };
    json!({
        "store": dir.display().to_string(), "salvaged": new.display().to_string(),
        "values": done.values, "bytes": done.bytes,
        "losses": done.losses.iter().map(loss).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::time::Timestamp;
    use tidegate_core::units::Signal;

    #[test]
    fn a_store_that_is_in_use_is_no_reason_for_a_backup_and_a_damaged_one_is_not_sent_in_circles() {
        let told = |error| format!("{:#}", nothing(Path::new("data/store"), error));
        let used = told(StoreError::Refused {
            what: "the store in data/store".into(),
            why: "it is already open".into(),
        });
        assert!(
            used.contains("already open") && !used.contains("backup"),
            "{used}"
        );
        let damaged = told(StoreError::Damaged {
            key: "the database file".into(),
            cause: "x".into(),
        });
        assert!(
            damaged.ends_with("restore a backup") && !damaged.contains("verify"),
            "{damaged}"
        );
    }

    #[test]
    fn a_loss_is_told_by_whose_it_was_and_from_when_to_when() {
        let series = (0..6).map(|i| tidegate_core::sample::SeriesKey {
            api: format!("shop/a{i}").parse().unwrap(),
            signal: Signal::Cpu,
        });
        let loss = Loss {
            kind: "block".into(),
            of: "group 7".into(),
            series: series.collect(),
            span: Some((Timestamp(1_000), Timestamp(60_000))),
            samples: 12,
            cause: "its checksum does not match".into(),
        };
        assert_eq!(
            line(&loss),
            "lost: block: group 7 of shop/a0:cpu, shop/a1:cpu, shop/a2:cpu, shop/a3:cpu, 2 others, \
             from 1970-01-01 00:00:01Z to 1970-01-01 00:01:00Z, 12 samples: its checksum does not match"
        );
        let done = Salvaged {
            losses: vec![loss.clone(), loss],
            ..Salvaged::default()
        };
        let args = Args {
            dir: "data".into(),
            to: "new".into(),
            show: 1,
        };
        let told = as_text(&args, Path::new("new/store"), &done);
        for part in ["serve --data new", "and 1 more", "2 of block, 24 samples"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let json = as_json(Path::new("a"), Path::new("b"), &done);
        assert_eq!(json["losses"][1]["series"].as_array().unwrap().len(), 6);
    }
}
