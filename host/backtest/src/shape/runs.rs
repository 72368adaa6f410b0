//! Every run: a policy on a case, over a few threads, with answers in a fixed order.

use super::case::{Case, CaseError, CasePlan, Cases, Load, Supply, elastic, shared};
use super::hpa::Hpa;
use super::oracle;
use super::reactive::Reactive;
use super::scaler::{Failure, Scaler};
use super::schedule::Schedule;
use super::simulate::{self, Trail};
use super::tidegate::{Gate, GateOptions, Policies, Tally};
use crate::evaluate::parallel::{Progress, each};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Percent of utilisation that HPA is swept over.
const HPA_TARGETS: std::ops::RangeInclusive<u32> = 30..=90;
const HPA_STRIDE: usize = 5;

/// One policy with its dial.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Policy {
    /// With this target utilisation.
    Tidegate(f64),
    /// With this target, percent.
    Hpa(u32),
    /// Peak provisioning; in a scarce pool what there is, divided by peaks.
    Static,
    /// A threshold rule.
    Reactive,
    /// Who knows the future.
    Oracle,
}

impl Policy {
    /// HPA at every target of its sweep.
    pub fn hpa() -> impl Iterator<Item = Self> {
        HPA_TARGETS.step_by(HPA_STRIDE).map(Self::Hpa)
    }

    /// In tables and files.
    #[must_use]
    pub fn name(self) -> String {
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
pub struct World {
    /// Pools with their apis.
    pub cases: Vec<Case>,
    /// Why each trace that is in no case was left out.
    pub left_out: Vec<CaseError>,
    foreseen: Vec<Foreseen>,
    /// In this order; the first of Tidegate's is the one that counts.
    pub policies: Vec<Policy>,
    /// As the daemon would run.
    pub options: GateOptions,
}

/// One policy on one case.
#[derive(Debug)]
pub struct Done {
    /// Index into the world's cases.
    pub case: usize,
    /// Index into its policies.
    pub policy: usize,
    /// One per api.
    pub trails: Vec<Trail>,
    /// Of Tidegate's runs.
    pub tally: Option<Tally>,
}

/// A run that failed.
#[derive(Debug, thiserror::Error)]
#[error("{policy} on {traces}")]
pub struct RunError {
    /// Which policy.
    pub policy: String,
    /// Of which traces.
    pub traces: String,
    /// Why.
    pub source: Failure,
}

impl World {
    /// Makes cases of loads, and looks into their future. With a `share`, all are in one pool that has
    /// so much of the sum of their peaks; else capacity is bought.
    ///
    /// # Errors
    /// When no load can be run, because each is too short or idle.
    pub fn new(
        loads: &[Load],
        share: Option<f64>,
        plan: &CasePlan,
        policies: Vec<Policy>,
        options: GateOptions,
        jobs: usize,
    ) -> Result<Self, CaseError> {
        let (cases, left_out, foreseen) = match share {
            None => {
                let Cases { cases, left_out } = elastic(loads, plan)?;
                let foreseen = each(&cases, jobs, &|_, _| {}, |case| {
                    let replicas = oracle::replicas(case);
                    let peaks = oracle::peaks(&replicas);
                    Foreseen { replicas, peaks }
                });
                (cases, left_out, foreseen)
            }
            Some(share) => {
                let Cases {
                    mut cases,
                    left_out,
                } = shared(loads, Supply::Elastic, plan)?;
                let scarce = |case: &mut Case| {
                    let peaks = oracle::peaks(&oracle::replicas(case));
                    let total: f64 = peaks.iter().map(|p| f64::from(*p)).sum();
                    let least = case.apis.len() as f64;
                    case.supply = Supply::Scarce((total * share).round().max(least) as u32);
                    let replicas = oracle::replicas(case);
                    Foreseen { replicas, peaks }
                };
                let foreseen = cases.iter_mut().map(scarce).collect();
                (cases, left_out, foreseen)
            }
        };
        Ok(Self {
            cases,
            left_out,
            foreseen,
            policies,
            options,
        })
    }

    /// Runs every policy on every case; answers are in the order of cases and policies. `progress` is
    /// told of parts of the whole work.
    ///
    /// # Errors
    /// The first run that could not go on.
    pub fn run(
        &self,
        modules: &Policies,
        jobs: usize,
        progress: Progress<'_>,
    ) -> Result<Vec<Done>, RunError> {
        let mut items: Vec<(usize, usize)> = vec![];
        for case in 0..self.cases.len() {
            items.extend((0..self.policies.len()).map(|policy| (case, policy)));
        }
        // The long ones first, so that no thread is left with one at the end.
        let minutes = |case: usize| (self.cases[case].end - self.cases[case].begin) / 60;
        let work = |&(case, policy): &(usize, usize)| minutes(case) * weight(self.policies[policy]);
        items.sort_by_key(|item| std::cmp::Reverse(work(item)));
        let of_all: usize = items.iter().map(work).sum();
        let past = AtomicUsize::new(0);
        let done = each(&items, jobs, &|_, _| {}, |&(case, policy)| {
            let more = weight(self.policies[policy]);
            let tell = || progress(past.fetch_add(more, Ordering::Relaxed) + more, of_all);
            let traces = || self.cases[case].apis.iter().map(|a| a.name.as_str());
            self.one(modules, case, policy, &tell)
                .map_err(|source| RunError {
                    policy: self.policies[policy].name(),
                    traces: traces().collect::<Vec<_>>().join(", "),
                    source,
                })
        });
        let mut done = done.into_iter().collect::<Result<Vec<Done>, RunError>>()?;
        done.sort_by_key(|d| (d.case, d.policy));
        Ok(done)
    }

    fn one(
        &self,
        modules: &Policies,
        case_at: usize,
        policy_at: usize,
        tell: &dyn Fn(),
    ) -> Result<Done, Failure> {
        let case = &self.cases[case_at];
        let apis = case.apis.len();
        let run = |mut scaler: Box<dyn Scaler>| simulate::run(case, &mut *scaler, tell);
        let mut tally = None;
        let trails = match self.policies[policy_at] {
            Policy::Tidegate(target_utilisation) => {
                let mut options = self.options.clone();
                options.settings.demand.target_utilisation = target_utilisation;
                let mut gate = Gate::new(case, modules, options)?;
                let trails = simulate::run(case, &mut gate, tell);
                tally = Some(gate.into_tally());
                trails
            }
            Policy::Hpa(percent) => run(Box::new(Hpa::new(f64::from(percent) / 100.0, apis))),
            Policy::Static => run(Box::new(self.fixed(case_at))),
            Policy::Reactive => run(Box::new(Reactive::new(apis))),
            Policy::Oracle => run(Box::new(self.oracle(case_at))),
        };
        Ok(Done {
            case: case_at,
            policy: policy_at,
            trails: trails?,
            tally,
        })
    }

    fn oracle(&self, case: usize) -> Schedule {
        Schedule::new(self.cases[case].begin, self.foreseen[case].replicas.clone())
    }

    /// Static provisioning of a case.
    fn fixed(&self, case: usize) -> Schedule {
        let peaks = &self.foreseen[case].peaks;
        match self.cases[case].supply {
            Supply::Elastic => Schedule::fixed(peaks),
            Supply::Scarce(all) => Schedule::divided(all, peaks),
        }
    }
}

/// How much longer a minute takes under a policy, about.
fn weight(policy: Policy) -> usize {
    match policy {
        Policy::Tidegate(_) => 100,
        _ => 1,
    }
}
