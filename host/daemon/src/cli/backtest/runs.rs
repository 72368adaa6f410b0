//! Every run: a policy on a case, over a few threads, with answers in a fixed order.

use super::{Args, PolicyArg, Pool};
use crate::cli::evaluate::progress::Bar;
use crate::config::Config;
use anyhow::{Context, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use tidegate_backtest::evaluate::parallel::each;
use tidegate_backtest::evaluate::trace::Trace;
use tidegate_backtest::shape::case::{Case, CasePlan, Supply, elastic, shared};
use tidegate_backtest::shape::hpa::Hpa;
use tidegate_backtest::shape::oracle;
use tidegate_backtest::shape::reactive::Reactive;
use tidegate_backtest::shape::scaler::{Failure, Scaler};
use tidegate_backtest::shape::schedule::Schedule;
use tidegate_backtest::shape::simulate::{self, Trail};
use tidegate_backtest::shape::tidegate::{Gate, GateOptions, Policies, Tally};
use tidegate_core::tier::Tier;
use tidegate_flow::demand;

/// Percent of utilisation that HPA is swept over.
const HPA_TARGETS: std::ops::RangeInclusive<u32> = 30..=90;
const HPA_STRIDE: usize = 5;

/// One policy with its dial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Policy {
    /// With this target utilisation.
    Tidegate(f64),
    /// With this target, percent.
    Hpa(u32),
    Static,
    Reactive,
    Oracle,
}

impl Policy {
    /// In tables and files.
    pub(super) fn name(self) -> String {
        match self {
            Policy::Tidegate(_) => "tidegate".into(),
            Policy::Hpa(target) => format!("hpa-{target}"),
            Policy::Static => "static".into(),
            Policy::Reactive => "reactive".into(),
            Policy::Oracle => "oracle".into(),
        }
    }
}

/// What is known of a case's future.
#[derive(Debug)]
struct Foreseen {
    /// What the oracle does, per api and minute.
    replicas: Vec<Vec<u32>>,
    /// What each api needs at most, were there enough.
    peaks: Vec<u32>,
}

/// The cases, and what runs on them.
#[derive(Debug)]
pub(super) struct World {
    pub(super) cases: Vec<Case>,
    foreseen: Vec<Foreseen>,
    /// In this order; the first of Tidegate's is the one that counts.
    pub(super) policies: Vec<Policy>,
    /// As the daemon would run.
    pub(super) options: GateOptions,
}

/// One policy on one case.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) case: usize,
    pub(super) policy: usize,
    pub(super) trails: Vec<Trail>,
    pub(super) tally: Option<Tally>,
}

/// Makes cases of traces, and looks into their future.
pub(super) fn prepare(args: &Args, traces: &[(Trace, Tier)]) -> Result<World> {
    let plan = CasePlan {
        train_s: args.train.map(|days| days as usize * 86_400),
        lead_s: args.lead_time as usize,
        seed: args.seed,
    };
    let (cases, foreseen) = match args.pool {
        Pool::Elastic => {
            let cases = elastic(traces, &plan)?;
            let foreseen = each(&cases, args.jobs, &|_, _| {}, |case| {
                let replicas = oracle::replicas(case);
                let peaks = oracle::peaks(&replicas);
                Foreseen { replicas, peaks }
            });
            (cases, foreseen)
        }
        Pool::Share(share) => {
            let mut case = shared(traces, Supply::Elastic, &plan)?;
            let peaks = oracle::peaks(&oracle::replicas(&case));
            let total: f64 = peaks.iter().map(|p| f64::from(*p)).sum();
            let least = case.apis.len() as f64;
            case.supply = Supply::Scarce((total * share).round().max(least) as u32);
            let replicas = oracle::replicas(&case);
            (vec![case], vec![Foreseen { replicas, peaks }])
        }
    };
    Ok(World {
        policies: policies(args),
        options: options(args),
        cases,
        foreseen,
    })
}

fn options(args: &Args) -> GateOptions {
    let config = Config::default();
    let mut settings = config.settings();
    settings.seed = args.seed;
    GateOptions {
        settings,
        refit_ms: i64::from(config.refit.0) * 1000,
    }
}

