//! `tidegate backtest`: what would Tidegate have done on *this* past, and what would others?
//!
//! The arithmetic is `backtest::shape`; here are files, modules, threads and paper. It needs no daemon
//! and touches none. A run is a policy on a case; runs do not know of each other, so that `--jobs`
//! changes how long it takes and nothing else.

mod input;
mod json;
mod modules;
mod runs;
mod summary;
mod table;

use super::connect::Output;
use super::errors::usage;
use super::evaluate::progress::Bar;
use super::say;
use anyhow::{Context, Result};
use clap::ValueEnum;
use std::path::PathBuf;
use std::str::FromStr;

const EXAMPLES: &str = "\
Examples:
  tidegate backtest --trace load/*.csv --json out.json --report out.html
      every trace an api with capacity to buy: what it costs, and what it misses
  tidegate backtest --trace load/*.csv --pool 0.7 --json out.json
      one pool with 70 % of the sum of peaks: who suffers

Files of --trace have the header `timestamp,value` (seconds since 1970, UTC).";

/// What to run, on what.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Files `timestamp,value`, one api each
    #[arg(long, num_args = 1.., value_name = "FILE", required = true, help_heading = "Input")]
    trace: Vec<PathBuf>,
    /// The column of values, where a file has several
    #[arg(long, value_name = "NAME", help_heading = "Input")]
    column: Option<String>,
    /// Seconds between rows (unless told, what most rows of a file are apart)
    #[arg(long, value_name = "SECONDS", help_heading = "Input")]
    step: Option<u32>,
    /// Leave so many days at the beginning of each file out
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Input")]
    skip: u32,
    /// Take at most so many days of each file, history included
    #[arg(long, value_name = "N", help_heading = "Input")]
    days: Option<u32>,

    /// Days of history before what is scored (half of the file, 2 to 14 days)
    #[arg(long, value_name = "DAYS", help_heading = "Procedure")]
    train: Option<u32>,
    /// `elastic`: capacity can be bought; or the share of the sum of peaks that there is, as 0.7
    #[arg(
        long,
        value_name = "POOL",
        default_value = "elastic",
        help_heading = "Procedure"
    )]
    pool: Pool,
    /// Which to run
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "tidegate,hpa,static,reactive,oracle",
        help_heading = "Procedure"
    )]
    policies: Vec<PolicyArg>,
    /// Seconds until new capacity serves
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        help_heading = "Procedure"
    )]
    lead_time: u32,
    /// Part of a grant that is meant to be used; several make a frontier, the first counts
    #[arg(
        long,
        value_name = "PART",
        value_delimiter = ',',
        help_heading = "Procedure"
    )]
    target_utilisation: Vec<f64>,
    /// Root of all chance
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        help_heading = "Procedure"
    )]
    seed: u64,
    /// Threads
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        help_heading = "Procedure"
    )]
    jobs: usize,
    /// Run shipped forecasters as plain code, outside WebAssembly
    #[arg(long, help_heading = "Procedure")]
    native: bool,

    /// Configuration of the allocator, under its schema
    #[arg(
        long,
        value_name = "JSON",
        default_value = "{}",
        help_heading = "Modules"
    )]
    allocator_config: String,
    /// Who forecasts, of the shipped modules
    #[arg(long, value_name = "MODULE", help_heading = "Modules")]
    forecaster: Option<String>,

    /// Write every figure to a file
    #[arg(long, value_name = "FILE", help_heading = "Answer")]
    json: Option<PathBuf>,
}

/// How much capacity there is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pool {
    /// What is asked for.
    Elastic,
    /// A part of the sum of peaks.
    Share(f64),
}

impl FromStr for Pool {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "elastic" {
            return Ok(Self::Elastic);
        }
        match text.parse::<f64>() {
            Ok(share) if share > 0.0 && share <= 10.0 => Ok(Self::Share(share)),
            _ => Err("write `elastic`, or a share of the sum of peaks such as 0.7".into()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum PolicyArg {
    Tidegate,
    Hpa,
    Static,
    Reactive,
    Oracle,
}

/// Measures.
pub(crate) fn run(args: &Args, output: Output) -> Result<()> {
    if let Some(part) = args
        .target_utilisation
        .iter()
        .find(|u| !(**u > 0.0 && **u <= 1.0))
    {
        return Err(usage(format!(
            "--target-utilisation {part}: it is no part of a grant; write a number above 0 and up to 1"
        )));
    }
    // Modules before files: a misspelt name is told at once, not after a minute of reading.
    let modules = modules::open(args)?;
    let traces = input::read(args)?;
    let world = runs::prepare(args, &traces)?;
    let bar = Bar::new("backtest");
    let done = runs::all(args, &world, &modules, &bar)?;
    drop(bar);
    let summary = summary::Summary::of(&world, &done);
    let value = json::value(args, &world, &summary);
    if let Some(path) = &args.json {
        let mut text = serde_json::to_string_pretty(&value)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match output {
        Output::Json => say(&serde_json::to_string_pretty(&value)?),
        _ => say(&table::text(&world, &summary)),
    }
}
