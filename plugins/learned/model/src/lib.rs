//! Learned headroom: waterfill, over demand that each api's own shortages and slack have priced.
//!
//! `waterfill` buys the quantile that a tier names, and trusts the forecaster that it is one. This
//! policy keeps its division of the pool and learns one number per api: the [headroom](HEADROOMS)
//! between the median need and that quantile, and beyond. After every step it sees what each
//! headroom would have cost as a newsvendor reckons it, shortage by tier against slack, and buys the
//! exponentially weighted mean of them. Per-tier evidence lets a new api begin well.
//!
//! **Safe.** `floor` times the median need is the least that is bought and `ceiling` times the tier's quantile the
//! most; a shortage raises the purchase at once, by a factor that fades; while the host reports an
//! emergency nothing less than the quantile is bought. Whatever is bought only changes *demand*, and
//! waterfill makes the plan: AL1 to AL5 hold for any demand, so they hold for any state of mind.
//!
//! **Replayable.** The seed is not used: with full information there is nothing to explore, so no
//! chance is drawn, and state and plan are functions of what was asked.
//!
//! Rejected: a policy gradient over features. It needs exploration on live traffic, and nobody can
//! say afterwards why an api got what it got. What is absent: forecasting, tiers, prices between
//! apis.

mod config;
mod headroom;

mod choice;
mod evidence;
mod lesson;
mod reasons;
mod regime;
mod state;

pub use config::{ByTier, CONFIG_SCHEMA, Config};
pub use headroom::{ARMS, HEADROOMS, Need};
pub use state::{STATE_FORMAT, State};
pub use tidegate_fit::{Allocation, Dimension, Error, PoolColumns, Tier};
pub use tidegate_model_waterfill::{Loan, Output};

use evidence::Lesson;
use lesson::Step;
use state::{Api, Ask, MOST_RETREAT, REGIMES};
use std::collections::BTreeMap;

/// When the plan begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Start of step 0, milliseconds since the Unix epoch.
    pub start: i64,
    /// Seconds.
    pub step: u32,
}

impl Moment {
    fn step_ms(self) -> i64 {
        i64::from(self.step) * 1000
    }

    /// How this call follows one whose plan began at `start`.
    fn after(self, start: i64) -> Turn {
        if start == self.start {
            Turn::Again
        } else if start.checked_add(self.step_ms()) == Some(self.start) {
            Turn::Next
        } else {
            Turn::Gap
        }
    }
}

/// How a call follows the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The step that was planned last is over.
    Next,
    /// It is planned once more.
    Again,
    /// Steps were left out, or the clock went back: what was asked says nothing of what was used.
    Gap,
}

/// Divides the pool over the coming steps, and learns from the step that is over.
///
/// # Errors
/// [`Error::InvalidInput`] for wrong columns or configuration; the state is then as it was.
pub fn allocate(
    config: &Config,
    state: &mut State,
    moment: Moment,
    pool: &PoolColumns,
) -> Result<Output, Error> {
    config.validate()?;
    pool.validate()?;
    let mut next = learn(config, state, moment, pool);
    let mut bought = pool.clone();
    for (i, key) in pool.apis.iter().enumerate() {
        let Some(api) = next.apis.get_mut(key) else {
            continue;
        };
        choose(config, &next.tiers, pool, i, api);
        let (headroom, retreat) = (f64::from(api.headroom), f64::from(api.retreat));
        for cell in i * pool.steps * pool.width()..(i + 1) * pool.steps * pool.width() {
            bought.demand[cell] = need(pool, cell).ask(headroom, retreat, config);
        }
    }
    let mut output = tidegate_model_waterfill::allocate(&config.waterfill(), &bought)?;
    let turn = moment.after(state.start);
    for (i, key) in pool.apis.iter().enumerate() {
        let Some(api) = next.apis.get_mut(key) else {
            continue;
        };
        remember(api, pool, &output.allocation, i, turn);
        let from = pool.cell(i, 0, 0);
        let asked = &bought.demand[from..from + pool.width()];
        output.reasons[i] = reasons::reason(&output.reasons[i], api, asked);
    }
    *state = next;
    Ok(output)
}