fn policies(args: &Args) -> Vec<Policy> {
    let mut all = vec![];
    for policy in &args.policies {
        match policy {
            PolicyArg::Tidegate if args.target_utilisation.is_empty() => {
                all.push(Policy::Tidegate(
                    demand::Settings::default().target_utilisation,
                ));
            }
            PolicyArg::Tidegate => {
                all.extend(args.target_utilisation.iter().map(|u| Policy::Tidegate(*u)));
            }
            PolicyArg::Hpa => all.extend(HPA_TARGETS.step_by(HPA_STRIDE).map(Policy::Hpa)),
            PolicyArg::Static => all.push(Policy::Static),
            PolicyArg::Reactive => all.push(Policy::Reactive),
            PolicyArg::Oracle => all.push(Policy::Oracle),
        }
    }
    all
}

/// How much longer a minute takes under a policy, about.
fn weight(policy: Policy) -> usize {
    match policy {
        Policy::Tidegate(_) => 100,
        _ => 1,
    }
}

/// Runs every policy on every case.
pub(super) fn all(args: &Args, world: &World, modules: &Policies, bar: &Bar) -> Result<Vec<Done>> {
    let mut items: Vec<(usize, usize)> = vec![];
    for case in 0..world.cases.len() {
        items.extend((0..world.policies.len()).map(|policy| (case, policy)));
    }
    // The long ones first, so that no thread is left with one at the end.
    items.sort_by_key(|(_, policy)| std::cmp::Reverse(weight(world.policies[*policy])));
    let minutes = |case: &Case| (case.end - case.begin) / 60;
    let of_all: usize = items
        .iter()
        .map(|(case, policy)| minutes(&world.cases[*case]) * weight(world.policies[*policy]))
        .sum();
    let past = AtomicUsize::new(0);
    let done = each(&items, args.jobs, &|_, _| {}, |&(case, policy)| {
        let tell = || {
            let more = weight(world.policies[policy]);
            bar.tell(past.fetch_add(more, Ordering::Relaxed) + more, of_all);
        };
        one(world, modules, case, policy, &tell).with_context(|| {
            let name = world.policies[policy].name();
            let apis: Vec<&str> = world.cases[case]
                .apis
                .iter()
                .map(|a| a.name.as_str())
                .collect();
            format!("{name} on {}", apis.join(", "))
        })
    });
    let mut done = done.into_iter().collect::<Result<Vec<Done>>>()?;
    done.sort_by_key(|d| (d.case, d.policy));
    Ok(done)
}

fn one(
    world: &World,
    modules: &Policies,
    case_at: usize,
    policy_at: usize,
    tell: &dyn Fn(),
) -> Result<Done> {
    let case = &world.cases[case_at];
    let apis = case.apis.len();
    let run = |mut scaler: Box<dyn Scaler>| simulate::run(case, &mut *scaler, tell);
    let mut tally = None;
    let trails: Result<Vec<Trail>, Failure> = match world.policies[policy_at] {
        Policy::Tidegate(target_utilisation) => {
            let mut options = world.options.clone();
            options.settings.demand.target_utilisation = target_utilisation;
            let mut gate = Gate::new(case, modules, options)?;
            let trails = simulate::run(case, &mut gate, tell);
            tally = Some(gate.into_tally());
            trails
        }
        Policy::Hpa(percent) => run(Box::new(Hpa::new(f64::from(percent) / 100.0, apis))),
        Policy::Static => run(Box::new(world.fixed(case_at))),
        Policy::Reactive => run(Box::new(Reactive::new(apis))),
        Policy::Oracle => run(Box::new(Schedule::new(
            case.begin,
            world.foreseen[case_at].replicas.clone(),
        ))),
    };
    Ok(Done {
        case: case_at,
        policy: policy_at,
        trails: trails?,
        tally,
    })
}

impl World {
    /// Static provisioning of a case.
    fn fixed(&self, case: usize) -> Schedule {
        let peaks = &self.foreseen[case].peaks;
        match self.cases[case].supply {
            Supply::Elastic => Schedule::fixed(peaks),
            Supply::Scarce(all) => Schedule::divided(all, peaks),
        }
    }
}
