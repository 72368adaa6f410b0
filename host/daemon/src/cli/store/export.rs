//! `tidegate store export`: series as a table for other programs.
//!
//! Rows come a piece at a time, so a year of seconds takes no more memory than an hour. A step without a
//! measurement is no row: a reader that wants the gaps sees them by the times. What is written is what models
//! see: counts as rates per second, gauges as means, latency as quantiles of the step's own distribution, which
//! rows of means could not be made into again. `tidegate evaluate --csv` and `backtest` read the file of one series;
//! with several, a first column says of which a row is, series after series.
//!
//! Where samples are rolled up, a step as long as the cells is answered by them: by default a table of hours reaches
//! back further than one of minutes, and a range that a step cannot answer is told.
//!
//! Of a running daemon the store's copy for replays is read, which takes the room of its samples once more.

use super::place;
use crate::cli::connect::{Flags, Output};
use crate::cli::errors::usage;
use crate::cli::evaluate::progress::{Bar, note};
use crate::cli::interrupt::Temporary;
use crate::cli::replay::live::Copy;
use crate::cli::say;
use crate::cli::words::parse_instant;
use crate::config::Seconds;
use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tidegate_core::distribution::Distribution;
use tidegate_core::ids::ApiId;
use tidegate_core::ports::storage::History;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Step, Timestamp};
use tidegate_core::units::Signal;
use tidegate_store::{Options, Resolution, Store};

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
    /// TENANT/NAME, or a beginning and `*`, as `shop/*`; may be repeated
    #[arg(long, value_name = "TENANT/NAME", required = true)]
    api: Vec<String>,
    /// requests, errors, latency, cpu, memory, network or io; may be repeated, latency goes alone. Requests and
    /// errors are written per second, whatever the step
    #[arg(long, default_value = "requests", value_parser = signal)]
    signal: Vec<Signal>,
    /// From when on: RFC 3339, a day, or seconds since the epoch; from the oldest sample when left out
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    since: Option<i64>,
    /// Until when, itself not included; to the newest sample when left out
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    until: Option<i64>,
    /// Length of a row's step, for example 60s
    #[arg(long, value_name = "SPAN", default_value = "1m")]
    step: Seconds,
    /// The file to write, which is replaced; standard output when left out
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
    let Format::Csv = args.format;
    if flags.output == Output::Json && args.to.is_none() {
        return Err(usage(
            "rows are CSV; -o json tells what was written to a file: add --to FILE",
        ));
    }
    if args.signal.contains(&Signal::Latency) && args.signal.iter().any(|s| *s != Signal::Latency) {
        return Err(usage(
            "--signal latency has columns of its own; export it by itself",
        ));
    }
    let wanted: Vec<Wanted> = args
        .api
        .iter()
        .map(|api| Wanted::of(api))
        .collect::<Result<_>>()?;
    if args
        .since
        .zip(args.until)
        .is_some_and(|(since, until)| since >= until)
    {
        return Err(usage("--since lies after --until"));
    }
    let step = Step::from_secs(args.step.0)
        .ok_or_else(|| usage("--step: a row has 1 s to a day; write for example 60s"))?;
    let on = |dir: &Path, name: &str| on(args, flags.output, (dir, name), &wanted, step);
    match &args.store {
        Some(dir) => {
            let dir = place(dir)?;
            on(&dir, &format!("the store in {}", dir.display()))
        }
        None => {
            // The copy is gone afterwards, so it is the daemon that is named.
            let copy = Copy::take(flags)?;
            on(
                &place(copy.dir())?,
                &format!("the store of {}", flags.server),
            )
        }
    }
}

/// Which apis are wanted.
enum Wanted {
    One(ApiId),
    /// Those whose name begins so.
    All(String),
}

impl Wanted {
    fn of(text: &str) -> Result<Self> {
        if let Some(begin) = text.strip_suffix('*') {
            return Ok(Wanted::All(begin.to_owned()));
        }
        let api = text.parse::<ApiId>();
        api.map(Wanted::One)
            .map_err(|e| usage(format!("--api {text}: {e}")))
    }

