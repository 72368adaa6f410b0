//! A small world of apis under a season, a forecaster whose intervals may lie, and a pool that is as
//! large as the last plan wanted.
//!
//! Load is a daily season times a lognormal first-order autoregression; the forecaster knows the
//! season and the last value, so its median is right by construction (or off by a known factor), and
//! its quantiles are right but for the factor by which it mistakes its own error. What is charged is
//! reckoned from true needs, which no policy sees: a step is short when its worst part, a burst above
//! its mean, needs more than the limit, and all capacity that is bought and not used is slack.

use tidegate_model_kit::{Stream, normal_quantile};
use tidegate_model_learned::{Dimension, PoolColumns, Tier};

/// Seconds of a step.
pub(crate) const STEP_S: u32 = 300;
/// Steps of a day.
pub(crate) const DAY: usize = 288;
/// Part of a grant that the host plans to use.
const TARGET: f64 = 0.85;
/// Correlation of the load's deviation from step to step.
const KEEP: f64 = 0.8;
/// Steps of a plan.
const STEPS: usize = 4;

/// What the forecaster gets wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lie {
    /// Claimed standard deviation in parts of the true one, per api in turn.
    pub(crate) width: &'static [f64],
    /// Claimed median in parts of the true one.
    pub(crate) bias: f64,
}

/// How a world is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) apis: usize,
    pub(crate) days: usize,
    pub(crate) seed: u64,
    pub(crate) lie: Lie,
    /// Days that count; before them is time to learn.
    pub(crate) from_day: usize,
    /// Part of the sum of peaks that there is; none where capacity is bought as wanted.
    pub(crate) scarce: Option<f64>,
}

/// What a policy cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bill {
    /// Steps that were short, by tier: Bronze, Silver, Gold.
    pub(crate) short: [f64; 3],
    /// Bought and idle, in steps of ordinary load.
    pub(crate) slack: f64,
}

impl Bill {
    /// In steps of ordinary load, at the prices of the tiers.
    pub(crate) fn cost(&self, prices: [f64; 3]) -> f64 {
        let shortage: f64 = self.short.iter().zip(prices).map(|(n, p)| n * p).sum();
        shortage + self.slack
    }
}

/// A policy: `(start, pool)` to the limits of step 0 and the capacity that is wanted until the next
/// plan.
pub(crate) type Policy<'a> = &'a mut dyn FnMut(i64, &PoolColumns) -> (Vec<f64>, f64);

struct Api {
    tier: Tier,
    level: f64,
    phase: f64,
    sigma: f64,
    width: f64,
    deviation: f64,
}

impl Api {
    fn season(&self, step: usize) -> f64 {
        let turn = step as f64 / DAY as f64 + self.phase;
        let wave = libm::sin(std::f64::consts::TAU * turn);
        self.level * libm::exp(0.6 * wave)
    }

    /// True standard deviation of the logarithm so many steps ahead.
    fn error(&self, ahead: usize) -> f64 {
        let kept: f64 = (0..ahead).map(|i| KEEP.powi(2 * i as i32)).sum();
        self.sigma * kept.sqrt()
    }

    fn move_on(&mut self, s: &mut Stream) {
        self.deviation = KEEP * self.deviation + self.sigma * s.normal();
    }
}

fn quantile(tier: Tier) -> f64 {
    match tier {
        Tier::Gold => normal_quantile(0.99),
        Tier::Silver => normal_quantile(0.90),
        Tier::Bronze => 0.0,
    }
}

/// Runs a policy through a world.
pub(crate) fn run(world: &World, policy: Policy<'_>) -> Bill {
    let mut s = Stream::new(world.seed);
    let mut apis: Vec<Api> = (0..world.apis)
        .map(|i| Api {
            tier: Tier::SERVED[i % 3],
            level: 2.0 + 20.0 * s.uniform(),
            phase: 0.2 * s.uniform(),
            sigma: 0.05 + 0.07 * s.uniform(),
            width: world.lie.width[i % world.lie.width.len()],
            deviation: 0.0,
        })
        .collect();
    let peaks: f64 = apis.iter().map(|a| a.level * libm::exp(0.6) / TARGET).sum();
    let mut capacity = world.scarce.map_or(2.0 * peaks, |part| part * peaks);
    let mut bill = Bill::default();
    let mut previous = vec![-1.0; apis.len()];
    let mut usage = vec![0.0; apis.len()];
    for step in 0..world.days * DAY {
        let mut pool = PoolColumns::new(vec![Dimension::Cpu], vec![capacity; STEPS]);
        pool.capacity_max = vec![world.scarce.map_or(1e9, |_| capacity)];
        for (i, api) in apis.iter().enumerate() {
            pool.push(api.tier, &[]);
            (pool.step_up[i], pool.step_down[i]) = (3.0, 0.5);
            pool.previous_limit[i] = previous[i];
            (pool.expected[i], pool.usage[i]) = (api.level / TARGET, usage[i]);
            for ahead in 0..STEPS {
                // What the host asks for: the highest of this step and the next.
                let at = |k: usize| {
                    let median = world.lie.bias
                        * api.season(step + k)
                        * libm::exp(KEEP.powi(k as i32 + 1) * api.deviation);
                    let error = api.width * api.error(k + 1);
                    let more = median * (libm::exp(quantile(api.tier) * error) - 1.0);
                    (median / TARGET, median / TARGET + more)
                };
                let cell = pool.cell(i, ahead, 0);
                pool.median[cell] = at(ahead).0;
                pool.demand[cell] = at(ahead).1.max(at(ahead + 1).1);
            }
        }
        let start = i64::try_from(step).unwrap_or(0) * i64::from(STEP_S) * 1000;
        let (limits, wanted) = policy(start, &pool);
        let mut used = 0.0;
        for (i, api) in apis.iter_mut().enumerate() {
            api.move_on(&mut s);
            let need = api.season(step) * libm::exp(api.deviation);
            let burst = need * libm::exp(0.06 + 0.035 * s.normal());
            usage[i] = need.min(limits[i]);
            used += usage[i];
            if step >= world.from_day * DAY {
                bill.short[api.tier as usize] += f64::from(u8::from(burst > limits[i]));
            }
        }
        let ordinary: f64 = apis.iter().map(|a| a.level).sum::<f64>() / world.apis as f64;
        if step >= world.from_day * DAY {
            bill.slack += (capacity - used) / ordinary;
        }
        // Capacity follows what the plan wants, a step later, as an autoscaler brings it.
        if world.scarce.is_none() {
            capacity = wanted;
        }
        previous = limits;
    }
    bill
}
