//! Turns forecasts into the resources that they need.
//!
//! `need = base + requests x cost`, per dimension and quantile, with what was learned of the api's
//! [`Cost`], or the resource's own forecast where that errs less ([`Duel`]); the uncertainty of the load
//! and that of the cost are independent, so their distances from the median add up as squares.
//! `demand = median need / target utilisation + (need at the tier's quantile - median need)`. The first
//! part absorbs bursts within a step, which scale with the load that is there: the target is where the
//! api's latency objectives hold, as learned ([`Curve`]), or the configured one. The second insures
//! against a wrong forecast. Scaling the quantile itself would pay for both at once although they seldom
//! come together, and starve the lower tiers for it. (Adding the two as squares was tried: a tenth cheaper,
//! two thirds more missed minutes, and no nearer to what either buys.)
//!
//! It is derived twice: at the quantile that the tier is met up to whoever is short, and at the one that
//! is bought where capacity can be; how much of the second there is room for is seen by `allocate`.
//!
//! What is learned is kept by [`Learned`] from cycle to cycle; the room itself only reads it.

pub(crate) mod codec;
mod cost;
mod duel;
mod few;
mod latency;
mod learned;
mod why;

pub use cost::Cost;
pub use duel::{Duel, Source};
pub use latency::Curve;
pub use learned::{Learned, Look, granted, queues};

use crate::allocate::is_moved;
use duel::Promise;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use tidegate_core::catalog::Pool;
use tidegate_core::forecast::Forecast;
use tidegate_core::ids::{ApiId, Generation};
use tidegate_core::policy::AllocationInput;
use tidegate_core::sample::SeriesKey;
use tidegate_core::time::{Grid, Timestamp};
use tidegate_core::units::{Dimension, Level, Resources, Signal};

/// How demand is derived.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Part of a grant that is meant to be used where latency says nothing yet; the rest absorbs bursts
    /// within a step. 0 to 1.
    pub target_utilisation: f64,
    /// Part of the steps that may miss a latency objective at the target utilisation, as the curve sees
    /// them. Three to five times as many are missed in the end: jumps that nothing foretold, and misses of
    /// half a step.
    pub step_tolerance: f64,
    /// The least of it in a pool that no autoscaler moves; see [`Settings::tolerance`].
    pub fixed_tolerance: f64,
}

impl Settings {
    /// Part of the steps that may miss a latency objective at the target utilisation, of an api whose tier
    /// is met up to `level`. In a pool that no autoscaler moves, a core more for one api is one less for
    /// another, and the last misses of who is served first cost many of who is served last. So no tier
    /// claims headroom there against what its quantile leaves out: of the steps that this leaves, that part
    /// again may miss, `(1 - level)^2`. (With one tolerance for all, who is met up to the median took errors
    /// of the forecast for bursts and asked for thrice its load; then max-min gave as much to who needed
    /// less.)
    #[must_use]
    pub fn tolerance(&self, pool: &Pool, level: Level) -> f64 {
        if is_moved(pool) {
            return self.step_tolerance;
        }
        let left = 1.0 - level.probability();
        self.fixed_tolerance.max(left * left)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            target_utilisation: 0.85,
            step_tolerance: 0.000_2,
            fixed_tolerance: 0.01,
        }
    }
}

/// What the room needs, for one api.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The cycle's time.
    pub now: Timestamp,
    /// Whose.
    pub api: &'a ApiId,
    /// The pool's dimensions.
    pub dimensions: &'a [Dimension],
    /// Forecasts of this cycle.
    pub forecasts: &'a BTreeMap<SeriesKey, Forecast>,
    /// Costs, latencies and who forecasts a resource better.
    pub learned: &'a Learned,
    /// The quantile that the api's tier is met up to, whoever else is short.
    pub level: Level,
    /// The quantile up to which capacity is asked for as far as the pool can grow, not below `level`.
    pub buy_level: Level,
    /// Of the two, the one that the pool is likely to hold: what is learned of headroom is learned
    /// beside it.
    pub insured: Level,
    /// The steps of the plan.
    pub grid: Grid,
    /// Steps by which demand is met ahead of time.
    pub ahead: usize,
    /// Ordinary requests/s, when known.
    pub expected: Option<f64>,
    /// `[dimension]`: what is asked for where nothing is known. Not knowing is not zero: a grant of
    /// nothing would throttle an api that nobody has measured yet.
    pub unknown: &'a [f64],
    /// `[step]`: requests/s that declared events promise at least, 0 where they promise nothing;
    /// steps beyond its end have no promise.
    pub promised: &'a [f64],
    /// How.
    pub settings: Settings,
}

