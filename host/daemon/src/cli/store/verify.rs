//! `tidegate store verify`: whether everything is as it was written, and if not, what to do.
//!
//! What is damaged is told by what it means for whoever runs the daemon, since a key means nothing to them. The
//! exit code says 1 where anything is. Nothing is repaired: a guess would hide what is lost.

use super::{place, print, progress, size};
use crate::cli::connect::Output;
use crate::cli::words::{bytes, instant};
use anyhow::{Context as _, Result, anyhow};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tidegate_store::{Problem, Report, Store};

/// What is checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Data directory of a stopped daemon, or the file of a backup
    #[arg(value_name = "DIR|BACKUP")]
    what: PathBuf,
    /// Name at most so many damaged values
    #[arg(long, value_name = "N", default_value_t = 20)]
    show: usize,
}

/// Checks it.
pub(super) fn run(args: &Args, output: Output) -> Result<()> {
    if args.what.is_file() {
        return backup(&args.what, output);
    }
    let dir = place(&args.what)?;
    let report = Store::examine(&dir, &mut progress("checking", size(&dir)))
        .with_context(|| format!("cannot check the store in {}", dir.display()))?;
    print(
        output,
        &as_json(&dir, &report),
        &as_text(&dir, &report, args.show),
    )?;
    match report.problems.len() {
        0 => Ok(()),
        1 => Err(anyhow!("1 value of {} is damaged", dir.display())),
        n => Err(anyhow!("{n} values of {} are damaged", dir.display())),
    }
}

fn backup(file: &Path, output: Output) -> Result<()> {
    let manifest = Store::check_backup(file, &mut progress("checking", size(file)))?;
    let value = json!({
        "backup": file.display().to_string(), "whole": true, "layout": manifest.layout,
        "values": manifest.values, "bytes": manifest.bytes,
    });
    let text = format!(
        "{}: a whole backup, {} values of {}B",
        file.display(),
        manifest.values,
        bytes(manifest.bytes as f64)
    );
    print(output, &value, &text)
}

/// What is gone where a value of a kind is damaged, and what to do.
fn remedy(kind: &str) -> &'static str {
    match kind {
        "wal" | "log wal" => {
            "samples that are in no block yet; the daemon does not start like this: restore a backup, or salvage the rest"
        }
        "group" | "marks" | "layout" | "the database file" => {
            "what says where everything lies; the daemon does not start like this: restore a backup, or salvage the rest"
        }
        "log notes" => {
            "what feeds have said and what is not given out yet; the daemon does not start like this: restore a \
             backup, or salvage the rest"
        }
        "log blocks" | "log cells" => {
            "samples that were sealed or rolled up: restore a backup, or salvage the rest"
        }
        "block" => {
            "samples of up to 64 series from that time on; everything else can be read, and the daemon goes on \
             without them: restore a backup if they matter"
        }
        "record" | "recordtime" | "anchor" | "named" | "kept" | "late" => {
            "what plans were made from: they cannot be explained or made again; restore a backup if they matter"
        }
        "module" | "component" => "a module: push it again, or restore a backup",
        "state" | "model" | "track" | "choice" => {
            "what was learned: restore a backup, and what came since is learned again"
        }
        "catalog" => "what is declared: restore a backup, then `tidegate apply` what changed since",
        _ => "restore a backup",
    }
}

/// What kind of value a problem is of; of a log, which one, since that says what was in it.
fn kind_of(problem: &Problem) -> String {
    let (kind, rest) = problem.key.split_once(':').unwrap_or((&problem.key, ""));
    match (kind, rest.split_once('/')) {
        ("log", Some((name, _))) => format!("log {name}"),
        _ => kind.to_owned(),
    }
}

/// Where, with the time that a key tells in words.
fn place_of(problem: &Problem) -> String {
    let told = problem.key.rsplit_once(", from ").and_then(|(of, from)| {
        let ms = from.strip_suffix(" ms")?.parse().ok()?;
        Some(format!("{of}, from {}", instant(ms)))
    });
    told.unwrap_or_else(|| problem.key.clone())
}

fn as_text(dir: &Path, report: &Report, show: usize) -> String {
    let read = format!(
        "{}: {} values of {}B, {} samples in blocks, {} in write-ahead records",
        dir.display(),
        report.values,
        bytes(report.bytes as f64),
        report.sealed_samples,
        report.wal_samples
    );
    if report.is_clean() {
        return format!("{read}: all as it was written");
    }
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut lines = vec![read];
    for problem in &report.problems {
        *kinds.entry(kind_of(problem)).or_default() += 1;
    }
    for problem in report.problems.iter().take(show) {
        lines.push(format!("damaged: {}: {}", place_of(problem), problem.cause));
    }
    if report.problems.len() > show {
        lines.push(format!(
            "and {} more (--show N)",
            report.problems.len() - show
        ));
    }
    for (kind, count) in kinds {
        lines.push(format!("{count} of {kind}: {}", remedy(&kind)));
    }
    lines.push(format!(
        "`tidegate store salvage {} --to NEW` copies what can be read into a new store, and names the rest",
        dir.display()
    ));
    lines.join("\n")
}

fn as_json(dir: &Path, report: &Report) -> serde_json::Value {
    let problem = |p: &Problem| json!({"kind": kind_of(p), "where": place_of(p), "cause": p.cause, "remedy": remedy(&kind_of(p))});
    json!({
        "store": dir.display().to_string(), "whole": report.is_clean(), "values": report.values,
        "bytes": report.bytes, "sealed_samples": report.sealed_samples, "wal_samples": report.wal_samples,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_told_with_where_and_what_to_do() {
        let problem = |key: &str| Problem {
            key: key.into(),
            cause: "its checksum does not match".into(),
        };
        let report = Report {
            values: 9,
            problems: vec![
                problem("block:2 of group 7, from 1767744000000 ms"),
                problem("wal:17"),
                problem("wal:18"),
            ],
            ..Report::default()
        };
        let told = as_text(Path::new("data/store"), &report, 2);
        for part in [
            "damaged: block:2 of group 7, from 2026-01-07 00:00:00Z: its checksum",
            "and 1 more",
            "1 of block: samples of up to 64 series",
            "2 of wal: samples that are in no block yet",
            "salvage data/store --to NEW",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let json = as_json(Path::new("x"), &report);
        assert_eq!(
            (&json["whole"], &json["problems"][2]["where"]),
            (&json!(false), &json!("wal:18"))
        );
        let log = Report {
            problems: vec![problem("log:wal/1 byte 15")],
            ..Report::default()
        };
        let told = as_text(Path::new("x"), &log, 2);
        assert!(
            told.contains("1 of log wal: samples that are in no block yet"),
            "{told}"
        );
        let clean = as_text(Path::new("x"), &Report::default(), 2);
        assert!(clean.ends_with("all as it was written"), "{clean}");
    }
}
