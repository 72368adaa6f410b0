//! `tidegate store export`: a series as a table for other programs.
//!
//! Rows come a piece at a time, so a year of seconds takes no more memory than an hour. A step without a
//! measurement is no row: a reader that wants the gaps sees them by the times. What is written is what models
//! see: counts as rates per second, gauges as means, latency as quantiles of the step's own distribution, which
//! rows of means could not be made into again. `tidegate evaluate --csv` and `backtest` read the file.
//!
//! Of a running daemon the store's copy for replays is read, which takes the room of its samples once more.

use super::place;
use crate::cli::connect::Flags;
use crate::cli::errors::usage;
use crate::cli::evaluate::progress::{Bar, note};
use crate::cli::replay::live::Copy;
use crate::cli::words::parse_instant;
use crate::config::Seconds;
use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tidegate_core::distribution::Distribution;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::storage::History;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;
use tidegate_store::{Options, Store};

/// Steps of a piece.
const PIECE: usize = 4096;
/// Quantiles of a latency's row.
const QUANTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p999", 0.999),
];

/// What to write.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// TENANT/NAME
    #[arg(long, value_name = "TENANT/NAME")]
    api: String,
    /// requests, errors, latency, cpu, memory, network or io
    #[arg(long, default_value = "requests", value_parser = signal)]
    signal: Signal,
    /// From when on: RFC 3339, a day, or seconds since the epoch; from the oldest sample when left out
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    since: Option<i64>,
    /// Until when, itself not included; to the newest sample when left out
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    until: Option<i64>,
    /// Length of a row's step, for example 60s
    #[arg(long, value_name = "SPAN", default_value = "1m")]
    step: Seconds,
    /// The file to write; standard output when left out
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// As what
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// Data directory of a stopped daemon, or a copy of one; the running daemon's when left out
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Comma-separated, with a head; seconds since 1970 in the first column
    Csv,
}

fn signal(text: &str) -> Result<Signal, String> {
    let known = Signal::ALL.map(Signal::name);
    Signal::parse(text)
        .ok_or_else(|| format!("`{text}` is no signal; signals are {}", known.join(", ")))
}

/// Writes it.
pub(super) fn run(args: &Args, flags: &Flags) -> Result<()> {
    let api = args.api.parse::<ApiId>();
    let api = api.map_err(|e| usage(format!("--api {}: {e}", args.api)))?;
    let key = SeriesKey {
        api,
        signal: args.signal,
    };
    match &args.store {
        Some(dir) => on(args, &place(dir)?, &key),
        None => {
            let copy = Copy::take(flags)?;
            on(args, &place(copy.dir())?, &key)
        }
    }
}

fn on(args: &Args, dir: &Path, key: &SeriesKey) -> Result<()> {
    let Format::Csv = args.format;
    let store = Store::open(dir, Options::default())
        .with_context(|| format!("cannot open the store in {}", dir.display()))?;
    let (Some((oldest, _)), Some(newest)) = (store.span(), store.newest(key)) else {
        let known = store.series();
        let known: Vec<String> = known.iter().take(12).map(named).collect();
        return Err(anyhow!(
            "the store in {} has no series {}; {}",
            dir.display(),
            named(key),
            match known.is_empty() {
                true => "it holds none at all".to_owned(),
                false => format!("it holds for example {}", known.join(", ")),
            }
        ));
    };
    let step = Step::from_secs(args.step.0)
        .ok_or_else(|| usage("--step: a row has 1 s to a day; write for example 60s"))?;
    let since = Timestamp(args.since.unwrap_or(oldest.0)).floor(step);
    let until = Timestamp(args.until.unwrap_or(newest.0).min(newest.0));
    if args
        .since
        .zip(args.until)
        .is_some_and(|(since, until)| since >= until)
    {
        return Err(usage("--since lies after --until"));
    }
    let steps = (until.since_ms(since).max(0) as u64).div_ceil(step.ms() as u64);
    let whole = Grid {
        start: since,
        step,
        count: usize::try_from(steps).unwrap_or(0),
    };
    let rows = match &args.to {
        None => rows(
            &*store,
            key,
            whole,
            &mut BufWriter::new(std::io::stdout().lock()),
        )?,
        Some(to) => file(to, |out| rows(&*store, key, whole, out))?,
    };
    if let Some(to) = &args.to {
        note(&format!("{}: {rows} rows of {}", to.display(), named(key)));
    }
    Ok(())
}

fn named(key: &SeriesKey) -> String {
    format!("{}:{}", key.api, key.signal.name())
}

/// Writes a file that bears its name once it is whole.
fn file(to: &Path, write: impl FnOnce(&mut dyn Write) -> Result<u64>) -> Result<u64> {
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let cannot = || format!("cannot write {}", to.display());
    let mut out = BufWriter::new(File::create(&partial).with_context(cannot)?);
    let written = write(&mut out).and_then(|rows| {
        let file = out.into_inner().map_err(|e| e.into_error());
        file.and_then(|file| file.sync_all()).with_context(cannot)?;
        std::fs::rename(&partial, to).with_context(cannot)?;
        Ok(rows)
    });
    if written.is_err() {
        // It is not whole; why it is not was said.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

/// Writes the head and every row that was measured; how many rows there are.
fn rows(store: &dyn History, key: &SeriesKey, whole: Grid, out: &mut dyn Write) -> Result<u64> {
    let quantiles = QUANTILES.map(|(name, _)| name).join(",");
    match key.signal {
        Signal::Latency => writeln!(out, "timestamp,count,mean,{quantiles}")?,
        _ => writeln!(out, "timestamp,value")?,
    }
    let bar = Bar::new("exporting");
    let mut written = 0;
    for from in (0..whole.count).step_by(PIECE) {
        let grid = Grid {
            start: whole.at(from),
            step: whole.step,
            count: PIECE.min(whole.count - from),
        };
        let cannot = || format!("cannot read {}", named(key));
        let lines: Vec<Option<String>> = match key.signal {
            Signal::Latency => {
                let steps = store.distributions(&key.api, grid).with_context(cannot)?;
                steps.iter().map(|d| d.as_ref().and_then(latency)).collect()
            }
            _ => {
                let column = store.column(key, grid).with_context(cannot)?;
                let number = |v: &f64| (!v.is_nan()).then(|| v.to_string());
                column.values.iter().map(number).collect()
            }
        };
        for (i, line) in lines.iter().enumerate() {
            let Some(line) = line else { continue };
            writeln!(out, "{},{line}", seconds(grid.at(i)))?;
            written += 1;
        }
        bar.tell(from + grid.count, whole.count);
    }
    out.flush()?;
    Ok(written)
}

/// Seconds since the epoch; steps are whole seconds, and so are grids.
fn seconds(at: Timestamp) -> i64 {
    at.0.div_euclid(1000)
}

/// Count, mean and quantiles of a step; `None` where nobody waited for anything.
fn latency(distribution: &Distribution) -> Option<String> {
    let mut cells = vec![
        distribution.count().to_string(),
        distribution.mean()?.to_string(),
    ];
    for (_, probability) in QUANTILES {
        cells.push(distribution.quantile(probability)?.to_string());
    }
    Some(cells.join(","))
}