/// What an api needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// `[step][dimension]` at the asked level.
    pub demand: Vec<f64>,
    /// `[step][dimension]` at the level that is bought where it can be, nowhere below `demand`.
    pub bought: Vec<f64>,
    /// `[step][dimension]`, median.
    pub median: Vec<f64>,
    /// `[dimension]`: ordinary load.
    pub expected: Vec<f64>,
    /// `[dimension]`: measured in the newest step.
    pub usage: Vec<f64>,
    /// `[dimension]`: part of the grant that is meant to be used, above 0 and up to 1.
    pub aims: Vec<f64>,
    /// One sentence per dimension of which something is known, for people.
    pub reasons: Vec<String>,
    /// What both forecasts of a resource say of one step to come, to be compared with what comes.
    promises: Vec<(Dimension, Promise)>,
    /// Start of the step that is prepared for now, the median use that is foreseen of it, and what is
    /// insured on top.
    foreseen: (Timestamp, Resources, Resources),
}

impl Output {
    /// What was asked for an api, `[row]` of a question, over the steps of a plan that begins `shift` steps
    /// later; the question's last step stands for those beyond it.
    #[must_use]
    pub fn carried(
        asked: &AllocationInput,
        (row, shift): (usize, usize),
        grid: Grid,
        from: Generation,
    ) -> Self {
        let (_, steps, dims) = asked.shape();
        let over = |matrix: &[f64]| -> Vec<f64> {
            let cells = (0..grid.count).flat_map(|step| {
                let step = (step + shift).min(steps.saturating_sub(1));
                let at = (row * steps + step) * dims;
                at..at + dims
            });
            cells
                .map(|at| matrix.get(at).copied().unwrap_or(0.0))
                .collect()
        };
        let of = |column: &[f64]| -> Vec<f64> {
            let row = column.iter().skip(row * dims);
            row.take(dims).copied().collect()
        };
        Self {
            demand: over(&asked.demand),
            bought: over(&asked.demand),
            median: over(&asked.median),
            expected: of(&asked.expected),
            usage: of(&asked.usage),
            aims: vec![1.0; dims],
            reasons: vec![Self::carried_from(from)],
            promises: vec![],
            foreseen: (grid.at(1), Resources::NONE, Resources::NONE),
        }
    }

    /// The reason of what is carried from a plan. Who explains a plan knows by it that an api is.
    #[must_use]
    pub fn carried_from(plan: Generation) -> String {
        format!(
            "what plan {plan} foresaw of these steps, since the daemon has started and has not come to forecast it anew"
        )
    }

    /// Leaves with the learner what it is to compare with what comes.
    pub fn promise(&self, learned: &mut Learned) {
        learned.foresee(self.foreseen.0, self.foreseen.1, self.foreseen.2);
        let all = self.promises.iter();
        all.for_each(|(dimension, promise)| learned.promise(*dimension, *promise));
    }
}

/// There is no way to fail: without a forecast what is used now is what is needed, and without any
/// measure what the caller says.
pub type Error = std::convert::Infallible;

/// More than any pool holds, in any unit. A larger need says no more, and sums of such needs would
/// reach infinity: then one api's absurd sample leaves every api of its pool without a plan.
const MOST: f64 = 1e18;

