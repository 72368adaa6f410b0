//! `tidegate evaluate`: how good is a forecaster on files, or on what the daemon has stored?
//!
//! The arithmetic is `backtest::evaluate`; here are files, clocks, modules and paper. One verb with
//! four questions (rolling origins, `--stream`, `--cold-start`, `--robustness`), because all share the
//! modules and the way of asking, and all but the last the input. It needs no daemon.

mod ask;
mod cold;
pub(super) mod input;
mod json;
mod modules;
pub(in crate::cli) mod progress;
mod robust;
mod rolling;
mod show;
mod stream;

use super::connect::Output;
use super::errors::usage;
use crate::config::Seconds;
use anyhow::Result;
use ask::Question;
use clap::ValueEnum;
use std::path::PathBuf;
use std::str::FromStr;

const EXAMPLES: &str = "\
Examples:
  tidegate evaluate --m4 train.csv test.csv --season 24 --horizon 48 --forecasts out.csv
      one forecast a series, scored as the M4 competition did
  tidegate evaluate --csv load/*.csv --step 300 --season 288 --train 4032 \\
          --origins 8 --gap 137 --horizon 288 --score-at 12,288 --compare seasonal-naive
      eight origins a file, scored over the first hour and the first day
  tidegate evaluate --csv load.csv --module ./my.wasm --native --plot
  tidegate evaluate --csv load.csv --stream            is a 95 % interval a 95 % interval?
  tidegate evaluate --csv load.csv --cold-start 2h,1d,1w
  tidegate evaluate --module ./my.wasm --robustness    gaps, outages, spikes, shifts: what then?
  tidegate evaluate --store ./data --series shop/orders:requests --step 60

Files of --csv have the header `timestamp,value` (seconds since 1970, UTC); a step's value is the
mean of its rows. The file of --forecasts has the columns series, origin (steps before the first
forecast step), step (from 1), mean, lo80, hi80, lo95, hi95, seconds (CPU time of one fit and
prediction); for --m4 there is no origin.";

/// What to measure, on what.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A pair of M4 files: `id,v1,v2,...` a line
    #[arg(long, num_args = 2, value_names = ["TRAIN", "TEST"], help_heading = "Input")]
    m4: Option<Vec<PathBuf>>,
    /// Files `timestamp,value`
    #[arg(long, num_args = 1.., value_name = "FILE", help_heading = "Input")]
    csv: Vec<PathBuf>,
    /// Data directory of a stopped daemon, for --series and --module @DIGEST
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    store: Option<PathBuf>,
    /// A stored series, TENANT/API:SIGNAL; again for more
    #[arg(
        long,
        value_name = "SERIES",
        requires = "store",
        help_heading = "Input"
    )]
    series: Vec<String>,
    /// How far back stored series are read
    #[arg(
        long,
        value_name = "TIME",
        default_value = "8w",
        help_heading = "Input"
    )]
    history: Span,
    /// The column of values, where a file has several
    #[arg(long, value_name = "NAME", help_heading = "Input")]
    column: Option<String>,
    /// Leave rows from this second (since 1970) on out; FILE=SECOND for one file
    #[arg(long, value_name = "[FILE=]SECOND", help_heading = "Input")]
    until: Vec<String>,
    /// Steps without a value: the value a day before, else a line; or leave them missing
    #[arg(long, value_enum, default_value_t = GapsArg::Fill, help_heading = "Input")]
    gaps: GapsArg,
    /// Known events: a file `kind,start,end` (seconds since 1970)
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    events: Option<PathBuf>,

    /// Seconds of a step (files: 300; --m4: a day over --season)
    #[arg(long, value_name = "SECONDS", help_heading = "Procedure")]
    step: Option<u32>,
    /// Steps of a season, for scaled errors (files: a day; --m4: 24)
    #[arg(long, value_name = "STEPS", help_heading = "Procedure")]
    season: Option<usize>,
    /// Steps to forecast (files: a day, --stream: an hour; --m4: all that is in TEST)
    #[arg(long, value_name = "STEPS", help_heading = "Procedure")]
    horizon: Option<usize>,
    /// Most history that a fit sees (files: two weeks; --m4: all)
    #[arg(long, value_name = "STEPS", help_heading = "Procedure")]
    train: Option<usize>,
    /// Origins a series
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        help_heading = "Procedure"
    )]
    origins: usize,
    /// Steps between origins
    #[arg(
        long,
        value_name = "STEPS",
        default_value_t = 137,
        help_heading = "Procedure"
    )]
    gap: usize,
    /// Score over the first so many steps (files: an hour and the horizon; --m4: the horizon)
    #[arg(
        long,
        value_name = "STEPS",
        value_delimiter = ',',
        help_heading = "Procedure"
    )]
    score_at: Vec<usize>,
    /// No origin before so much of a file
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5d",
        help_heading = "Procedure"
    )]
    min_history: Span,
    /// Forecast at every step, and ask whether the intervals keep their promise
    #[arg(long, conflicts_with = "m4", help_heading = "Procedure")]
    stream: bool,
    /// Steps before the first forecast of --stream (a day)
    #[arg(
        long,
        value_name = "STEPS",
        requires = "stream",
        help_heading = "Procedure"
    )]
    warm_up: Option<usize>,
    /// Fit with just so much history, with the day of the other files and without, beside
    /// seasonal-naive and the last value
    #[arg(
        long,
        value_name = "TIME",
        value_delimiter = ',',
        conflicts_with_all = ["stream", "m4", "joint", "no_calendar"],
        help_heading = "Procedure"
    )]
    cold_start: Vec<Span>,
    /// Live through gaps, outages, spikes and shifts: who endures, who finds back, and when
    #[arg(
        long,
        conflicts_with_all = ["stream", "m4", "csv", "series", "cold_start"],
        help_heading = "Procedure"
    )]
    robustness: bool,

    /// A shipped forecaster, a component FILE.wasm, or @DIGEST of one in --store; what an api gets
    /// that nobody configured unless told
    #[arg(long, value_name = "MODULE", help_heading = "Modules")]
    module: Option<String>,
    /// Configuration of the module, under its schema
    #[arg(
        long,
        value_name = "JSON",
        default_value = "{}",
        help_heading = "Modules"
    )]
    config: String,
    /// More modules to stand beside it
    #[arg(
        long,
        value_name = "MODULE",
        value_delimiter = ',',
        help_heading = "Modules"
    )]
    compare: Vec<String>,
    /// Run shipped models as plain code, outside WebAssembly
    #[arg(long, help_heading = "Modules")]
    native: bool,
    /// Fit all series of an origin in one call, for modules that learn a cohort together
    #[arg(long, help_heading = "Modules")]
    joint: bool,
    /// Tell the modules nothing of the calendar
    #[arg(long, help_heading = "Modules")]
    no_calendar: bool,
    /// Root of all chance
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Modules")]
    seed: u64,
    /// Threads
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Modules")]
    jobs: usize,

    /// Write every forecast of the module to a file
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["stream", "cold_start", "robustness"],
        help_heading = "Answer"
    )]
    forecasts: Option<PathBuf>,
    /// One line a series, whatever their number
    #[arg(long, help_heading = "Answer")]
    per_series: bool,
    /// Draw the last forecast of a series, of the worst one unless told
    #[arg(
        long,
        value_name = "SERIES",
        num_args = 0..=1,
        default_missing_value = "",
        help_heading = "Answer"
    )]
    plot: Option<String>,
    /// As `-o json`
    #[arg(long, help_heading = "Answer")]
    json: bool,
}

/// A duration that may also be in weeks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span(u64);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let weeks = text
            .trim()
            .strip_suffix('w')
            .and_then(|n| n.trim().parse::<u32>().ok());
        match weeks {
            Some(weeks) => Ok(Self(u64::from(weeks) * 7 * 86_400)),
            None => text.trim().parse().map(|Seconds(s)| Self(u64::from(s))),
        }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            s if s > 0 && s.is_multiple_of(7 * 86_400) => write!(f, "{}w", s / (7 * 86_400)),
            s => write!(f, "{}", Seconds(u32::try_from(s).unwrap_or(u32::MAX))),
        }
    }
}

impl Span {
    /// In steps of so many seconds, rounded down.
    fn steps(self, step_s: u32) -> usize {
        usize::try_from(self.0 / u64::from(step_s.max(1))).unwrap_or(usize::MAX)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GapsArg {
    Fill,
    Keep,
}

/// Measures.
pub(crate) fn run(args: &Args, output: Output) -> Result<()> {
    let output = if args.json { Output::Json } else { output };
    if args.robustness {
        let jobs = positive("--jobs", args.jobs)?;
        return robust::run(jobs, &modules::open(args)?, output);
    }
    let question = Question::of(args)?;
    // Modules before files: a misspelt name is told at once, not after a minute of reading.
    let modules = modules::open(args)?;
    let input = input::read(args, &question)?;
    match () {
        () if args.stream => stream::run(args, &question, &input, &modules, output),
        () if !args.cold_start.is_empty() => cold::run(args, &question, &input, &modules, output),
        () => rolling::run(args, &question, &input, &modules, output),
    }
}

/// A count that must be at least 1.
fn positive(flag: &str, value: usize) -> Result<usize> {
    if value == 0 {
        return Err(usage(format!("{flag} is 0; give at least 1")));
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
