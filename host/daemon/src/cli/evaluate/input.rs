//! Where the series come from: M4 pairs, `timestamp,value` files, or the store of a stopped daemon.
//!
//! The store is opened as the daemon opens it, and therefore only when the daemon is not running:
//! two owners of one database would harm it. Series of files are named by the file's stem, and by
//! more of the path where two stems are the same.

use super::ask::Question;
use super::{Args, GapsArg};
use crate::cli::errors::usage;
use anyhow::{Context, Result, anyhow};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tidegate_backtest::evaluate::calendar::{Calendar, Event};
use tidegate_backtest::evaluate::read::{CsvOptions, Pair, csv, m4};
use tidegate_backtest::evaluate::trace::{Gaps, Trace, fill};
use tidegate_core::ports::storage::History as _;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::Signal;
use tidegate_store::Store;

/// What there is to evaluate on.
#[derive(Debug)]
pub(super) enum Input {
    /// One origin a series.
    Pairs(Vec<Pair>),
    /// Origins are chosen.
    Traces(Vec<Trace>),
}

/// Reads it.
pub(super) fn read(args: &Args, question: &Question) -> Result<Input> {
    if let Some([train, test]) = args.m4.as_deref() {
        return pairs(train, test, question).map(Input::Pairs);
    }
    if !args.csv.is_empty() {
        return files(args, question).map(Input::Traces);
    }
    stored(args, question).map(Input::Traces)
}

fn gaps(args: &Args) -> Gaps {
    match args.gaps {
        GapsArg::Fill => Gaps::Fill,
        GapsArg::Keep => Gaps::Keep,
    }
}

fn text(path: &Path) -> Result<String> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    String::from_utf8(bytes).map_err(|_| anyhow!("{shown} is no text (UTF-8); give a CSV file"))
}

fn pairs(train: &Path, test: &Path, question: &Question) -> Result<Vec<Pair>> {
    let (known, came) = (text(train)?, text(test)?);
    let (train, test) = (train.display().to_string(), test.display().to_string());
    m4((&train, &known), (&test, &came), question.step).map_err(|e| anyhow!("{e}"))
}

/// Rows from which second on are left out: of one file, or of all.
fn until<'a>(args: &'a Args, names: &[String]) -> Result<BTreeMap<&'a str, i64>> {
    let mut cuts = BTreeMap::new();
    for text in &args.until {
        let (name, second) = text.rsplit_once('=').unwrap_or(("", text));
        let second = second.parse().map_err(|_| {
            usage(format!(
                "--until {text}: `{second}` is no second since 1970; write for example --until 899510400 or --until worldcup98=899510400"
            ))
        })?;
        if !name.is_empty() && !names.iter().any(|n| n == name) {
            return Err(usage(format!(
                "--until {text}: no file is called `{name}`; there are {}",
                names.join(", ")
            )));
        }
        cuts.insert(name, second);
    }
    Ok(cuts)
}

fn files(args: &Args, question: &Question) -> Result<Vec<Trace>> {
    let names = names("--csv", &args.csv)?;
    let cuts = until(args, &names)?;
    let mut traces = vec![];
    for (path, name) in args.csv.iter().zip(&names) {
        let options = CsvOptions {
            step: question.step,
            until: cuts.get(name.as_str()).or_else(|| cuts.get("")).copied(),
            gaps: gaps(args),
            column: args.column.as_deref(),
        };
        let file = path.display().to_string();
        traces.push(csv(&file, name, &text(path)?, &options).map_err(|e| anyhow!("{e}"))?);
    }
    Ok(traces)
}

/// Stems, or as many folders before them as tell the files apart.
pub(in crate::cli) fn names(flag: &str, paths: &[PathBuf]) -> Result<Vec<String>> {
    let tail = |path: &Path, depth: usize| {
        let stem = path.with_extension("");
        let parts: Vec<String> = stem
            .components()
            .map(|c| c.as_os_str().to_string_lossy().into_owned())
            .collect();
        parts[parts.len().saturating_sub(depth)..].join("/")
    };
    for depth in 1..16 {
        let names: Vec<String> = paths.iter().map(|p| tail(p, depth)).collect();
        let mut distinct = names.clone();
        distinct.sort();
        distinct.dedup();
        if distinct.len() == names.len() {
            return Ok(names);
        }
    }
    Err(usage(format!(
        "{flag}: a file is given twice; give each file once (names are without their extension)"
    )))
}

/// The store in a data directory, which nobody else may use meanwhile.
pub(in crate::cli) fn store(dir: &Path) -> Result<Arc<Store>> {
    let inner = dir.join("store");
    if !inner.is_dir() {
        return Err(usage(format!(
            "--store {}: there is no store in it; give the data directory of a daemon (its --data)",
            dir.display()
        )));
    }
    Store::open(&inner, tidegate_store::Options::default()).with_context(|| {
        format!(
            "cannot open the store in {}; if a daemon uses it, stop the daemon first",
            dir.display()
        )
    })
}

