//! `tidegate replay`: makes the decisions of the ledger again, and tells what comes out otherwise.
//!
//! It runs in a process of its own, on the store of a stopped daemon or on a copy of it: the modules are
//! taken from the store by the digest that the record names and compiled afresh, so nothing that the
//! daemon kept in memory has a say. What is compared is `backtest::replay`'s affair.

mod deciders;
mod range;

use super::connect::Output;
use super::errors::usage;
use super::evaluate::input;
use super::evaluate::progress::Bar;
use super::say;
use anyhow::{Context as _, Result, anyhow};
use deciders::Stored;
use range::Range;
use serde_json::json;
use std::path::PathBuf;
use tidegate_backtest::replay::{Replay, Replayed};
use tidegate_core::ids::{Generation, PoolId};
use tidegate_core::ports::storage::{CatalogStore as _, Ledger as _};
use tidegate_store::Store;

const EXAMPLES: &str = "\
Examples:
  tidegate replay --store /var/lib/tidegate
      every decision of every pool
  tidegate replay edge:1200..1300 --store /var/lib/tidegate
      the plans 1200 to 1300 of pool edge
  tidegate replay edge:1200 --store /var/lib/tidegate --allocator mine.wasm
      what another allocator would have answered to what was asked for plan 1200

What tierers and allocators were asked, their config and their state stand in the record of each plan; they
are asked again, and each answer must be the same to the last bit. Forecasts and demand are not made again:
their digests stand in the record. The exit code is 1 where anything came out otherwise or could not be
asked again.";

/// What to make again.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// POOL, POOL:PLAN, or POOL:FIRST..LAST by generations; every plan of every pool when left out
    #[arg(value_name = "PLANS")]
    plans: Vec<Range>,
    /// Data directory of a stopped daemon, or a copy of one
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Ask this allocator instead: a shipped name, FILE.wasm, or @DIGEST of a stored one
    #[arg(long, value_name = "MODULE")]
    allocator: Option<String>,
    /// Its config, as JSON (that of the record, unless told)
    #[arg(long, value_name = "JSON", requires = "allocator")]
    config: Option<String>,
    /// Tell at most so many divergences
    #[arg(long, value_name = "N", default_value_t = 20)]
    show: usize,
}

/// One plan that came out otherwise.
struct Otherwise {
    pool: PoolId,
    plan: Generation,
    told: Replayed,
}

#[derive(Default)]
struct Tally {
    plans: usize,
    decisions: usize,
    otherwise: Vec<Otherwise>,
}

/// Runs the verb.
pub(super) fn run(args: &Args, output: Output) -> Result<()> {
    let store = input::store(&args.store)?;
    let ranges = if args.plans.is_empty() {
        let catalog = store.load().context("cannot read the stored catalog")?;
        let pools = catalog.pools.keys().cloned();
        pools.map(Range::all).collect()
    } else {
        args.plans.clone()
    };
    let deciders = Stored::new(&store, args.allocator.as_deref(), args.config.as_deref())?;
    let mut tally = Tally::default();
    for range in &ranges {
        let Some((first, last)) = known(&store, range)? else {
            continue;
        };
        one(&store, &range.pool, first..=last, &deciders, &mut tally)?;
    }
    if tally.plans == 0 {
        return Err(anyhow!(
            "the store in {} holds no plan of {}; `tidegate plan` shows what a daemon has made",
            args.store.display(),
            match args.plans.is_empty() {
                true => "any pool".to_owned(),
                false => ranges
                    .iter()
                    .map(|r| r.pool.to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            }
        ));
    }
    match output {
        Output::Json => say(&serde_json::to_string_pretty(&as_json(&tally))?)?,
        Output::Human => say(&as_text(&tally, args.show))?,
    }
    if tally.otherwise.is_empty() {
        Ok(())
    } else {
        Err(anyhow!(
            "{} of {} plans came out otherwise",
            tally.otherwise.len(),
            tally.plans
        ))
    }
}

/// The part of a range that the ledger holds.
fn known(store: &Store, range: &Range) -> Result<Option<(u64, u64)>> {
    let Some(newest) = store.last(&range.pool) else {
        return match range.named() {
            true => Err(usage(format!(
                "there is no plan of a pool `{}` in the store",
                range.pool
            ))),
            false => Ok(None),
        };
    };
    if range.first > newest.0 {
        return Err(usage(format!(
            "pool {} has no plan {}; its newest is {newest}",
            range.pool, range.first
        )));
    }
    Ok(Some((range.first.max(1), range.last.min(newest.0))))
}

fn one(
    store: &Store,
    pool: &PoolId,
    generations: std::ops::RangeInclusive<u64>,
    deciders: &Stored<'_>,
    tally: &mut Tally,
) -> Result<()> {
    let bar = Bar::new(&format!("replay {pool}"));
    let (first, all) = (
        *generations.start(),
        generations.end() - generations.start() + 1,
    );
    let mut replay = Replay::default();
    for generation in generations {
        let plan = Generation(generation);
        let record = store
            .record(pool, plan)
            .with_context(|| format!("cannot read plan {plan} of pool {pool}"))?;
        // What retention has taken away is not there to be asked again.
        let Some(record) = record else { continue };
        let told = replay.record(&record, deciders);
        tally.plans += 1;
        tally.decisions += told.decisions;
        if !told.divergences.is_empty() || !told.unknown.is_empty() {
            let pool = pool.clone();
            tally.otherwise.push(Otherwise { pool, plan, told });
        }
        let done = usize::try_from(generation - first + 1).unwrap_or(usize::MAX);
        bar.tell(done, usize::try_from(all).unwrap_or(usize::MAX));
    }
    Ok(())
}

fn as_text(tally: &Tally, show: usize) -> String {
    let mut lines = vec![];
    let told = tally.otherwise.iter().flat_map(|o| {
        let head = format!("pool {} plan {}: ", o.pool, o.plan);
        let unknown = o.told.unknown.iter().map(|why| format!("not asked: {why}"));
        let others = o
            .told
            .divergences
            .iter()
            .map(|d| format!("{}: recorded {}, again {}", d.what, d.recorded, d.replayed));
        unknown
            .chain(others)
            .map(move |line| format!("{head}{line}"))
    });
    let all: Vec<String> = told.collect();
    lines.extend(all.iter().take(show).cloned());
    if all.len() > show {
        lines.push(format!("and {} more (--show N)", all.len() - show));
    }
    let same = tally.plans - tally.otherwise.len();
    lines.push(format!(
        "{} decisions of {} plans made again: {same} plans the same to the last bit, {} otherwise",
        tally.decisions,
        tally.plans,
        tally.otherwise.len()
    ));
    lines.join("\n")
}

fn as_json(tally: &Tally) -> serde_json::Value {
    let otherwise = tally.otherwise.iter().map(|o| {
        let divergences = o.told.divergences.iter();
        json!({
            "pool": o.pool.as_str(),
            "plan": o.plan.0,
            "divergences": divergences
                .map(|d| json!({"what": d.what, "recorded": d.recorded, "replayed": d.replayed}))
                .collect::<Vec<_>>(),
            "not_asked": o.told.unknown,
        })
    });
    json!({
        "plans": tally.plans,
        "decisions": tally.decisions,
        "same": tally.plans - tally.otherwise.len(),
        "otherwise": otherwise.collect::<Vec<_>>(),
    })
}
