//! `tidegate replay`: makes the decisions of the ledger again, and tells what comes out otherwise.
//!
//! It runs in a process of its own, on the store of a stopped daemon or on a copy that a running one makes: the modules are
//! taken from the store by the digest that the record names and compiled afresh, so nothing that the
//! daemon kept in memory has a say. What is compared is `backtest::replay`'s affair.
//!
//! States are moved on from snapshots, which are written about once a day; so a range is walked up to from a day
//! before its first plan, in silence. Only what the range itself holds is told and counted.

mod deciders;
pub(super) mod live;
mod range;

use super::connect::{Flags, Output};
use super::errors::usage;
use super::evaluate::input;
use super::evaluate::progress::Bar;
use super::say;
use anyhow::{Context as _, Result, anyhow};
use deciders::Stored;
use range::Range;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tidegate_backtest::replay::{Replay, Replayed};
use tidegate_core::ids::{Generation, PoolId};
use tidegate_core::ports::storage::{CatalogStore as _, Ledger as _};
use tidegate_store::Store;

const EXAMPLES: &str = "\
Examples:
  tidegate replay edge:1200..1300
      the plans 1200 to 1300 of pool edge, of the daemon that runs here (it goes on)
  tidegate replay --store /var/lib/tidegate
      every decision of every pool, of a stopped daemon or a copy
  tidegate replay edge:1200 --store /var/lib/tidegate --allocator mine.wasm
      what another allocator would have answered to what was asked for plan 1200

Forecasts are made again from the samples that were there then and from states that are moved on from their
last snapshot; demand from those forecasts; and tierers and allocators are asked again what their record says
they were asked. Each must be the same to the last bit. What cannot be made again (its snapshot or samples are
from before they were kept, or the engine's own rule stood in and took samples of other series) is named and
counted apart. What was learned of costs and latency, and what tierers were told of burn, is taken from the record.

The exit code is 1 where anything came out otherwise, or a tierer or allocator could not be asked again; with
--strict also where a forecast or demand could not be made again.

Without --store, the daemon at --server copies what a replay needs to `copies` in its data directory, as it is at one
instant and without standing still; the copy is replayed in this process, and removed. That takes the room of the
store once more (model states aside), an operator's credential that is bound to no tenant, and the same machine.";

/// How far before a range states are walked up from: what a snapshot is old at most.
const WALK_MS: i64 = 86_400_000;

/// What to make again.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// POOL, POOL:PLAN, or POOL:FIRST..LAST by generations; every plan of every pool when left out
    #[arg(value_name = "PLANS")]
    plans: Vec<Range>,
    /// Data directory of a stopped daemon, or a copy of one; a copy of the running daemon's when left out
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Ask tierers and allocators alone, not forecasters
    #[arg(long, conflicts_with = "strict")]
    decisions_only: bool,
    /// Fail as well where a forecast or demand could not be made again
    #[arg(long)]
    strict: bool,
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
    forecasts: usize,
    demands: usize,
    /// Forecasts and demands that could not be made again, by reason, each with the first of them.
    unmade: BTreeMap<String, (usize, String)>,
    /// Plans whose every part was made again and is the same.
    same: usize,
    otherwise: Vec<Otherwise>,
}

/// Runs the verb.
pub(super) fn run(args: &Args, flags: &Flags) -> Result<()> {
    match &args.store {
        Some(dir) => on(args, dir, flags.output),
        None => {
            let copy = live::Copy::take(flags)?;
            on(args, copy.dir(), flags.output)
        }
    }
}

/// Replays the store in a data directory.
fn on(args: &Args, dir: &Path, output: Output) -> Result<()> {
    let store = input::store(dir)?;
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
        one(&store, range, first..=last, &deciders, (args, &mut tally))?;
    }
    if tally.plans == 0 {
        return Err(anyhow!(
            "the store in {} holds no plan of {}; `tidegate plan` shows what a daemon has made",
            dir.display(),
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
    if args.strict && !tally.unmade.is_empty() {
        let count: usize = tally.unmade.values().map(|(count, _)| count).sum();
        return Err(anyhow!(
            "{count} forecasts or demands could not be made again"
        ));
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

/// The plan from which states are walked up to a range: that of a day before its first.
fn walk_from(store: &Store, pool: &PoolId, first: u64) -> Result<u64> {
    let record = store.record(pool, Generation(first));
    let record = record.with_context(|| format!("cannot read plan {first} of pool {pool}"))?;
    let Some(record) = record else {
        return Ok(first);
    };
    let before = record.at.plus_ms(-WALK_MS);
    let from = store.at(pool, before).context("cannot read the ledger")?;
    let oldest = || {
        let kept = store.kept_records().into_iter().find(|k| k.pool == *pool);
        kept.map(|k| k.plans.0)
    };
    Ok(from.or_else(oldest).map_or(first, |g| g.0.min(first)))
}

fn one(
    store: &Store,
    range: &Range,
    told: std::ops::RangeInclusive<u64>,
    deciders: &Stored<'_>,
    (args, tally): (&Args, &mut Tally),
) -> Result<()> {
    let pool = &range.pool;
    let bar = Bar::new(&format!("replay {pool}"));
    let mut replay = Replay::default();
    let mut first = *told.start();
    if !args.decisions_only {
        replay = Replay::whole(store);
        first = walk_from(store, pool, first)?;
    }
    let all = told.end() - first + 1;
    for generation in first..=*told.end() {
        let plan = Generation(generation);
        let record = store
            .record(pool, plan)
            .with_context(|| format!("cannot read plan {plan} of pool {pool}"))?;
        // What retention has taken away is not there to be asked again.
        let Some(record) = record else { continue };
        if told.contains(&generation) {
            tally.add(pool, plan, replay.record(&record, deciders));
        } else {
            replay.walk(&record, deciders);
        }
        let done = usize::try_from(generation - first + 1).unwrap_or(usize::MAX);
        bar.tell(done, usize::try_from(all).unwrap_or(usize::MAX));
    }
    Ok(())
}

impl Tally {
    fn add(&mut self, pool: &PoolId, plan: Generation, told: Replayed) {
        self.plans += 1;
        self.decisions += told.decisions;
        self.forecasts += told.forecasts;
        self.demands += told.demands;
        for unmade in &told.unmade {
            let first = || (0, format!("{} of plan {plan} of pool {pool}", unmade.what));
            self.unmade
                .entry(unmade.why.clone())
                .or_insert_with(first)
                .0 += 1;
        }
        if !told.divergences.is_empty() || !told.unknown.is_empty() {
            let pool = pool.clone();
            self.otherwise.push(Otherwise { pool, plan, told });
        } else if told.unmade.is_empty() {
            self.same += 1;
        }
    }
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
    for (why, (count, first)) in &tally.unmade {
        let more = match count {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        lines.push(format!("not made again: {first}{more}: {why}"));
    }
    let otherwise = tally.otherwise.len();
    lines.push(format!(
        "{} decisions, {} forecasts and {} demands of {} plans made again: {} plans the same to the last bit, {} \
         otherwise, {} not wholly made again",
        tally.decisions,
        tally.forecasts,
        tally.demands,
        tally.plans,
        tally.same,
        otherwise,
        tally.plans - tally.same - otherwise
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
        "forecasts": tally.forecasts,
        "demands": tally.demands,
        "same": tally.same,
        "not_made_again": tally
            .unmade
            .iter()
            .map(|(why, (count, first))| json!({"why": why, "count": count, "first": first}))
            .collect::<Vec<_>>(),
        "otherwise": otherwise.collect::<Vec<_>>(),
    })
}