fn stored(args: &Args, question: &Question) -> Result<Vec<Trace>> {
    let dir = args
        .store
        .as_deref()
        .ok_or_else(|| usage("--series needs --store DIR"))?;
    let keys: Vec<SeriesKey> = args.series.iter().map(|s| key(s)).collect::<Result<_>>()?;
    let store = store(dir)?;
    let mut traces = vec![];
    for (key, name) in keys.iter().zip(&args.series) {
        let Some(newest) = store.newest(key) else {
            let known = store.series();
            let known: Vec<String> = known
                .iter()
                .take(12)
                .map(|k| format!("{}:{}", k.api, k.signal.name()))
                .collect();
            let known = match known.is_empty() {
                true => "it holds no series at all".to_owned(),
                false => format!("it holds for example {}", known.join(", ")),
            };
            return Err(anyhow!(
                "the store in {} has no series {name}; {known}",
                dir.display()
            ));
        };
        let count = args.history.steps(question.step.secs());
        let end = newest.floor(question.step);
        let back = i64::try_from(count).unwrap_or(i64::MAX);
        let grid = Grid {
            start: end.plus_steps(question.step, back.saturating_neg()),
            step: question.step,
            count,
        };
        let column = store
            .column(key, grid)
            .with_context(|| format!("cannot read {name}"))?;
        let first = column.values.iter().position(|v| !v.is_nan());
        let first = first.ok_or_else(|| {
            anyhow!(
                "{name} has no whole step of {} s; give a shorter --step",
                question.step.secs()
            )
        })?;
        let mut values = column.values[first..].to_vec();
        let missing = values.iter().filter(|v| v.is_nan()).count();
        if gaps(args) == Gaps::Fill {
            fill(&mut values, (86_400 / question.step.secs()) as usize);
        }
        traces.push(Trace {
            name: name.clone(),
            start: grid.at(first),
            step: question.step,
            values,
            missing,
        });
    }
    Ok(traces)
}

/// `TENANT/API:SIGNAL`, requests where no signal is named.
fn key(text: &str) -> Result<SeriesKey> {
    let (api, signal) = text.split_once(':').unwrap_or((text, "requests"));
    let signal = Signal::parse(signal).ok_or_else(|| {
        let known: Vec<&str> = Signal::ALL.iter().map(|s| s.name()).collect();
        usage(format!(
            "--series {text}: `{signal}` is no signal; signals are {}",
            known.join(", ")
        ))
    })?;
    let api = api
        .parse()
        .map_err(|e| usage(format!("--series {text}: {e}")))?;
    Ok(SeriesKey { api, signal })
}

/// What the modules are told beside the values.
pub(super) fn calendar(args: &Args) -> Result<Calendar> {
    let events = match &args.events {
        Some(path) => events(path)?,
        None => vec![],
    };
    // The stamps of M4 files mean nothing.
    let is_blind = args.no_calendar || args.m4.is_some();
    if is_blind && !events.is_empty() {
        return Err(usage(
            "--events needs the calendar: leave out --no-calendar, and use files with timestamps",
        ));
    }
    Ok(match is_blind {
        true => Calendar::Unknown,
        false => Calendar::Utc(events),
    })
}

fn events(path: &Path) -> Result<Vec<Event>> {
    let mut events = vec![];
    for (at, line) in text(path)?.lines().enumerate() {
        if line.trim().is_empty() || (at == 0 && line.starts_with("kind,")) {
            continue;
        }
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let second = |i: usize| cells.get(i).and_then(|c| c.parse::<i64>().ok());
        let event = match (cells.first(), second(1), second(2)) {
            (Some(kind), Some(from), Some(to)) if !kind.is_empty() && from < to => Event {
                kind: (*kind).to_owned(),
                from: Timestamp::from_secs(from),
                to: Timestamp::from_secs(to),
            },
            _ => {
                return Err(anyhow!(
                    "{}:{}: this is no event; write `kind,start,end` with seconds since 1970, the end after the start",
                    path.display(),
                    at + 1
                ));
            }
        };
        events.push(event);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(paths: &[&str], named: &[&str]) {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        assert_eq!(names("--csv", &paths).unwrap(), named);
    }

    #[test]
    fn series_are_named_by_as_little_of_the_path_as_tells_them_apart() {
        check(&["a/x.csv", "a/y.csv"], &["x", "y"]);
        check(&["a/x.csv", "b/x.csv", "y.csv"], &["a/x", "b/x", "y"]);
        assert!(names("--csv", &["a/x.csv".into(), "a/x.csv".into()]).is_err());
    }
}