    fn takes(&self, api: &ApiId) -> bool {
        match self {
            Wanted::One(one) => one == api,
            Wanted::All(begin) => api.to_string().starts_with(begin),
        }
    }
}

/// The series of the store that are wanted; an error where one that was named is not there, or none is.
fn select(
    store: &Store,
    name: &str,
    wanted: &[Wanted],
    signals: &[Signal],
) -> Result<Vec<SeriesKey>> {
    let known = store.series();
    let takes = |key: &&SeriesKey| {
        signals.contains(&key.signal) && wanted.iter().any(|w| w.takes(&key.api))
    };
    let found: Vec<SeriesKey> = known.iter().filter(takes).cloned().collect();
    let missing = wanted.iter().find_map(|w| match w {
        Wanted::One(api) => {
            let is_there = found.iter().any(|key| key.api == *api);
            (!is_there).then(|| api.to_string())
        }
        Wanted::All(begin) => found.is_empty().then(|| format!("{begin}*")),
    });
    let Some(missing) = missing else {
        return Ok(found);
    };
    let signals: Vec<&str> = signals.iter().map(|s| s.name()).collect();
    let examples: Vec<String> = known.iter().take(12).map(named).collect();
    Err(anyhow!(
        "{name} has no series {missing}:{}; {}",
        signals.join(","),
        match examples.is_empty() {
            true => "it holds none at all".to_owned(),
            false => format!("it holds for example {}", examples.join(", ")),
        }
    ))
}

/// The begin of the oldest sample that a step can be answered from.
fn oldest(store: &Store, step: Step) -> Result<Timestamp> {
    let stat = store.stat()?;
    let cells = [(300, stat.five_minutes), (3600, stat.hour)];
    let cells = cells.iter().filter(|(seconds, _)| step.secs() >= *seconds);
    let raw = store.span().map(|(oldest, _)| oldest);
    let all = cells.filter_map(|(_, held)| held.oldest).chain(raw);
    Ok(all.min().unwrap_or(Timestamp(0)))
}