fn need(pool: &PoolColumns, cell: usize) -> Need {
    Need {
        median: pool.median[cell],
        demand: pool.demand[cell],
    }
}

/// The state of those who are there, with the lessons of the step that is over.
fn learn(config: &Config, state: &State, moment: Moment, pool: &PoolColumns) -> State {
    let mut next = State {
        start: moment.start,
        tiers: state.tiers,
        apis: BTreeMap::new(),
    };
    let (d, turn) = (pool.width(), moment.after(state.start));
    let keep = libm::exp2(-f64::from(moment.step) / (config.memory_hours * 3600.0));
    let elapsed = moment.start.saturating_sub(state.start).max(0) as f64;
    let fade = libm::exp2(-elapsed / (config.retreat_minutes * 60_000.0));
    let mut shared = [[(Lesson::default(), 0.0); REGIMES]; 3];
    for (i, &key) in pool.apis.iter().enumerate() {
        let tier = pool.tiers[i] as u8;
        let mut api = match state.apis.get(&key) {
            Some(known) if known.tier == tier => known.clone(),
            _ => Api::new(tier),
        };
        api.turn(state.start, moment.start);
        api.retreat = (1.0 + (f64::from(api.retreat) - 1.0) * fade) as f32;
        let row = i * d..(i + 1) * d;
        let used = &pool.usage[row.clone()];
        let seen = digest(used);
        if turn == Turn::Next && api.asks.len() == d && seen != api.seen {
            let step = Step {
                config,
                asks: &api.asks,
                bought: (f64::from(api.headroom), f64::from(api.retreat)),
                used,
                ordinary: &pool.expected[row.clone()],
                floor: &pool.floor[row],
            };
            if let Some((lesson, was_short)) = step.lesson() {
                let regime = usize::from(api.regime);
                api.regimes[regime].learn(&lesson, keep);
                let (sum, count) = &mut shared[usize::from(tier)][regime];
                sum.add(&lesson, 1.0);
                *count += 1.0;
                if was_short {
                    let raised = f64::from(api.retreat) * config.retreat;
                    api.retreat = raised.min(MOST_RETREAT) as f32;
                    api.shortages[0] = api.shortages[0].saturating_add(1);
                }
            }
        }
        api.seen = seen;
        next.apis.insert(key, api);
    }
    let lessons = shared.iter().flatten();
    for (evidence, (sum, count)) in next.tiers.iter_mut().flatten().zip(lessons) {
        if *count > 0.0 {
            let mut mean = Lesson::default();
            mean.add(sum, 1.0 / count);
            evidence.learn(&mean, keep);
        }
    }
    next
}

/// Of a measured use, to tell whether it is the one that was there before: a feed that has stopped
/// repeats itself, and what is repeated is not learned twice.
fn digest(used: &[f64]) -> u32 {
    let fold = |hash: u64, v: &f64| (hash ^ v.to_bits()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (used.iter().fold(1, fold) >> 32) as u32
}

/// Sets the headroom of api `i`.
fn choose(
    config: &Config,
    tiers: &[[evidence::Evidence; REGIMES]; 3],
    pool: &PoolColumns,
    i: usize,
    api: &mut Api,
) {
    let regime = regime::of(pool, i);
    api.regime = regime as u8;
    let shared = &tiers[usize::from(api.tier)][regime];
    let headroom = choice::headroom(config, pool.tiers[i], &api.regimes[regime], shared);
    let least = if pool.emergency[i] == 0 { 0.0 } else { 1.0 };
    api.headroom = headroom.max(least) as f32;
}

/// Keeps what was asked for api `i` and what it got, until the step is over.
fn remember(api: &mut Api, pool: &PoolColumns, plan: &Allocation, i: usize, turn: Turn) {
    let before = |k: usize| {
        let known = api.asks.get(k)?;
        match turn {
            Turn::Next => Some(known.newest()),
            Turn::Again => known.before(),
            Turn::Gap => None,
        }
    };
    let ask = |k: usize| {
        let cell = pool.cell(i, 0, k);
        Ask::new(need(pool, cell), plan.limit[cell], before(k))
    };
    api.asks = (0..pool.width()).map(ask).collect();
}
