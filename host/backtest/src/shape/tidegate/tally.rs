//! What the forecasts promised and what came; who failed.
//!
//! Coverage is counted where it is bought: on requests, at the step that begins when capacity asked
//! for now begins to serve, at the level of the api's tier and at three levels for all.

use crate::shape::case::Case;
use crate::shape::service::Minute;
use std::collections::BTreeMap;
use tidegate_core::forecast::Forecast;
use tidegate_core::roster::Fault;
use tidegate_core::sample::SeriesKey;
use tidegate_core::tier::{Tier, TierSpec};
use tidegate_core::time::Timestamp;
use tidegate_core::units::{Level, Signal};

/// Levels that are told of every api.
const LEVELS: [Level; 3] = [Level::P50, Level::P90, Level::P99];

/// A promise: by when, of which api, quantiles and the tier's.
#[derive(Debug, Clone, Copy)]
struct Promise {
    api: usize,
    tier: Tier,
    bought: f64,
    levels: [f64; 3],
    low: f64,
}

/// One step of what was foreseen, for plots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Telling {
    /// Start of the minute.
    pub at: Timestamp,
    /// 10 % quantile, requests/s.
    pub low: f64,
    /// Median.
    pub median: f64,
    /// The quantile that the tier buys.
    pub bought: f64,
}

/// Outcomes, and how many lay at or below the promise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Outcomes.
    pub outcomes: u64,
    /// At or below.
    pub below: u64,
}

impl Kept {
    fn add(&mut self, is_below: bool) {
        self.outcomes += 1;
        self.below += u64::from(is_below);
    }

    /// Share at or below; NaN without outcomes.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.below as f64 / self.outcomes as f64
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        self.outcomes += other.outcomes;
        self.below += other.below;
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Tally {
    open: BTreeMap<Timestamp, Vec<Promise>>,
    /// By the level that was bought.
    pub bought: BTreeMap<Level, Kept>,
    /// One per level of p50, p90 and p99.
    pub levels: [(Level, Kept); 3],
    /// Per api.
    pub tellings: Vec<Vec<Telling>>,
    /// Answers that were no answers.
    pub faulted: u64,
    /// The first of them.
    pub first_fault: Option<String>,
}

impl Tally {
    pub(super) fn new(apis: usize) -> Self {
        Self {
            open: BTreeMap::new(),
            bought: BTreeMap::new(),
            levels: LEVELS.map(|l| (l, Kept::default())),
            tellings: vec![vec![]; apis],
            faulted: 0,
            first_fault: None,
        }
    }

    pub(super) fn faults(&mut self, faults: &[Fault]) {
        self.faulted += faults.len() as u64;
        if let (None, Some(fault)) = (&self.first_fault, faults.first()) {
            let text = format!("{} on {}: {}", fault.module, fault.subject, fault.error);
            self.first_fault = Some(text);
        }
    }

    /// Notes what is foreseen from a step on, for the minute in which capacity asked for now serves.
    pub(super) fn foresee(
        &mut self,
        case: &Case,
        start: Timestamp,
        forecasts: &BTreeMap<SeriesKey, Forecast>,
        is_scored: bool,
    ) {
        for (i, api) in case.apis.iter().enumerate().filter(|_| is_scored) {
            let key = SeriesKey {
                api: api.id.clone(),
                signal: Signal::Requests,
            };
            let Some(forecast) = forecasts.get(&key) else {
                continue;
            };
            let ahead = case.lead_s.div_ceil(forecast.grid.step.secs() as usize);
            let at = forecast.grid.at(ahead);
            if forecast.grid.step.secs() != 60 || start != forecast.grid.start {
                // Coarser steps are means of several minutes: their quantiles promise nothing of one.
                continue;
            }
            let level = TierSpec::default_of(api.tier).demand_level;
            let of = |level| forecast.quantile(ahead, level);
            let promise = Promise {
                api: i,
                tier: api.tier,
                bought: of(level),
                levels: LEVELS.map(of),
                low: Level::new(1000).map_or(0.0, of),
            };
            self.open.entry(at).or_default().push(promise);
        }
    }

    /// Holds what came in the minute from `at` on against what was promised of it.
    pub(super) fn outcome(&mut self, at: Timestamp, minutes: &[Minute]) {
        for promise in self.open.remove(&at).unwrap_or_default() {
            let Some(minute) = minutes.get(promise.api) else {
                continue;
            };
            let came = minute.requests / 60.0;
            let level = TierSpec::default_of(promise.tier).demand_level;
            self.bought
                .entry(level)
                .or_default()
                .add(came <= promise.bought);
            for ((_, kept), quantile) in self.levels.iter_mut().zip(promise.levels) {
                kept.add(came <= quantile);
            }
            self.tellings[promise.api].push(Telling {
                at,
                low: promise.low,
                median: promise.levels[0],
                bought: promise.bought,
            });
        }
        // What was promised of minutes that are over is of no use any more.
        self.open = self.open.split_off(&at);
    }
}