/// Writes what is wanted of the store in `dir`, which a person knows as `name`.
fn on(
    args: &Args,
    output: Output,
    (dir, name): (&Path, &str),
    wanted: &[Wanted],
    step: Step,
) -> Result<()> {
    let store =
        Store::open(dir, Options::default()).with_context(|| format!("cannot open {name}"))?;
    let keys = select(&store, name, wanted, &args.signal)?;
    let since = match args.since {
        Some(since) => Timestamp(since),
        None => oldest(&store, step)?,
    };
    let since = since.floor(step);
    let grids: Vec<(SeriesKey, Grid)> = keys
        .into_iter()
        .map(|key| {
            let newest = store.newest(&key).map_or(0, |newest| newest.0);
            let until = Timestamp(args.until.map_or(newest, |until| until.min(newest)));
            let steps = (until.since_ms(since).max(0) as u64).div_ceil(step.ms() as u64);
            let grid = Grid {
                start: since,
                step,
                count: usize::try_from(steps).unwrap_or(0),
            };
            (key, grid)
        })
        .collect();
    let is_named = grids.len() > 1 || wanted.iter().any(|w| matches!(w, Wanted::All(_)));
    let write = |out: &mut dyn Write| rows(&*store, &grids, is_named, out);
    let rows = match &args.to {
        None => write(&mut BufWriter::new(std::io::stdout().lock()))?,
        Some(to) => file(to, write)?,
    };
    remark(&store, &grids, rows);
    match (&args.to, output) {
        (Some(to), Output::Json) => {
            let series: Vec<String> = grids.iter().map(|(key, _)| named(key)).collect();
            let value = json!({"file": to.display().to_string(), "rows": rows, "series": series});
            say(&serde_json::to_string_pretty(&value)?)
        }
        (Some(to), Output::Human) => {
            let of = match grids.as_slice() {
                [(key, _)] => named(key),
                all => format!("{} series", all.len()),
            };
            note(&format!("{}: {rows} rows of {of}", to.display()));
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

/// Says why there is nothing, or less than was asked for.
fn remark(store: &Store, grids: &[(SeriesKey, Grid)], rows: u64) {
    if rows == 0 {
        let span = store.span().map_or_else(String::new, |(oldest, newest)| {
            format!("; samples as they came reach from {oldest} to {newest}")
        });
        return note(&format!("no row: nothing was measured in that range{span}"));
    }
    let coarser = grids.iter().find_map(|(key, grid)| {
        let sources = store.sources(key, *grid);
        let last = sources.into_iter().rfind(|s| s.is_coarser)?;
        Some((named(key), last))
    });
    if let Some((key, source)) = coarser {
        let step = match source.resolution {
            Resolution::Hour => "1h",
            _ => "5m",
        };
        note(&format!(
            "before {} {key} is rolled up, and rows of this step are missing: --step {step} has them",
            source.to
        ));
    }
}

/// A cell with whatever it holds: names of apis are somebody else's.
fn cell(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

fn named(key: &SeriesKey) -> String {
    format!("{}:{}", key.api, key.signal.name())
}

/// Writes a file that bears its name once it is whole.
fn file(to: &Path, write: impl FnOnce(&mut dyn Write) -> Result<u64>) -> Result<u64> {
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Temporary::new(PathBuf::from(partial));
    let cannot = || format!("cannot write {}", to.display());
    let mut out = BufWriter::new(File::create(partial.path()).with_context(cannot)?);
    let rows = write(&mut out)?;
    let file = out.into_inner().map_err(|e| e.into_error());
    file.and_then(|file| file.sync_all()).with_context(cannot)?;
    std::fs::rename(partial.path(), to).with_context(cannot)?;
    Ok(rows)
}

/// Writes the head and every row that was measured; how many rows there are.
fn rows(
    store: &dyn History,
    grids: &[(SeriesKey, Grid)],
    is_named: bool,
    out: &mut dyn Write,
) -> Result<u64> {
    let first = if is_named { "series," } else { "" };
    let is_latency = grids.iter().any(|(key, _)| key.signal == Signal::Latency);
    match is_latency {
        true => {
            let quantiles = QUANTILES.map(|(name, _)| name).join(",");
            writeln!(out, "{first}timestamp,count,mean,{quantiles}")?;
        }
        false => writeln!(out, "{first}timestamp,value")?,
    }
    let bar = Bar::new("exporting");
    let all: usize = grids.iter().map(|(_, grid)| grid.count).sum();
    let (mut written, mut done) = (0, 0);
    for (key, whole) in grids {
        let first = match is_named {
            true => format!("{},", cell(&named(key))),
            false => String::new(),
        };
        for from in (0..whole.count).step_by(PIECE) {
            let grid = Grid {
                start: whole.at(from),
                step: whole.step,
                count: PIECE.min(whole.count - from),
            };
            for (i, cells) in piece(store, key, grid)?.into_iter().enumerate() {
                let Some(cells) = cells else { continue };
                writeln!(out, "{first}{},{cells}", seconds(grid.at(i)))?;
                written += 1;
            }
            done += grid.count;
            bar.tell(done, all);
        }
    }
    out.flush()?;
    Ok(written)
}

/// The cells of every step's row; `None` of a step without a measurement.
fn piece(store: &dyn History, key: &SeriesKey, grid: Grid) -> Result<Vec<Option<String>>> {
    let cannot = || format!("cannot read {}", named(key));
    if key.signal == Signal::Latency {
        let steps = store.distributions(&key.api, grid).with_context(cannot)?;
        return Ok(steps.iter().map(|d| d.as_ref().and_then(latency)).collect());
    }
    let column = store.column(key, grid).with_context(cannot)?;
    let number = |v: &f64| (!v.is_nan()).then(|| v.to_string());
    Ok(column.values.iter().map(number).collect())
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