/// Derives demand.
///
/// # Errors
/// Never.
pub fn run(input: &Input<'_>) -> Result<Output, Error> {
    let (dims, steps) = (input.dimensions.len(), input.grid.count);
    let mut output = Output {
        demand: vec![0.0; steps * dims],
        bought: vec![0.0; steps * dims],
        median: vec![0.0; steps * dims],
        expected: vec![0.0; dims],
        usage: vec![0.0; dims],
        aims: vec![1.0; dims],
        reasons: vec![],
        promises: vec![],
        foreseen: (
            input.grid.at(input.ahead.max(1)),
            Resources::NONE,
            Resources::NONE,
        ),
    };
    for (d, &dimension) in input.dimensions.iter().enumerate() {
        let need = Need::of(input, dimension);
        output.usage[d] = need.usage.unwrap_or(0.0).min(MOST);
        output.aims[d] = need.aim;
        if !need.is_known() {
            let declared = input.expected.filter(|_| dimension == Dimension::Requests);
            let fallback = input.unknown.get(d).copied().unwrap_or(0.0);
            let assumed = fallback.max(declared.unwrap_or(0.0)).min(MOST);
            for step in 0..steps {
                output.demand[step * dims + d] = assumed;
                output.bought[step * dims + d] = assumed;
                output.median[step * dims + d] = assumed;
            }
            output.expected[d] = assumed;
            continue;
        }
        let used = need.quantile(input.ahead.max(1), Level::P50);
        let insured = (need.quantile(input.ahead.max(1), input.insured) - used).max(0.0);
        output.foreseen.1 = output.foreseen.1.with(dimension, used);
        output.foreseen.2 = output.foreseen.2.with(dimension, insured);
        // The look ahead ends with the forecast, not with the plan: a lead time may be longer than a
        // plan, and what it must prepare for then lies beyond the plan's last step.
        let last = need.foreseen().max(steps).saturating_sub(1);
        let medians: Vec<f64> = (0..=last.min(steps + input.ahead))
            .map(|step| need.quantile(step, Level::P50))
            .collect();
        let all = |level: Level| -> Vec<f64> {
            let steps = medians.iter().enumerate();
            let at = |(step, median): (usize, &f64)| {
                let insured = need.quantile(step, level) - median;
                (median / need.aim + insured).max(0.0)
            };
            steps.map(at).collect()
        };
        let guaranteed = all(input.level);
        let bought = match input.buy_level == input.level {
            true => guaranteed.clone(),
            false => all(input.buy_level),
        };
        for (step, median) in medians.iter().enumerate().take(steps) {
            let window = step..=(step + input.ahead).min(last);
            let most = |of: &[f64]| of[window.clone()].iter().copied().fold(0.0, f64::max);
            let demand = most(&guaranteed);
            output.demand[step * dims + d] = demand;
            output.bought[step * dims + d] = most(&bought).max(demand);
            output.median[step * dims + d] = (median / need.aim).max(0.0);
        }
        let ordinary = input.expected.zip(need.cost).map(|(load, c)| c.at(load));
        let ordinary = ordinary.unwrap_or(output.usage[d]) / need.aim;
        output.expected[d] = ordinary.min(MOST);
        output
            .reasons
            .extend(why::sentence(input, dimension, &need));
        output
            .promises
            .extend(need.promise(input).map(|p| (dimension, p)));
    }
    Ok(output)
}

/// What is known of one resource.
#[derive(Debug)]
struct Need<'a> {
    requests: Option<&'a Forecast>,
    direct: Option<&'a Forecast>,
    promised: &'a [f64],
    cost: Option<CostOf<'a>>,
    source: Source,
    usage: Option<f64>,
    aim: f64,
}

/// What a request costs: as learned, or itself where requests are what is granted.
#[derive(Debug, Clone, Copy)]
enum CostOf<'a> {
    Itself,
    Learned(&'a Cost),
}

impl CostOf<'_> {
    fn at(self, load: f64) -> f64 {
        match self {
            CostOf::Itself => load,
            CostOf::Learned(cost) => cost.at(load),
        }
    }

    /// The quantile of use where the load has this median and quantile.
    fn quantile(self, median: f64, load: f64, level: Level) -> f64 {
        match self {
            CostOf::Itself => load,
            CostOf::Learned(cost) => {
                let by_load = cost.per_request() * (load - median);
                let by_cost = normal_quantile(level) * cost.spread(median);
                let away = (by_load * by_load + by_cost * by_cost).sqrt();
                let use_at = cost.at(median);
                if level < Level::P50 {
                    (use_at - away).max(0.0)
                } else {
                    use_at + away
                }
            }
        }
    }
}

