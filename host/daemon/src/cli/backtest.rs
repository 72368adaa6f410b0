//! `tidegate backtest`: what would Tidegate have done on *this* past, and what would others?
//!
//! The arithmetic is `backtest::shape`; here are files, modules, threads and paper. It needs no daemon
//! and touches none. A run is a policy on a case; runs do not know of each other, so that `--jobs`
//! changes how long it takes and nothing else.

mod config;
mod input;
mod json;
mod modules;

use super::connect::Output;
use super::errors::usage;
use super::evaluate::progress::{Bar, note};
use super::say;
use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use config::Setup;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tidegate_backtest::shape::case::CasePlan;
use tidegate_backtest::shape::fail::FailIf;
use tidegate_backtest::shape::runs::{Policy, World};
use tidegate_backtest::shape::summary::Summary;
use tidegate_backtest::shape::{page, table};

const EXAMPLES: &str = "\
Examples:
  tidegate backtest --trace load/*.csv --json out.json --report out.html
      every trace an api with capacity to buy: what it costs, and what it misses
  tidegate backtest --trace load/*.csv --pool 0.7 --json out.json
      one pool with 70 % of the sum of peaks: who suffers

Files of --trace have the header `timestamp,value` (seconds since 1970, UTC). Without --config tiers are
dealt out in turn (gold, silver, bronze, gold, ...) and a replica serves a tenth of a trace's 95th
percentile. A file of --config may hold, each part as needed:
  daemon: {step: 60s, horizon: 1h, target_utilisation: 0.8}    what `tidegate serve` reads
  apis: {orders: {tier: gold, replica: 250}}                   by the name of the trace
  allocator: {module: waterfill, config: {margin: 0.0}}        also forecaster and tierer

The file of --json: `policies`, one object each, in the order of --policies (hpa once per target, as
`hpa-60`): policy, violation_minutes, violation_minutes_by_tier, violation_rate (of scored_minutes),
resource_hours (of one replica), slack (part of them not used), churn (replicas that came or went per api
and hour), requests, errors, slow, coverage (share of minutes at or below the quantile that the tier
bought, and below p50, p90, p99; of tidegate), traces (the same by trace). `versus`, and
`versus_per_trace`: violations_vs_hpa_at_equal_cost, resource_hours_vs_hpa_at_equal_violations (both on
the frontier of hpa's targets; null where HPA has none and Tidegate some), resource_hours_vs_oracle.
`left_out`: traces that are idle, too short, or have too little in common with the others of one pool, and
why; the rest is run without them.";

/// What to run, on what.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Files `timestamp,value`, one api each
    #[arg(
        long,
        num_args = 1..,
        value_name = "FILE",
        required_unless_present = "from_store",
        help_heading = "Input"
    )]
    trace: Vec<PathBuf>,
    /// The requests of all apis that a stopped daemon has stored: 14d, 4w, or FROM..TO
    #[arg(
        long,
        value_name = "RANGE",
        requires = "store",
        conflicts_with = "trace",
        help_heading = "Input"
    )]
    from_store: Option<input::Range>,
    /// Data directory of the stopped daemon
    #[arg(
        long,
        value_name = "DIR",
        requires = "from_store",
        help_heading = "Input"
    )]
    store: Option<PathBuf>,
    /// Tiers, replicas, modules and the daemon's settings; see below
    #[arg(long, value_name = "YAML", help_heading = "Input")]
    config: Option<PathBuf>,
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
        allow_hyphen_values = true,
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

    /// Write every figure to a file
    #[arg(long, value_name = "FILE", help_heading = "Answer")]
    json: Option<PathBuf>,
    /// Write a report with drawings to a file
    #[arg(long, value_name = "FILE", help_heading = "Answer")]
    report: Option<PathBuf>,
    /// Exit with 1 if a comparison holds, as 'violations > hpa'; again for more
    #[arg(long, value_name = "COMPARISON", help_heading = "Answer")]
    fail_if: Vec<FailIf>,
}

/// What is run, in the order of tables.
fn policies(args: &Args, setup: &Setup) -> Vec<Policy> {
    let mut all = vec![];
    for policy in &args.policies {
        match policy {
            PolicyArg::Tidegate if args.target_utilisation.is_empty() => {
                all.push(Policy::Tidegate(setup.daemon.target_utilisation));
            }
            PolicyArg::Tidegate => {
                all.extend(args.target_utilisation.iter().map(|u| Policy::Tidegate(*u)));
            }
            PolicyArg::Hpa => all.extend(Policy::hpa()),
            PolicyArg::Static => all.push(Policy::Static),
            PolicyArg::Reactive => all.push(Policy::Reactive),
            PolicyArg::Oracle => all.push(Policy::Oracle),
        }
    }
    all
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
    let setup = config::load(args.config.as_deref())?;
    let policies = policies(args, &setup);
    for condition in &args.fail_if {
        condition.within(&policies).map_err(usage)?;
    }
    // Modules before files: a misspelt name is told at once, not after a minute of reading.
    let modules = modules::open(args, &setup)?;
    let loads = input::read(args, &setup)?;
    let share = match args.pool {
        Pool::Elastic => None,
        Pool::Share(share) => Some(share),
    };
    let plan = CasePlan {
        train_s: args.train.map(|days| days as usize * 86_400),
        lead_s: args.lead_time as usize,
        seed: args.seed,
    };
    let world = World::new(
        &loads,
        share,
        &plan,
        policies,
        setup.options(args.seed),
        args.jobs,
    )?;
    for error in &world.left_out {
        note(&format!("left out: {error}"));
    }
    let bar = Bar::new("backtest");
    let done = world.run(&modules, args.jobs, &|done, all| bar.tell(done, all))?;
    drop(bar);
    let summary = Summary::of(&world, &done);
    let value = json::value(args, &world, &summary);
    if let Some(path) = &args.json {
        write(
            path,
            &format!("{}\n", serde_json::to_string_pretty(&value)?),
        )?;
    }
    if let Some(path) = &args.report {
        write(path, &page::html(args.seed, &world, &summary, &done))?;
    }
    match output {
        Output::Json => say(&serde_json::to_string_pretty(&value)?)?,
        Output::Human => say(&table::text(&world, &summary))?,
    }
    let mut failed = vec![];
    for condition in &args.fail_if {
        failed.extend(condition.judge(&summary).map_err(usage)?);
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(anyhow!("{}", failed.join("; "))),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
