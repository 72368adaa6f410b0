//! Times the cycle over many apis: `cargo run --release -p tidegate-scale -- 1000 10000 10000/10`.
//!
//! Each argument is a number of apis, with the number of pools after a slash (1 by default). The
//! cycle runs as the daemon runs it: default components in the engine's slots, samples and ledger in a
//! store on disk, record durable before the plan is swapped in. A crate of its own and not a verb of the
//! binary: it needs a world that no operator has, and a verb that writes 100,000 made-up apis into a
//! directory is one mistyped path away from a real one. Nothing is asserted, since machines drift.
//!
//! A warm-up cycle comes first (it predicts every series and reads history that later ones remember);
//! then medians of [`TURNS`], with a new minute of samples before each. `made` is how many series were
//! predicted anew, `predict` the room of forecasts run once by itself, pool after pool; it is part of
//! `cycle`, as are the calls of the other policies. Stages are summed over pools, which go side by side
//! as in the daemon; the total is by the clock on the wall, and beside it stands the CPU that it took,
//! since machines are shared. `--turns N` measures more of them; `--memory` counts live heap and tells
//! which structure holds how much of it; `--components DIR` takes other components than those of this build.

#[cfg(test)]
mod growth;
mod memory;
mod turn;
mod world;

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tidegate_core::ids::PoolId;
use tidegate_core::plan::Plan;
use tidegate_core::policy::{Blobs, Horizon};
use tidegate_core::ports::storage::SeriesState;
use tidegate_core::time::Step;
use tidegate_core::units::Level;
use tidegate_flow::forecast;
use tidegate_store::Store;
use turn::{Turn, World};
use world::{FED, Policies, SIGNALS};

/// Measured cycles.
const TURNS: usize = 3;

/// Series in one call when the component alone is timed.
const CALL: usize = 256;

#[global_allocator]
static HEAP: memory::Counting = memory::Counting;

/// Milliseconds that something took.
#[expect(clippy::disallowed_methods, reason = "it measures")]
pub(crate) fn timed<T>(f: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let value = f();
    (start.elapsed().as_secs_f64() * 1000.0, value)
}

#[expect(clippy::print_stdout, reason = "figures are its output")]
fn say(text: &str) {
    println!("{text}");
}

/// What was asked for.
#[derive(Debug)]
struct Asked {
    /// Apis and pools.
    sizes: Vec<(usize, usize)>,
    /// Measured cycles.
    turns: usize,
    /// Whether live heap is counted, and told per structure.
    memory: bool,
    /// Where the shipped components lie.
    components: PathBuf,
}

fn asked() -> Result<Asked> {
    let mut asked = Asked {
        sizes: vec![],
        turns: TURNS,
        memory: false,
        components: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests/components"),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(text) = arguments.next() {
        let number = |t: &str| {
            t.parse::<usize>().ok().filter(|n| *n > 0).with_context(|| {
                format!("`{text}`: write APIS, APIS/POOLS or --turns N, all above 0")
            })
        };
        match text.as_str() {
            "--memory" => asked.memory = true,
            "--components" => {
                let directory = arguments.next();
                asked.components = directory.context("--components DIR")?.into();
            }
            "--turns" => asked.turns = number(&arguments.next().unwrap_or_default())?,
            _ => {
                let (apis, pools) = text.split_once('/').unwrap_or((&text, "1"));
                asked.sizes.push((number(apis)?, number(pools)?));
            }
        }
    }
    if asked.sizes.is_empty() {
        asked.sizes = vec![(1000, 1), (10_000, 1), (10_000, 10)];
    }
    Ok(asked)
}

fn main() -> Result<()> {
    let asked = asked()?;
    if asked.memory {
        memory::count();
    }
    let dir = tempfile::tempdir()?;
    let policies = Policies::open(&asked.components, &dir.path().join("modules"))?;
    let (kinds, fit_ms) = world::fitted(&policies)?;
    let bytes = |of: fn(&SeriesState) -> usize| {
        let all: Vec<usize> = kinds.iter().flatten().map(of).collect();
        all.iter().sum::<usize>() / all.len()
    };
    say(&format!(
        "fit of two weeks of minutes, component: {fit_ms:.0} ms a series; state {} bytes a series, model {} bytes a cohort",
        bytes(|s| s.state.len()),
        bytes(|s| s.model.len()),
    ));
    let day = fit_ms * 10_000.0 * SIGNALS.len() as f64 / 60_000.0;
    say(&format!(
        "one fit a day of 10k apis with three series each, extrapolated: {day:.0} min on one core"
    ));
    component(&policies, &kinds)?;
    say(
        "  apis pools |   made predict   cycle  record publish total ms  cpu ms | goal ms | KB/api  head models  rest |",
    );
    for &(apis, pools) in &asked.sizes {
        measure(dir.path(), &policies, &kinds, &asked, apis, pools)?;
    }
    Ok(())
}