impl<'a> Need<'a> {
    fn of(input: &Input<'a>, dimension: Dimension) -> Self {
        let find = |signal| {
            input.forecasts.get(&SeriesKey {
                api: input.api.clone(),
                signal,
            })
        };
        let is_requests = dimension == Dimension::Requests;
        // A granted request rate is a limit, not a resource that saturates: no headroom on top.
        let aim = if is_requests {
            1.0
        } else {
            let learned = input.learned.strictest(dimension);
            learned.map_or(input.settings.target_utilisation, |(_, c)| c.aim())
        };
        Self {
            requests: find(Signal::Requests),
            direct: find(dimension.signal()).filter(|_| !is_requests),
            promised: input.promised,
            cost: if is_requests {
                Some(CostOf::Itself)
            } else {
                input.learned.cost(dimension).map(CostOf::Learned)
            },
            source: input.learned.source(dimension, input.now),
            usage: input.learned.usage(dimension, input.now),
            aim,
        }
    }

    /// Whether anything says what is needed.
    fn is_known(&self) -> bool {
        let foretold = self.direct.is_some() || (self.requests.is_some() && self.cost.is_some());
        self.usage.is_some() || foretold
    }

    /// Steps that anything is said of.
    fn foreseen(&self) -> usize {
        let forecast = self.requests.or(self.direct);
        forecast
            .map_or(0, |f| f.grid.count)
            .max(self.promised.len())
    }

    /// What an owner has promised is known, whatever the past may look like.
    fn promised_at(&self, step: usize) -> Option<f64> {
        self.promised.get(step).copied().filter(|p| *p > 0.0)
    }

    fn by_requests(&self, step: usize, level: Level) -> Option<f64> {
        let promised = self.promised_at(step).unwrap_or(0.0);
        let cost = self.cost?;
        match self.requests {
            Some(f) => {
                let at = |level| f.quantile(step, level).max(promised);
                Some(cost.quantile(at(Level::P50), at(level), level))
            }
            None => (promised > 0.0).then(|| cost.quantile(promised, promised, level)),
        }
    }

    fn by_itself(&self, step: usize, level: Level) -> Option<f64> {
        self.direct.map(|f| f.quantile(step, level))
    }

    fn quantile(&self, step: usize, level: Level) -> f64 {
        let need = match (self.by_requests(step, level), self.by_itself(step, level)) {
            (Some(requests), Some(_)) if self.promised_at(step).is_some() => requests,
            (Some(requests), Some(itself)) => match self.source {
                Source::Requests => requests,
                Source::Itself => itself,
                Source::Mean => f64::midpoint(requests, itself),
                Source::Higher => requests.max(itself),
            },
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => self.usage.unwrap_or(0.0),
        };
        need.min(MOST)
    }

    /// What both say of the step that is `ahead`, where both say something and nobody has promised.
    fn promise(&self, input: &Input<'_>) -> Option<Promise> {
        let step = input.ahead.max(1);
        let is_said = self.requests?.grid.count.min(self.direct?.grid.count) > step;
        (is_said && self.promised_at(step).is_none()).then_some(())?;
        let both = |of: &dyn Fn(Level) -> Option<f64>| Some([of(Level::P50)?, of(Level::P90)?]);
        Some(Promise {
            target: input.grid.at(step),
            by_requests: both(&|level| self.by_requests(step, level))?,
            by_itself: both(&|level| self.by_itself(step, level))?,
        })
    }
}

/// [`normal_quantile`] of every level of [`Level::STANDARD`]: tiers mostly buy one of these, and to look
/// for it anew in every step of every api was half of what a cycle cost beside its forecasts.
static STANDARD: LazyLock<[f64; Level::STANDARD.len()]> =
    LazyLock::new(|| Level::STANDARD.map(bisect));

/// The standard normal quantile of a level.
fn normal_quantile(level: Level) -> f64 {
    let known = Level::STANDARD.iter().position(|l| *l == level);
    known.map_or_else(|| bisect(level), |i| STANDARD[i])
}

/// By bisection of the distribution function.
fn bisect(level: Level) -> f64 {
    if level == Level::P50 {
        return 0.0;
    }
    let (mut low, mut high) = (-5.0, 5.0);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2) < level.probability() {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// What is kept of a value after some seconds, when it counts half after `half_life_s`.
fn forget(seconds: f64, half_life_s: f64) -> f64 {
    libm::exp2(-seconds / half_life_s)
}

#[cfg(test)]
mod tests;
