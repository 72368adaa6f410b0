//! What the run showed, computed from the ledger's plans and from what the services saw.

use super::daemon::Kept;
use super::live::{Outcome, Swap};
use super::setup::id;
use super::traces::{DAY, STEP_S, Traces};
use std::collections::BTreeMap;
use tidegate_client::sim::{Scoreboard, Tier};
use tidegate_proto::v1;

/// How long before a peak it must have been planned for, to count as foreseen.
const FORESIGHT_STEPS: usize = 6;

/// The busiest step of an api's day.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Peak {
    /// The api.
    pub(crate) api: String,
    /// Its tier.
    pub(crate) tier: String,
    /// Start of the step.
    pub(crate) at_ms: i64,
    /// Requests/s in it.
    pub(crate) rate: f64,
    /// Cores that its requests needed: the rate times the days' measured cost per request. What was
    /// used would not do, because a grant that is too small caps it.
    pub(crate) needed: f64,
    /// Demand for it, in cores, in the plan that was made half an hour before: what was asked of the
    /// pool at the tier's quantile and target utilisation. It may exceed the pool; what was granted
    /// cannot.
    pub(crate) planned: f64,
    /// Median, over the day, of what plans demanded half an hour ahead, in cores.
    pub(crate) ordinary: f64,
    /// Minutes before the peak from which on the grant in force already covered it; 0 when it did
    /// not even at the peak.
    pub(crate) lead_minutes: i64,
    /// Whether the grant had been below that in the half day before: it was moved for the peak.
    pub(crate) moved: bool,
}

impl std::ops::Add for Violations {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            shaped: self.shaped + other.shaped,
            fixed: self.fixed + other.fixed,
            reactive: self.reactive + other.reactive,
        }
    }
}

impl Violations {
    fn json(self) -> serde_json::Value {
        serde_json::json!({ "shaped": self.shaped, "static": self.fixed, "reactive": self.reactive })
    }
}

impl Peak {
    /// Half an hour before, the plan demanded at least what the peak then needed, and stood out: a
    /// fifth above the day's median, since a plan that always asks for much foresees nothing.
    pub(crate) fn foreseen(&self) -> bool {
        self.planned >= self.needed && self.planned >= 1.2 * self.ordinary
    }
}

/// Minutes of missed objectives of a tier, per way of dividing the pool.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Violations {
    /// Under Tidegate.
    pub(crate) shaped: f64,
    /// Under shares that were set once.
    pub(crate) fixed: f64,
    /// Under an autoscaler that reacts.
    pub(crate) reactive: f64,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    /// Start of the live days.
    pub(crate) live_ms: i64,
    /// Live steps that were played.
    pub(crate) steps: usize,
    /// Plans that the ledger holds of them.
    pub(crate) plans: usize,
    /// Plans per allocator and how far back it stood.
    pub(crate) allocators: BTreeMap<String, usize>,
    /// Changes of an api's grant by more than a tenth of a core, from plan to plan.
    pub(crate) moves: usize,
    /// Samples acknowledged.
    pub(crate) samples: u64,
    /// Grants put in force and reported.
    pub(crate) applied: u64,
    /// One per api and day.
    pub(crate) peaks: Vec<Peak>,
    /// Gold, silver, bronze; before and after the swap.
    pub(crate) violations: BTreeMap<String, [Violations; 2]>,
    /// Forecaster and allocator of each half.
    pub(crate) policies: [String; 2],
    /// The swaps.
    pub(crate) swaps: Vec<Swap>,
    /// Seconds that everything took.
    pub(crate) seconds: f64,
    /// The daemon, if it was left running.
    pub(crate) kept: Option<Kept>,
}

/// Computes the summary.
pub(crate) fn of(outcome: &Outcome, plans: &[v1::Plan], traces: &Traces) -> Summary {
    let mut allocators = BTreeMap::new();
    for plan in plans {
        let served = plan.served.clone().unwrap_or_default();
        let retreat = served
            .retreat()
            .as_str_name()
            .trim_start_matches("RETREAT_")
            .to_lowercase();
        *allocators
            .entry(format!(
                "{} ({retreat})",
                served.module.unwrap_or_default().name
            ))
            .or_insert(0) += 1;
    }
    Summary {
        live_ms: outcome.live_ms,
        steps: outcome.seen.first().map_or(0, Vec::len),
        plans: plans.len(),
        allocators,
        moves: moves(plans),
        samples: outcome.samples,
        applied: outcome.applied,
        peaks: peaks(outcome, plans, traces),
        violations: violations(outcome),
        policies: outcome.policies.clone(),
        swaps: outcome.swaps.clone(),
        seconds: 0.0,
        kept: None,
    }
}

/// Limit of an api in a plan's first step.
fn limit(plan: &v1::Plan, api: &str) -> f64 {
    plan.apis
        .iter()
        .find(|a| a.api == api)
        .and_then(|a| a.limit.first().copied())
        .unwrap_or(0.0)
}

fn moves(plans: &[v1::Plan]) -> usize {
    plans
        .windows(2)
        .map(|pair| {
            pair[1]
                .apis
                .iter()
                .filter(|a| (limit(&pair[1], &a.api) - limit(&pair[0], &a.api)).abs() > 0.1)
                .count()
        })
        .sum()
}