/// Times the component's predict alone, in calls of [`CALL`] series on one core.
fn component(policies: &Policies, kinds: &[Vec<SeriesState>]) -> Result<()> {
    let policy = policies.forecasting()?;
    let states: Vec<&SeriesState> = kinds.iter().flatten().cycle().take(CALL).collect();
    // A call carries one model: where each fit has its own, one call a series is all there is.
    let shared = states.iter().all(|s| s.model == states[0].model);
    let calls: Vec<&[&SeriesState]> = states.chunks(if shared { CALL } else { 1 }).collect();
    let mut times = vec![];
    for _ in 0..TURNS {
        let (ms, outcome) = timed(|| -> Result<()> {
            for call in &calls {
                let horizon = Horizon {
                    step: Step::MINUTE,
                    steps: 60,
                    levels: Level::STANDARD.to_vec(),
                    starts: call.iter().map(|s| s.seen).collect(),
                    future: world::future(call.len(), 60),
                    seeds: vec![1; call.len()],
                };
                let blobs = Blobs::join(call[0].format, call.iter().map(|s| s.state.as_slice()));
                policy.predict(&call[0].model, &blobs, &horizon)?;
            }
            Ok(())
        });
        outcome?;
        times.push(ms);
    }
    let each = median(times) / CALL as f64;
    say(&format!(
        "predict 60 steps, component, one core: {:.0} us a series, 100k series {:.1} s ({} a call)",
        each * 1000.0,
        each * 100.0,
        calls[0].len()
    ));
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Resident memory, in bytes, as Linux tells it.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:"));
    let kb = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<f64>().ok());
    kb.unwrap_or(f64::NAN) * 1024.0
}

fn measure(
    dir: &Path,
    policies: &Policies,
    kinds: &[Vec<SeriesState>],
    asked: &Asked,
    apis: usize,
    pools: usize,
) -> Result<()> {
    let measured = asked.turns as i64;
    let settings = world::settings(pools);
    let path = dir.join(format!("store-{apis}-{pools}"));
    let before = resident();
    let catalog = world::catalog(apis, pools)?;
    let store = Store::open(&path, tidegate_store::Options::default())?;
    world::feed(&store, &catalog, 0..FED)?;
    let mut states = world::states(&catalog, kinds);
    let mut plans: BTreeMap<PoolId, Arc<Plan>> = BTreeMap::new();
    let world = World {
        policies,
        catalog: &catalog,
        store: &store,
        settings: &settings,
    };
    let warm = world.turn(&mut states, &mut plans, FED)?;
    let (mut turns, mut predict) = (vec![], 0.0);
    for minute in FED + 1..=FED + measured {
        world::feed(&store, &catalog, minute - 1..minute)?;
        if turns.len() + 1 == asked.turns {
            predict = world.predict(&states, minute)?;
        }
        turns.push(world.turn(&mut states, &mut plans, minute)?);
    }
    let of = |pick: fn(&Turn) -> f64| median(turns.iter().map(pick).collect());
    let used = resident() - before;
    let kb = |bytes: f64| bytes / 1024.0 / apis as f64;
    let head = kb(store.stat()?.head_bytes as f64);
    let models: usize = states
        .values()
        .flat_map(|p| p.bank.iter())
        .map(|s| s.state.len())
        .sum();
    let models = kb(models as f64);
    let goal = 10_000.0_f64.max(apis as f64) / 10.0;
    say(&format!(
        "{apis:>6} {pools:>5} | {:>6.0} {predict:>7.0} {:>7.0} {:>7.0} {:>7.0} {:>8.0} {:>7.0} | {goal:>7.0} | {:>6.1} {head:>5.1} {models:>6.1} {:>5.1} | first cycle {:.0}",
        of(|t| t.made as f64),
        of(|t| t.cycle),
        of(|t| t.record),
        of(|t| t.publish),
        of(|t| t.total),
        of(|t| t.cpu),
        kb(used),
        kb(used) - head - models,
        warm.total,
    ));
    if asked.memory {
        memory::apart(&mut states, plans, apis);
    } else {
        drop(plans);
    }
    let minute = FED + measured;
    store.close();
    let before = memory::live();
    drop(store);
    if asked.memory {
        say(&format!(
            "        and the store {:.2}",
            kb((before - memory::live()) as f64)
        ));
    }
    let banks: BTreeMap<PoolId, forecast::Bank> =
        states.into_iter().map(|(id, s)| (id, s.bank)).collect();
    let (restart, outcome) = timed(|| world::again(&path, policies, &catalog, banks, minute));
    let opened = outcome?;
    say(&format!(
        "{apis:>6} {pools:>5} | restart: last plans served again after {opened:.0} ms, next plans after {restart:.0} ms"
    ));
    std::fs::remove_dir_all(path)?;
    Ok(())
}