fn peaks(outcome: &Outcome, plans: &[v1::Plan], traces: &Traces) -> Vec<Peak> {
    let step_ms = i64::from(STEP_S) * 1000;
    // The plan in force at a step, by the step's start: the newest of several.
    let by_start: BTreeMap<i64, &v1::Plan> = plans.iter().map(|p| (p.start_ms, p)).collect();
    let in_force = |at: i64| by_start.range(..=at).next_back().map(|(_, p)| *p);
    let mut peaks = vec![];
    for (api, seen) in traces.apis.iter().zip(&outcome.seen) {
        let name = id(&api.name);
        let served: u64 = seen.iter().map(|s| s.served).sum();
        let cost = seen.iter().map(|s| s.cpu_seconds).sum::<f64>() / (served.max(1) as f64);
        // Demand for a step in the plan that was in force half an hour before it.
        let foretold = |at: i64| {
            let plan = in_force(at - FORESIGHT_STEPS as i64 * step_ms)?;
            let ahead = usize::try_from((at - plan.start_ms) / step_ms).ok()?;
            let row = plan.apis.iter().find(|a| a.api == name)?;
            row.demand.get(ahead).copied()
        };
        for (day, steps) in seen.chunks(DAY).enumerate() {
            let start = outcome.live_ms + ((day * DAY) as i64) * step_ms;
            let Some(top) =
                (0..steps.len()).max_by_key(|&s| (steps[s].requests, std::cmp::Reverse(s)))
            else {
                continue;
            };
            let at = start + top as i64 * step_ms;
            let rate = steps[top].requests as f64 / f64::from(STEP_S);
            let needed = rate * cost;
            let planned = foretold(at).unwrap_or(0.0);
            let mut all: Vec<f64> = (0..steps.len())
                .filter_map(|s| foretold(start + s as i64 * step_ms))
                .collect();
            all.sort_by(f64::total_cmp);
            let ordinary = all.get(all.len() / 2).copied().unwrap_or(0.0);
            let covered =
                |n: i64| in_force(at - n * step_ms).is_some_and(|p| limit(p, &name) >= needed);
            let half_day = (DAY / 2) as i64;
            let lead = (0..half_day)
                .take_while(|&n| at - n * step_ms >= outcome.live_ms && covered(n))
                .count() as i64;
            let moved = lead < half_day && at - lead * step_ms >= outcome.live_ms;
            peaks.push(Peak {
                api: name.clone(),
                tier: api.tier.to_string(),
                at_ms: at,
                rate,
                needed,
                planned,
                ordinary,
                lead_minutes: (lead - 1).max(0) * i64::from(STEP_S) / 60,
                moved: moved && lead > 0,
            });
        }
    }
    peaks
}

fn violations(outcome: &Outcome) -> BTreeMap<String, [Violations; 2]> {
    let minutes =
        |board: &Scoreboard, tier: Tier| board.tiers().get(&tier).map_or(0.0, |s| s.bad_minutes);
    [Tier::Gold, Tier::Silver, Tier::Bronze]
        .into_iter()
        .map(|tier| {
            let half = |half: usize| Violations {
                shaped: minutes(&outcome.shaped[half], tier),
                fixed: minutes(&outcome.fixed[half], tier),
                reactive: minutes(&outcome.reactive[half], tier),
            };
            (tier.to_string(), [half(0), half(1)])
        })
        .collect()
}

impl Summary {
    /// Peaks that were foreseen.
    pub(crate) fn foreseen(&self) -> usize {
        self.peaks.iter().filter(|p| p.foreseen()).count()
    }

    /// Peaks for which a grant was moved ahead, and the median of how long before, in minutes.
    pub(crate) fn lead(&self) -> (usize, i64) {
        let mut leads: Vec<i64> = self
            .peaks
            .iter()
            .filter(|p| p.moved && p.lead_minutes > 0)
            .map(|p| p.lead_minutes)
            .collect();
        leads.sort_unstable();
        (
            leads.len(),
            leads.get(leads.len() / 2).copied().unwrap_or(0),
        )
    }

    /// Calls that failed while policies were swapped.
    pub(crate) fn dropped(&self) -> u64 {
        self.swaps.iter().map(|s| s.failed).sum()
    }

    fn by_tier(
        &self,
        pick: impl Fn([Violations; 2]) -> Violations,
    ) -> serde_json::Map<String, serde_json::Value> {
        self.violations
            .iter()
            .map(|(tier, halves)| (tier.clone(), pick(*halves).json()))
            .collect()
    }

    /// For programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        let (moved, lead) = self.lead();
        serde_json::json!({
            "live_start_ms": self.live_ms, "steps": self.steps, "plans": self.plans, "allocators": self.allocators,
            "grant_moves": self.moves, "samples": self.samples, "applied": self.applied,
            "peaks": self.peaks.iter().map(|p| serde_json::json!({
                "api": p.api, "tier": p.tier, "at_ms": p.at_ms, "rate": p.rate, "needed_cores": p.needed,
                "planned_cores": p.planned, "ordinary_cores": p.ordinary, "foreseen": p.foreseen(), "lead_minutes": p.lead_minutes, "moved": p.moved,
            })).collect::<Vec<_>>(),
            "peaks_foreseen": self.foreseen(), "peaks_moved_for": moved, "median_lead_minutes": lead,
            "violation_minutes": self.by_tier(|[a, b]| a + b),
            "violation_minutes_before_swap": self.by_tier(|[a, _]| a),
            "violation_minutes_after_swap": self.by_tier(|[_, b]| b),
            "policies": self.policies,
            "swaps": self.swaps.iter().map(|s| serde_json::json!({
                "binding": s.binding, "module": s.module, "seconds": s.seconds, "calls": s.answered + s.failed, "dropped": s.failed,
            })).collect::<Vec<_>>(),
            "seconds": self.seconds,
            "daemon": self.kept.as_ref().map(|k| serde_json::json!({ "pid": k.pid, "url": k.url, "data": k.data })),
        })
    }
}
